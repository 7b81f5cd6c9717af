//! Gemma 3, text alone (arXiv 2503.19786): Gemma 2 with norms on queries and keys instead of
//! bounds, and a smaller rotary base in the blocks with a window, which are five in six.

use std::num::NonZeroUsize;

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::rope::{self, RopeDefaults};
use super::settings::Settings;
use super::{FamilySpec, gemma2, llama_like, names};
use crate::config::{AttentionConfig, PositionEncoding, QkNorm, RopeConfig};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    read,
    write,
    names: &names::GEMMA2,
};

const DEFAULTS: Defaults = Defaults {
    context_length: 131_072,
    ..gemma2::DEFAULTS
};

const SIX: NonZeroUsize = NonZeroUsize::new(6).unwrap();

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let (global, local) = take_ropes(settings)?;
    let mut config = gemma2::read_body(settings, Family::Gemma3, &DEFAULTS)?;
    let norm = config.final_norm;
    // `transformers` has the key, and does nothing with it.
    settings.neutral("attn_logit_softcapping", Value::Null)?;
    config.head.softcap = settings.nullable("final_logit_softcapping", None)?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    let every: NonZeroUsize = settings.value("sliding_window_pattern", SIX)?;
    let slides = |block: usize| !(block + 1).is_multiple_of(every.get());
    llama_like::read_layer_types(settings, &mut config, window, slides)?;
    let (global, local) = (global.read(&config)?, local.read(&config)?);
    for block in &mut config.blocks {
        let attention = &mut block.attention;
        let rope = match attention.window {
            Some(_) => &local,
            None => &global,
        };
        attention.encoding = PositionEncoding::Rope(rope.clone());
        attention.qk_norm = Some(QkNorm::Heads(norm));
    }
    Ok(config)
}

/// An encoding's section and its base, to be read once the context's length is known.
struct Unread<'a>(Option<Settings<'a>>, f64);

fn take_ropes<'a>(settings: &mut Settings<'a>) -> Result<(Unread<'a>, Unread<'a>), ModelError> {
    let theta = settings.value("rope_theta", 1e6)?;
    let local_theta = settings.value("rope_local_base_freq", 1e4)?;
    let (mut global, mut local) = (None, None);
    if let Some(mut both) = settings.section("rope_parameters")? {
        global = both.section("full_attention")?;
        local = both.section("sliding_attention")?;
        // Version 5.0 put these beside the sections.
        both.neutral("rope_type", "default")?;
        both.neutral("rope_theta", Value::Null)?;
        both.finish()?;
    }
    if global.is_none() {
        global = settings.section("rope_scaling")?;
    }
    Ok((Unread(global, theta), Unread(local, local_theta)))
}

impl Unread<'_> {
    fn read(self, config: &DecoderConfig) -> Result<RopeConfig, ModelError> {
        let defaults = RopeDefaults {
            theta: self.1,
            partial: None,
            context_length: config.context_length,
            original_context: None,
        };
        rope::read_section(self.0, &defaults)
    }
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let mut own = gemma2::write_own(config);
    let section = |slides: bool| {
        let mut attentions = config.blocks.iter().map(|block| &block.attention);
        let found = attentions.find(|attention| attention.window.is_some() == slides);
        found
            .and_then(AttentionConfig::rope)
            .map(rope::write_section)
    };
    own["rope_parameters"] = json!({
        "full_attention": section(false),
        "sliding_attention": section(true),
    });
    llama_like::write(config, DEFAULTS.activation_key, own)
}
