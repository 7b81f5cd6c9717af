//! Settings as they are found: as versions of `transformers` save them, and as other programs and
//! well-known repositories write them. What means nothing loads, what might change the numbers does not.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::{fixture, load};
use calm_models::{
    CheckpointInfo, DecoderConfig, Family, FrozenModel, LoadOptions, ModelError, SpecialIds,
    Strictness,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// Files of a model as some versions save them.
#[derive(Deserialize)]
struct Saved {
    versions: Vec<String>,
    files: SavedFiles,
}

#[derive(Deserialize)]
struct SavedFiles {
    config: Map<String, Value>,
    generation: Value,
}

fn saved() -> BTreeMap<String, Vec<Saved>> {
    let text = fs::read_to_string(fixture("saved_configs.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The settings that the newest version saves.
fn newest(name: &str) -> Map<String, Value> {
    let mut all = saved().remove(name).unwrap();
    all.pop().unwrap().files.config
}

/// Reads settings under a name of their own, since a warning is told once for every file.
fn read(
    settings: &Map<String, Value>,
    name: &str,
    strictness: Strictness,
) -> (Result<DecoderConfig, ModelError>, Vec<String>) {
    let text = serde_json::to_string(settings).unwrap();
    warnings(|| Family::read(&text, Path::new(name), strictness))
}

/// A result, and the warnings on the way to it.
fn warnings<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let told = Arc::default();
    let result = tracing::subscriber::with_default(Collector(Arc::clone(&told)), work);
    let told = std::mem::take(&mut *told.lock().unwrap());
    (result, told)
}

/// Messages of all events.
struct Collector(Arc<Mutex<Vec<String>>>);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);

        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }

        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn every_version_of_transformers_saves_the_same_model() {
    let saved = saved();
    assert_eq!(saved.len(), 28);
    for (name, versions) in saved {
        let expected = read(
            &newest(&name),
            &format!("{name}-newest"),
            Strictness::Strict,
        )
        .0
        .unwrap();
        assert_eq!(expected.special.bos, Some(1), "{name}");
        for Saved { versions, files } in versions {
            let path = format!("{name}-{}", versions.join("-"));
            let (config, warnings) = read(&files.config, &path, Strictness::Strict);
            assert_eq!(
                config.unwrap_or_else(|error| panic!("{error}")),
                expected,
                "{path}"
            );
            assert_eq!(warnings, [""; 0], "{path}");
        }
    }
}

/// A copy of a fixture with another generation_config.json.
fn with_generation(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(fixture("llama").join(file), dir.path().join(file)).unwrap();
    }
    fs::write(dir.path().join("generation_config.json"), text).unwrap();
    dir
}

/// Ids of the model with this generation_config.json, and the warnings about them.
fn generation(settings: &Value) -> (Result<SpecialIds, ModelError>, Vec<String>) {
    let dir = with_generation(&settings.to_string());
    let read = || CheckpointInfo::read(dir.path(), Strictness::Strict);
    let (info, warnings) = warnings(read);
    (info.map(|info| info.special), warnings)
}

#[test]
fn every_version_saves_the_same_ids() {
    for (name, versions) in saved() {
        for Saved { versions, files } in versions {
            let (ids, warnings) = generation(&files.generation);
            let eos = if name == "llama3" {
                vec![2, 3]
            } else {
                vec![2]
            };
            let expected = SpecialIds {
                bos: Some(1),
                eos,
                pad: Some(0),
            };
            assert_eq!(ids.unwrap(), expected, "{name} {versions:?}");
            assert_eq!(warnings, [""; 0], "{name} {versions:?}");
        }
    }
}

