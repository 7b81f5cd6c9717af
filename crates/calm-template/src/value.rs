//! The values that templates compute with: those of Python.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value as Json;

use crate::budget::Budget;
use crate::closure::Closure;
use crate::error::{Outcome, fail};

/// Lists within lists. Python gives up at about twice as many.
const MAX_DEPTH: usize = 500;

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, with what to say if it is used as something.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    Range(Range),
    /// The keys, values or items of a dictionary.
    View(View, Rc<Dict>),
    /// Values that can be taken once, such as those of the filter `map`.
    Iterator(Rc<RefCell<VecDeque<Value>>>, usize),
    Object(Rc<Object>),
}

/// Values in a row.
#[derive(Debug)]
pub(crate) struct Items {
    pub(crate) values: Vec<Value>,
    /// How deep they hold each other.
    depth: usize,
    /// Whether it is a group of `groupby`, whose two items have names.
    pub(crate) is_group: bool,
}

/// A dictionary in the order of its insertions.
#[derive(Debug, Default)]
pub(crate) struct Dict {
    pub(crate) entries: Vec<(Value, Value)>,
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: i128,
    pub(crate) stop: i128,
    pub(crate) step: i128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Keys,
    Values,
    Items,
}

/// Everything else.
#[derive(Debug)]
pub(crate) enum Object {
    Namespace(Namespace),
    Cycler {
        items: Vec<Value>,
        at: Cell<usize>,
    },
    Joiner {
        separator: Value,
        is_used: Cell<bool>,
    },
    Loop(LoopState),
    Macro(Closure),
    /// A function of all templates.
    Function(&'static str),
    /// A method, and what it is of.
    Method(Value, Rc<str>),
}

#[derive(Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) fields: RefCell<Vec<(Rc<str>, Value)>>,
    depth: Cell<usize>,
}

/// The variable `loop`.
#[derive(Debug)]
pub(crate) struct LoopState {
    pub(crate) items: Rc<Items>,
    pub(crate) at: Cell<usize>,
    pub(crate) level: usize,
    pub(crate) changed: RefCell<Option<Value>>,
    /// The loop itself, if it is recursive.
    pub(crate) body: Option<Closure>,
}

impl Value {
    pub(crate) fn str(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub(crate) fn undefined(message: impl Into<Rc<str>>) -> Self {
        Self::Undefined(message.into())
    }

    pub(crate) fn list(values: Vec<Value>) -> Outcome<Self> {
        Ok(Self::List(Rc::new(Items::new(values)?)))
    }

    pub(crate) fn tuple(values: Vec<Value>) -> Outcome<Self> {
        Ok(Self::Tuple(Rc::new(Items::new(values)?)))
    }

    pub(crate) fn iterator(values: Vec<Value>) -> Outcome<Self> {
        let Items { values, depth, .. } = Items::new(values)?;
        Ok(Self::Iterator(Rc::new(RefCell::new(values.into())), depth))
    }

    pub(crate) fn function(name: &'static str) -> Self {
        Self::Object(Rc::new(Object::Function(name)))
    }

    pub(crate) fn of_json(json: &Json) -> Outcome<Self> {
        Ok(match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(value), _) => Self::Int(value),
                (None, value) => Self::Float(value.unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::str(text.as_str()),
            Json::Array(items) => {
                Self::list(items.iter().map(Self::of_json).collect::<Outcome<_>>()?)?
            }
            Json::Object(fields) => {
                let entry = |(key, value): (&String, &Json)| {
                    Ok((Self::str(key.as_str()), Self::of_json(value)?))
                };
                let entries = fields.iter().map(entry).collect::<Outcome<_>>()?;
                Self::Dict(Rc::new(Dict::of_distinct(entries)?))
            }
        })
    }

