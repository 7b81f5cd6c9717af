//! The settings of all families: right, refused by name, or known to change nothing.

use std::fs;
use std::path::Path;

use crate::common::{FIXTURES, fixture};
use calm_models::{
    Activation, AlibiKind, CheckpointInfo, ConfigError, DecoderConfig, Family, FeedForwardKind,
    ModelError, PositionEmbedding, PositionEncoding, QkNorm, ResidualConfig, RopeConfig,
    RopeScaling, Strictness,
};
use serde_json::{Map, Value, json};

fn settings(name: &str) -> Value {
    let text = fs::read_to_string(fixture(name).join("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn read(settings: &Value) -> Result<DecoderConfig, ModelError> {
    Family::read(
        &settings.to_string(),
        Path::new("config.json"),
        Strictness::Strict,
    )
}

/// The config of a fixture whose settings were changed.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Result<DecoderConfig, ModelError> {
    let mut settings = settings(name);
    change(&mut settings);
    read(&settings)
}

/// The sizes of a model, and nothing else.
fn minimal(model_type: &str) -> DecoderConfig {
    let settings = json!({
        "model_type": model_type, "vocab_size": 60_000, "hidden_size": 1024,
        "intermediate_size": 40, "num_hidden_layers": 30, "num_attention_heads": 32,
    });
    read(&settings).unwrap()
}

#[test]
fn absent_keys_have_the_defaults_of_transformers() {
    // Family, key-value heads, head width, context, end token, tied head.
    let expected = [
        ("llama", 32, 32, 2048, Some(2), false),
        ("mistral", 8, 32, 131_072, Some(2), false),
        ("qwen2", 32, 32, 32_768, None, false),
        ("mixtral", 8, 32, 131_072, Some(2), false),
        ("qwen2_moe", 16, 32, 32_768, None, false),
        ("qwen3", 32, 128, 32_768, None, false),
        ("qwen3_moe", 4, 32, 32_768, None, false),
        ("smollm3", 4, 32, 32_768, None, true),
        ("gemma", 16, 256, 8192, Some(1), true),
        ("gemma2", 4, 256, 8192, Some(1), true),
        ("gemma3_text", 4, 256, 131_072, Some(1), true),
        ("starcoder2", 2, 32, 4096, Some(50_256), true),
        ("stablelm", 32, 32, 4096, Some(0), false),
        ("olmo2", 32, 32, 2048, Some(50_279), false),
        ("granite", 32, 32, 2048, Some(2), false),
        ("phi3", 32, 32, 4096, Some(32_000), false),
    ];
    for (family, kv_heads, d_head, context_length, eos, tied_head) in expected {
        let config = minimal(family);
        assert_eq!(
            config.first_block().attention.kv_heads,
            kv_heads,
            "{family}"
        );
        assert_eq!(config.first_block().attention.d_head, d_head, "{family}");
        assert_eq!(config.context_length, context_length, "{family}");
        assert_eq!(config.special.eos, Vec::from_iter(eos), "{family}");
        assert_eq!(config.head.tied, tied_head, "{family}");
    }
    let windows = |family| -> Vec<Option<usize>> {
        minimal(family)
            .blocks
            .iter()
            .take(6)
            .map(|block| block.attention.window)
            .collect()
    };
    let (all, some) = (None, Some(4096));
    assert_eq!(windows("llama"), [all; 6]);
    assert_eq!(windows("mistral"), [some; 6]);
    assert_eq!(windows("gemma2"), [some, all, some, all, some, all]);
    assert_eq!(windows("gemma3_text"), [some, some, some, some, some, all]);
    let theta = |block: usize| {
        let config = minimal("gemma3_text");
        config.blocks[block].attention.rope().unwrap().theta
    };
    assert_eq!((theta(0), theta(5)), (1e4, 1e6));
}

/// Settings of a file that names little more than sizes.
fn with(family: &str, keys: &Value) -> Result<DecoderConfig, ModelError> {
    let mut settings = json!({
        "model_type": family, "vocab_size": 65_024, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 8,
    });
    let of_another_name = match family {
        "bloom" | "falcon" | "xglm" => &["intermediate_size"][..],
        _ => &[],
    };
    let settings_map = settings.as_object_mut().unwrap();
    settings_map.retain(|key, _| !of_another_name.contains(&key.as_str()));
    settings_map.extend(keys.as_object().unwrap().clone());
    read(&settings)
}

#[test]
fn neox_and_bloom_have_the_defaults_of_transformers() {
    let neox = with("gpt_neox", &json!({})).unwrap();
    let block = neox.first_block();
    assert_eq!(block.residual, ResidualConfig::Parallel);
    assert_eq!(block.attention.rope().unwrap().partial, 0.25);
    assert!(block.attention.output_bias && !neox.head.tied);
    assert_eq!((neox.context_length, &*neox.special.eos), (2048, &[2][..]));

    // As the first files have it, with settings of the training program.
    let bloom = json!({
        "n_embed": 128, "n_layer": 3, "n_head": 16, "n_inner": null, "offset_alibi": 100,
        "skip_bias_add": true, "skip_bias_add_qkv": false, "attention_softmax_in_fp32": true,
        "masked_softmax_fusion": true, "bias_dropout_fusion": true, "unk_token_id": 0,
        "pretraining_tp": 2, "seq_length": 4096,
    });
    let bloom = with("bloom", &bloom).unwrap();
    assert_eq!(
        (bloom.d_model, bloom.block_count(), bloom.heads()),
        (128, 3, 16)
    );
    let block = bloom.first_block();
    assert_eq!(block.attention.alibi(), Some(AlibiKind::AfterScale));
    assert_eq!((block.feed_forward.d_ff, bloom.context_length), (512, 4096));
    assert!(bloom.embedding.norm.is_some() && bloom.head.tied);

    let keys = json!({ "ffn_dim": 96, "scale_embedding": false });
    let xglm = with("xglm", &keys).unwrap();
    assert_eq!((xglm.d_model, xglm.block_count(), xglm.heads()), (64, 2, 8));
    let positions = PositionEmbedding::Sinusoidal { zeroed: Some(1) };
    assert_eq!(
        (xglm.embedding.positions, xglm.embedding.scale),
        (positions, None)
    );
}

#[test]
fn falcons_tell_their_layout_by_several_keys() {
    use ResidualConfig::*;

    let layout = |keys: &Value| {
        let config = with("falcon", keys)?;
        let block = config.first_block();
        Ok((block.attention.kv_heads, block.residual))
    };
    let found: [(Value, (usize, ResidualConfig)); 7] = [
        (json!({}), (1, ParallelSharedNorm)),
        (json!({ "num_kv_heads": 71 }), (1, ParallelSharedNorm)),
        (json!({ "multi_query": false }), (8, ParallelSharedNorm)),
        (
            json!({ "parallel_attn": false, "multi_query": false }),
            (8, PreNorm),
        ),
        (json!({ "new_decoder_architecture": true }), (8, Parallel)),
        (
            json!({ "new_decoder_architecture": true, "num_kv_heads": 2, "multi_query": true }),
            (2, Parallel),
        ),
        (
            json!({ "new_decoder_architecture": true, "num_ln_in_parallel_attn": 1 }),
            (8, ParallelSharedNorm),
        ),
    ];
    for (keys, expected) in found {
        let found: Result<_, ModelError> = layout(&keys);
        assert_eq!(found.unwrap(), expected, "{keys}");
    }
    for (key, keys) in [
        (
            "parallel_attn",
            json!({ "new_decoder_architecture": true, "parallel_attn": false }),
        ),
        (
            "num_ln_in_parallel_attn",
            json!({ "num_ln_in_parallel_attn": 2 }),
        ),
        (
            "num_ln_in_parallel_attn",
            json!({ "new_decoder_architecture": true, "num_ln_in_parallel_attn": 3 }),
        ),
        (
            "num_kv_heads",
            json!({ "multi_query": false, "num_kv_heads": 2 }),
        ),
    ] {
        let error = layout(&keys).unwrap_err();
        assert!(
            matches!(&error, ModelError::UnsupportedSetting { key: found, .. } if found == key),
            "{error}"
        );
    }
}

#[test]
fn gpt2_has_the_defaults_of_transformers() {
    let settings = json!({
        "model_type": "gpt2", "vocab_size": 60_000, "n_embd": 64, "n_layer": 2, "n_head": 4,
    });
    let config = read(&settings).unwrap();
    let feed_forward = &config.first_block().feed_forward;
    assert_eq!((feed_forward.d_ff, config.context_length), (256, 1024));
    assert_eq!(feed_forward.activation, Activation::GeluNew);
    assert_eq!(feed_forward.kind, FeedForwardKind::Plain);
    assert_eq!(config.special.eos, [50_256]);
    assert_eq!(config.embedding.positions, PositionEmbedding::Learnt);
    assert!(config.head.tied);
    assert!(
        config
            .blocks
            .iter()
            .all(|block| block.attention.rope().is_none())
    );
}

#[test]
fn ids_that_a_family_assumes_need_an_embedding() {
    let config = changed("phi3-longrope", |settings| {
        settings.as_object_mut().unwrap().remove("eos_token_id");
    });
    assert_eq!(
        config.unwrap().special.eos,
        [0; 0],
        "32000 is not among 80 tokens"
    );
}

/// The layout of `transformers` 4: rotary settings side by side, another name for the type.
fn in_the_old_layout(settings: &mut Value) {
    let settings = settings.as_object_mut().unwrap();
    if let Some(dtype) = settings.remove("dtype") {
        settings.insert("torch_dtype".to_owned(), dtype);
    }
    if let Some(text) = settings.get_mut("text_config") {
        return in_the_old_layout(text);
    }
    let Some(Value::Object(mut rope)) = settings.remove("rope_parameters") else {
        return;
    };
    if let Some(local) = rope.remove("sliding_attention") {
        settings.insert(
            "rope_local_base_freq".to_owned(),
            local["rope_theta"].clone(),
        );
        rope = rope["full_attention"].as_object().unwrap().clone();
    }
    let is_neox = settings["model_type"] == "gpt_neox";
    for (key, of_neox) in [
        ("rope_theta", "rotary_emb_base"),
        ("partial_rotary_factor", "rotary_pct"),
    ] {
        let key_then = if is_neox { of_neox } else { key };
        settings.extend(rope.remove(key).map(|value| (key_then.to_owned(), value)));
    }
    let kind = rope.remove("rope_type").unwrap();
    if kind != "default" {
        rope.insert("type".to_owned(), kind);
        settings.insert("rope_scaling".to_owned(), Value::Object(rope));
    }
}

#[test]
fn both_layouts_mean_the_same() {
    for name in FIXTURES {
        let old = changed(name, in_the_old_layout).unwrap();
        assert_eq!(old, read(&settings(name)).unwrap(), "{name}");
    }
}

#[test]
fn rotary_scalings() {
    let scaling = |section: Value| {
        let config = changed("llama", |settings| settings["rope_scaling"] = section).unwrap();
        (
            config
                .first_block()
                .attention
                .rope()
                .unwrap()
                .scaling
                .clone(),
            config.context_length,
        )
    };
    let linear = json!({ "type": "linear", "rope_type": "linear", "factor": 2 });
    assert_eq!(scaling(linear), (RopeScaling::Linear { factor: 2.0 }, 128));
    let dynamic = json!({ "type": "dynamic", "factor": 2.0 });
    let expected = RopeScaling::Dynamic {
        factor: 2.0,
        original_context: 128,
    };
    assert_eq!(
        scaling(dynamic),
        (expected, 256),
        "longer than the context without it"
    );
    let yarn = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32 });
    let expected = RopeScaling::Yarn {
        factor: 4.0,
        attention_factor: 0.1 * 4f64.ln() + 1.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
        original_context: 32,
    };
    assert_eq!(scaling(yarn), (expected, 128));
    let longrope = json!({
        "rope_type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2],
        "original_max_position_embeddings": 32,
    });
    let expected = RopeScaling::LongRope {
        short_factors: [1.0; 4].into(),
        long_factors: [2.0; 4].into(),
        attention_factor: (1.0 + 4f64.ln() / 32f64.ln()).sqrt(),
        original_context: 32,
    };
    assert_eq!(scaling(longrope), (expected, 128));
    assert_eq!(scaling(json!({})).0, RopeScaling::None);
}

