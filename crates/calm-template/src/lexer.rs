//! Templates as tokens, as Jinja's lexer cuts them with `trim_blocks` and `lstrip_blocks`.

use crate::ast::Const;
use crate::error::{ErrorKind, TemplateError};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Text outside of tags.
    Text(String),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Const(Const),
    /// An operator or a bracket.
    Op(&'static str),
}

/// A token with its 1-based line.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) token: Token,
    pub(crate) line: usize,
}

/// Operators, the longer ones first.
const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Cuts a whole template.
pub(crate) fn tokens(source: &str) -> Result<Vec<Located>, TemplateError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        is_line_start: true,
        found: Vec::new(),
    };
    while !lexer.rest.is_empty() {
        lexer.outside()?;
    }
    Ok(lexer.found)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Whether a line begins here, so that the spaces before a tag are the first of their line.
    is_line_start: bool,
    found: Vec<Located>,
}

impl<'a> Lexer<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError {
            kind: ErrorKind::Syntax(message.into()),
            line: self.line,
        })
    }

    fn push(&mut self, token: Token) {
        let line = self.line;
        self.found.push(Located { token, line });
    }

    /// Passes over so many bytes.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.is_line_start = skipped.ends_with('\n');
        self.rest = rest;
        skipped
    }

    fn skip_space(&mut self) {
        let trimmed = self.rest.trim_start_matches(crate::text::is_space);
        self.skip(self.rest.len() - trimmed.len());
    }

    /// The text up to the next tag, and that tag.
    fn outside(&mut self) -> Result<(), TemplateError> {
        let mut braces = self.rest.match_indices('{').map(|(at, _)| at);
        let is_tag =
            |&at: &usize| matches!(self.rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#'));
        let Some(start) = braces.find(is_tag) else {
            let text = self.skip(self.rest.len()).to_owned();
            self.push(Token::Text(text));
            return Ok(());
        };
        let kind = self.rest.as_bytes()[start + 1];
        let sign = self.rest.as_bytes().get(start + 2).copied();
        let is_line_start = self.is_line_start;
        let text = &self.rest[..start];
        let kept = match sign {
            Some(b'-') => text.trim_end_matches(crate::text::is_space),
            Some(b'+') => text,
            _ if kind == b'{' => text,
            _ => without_indentation(text, is_line_start),
        };
        if !kept.is_empty() {
            self.push(Token::Text(kept.to_owned()));
        }
        let has_sign = matches!(sign, Some(b'-' | b'+'));
        self.skip(start + 2 + usize::from(has_sign));
        match kind {
            b'#' => self.comment(),
            b'{' => {
                self.push(Token::VariableBegin);
                self.inside(&Token::VariableEnd)
            }
            _ if self.raw_begins() => self.raw(),
            _ => {
                self.push(Token::BlockBegin);
                self.inside(&Token::BlockEnd)
            }
        }
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let Some(end) = self.rest.find("#}") else {
            return self.error("a comment has no end");
        };
        let sign = self.rest[..end].chars().next_back();
        self.skip(end + 2);
        self.after_tag(sign);
        Ok(())
    }

    /// Trims what follows a tag: all white space behind `-`, nothing behind `+`, else one line end.
    fn after_tag(&mut self, sign: Option<char>) {
        match sign {
            Some('-') => self.skip_space(),
            Some('+') => {}
            _ if self.rest.starts_with('\n') => drop(self.skip(1)),
            _ => {}
        }
    }

    /// Whether the block that begins here is `raw`.
    fn raw_begins(&self) -> bool {
        let rest = self.rest.trim_start_matches(crate::text::is_space);
        rest.strip_prefix("raw").is_some_and(|rest| {
            let rest = rest.trim_start_matches(crate::text::is_space);
            rest.starts_with("%}") || rest.starts_with("-%}")
        })
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        let end = self.rest.find("%}").unwrap_or_default();
        let is_trimmed = self.rest[..end].ends_with('-');
        self.skip(end + 2);
        if is_trimmed {
            self.skip_space();
        }
        let is_line_start = self.is_line_start;
        let mut from = 0;
        while let Some(found) = self.rest[from..].find("{%") {
            let start = from + found;
            let tag = &self.rest[start + 2..];
            let begin = tag.chars().next();
            let name = tag.strip_prefix(['-', '+']).unwrap_or(tag);
            let name = name.trim_start_matches(crate::text::is_space);
            let behind = name.strip_prefix("endraw");
            let behind = behind.map(|rest| rest.trim_start_matches(crate::text::is_space));
            let sign = behind.and_then(|rest| rest.chars().next());
            let close = behind.map(|rest| rest.strip_prefix(['-', '+']).unwrap_or(rest));
            if let Some(rest) = close.and_then(|rest| rest.strip_prefix("%}")) {
                let text = &self.rest[..start];
                let kept = match begin {
                    Some('-') => text.trim_end_matches(crate::text::is_space),
                    Some('+') => text,
                    _ => without_indentation(text, is_line_start),
                };
                self.push(Token::Text(kept.to_owned()));
                self.skip(self.rest.len() - rest.len());
                self.after_tag(sign);
                return Ok(());
            }
            from = start + 2;
        }
        self.error("`raw` has no `endraw`")
    }

    /// The tokens of a tag, up to its end.
    fn inside(&mut self, end: &Token) -> Result<(), TemplateError> {
        let close = if *end == Token::VariableEnd {
            "}}"
        } else {
            "%}"
        };
        let mut open = Vec::new();
        loop {
            self.skip_space();
            let signed = self.rest.strip_prefix('-').or_else(|| {
                let is_block = *end == Token::BlockEnd;
                self.rest.strip_prefix('+').filter(|_| is_block)
            });
            let is_end = |rest: &str| rest.starts_with(close);
            if open.is_empty() && (is_end(self.rest) || signed.is_some_and(is_end)) {
                let sign = signed
                    .filter(|rest| is_end(rest))
                    .and(self.rest.chars().next());
                self.push(end.clone());
                self.skip(usize::from(sign.is_some()) + 2);
                if *end == Token::BlockEnd || sign == Some('-') {
                    self.after_tag(sign);
                }
                return Ok(());
            }
            let Some(first) = self.rest.chars().next() else {
                return self.error("a tag has no end");
            };
            if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphabetic() {
                let end = |c: char| !(c == '_' || c.is_alphanumeric());
                let length = self.rest.find(end).unwrap_or(self.rest.len());
                let name = self.skip(length).to_owned();
                self.push(Token::Name(name));
            } else if matches!(first, '"' | '\'') {
                self.string(first)?;
            } else {
                self.operator(&mut open)?;
            }
        }
    }

    fn operator(&mut self, open: &mut Vec<&'static str>) -> Result<(), TemplateError> {
        let Some(op) = OPERATORS.into_iter().find(|op| self.rest.starts_with(op)) else {
            let c = self.rest.chars().next().unwrap_or_default();
            return self.error(format!("unexpected character {c:?}"));
        };
        match op {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(op) => {
                return self.error(format!("unexpected '{op}'"));
            }
            _ => {}
        }
        self.push(Token::Op(op));
        self.skip(op.len());
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), TemplateError> {
        let mut is_escaped = false;
        let length = self.rest[1..].find(|c| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let Some(length) = length else {
            return self.error("a text has no closing quote");
        };
        let text = match unescaped(&self.rest[1..=length]) {
            Ok(text) => text,
            Err(message) => return self.error(message),
        };
        self.push(Token::Const(Const::Str(text)));
        self.skip(length + 2);
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let is_attribute = matches!(
            self.found.last(),
            Some(Located {
                token: Token::Op("."),
                ..
            })
        );
        let (length, value) = match (is_attribute, float_length(self.rest)) {
            (false, Some(length)) => {
                let digits = self.rest[..length].replace('_', "");
                (length, digits.parse().ok().map(Const::Float))
            }
            _ => integer(self.rest),
        };
        let Some(value) = value else {
            return self.error(format!("{} is no number that fits", &self.rest[..length]));
        };
        self.push(Token::Const(value));
        self.skip(length);
        Ok(())
    }
}

/// A text without the white space behind its last line end, if there is nothing else.
fn without_indentation(text: &str, is_line_start: bool) -> &str {
    let line = text.rfind('\n').map(|at| at + 1);
    match line.or_else(|| is_line_start.then_some(0)) {
        Some(line) if text[line..].chars().all(crate::text::is_space) => &text[..line],
        _ => text,
    }
}

/// Digits with single underscores between them.
fn digits_length(text: &str, is_digit: impl Fn(char) -> bool) -> usize {
    let mut length = 0;
    for (at, c) in text.char_indices() {
        match c {
            c if is_digit(c) => length = at + 1,
            '_' if at > 0 && length == at => {}
            _ => break,
        }
    }
    length
}

/// Length of the number if it has a point or an exponent.
fn float_length(text: &str) -> Option<usize> {
    let decimal = |text: &str| digits_length(text, |c| c.is_ascii_digit());
    let whole = decimal(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, decimal);
    let mut length = whole + if fraction > 0 { 1 + fraction } else { 0 };
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let sign = exponent.len() - digits.len();
        if decimal(digits) > 0 {
            length += 1 + sign + decimal(digits);
        }
    }
    (length > whole).then_some(length)
}