/// The ids that `transformers` stops at, found by generating with it.
#[test]
fn generation_config_alone_tells_what_ends_a_text() {
    // Settings, ids of the end, and whether there is a warning.
    let cases = [
        (json!({ "eos_token_id": 5 }), vec![5], false),
        (json!({ "eos_token_id": [5, 6] }), vec![5, 6], false),
        (json!({ "eos_token_id": 5.0 }), vec![5], false),
        (json!({ "eos_token_id": [[5]] }), vec![5], false),
        (json!({ "eos_token_id": [5, 5000] }), vec![5], true),
        (json!({ "eos_token_id": [5, -1] }), vec![5], true),
        (json!({ "eos_token_id": [5, null] }), vec![5], true),
        (json!({ "eos_token_id": true }), vec![], true),
        (json!({ "eos_token_id": [] }), vec![], false),
        (json!({ "eos_token_id": null }), vec![], true),
        (json!({}), vec![], true),
        (
            json!({ "eos_token_id": 5, "pad_token_id": 80 }),
            vec![5],
            true,
        ),
        (
            json!({ "eos_token_id": 5, "pad_token_id": -1 }),
            vec![5],
            true,
        ),
        (
            json!({ "eos_token_id": 5, "pad_token_id": [0, 1] }),
            vec![5],
            false,
        ),
        (
            json!({ "eos_token_id": 5, "bos_token_id": 9999 }),
            vec![5],
            true,
        ),
        (
            json!({ "eos_token_id": 5, "sequence_bias": null, "anything": 3 }),
            vec![5],
            false,
        ),
    ];
    for (settings, eos, is_warned) in cases {
        let (ids, warnings) = generation(&settings);
        assert_eq!(ids.unwrap().eos, eos, "{settings}");
        assert_eq!(!warnings.is_empty(), is_warned, "{settings}: {warnings:?}");
    }
    for settings in [
        json!({ "eos_token_id": "2" }),
        json!({ "pad_token_id": 0.5 }),
        json!([1]),
    ] {
        let error = generation(&settings).0.unwrap_err();
        assert!(
            error.to_string().contains("generation_config.json: "),
            "{error}"
        );
    }
}

#[test]
fn ids_without_a_token_are_passed_over() {
    let with = |key: &str, value: Value| {
        let mut settings = newest("llama");
        settings.insert(key.to_owned(), value);
        let (config, warnings) = read(&settings, &format!("of {key}"), Strictness::Strict);
        (config.unwrap().special, warnings)
    };
    let (ids, warnings) = with("pad_token_id", json!(-1));
    assert_eq!((ids.pad, ids.eos), (None, vec![2]));
    let expected = "of pad_token_id: pad_token_id names -1, which no token of 80 has; passed over";
    assert_eq!(warnings, [expected]);
    assert_eq!(with("eos_token_id", json!([79, 80])).0.eos, [79]);
    assert_eq!(with("eos_token_id", json!(80)).0.eos, [0; 0]);
    assert_eq!(with("bos_token_id", json!(5000)).0.bos, None);
    assert_eq!(with("pad_token_id", json!([3, null])).0.pad, Some(3));
    let many = with("eos_token_id", json!(vec![-1; 1000])).1;
    assert!(many[0].len() < 200, "{many:?}");
}

/// Settings beside, or instead of, those that `transformers` saves.
#[derive(Deserialize)]
struct Found {
    base: String,
    /// Where such are found.
    from: String,
    /// The key that is left out.
    without: Option<String>,
    set: Map<String, Value>,
    fate: Fate,
}

/// The fate of settings.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    /// They load, and mean the same as without them.
    Same,
    /// They load, and mean something else.
    Other,
    /// They mean the same, and a warning names this key.
    Warned(String),
    /// This one is refused; leniently they load.
    Refused(String),
    /// This one is refused in any case.
    Impossible(String),
}

#[test]
fn settings_found_elsewhere() {
    let text = fs::read_to_string(fixture("found_settings.jsonl")).unwrap();
    let found: Vec<Found> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(found.len() > 50);
    for Found {
        base,
        from,
        without,
        set,
        fate,
    } in found
    {
        let mut settings = newest(&base);
        let (expected, _) = read(&settings, &format!("{from}, plain"), Strictness::Strict);
        settings.retain(|key, _| Some(key) != without.as_ref());
        settings.extend(set);
        let strict = read(&settings, &format!("{from}, strict"), Strictness::Strict);
        let lenient = read(&settings, &format!("{from}, lenient"), Strictness::Lenient);
        check_fate(&from, &expected.unwrap(), &fate, strict, lenient);
    }
}

