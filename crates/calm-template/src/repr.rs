//! Values as texts: Python's `str` and `repr`.

use std::fmt::Write;

use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::value::{Object, Value, View};

/// `str(value)`: what printing it writes.
pub(crate) fn text(value: &Value, budget: &Budget) -> Outcome<String> {
    match value {
        Value::Str(text) => {
            budget.text(text.len())?;
            Ok(text.to_string())
        }
        Value::Undefined(_) => Ok(String::new()),
        other => repr(other, budget),
    }
}

pub(crate) fn repr(value: &Value, budget: &Budget) -> Outcome<String> {
    let mut out = String::new();
    write_repr(&mut out, value, budget)?;
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value, budget: &Budget) -> Outcome<()> {
    budget.step()?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Str(text) => {
            budget.text(text.len())?;
            write_quoted(out, text);
        }
        Value::List(items) => write_items(out, ["[", "]"], &items.values, budget)?,
        Value::Tuple(items) => {
            let end = if items.values.len() == 1 { ",)" } else { ")" };
            write_items(out, ["(", end], &items.values, budget)?;
        }
        Value::Dict(dict) => {
            out.push('{');
            for (at, (key, value)) in dict.entries.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_repr(out, key, budget)?;
                out.push_str(": ");
                write_repr(out, value, budget)?;
            }
            out.push('}');
        }
        Value::Range(range) => {
            let step = range.step;
            let step = if step == 1 {
                String::new()
            } else {
                format!(", {step}")
            };
            let _ = write!(out, "range({}, {}{step})", range.start, range.stop);
        }
        Value::View(kind, dict) => {
            let values = value.iterate(budget)?;
            debug_assert_eq!(values.len(), dict.entries.len());
            let name = match kind {
                View::Keys => "dict_keys([",
                View::Values => "dict_values([",
                View::Items => "dict_items([",
            };
            write_items(out, [name, "])"], &values, budget)?;
        }
        Value::Object(object) => match &**object {
            Object::Namespace(namespace) => {
                out.push_str("<Namespace {");
                let fields = namespace.fields.borrow().clone();
                budget.items(fields.len())?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    write_quoted(out, name);
                    out.push_str(": ");
                    budget.nested(|| write_repr(out, value, budget))?;
                }
                out.push_str("}>");
            }
            Object::Loop(state) => {
                let (at, all) = (state.at.get() + 1, state.items.values.len());
                let _ = write!(out, "<LoopContext {at}/{all}>");
            }
            Object::Macro(closure) => {
                let _ = write!(out, "<Macro '{}'>", closure.name());
            }
            _ => return unprintable(value),
        },
        Value::Iterator(..) => return unprintable(value),
    }
    Ok(())
}

/// Python prints these with their address in memory.
fn unprintable<T>(value: &Value) -> Outcome<T> {
    let name = value.type_name();
    fail(format!(
        "a {name} has no text; did you mean `| list`, or a call?"
    ))
}

fn write_items(
    out: &mut String,
    [open, close]: [&str; 2],
    items: &[Value],
    budget: &Budget,
) -> Outcome<()> {
    out.push_str(open);
    for (at, item) in items.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write_repr(out, item, budget)?;
    }
    out.push_str(close);
    Ok(())
}

fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if crate::text::is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..0x100 => write!(out, "\\x{code:02x}"),
                    0x100..0x1_0000 => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// The shortest digits that give the number back: `1e16` is `1e+16`.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let sign = if exponent < 0 { '-' } else { '+' };
            let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        None => text,
    }
}