/// Length and value of a whole number.
fn integer(text: &str) -> (usize, Option<Const>) {
    let prefix = text.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (skipped, radix) = match prefix.as_str() {
        "0x" => (2, 16),
        "0o" => (2, 8),
        "0b" => (2, 2),
        _ => (0, 10),
    };
    let length = skipped + digits_length(&text[skipped..], |c| c.is_digit(radix));
    let digits = text[skipped..length].replace('_', "");
    let value = i128::from_str_radix(&digits, radix).ok();
    (length, value.map(Const::Int))
}

/// The text of a literal, with Python's escapes.
fn unescaped(literal: &str) -> Result<String, String> {
    let mut text = String::with_capacity(literal.len());
    let mut rest = literal.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some(c) = rest.next() else { break };
        let plain = match c {
            '\n' => continue,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => c,
            'x' => code(&mut rest, 2)?,
            'u' => code(&mut rest, 4)?,
            'U' => code(&mut rest, 8)?,
            'N' => return Err("characters cannot be written by their names (\\N)".to_owned()),
            '0'..='7' => octal(c, &mut rest),
            other => {
                text.push('\\');
                other
            }
        };
        text.push(plain);
    }
    Ok(text)
}

fn code(rest: &mut std::str::Chars<'_>, digits: usize) -> Result<char, String> {
    let hex: String = rest.by_ref().take(digits).collect();
    let is_hex = hex.len() == digits && hex.chars().all(|c| c.is_ascii_hexdigit());
    let code = is_hex.then(|| u32::from_str_radix(&hex, 16).ok()).flatten();
    let c = code.and_then(char::from_u32);
    c.ok_or_else(|| format!("{hex:?} is no code of a character"))
}

fn octal(first: char, rest: &mut std::str::Chars<'_>) -> char {
    let mut value = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = rest.clone().next().and_then(|c| c.to_digit(8)) else {
            break;
        };
        rest.next();
        value = value * 8 + digit;
    }
    char::from_u32(value).unwrap_or_default()
}
