//! Attributes and items of values, and calls of their methods.

use std::rc::Rc;

use crate::args::{Args, required};
use crate::budget::Budget;
use crate::closure::{Body, Closure};
use crate::compare::{equal, same};
use crate::error::{Outcome, fail};
use crate::ops;
use crate::strings;
use crate::value::{Dict, Items, Object, Value, View};

/// Methods that would change a list or a dictionary, which chat templates may not.
const CHANGING: [&str; 14] = [
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "update",
    "add",
    "discard",
    "__setitem__",
];

const DICT_METHODS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const LIST_METHODS: [&str; 3] = ["copy", "count", "index"];
const TUPLE_METHODS: [&str; 2] = ["count", "index"];
const INT_METHODS: [&str; 5] = [
    "bit_count",
    "bit_length",
    "conjugate",
    "as_integer_ratio",
    "is_integer",
];
const FLOAT_METHODS: [&str; 3] = ["conjugate", "hex", "is_integer"];
const LOOP_METHODS: [&str; 2] = ["cycle", "changed"];
const CYCLER_METHODS: [&str; 2] = ["next", "reset"];

/// The names of a value's methods.
fn methods(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Str(_) => &strings::METHODS,
        Value::Dict(_) => &DICT_METHODS,
        Value::List(_) => &LIST_METHODS,
        Value::Tuple(_) | Value::Range(_) => &TUPLE_METHODS,
        Value::Int(_) | Value::Bool(_) => &INT_METHODS,
        Value::Float(_) => &FLOAT_METHODS,
        Value::Object(object) => match **object {
            Object::Loop(_) => &LOOP_METHODS,
            Object::Cycler { .. } => &CYCLER_METHODS,
            Object::Function("dict") => &["fromkeys"],
            _ => &[],
        },
        _ => &[],
    }
}

/// `value.name`: an attribute, or else an item.
pub(crate) fn attribute(value: &Value, name: &str, budget: &Budget) -> Outcome<Value> {
    budget.step()?;
    if let Value::Undefined(message) = value {
        return fail(&**message);
    }
    if let Some(found) = own_attribute(value, name)? {
        return Ok(found);
    }
    let item = match value {
        Value::Dict(dict) => dict.get_str(name),
        _ => None,
    };
    Ok(item.unwrap_or_else(|| missing(value, name)))
}

/// `value[index]`: an item, or else an attribute.
pub(crate) fn item(value: &Value, index: &Value, budget: &Budget) -> Outcome<Value> {
    budget.step()?;
    if let Value::Undefined(message) = value {
        return fail(&**message);
    }
    if let Some(found) = ops::item(value, index, budget)? {
        return Ok(found);
    }
    let Value::Str(name) = index else {
        let index = crate::repr::repr(index, budget)?;
        let message = format!("{} has no element {index}", described(value));
        return Ok(Value::undefined(message));
    };
    Ok(own_attribute(value, name)?.unwrap_or_else(|| missing(value, name)))
}

fn described(value: &Value) -> String {
    match value {
        Value::None => "'None'".to_owned(),
        _ => format!("'{} object'", value.type_name()),
    }
}

fn missing(value: &Value, name: &str) -> Value {
    Value::undefined(format!("{} has no attribute '{name}'", described(value)))
}

/// A field or a method; of those that Python has and that are refused here, an undefined value that
/// tells so.
fn own_attribute(value: &Value, name: &str) -> Outcome<Option<Value>> {
    if let Value::Object(object) = value
        && let Some(field) = field(object, name)?
    {
        return Ok(Some(field));
    }
    if let Value::Tuple(items) = value
        && items.is_group
        && let Some(at) = ["grouper", "list"].iter().position(|known| *known == name)
    {
        return Ok(Some(items.values[at].clone()));
    }
    match (value, name) {
        (Value::Int(_) | Value::Bool(_), "real" | "numerator") => {
            return Ok(value.as_int().map(Value::Int));
        }
        (Value::Float(_), "real") => return Ok(Some(value.clone())),
        (Value::Int(_) | Value::Bool(_), "imag") => return Ok(Some(Value::Int(0))),
        (Value::Int(_) | Value::Bool(_), "denominator") => return Ok(Some(Value::Int(1))),
        (Value::Float(_), "imag") => return Ok(Some(Value::Float(0.0))),
        _ => {}
    }
    if methods(value).contains(&name) {
        let method = Object::Method(value.clone(), name.into());
        return Ok(Some(Value::Object(Rc::new(method))));
    }
    let is_changing = matches!(value, Value::List(_) | Value::Dict(_)) && CHANGING.contains(&name);
    if is_changing || (name.starts_with("__") && name.ends_with("__")) {
        let of = value.type_name();
        return Ok(Some(Value::undefined(format!(
            "access to attribute '{name}' of '{of}' object is unsafe."
        ))));
    }
    Ok(None)
}

