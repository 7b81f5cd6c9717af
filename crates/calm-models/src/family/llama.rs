//! Llama 1 to 3 (arXiv 2302.13971, 2307.09288, 2407.21783), and models of the same shape.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Family;
use crate::config::{OneOrMany, RopeConfig, RopeScaling, SpecialIds};
use crate::decoder::{BlockSlot, Slot};
use crate::{ConfigError, DecoderConfig, ModelError};

/// `config.json` as it stands. Keys that are absent have the defaults of `transformers`.
///
/// Version 5 of `transformers` writes `rope_parameters` and `dtype` where earlier versions wrote
/// `rope_theta`, `rope_scaling` and `torch_dtype`; both are read.
#[derive(Debug, Deserialize)]
struct LlamaConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "default_activation")]
    hidden_act: String,
    #[serde(default = "default_context_length")]
    max_position_embeddings: usize,
    #[serde(default = "default_epsilon")]
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default = "default_bos")]
    bos_token_id: Option<u32>,
    #[serde(default = "default_eos")]
    eos_token_id: Option<OneOrMany>,
    pad_token_id: Option<u32>,
    /// Everything else.
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct RopeParameters {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn default_activation() -> String {
    "silu".to_owned()
}

fn default_context_length() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-6
}

/// An explicit `null` means that there is none.
fn default_bos() -> Option<u32> {
    Some(1)
}

fn default_eos() -> Option<OneOrMany> {
    Some(OneOrMany::One(2))
}

const DEFAULT_THETA: f64 = 10_000.0;

/// Keys that do not change what the model computes for given tokens.
const HARMLESS: &[&str] = &[
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "auto_map",
    "dtype",
    "initializer_range",
    "is_llama_config",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "rope_interleaved",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "use_cache",
];

/// Keys that change it unless they hold this value.
fn neutral_value(key: &str) -> Option<Value> {
    match key {
        // Splits matrix products for bit-exact reproduction; 1 is the plain product.
        "pretraining_tp" => Some(json!(1)),
        "attention_multiplier"
        | "embedding_multiplier"
        | "logits_scaling"
        | "residual_multiplier" => Some(json!(1.0)),
        _ => None,
    }
}

/// Resolves the settings of a `config.json`.
pub(super) fn read(settings: Map<String, Value>, path: &Path) -> Result<DecoderConfig, ModelError> {
    let raw: LlamaConfig =
        serde_json::from_value(Value::Object(settings)).map_err(|source| ModelError::Json {
            path: path.to_owned(),
            source,
        })?;
    reject_unknown(&raw.other, "", path)?;
    if raw.hidden_act != "silu" {
        return Err(unsupported(
            path,
            "hidden_act",
            &json!(raw.hidden_act),
            "only silu is",
        ));
    }
    let rope = resolve_rope(&raw, path)?;
    let d_head = match raw.head_dim {
        Some(d_head) => d_head,
        None => head_width(&raw, path)?,
    };
    Ok(DecoderConfig {
        family: Family::Llama,
        vocab_size: raw.vocab_size,
        d_model: raw.hidden_size,
        block_count: raw.num_hidden_layers,
        heads: raw.num_attention_heads,
        kv_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
        d_head,
        d_ff: raw.intermediate_size,
        norm_epsilon: raw.rms_norm_eps,
        rope,
        attention_bias: raw.attention_bias,
        mlp_bias: raw.mlp_bias,
        tied_head: raw.tie_word_embeddings,
        context_length: raw.max_position_embeddings,
        special: SpecialIds {
            bos: raw.bos_token_id,
            eos: raw.eos_token_id.map_or_else(Vec::new, Vec::from),
            pad: raw.pad_token_id,
        },
    })
}

fn head_width(raw: &LlamaConfig, path: &Path) -> Result<usize, ModelError> {
    let (width, heads) = (raw.hidden_size, raw.num_attention_heads);
    match width.checked_rem(heads) {
        Some(0) => Ok(width / heads),
        _ => Err(ModelError::InvalidConfig {
            path: path.to_owned(),
            source: ConfigError::Heads {
                heads,
                d_model: width,
            },
        }),
    }
}

