//! Functions that every template may call.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use chrono::{DateTime, Local, TimeZone};

use crate::args::{Args, required, text_of};
use crate::budget::Budget;
use crate::error::{ErrorKind, Outcome, fail};
use crate::repr;
use crate::value::{Dict, Namespace, Object, Range, Value};

const NAMES: [&str; 7] = [
    "cycler",
    "dict",
    "joiner",
    "namespace",
    "raise_exception",
    "range",
    "strftime_now",
];

/// Numbers of the longest range, as in Jinja's sandbox.
const LONGEST_RANGE: usize = 100_000;

pub(crate) fn find(name: &str) -> Option<Value> {
    let known = NAMES.iter().find(|known| **known == name)?;
    Some(Value::function(known))
}

pub(crate) fn call(name: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    match name {
        "raise_exception" => {
            let [message] = args.bind(name, &["message"])?;
            let message = repr::text(&required(name, "message", message)?, budget)?;
            Err(ErrorKind::Raised(message))
        }
        "strftime_now" => {
            let [format] = args.bind(name, &["format"])?;
            let format = text_of(name, &required(name, "format", format)?)?;
            Ok(Value::str(strftime(&Local::now(), &format)?))
        }
        "range" => range(args),
        "dict" => Ok(Value::Dict(Rc::new(dict(args, budget)?))),
        "namespace" => {
            let namespace = Namespace::default();
            for (name, value) in dict(args, budget)?.entries {
                namespace.set(&text_of("namespace", &name)?, value)?;
            }
            Ok(Value::Object(Rc::new(Object::Namespace(namespace))))
        }
        "cycler" => {
            if args.positional.is_empty() || !args.named.is_empty() {
                return fail("at least one item has to be provided");
            }
            // A list of them refuses what is nested too deep.
            Value::list(args.positional.clone())?;
            let items = args.positional.clone();
            Ok(Value::Object(Rc::new(Object::Cycler {
                items,
                at: Cell::new(0),
            })))
        }
        _ => {
            let [separator] = args.bind(name, &["sep"])?;
            let separator = separator.unwrap_or_else(|| Value::str(", "));
            let is_used = Cell::new(false);
            Ok(Value::Object(Rc::new(Object::Joiner {
                separator,
                is_used,
            })))
        }
    }
}

/// `dict(mapping)`, `dict(pairs)`, with further keys by name.
fn dict(args: &Args, budget: &Budget) -> Outcome<Dict> {
    let mut entries = Vec::new();
    match &args.positional[..] {
        [] => {}
        [Value::Dict(dict)] => entries.clone_from(&dict.entries),
        [pairs] => {
            for pair in pairs.iterate(budget)? {
                let pair = pair.iterate(budget)?;
                let [key, value] = &pair[..] else {
                    let length = pair.len();
                    return fail(format!(
                        "dictionary update sequence element has length {length}; 2 is required"
                    ));
                };
                entries.push((key.clone(), value.clone()));
            }
        }
        more => {
            let given = more.len();
            return fail(format!("dict expected at most 1 argument, got {given}"));
        }
    }
    let named = args.named.iter();
    entries.extend(named.map(|(name, value)| (Value::Str(name.clone()), value.clone())));
    Dict::of(entries, budget)
}

fn range(args: &Args) -> Outcome<Value> {
    let whole = |value: &Value| match value {
        Value::Undefined(message) => fail(&**message),
        _ => match value.as_int() {
            Some(whole) if whole.unsigned_abs() < 1 << 100 => Ok(whole),
            Some(_) => fail("a number of a range is too large"),
            None => fail(format!(
                "'{}' object cannot be interpreted as an integer",
                value.type_name()
            )),
        },
    };
    let numbers = args
        .positional
        .iter()
        .map(whole)
        .collect::<Outcome<Vec<i128>>>()?;
    let (start, stop, step) = match (numbers[..].as_ref(), args.named.is_empty()) {
        ([stop], true) => (0, *stop, 1),
        ([start, stop], true) => (*start, *stop, 1),
        ([start, stop, step], true) => (*start, *stop, *step),
        _ => return fail("range takes 1 to 3 numbers"),
    };
    if step == 0 {
        return fail("range() arg 3 must not be zero");
    }
    let range = Range { start, stop, step };
    match range.len() > LONGEST_RANGE {
        true => fail(format!(
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({LONGEST_RANGE})."
        )),
        false => Ok(Value::Range(range)),
    }
}

fn strftime<T: TimeZone<Offset: std::fmt::Display>>(
    time: &DateTime<T>,
    format: &str,
) -> Outcome<String> {
    let mut text = String::new();
    // The one way to learn of a format that is none.
    match write!(text, "{}", time.format(format)) {
        Ok(()) => Ok(text),
        Err(_) => fail(format!("strftime_now: {format:?} is no format")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;

    #[test]
    fn times_are_written_as_python_writes_them() {
        let golden = include_str!("../tests/fixtures/times.json");
        let golden: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(golden).unwrap();
        let time = Utc.with_ymd_and_hms(2024, 7, 6, 9, 5, 3).unwrap();
        for (format, expected) in &golden {
            assert_eq!(strftime(&time, format).unwrap(), *expected, "{format}");
        }
        assert!(golden.len() > 5);
    }
}