#[test]
fn windows_by_block() {
    let windows = |change: fn(&mut Value)| -> Result<Vec<Option<usize>>, ModelError> {
        let config = changed("qwen2-yarn", change)?;
        Ok(config
            .blocks
            .iter()
            .map(|block| block.attention.window)
            .collect())
    };
    let given = windows(|_| ()).unwrap();
    assert_eq!(given, [None, Some(4), Some(4)]);
    let first = windows(|s| {
        s["layer_types"] = Value::Null;
        s["max_window_layers"] = json!(2);
    });
    assert_eq!(first.unwrap(), [None, None, Some(4)]);
    let none = windows(|s| {
        s["layer_types"] = Value::Null;
        s["use_sliding_window"] = json!(false);
    });
    assert_eq!(none.unwrap(), [None; 3]);
    let source = |change| match windows(change).unwrap_err() {
        ModelError::InvalidConfig { source, .. } => source,
        other => panic!("{other}"),
    };
    let short = source(|s| s["layer_types"] = json!(["full_attention"]));
    assert!(
        matches!(
            short,
            ConfigError::BlockList {
                found: 1,
                expected: 3,
                ..
            }
        ),
        "{short}"
    );
    let unknown = source(|s| s["use_sliding_window"] = json!(false));
    assert_eq!(unknown, ConfigError::NoWindow);
    let error = changed("gemma2", |s| {
        s["layer_types"] = Value::Null;
        s["sliding_window"] = Value::Null;
    });
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("there is no sliding_window")
    );
}