fn resolve_rope(raw: &LlamaConfig, path: &Path) -> Result<RopeConfig, ModelError> {
    let (section, key) = match (&raw.rope_parameters, &raw.rope_scaling) {
        (Some(parameters), _) => (Some(parameters), "rope_parameters"),
        (None, scaling) => (scaling.as_ref(), "rope_scaling"),
    };
    let theta = section
        .and_then(|section| section.rope_theta)
        .or(raw.rope_theta);
    let scaling = match section {
        Some(section) => resolve_scaling(section, key, raw.max_position_embeddings, path)?,
        None => RopeScaling::None,
    };
    Ok(RopeConfig {
        theta: theta.unwrap_or(DEFAULT_THETA),
        scaling,
    })
}

fn resolve_scaling(
    section: &RopeParameters,
    key: &'static str,
    context_length: usize,
    path: &Path,
) -> Result<RopeScaling, ModelError> {
    reject_unknown(&section.other, &format!("{key}."), path)?;
    let number = |name, value: Option<f64>| {
        value.ok_or_else(|| ModelError::InvalidConfig {
            path: path.to_owned(),
            source: ConfigError::MissingRopeNumber { section: key, name },
        })
    };
    match section.rope_type.as_deref().unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear {
            factor: number("factor", section.factor)?,
        }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor", section.factor)?,
            low_frequency_factor: number("low_freq_factor", section.low_freq_factor)?,
            high_frequency_factor: number("high_freq_factor", section.high_freq_factor)?,
            original_context: section
                .original_max_position_embeddings
                .unwrap_or(context_length),
        }),
        other => {
            let key = format!("{key}.rope_type");
            Err(unsupported(
                path,
                &key,
                &json!(other),
                "only default, linear and llama3 are",
            ))
        }
    }
}

/// Fails on the first key that could change the numbers and is not known to be neutral.
fn reject_unknown(other: &Map<String, Value>, prefix: &str, path: &Path) -> Result<(), ModelError> {
    for (key, value) in other {
        let neutral = neutral_value(key);
        let is_harmless = HARMLESS.contains(&key.as_str())
            || value.is_null()
            || neutral.as_ref().is_some_and(|neutral| neutral == value);
        if !is_harmless {
            let expected = match neutral {
                Some(neutral) => format!("only {neutral} is"),
                None => "it is not known, and might change what the model computes".to_owned(),
            };
            return Err(unsupported(
                path,
                &format!("{prefix}{key}"),
                value,
                &expected,
            ));
        }
    }
    Ok(())
}

fn unsupported(path: &Path, key: &str, found: &Value, expected: &str) -> ModelError {
    let found: String = found.to_string().chars().take(60).collect();
    ModelError::UnsupportedSetting {
        path: path.to_owned(),
        key: key.to_owned(),
        found,
        expected: expected.to_owned(),
    }
}

/// The settings in the layout of `transformers` 5, with the older names beside them.
pub(super) fn write(config: &DecoderConfig, dtype: &str) -> Map<String, Value> {
    let settings = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.block_count,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": write_rope(config.rope),
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "tie_word_embeddings": config.tied_head,
        "bos_token_id": config.special.bos,
        "eos_token_id": config.special.eos_json(),
        "pad_token_id": config.special.pad,
        "dtype": dtype,
    });
    match settings {
        Value::Object(settings) => settings,
        _ => unreachable!("the literal above is an object"),
    }
}

