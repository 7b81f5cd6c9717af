//! Result of a command: text for people, JSON for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use calm_lm::terminal::visible;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// Version of the layout of what `--json` prints.
const SCHEMA: u32 = 1;

/// Result of a command that did what it was asked to.
#[derive(Debug)]
pub(crate) struct Report {
    text: String,
    json: Value,
    is_negative: bool,
}

impl Report {
    /// A result as text, in which every line is ended, and as a value that becomes a JSON object.
    pub(crate) fn new(text: impl Into<String>, result: impl Serialize) -> Self {
        Self {
            text: text.into(),
            json: serde_json::to_value(result).expect("results have texts as keys"),
            is_negative: false,
        }
    }

    /// Exit code 1 unless `holds`.
    pub(crate) fn judged(self, holds: bool) -> Self {
        let is_negative = !holds;
        Self {
            is_negative,
            ..self
        }
    }

    /// The result for programs, with the version of its layout.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::from_iter([("schema".to_owned(), json!(SCHEMA))]);
        if let Value::Object(fields) = &self.json {
            all.extend(fields.clone());
        }
        Value::Object(all)
    }

    /// Prints it on standard output.
    pub(crate) fn print(self, as_json: bool) -> Result<ExitCode, Failure> {
        let code = ExitCode::from(u8::from(self.is_negative));
        let text = if as_json {
            format!("{:#}\n", self.json())
        } else {
            self.text
        };
        // Programs and files get every byte of a model's text.
        let text = match io::stdout().is_terminal() {
            true => visible(&text),
            false => Cow::Borrowed(&*text),
        };
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            // `calm … | head` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
            Err(source) => Err(Failure::Io {
                origin: "standard output".to_owned(),
                source,
            }),
            Ok(()) => Ok(code),
        }
    }
}

/// Names and values in this order, as JSON an object.
#[derive(Debug)]
pub(crate) struct Fields<T>(pub(crate) Vec<(String, T)>);

impl<T: Serialize> Serialize for Fields<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A value as `--json` prints it; a number that is none is null.
pub(crate) fn shown(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("results have texts as keys");
    value.to_string()
}

/// Lines of names and values, the values in one column.
pub(crate) fn table<N: AsRef<str>>(rows: &[(N, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.as_ref().chars().count());
    let width = width.max().unwrap_or(0) + 2;
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{:width$}{value}\n", name.as_ref()));
    lines.collect()
}

/// Lines of words, those at the same place below each other.
pub(crate) fn columns(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let widths = lines.iter().filter_map(|line| line.get(column));
        widths.map(|word| word.chars().count()).max().unwrap_or(0) + 2
    };
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let text = lines.iter().map(|line| {
        let words = line.iter().zip(&widths);
        let words = words.map(|(word, width)| format!("{word:width$}"));
        format!("{}\n", words.collect::<String>().trim_end())
    });
    text.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_one_column() {
        let text = table(&[("a", "1".to_owned()), ("m_A⊕B", "2".to_owned())]);
        assert_eq!(text, "a      1\nm_A⊕B  2\n");
    }

    #[test]
    fn json_begins_with_its_version() {
        let text = Report::new("", json!({"n": 3})).json().to_string();
        assert_eq!(text, r#"{"schema":1,"n":3}"#);
    }
}
