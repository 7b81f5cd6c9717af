//! Expressions, from the weakest operators to the strongest.

use super::{Parsed, Parser};
use crate::ast::{BinaryOp, CallArgs, CompareOp, Const, Expr, UnaryOp};
use crate::lexer::Token;

impl Parser<'_> {
    /// An expression, which may have a condition: `a if b else c`.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let mut value = parser.or()?;
            while parser.take_name("if") {
                let condition = Box::new(parser.or()?);
                let otherwise = match parser.take_name("else") {
                    true => Some(Box::new(parser.expression()?)),
                    false => None,
                };
                value = Expr::Choice(condition, Box::new(value), otherwise);
            }
            Ok(value)
        })
    }

    /// An expression without a condition of its own.
    pub(super) fn or(&mut self) -> Parsed<Expr> {
        let mut terms = vec![self.and()?];
        while self.take_name("or") {
            terms.push(self.and()?);
        }
        Ok(alone_or(terms, Expr::Or))
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut terms = vec![self.not()?];
        while self.take_name("and") {
            terms.push(self.not()?);
        }
        Ok(alone_or(terms, Expr::And))
    }

    fn not(&mut self) -> Parsed<Expr> {
        if !self.take_name("not") {
            return self.comparison();
        }
        self.nested(|parser| Ok(Expr::Unary(UnaryOp::Not, Box::new(parser.not()?))))
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let op = match self.peek() {
                Some(Token::Op("==")) => CompareOp::Eq,
                Some(Token::Op("!=")) => CompareOp::Ne,
                Some(Token::Op("<")) => CompareOp::Lt,
                Some(Token::Op("<=")) => CompareOp::Le,
                Some(Token::Op(">")) => CompareOp::Gt,
                Some(Token::Op(">=")) => CompareOp::Ge,
                Some(Token::Name(name)) if name == "in" => CompareOp::In,
                Some(Token::Name(name)) if name == "not" && self.is_in_next() => {
                    self.at += 1;
                    CompareOp::NotIn
                }
                _ => break,
            };
            self.at += 1;
            rest.push((op, self.sum()?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expr::Compare(Box::new(first), rest),
        })
    }

    fn is_in_next(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|located| &located.token);
        matches!(next, Some(Token::Name(name)) if name == "in")
    }

    fn sum(&mut self) -> Parsed<Expr> {
        let ops = [("+", BinaryOp::Add), ("-", BinaryOp::Sub)];
        self.operations(&ops, Self::concatenation)
    }

    fn concatenation(&mut self) -> Parsed<Expr> {
        let mut terms = vec![self.product()?];
        while self.take_op("~") {
            terms.push(self.product()?);
        }
        Ok(alone_or(terms, Expr::Concat))
    }

    fn product(&mut self) -> Parsed<Expr> {
        let ops = [
            ("*", BinaryOp::Mul),
            ("/", BinaryOp::Div),
            ("//", BinaryOp::FloorDiv),
            ("%", BinaryOp::Mod),
        ];
        self.operations(&ops, Self::power)
    }

    fn power(&mut self) -> Parsed<Expr> {
        self.operations(&[("**", BinaryOp::Pow)], |parser| parser.unary(true))
    }

    /// Operators of one rank. Jinja takes all of them from the left, powers too.
    fn operations(
        &mut self,
        ops: &[(&str, BinaryOp)],
        operand: impl Fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(&(_, op)) = ops.iter().find(|(op, _)| self.is_op(op)) {
            self.at += 1;
            rest.push((op, operand(self)?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expr::Binary(Box::new(first), rest),
        })
    }

    fn unary(&mut self, with_filters: bool) -> Parsed<Expr> {
        let op = match self.peek() {
            Some(Token::Op("-")) => Some(UnaryOp::Neg),
            Some(Token::Op("+")) => Some(UnaryOp::Pos),
            _ => None,
        };
        let value = match op {
            Some(op) => {
                self.at += 1;
                let operand = self.nested(|parser| parser.unary(false))?;
                Expr::Unary(op, Box::new(operand))
            }
            None => self.primary()?,
        };
        let value = self.postfix(value)?;
        match with_filters {
            true => self.filters_and_tests(value),
            false => Ok(value),
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.next() {
            Some(Token::Name(name)) => Ok(match name.as_str() {
                "true" | "True" => Expr::Const(Const::Bool(true)),
                "false" | "False" => Expr::Const(Const::Bool(false)),
                "none" | "None" => Expr::Const(Const::None),
                _ => Expr::Name(name.clone()),
            }),
            Some(Token::Const(Const::Str(text))) => {
                let mut text = text.clone();
                while let Some(Token::Const(Const::Str(more))) = self.peek() {
                    text += more;
                    self.at += 1;
                }
                Ok(Expr::Const(Const::Str(text)))
            }
            Some(Token::Const(value)) => Ok(Expr::Const(value.clone())),
            Some(Token::Op("(")) => {
                let tuple = self.nested(|parser| parser.tuple(true, &[]))?;
                self.expect_op(")")?;
                Ok(tuple)
            }
            Some(Token::Op("[")) => Ok(Expr::List(self.items("]", Self::expression)?)),
            Some(Token::Op("{")) => Ok(Expr::Dict(self.items("}", |parser| {
                let key = parser.expression()?;
                parser.expect_op(":")?;
                Ok((key, parser.expression()?))
            })?)),
            _ => {
                self.at -= 1;
                self.unexpected("an expression")
            }
        }
    }

    /// Items between commas, up to a closing bracket. The last comma may stand before it.
    fn items<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.take_op(close) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.take_op(close) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Expressions between commas; one without a comma is itself. Names of `ends` end it.
    pub(super) fn tuple(&mut self, may_be_empty: bool, ends: &[&str]) -> Parsed<Expr> {
        self.tuple_of(may_be_empty, ends, Self::expression)
    }

    pub(super) fn tuple_of(
        &mut self,
        may_be_empty: bool,
        ends: &[&str],
        item: impl Fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut has_comma = false;
        while !self.ends_tuple(ends) {
            items.push(item(self)?);
            if !self.take_op(",") {
                break;
            }
            has_comma = true;
        }
        match items.pop() {
            Some(item) if !has_comma => Ok(item),
            Some(item) => {
                items.push(item);
                Ok(Expr::Tuple(items))
            }
            None if may_be_empty => Ok(Expr::Tuple(items)),
            None => self.unexpected("an expression"),
        }
    }

    fn ends_tuple(&self, ends: &[&str]) -> bool {
        match self.peek() {
            None | Some(Token::VariableEnd | Token::BlockEnd | Token::Op(")")) => true,
            Some(Token::Name(name)) => ends.contains(&name.as_str()),
            _ => false,
        }
    }

    /// Attributes, items, slices and calls behind a value.
    fn postfix(&mut self, mut value: Expr) -> Parsed<Expr> {
        let mut length = 0;
        loop {
            value = match self.peek() {
                Some(Token::Op(".")) => {
                    self.at += 1;
                    self.attribute(value)?
                }
                Some(Token::Op("[")) => {
                    self.at += 1;
                    self.nested(|parser| parser.subscript(value))?
                }
                Some(Token::Op("(")) => self.call(value)?,
                _ => return Ok(value),
            };
            length += 1;
            self.check_length(length)?;
        }
    }

    /// Attributes and calls that hang on a value are evaluated, and dropped, within each other.
    fn check_length(&self, length: usize) -> Parsed<()> {
        match length > super::MAX_DEPTH {
            true => self.error("the template is nested too deep"),
            false => Ok(()),
        }
    }

    fn attribute(&mut self, value: Expr) -> Parsed<Expr> {
        let value = Box::new(value);
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(Expr::Attribute(value, name.clone()))
            }
            Some(Token::Const(index @ Const::Int(_))) => {
                self.at += 1;
                Ok(Expr::Item(value, Box::new(Expr::Const(index.clone()))))
            }
            _ => self.unexpected("a name or a number"),
        }
    }

    fn subscript(&mut self, value: Expr) -> Parsed<Expr> {
        let mut parts: [Option<Box<Expr>>; 3] = [None, None, None];
        let mut colons = 0;
        loop {
            if self.take_op("]") {
                break;
            }
            if self.take_op(":") {
                colons += 1;
            } else if parts[colons.min(2)].is_none() && colons <= 2 {
                let part = match colons {
                    0 => self.tuple_until_bracket()?,
                    _ => self.expression()?,
                };
                parts[colons] = Some(Box::new(part));
            } else {
                return self.unexpected("']'");
            }
            if colons > 2 {
                return self.unexpected("']'");
            }
        }
        let value = Box::new(value);
        match (colons, parts) {
            (0, [Some(index), ..]) => Ok(Expr::Item(value, index)),
            (0, _) => self.unexpected("an index"),
            (_, parts) => Ok(Expr::Slice(value, parts)),
        }
    }

    /// An index, which may be a tuple.
    fn tuple_until_bracket(&mut self) -> Parsed<Expr> {
        let mut items = vec![self.expression()?];
        while self.take_op(",") {
            items.push(self.expression()?);
        }
        Ok(alone_or(items, Expr::Tuple))
    }

    fn call(&mut self, function: Expr) -> Parsed<Expr> {
        let args = self.call_args()?;
        Ok(Expr::Call(Box::new(function), Box::new(args)))
    }

    fn call_args(&mut self) -> Parsed<CallArgs> {
        self.expect_op("(")?;
        let mut args = CallArgs::default();
        let mut is_first = true;
        while !self.take_op(")") {
            if !is_first {
                self.expect_op(",")?;
                if self.take_op(")") {
                    break;
                }
            }
            is_first = false;
            let may_be_positional =
                args.named.is_empty() && args.more.is_none() && args.more_named.is_none();
            if self.take_op("*") && args.more.is_none() && args.more_named.is_none() {
                args.more = Some(Box::new(self.expression()?));
            } else if self.take_op("**") && args.more_named.is_none() {
                args.more_named = Some(Box::new(self.expression()?));
            } else if self.is_named_argument() && args.more_named.is_none() {
                let name = self.identifier()?;
                self.expect_op("=")?;
                args.named.push((name, self.expression()?));
            } else if may_be_positional {
                args.positional.push(self.expression()?);
            } else {
                return self.error("invalid syntax for function call expression");
            }
        }
        Ok(args)
    }

    fn is_named_argument(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|located| &located.token);
        matches!(self.peek(), Some(Token::Name(_))) && next == Some(&Token::Op("="))
    }

    fn filters_and_tests(&mut self, mut value: Expr) -> Parsed<Expr> {
        let mut length = 0;
        loop {
            value = match self.peek() {
                Some(Token::Op("|")) => self.filter(Some(value))?,
                Some(Token::Name(name)) if name == "is" => self.test(value)?,
                Some(Token::Op("(")) => self.call(value)?,
                _ => return Ok(value),
            };
            length += 1;
            self.check_length(length)?;
        }
    }

    /// One filter and its arguments, from its `|` on.
    pub(super) fn filter(&mut self, value: Option<Expr>) -> Parsed<Expr> {
        self.expect_op("|")?;
        self.filter_named(value)
    }

    /// Filters in a row, the first without its `|`.
    pub(super) fn filters(&mut self) -> Parsed<Expr> {
        let mut value = self.filter_named(None)?;
        let mut length = 0;
        while self.is_op("|") {
            value = self.filter(Some(value))?;
            length += 1;
            self.check_length(length)?;
        }
        Ok(value)
    }

    fn filter_named(&mut self, value: Option<Expr>) -> Parsed<Expr> {
        let name = self.dotted_name()?;
        let args = match self.is_op("(") {
            true => self.nested(Self::call_args)?,
            false => CallArgs::default(),
        };
        if !crate::filters::is_known(&name) {
            return self.error(format!("unknown filter {name}"));
        }
        Ok(Expr::Filter(value.map(Box::new), name, Box::new(args)))
    }

    fn test(&mut self, value: Expr) -> Parsed<Expr> {
        self.expect_name("is")?;
        let is_negated = self.take_name("not");
        let name = self.dotted_name()?;
        let args = match self.peek() {
            Some(Token::Op("(")) => self.nested(Self::call_args)?,
            Some(Token::Name(name)) if matches!(name.as_str(), "else" | "or" | "and") => {
                CallArgs::default()
            }
            Some(Token::Name(name)) if name == "is" => {
                return self.error("you cannot chain multiple tests with is");
            }
            Some(Token::Name(_) | Token::Const(_) | Token::Op("[" | "{")) => {
                let argument = self.nested(Self::primary)?;
                let argument = self.postfix(argument)?;
                CallArgs {
                    positional: vec![argument],
                    ..CallArgs::default()
                }
            }
            _ => CallArgs::default(),
        };
        if !crate::tests::is_known(&name) {
            return self.error(format!("unknown test {name}"));
        }
        let test = Expr::Test(Box::new(value), name, Box::new(args));
        Ok(match is_negated {
            true => Expr::Unary(UnaryOp::Not, Box::new(test)),
            false => test,
        })
    }

    fn dotted_name(&mut self) -> Parsed<String> {
        let mut name = self.identifier()?;
        while self.take_op(".") {
            name = format!("{name}.{}", self.identifier()?);
        }
        Ok(name)
    }
}

/// The one item, or all of them.
fn alone_or(mut items: Vec<Expr>, all: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match items.pop() {
        Some(item) if items.is_empty() => item,
        Some(item) => {
            items.push(item);
            all(items)
        }
        None => all(items),
    }
}