fn write_rope(rope: RopeConfig) -> Value {
    match rope.scaling {
        RopeScaling::None => json!({ "rope_type": "default", "rope_theta": rope.theta }),
        RopeScaling::Linear { factor } => {
            json!({ "rope_type": "linear", "rope_theta": rope.theta, "factor": factor })
        }
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => json!({
            "rope_type": "llama3",
            "rope_theta": rope.theta,
            "factor": factor,
            "low_freq_factor": low_frequency_factor,
            "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
    }
}

/// The tensor's name, without `.weight` or `.bias`.
pub(super) fn tensor_name(slot: Slot) -> String {
    match slot {
        Slot::Embedding => "model.embed_tokens".to_owned(),
        Slot::FinalNorm => "model.norm".to_owned(),
        Slot::Head => "lm_head".to_owned(),
        Slot::Block(block, part) => {
            let part = match part {
                BlockSlot::AttentionNorm => "input_layernorm",
                BlockSlot::Query => "self_attn.q_proj",
                BlockSlot::Key => "self_attn.k_proj",
                BlockSlot::Value => "self_attn.v_proj",
                BlockSlot::Output => "self_attn.o_proj",
                BlockSlot::FeedForwardNorm => "post_attention_layernorm",
                BlockSlot::Gate => "mlp.gate_proj",
                BlockSlot::Up => "mlp.up_proj",
                BlockSlot::Down => "mlp.down_proj",
            };
            format!("model.layers.{block}.{part}")
        }
    }
}

/// A head beside a tied embedding is a copy of it; the inverse frequencies follow from the
/// settings.
pub(super) fn is_harmless(name: &str, config: &DecoderConfig) -> bool {
    (config.tied_head && name == "lm_head.weight") || name.ends_with(".rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(extra: &str) -> DecoderConfig {
        let json = format!(
            r#"{{"model_type":"llama","vocab_size":80,"hidden_size":32,"intermediate_size":40,
            "num_hidden_layers":2,"num_attention_heads":4{extra}}}"#
        );
        Family::read(&json, Path::new("config.json")).unwrap()
    }

    #[test]
    fn absent_keys_have_the_defaults_of_transformers() {
        let config = resolve("");
        assert_eq!(
            (config.kv_heads, config.d_head, config.context_length),
            (4, 8, 2048)
        );
        assert_eq!(
            config.rope,
            RopeConfig {
                theta: 10_000.0,
                scaling: RopeScaling::None
            }
        );
        assert_eq!(config.norm_epsilon, 1e-6);
        assert!(!config.tied_head && !config.attention_bias && !config.mlp_bias);
        assert_eq!(
            config.special,
            SpecialIds {
                bos: Some(1),
                eos: vec![2],
                pad: None
            }
        );
    }

    #[test]
    fn both_layouts_of_the_position_settings_mean_the_same() {
        let numbers = r#""factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
            "original_max_position_embeddings":64"#;
        let old = resolve(&format!(
            r#","rope_theta":500000.0,"torch_dtype":"bfloat16",
            "rope_scaling":{{"type":"llama3",{numbers}}}"#
        ));
        let new = resolve(&format!(
            r#","dtype":"bfloat16",
            "rope_parameters":{{"rope_type":"llama3","rope_theta":500000.0,{numbers}}}"#
        ));
        assert_eq!(old, new);
        assert_eq!(old.rope.theta, 500_000.0);
        assert!(matches!(
            old.rope.scaling,
            RopeScaling::Llama3 {
                original_context: 64,
                ..
            }
        ));
        assert_eq!(
            resolve(r#","rope_theta":7.0,"rope_scaling":null"#)
                .rope
                .theta,
            7.0
        );
    }

    #[test]
    fn several_end_tokens() {
        assert_eq!(resolve(r#","eos_token_id":[5,6]"#).special.eos, [5, 6]);
        assert_eq!(resolve(r#","eos_token_id":null"#).special.eos, [0; 0]);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let config = resolve(r#","mlp_bias":true,"eos_token_id":[5,6],"head_dim":6"#);
        let json = Value::Object(write(&config, "float16")).to_string();
        assert_eq!(
            Family::read(&json, Path::new("config.json")).unwrap(),
            config
        );
    }
}
