//! Templates as trees.

/// A constant that stands in a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Const {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Not,
    Neg,
    Pos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

/// Arguments of a call, a filter or a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallArgs {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(String, Expr)>,
    /// `*args`
    pub(crate) more: Option<Box<Expr>>,
    /// `**kwargs`
    pub(crate) more_named: Option<Box<Expr>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Const(Const),
    Name(String),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    /// Beginning, end and step, each of which may be left out.
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Box<CallArgs>),
    /// The value is missing at the head of a `filter` block and of a `set` block.
    Filter(Option<Box<Expr>>, String, Box<CallArgs>),
    Test(Box<Expr>, String, Box<CallArgs>),
    Unary(UnaryOp, Box<Expr>),
    /// Operators of one rank, from the left.
    Binary(Box<Expr>, Vec<(BinaryOp, Expr)>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    Concat(Vec<Expr>),
    /// Condition, value, and value otherwise.
    Choice(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
}

/// The target of an assignment.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Name(String),
    /// A field of a namespace.
    Field(String, String),
    Tuple(Vec<Target>),
}

/// Parameters of a macro or of a `call` block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signature {
    pub(crate) names: Vec<String>,
    /// Defaults of the last parameters.
    pub(crate) defaults: Vec<Expr>,
}

#[derive(Debug, Clone)]
pub(crate) struct Macro {
    pub(crate) name: String,
    pub(crate) signature: Signature,
    pub(crate) body: Vec<Node>,
    /// Whether the body mentions `caller`, `varargs` and `kwargs`. Python refuses what is not mentioned.
    pub(crate) mentions: Mentions,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mentions {
    pub(crate) caller: bool,
    pub(crate) varargs: bool,
    pub(crate) kwargs: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) items: Expr,
    pub(crate) condition: Option<Expr>,
    pub(crate) is_recursive: bool,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// A statement with its 1-based line.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Text(String),
    Print(Expr),
    For(std::sync::Arc<For>),
    /// Conditions with their bodies, and the body where none holds.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    Set(Target, Expr),
    /// Target, filters, body.
    SetBlock(Target, Option<Expr>, Vec<Node>),
    With(Vec<(Target, Expr)>, Vec<Node>),
    Filter(Expr, Vec<Node>),
    Macro(std::sync::Arc<Macro>),
    /// The call, and the body as a macro without a name.
    Call(Expr, std::sync::Arc<Macro>),
    /// A body with variables of its own.
    Scope(Vec<Node>),
    /// A `block`, which sees the variables of the whole template alone, unless it is `scoped`.
    Block(Vec<Node>),
    Break,
    Continue,
}
