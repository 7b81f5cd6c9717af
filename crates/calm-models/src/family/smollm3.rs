//! `SmolLM3` (Hugging Face, 2025): Llama, some blocks of which know no positions (NoPE, arXiv
//! 2501.18795), and may see a window instead.

use std::num::NonZeroUsize;

use serde_json::{Map, Value, json};

use super::common::{self, Defaults, Special};
use super::settings::Settings;
use super::{Spelling, names};
use crate::{ConfigError, DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
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
        tied_head: true,
        special: Special {
            bos: Some(128_000),
            eos: Some(128_001),
            pad: Some(128_004),
        },
        ..Defaults::default()
    };
    let mut config = common::read(settings, Family::SmolLm3, &defaults)?;
    common::read_attention_bias(settings, &mut config)?;
    config.mlp_bias = settings.value("mlp_bias", false)?;
    let turns = read_turns(settings, config.block_count())?;
    for (block, turns) in config.blocks.iter_mut().zip(&turns) {
        block.rope = block.rope.take().filter(|_| *turns);
    }
    let is_used = settings.value("use_sliding_window", false)?;
    let window = settings.nullable("sliding_window", None)?;
    let window = window.filter(|_| is_used);
    let slides = |block: usize| window.is_some() && !turns[block];
    common::read_layer_types(settings, &mut config, window, slides)?;
    // Left over from Llama and Qwen; `transformers` does not look at them.
    for key in ["max_window_layers", "pretraining_tp"] {
        settings.nullable::<Value>(key, None)?;
    }
    Ok(config)
}

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// For every block, whether it has a rotary encoding. The key means the opposite of its name.
fn read_turns(settings: &mut Settings<'_>, expected: usize) -> Result<Vec<bool>, ModelError> {
    let name = "no_rope_layers";
    let every: NonZeroUsize = settings.value("no_rope_layer_interval", FOUR)?;
    let turns = settings.nullable::<Vec<u8>>(name, None)?;
    let turns: Vec<bool> = match turns {
        Some(turns) => turns.iter().map(|turns| *turns != 0).collect(),
        None => (1..=expected)
            .map(|block| !block.is_multiple_of(every.get()))
            .collect(),
    };
    let found = turns.len();
    if found == expected {
        return Ok(turns);
    }
    Err(settings.invalid(ConfigError::BlockList {
        name,
        found,
        expected,
    }))
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let turns = config
        .blocks
        .iter()
        .map(|block| u8::from(block.rope.is_some()));
    let window = common::write_window(config);
    let own = json!({
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "no_rope_layers": turns.collect::<Vec<u8>>(),
        "use_sliding_window": !window.is_null(),
        "sliding_window": window,
        "layer_types": common::write_layer_types(config),
    });
    common::write(config, "hidden_act", own)
}
