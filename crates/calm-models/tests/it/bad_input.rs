//! Damaged, foreign and impossible checkpoints: each has its error, none a panic.

use std::fs;
use std::path::Path;

use crate::common::fixture;
use calm_models::{
    ConfigError, FrozenModel, HeaderError, LoadOptions, ModelError, SequenceOptions, Session,
    WeightProblem,
};
use serde_json::{Value, json};

/// A copy of the fixture `llama` to be damaged.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "model.safetensors",
    ] {
        fs::copy(fixture("llama").join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// The error, whose message must be one line that names a path in the directory.
#[track_caller]
fn error(dir: &Path) -> ModelError {
    let error = FrozenModel::load(dir, &LoadOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    assert!(message.starts_with(&*dir.to_string_lossy()), "{message}");
    error
}

fn with_config(change: impl FnOnce(&mut Value)) -> ModelError {
    let dir = copy();
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    fs::write(path, config.to_string()).unwrap();
    error(dir.path())
}

/// The error after the header (its JSON) and the data of the weights were changed.
fn with_weights(change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> ModelError {
    let dir = copy();
    let path = dir.path().join("model.safetensors");
    let file = fs::read(&path).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let mut data = data.to_vec();
    change(&mut header, &mut data);
    fs::write(path, safetensors_file(&header, &data)).unwrap();
    error(dir.path())
}

fn safetensors_file(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn with_weight_bytes(change: impl FnOnce(&mut Vec<u8>)) -> ModelError {
    let dir = copy();
    let path = dir.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    change(&mut file);
    fs::write(path, file).unwrap();
    error(dir.path())
}

fn header_error(error: ModelError) -> HeaderError {
    match error {
        ModelError::Header { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

fn problems(error: ModelError) -> Vec<WeightProblem> {
    match error {
        ModelError::Weights { problems, .. } => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn directories_without_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(error(dir.path()), ModelError::Io { .. }));
    let dir = copy();
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(matches!(error(dir.path()), ModelError::NoWeights { .. }));
    let dir = copy();
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert!(matches!(error(dir.path()), ModelError::Tokenizer { .. }));
    let dir = copy();
    fs::write(dir.path().join("config.json"), b"\xff\xfe").unwrap();
    assert!(matches!(error(dir.path()), ModelError::Io { .. }));
}

#[test]
fn settings_that_are_no_settings() {
    for text in ["", "{", "[]", "null", &"[".repeat(100_000)] {
        let dir = copy();
        fs::write(dir.path().join("config.json"), text).unwrap();
        assert!(matches!(error(dir.path()), ModelError::Json { .. }));
    }
    let error = with_config(|config| config["hidden_size"] = json!("wide"));
    assert!(matches!(error, ModelError::Json { .. }), "{error}");
    let error = with_config(|config| config["hidden_size"] = json!(-1));
    assert!(matches!(error, ModelError::Json { .. }), "{error}");
    let error = with_config(|config| drop(config.as_object_mut().unwrap().remove("vocab_size")));
    assert!(
        error.to_string().contains("missing field `vocab_size`"),
        "{error}"
    );
}

#[test]
fn settings_that_are_longer_than_any() {
    let dir = copy();
    let text = format!("{{\"model_type\": \"{}\"}}", "x".repeat(5 << 20));
    fs::write(dir.path().join("config.json"), text).unwrap();
    assert!(matches!(error(dir.path()), ModelError::TooLong { .. }));
}

#[test]
fn families_that_are_not_supported_are_named() {
    let error = with_config(|config| config["model_type"] = json!("mamba2"));
    assert!(
        matches!(&error, ModelError::UnsupportedFamily { family, .. } if family == "mamba2"),
        "{error}"
    );
    let error = with_config(|config| drop(config.as_object_mut().unwrap().remove("model_type")));
    assert!(
        matches!(error, ModelError::UnsupportedFamily { .. }),
        "{error}"
    );
}

#[test]
fn settings_that_would_change_the_numbers_are_named() {
    let cases: [(&str, Value); 4] = [
        ("hidden_act", json!("prelu")),
        ("sliding_window", json!(64)),
        ("residual_multiplier", json!(2)),
        ("quantization_config", json!({ "bits": 4 })),
    ];
    for (key, value) in cases {
        let error = with_config(|config| config[key] = value);
        assert!(
            matches!(&error, ModelError::UnsupportedSetting { key: found, .. } if found == key),
            "{error}"
        );
    }
    let error =
        with_config(|config| config["rope_parameters"]["rope_type"] = json!("proportional"));
    assert!(
        error.to_string().contains("'rope_parameters.rope_type'"),
        "{error}"
    );
    let error = with_config(|config| config["rope_parameters"]["beta_fast"] = json!(32));
    assert!(
        error.to_string().contains("'rope_parameters.beta_fast'"),
        "{error}"
    );
}

#[test]
fn impossible_sizes_are_named() {
    let source = |change: fn(&mut Value)| match with_config(change) {
        ModelError::InvalidConfig { source, .. } => source,
        other => panic!("{other:?}"),
    };
    let heads = source(|config| config["num_attention_heads"] = json!(0));
    assert!(
        matches!(heads, ConfigError::Size { value: 0, .. }),
        "{heads}"
    );
    let blocks = source(|config| config["num_hidden_layers"] = json!(1_000_000_000));
    assert!(
        matches!(
            blocks,
            ConfigError::Size {
                value: 1_000_000_000,
                ..
            }
        ),
        "{blocks}"
    );
    let kv_heads = source(|config| config["num_key_value_heads"] = json!(3));
    assert_eq!(
        kv_heads,
        ConfigError::KvHeads {
            heads: 4,
            kv_heads: 3
        }
    );
    let heads = source(|config| {
        config["head_dim"] = Value::Null;
        config["num_attention_heads"] = json!(5);
    });
    assert_eq!(
        heads,
        ConfigError::Heads {
            heads: 5,
            d_model: 32
        }
    );
    let factor = source(|config| config["rope_parameters"]["rope_type"] = json!("linear"));
    assert!(
        matches!(
            factor,
            ConfigError::MissingRopeNumber { name: "factor", .. }
        ),
        "{factor}"
    );
}

#[test]
fn weight_files_that_are_cut_off_or_no_weight_files() {
    for length in [0, 7] {
        let error = header_error(with_weight_bytes(|file| file.truncate(length)));
        assert!(matches!(error, HeaderError::TooShort { .. }), "{error}");
    }
    let error = header_error(with_weight_bytes(|file| file.truncate(100)));
    assert!(matches!(error, HeaderError::HeaderLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| file.truncate(file.len() - 1)));
    assert!(matches!(error, HeaderError::DataLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| {
        file[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    }));
    assert!(matches!(error, HeaderError::HeaderLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| file[8] = b'x'));
    assert!(matches!(error, HeaderError::Json { .. }), "{error}");
}

#[test]
fn tensors_that_overlap() {
    let error = header_error(with_weights(|header, _| {
        header["lm_head.weight"]["data_offsets"] =
            header["model.embed_tokens.weight"]["data_offsets"].clone();
    }));
    assert!(matches!(error, HeaderError::Offset { .. }), "{error}");
}

#[test]
fn tensors_of_another_type_or_shape() {
    let error = with_weights(|header, _| header["model.norm.weight"]["dtype"] = json!("I32"));
    let name = "model.norm.weight".to_owned();
    assert_eq!(
        problems(error),
        [WeightProblem::Type {
            name: name.clone(),
            found: "I32".into()
        }]
    );
    let error = with_weights(|header, _| header["model.norm.weight"]["shape"] = json!([2, 16]));
    let (expected, found) = (vec![32], vec![2, 16]);
    assert_eq!(
        problems(error),
        [WeightProblem::Shape {
            name,
            expected,
            found
        }]
    );
}

#[test]
fn everything_missing_and_left_over_is_listed() {
    let renamed = "model.layers.1.mlp.up_proj.weight";
    let other = "layers.1.mlp.up_proj.weight";
    let error = with_weights(|header, data| {
        let header = header.as_object_mut().unwrap();
        let tensor = header.remove(renamed).unwrap();
        header.insert(other.to_owned(), tensor);
        let end = data.len();
        data.extend([0; 4]);
        let extra = json!({ "dtype": "F32", "shape": [1], "data_offsets": [end, end + 4] });
        header.insert("extra".to_owned(), extra);
    });
    let message = error.to_string();
    assert!(
        message.contains(&format!("{renamed} is missing (there is a {other})")),
        "{message}"
    );
    let expected = [
        WeightProblem::Missing {
            name: renamed.to_owned(),
            near_miss: Some(other.to_owned()),
        },
        WeightProblem::Surplus {
            name: "extra".to_owned(),
        },
        WeightProblem::Surplus {
            name: other.to_owned(),
        },
    ];
    assert_eq!(problems(error), expected);
}

#[test]
fn more_blocks_than_the_file_has() {
    let error = with_config(|config| config["num_hidden_layers"] = json!(4));
    let problems = problems(error);
    assert_eq!(problems.len(), 9);
    assert!(problems.iter().all(|problem| matches!(
        problem,
        WeightProblem::Missing { name, .. } if name.starts_with("model.layers.3.")
    )));
}

#[test]
fn messages_stay_short() {
    let error = with_config(|config| config["num_hidden_layers"] = json!(4096));
    let message = error.to_string();
    assert!(message.len() < 10_000, "{}", message.len());
    assert!(message.contains("and 36737 more problems"), "{message}");
    assert_eq!(problems(error).len(), 4093 * 9);
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let error = with_weights(|header, data| {
        let start = header["model.norm.weight"]["data_offsets"][0]
            .as_u64()
            .unwrap() as usize;
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let problems = problems(error);
    assert!(
        matches!(&problems[..], [WeightProblem::NotFinite { name, .. }] if name == "model.norm.weight"),
        "{problems:?}"
    );
}

#[test]
fn numbers_that_are_not_finite_can_be_allowed() {
    let dir = copy();
    let path = dir.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let end = file.len();
    file[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(path, file).unwrap();
    assert!(matches!(error(dir.path()), ModelError::Weights { .. }));
    let options = LoadOptions {
        allow_not_finite: true,
        ..LoadOptions::default()
    };
    assert!(FrozenModel::load(dir.path(), &options).is_ok());
}

/// A copy of the fixture `llama`, whose head has numbers of its own, that says it has not.
fn copy_said_to_be_tied() -> tempfile::TempDir {
    let dir = copy();
    let path = dir.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let tied = config.replace(
        "\"tie_word_embeddings\": false",
        "\"tie_word_embeddings\": true",
    );
    assert_ne!(config, tied);
    fs::write(path, tied).unwrap();
    dir
}

#[test]
fn a_head_beside_a_tied_embedding_counts_if_it_differs() {
    let load = |dir: &Path| FrozenModel::load(dir, &LoadOptions::default()).unwrap();
    let dir = copy_said_to_be_tied();
    assert!(!load(dir.path()).config().head.tied);
    let path = dir.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let bytes = |name: &str| {
        let [start, end] = [0, 1].map(|i| tensors[name]["data_offsets"][i].as_u64().unwrap());
        8 + header + start as usize..8 + header + end as usize
    };
    file.copy_within(
        bytes("model.embed_tokens.weight"),
        bytes("lm_head.weight").start,
    );
    fs::write(path, file).unwrap();
    assert!(load(dir.path()).config().head.tied);
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere() {
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "model.safetensors",
    ] {
        for target in [name, "absent"] {
            let dir = copy();
            let path = dir.path().join(name);
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
            let error = error(dir.path());
            assert!(matches!(error, ModelError::Io { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

/// A checkpoint in shards, with this index.
fn with_index(index: &Value) -> tempfile::TempDir {
    let dir = copy();
    let shard = dir.path().join("model-00001-of-00001.safetensors");
    fs::rename(dir.path().join("model.safetensors"), shard).unwrap();
    fs::write(
        dir.path().join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
    dir
}

#[test]
fn shards_stay_in_their_directory() {
    let load = |dir: &Path| FrozenModel::load(dir, &LoadOptions::default());
    let inside = json!({ "weight_map": { "lm_head.weight": "model-00001-of-00001.safetensors" } });
    assert!(load(with_index(&inside).path()).is_ok());
    for name in ["../model.safetensors", "/etc/hostname", ""] {
        let dir = with_index(&json!({ "weight_map": { "lm_head.weight": name } }));
        assert!(
            matches!(error(dir.path()), ModelError::Index { .. }),
            "{name}"
        );
    }
    let dir = with_index(&json!({ "weight_map": {} }));
    assert!(matches!(error(dir.path()), ModelError::Index { .. }));
    let dir = with_index(&json!({ "weight_map": { "lm_head.weight": "absent.safetensors" } }));
    assert!(matches!(error(dir.path()), ModelError::Io { .. }));
}

#[test]
fn tensors_in_two_shards() {
    let index = json!({ "weight_map": { "a": "model-00001-of-00001.safetensors", "b": "copy" } });
    let dir = with_index(&index);
    let shard = dir.path().join("model-00001-of-00001.safetensors");
    fs::copy(shard, dir.path().join("copy")).unwrap();
    let problems = problems(error(dir.path()));
    assert!(
        problems
            .iter()
            .all(|problem| matches!(problem, WeightProblem::Duplicate { .. }))
    );
    assert!(!problems.is_empty());
}

#[test]
fn tokenizers_that_do_not_fit() {
    let dir = copy();
    fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert!(matches!(error(dir.path()), ModelError::Tokenizer { .. }));
    let dir = copy();
    let path = dir.path().join("tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("\"~\": 71", "\"~\": 80")).unwrap();
    // A token without embedding is in the way of the texts that hold it alone.
    let model = FrozenModel::load(dir.path(), &LoadOptions::default()).unwrap();
    assert!(model.tokenizer.encode("four words", true).is_ok());
    let error = model.tokenizer.encode("a~", true).unwrap_err().to_string();
    assert!(
        error
            .contains("the token \"~\" with the id 80, but the model has embeddings for 80 tokens"),
        "{error}"
    );
    let mut session = Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
    let options = SequenceOptions::greedy(1, Vec::new());
    assert!(session.add_text("~", &options).is_err());
}