#[test]
fn gelu_means_the_approximation_in_gemma_alone() {
    let activation = |name| {
        changed(name, |s| s["hidden_act"] = json!("gelu"))
            .unwrap()
            .first_block()
            .feed_forward
            .activation
    };
    assert_eq!(activation("gemma"), Activation::GeluTanh);
    assert_eq!(activation("mistral"), Activation::Gelu);
}

/// A file of Gemma 3 says of its text model only what is not so by default.
#[test]
fn the_text_model_within_another() {
    let whole = |text: Value| {
        json!({
            "model_type": "gemma3", "text_config": text, "vision_config": { "hidden_size": 1152 },
            "mm_tokens_per_image": 256, "image_token_index": 262_144, "eos_token_id": [1, 106],
        })
    };
    let text = json!({
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10_240,
        "num_hidden_layers": 34, "sliding_window": 1024,
        "rope_scaling": { "rope_type": "linear", "factor": 8.0 }, "final_logit_softcapping": 30.0,
    });
    let config = read(&whole(text)).unwrap();
    assert_eq!(config.head.softcap, None, "transformers ignores it here");
    assert_eq!(config.family, Family::Gemma3);
    assert_eq!((config.vocab_size, config.d_model), (262_208, 2560));
    let attention = &config.first_block().attention;
    assert_eq!((attention.heads, attention.kv_heads), (8, 4));
    assert_eq!((attention.d_head, attention.window), (256, Some(1024)));
    assert_eq!(config.special.eos, [1, 106]);
    assert!(config.head.tied);
    let error = read(&whole(json!({ "residual_multiplier": 0.5 }))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("'text_config.residual_multiplier'"),
        "{error}"
    );
    let mut quantised = whole(json!({}));
    quantised["quantization_config"] = json!({ "bits": 4 });
    let error = read(&quantised).unwrap_err();
    assert!(error.to_string().contains("quantization_config"), "{error}");
    let error = read(&whole(json!({ "model_type": "siglip" }))).unwrap_err();
    assert!(error.to_string().contains("siglip"), "{error}");
}