fn field(object: &Object, name: &str) -> Outcome<Option<Value>> {
    Ok(match object {
        Object::Namespace(namespace) => namespace.get(name),
        Object::Cycler { items, at } if name == "current" => Some(items[at.get()].clone()),
        Object::Macro(closure) => macro_field(closure, name)?,
        Object::Loop(state) => {
            let (at, length) = (state.at.get(), state.items.values.len());
            let int = |value: usize| Some(Value::Int(value as i128));
            let neighbour = |value: Option<&Value>, which: &str| {
                let none = || Value::undefined(format!("there is no {which} item"));
                Some(value.cloned().unwrap_or_else(none))
            };
            match name {
                "index" => int(at + 1),
                "index0" => int(at),
                "revindex" => int(length - at),
                "revindex0" => int(length - at - 1),
                "length" => int(length),
                "depth" => int(state.level + 1),
                "depth0" => int(state.level),
                "first" => Some(Value::Bool(at == 0)),
                "last" => Some(Value::Bool(at + 1 == length)),
                "previtem" => {
                    let before = at.checked_sub(1).and_then(|at| state.items.values.get(at));
                    neighbour(before, "previous")
                }
                "nextitem" => neighbour(state.items.values.get(at + 1), "next"),
                _ => None,
            }
        }
        _ => None,
    })
}

/// A field that templates can ask a macro for.
fn macro_field(closure: &Closure, name: &str) -> Outcome<Option<Value>> {
    let Body::Macro(definition) = closure.body() else {
        return Ok(None);
    };
    Ok(Some(match name {
        "name" => Value::str(definition.name.as_str()),
        "arguments" => {
            let names = definition.signature.names.iter();
            Value::tuple(names.map(|name| Value::str(name.as_str())).collect())?
        }
        "catch_kwargs" => Value::Bool(definition.mentions.kwargs),
        "catch_varargs" => Value::Bool(definition.mentions.varargs),
        "caller" => Value::Bool(definition.mentions.caller),
        _ => return Ok(None),
    }))
}

/// Calls a method of a value.
pub(crate) fn call_method(
    of: &Value,
    method: &str,
    args: &Args,
    budget: &Budget,
) -> Outcome<Value> {
    match of {
        Value::Str(text) => strings::call(text, method, args, budget),
        Value::Dict(dict) => dict_method(dict, method, args, budget),
        Value::List(items) | Value::Tuple(items) => {
            row_method(of, &items.values, method, args, budget)
        }
        Value::Range(_) => row_method(of, &of.iterate(budget)?, method, args, budget),
        Value::Int(_) | Value::Bool(_) => int_method(of.as_int().unwrap_or(0), method, args),
        Value::Float(value) => float_method(*value, method, args),
        Value::Object(object) => match &**object {
            Object::Loop(state) => match method {
                "cycle" => match args.positional.len() {
                    0 => fail("no items for cycling given"),
                    count => Ok(args.positional[state.at.get() % count].clone()),
                },
                _ => {
                    let now = Value::tuple(args.positional.clone())?;
                    let before = state.changed.borrow().clone();
                    let is_same = match &before {
                        Some(before) => equal(before, &now, budget)?,
                        None => false,
                    };
                    state.changed.replace(Some(now));
                    Ok(Value::Bool(!is_same))
                }
            },
            Object::Cycler { items, at } => {
                args.bind(method, &[])?;
                let current = items[at.get()].clone();
                match method {
                    "next" => {
                        at.set((at.get() + 1) % items.len());
                        Ok(current)
                    }
                    _ => {
                        at.set(0);
                        Ok(Value::None)
                    }
                }
            }
            Object::Function(_) => from_keys(args, budget),
            _ => fail(format!("'{}' object is not callable", of.type_name())),
        },
        _ => fail(format!("'{}' object is not callable", of.type_name())),
    }
}

