//! Statements and the texts between them.

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::ast::{Expr, For, Macro, Mentions, Node, NodeKind, Signature, Target};
use crate::lexer::Token;

/// Statements of Jinja that need other files, or that would escape what is printed.
const REFUSED: [&str; 5] = ["include", "import", "from", "extends", "autoescape"];

impl Parser<'_> {
    /// Statements up to one of these tags, whose name is passed over, or up to the end of the text.
    pub(super) fn body(&mut self, ends: &[&str]) -> Parsed<(Vec<Node>, String)> {
        let mut nodes = Vec::new();
        loop {
            let line = self.line();
            let kind = match self.next() {
                None if ends.is_empty() => return Ok((nodes, String::new())),
                None => return self.unexpected(&format!("'{}'", ends.join("' or '"))),
                Some(Token::Text(text)) => NodeKind::Text(text.clone()),
                Some(Token::VariableBegin) => {
                    let value = self.tuple(false, &[])?;
                    self.expect(&Token::VariableEnd, "the end of the tag")?;
                    NodeKind::Print(value)
                }
                Some(_) => {
                    let name = self.identifier()?;
                    if ends.contains(&name.as_str()) {
                        return Ok((nodes, name));
                    }
                    self.nested(|parser| parser.statement(&name))?
                }
            };
            nodes.push(Node { line, kind });
        }
    }

    /// The statements of a block, and its end.
    fn block(&mut self, end: &str) -> Parsed<Vec<Node>> {
        self.end_of_tag()?;
        let (nodes, _) = self.body(&[end])?;
        self.end_of_tag()?;
        Ok(nodes)
    }

    fn end_of_tag(&mut self) -> Parsed<()> {
        self.expect(&Token::BlockEnd, "the end of the tag")
    }

    fn statement(&mut self, name: &str) -> Parsed<NodeKind> {
        match name {
            "for" => self.for_(),
            "if" => self.if_(),
            "set" => self.set(),
            "macro" => self.macro_(),
            "call" => self.call_block(),
            "with" => self.with(),
            "filter" => {
                let filter = self.filters()?;
                Ok(NodeKind::Filter(filter, self.block("endfilter")?))
            }
            "generation" => Ok(NodeKind::Scope(self.block("endgeneration")?)),
            "block" => self.block_statement(),
            "print" => {
                let mut values = vec![self.expression()?];
                while self.take_op(",") {
                    values.push(self.expression()?);
                }
                self.end_of_tag()?;
                Ok(NodeKind::Print(Expr::Concat(values)))
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return self.error(format!("'{name}' outside of a loop"));
                }
                self.end_of_tag()?;
                Ok(match name {
                    "break" => NodeKind::Break,
                    _ => NodeKind::Continue,
                })
            }
            _ if REFUSED.contains(&name) => self.error(format!(
                "unknown statement {name}; chat templates have no use for it"
            )),
            _ => self.error(format!("unknown statement {name}")),
        }
    }

    fn block_statement(&mut self) -> Parsed<NodeKind> {
        let name = self.identifier()?;
        let is_scoped = self.take_name("scoped");
        self.end_of_tag()?;
        let loops = std::mem::take(&mut self.loops);
        let (body, _) = self.body(&["endblock"])?;
        self.loops = loops;
        self.take_name(&name);
        self.end_of_tag()?;
        Ok(match is_scoped {
            true => NodeKind::Scope(body),
            false => NodeKind::Block(body),
        })
    }

    fn for_(&mut self) -> Parsed<NodeKind> {
        let target = self.target_tuple()?;
        self.expect_name("in")?;
        let items = self.tuple_of(false, &["recursive"], Self::or)?;
        let condition = match self.take_name("if") {
            true => Some(self.expression()?),
            false => None,
        };
        let is_recursive = self.take_name("recursive");
        self.end_of_tag()?;
        self.loops += 1;
        let (body, end) = self.body(&["endfor", "else"])?;
        self.loops -= 1;
        let otherwise = match end.as_str() {
            "else" => self.block("endfor")?,
            _ => {
                self.end_of_tag()?;
                Vec::new()
            }
        };
        Ok(NodeKind::For(Arc::new(For {
            target,
            items,
            condition,
            is_recursive,
            body,
            otherwise,
        })))
    }

    fn if_(&mut self) -> Parsed<NodeKind> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple_of(false, &[], Self::or_with_choice)?;
            self.end_of_tag()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            match end.as_str() {
                "elif" => {}
                "else" => return Ok(NodeKind::If(branches, self.block("endif")?)),
                _ => {
                    self.end_of_tag()?;
                    return Ok(NodeKind::If(branches, Vec::new()));
                }
            }
        }
    }

    /// The condition of `if`, in which Jinja takes no `a if b` but in brackets.
    fn or_with_choice(&mut self) -> Parsed<Expr> {
        self.nested(Self::or)
    }

    fn set(&mut self) -> Parsed<NodeKind> {
        let target = self.target_tuple()?;
        if self.take_op("=") {
            let value = self.tuple(false, &[])?;
            self.end_of_tag()?;
            return Ok(NodeKind::Set(target, value));
        }
        let filters = match self.take_op("|") {
            true => Some(self.filters()?),
            false => None,
        };
        Ok(NodeKind::SetBlock(target, filters, self.block("endset")?))
    }

    fn with(&mut self) -> Parsed<NodeKind> {
        let mut values = Vec::new();
        while self.peek() != Some(&Token::BlockEnd) {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target()?;
            self.expect_op("=")?;
            values.push((target, self.expression()?));
        }
        Ok(NodeKind::With(values, self.block("endwith")?))
    }

    fn macro_(&mut self) -> Parsed<NodeKind> {
        let name = self.identifier()?;
        let signature = self.signature()?;
        let body = self.function_body("endmacro")?;
        Ok(NodeKind::Macro(macro_of(name, signature, body)))
    }

    fn call_block(&mut self) -> Parsed<NodeKind> {
        let signature = match self.is_op("(") {
            true => self.signature()?,
            false => Signature::default(),
        };
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return self.error("expected call");
        }
        let body = self.function_body("endcall")?;
        Ok(NodeKind::Call(
            call,
            macro_of("caller".to_owned(), signature, body),
        ))
    }

    /// A body in which no loop around it can be left.
    fn function_body(&mut self, end: &str) -> Parsed<Vec<Node>> {
        let loops = std::mem::take(&mut self.loops);
        let body = self.block(end);
        self.loops = loops;
        body
    }

    fn signature(&mut self) -> Parsed<Signature> {
        self.expect_op("(")?;
        let mut signature = Signature::default();
        while !self.take_op(")") {
            if !signature.names.is_empty() {
                self.expect_op(",")?;
            }
            signature.names.push(self.identifier()?);
            if self.take_op("=") {
                signature.defaults.push(self.expression()?);
            } else if !signature.defaults.is_empty() {
                return self.error("non-default argument follows default argument");
            }
        }
        Ok(signature)
    }

    fn target_tuple(&mut self) -> Parsed<Target> {
        let first = self.target()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.take_op(",") {
            if self.is_name("in") || self.is_op("=") {
                break;
            }
            targets.push(self.target()?);
        }
        Ok(Target::Tuple(targets))
    }

    fn target(&mut self) -> Parsed<Target> {
        if self.take_op("(") {
            let inner = self.nested(Self::target_tuple)?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        let name = self.identifier()?;
        if self.take_op(".") {
            return Ok(Target::Field(name, self.identifier()?));
        }
        match name.as_str() {
            "true" | "false" | "none" | "True" | "False" | "None" | "loop" | "self" => {
                self.error(format!("can't assign to '{name}'"))
            }
            _ => Ok(Target::Name(name)),
        }
    }
}

fn macro_of(name: String, signature: Signature, body: Vec<Node>) -> Arc<Macro> {
    let mut mentions = Mentions::default();
    let is_own = |name: &str| signature.names.iter().any(|own| own == name);
    crate::names::visit(&body, &mut |name| match name {
        "caller" if !is_own(name) => mentions.caller = true,
        "varargs" if !is_own(name) => mentions.varargs = true,
        "kwargs" if !is_own(name) => mentions.kwargs = true,
        _ => {}
    });
    Arc::new(Macro {
        name,
        signature,
        body,
        mentions,
    })
}