/// Settings that would change the numbers in a way that is not implemented.
#[test]
fn what_would_change_the_numbers_is_refused_by_name() {
    let rope = |kind: &str| json!({ "rope_type": kind, "factor": 2.0 });
    let cases: &[(&str, &str, Value)] = &[
        ("llama", "quantization_config", json!({ "bits": 4 })),
        ("llama", "hidden_act", json!("xielu")),
        ("llama", "sliding_window", json!(8)),
        ("llama", "residual_multiplier", json!(0.5)),
        ("llama", "partial_rotary_factor", json!(0.5)),
        ("llama", "rope_interleaved", json!(true)),
        ("llama", "no_rope_layers", json!([1, 0, 1])),
        ("mistral", "layer_types", json!(["full_attention"])),
        ("mistral", "attention_bias", json!(true)),
        ("qwen2-yarn", "layer_types", json!(["chunked_attention"])),
        ("qwen2-yarn", "num_experts", json!(8)),
        ("qwen3", "logit_scale", json!(0.5)),
        ("gpt2", "my_norm_kind", json!("l2")),
        ("gemma", "use_bidirectional_attention", json!(true)),
        ("gemma", "hidden_activation", json!("silu")),
        ("gemma2", "hidden_act", json!("silu")),
        ("gemma3", "attn_logit_softcapping", json!(50.0)),
        ("gemma3", "use_bidirectional_attention", json!(true)),
        ("phi3-longrope", "attention_bias", json!(true)),
        ("phi3-longrope", "full_attn_mod", json!(2)),
        ("gpt2", "scale_attn_by_inverse_layer_idx", json!(true)),
        ("gpt2", "add_cross_attention", json!(true)),
        ("gpt2", "activation_function", json!("prelu")),
        ("gpt_neox", "rope_theta", json!(500.0)),
    ];
    for (name, key, value) in cases {
        let error = changed(name, |settings| settings[*key] = value.clone()).unwrap_err();
        assert!(
            matches!(&error, ModelError::UnsupportedSetting { key: found, .. } if found == key),
            "{name}: {error}"
        );
    }
    let sections: &[(&str, Value)] = &[
        ("rope_scaling.rope_type", rope("proportional")),
        (
            "rope_scaling.short_mscale",
            json!({ "type": "linear", "factor": 2, "short_mscale": 1 }),
        ),
        (
            "rope_scaling.partial_rotary_factor",
            json!({ "partial_rotary_factor": 0.5 }),
        ),
    ];
    for (key, section) in sections {
        let change = |settings: &mut Value| settings["rope_scaling"] = section.clone();
        let error = changed("llama", change).unwrap_err();
        assert!(error.to_string().contains(&format!("'{key}'")), "{error}");
    }
    let nested = |s: &mut Value| s["rope_parameters"]["full_attention"]["beta_fast"] = json!(1);
    let error = changed("gemma3", nested).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("'rope_parameters.full_attention.beta_fast'"),
        "{error}"
    );
}