fn dict_method(dict: &Rc<Dict>, method: &str, args: &Args, budget: &Budget) -> Outcome<Value> {
    match method {
        "get" => {
            let [key, default] = args.bind(method, &["key", "default"])?;
            let key = required(method, "key", key)?;
            let found = dict.get(&key, budget)?;
            Ok(found.unwrap_or_else(|| default.unwrap_or(Value::None)))
        }
        "fromkeys" => from_keys(args, budget),
        _ => {
            args.bind(method, &[])?;
            Ok(match method {
                "keys" => Value::View(View::Keys, dict.clone()),
                "values" => Value::View(View::Values, dict.clone()),
                "items" => Value::View(View::Items, dict.clone()),
                _ => {
                    budget.items(dict.entries.len())?;
                    let copy = Dict::of_distinct(dict.entries.clone())?;
                    Value::Dict(Rc::new(copy))
                }
            })
        }
    }
}

fn from_keys(args: &Args, budget: &Budget) -> Outcome<Value> {
    let [keys, value] = args.bind("fromkeys", &["iterable", "value"])?;
    let keys = required("fromkeys", "iterable", keys)?.iterate(budget)?;
    let value = value.unwrap_or(Value::None);
    let entries = keys.into_iter().map(|key| (key, value.clone()));
    Ok(Value::Dict(Rc::new(Dict::of(entries, budget)?)))
}

fn row_method(
    of: &Value,
    values: &[Value],
    method: &str,
    args: &Args,
    budget: &Budget,
) -> Outcome<Value> {
    match method {
        "copy" => {
            args.bind(method, &[])?;
            budget.items(values.len())?;
            Ok(Value::List(Rc::new(Items::new(values.to_vec())?)))
        }
        "count" => {
            let [wanted] = args.bind(method, &["value"])?;
            let wanted = required(method, "value", wanted)?;
            let mut count = 0;
            for value in values {
                count += i128::from(same(value, &wanted) || equal(value, &wanted, budget)?);
            }
            Ok(Value::Int(count))
        }
        _ => {
            let [wanted, start, stop] = args.bind(method, &["value", "start", "stop"])?;
            let wanted = required(method, "value", wanted)?;
            let length = values.len() as i128;
            let place = |bound: Option<i128>, default: i128| {
                let bound = bound.unwrap_or(default);
                crate::args::size(if bound < 0 { bound + length } else { bound })
            };
            let start = place(crate::args::int_of(method, start)?, 0);
            let stop = place(crate::args::int_of(method, stop)?, length);
            for (at, value) in values.iter().enumerate().take(stop).skip(start) {
                if equal(value, &wanted, budget)? {
                    return Ok(Value::Int(at as i128));
                }
            }
            let of = of.type_name();
            fail(format!("{of}.index(x): x not in {of}"))
        }
    }
}

fn int_method(value: i128, method: &str, args: &Args) -> Outcome<Value> {
    args.bind(method, &[])?;
    let magnitude = value.unsigned_abs();
    match method {
        "bit_count" => Ok(Value::Int(magnitude.count_ones().into())),
        "bit_length" => Ok(Value::Int((u128::BITS - magnitude.leading_zeros()).into())),
        "as_integer_ratio" => Value::tuple(vec![Value::Int(value), Value::Int(1)]),
        "is_integer" => fail("'int' object has no attribute 'is_integer'"),
        _ => Ok(Value::Int(value)),
    }
}

fn float_method(value: f64, method: &str, args: &Args) -> Outcome<Value> {
    args.bind(method, &[])?;
    match method {
        "is_integer" => Ok(Value::Bool(value.is_finite() && value.fract() == 0.0)),
        "hex" => fail("the method 'hex' of numbers is not supported"),
        _ => Ok(Value::Float(value)),
    }
}
