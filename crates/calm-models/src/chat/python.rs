//! Methods of Python that templates expect.

use std::fmt::Write;

use chrono::{DateTime, Local, TimeZone};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Python's own limit is about the same.
const MAX_DEPTH: usize = 500;

/// Bytes of a text that one unit of fuel pays for.
const BYTES_PER_FUEL: usize = 64;

/// Methods of Python's texts, lists and dictionaries.
pub(super) fn call_method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let ("format", Some(format)) = (method, value.as_str()) {
        state.consume_fuel(format_bytes(format, args) / BYTES_PER_FUEL as u64)?;
    }
    unknown_method_callback(state, value, method, args)
}

/// At most so many bytes come of `str.format`, which the engine does not pay for ahead: every number
/// may be a width, and every field the longest argument.
fn format_bytes(format: &str, args: &[Value]) -> u64 {
    let numbers = format.split(|c: char| !c.is_ascii_digit());
    let widths = numbers
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add);
    let longest = args.iter().filter_map(Value::as_str).map(str::len).max();
    let fields = format.matches('{').count() as u64;
    widths.saturating_add(fields.saturating_mul(longest.unwrap_or(0) as u64))
}

/// `datetime.now().strftime(format)`.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    strftime(&Local::now(), format)
}

fn strftime<T: TimeZone<Offset: std::fmt::Display>>(
    time: &DateTime<T>,
    format: &str,
) -> Result<String, Error> {
    let mut text = String::new();
    // The one way to learn of a format that is none.
    write!(text, "{}", time.format(format)).map_err(|_| {
        let reason = format!("strftime_now: {format:?} is no format");
        Error::new(ErrorKind::InvalidOperation, reason)
    })?;
    Ok(text)
}

/// `json.dumps(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, which
/// escapes nothing for HTML.
#[allow(
    clippy::needless_pass_by_value,
    reason = "what a filter of the engine gets"
)]
pub(super) fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let indent = indent.filter(|indent| !indent.is_none()).map(indentation);
    let indent = indent.transpose()?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let comma = if indent.is_some() { "," } else { ", " };
    let writer = JsonWriter {
        state,
        ensure_ascii: options
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        separators: match separators.as_deref() {
            None => [comma.to_owned(), ": ".to_owned()],
            Some([item, key]) => [item.clone(), key.clone()],
            Some(_) => {
                let reason = "tojson: separators are two texts";
                return Err(Error::new(ErrorKind::InvalidOperation, reason));
            }
        },
        indent,
    };
    options.assert_all_used()?;
    let mut text = String::new();
    writer.write(&mut text, value, 0)?;
    Ok(text)
}

/// A number of spaces, or the text itself.
fn indentation(indent: Value) -> Result<String, Error> {
    match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(" ".repeat(u8::try_from(indent)?.into())),
    }
}

struct JsonWriter<'a, 'template, 'env> {
    state: &'a State<'template, 'env>,
    ensure_ascii: bool,
    sort_keys: bool,
    /// Between items, and between key and value.
    separators: [String; 2],
    indent: Option<String>,
}

impl JsonWriter<'_, '_, '_> {
    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            let reason = "tojson: a value is nested too deep";
            return Err(Error::new(ErrorKind::InvalidOperation, reason));
        }
        let before = text.len();
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => text.push_str(&number(value)),
            ValueKind::String => self.write_string(text, value.as_str().unwrap_or_default()),
            ValueKind::Seq => self.write_items(text, value, depth)?,
            ValueKind::Map => self.write_fields(text, value, depth)?,
            kind => {
                let reason = format!("tojson: a value of type {kind} cannot be written as JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, reason));
            }
        }
        let bytes = text.len().saturating_sub(before);
        self.state.consume_fuel((1 + bytes / BYTES_PER_FUEL) as u64)
    }

    fn write_items(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let items: Vec<Value> = value.try_iter()?.collect();
        self.write_all(text, ['[', ']'], &items, depth, |text, item| {
            self.write(text, item, depth + 1)
        })
    }

    fn write_fields(&self, text: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        self.write_all(text, ['{', '}'], &keys, depth, |text, key| {
            match key.as_str() {
                Some(key) => self.write_string(text, key),
                // Python makes texts of numbers, too.
                None => {
                    text.push('"');
                    self.write(text, key, depth + 1)?;
                    text.push('"');
                }
            }
            text.push_str(&self.separators[1]);
            self.write(text, &value.get_item(key)?, depth + 1)
        })
    }

    fn write_all(
        &self,
        text: &mut String,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        mut write: impl FnMut(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        text.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                text.push_str(&self.separators[0]);
            }
            self.break_line(text, depth + 1)?;
            write(text, item)?;
        }
        if !items.is_empty() {
            self.break_line(text, depth)?;
        }
        text.push(close);
        Ok(())
    }

    fn break_line(&self, text: &mut String, depth: usize) -> Result<(), Error> {
        let Some(indent) = &self.indent else {
            return Ok(());
        };
        let bytes = indent.len() * depth;
        self.state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)?;
        text.push('\n');
        text.push_str(&indent.repeat(depth));
        Ok(())
    }

    fn write_string(&self, text: &mut String, string: &str) {
        text.push('"');
        for c in string.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => text.push(c),
            }
        }
        text.push('"');
    }
}

/// As Python writes numbers: `1e16` is `1e+16`.
pub(super) fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else {
        return value.to_string();
    };
    if !float.is_finite() {
        let sign = if float < 0.0 { "-" } else { "" };
        return if float.is_nan() {
            "NaN".to_owned()
        } else {
            format!("{sign}Infinity")
        };
    }
    let text = format!("{float:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;

    #[test]
    fn times_are_written_as_python_writes_them() {
        let golden = include_str!("../../tests/fixtures/text/times.json");
        let golden: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(golden).unwrap();
        let time = Utc.with_ymd_and_hms(2024, 7, 6, 9, 5, 3).unwrap();
        for (format, expected) in &golden {
            assert_eq!(strftime(&time, format).unwrap(), *expected, "{format}");
        }
        assert!(golden.len() > 5);
    }
}