#[test]
fn tensors_of_several_parts_are_compared_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let shape = |name: &str, key: &str, value: Value| {
        let weights = fixture(name).join("model.safetensors");
        fs::copy(weights, dir.path().join("model.safetensors")).unwrap();
        let mut settings = settings(name);
        settings[key] = value;
        fs::write(dir.path().join("config.json"), settings.to_string()).unwrap();
        CheckpointInfo::read(dir.path(), Strictness::Strict)
            .unwrap_err()
            .to_string()
    };
    let message = shape("phi3-longrope", "num_key_value_heads", json!(2));
    let expected = "layers.2.self_attn.qkv_proj.weight has shape [24, 12], the configuration \
                    implies [36, 12]";
    assert!(message.contains(expected), "{message}");
    let message = shape("phi3-longrope", "intermediate_size", json!(21));
    assert!(
        message.contains("gate_up_proj.weight has shape [40, 12]"),
        "{message}"
    );
    let message = shape("gpt2", "n_embd", json!(16));
    assert!(
        message.contains("h.0.attn.c_attn.bias has shape [36]"),
        "{message}"
    );
}

#[test]
fn what_changes_nothing_is_passed_over() {
    let harmless = json!({
        "attention_dropout": 0.5, "id2label": { "0": "a" }, "max_length": 20, "use_cache": false,
        "quantization_config": null, "is_encoder_decoder": false, "top_p": 0.5,
        "transformers_version": "9", "torch_dtype": "float16",
    });
    for name in FIXTURES {
        let with = changed(name, |settings| {
            settings
                .as_object_mut()
                .unwrap()
                .extend(harmless.as_object().unwrap().clone());
        });
        assert_eq!(with.unwrap(), read(&settings(name)).unwrap(), "{name}");
    }
}

