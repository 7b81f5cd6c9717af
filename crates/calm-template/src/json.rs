//! Values as JSON, as Python's `json.dumps` writes them.

use std::fmt::Write;

use crate::args::Args;
use crate::budget::Budget;
use crate::compare::sort_by_key;
use crate::error::{Outcome, fail};
use crate::repr;
use crate::value::Value;

/// The filter of `transformers`: Jinja's own would escape for HTML and sort keys.
pub(crate) fn tojson(value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ensure_ascii, indent, separators, sort_keys] = args.bind("tojson", &names)?;
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.to_string()),
        Some(count) => match count.as_int() {
            Some(count) => {
                let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                budget.text(count)?;
                Some(" ".repeat(count))
            }
            None => return fail("tojson: indent is a number or a text"),
        },
    };
    let comma = if indent.is_some() { "," } else { ", " };
    let separators = match separators {
        None | Some(Value::None) => [comma.to_owned(), ": ".to_owned()],
        Some(Value::Tuple(pair) | Value::List(pair)) => match &pair.values[..] {
            [Value::Str(item), Value::Str(key)] => [item.to_string(), key.to_string()],
            _ => return fail("tojson: separators are two texts"),
        },
        Some(_) => return fail("tojson: separators are two texts"),
    };
    let is_set = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let writer = Writer {
        ensure_ascii: is_set(ensure_ascii),
        sort_keys: is_set(sort_keys),
        separators,
        indent,
        budget,
    };
    let mut text = String::new();
    writer.write(&mut text, value, 0)?;
    Ok(Value::str(text))
}

struct Writer<'a> {
    ensure_ascii: bool,
    sort_keys: bool,
    /// Between items, and between key and value.
    separators: [String; 2],
    indent: Option<String>,
    budget: &'a Budget,
}

impl Writer<'_> {
    fn write(&self, text: &mut String, value: &Value, depth: usize) -> Outcome<()> {
        self.budget.step()?;
        match value {
            Value::None => text.push_str("null"),
            Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => text.push_str(&value.to_string()),
            Value::Float(value) => text.push_str(&float(*value)),
            Value::Str(string) => self.write_string(text, string)?,
            Value::List(items) | Value::Tuple(items) => {
                self.write_all(text, ['[', ']'], &items.values, depth, |text, item| {
                    self.write(text, item, depth + 1)
                })?;
            }
            Value::Dict(dict) => {
                let mut items = dict.items()?;
                if self.sort_keys {
                    items = sort_by_key(items, false, self.budget, |item| Ok(key_of(item)))?;
                }
                self.write_all(text, ['{', '}'], &items, depth, |text, item| {
                    let Value::Tuple(pair) = item else {
                        return Ok(());
                    };
                    self.write_key(text, &pair.values[0])?;
                    text.push_str(&self.separators[1]);
                    self.write(text, &pair.values[1], depth + 1)
                })?;
            }
            _ => {
                let name = value.type_name();
                return fail(format!(
                    "tojson: a value of type {name} is not JSON serializable"
                ));
            }
        }
        Ok(())
    }

    /// Python makes texts of numbers and constants.
    fn write_key(&self, text: &mut String, key: &Value) -> Outcome<()> {
        match key {
            Value::Str(key) => self.write_string(text, key),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                text.push('"');
                self.write(text, key, 0)?;
                text.push('"');
                Ok(())
            }
            _ => fail(format!(
                "tojson: keys must be str, int, float, bool or None, not {}",
                key.type_name()
            )),
        }
    }

    fn write_all(
        &self,
        text: &mut String,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        mut write: impl FnMut(&mut String, &Value) -> Outcome<()>,
    ) -> Outcome<()> {
        text.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.budget.text(self.separators[0].len())?;
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

    fn break_line(&self, text: &mut String, depth: usize) -> Outcome<()> {
        let Some(indent) = &self.indent else {
            return Ok(());
        };
        self.budget.text(indent.len() * depth)?;
        text.push('\n');
        text.push_str(&indent.repeat(depth));
        Ok(())
    }

    fn write_string(&self, text: &mut String, string: &str) -> Outcome<()> {
        self.budget.text(string.len())?;
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
                        let _ = write!(text, "\\u{unit:04x}");
                    }
                }
                c => text.push(c),
            }
        }
        text.push('"');
        Ok(())
    }
}

fn key_of(item: &Value) -> Value {
    match item {
        Value::Tuple(pair) => pair.values[0].clone(),
        other => other.clone(),
    }
}

fn float(value: f64) -> String {
    match repr::float(value).as_str() {
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        text => text.to_owned(),
    }
}
