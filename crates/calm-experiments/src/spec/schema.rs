//! The schema of experiment files, for editors, against the types. Schemas are for tests alone.

use std::fs;
use std::path::Path;

use calm_train::runs::{ComposeConfig, PretrainConfig};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::ExperimentFile;
use crate::plan::setting_names;

const PATH: &str = "schemas/experiment.schema.json";

/// The schema of the types, where flags of verbs are those that there are.
fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ExperimentFile>();
    schema.insert("title".to_owned(), "An experiment file".into());
    let mut schema = schema.to_value();
    let flags = |names: Vec<String>| {
        let names = names.into_iter().map(|name| (name, json!(true)));
        json!({
            "type": "object",
            "properties": names.collect::<serde_json::Map<_, _>>(),
            "additionalProperties": false,
        })
    };
    let compose = flags(setting_names::<ComposeConfig>());
    let pretrain = flags(setting_names::<PretrainConfig>());
    for (of, name, flags) in [
        ("Defaults", "compose", &compose),
        ("Defaults", "pretrain", &pretrain),
        ("SystemSpec", "compose", &compose),
        ("SystemSpec", "pretrain", &pretrain),
        ("ModelSpec", "pretrain", &pretrain),
    ] {
        let place = format!("/$defs/{of}/properties/{name}");
        let property = schema.pointer_mut(&place).unwrap();
        let description = property["description"].clone();
        *property = flags.clone();
        property["description"] = description;
    }
    schema
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let expected = schema();
    if std::env::var_os("CALM_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let found: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(
        found == expected,
        "CALM_BLESS=1 with this test writes it anew"
    );
    let noise = "/$defs/SystemSpec/properties/compose/properties/noise";
    assert!(found.pointer(noise).is_some());
}
