//! Literals of Python modules, in which some publishers give their data. Nothing is executed.

use std::iter::Peekable;
use std::path::Path;
use std::str::CharIndices;

use serde_json::{Map, Number, Value};

use crate::DataError;
use crate::corpus::read::text;

/// Deepest nesting of literals.
const DEEPEST: usize = 32;

/// Values that a module assigns to names on its top level, in order: texts, numbers, lists, tuples
/// and dictionaries of texts. Comments and unnamed texts are skipped.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that holds anything else.
pub fn assignments(path: &Path) -> Result<Value, DataError> {
    let text = text(path)?;
    let mut reader = Reader {
        chars: text.char_indices().peekable(),
        end: text.len(),
    };
    reader.module().map_err(|(at, reason)| {
        let line = text[..at].matches('\n').count() + 1;
        let hint = ["", "; the file is cut short, fetch it again"][usize::from(at == text.len())];
        DataError::line(path, line, format!("{reason}{hint}"))
    })
}

/// Byte and description of a mistake.
type Mistake = (usize, String);

struct Reader<'a> {
    chars: Peekable<CharIndices<'a>>,
    end: usize,
}

impl Reader<'_> {
    fn module(&mut self) -> Result<Value, Mistake> {
        let mut found = Map::new();
        while let Some(first) = self.next_token() {
            if first == '"' || first == '\'' {
                self.texts()?;
                continue;
            }
            let name = self.word();
            if name.is_empty() {
                return Err(self.mistake("is no assignment of a literal to a name"));
            }
            self.expect('=')?;
            let value = self.value(0)?;
            found.insert(name, value);
        }
        Ok(Value::Object(found))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Mistake> {
        if depth == DEEPEST {
            return Err(self.mistake("is nested too deep"));
        }
        match self.next_token() {
            Some('"' | '\'') => self.texts().map(Value::String),
            Some('[') => self.list(']', depth),
            Some('(') => self.list(')', depth),
            Some('{') => self.dictionary(depth),
            _ => self.number(),
        }
    }

    fn list(&mut self, close: char, depth: usize) -> Result<Value, Mistake> {
        self.chars.next();
        let mut values = Vec::new();
        while !self.closes(close)? {
            values.push(self.value(depth + 1)?);
            self.separator(close)?;
        }
        Ok(Value::Array(values))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, Mistake> {
        self.chars.next();
        let mut fields = Map::new();
        while !self.closes('}')? {
            let Value::String(key) = self.value(depth + 1)? else {
                return Err(self.mistake("has a key that is no text"));
            };
            self.expect(':')?;
            let value = self.value(depth + 1)?;
            fields.insert(key, value);
            self.separator('}')?;
        }
        Ok(Value::Object(fields))
    }

    fn number(&mut self) -> Result<Value, Mistake> {
        let mut digits = String::new();
        while let Some((_, char)) = self
            .chars
            .next_if(|(_, char)| char.is_ascii_digit() || ".-+eE".contains(*char))
        {
            digits.push(char);
        }
        let number: Result<Number, _> = digits.parse();
        number
            .map(Value::Number)
            .map_err(|_| self.mistake("is no text, number, list, tuple or dictionary"))
    }

    /// One or more adjacent texts, joined.
    fn texts(&mut self) -> Result<String, Mistake> {
        let mut whole = String::new();
        while let Some(quote @ ('"' | '\'')) = self.next_token() {
            self.chars.next();
            let is_same = |&(_, char): &(usize, char)| char == quote;
            if self.chars.next_if(is_same).is_some() {
                // An empty text, or the second of three quotes.
                if self.chars.next_if(is_same).is_some() {
                    self.long_text(quote, &mut whole)?;
                }
                continue;
            }
            loop {
                match self.chars.next() {
                    Some((_, char)) if char == quote => break,
                    Some((_, '\\')) => self.escaped(&mut whole)?,
                    Some((_, '\n')) | None => return Err(self.mistake("has a text without end")),
                    Some((_, char)) => whole.push(char),
                }
            }
        }
        Ok(whole)
    }

    /// The rest of a text, up to three quotes.
    fn long_text(&mut self, quote: char, whole: &mut String) -> Result<(), Mistake> {
        let mut quotes = 0;
        while quotes < 3 {
            let Some((_, char)) = self.chars.next() else {
                return Err(self.mistake("has a text without end"));
            };
            quotes = if char == quote { quotes + 1 } else { 0 };
            match char {
                '\\' => self.escaped(whole)?,
                char => whole.push(char),
            }
        }
        whole.truncate(whole.len() - 3);
        Ok(())
    }

    fn escaped(&mut self, whole: &mut String) -> Result<(), Mistake> {
        let char = match self.chars.next() {
            Some((_, '\n')) => return Ok(()),
            Some((_, 'n')) => '\n',
            Some((_, 't')) => '\t',
            Some((_, 'x')) => self.code_point(2)?,
            Some((_, 'u')) => self.code_point(4)?,
            Some((_, 'U')) => self.code_point(8)?,
            Some((_, char @ ('\\' | '"' | '\''))) => char,
            _ => return Err(self.mistake("has an escape that is not understood")),
        };
        whole.push(char);
        Ok(())
    }

    fn code_point(&mut self, digits: usize) -> Result<char, Mistake> {
        let mut digits = (0..digits).map(|_| {
            let digit = self.chars.next_if(|(_, char)| char.is_ascii_hexdigit());
            digit.and_then(|(_, char)| char.to_digit(16))
        });
        let number = digits.try_fold(0_u32, |number, digit| {
            number.checked_mul(16)?.checked_add(digit?)
        });
        let char = number.and_then(char::from_u32);
        char.ok_or_else(|| self.mistake("has an escape that is no character"))
    }

    /// Peeks at the first character that is neither white space nor part of a comment.
    fn next_token(&mut self) -> Option<char> {
        loop {
            match self.chars.peek()?.1 {
                '#' => while self.chars.next_if(|(_, char)| *char != '\n').is_some() {},
                char if char.is_whitespace() => {
                    self.chars.next();
                }
                char => return Some(char),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some((_, char)) = self
            .chars
            .next_if(|(_, char)| char.is_alphanumeric() || *char == '_')
        {
            word.push(char);
        }
        word
    }

    fn closes(&mut self, close: char) -> Result<bool, Mistake> {
        match self.next_token() {
            None => Err(self.mistake(&format!("lacks {close}"))),
            Some(char) if char == close => Ok(self.chars.next().is_some()),
            Some(_) => Ok(false),
        }
    }

    /// Consumes a comma, or peeks at the end.
    fn separator(&mut self, close: char) -> Result<(), Mistake> {
        match self.next_token() {
            Some(char) if char == close => Ok(()),
            _ => self.expect(','),
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), Mistake> {
        match self.next_token() {
            Some(char) if char == wanted => {
                self.chars.next();
                Ok(())
            }
            _ => Err(self.mistake(&format!("lacks {wanted}"))),
        }
    }

    fn mistake(&mut self, reason: &str) -> Mistake {
        let at = self.chars.peek().map_or(self.end, |(at, _)| *at);
        (at, reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        assignments(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn literals_of_all_kinds() {
        let module = r#"
"""About "this"
module."""
# A comment = 1
NUMBERS = [11, -2.5, ]
TEXTS = {
    "a": "one "  # goes on
         'two\n\u0995\x41\'',
    'b': {"1": (), "2": ("", """x"y"""),},
}
"#;
        let expected = json!({
            "NUMBERS": [11, -2.5],
            "TEXTS": { "a": "one two\n\u{995}A'", "b": { "1": [], "2": ["", "x\"y"] } },
        });
        assert_eq!(read(module), Ok(expected));
        assert_eq!(read(""), Ok(json!({})));
    }

    #[test]
    fn everything_else_is_an_error_with_its_line() {
        for (module, words) in [
            ("import os\n", ", line 1: lacks ="),
            ("\nX = os.sep", ", line 2: is no text, number"),
            ("X = {\n'a': 1", ", line 2: lacks ,; the file is cut short"),
            (
                "X = ['a",
                ", line 1: has a text without end; the file is cut short",
            ),
            ("X = 'a\n'", ", line 2: has a text without end"),
            ("X = '''a''", "has a text without end"),
            ("X = {1: 2}", "has a key that is no text"),
            ("X = '\\ud800'", "is no character"),
            ("X = '\\q'", "is not understood"),
            (
                &"X = "
                    .chars()
                    .chain("[".repeat(99).chars())
                    .collect::<String>(),
                "too deep",
            ),
        ] {
            let error = read(module).unwrap_err();
            assert!(error.contains(words), "{module}: {error}");
        }
    }
}
