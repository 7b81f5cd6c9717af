//! Result of a command: text for people, JSON for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use calm_lm::compose::Connection;
use calm_lm::terminal::{silence, visible, write_line};
use indicatif::HumanBytes;
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
    /// A line about the result, for standard error.
    note: Option<String>,
}

impl Report {
    /// A result as text, in which every line is ended, and as a value that becomes a JSON object.
    pub(crate) fn new(text: impl Into<String>, result: impl Serialize) -> Self {
        Self {
            text: text.into(),
            json: serde_json::to_value(result).expect("results have texts as keys"),
            is_negative: false,
            note: None,
        }
    }

    /// The same with a line about it on standard error, behind the result.
    pub(crate) fn noting(self, note: Option<String>) -> Self {
        Self { note, ..self }
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
        silence::heard();
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        match written.and_then(|()| stdout.flush()) {
            // `calm … | head` has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(error)),
            _ => {
                if let Some(note) = &self.note {
                    write_line(note);
                }
                Ok(code)
            }
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

/// A number for people, who read three digits of it: `329 k`, `411 M`, `7.24 B`.
pub(crate) fn count(number: usize) -> String {
    const UNITS: [(f64, &str); 3] = [(1e3, "k"), (1e6, "M"), (1e9, "B")];
    if number < 10_000 {
        return number.to_string();
    }
    let number = number as f64;
    // What would be rounded to 1000 of a unit is 1 of the next.
    let unit = UNITS.iter().find(|(unit, _)| number < 999.5 * unit);
    let (unit, name) = unit.unwrap_or(&UNITS[2]);
    let value = number / unit;
    let digits = usize::from(value < 99.95) + usize::from(value < 9.995);
    format!("{value:.digits$} {name}")
}

/// A size for people: `1.53 GiB`.
pub(crate) fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// Lines of a table, one for each connection of every augmenting model.
pub(crate) fn connection_rows<C: AsRef<[Connection]>>(models: &[C]) -> Vec<(&'static str, String)> {
    let lines = models.iter().enumerate().flat_map(|(number, connections)| {
        let model = model_name(number, models.len());
        let connections = connections.as_ref().iter();
        connections.map(move |connection| connection_name(&model, *connection))
    });
    let names = std::iter::once("connections").chain(std::iter::repeat(""));
    names.zip(lines).collect()
}

/// `m_A`, or one of several.
pub(crate) fn model_name(number: usize, of: usize) -> String {
    match of {
        1 => "m_A".to_owned(),
        _ => format!("m_A{}", number + 1),
    }
}

/// `block 4 of m_A → block 7`.
pub(crate) fn connection_name(model: &str, connection: Connection) -> String {
    let (from, to) = (connection.augmenting_block, connection.anchor_block);
    format!("block {from} of {model} → block {to}")
}

/// A number with three digits that count, or all of those before its point.
pub(crate) fn significant(value: f64) -> String {
    let magnitude = value.abs().max(1e-6).log10().floor();
    let digits = (2.0 - magnitude).clamp(0.0, 8.0) as usize;
    format!("{value:.digits$}")
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
    fn people_read_three_digits() {
        for (number, text) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0 k"),
            (329_216, "329 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (9_994_000, "9.99 M"),
            (9_996_000, "10.0 M"),
            (410_517_504, "411 M"),
            (7_241_732_096, "7.24 B"),
            (2_000_000_000_000, "2000 B"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn connections_say_where_they_lead() {
        let one = Connection {
            augmenting_block: 4,
            anchor_block: 7,
        };
        let rows = connection_rows(&[vec![one]]);
        assert_eq!(
            rows,
            [("connections", "block 4 of m_A → block 7".to_owned())]
        );
        let rows = connection_rows(&[vec![one], vec![one]]);
        assert_eq!(rows[1], ("", "block 4 of m_A2 → block 7".to_owned()));
    }

    #[test]
    fn json_begins_with_its_version() {
        let text = Report::new("", json!({"n": 3})).json().to_string();
        assert_eq!(text, r#"{"schema":1,"n":3}"#);
    }
}
