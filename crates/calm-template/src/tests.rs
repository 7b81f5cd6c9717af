//! Tests: `value is defined`.

use std::cmp::Ordering;

use crate::args::{Args, required};
use crate::budget::Budget;
use crate::compare::{equal, order, same};
use crate::error::{Outcome, fail};
use crate::ops;
use crate::value::{Object, Value};

const NAMES: [&str; 39] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

pub(crate) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) fn run(name: &str, value: &Value, args: &Args, budget: &Budget) -> Outcome<bool> {
    if let Some(outcome) = against(name, value, args, budget)? {
        return Ok(outcome);
    }
    args.bind(name, &[])?;
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.is_number(),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "callable" => is_callable(value),
        "iterable" => match value {
            Value::Object(object) => matches!(**object, Object::Loop(_)),
            Value::Iterator(..) | Value::Undefined(_) => true,
            _ => value.len().is_some(),
        },
        // What has a length and items by index.
        "sequence" => match value {
            Value::Object(_) | Value::View(..) => false,
            _ => value.len().is_some(),
        },
        "lower" => crate::text::all_cased(&crate::repr::text(value, budget)?, char::is_lowercase),
        "upper" => crate::text::all_cased(&crate::repr::text(value, budget)?, char::is_uppercase),
        "even" | "odd" => {
            let two = Value::Int(2);
            let rest = ops::binary(crate::ast::BinaryOp::Mod, value, &two, budget)?;
            equal(&rest, &Value::Int(i128::from(name == "odd")), budget)?
        }
        "filter" => value.as_str().is_some_and(crate::filters::is_known),
        "test" => value.as_str().is_some_and(is_known),
        // Nothing that a chat template holds is marked as safe HTML.
        "escaped" => false,
        _ => return fail(format!("unknown test {name}")),
    })
}

/// Tests against another value.
fn against(name: &str, value: &Value, args: &Args, budget: &Budget) -> Outcome<Option<bool>> {
    let other = || {
        let [other] = args.bind(name, &["other"])?;
        required(name, "other", other)
    };
    let ordered = |sign: &str, fits: fn(Ordering) -> bool| {
        Ok(Some(
            order(value, &other()?, sign, budget)?.is_some_and(fits),
        ))
    };
    match name {
        "==" | "eq" | "equalto" => Ok(Some(equal(value, &other()?, budget)?)),
        "!=" | "ne" => Ok(Some(!equal(value, &other()?, budget)?)),
        "<" | "lt" | "lessthan" => ordered("<", Ordering::is_lt),
        "<=" | "le" => ordered("<=", Ordering::is_le),
        ">" | "gt" | "greaterthan" => ordered(">", Ordering::is_gt),
        ">=" | "ge" => ordered(">=", Ordering::is_ge),
        "in" => {
            let [row] = args.bind(name, &["seq"])?;
            Ok(Some(ops::contains(
                &required(name, "seq", row)?,
                value,
                budget,
            )?))
        }
        "sameas" => Ok(Some(same(value, &other()?))),
        "divisibleby" => {
            let [number] = args.bind(name, &["num"])?;
            let number = required(name, "num", number)?;
            let rest = ops::binary(crate::ast::BinaryOp::Mod, value, &number, budget)?;
            Ok(Some(equal(&rest, &Value::Int(0), budget)?))
        }
        _ => Ok(None),
    }
}

pub(crate) fn is_callable(value: &Value) -> bool {
    match value {
        Value::Undefined(_) => true,
        Value::Object(object) => !matches!(**object, Object::Namespace(_) | Object::Cycler { .. }),
        _ => false,
    }
}
