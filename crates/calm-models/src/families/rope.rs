//! Rotary position encoding as `config.json` spells it.
//!
//! Version 5 of `transformers` writes `rope_parameters` where earlier ones wrote `rope_theta`,
//! `rope_scaling` and `partial_rotary_factor`. Both are read, with its precedence: a section
//! before a key beside it, `rope_scaling` before `rope_parameters`.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::defaults::Defaults;
use super::settings::Settings;
use crate::config::{RopeConfig, RopeScaling};
use crate::{ConfigError, DecoderConfig, ModelError};

/// Settings beside the section of an encoding.
pub(super) struct RopeDefaults {
    pub(super) theta: f64,
    /// The share of a head that is rotated; none: all, and the file may not say otherwise.
    pub(super) partial: Option<f64>,
    /// `max_position_embeddings`.
    pub(super) context_length: usize,
    /// `original_max_position_embeddings` beside the section, which overrides the one in it.
    pub(super) original_context: Option<usize>,
}

/// The encoding that all blocks share.
pub(super) fn read(
    settings: &mut Settings<'_>,
    family: &Defaults,
    context_length: usize,
) -> Result<RopeConfig, ModelError> {
    let defaults = RopeDefaults {
        theta: settings.value("rope_theta", family.rope_theta)?,
        partial: read_partial(settings, family.partial_rotary)?,
        context_length,
        original_context: settings
            .nullable("original_max_position_embeddings", family.original_context)?,
    };
    read_with(settings, &defaults)
}

/// The encoding that all blocks share, where the settings beside its section are known.
pub(super) fn read_with(
    settings: &mut Settings<'_>,
    defaults: &RopeDefaults,
) -> Result<RopeConfig, ModelError> {
    let new = settings.section("rope_parameters")?;
    let section = settings.section("rope_scaling")?.or(new);
    read_section(section, defaults)
}

/// The encoding of a section, to its last key.
pub(super) fn read_section(
    section: Option<Settings<'_>>,
    defaults: &RopeDefaults,
) -> Result<RopeConfig, ModelError> {
    let Some(mut section) = section else {
        return Ok(RopeConfig {
            theta: defaults.theta,
            partial: defaults.partial.unwrap_or(1.0),
            scaling: RopeScaling::None,
        });
    };
    let rope = RopeConfig {
        theta: section
            .nullable("rope_theta", None)?
            .unwrap_or(defaults.theta),
        partial: read_partial(&mut section, defaults.partial)?.unwrap_or(1.0),
        scaling: read_scaling(&mut section, defaults)?,
    };
    section.finish()?;
    Ok(rope)
}

/// The share of a head that is rotated, in a family that has a default for it; else all must be.
fn read_partial(
    settings: &mut Settings<'_>,
    default: Option<f64>,
) -> Result<Option<f64>, ModelError> {
    let key = "partial_rotary_factor";
    match default {
        Some(default) => Ok(settings.nullable(key, None)?.or(Some(default))),
        None => settings.neutral(key, 1.0).map(|()| None),
    }
}

fn read_scaling(
    section: &mut Settings<'_>,
    defaults: &RopeDefaults,
) -> Result<RopeScaling, ModelError> {
    let old = section.nullable::<String>("type", None)?;
    let kind = section.nullable("rope_type", None)?.or(old);
    let original_context = section.nullable("original_max_position_embeddings", None)?;
    let original_context = defaults
        .original_context
        .or(original_context)
        .unwrap_or(defaults.context_length);
    Ok(match kind.as_deref().unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear {
            factor: needed(section, "factor")?,
        },
        "dynamic" => RopeScaling::Dynamic {
            factor: needed(section, "factor")?,
            original_context: defaults.context_length,
        },
        "llama3" => RopeScaling::Llama3 {
            factor: needed(section, "factor")?,
            low_frequency_factor: needed(section, "low_freq_factor")?,
            high_frequency_factor: needed(section, "high_freq_factor")?,
            original_context,
        },
        "yarn" => read_yarn(section, original_context)?,
        "longrope" | "su" => read_longrope(section, defaults.context_length, original_context)?,
        other => {
            let expected = "default, linear, dynamic, llama3, yarn and longrope are";
            return Err(section.unsupported("rope_type", &json!(other), expected));
        }
    })
}

