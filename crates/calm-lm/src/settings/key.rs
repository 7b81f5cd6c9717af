//! One flag as a key.

use std::any::TypeId;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use calm_lm::models::ModelSource;
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::{Number, Value};
use toml::de::DeValue;

/// A flag that has a name to call it by in a file.
pub(super) struct Key<'a> {
    pub(super) name: &'a str,
    pub(super) arg: &'a Arg,
    kind: Kind,
}

/// What a value looks like in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Integer,
    Number,
    Text,
    /// Of a file, a directory or a model.
    Path,
}

impl Kind {
    fn of(arg: &Arg) -> Self {
        let value_type = arg.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|known| value_type == *known);
        let integers = [
            TypeId::of::<usize>(),
            TypeId::of::<u64>(),
            TypeId::of::<u32>(),
            TypeId::of::<u16>(),
            TypeId::of::<i64>(),
            TypeId::of::<NonZeroUsize>(),
            TypeId::of::<NonZeroU64>(),
            TypeId::of::<NonZeroU32>(),
        ];
        if !arg.get_action().takes_values() {
            Self::Switch
        } else if is_one_of(&integers) {
            Self::Integer
        } else if is_one_of(&[TypeId::of::<f64>(), TypeId::of::<f32>()]) {
            Self::Number
        } else if is_one_of(&[TypeId::of::<PathBuf>(), TypeId::of::<ModelSource>()]) {
            Self::Path
        } else {
            Self::Text
        }
    }
}

impl<'a> Key<'a> {
    /// The key of a flag, unless it has a place instead of a name.
    pub(super) fn of(arg: &'a Arg) -> Option<Self> {
        let name = arg.get_long()?;
        let kind = Kind::of(arg);
        Some(Self { name, arg, kind })
    }

    fn is_list(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
    }

    /// What is to stand behind the key.
    pub(super) fn wanted(&self) -> &'static str {
        match (self.kind, self.is_list()) {
            (Kind::Switch, _) => "true or false",
            (Kind::Integer, false) => "a whole number",
            (Kind::Integer, true) => "a whole number, or a list of them",
            (Kind::Number, false) => "a number",
            (Kind::Number, true) => "a number, or a list of them",
            (Kind::Text | Kind::Path, false) => "a text in quotes",
            (Kind::Text | Kind::Path, true) => "a text in quotes, or a list of them",
        }
    }

    /// The words of a command line for a value of a file in this directory; `None` if the value is
    /// of another type.
    pub(super) fn words(&self, value: &DeValue<'_>, directory: &Path) -> Option<Vec<String>> {
        if let (Kind::Switch, DeValue::Boolean(on)) = (self.kind, value) {
            return Some(if *on {
                vec![format!("--{}", self.name)]
            } else {
                Vec::new()
            });
        }
        let word =
            |value: &DeValue<'_>| Some(format!("--{}={}", self.name, self.text(value, directory)?));
        match value {
            DeValue::Array(values) if self.is_list() => {
                values.iter().map(|value| word(value.get_ref())).collect()
            }
            value => Some(vec![word(value)?]),
        }
    }

    fn text(&self, value: &DeValue<'_>, directory: &Path) -> Option<String> {
        match (self.kind, value) {
            (Kind::Integer | Kind::Number, DeValue::Integer(number)) => {
                let number = i128::from_str_radix(number.as_str(), number.radix());
                Some(number.ok()?.to_string())
            }
            (Kind::Number, DeValue::Float(number)) => Some(number.as_str().to_owned()),
            (Kind::Text, DeValue::String(text)) => Some(text.to_string()),
            (Kind::Path, DeValue::String(text)) => Some(match text.parse() {
                Ok(ModelSource::Directory(path)) => directory.join(path).display().to_string(),
                // A model of the Hub, or what only looks like one.
                _ => text.to_string(),
            }),
            _ => None,
        }
    }

    /// The value of a command line, a path from the root, so that it means the same in a file
    /// anywhere. `None` if there is none.
    pub(super) fn value(&self, matches: &ArgMatches) -> Option<Value> {
        let id = self.arg.get_id().as_str();
        if self.kind == Kind::Switch {
            return Some(Value::Bool(matches.get_flag(id)));
        }
        let mut values = matches
            .get_raw(id)?
            .map(|text| self.typed(&text.to_string_lossy()));
        if self.is_list() {
            return Some(values.collect());
        }
        values.next()
    }

    fn typed(&self, text: &str) -> Value {
        let number = match self.kind {
            Kind::Integer => text.parse::<i128>().ok().and_then(Number::from_i128),
            Kind::Number => text.parse().ok().and_then(Number::from_f64),
            _ => None,
        };
        match (number, self.kind, text.parse()) {
            (Some(number), ..) => Value::Number(number),
            (None, Kind::Path, Ok(ModelSource::Directory(path))) => {
                let path = std::path::absolute(&path).unwrap_or(path);
                Value::String(path.display().to_string())
            }
            _ => Value::String(text.to_owned()),
        }
    }
}

/// A value as TOML.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(toml).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}
