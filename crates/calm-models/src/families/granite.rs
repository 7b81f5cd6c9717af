//! Granite 3, dense (IBM, 2024): Llama with factors for embeddings, scores, residual connections and
//! logits.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::config::{EmbeddingScale, ResidualConfig, ScoreScale};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "granite",
    architecture: "GraniteForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        special: Special {
            bos: Some(1),
            eos: Some(2),
            pad: None,
        },
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Granite, &defaults)?;
    llama_like::read_attention_bias(settings, &mut config)?;
    let bias = settings.value("mlp_bias", false)?;
    let scale = ScoreScale::Factor(settings.value("attention_multiplier", 1.0)?);
    let factor = settings.value("residual_multiplier", 1.0)?;
    for block in &mut config.blocks {
        block.feed_forward.bias = bias;
        block.attention.scale = scale;
        block.residual = ResidualConfig::ScaledPreNorm { factor };
    }
    let scale = settings.value("embedding_multiplier", 1.0)?;
    config.embedding.scale = Some(EmbeddingScale::Exact(scale));
    config.head.divisor = Some(settings.value("logits_scaling", 1.0)?);
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let scores = match block.attention.scale {
        ScoreScale::Factor(factor) => Some(factor),
        _ => None,
    };
    let own = json!({
        "attention_bias": block.attention.qkv_bias,
        "mlp_bias": block.feed_forward.bias,
        "attention_multiplier": scores,
        "residual_multiplier": block.residual.factor(),
        "embedding_multiplier": config.embedding.scale.map(EmbeddingScale::factor),
        "logits_scaling": config.head.divisor,
    });
    llama_like::write(config, "hidden_act", own)
}
