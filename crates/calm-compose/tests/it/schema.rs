//! docs/composition.schema.json against what is written and read.

use std::fs;
use std::path::Path;

use calm_compose::{BridgeOptions, CompositionFile, ModelReference, TrainingRecord};
use serde_json::{Value, json};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/composition.schema.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn description(options: BridgeOptions) -> CompositionFile {
    let reference = |tokenizer: Option<&str>| ModelReference {
        path: "somewhere".into(),
        absolute_path: tokenizer.map(|_| "/somewhere".into()),
        relative_path: tokenizer.map(|_| "../somewhere".into()),
        weights_sha256: "hash".to_owned(),
        untrained_seed: tokenizer.map(|_| u64::MAX),
        tokenizer_sha256: tokenizer.map(str::to_owned),
    };
    let anchor = reference(Some("vocabulary"));
    let connections = vec![vec![[1, 1].into(), [2, 3].into()]];
    let mut file = CompositionFile::new(
        anchor,
        vec![reference(None)],
        connections,
        4,
        TrainingRecord::default(),
    );
    file.options = options;
    file
}

/// Where a value is not what a schema says, for the part of JSON Schema that ours uses.
fn problem(root: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let known = [
        "$schema",
        "title",
        "description",
        "type",
        "required",
        "additionalProperties",
        "properties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "enum",
        "$ref",
        "$defs",
    ];
    let rules = schema.as_object().unwrap();
    let unknown = rules.keys().find(|rule| !known.contains(&rule.as_str()));
    assert_eq!(unknown, None, "this test does not know the rule");
    let wrong = |rule: &str| Some(format!("{place}: {rule}"));
    if let Some(Value::String(name)) = rules.get("$ref") {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        return problem(root, target, value, place);
    }
    if let Some(Value::Array(values)) = rules.get("enum") {
        return if values.contains(value) {
            None
        } else {
            wrong("enum")
        };
    }
    let typed = match rules.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{other}"),
        None => true,
    };
    if !typed {
        return wrong("type");
    }
    let number = |rule: &str| rules.get(rule).and_then(Value::as_f64);
    let size = value
        .as_f64()
        .or(value.as_array().map(|items| items.len() as f64));
    if let Some(size) = size {
        let (least, most) = (
            number("minimum").or(number("minItems")),
            number("maximum").or(number("maxItems")),
        );
        if least.is_some_and(|least| size < least) || most.is_some_and(|most| size > most) {
            return wrong("size");
        }
    }
    if let (Value::Array(items), Some(rule)) = (value, rules.get("items")) {
        return items
            .iter()
            .find_map(|item| problem(root, rule, item, place));
    }
    let (Value::Object(fields), Some(Value::Object(properties))) = (value, rules.get("properties"))
    else {
        return None;
    };
    let required = rules.get("required").and_then(Value::as_array);
    let missing = required
        .into_iter()
        .flatten()
        .find(|name| !fields.contains_key(name.as_str().unwrap()));
    if let Some(name) = missing {
        return Some(format!("{place}: {name} is missing"));
    }
    fields
        .iter()
        .find_map(|(name, field)| match properties.get(name) {
            Some(rule) => problem(root, rule, field, &format!("{place}/{name}")),
            None => Some(format!("{place}: {name} is unknown")),
        })
}

/// Whether the schema and the reader take it.
fn verdicts(value: &Value) -> (bool, bool) {
    let root = schema();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("composition.json"), value.to_string()).unwrap();
    let read = CompositionFile::read(directory.path());
    (problem(&root, &root, value, "").is_none(), read.is_ok())
}

#[test]
fn what_is_written_is_as_the_schema_says() {
    let root = schema();
    let wide = BridgeOptions {
        d_inner: Some(8),
        ..BridgeOptions::paper()
    };
    for (name, options) in crate::common::options()
        .into_iter()
        .chain([("plain", BridgeOptions::paper()), ("wide", wide)])
    {
        let value = serde_json::to_value(description(options)).unwrap();
        assert_eq!(problem(&root, &root, &value, ""), None, "{name}");
        assert_eq!(verdicts(&value), (true, true), "{name}");
    }
}

#[test]
fn every_field_is_described() {
    let wide = BridgeOptions {
        d_inner: Some(8),
        alibi: true,
        ..BridgeOptions::default()
    };
    let value = serde_json::to_value(description(wide)).unwrap();
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let root = schema();
    assert_eq!(names(&value), names(&root["properties"]));
    assert_eq!(
        names(&value["options"]),
        names(&root["$defs"]["options"]["properties"])
    );
    assert_eq!(
        names(&value["anchor"]),
        names(&root["$defs"]["model"]["properties"])
    );
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let good = serde_json::to_value(description(BridgeOptions::paper())).unwrap();
    let first = json!({
        "format_version": 1, "anchor": {"path": "a", "weights_sha256": "b"}, "augmenting": [],
        "connections": [], "heads": 2, "training": null,
    });
    assert_eq!(verdicts(&first), (true, true), "version 1");
    for (place, value) in [
        ("/format_version", json!(5)),
        ("/anchor", json!("anchor")),
        ("/anchor/path", json!(1)),
        ("/anchor/relative_path", json!(1)),
        ("/anchor/untrained_seed", json!(-1)),
        ("/mode", json!("decoder")),
        ("/anchor/colour", json!("red")),
        ("/connections", json!([[[1, 2, 3]]])),
        ("/connections", json!([[[-1, 2]]])),
        ("/heads", json!(-1)),
        ("/options/gate", json!("ajar")),
        ("/options/dtype", json!("f64")),
        ("/options/bias", json!(1)),
        ("/options/beds", json!(1)),
        ("/colour", json!("red")),
    ] {
        let mut changed = good.clone();
        let (parent, name) = place.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[name] = value;
        assert_eq!(verdicts(&changed), (false, false), "{place}");
    }
    for name in [
        "anchor",
        "augmenting",
        "connections",
        "heads",
        "training",
        "format_version",
    ] {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(name);
        assert_eq!(verdicts(&changed), (false, false), "{name}");
    }
}
