//! Filters that make or take numbers.

use crate::args::{Args, int_of};
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::format::fixed;
use crate::value::Value;

pub(super) fn run(
    name: &str,
    value: &Value,
    args: &Args,
    budget: &Budget,
) -> Outcome<Option<Value>> {
    Ok(Some(match name {
        "abs" => {
            args.bind(name, &[])?;
            match value {
                Value::Float(value) => Value::Float(value.abs()),
                Value::Undefined(message) => return fail(&**message),
                _ => match value.as_int() {
                    Some(value) => Value::Int(value.saturating_abs()),
                    None => {
                        let name = value.type_name();
                        return fail(format!("bad operand type for abs(): '{name}'"));
                    }
                },
            }
        }
        "int" => {
            let [default, base] = args.bind(name, &["default", "base"])?;
            let base = int_of(name, base)?.unwrap_or(10);
            match whole(value, base)? {
                Some(value) => Value::Int(value),
                None => default.unwrap_or(Value::Int(0)),
            }
        }
        "float" => {
            let [default] = args.bind(name, &["default"])?;
            match float(value)? {
                Some(value) => Value::Float(value),
                None => default.unwrap_or(Value::Float(0.0)),
            }
        }
        "round" => round(value, args)?,
        "filesizeformat" => {
            let [binary] = args.bind(name, &["binary"])?;
            let Some(bytes) = float(value)? else {
                return fail("could not convert to float");
            };
            Value::str(file_size(bytes, super::is_set(binary)))
        }
        "length" | "count" => {
            args.bind(name, &[])?;
            if let Value::Str(text) = value {
                budget.text(text.len())?;
            }
            match value.len() {
                Some(length) => Value::Int(length as i128),
                None => {
                    let name = value.type_name();
                    return fail(format!("object of type '{name}' has no len()"));
                }
            }
        }
        _ => return Ok(None),
    }))
}

/// `int(value)`; `None` if it is no number.
fn whole(value: &Value, base: i128) -> Outcome<Option<i128>> {
    let truncated = |value: f64| (value.abs() < 1e38).then_some(value.trunc() as i128);
    Ok(match value {
        Value::Undefined(message) => return fail(&**message),
        Value::Float(value) if value.is_nan() => None,
        Value::Float(value) => truncated(*value),
        Value::Str(text) => match digits(text, base) {
            Some(value) => Some(value),
            None => parse_float(text).and_then(truncated),
        },
        other => other.as_int(),
    })
}

/// A text of digits as a number, with a sign, a prefix of its base, and underscores between digits.
fn digits(text: &str, base: i128) -> Option<i128> {
    let text = text.trim_matches(crate::text::is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefix = unsigned.get(..2).unwrap_or_default().to_ascii_lowercase();
    let prefixed = match prefix.as_str() {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => 0,
    };
    let (digits, base) = match (prefixed, base) {
        (0, 0) => (unsigned, 10),
        (found, 0) => (&unsigned[2..], found),
        (found, base) if found == base && found != 0 => (&unsigned[2..], base),
        _ => (unsigned, base),
    };
    let base = u32::try_from(base)
        .ok()
        .filter(|base| (2..=36).contains(base))?;
    let is_sound = !digits.is_empty()
        && digits.starts_with(|c: char| c != '_' && c != '+' && c != '-')
        && !digits.ends_with('_')
        && !digits.contains("__");
    let plain: String = digits.chars().filter(|&c| c != '_').collect();
    let value = i128::from_str_radix(&plain, base)
        .ok()
        .filter(|_| is_sound)?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// `float(value)`; `None` if it is no number.
fn float(value: &Value) -> Outcome<Option<f64>> {
    Ok(match value {
        Value::Undefined(message) => return fail(&**message),
        Value::Str(text) => parse_float(text),
        other => other.as_float(),
    })
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(crate::text::is_space);
    let digits: String = text.chars().filter(|&c| c != '_').collect();
    // Rust takes the same words and digits as Python, apart from underscores.
    digits.parse().ok()
}

/// `round(value, precision)`, to the even digit of two that are as near.
fn round(value: &Value, args: &Args) -> Outcome<Value> {
    let [precision, method] = args.bind("round", &["precision", "method"])?;
    let precision = int_of("round", precision)?.unwrap_or(0).clamp(-400, 400) as i32;
    let method = method.unwrap_or_else(|| Value::str("common"));
    let number = match value {
        Value::Undefined(message) => return fail(&**message),
        _ => value.as_float(),
    };
    let Some(number) = number else {
        let name = value.type_name();
        return fail(format!("type {name} doesn't define __round__ method"));
    };
    let power = 10_f64.powi(precision);
    match (method.as_str(), value.as_int()) {
        (Some("common"), Some(whole)) if precision >= 0 => Ok(Value::Int(whole)),
        (Some("common"), Some(whole)) => {
            let Some(unit) = 10_i128.checked_pow(precision.unsigned_abs()) else {
                return Ok(Value::Int(0));
            };
            let (below, rest) = (whole.div_euclid(unit), whole.rem_euclid(unit));
            let is_up = rest * 2 > unit || (rest * 2 == unit && below % 2 != 0);
            Ok(Value::Int((below + i128::from(is_up)) * unit))
        }
        (Some("common"), None) if precision >= 0 && number.is_finite() => {
            let text = fixed(number, precision.unsigned_abs() as usize);
            Ok(Value::Float(text.parse().unwrap_or(number)))
        }
        (Some("common"), None) => Ok(Value::Float((number * power).round_ties_even() / power)),
        (Some(method @ ("ceil" | "floor")), _) => {
            let scaled = number * power;
            let scaled = if method == "ceil" {
                scaled.ceil()
            } else {
                scaled.floor()
            };
            Ok(Value::Float(scaled / power))
        }
        _ => fail("method must be common, ceil or floor"),
    }
}

fn file_size(bytes: f64, is_binary: bool) -> String {
    let (base, i) = if is_binary {
        (1024.0_f64, "i")
    } else {
        (1000.0, "")
    };
    if bytes == 1.0 {
        return "1 Byte".to_owned();
    }
    if bytes < base {
        return format!("{} Bytes", bytes.trunc());
    }
    let prefixes = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let unit = |at: usize| base.powi(at as i32 + 2);
    let at = (0..prefixes.len()).find(|&at| bytes < unit(at));
    let at = at.unwrap_or(prefixes.len() - 1);
    let prefix = if is_binary {
        prefixes[at].to_uppercase()
    } else {
        prefixes[at].to_owned()
    };
    format!("{} {prefix}{i}B", fixed(base * bytes / unit(at), 1))
}
