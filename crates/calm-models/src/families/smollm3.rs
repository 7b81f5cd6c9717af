//! `SmolLM3` (Hugging Face, 2025): Llama, some blocks of which know no positions (NoPE, arXiv
//! 2501.18795), and may see a window instead.

use std::num::NonZeroUsize;

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::config::PositionEncoding;
use crate::{ConfigError, DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(4),
        context_length: 32_768,
        rope_theta: 2e6,
        tied_head: true,
        special: Special {
            bos: Some(128_000),
            eos: Some(128_001),
            pad: Some(128_004),
        },
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::SmolLm3, &defaults)?;
    llama_like::read_attention_bias(settings, &mut config)?;
    let bias = settings.value("mlp_bias", false)?;
    let has_rope = read_rope_blocks(settings, config.block_count())?;
    for (block, has_rope) in config.blocks.iter_mut().zip(&has_rope) {
        block.feed_forward.bias = bias;
        if !has_rope {
            block.attention.encoding = PositionEncoding::None;
        }
    }
    let is_used = settings.value("use_sliding_window", false)?;
    let window = settings.nullable("sliding_window", None)?;
    let window = window.filter(|_| is_used);
    let slides = |block: usize| window.is_some() && !has_rope[block];
    llama_like::read_layer_types(settings, &mut config, window, slides)?;
    Ok(config)
}

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// For every block, whether it has a rotary encoding. The key means the opposite of its name.
fn read_rope_blocks(settings: &mut Settings<'_>, expected: usize) -> Result<Vec<bool>, ModelError> {
    let name = "no_rope_layers";
    let every: NonZeroUsize = settings.value("no_rope_layer_interval", FOUR)?;
    let has_rope = settings.nullable::<Vec<u8>>(name, None)?;
    let has_rope: Vec<bool> = match has_rope {
        Some(has_rope) => has_rope.iter().map(|flag| *flag != 0).collect(),
        None => (1..=expected)
            .map(|block| !block.is_multiple_of(every.get()))
            .collect(),
    };
    let found = has_rope.len();
    if found == expected {
        return Ok(has_rope);
    }
    Err(settings.invalid(ConfigError::BlockList {
        name,
        found,
        expected,
    }))
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let blocks = config.blocks.iter();
    let has_rope = blocks.map(|block| u8::from(block.attention.rope().is_some()));
    let window = llama_like::write_window(config);
    let own = json!({
        "attention_bias": block.attention.qkv_bias,
        "mlp_bias": block.feed_forward.bias,
        "no_rope_layers": has_rope.collect::<Vec<u8>>(),
        "use_sliding_window": !window.is_null(),
        "sliding_window": window,
        "layer_types": llama_like::write_layer_types(config),
    });
    llama_like::write(config, "hidden_act", own)
}