type Outcome = (Result<DecoderConfig, ModelError>, Vec<String>);

fn check_fate(
    origin: &str,
    expected: &DecoderConfig,
    fate: &Fate,
    (strict, warnings): Outcome,
    (lenient, passed): Outcome,
) {
    let refused = |error: ModelError, key: &str| {
        let named =
            matches!(&error, ModelError::UnsupportedSetting { key: found, .. } if found == key);
        assert!(named, "{origin}: {error}");
    };
    match fate {
        Fate::Same => {
            let config = strict.unwrap_or_else(|error| panic!("{origin}: {error}"));
            assert_eq!(&config, expected, "{origin}");
            assert_eq!(warnings, [""; 0], "{origin}");
        }
        Fate::Other => assert_ne!(&strict.unwrap(), expected, "{origin}"),
        Fate::Warned(key) => {
            assert_eq!(&strict.unwrap(), expected, "{origin}");
            let [warning] = &warnings[..] else {
                panic!("{origin}: {warnings:?}")
            };
            assert!(
                warning.contains(&format!("'{key}' is not known, and passed over")),
                "{warning}"
            );
        }
        Fate::Refused(key) => {
            refused(strict.unwrap_err(), key);
            assert_eq!(warnings, [""; 0], "{origin}");
            assert_eq!(&lenient.unwrap(), expected, "{origin}");
            assert!(
                passed.len() == 1 && passed[0].contains(&format!("'{key}'")),
                "{passed:?}"
            );
        }
        Fate::Impossible(key) => {
            refused(strict.unwrap_err(), key);
            refused(lenient.unwrap_err(), key);
        }
    }
}

#[test]
fn a_warning_is_told_once_for_a_file() {
    let mut settings = newest("llama");
    settings.insert("first_note".to_owned(), json!(1));
    settings.insert("second_note".to_owned(), json!("x\ny"));
    let expected = "told-once: 'first_note', 'second_note' are not known, and passed over";
    assert_eq!(
        read(&settings, "told-once", Strictness::Strict).1,
        [expected]
    );
    assert_eq!(read(&settings, "told-once", Strictness::Strict).1, [""; 0]);
    for number in 0..1000 {
        settings.insert(format!("note\n{number}"), json!(1));
    }
    let told = read(&settings, "many-notes", Strictness::Strict).1;
    assert!(
        matches!(&told[..], [one] if one.len() < 300 && !one.contains('\n')),
        "{told:?}"
    );
    assert!(told[0].contains("and 992 more are not known"), "{told:?}");
}

#[test]
fn leniency_passes_over_tensors_too() {
    let dir = with_generation("{\"eos_token_id\": 2}");
    let path = dir.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let fewer = text.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    assert_ne!(text, fewer);
    fs::write(path, fewer).unwrap();
    let with = |strictness| {
        let options = LoadOptions {
            strictness,
            ..LoadOptions::default()
        };
        warnings(|| FrozenModel::load(dir.path(), &options))
    };
    let error = with(Strictness::Strict).0.unwrap_err();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
    let (model, told) = with(Strictness::Lenient);
    assert_eq!(model.unwrap().decoder.block_count(), 2);
    assert!(
        matches!(&told[..], [one] if one.contains("all 9 such tensors")),
        "{told:?}"
    );
}

#[test]
fn saved_settings_are_those_that_are_read() {
    let dir = tempfile::tempdir().unwrap();
    load("llama").save(dir.path(), Default::default()).unwrap();
    let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
    let settings: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let (config, warnings) = read(&settings, "saved-here", Strictness::Strict);
    assert_eq!(config.unwrap(), *load("llama").config());
    assert_eq!(warnings, [""; 0]);
}
