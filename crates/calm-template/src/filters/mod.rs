//! Filters: `value | upper`.

mod numbers;
mod rows;
mod texts;

use crate::args::{Args, required};
use crate::ast::BinaryOp;
use crate::attributes;
use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::ops;
use crate::repr;
use crate::value::Value;

/// All of Jinja's filters, but `random`, `urlize` and `wordwrap`.
const NAMES: [&str; 51] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "xmlattr",
];

pub(crate) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) fn run(name: &str, value: &Value, args: &Args, budget: &Budget) -> Outcome<Value> {
    budget.step()?;
    if let Some(found) = texts::run(name, value, args, budget)? {
        return Ok(found);
    }
    if let Some(found) = rows::run(name, value, args, budget)? {
        return Ok(found);
    }
    if let Some(found) = numbers::run(name, value, args, budget)? {
        return Ok(found);
    }
    match name {
        "d" | "default" => {
            let [default, boolean] = args.bind("default", &["default_value", "boolean"])?;
            let is_missing = matches!(value, Value::Undefined(_))
                || (boolean.is_some_and(|boolean| boolean.is_true()) && !value.is_true());
            Ok(match is_missing {
                true => default.unwrap_or_else(|| Value::str("")),
                false => value.clone(),
            })
        }
        "attr" => {
            let [name] = args.bind(name, &["name"])?;
            let name = required("attr", "name", name)?;
            let name = repr::text(&name, budget)?;
            match value {
                // Items are no attributes.
                Value::Dict(dict) if dict.get_str(&name).is_some() => {
                    let empty = Value::Dict(std::rc::Rc::default());
                    attributes::attribute(&empty, &name, budget)
                }
                _ => attributes::attribute(value, &name, budget),
            }
        }
        "tojson" => crate::json::tojson(value, args, budget),
        _ => fail(format!("unknown filter {name}")),
    }
}

/// Looks up an attribute such as `function.name` or `0`; the whole value without one.
fn lookup(value: &Value, path: Option<&Value>, budget: &Budget) -> Outcome<Value> {
    match path {
        None | Some(Value::None) => Ok(value.clone()),
        Some(Value::Str(path)) => {
            let mut found = value.clone();
            for part in path.split('.') {
                let is_number = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
                let key = match part.parse() {
                    Ok(number) if is_number => Value::Int(number),
                    _ => Value::str(part),
                };
                found = attributes::item(&found, &key, budget)?;
            }
            Ok(found)
        }
        Some(other) => attributes::item(value, other, budget),
    }
}

/// The value that sorting takes a text for: in lower case, unless case counts.
fn folded(value: Value, is_case_sensitive: bool) -> Value {
    match value {
        Value::Str(text) if !is_case_sensitive => Value::str(text.to_lowercase()),
        other => other,
    }
}

fn is_set(flag: Option<Value>) -> bool {
    flag.is_some_and(|flag| flag.is_true())
}

fn sum(a: &Value, b: &Value, budget: &Budget) -> Outcome<Value> {
    ops::binary(BinaryOp::Add, a, b, budget)
}
