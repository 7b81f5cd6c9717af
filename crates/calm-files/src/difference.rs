//! The first setting in which two runs differ.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A setting with two values; its text is `train.seed: 1 there, 2 here`.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the setting, with dots between the names of the structs that hold it.
    pub name: String,
    /// Value that was found; null where there is none.
    pub found: Value,
    /// Value that was expected; null where there is none.
    pub expected: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            found,
            expected,
        } = self;
        write!(f, "{name}: {found} there, {expected} here")
    }
}

/// Compares two structs field by field, in the order of the names of the fields. A field that is
/// absent equals one that is null. Lists are compared as a whole.
///
/// # Panics
///
/// If a value has no JSON form: a map with keys that are no texts, or a `Serialize` that fails.
pub fn first_difference(
    found: &(impl Serialize + ?Sized),
    expected: &(impl Serialize + ?Sized),
) -> Option<Difference> {
    let plain = "settings are plain data";
    let found = serde_json::to_value(found).expect(plain);
    let expected = serde_json::to_value(expected).expect(plain);
    first_below(String::new(), &found, &expected)
}

fn first_below(name: String, found: &Value, expected: &Value) -> Option<Difference> {
    let (Value::Object(there), Value::Object(here)) = (found, expected) else {
        return (found != expected).then(|| Difference {
            name,
            found: found.clone(),
            expected: expected.clone(),
        });
    };
    let keys: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
    keys.into_iter().find_map(|key| {
        let dot = if name.is_empty() { "" } else { "." };
        let [found, expected] = [there, here].map(|side| side.get(key).unwrap_or(&Value::Null));
        first_below(format!("{name}{dot}{key}"), found, expected)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let there = json!({"train": {"seed": 1, "steps": 5}, "extra": null});
        assert_eq!(first_difference(&there, &there), None);
        let here = json!({"train": {"seed": 2, "steps": 6}});
        let difference = first_difference(&there, &here).unwrap();
        assert_eq!(difference.to_string(), "train.seed: 1 there, 2 here");
        let difference = first_difference(&there, &json!({"train": null})).unwrap();
        assert_eq!(difference.name, "train");
    }
}
