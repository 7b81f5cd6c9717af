//! TOML as values in the order of the file, which can be laid over each other.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// The text of a file, to say where in it something is.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The line of a key, from 1.
    pub(super) fn line(&self, keys: &[&str]) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut table = table.get_ref();
        let (last, outer) = keys.split_last()?;
        for key in outer {
            let (_, value) = table.iter().find(|(own, _)| own.get_ref() == key)?;
            let DeValue::Table(inner) = value.get_ref() else {
                return None;
            };
            table = inner;
        }
        let mut own = table.keys();
        let at = own.find(|key| key.get_ref() == last)?.span().start;
        Some(1 + self.text[..at.min(self.text.len())].matches('\n').count())
    }
}

/// Values of a text that was parsed before, in the order in which its keys are written.
pub(super) fn values(text: &str) -> Map<String, Value> {
    let places = DeTable::parse(text).expect("it was parsed before");
    let values: toml::Table = text.parse().expect("it was parsed before");
    of_table(places.get_ref(), values)
}

fn of_table(places: &DeTable<'_>, mut values: toml::Table) -> Map<String, Value> {
    let mut keys: Vec<_> = places.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, place): (
        &toml::Spanned<std::borrow::Cow<'_, str>>,
        &toml::Spanned<DeValue<'_>>,
    )| {
        let key = key.get_ref().clone().into_owned();
        let value = match (place.get_ref(), values.remove(&key)?) {
            (DeValue::Table(places), toml::Value::Table(values)) => {
                Value::Object(of_table(places, values))
            }
            (_, value) => plain(value),
        };
        Some((key, value))
    };
    keys.into_iter().filter_map(entry).collect()
}

fn plain(value: toml::Value) -> Value {
    serde_json::to_value(value).expect("a value of TOML is plain data")
}

/// A value of a command line: TOML, or else a text.
pub(super) fn value(text: &str) -> Value {
    let table = format!("value = {text}").parse::<toml::Table>();
    match table {
        Ok(mut table) if table.len() == 1 => {
            table.remove("value").map_or_else(|| text.into(), plain)
        }
        _ => text.into(),
    }
}

/// Puts values over others. Tables are merged, everything else is replaced.
pub(super) fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Puts a value at a path of keys; tables on the way are made.
pub(super) fn put(values: &mut Map<String, Value>, keys: &[&str], value: Value) {
    let nested = keys.iter().rev().fold(value, |value, key| {
        Value::Object(Map::from_iter([((*key).to_owned(), value)]))
    });
    if let Value::Object(nested) = nested {
        lay_over(values, nested);
    }
}

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_file() {
        let values = values("[b]\nz = 1\na = 2\n[a]\n[b.c]\nx = [1, 2.5]\n");
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(text, r#"{"b":{"z":1,"a":2,"c":{"x":[1,2.5]}},"a":{}}"#);
    }

    #[test]
    fn tables_are_merged_and_values_replaced() {
        let mut below = values("x = 1\n[a]\nlist = [1, 2]\nkept = true\n");
        lay_over(&mut below, values("[a]\nlist = [3]\n[b]\ny = 2\n"));
        put(&mut below, &["a", "c", "d"], value("0.5"));
        put(&mut below, &["x"], value("every:4"));
        let text = serde_json::to_string(&below).unwrap();
        assert_eq!(
            text,
            r#"{"x":"every:4","a":{"list":[3],"kept":true,"c":{"d":0.5}},"b":{"y":2}}"#
        );
    }

    #[test]
    fn a_key_has_a_line() {
        let text = "a = 1\n\n[systems.x]\nmodel = 'm'\ncompose.noise = 2\n".to_owned();
        let path = PathBuf::new();
        let source = Source { path, text };
        assert_eq!(source.line(&["systems", "x", "model"]), Some(4));
        assert_eq!(source.line(&["systems", "x", "compose", "noise"]), Some(5));
        assert_eq!(source.line(&["systems", "y"]), None);
    }
}
