//! Operators.

use crate::ast::BinaryOp;
use crate::budget::Budget;
use crate::compare::{contains_value, equal};
use crate::error::{Outcome, fail};
use crate::format::percent;
use crate::value::{Value, View};

/// A bit of what Python's numbers may have.
const MAX_EXPONENT: i128 = 100_000;

impl BinaryOp {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Mod => "%",
            Self::Pow => "** or pow()",
        }
    }
}

pub(crate) fn binary(op: BinaryOp, a: &Value, b: &Value, budget: &Budget) -> Outcome<Value> {
    if let Value::Undefined(message) = a {
        return fail(&**message);
    }
    match (op, a, b) {
        (BinaryOp::Mod, Value::Str(format), _) => {
            return Ok(Value::str(percent(format, b, budget)?));
        }
        (_, _, Value::Undefined(message)) => return fail(&**message),
        (BinaryOp::Add, Value::Str(a), Value::Str(b)) => {
            budget.text(a.len() + b.len())?;
            return Ok(Value::str(format!("{a}{b}")));
        }
        (BinaryOp::Add, Value::List(a), Value::List(b)) => {
            budget.items(a.values.len() + b.values.len())?;
            return Value::list([&*a.values, &*b.values].concat());
        }
        (BinaryOp::Add, Value::Tuple(a), Value::Tuple(b)) => {
            budget.items(a.values.len() + b.values.len())?;
            return Value::tuple([&*a.values, &*b.values].concat());
        }
        (BinaryOp::Mul, _, _) => {
            if let Some(repeated) = repeated(a, b, budget)? {
                return Ok(repeated);
            }
        }
        _ => {}
    }
    match (a.as_int(), b.as_int(), a.as_float(), b.as_float()) {
        (Some(a), Some(b), ..) => whole(op, a, b),
        (_, _, Some(a), Some(b)) => float(op, a, b),
        _ => fail(match (op, a) {
            (BinaryOp::Add, Value::Str(_)) => format!(
                "can only concatenate str (not \"{}\") to str",
                b.type_name()
            ),
            _ => format!(
                "unsupported operand type(s) for {}: '{}' and '{}'",
                op.sign(),
                a.type_name(),
                b.type_name()
            ),
        }),
    }
}

/// A text or a row so many times.
fn repeated(a: &Value, b: &Value, budget: &Budget) -> Outcome<Option<Value>> {
    let (row, times) = match (a.as_int(), b.as_int()) {
        (None, Some(times)) => (a, times),
        (Some(times), None) => (b, times),
        _ => return Ok(None),
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    Ok(Some(match row {
        Value::Str(text) => {
            budget.text(text.len().saturating_mul(times))?;
            Value::str(text.repeat(times))
        }
        Value::List(items) => {
            budget.items(items.values.len().saturating_mul(times))?;
            Value::list(copies(&items.values, times))?
        }
        Value::Tuple(items) => {
            budget.items(items.values.len().saturating_mul(times))?;
            Value::tuple(copies(&items.values, times))?
        }
        _ => return Ok(None),
    }))
}

fn copies(values: &[Value], times: usize) -> Vec<Value> {
    std::iter::repeat_n(values, times)
        .flatten()
        .cloned()
        .collect()
}

fn whole(op: BinaryOp, a: i128, b: i128) -> Outcome<Value> {
    let too_large = || fail("a whole number is too large; it may have 38 digits");
    if b == 0 && matches!(op, BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Mod) {
        return fail("division by zero");
    }
    let found = match op {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Sub => a.checked_sub(b),
        BinaryOp::Mul => a.checked_mul(b),
        BinaryOp::Div => return Ok(Value::Float(a as f64 / b as f64)),
        BinaryOp::FloorDiv => a.checked_div(b).map(|quotient| {
            let is_inexact = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
            quotient - i128::from(is_inexact)
        }),
        BinaryOp::Mod => a
            .checked_rem(b)
            .map(|rest| match rest != 0 && (rest < 0) != (b < 0) {
                true => rest + b,
                false => rest,
            }),
        BinaryOp::Pow if b < 0 => return float(op, a as f64, b as f64),
        BinaryOp::Pow if b > MAX_EXPONENT => None,
        BinaryOp::Pow => a.checked_pow(b as u32),
    };
    found.map_or_else(too_large, |value| Ok(Value::Int(value)))
}

fn float(op: BinaryOp, a: f64, b: f64) -> Outcome<Value> {
    if b == 0.0 && matches!(op, BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Mod) {
        return fail("float division by zero");
    }
    let rest = || {
        let rest = a % b;
        let is_other_side = rest != 0.0 && (rest < 0.0) != (b < 0.0);
        if is_other_side { rest + b } else { rest }
    };
    Ok(Value::Float(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::FloorDiv => ((a - rest()) / b).round(),
        BinaryOp::Mod => rest(),
        BinaryOp::Pow if a == 0.0 && b < 0.0 => {
            return fail("0.0 cannot be raised to a negative power");
        }
        BinaryOp::Pow if a < 0.0 && b.fract() != 0.0 => {
            return fail("complex numbers are not supported");
        }
        BinaryOp::Pow => a.powf(b),
    }))
}