    /// The name of its type in Python.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Range(_) => "range",
            Self::View(View::Keys, _) => "dict_keys",
            Self::View(View::Values, _) => "dict_values",
            Self::View(View::Items, _) => "dict_items",
            Self::Iterator(..) => "generator",
            Self::Object(object) => match **object {
                Object::Namespace(_) => "Namespace",
                Object::Cycler { .. } => "Cycler",
                Object::Joiner { .. } => "Joiner",
                Object::Loop(_) => "LoopContext",
                Object::Macro(_) => "Macro",
                Object::Function(_) => "function",
                Object::Method(..) => "method",
            },
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number; truth values are 0 and 1.
    pub(crate) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Bool(_))
    }

    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.values.is_empty(),
            Self::Dict(dict) | Self::View(_, dict) => !dict.entries.is_empty(),
            Self::Range(range) => range.len() > 0,
            Self::Iterator(..) => true,
            Self::Object(object) => match &**object {
                Object::Loop(state) => !state.items.values.is_empty(),
                _ => true,
            },
        }
    }

    /// How deep values hold each other.
    fn depth(&self) -> usize {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) | Self::View(_, dict) => dict.depth,
            Self::Iterator(_, depth) => *depth,
            Self::Object(object) => match &**object {
                Object::Namespace(namespace) => namespace.depth.get(),
                Object::Cycler { items, .. } => {
                    1 + items.iter().map(Self::depth).max().unwrap_or(0)
                }
                Object::Joiner { separator, .. } => 1 + separator.depth(),
                Object::Loop(state) => state.items.depth,
                Object::Method(of, _) => 1 + of.depth(),
                Object::Macro(_) | Object::Function(_) => 0,
            },
            _ => 0,
        }
    }

    /// Number of its items, `None` if it has no length.
    pub(crate) fn len(&self) -> Option<usize> {
        match self {
            Self::Undefined(_) => Some(0),
            Self::Str(text) => Some(text.chars().count()),
            Self::List(items) | Self::Tuple(items) => Some(items.values.len()),
            Self::Dict(dict) | Self::View(_, dict) => Some(dict.entries.len()),
            Self::Range(range) => Some(range.len()),
            Self::Object(object) => match &**object {
                Object::Loop(state) => Some(state.items.values.len()),
                _ => None,
            },
            _ => None,
        }
    }

    /// All values that a loop over it sees.
    pub(crate) fn iterate(&self, budget: &Budget) -> Outcome<Vec<Value>> {
        budget.items(self.len().unwrap_or(0))?;
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Str(text) => text.chars().map(|c| Self::str(c.to_string())).collect(),
            Self::List(items) | Self::Tuple(items) => items.values.clone(),
            Self::Dict(dict) | Self::View(View::Keys, dict) => {
                dict.entries.iter().map(|(key, _)| key.clone()).collect()
            }
            Self::View(View::Values, dict) => dict
                .entries
                .iter()
                .map(|(_, value)| value.clone())
                .collect(),
            Self::View(View::Items, dict) => dict.items()?,
            Self::Range(range) => range.values().map(Self::Int).collect(),
            Self::Iterator(values, _) => {
                let values: Vec<Value> = values.borrow_mut().drain(..).collect();
                budget.items(values.len())?;
                values
            }
            _ => return fail(format!("'{}' object is not iterable", self.type_name())),
        })
    }
}

impl Items {
    pub(crate) fn new(values: Vec<Value>) -> Outcome<Self> {
        let depth = depth_around(values.iter())?;
        Ok(Self {
            values,
            depth,
            is_group: false,
        })
    }
}

/// Depth of something that holds these values.
fn depth_around<'a>(values: impl Iterator<Item = &'a Value>) -> Outcome<usize> {
    let depth = 1 + values.map(Value::depth).max().unwrap_or(0);
    match depth > MAX_DEPTH {
        true => fail(format!("values are nested deeper than {MAX_DEPTH} levels")),
        false => Ok(depth),
    }
}

impl Dict {
    /// Entries whose keys are known to differ.
    pub(crate) fn of_distinct(entries: Vec<(Value, Value)>) -> Outcome<Self> {
        let depth = depth_around(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Self { entries, depth })
    }

    pub(crate) fn get_str(&self, key: &str) -> Option<Value> {
        let mut entries = self.entries.iter();
        let found = entries.find(|(found, _)| found.as_str() == Some(key));
        found.map(|(_, value)| value.clone())
    }

    /// Pairs of keys and values.
    pub(crate) fn items(&self) -> Outcome<Vec<Value>> {
        let pair = |(key, value): &(Value, Value)| Value::tuple(vec![key.clone(), value.clone()]);
        self.entries.iter().map(pair).collect()
    }
}

impl Range {
    pub(crate) fn len(&self) -> usize {
        let distance = match self.step > 0 {
            true => self.stop.saturating_sub(self.start),
            false => self.start.saturating_sub(self.stop),
        };
        let step = self.step.unsigned_abs();
        let steps = distance.max(0).unsigned_abs().div_ceil(step);
        usize::try_from(steps).unwrap_or(usize::MAX)
    }

    pub(crate) fn values(self) -> impl Iterator<Item = i128> {
        (0..self.len()).map(move |at| self.start + at as i128 * self.step)
    }
}

impl Namespace {
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let fields = self.fields.borrow();
        let found = fields.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value.clone())
    }

    pub(crate) fn set(&self, name: &str, value: Value) -> Outcome<()> {
        if name.starts_with('_') {
            return fail(format!(
                "chat templates cannot store underscore-prefixed attributes on a namespace, but got '{name}'"
            ));
        }
        let depth = depth_around([&value].into_iter())?;
        self.depth.set(self.depth.get().max(depth));
        let mut fields = self.fields.borrow_mut();
        match fields.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, field)) => *field = value,
            None => fields.push((name.into(), value)),
        }
        Ok(())
    }
}
