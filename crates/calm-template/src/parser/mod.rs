//! Tokens as trees: the grammar of Jinja.

mod expression;
mod statement;

use crate::ast::Node;
use crate::error::{ErrorKind, TemplateError};
use crate::lexer::{Located, Token, tokens};

/// Depth of brackets, blocks and prefixes within each other.
const MAX_DEPTH: usize = 200;

/// Reads a whole template.
pub(crate) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = tokens(source)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        loops: 0,
    };
    let (nodes, end) = parser.body(&[])?;
    debug_assert!(end.is_empty(), "only the end of the text ends it");
    Ok(nodes)
}

struct Parser<'a> {
    tokens: &'a [Located],
    at: usize,
    depth: usize,
    /// Loops around the current statement, for `break` and `continue`.
    loops: usize,
}

type Parsed<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    fn line(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.at.min(last))
            .map_or(1, |token| token.line)
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(TemplateError {
            kind: ErrorKind::Syntax(message.into()),
            line: self.line(),
        })
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|located| &located.token)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Name(name)) => format!("'{name}'"),
            Some(Token::Op(op)) => format!("'{op}'"),
            Some(Token::Const(_)) => "a constant".to_owned(),
            Some(Token::BlockEnd | Token::VariableEnd) => "the end of the tag".to_owned(),
            Some(_) => "text".to_owned(),
        };
        self.error(format!("unexpected {found}, expected {wanted}"))
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(found)) if *found == op)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    fn take_op(&mut self, op: &str) -> bool {
        let is_op = self.is_op(op);
        self.at += usize::from(is_op);
        is_op
    }

    fn take_name(&mut self, name: &str) -> bool {
        let is_name = self.is_name(name);
        self.at += usize::from(is_name);
        is_name
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        match self.take_op(op) {
            true => Ok(()),
            false => self.unexpected(&format!("'{op}'")),
        }
    }

    fn expect_name(&mut self, name: &str) -> Parsed<()> {
        match self.take_name(name) {
            true => Ok(()),
            false => self.unexpected(&format!("'{name}'")),
        }
    }

    fn expect(&mut self, token: &Token, wanted: &str) -> Parsed<()> {
        match self.peek() == Some(token) {
            true => {
                self.at += 1;
                Ok(())
            }
            false => self.unexpected(wanted),
        }
    }

    fn identifier(&mut self) -> Parsed<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => self.unexpected("a name"),
        }
    }

    /// Parses what may hold itself.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return self.error("the template is nested too deep");
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }
}