/// Every setting of every family, replaced by what should not be there.
#[test]
fn no_value_of_any_setting_is_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    for name in FIXTURES {
        let path = fixture(name).join("model.safetensors");
        fs::copy(path, dir.path().join("model.safetensors")).unwrap();
        let original = settings(name);
        for path in paths(&original) {
            for value in nasty_values() {
                let mut settings = original.clone();
                *settings.pointer_mut(&path).unwrap() = value;
                fs::write(dir.path().join("config.json"), settings.to_string()).unwrap();
                if let Err(error) = CheckpointInfo::read(dir.path(), Strictness::Strict) {
                    let message = error.to_string();
                    assert!(
                        !message.contains('\n') && message.len() < 100_000,
                        "{message}"
                    );
                    assert!(
                        message.starts_with(&*dir.path().to_string_lossy()),
                        "{message}"
                    );
                }
            }
        }
    }
}

fn nasty_values() -> [Value; 12] {
    [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(3),
        json!(u64::MAX),
        json!(1e300),
        json!(1e-300),
        json!("\u{0}"),
        json!([]),
        json!([0, -1, "x"]),
        json!({ "rope_type": "yarn", "factor": 0 }),
    ]
}

/// JSON pointers to every value, those inside sections included.
fn paths(settings: &Value) -> Vec<String> {
    let inside = |(key, value): (&String, &Value)| {
        let inner = paths(value)
            .into_iter()
            .map(move |path| format!("/{key}{path}"));
        std::iter::once(format!("/{key}"))
            .chain(inner)
            .collect::<Vec<_>>()
    };
    settings
        .as_object()
        .map_or_else(Vec::new, |map: &Map<String, Value>| {
            map.iter().flat_map(inside).collect()
        })
}

#[test]
fn what_a_family_cannot_say_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = crate::common::load("gemma").random_init_like(1);
    model.save(dir.path(), Default::default()).unwrap();
    let mut config = DecoderConfig::llama(80, 8, 1, 2);
    config.blocks[0].attention.encoding = PositionEncoding::Rope(RopeConfig {
        partial: 0.5,
        ..RopeConfig::plain(1e4)
    });
    config.blocks[0].attention.qk_norm = Some(QkNorm::Heads(config.final_norm));
    let decoder = calm_testing::decoder(&config, 0);
    model = calm_models::FrozenModel::new(decoder, model.tokenizer);
    let path = dir.path().join("new");
    let error = model.save(&path, Default::default()).unwrap_err();
    assert!(
        error.to_string().contains("partial_rotary_factor"),
        "{error}"
    );
    config.blocks[0].attention.encoding = PositionEncoding::Rope(RopeConfig::plain(1e4));
    let decoder = calm_testing::decoder(&config, 0);
    model = calm_models::FrozenModel::new(decoder, model.tokenizer);
    let error = model.save(&path, Default::default()).unwrap_err();
    assert!(matches!(error, ModelError::Inexpressible { .. }), "{error}");
    assert!(!path.exists());
}
