//! `config.json` and `generation_config.json`.

use calm_models::{CheckpointInfo, ConfigError, ModelError, Strictness};
use calm_testing::Checkpoint;
use serde_json::{Value, json};

use super::{assert_all_refused, assert_refused_by, error, with_config};

#[test]
fn settings() {
    assert_all_refused(&[
        (
            "no heads",
            |c| c.config("num_attention_heads", json!(0)),
            &["config.json: the number of attention heads is 0"],
        ),
        (
            "no heads, nor a width",
            |c| {
                c.config("head_dim", Value::Null);
                c.config("num_attention_heads", json!(0));
            },
            &["config.json: 0 attention heads do not divide the hidden size 32"],
        ),
        (
            "no key-value heads",
            |c| c.config("num_key_value_heads", json!(0)),
            &["config.json: the number of key-value heads is 0"],
        ),
        (
            "heads that do not divide",
            |c| {
                c.config("head_dim", Value::Null);
                c.config("num_attention_heads", json!(5));
            },
            &["config.json: 5 attention heads do not divide the hidden size 32"],
        ),
        (
            "a billion blocks",
            |c| c.config("num_hidden_layers", json!(1_000_000_000)),
            &["config.json: the number of blocks is 1000000000"],
        ),
        (
            "more blocks than the weights",
            |c| c.config("num_hidden_layers", json!(4096)),
            &[
                "layers.3.self_attn.q_proj.weight is missing",
                "more problems",
            ],
        ),
        (
            "a wide vocabulary",
            |c| c.config("vocab_size", json!(u64::MAX)),
            &["config.json: the vocabulary size is 18446744073709551615"],
        ),
        (
            "a width of 2^64",
            |c| c.text("config.json", ": 32,", ": 18446744073709551616,"),
            &["config.json: hidden_size: ", "1.8446744073709552e+19"],
        ),
        (
            "an epsilon of 1e400",
            |c| c.text("config.json", "1e-06", "1e400"),
            &["config.json: number out of range"],
        ),
        (
            "a negative width",
            |c| c.config("hidden_size", json!(-32)),
            &["config.json: hidden_size: ", "-32"],
        ),
        (
            "a key twice",
            |c| c.text("config.json", "{", "{\"hidden_size\": 32,"),
            &["config.json: key 'hidden_size' occurs twice"],
        ),
        (
            "a key twice in a section",
            |c| {
                c.text(
                    "config.json",
                    "\"rope_theta\"",
                    "\"rope_type\": 1, \"rope_theta\"",
                );
            },
            &["config.json: key 'rope_type' occurs twice"],
        ),
        (
            "deep",
            |c| c.write("config.json", "{\"a\":".repeat(1 << 19)),
            &["config.json: recursion limit exceeded"],
        ),
        (
            "huge",
            |c| c.write("config.json", format!("[{}0]", "0,".repeat(4 << 20))),
            &["config.json: longer than the 4194304 bytes"],
        ),
        (
            "an empty file",
            |c| c.write("config.json", ""),
            &["config.json: EOF"],
        ),
        (
            "no text",
            |c| c.write("config.json", [0xfe, 0xfd]),
            &["config.json: is not UTF-8 at byte 1 of line 1"],
        ),
        (
            "text of two bytes a character",
            |c| c.write("config.json", [0xff, 0xfe]),
            &["config.json: is UTF-16"],
        ),
        (
            "an end of text twice",
            |c| c.text("generation_config.json", "{", "{\"eos_token_id\": 3,"),
            &["generation_config.json: key 'eos_token_id' occurs twice"],
        ),
    ]);
}

#[test]
fn settings_that_are_no_settings() {
    for text in ["", "{", "[]", "null", &"[".repeat(100_000)] {
        let checkpoint = Checkpoint::new();
        checkpoint.write("config.json", text);
        assert!(matches!(error(&checkpoint), ModelError::Json { .. }));
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
    let checkpoint = Checkpoint::new();
    let text = format!("{{\"model_type\": \"{}\"}}", "x".repeat(5 << 20));
    checkpoint.write("config.json", text);
    assert!(matches!(error(&checkpoint), ModelError::TooLong { .. }));
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
fn descriptions_refuse_what_loading_refuses() {
    assert_refused_by(
        |checkpoint| CheckpointInfo::read(checkpoint.dir(), Strictness::Strict).map(drop),
        &[
            (
                "a billion blocks",
                |c| c.config("num_hidden_layers", json!(1_000_000_000)),
                &["config.json: the number of blocks is 1000000000"],
            ),
            (
                "cut off",
                |c| c.bytes("model.safetensors", |file| file.truncate(3000)),
                &["model.safetensors: "],
            ),
            (
                "another model's weights",
                |c| c.config("num_hidden_layers", json!(2)),
                &["tensor model.layers.2.input_layernorm.weight is not part of this model"],
            ),
        ],
    );
}