fn read_yarn(
    section: &mut Settings<'_>,
    original_context: usize,
) -> Result<RopeScaling, ModelError> {
    let factor = needed(section, "factor")?;
    let mscale = section.nullable("mscale", None)?;
    let mscale_all_dim = section.nullable("mscale_all_dim", None)?;
    let computed = match (mscale, mscale_all_dim) {
        (Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => {
            yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all)
        }
        _ => yarn_magnitude(factor, 1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        attention_factor: section
            .nullable("attention_factor", None)?
            .unwrap_or(computed),
        beta_fast: section.nullable("beta_fast", None)?.unwrap_or(32.0),
        beta_slow: section.nullable("beta_slow", None)?.unwrap_or(1.0),
        truncate: section.value("truncate", true)?,
        original_context,
    })
}

/// Section 3.4 of arXiv 2309.00071.
fn yarn_magnitude(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 {
        1.0
    } else {
        0.1 * mscale * factor.ln() + 1.0
    }
}

fn read_longrope(
    section: &mut Settings<'_>,
    context_length: usize,
    original_context: usize,
) -> Result<RopeScaling, ModelError> {
    let original = original_context as f64;
    let factor = section.nullable("factor", None)?;
    let factor = factor.unwrap_or(context_length as f64 / original);
    let computed = if factor <= 1.0 {
        1.0
    } else {
        (1.0 + f64::ln(factor) / original.ln()).sqrt()
    };
    Ok(RopeScaling::LongRope {
        short_factors: needed::<Vec<f64>>(section, "short_factor")?.into(),
        long_factors: needed::<Vec<f64>>(section, "long_factor")?.into(),
        attention_factor: section
            .nullable("attention_factor", None)?
            .unwrap_or(computed),
        original_context,
    })
}

impl RopeConfig {
    /// The context's length, for which all scalings but the dynamic one expect the file to say
    /// what they stretch it to.
    pub(super) fn stretched(&self, positions: usize) -> usize {
        match self.scaling {
            RopeScaling::Dynamic { factor, .. } => (positions as f64 * factor) as usize,
            _ => positions,
        }
    }
}

/// The context's length as files have it.
pub(super) fn written_positions(config: &DecoderConfig) -> usize {
    match shared(config).map(|rope| &rope.scaling) {
        Some(RopeScaling::Dynamic {
            original_context, ..
        }) => *original_context,
        _ => config.context_length,
    }
}

/// A value without which the scaling means nothing.
fn needed<T: DeserializeOwned>(
    section: &mut Settings<'_>,
    name: &'static str,
) -> Result<T, ModelError> {
    let value = section.nullable(name, None)?;
    value.ok_or_else(|| {
        section.invalid(ConfigError::MissingRopeNumber {
            section: section.name(),
            name,
        })
    })
}

/// The section for a model whose blocks all have the same encoding, where they have any.
pub(super) fn write(config: &DecoderConfig) -> Value {
    shared(config).map_or(Value::Null, write_section)
}

/// The same for families whose heads are rotated in part unless the section says otherwise.
pub(super) fn write_partial(config: &DecoderConfig) -> Value {
    let mut section = write(config);
    section["partial_rotary_factor"] = json!(shared(config).map(|rope| rope.partial));
    section
}

/// The encoding of the first block that has one.
pub(super) fn shared(config: &DecoderConfig) -> Option<&RopeConfig> {
    config
        .blocks
        .iter()
        .find_map(|block| block.attention.rope())
}

/// A section that [`read_section`] reads.
pub(super) fn write_section(rope: &RopeConfig) -> Value {
    let mut section = write_scaling(&rope.scaling);
    section["rope_theta"] = json!(rope.theta);
    if rope.partial != 1.0 {
        section["partial_rotary_factor"] = json!(rope.partial);
    }
    section
}

fn write_scaling(scaling: &RopeScaling) -> Value {
    match scaling {
        RopeScaling::None => json!({ "rope_type": "default" }),
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Dynamic { factor, .. } => json!({ "rope_type": "dynamic", "factor": factor }),
        RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low_frequency_factor,
            "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
        RopeScaling::Yarn {
            factor,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
            original_context,
        } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "attention_factor": attention_factor,
            "beta_fast": beta_fast,
            "beta_slow": beta_slow,
            "truncate": truncate,
            "original_max_position_embeddings": original_context,
        }),
        RopeScaling::LongRope {
            short_factors,
            long_factors,
            attention_factor,
            original_context,
        } => json!({
            "rope_type": "longrope",
            "short_factor": &**short_factors,
            "long_factor": &**long_factors,
            "attention_factor": attention_factor,
            "original_max_position_embeddings": original_context,
        }),
    }
}