pub(crate) fn negated(value: &Value, is_negative: bool) -> Outcome<Value> {
    let sign = if is_negative { -1 } else { 1 };
    match value {
        Value::Undefined(message) => fail(&**message),
        Value::Float(value) => Ok(Value::Float(value * f64::from(sign))),
        _ => match value.as_int().map(|value| value.checked_mul(sign.into())) {
            Some(Some(value)) => Ok(Value::Int(value)),
            Some(None) => fail("a whole number is too large; it may have 38 digits"),
            None => fail(format!(
                "bad operand type for unary {}: '{}'",
                if is_negative { '-' } else { '+' },
                value.type_name()
            )),
        },
    }
}

/// `item in value`
pub(crate) fn contains(value: &Value, item: &Value, budget: &Budget) -> Outcome<bool> {
    match value {
        Value::Str(text) => match item {
            Value::Str(part) => {
                budget.text(text.len())?;
                Ok(text.contains(&**part))
            }
            _ => fail(format!(
                "'in <string>' requires string as left operand, not {}",
                item.type_name()
            )),
        },
        Value::Dict(dict) | Value::View(View::Keys, dict) => Ok(dict.get(item, budget)?.is_some()),
        Value::Range(range) => {
            let whole = match item {
                Value::Float(value) if value.fract() == 0.0 => Some(*value as i128),
                _ => item.as_int(),
            };
            Ok(whole.is_some_and(|whole| {
                let distance = whole - range.start;
                let at = distance.checked_div(range.step).unwrap_or(-1);
                distance % range.step == 0 && (0..range.len() as i128).contains(&at)
            }))
        }
        Value::List(items) | Value::Tuple(items) => contains_value(&items.values, item, budget),
        Value::Undefined(_) | Value::View(..) | Value::Iterator(..) => {
            for found in value.iterate(budget)? {
                if equal(&found, item, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => fail(format!(
            "argument of type '{}' is not iterable",
            value.type_name()
        )),
    }
}

/// Place of an index that may count from the end.
fn place(index: i128, length: usize) -> Option<usize> {
    let length = length as i128;
    let at = if index < 0 { index + length } else { index };
    (0..length).contains(&at).then_some(at as usize)
}

/// `value[index]` by number or key; `None` if there is no such item.
pub(crate) fn item(value: &Value, index: &Value, budget: &Budget) -> Outcome<Option<Value>> {
    Ok(match value {
        Value::Dict(dict) => match index {
            Value::List(_) | Value::Dict(_) => None,
            _ => dict.get(index, budget)?,
        },
        Value::List(items) | Value::Tuple(items) => {
            let at = index
                .as_int()
                .and_then(|index| place(index, items.values.len()));
            at.map(|at| items.values[at].clone())
        }
        Value::Range(range) => {
            let at = index.as_int().and_then(|index| place(index, range.len()));
            at.map(|at| Value::Int(range.start + at as i128 * range.step))
        }
        Value::Str(text) => match index.as_int() {
            None => None,
            Some(index) if index >= 0 => {
                budget.text(text.len())?;
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                text.chars().nth(at).map(|c| Value::str(c.to_string()))
            }
            Some(index) => {
                budget.text(text.len())?;
                let at = usize::try_from(-(index + 1)).unwrap_or(usize::MAX);
                text.chars().nth_back(at).map(|c| Value::str(c.to_string()))
            }
        },
        _ => None,
    })
}

/// `value[start:stop:step]`; `None` if it cannot be cut.
pub(crate) fn slice(
    value: &Value,
    parts: &[Option<Value>; 3],
    budget: &Budget,
) -> Outcome<Option<Value>> {
    let bound = |part: &Option<Value>| match part {
        None | Some(Value::None) => Ok(None),
        Some(part) => match part.as_int() {
            Some(whole) => Ok(Some(whole)),
            None => fail("slice indices must be integers or None or have an __index__ method"),
        },
    };
    let length = match value {
        Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_) => value.len(),
        _ => None,
    };
    let Some(length) = length else {
        return Ok(None);
    };
    let step = bound(&parts[2])?.unwrap_or(1);
    if step == 0 {
        return fail("slice step cannot be zero");
    }
    budget.items(length)?;
    let (start, stop) = (bound(&parts[0])?, bound(&parts[1])?);
    let places = slice_places(length, start, stop, step);
    let chosen = |items: &[Value]| places.iter().map(|&at| items[at].clone()).collect();
    Ok(Some(match value {
        Value::Str(text) => {
            let letters: Vec<char> = text.chars().collect();
            let chosen: String = places.iter().map(|&at| letters[at]).collect();
            Value::str(chosen)
        }
        Value::Tuple(items) => Value::tuple(chosen(&items.values))?,
        Value::List(items) => Value::list(chosen(&items.values))?,
        Value::Range(range) => {
            let at = |at: i128| range.start + at * range.step;
            let (start, stop) = slice_bounds(length as i128, start, stop, step);
            Value::Range(crate::value::Range {
                start: at(start),
                stop: at(stop),
                step: range.step.saturating_mul(step),
            })
        }
        _ => return Ok(None),
    }))
}

/// Places in a row that a slice takes, in order.
fn slice_places(length: usize, start: Option<i128>, stop: Option<i128>, step: i128) -> Vec<usize> {
    let (start, stop) = slice_bounds(length as i128, start, stop, step);
    let mut places = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    places
}

/// The first place of a slice, and the one that ends it.
fn slice_bounds(length: i128, start: Option<i128>, stop: Option<i128>, step: i128) -> (i128, i128) {
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let clamp = |bound: Option<i128>, default: i128| match bound {
        None => default,
        Some(bound) if bound < 0 => bound.saturating_add(length).max(low),
        Some(bound) => bound.min(high),
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    (clamp(start, first), clamp(stop, last))
}
