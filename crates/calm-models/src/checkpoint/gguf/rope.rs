//! Rotary encodings: keys and tensors in the words of `config.json`.

use serde_json::{Value as Json, json};

use super::settings::Draft;
use crate::ModelError;

/// Divisors of the frequencies, computed from the settings when the file was made.
const DIVISORS: &str = "rope_freqs.weight";

/// Base, rotated share of a head, and scaling of the encoding that all blocks share.
pub(super) fn settings(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    if let Some(theta) = draft.number("rope.freq_base")? {
        draft.set("rope_theta", theta);
    }
    if let Some(share) = rotated_share(draft)? {
        draft.set("partial_rotary_factor", share);
    }
    let section = match draft.numbers(DIVISORS)? {
        Some(divisors) => Some(of_divisors(draft, &divisors)?),
        None => scaling(draft)?,
    };
    if let Some(section) = section {
        draft.set("rope_scaling", section);
    }
    Ok(())
}

/// The share of a head that is rotated.
fn rotated_share(draft: &mut Draft<'_>) -> Result<Option<f64>, ModelError> {
    let width = match draft.known("head_dim") {
        // Of a family that has no such setting.
        0 => draft
            .known("hidden_size")
            .checked_div(draft.known("num_attention_heads")),
        width => Some(width),
    };
    let rotated = draft.count("rope.dimension_count")?;
    let share = rotated.zip(width.filter(|width| *width > 0));
    Ok(share.map(|(rotated, width)| rotated as f64 / width as f64))
}

/// As [`settings`], by the names that GPT-NeoX has for them.
pub(super) fn neox(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    if let Some(theta) = draft.number("rope.freq_base")? {
        draft.set("rotary_emb_base", theta);
    }
    if let Some(share) = rotated_share(draft)? {
        draft.set("rotary_pct", share);
    }
    if let Some(section) = scaling(draft)? {
        draft.set("rope_scaling", section);
    }
    Ok(())
}

/// The section `rope_scaling`, from keys.
pub(super) fn scaling(draft: &mut Draft<'_>) -> Result<Option<Json>, ModelError> {
    let kind = draft.text("rope.scaling.type")?;
    let factor = draft.number("rope.scaling.factor")?;
    // The key of the first files.
    let linear = draft.number("rope.scale_linear")?;
    let original = draft.count("rope.scaling.original_context_length")?;
    match kind.as_deref() {
        None => Ok(linear.filter(|factor| *factor != 1.0).map(self::linear)),
        // Its factors are tensors.
        Some("none" | "longrope") => Ok(None),
        Some("linear") => match factor.or(linear) {
            Some(factor) => Ok(Some(self::linear(factor))),
            None => Err(draft.refused("rope.scaling.factor", "is missing")),
        },
        Some("yarn") => {
            let mut section = json!({ "rope_type": "yarn", "factor": factor });
            if let Some(original) = original {
                section["original_max_position_embeddings"] = json!(original);
            }
            for (key, name) in [
                ("rope.scaling.yarn_beta_fast", "beta_fast"),
                ("rope.scaling.yarn_beta_slow", "beta_slow"),
            ] {
                if let Some(number) = draft.number(key)? {
                    section[name] = json!(number);
                }
            }
            Ok(Some(section))
        }
        Some(other) => {
            let reason = format!("is {}; none, linear and yarn can be read", json!(other));
            Err(draft.refused("rope.scaling.type", reason))
        }
    }
}

fn linear(factor: f64) -> Json {
    json!({ "rope_type": "linear", "factor": factor })
}

/// Short and long divisors of `LongRoPE`, and the magnitude that belongs to them.
pub(super) fn long(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let magnitude = draft.number("rope.scaling.attn_factor")?;
    let original = draft.count("rope.scaling.original_context_length")?;
    if let Some(original) = original {
        draft.set("original_max_position_embeddings", original);
    }
    let short = draft.numbers("rope_factors_short.weight")?;
    let long = draft.numbers("rope_factors_long.weight")?;
    let (Some(short), Some(long)) = (short, long) else {
        return Ok(());
    };
    let section = json!({
        "rope_type": "longrope",
        "short_factor": decimals(&short),
        "long_factor": decimals(&long),
        "attention_factor": magnitude,
    });
    draft.set("rope_scaling", section);
    Ok(())
}

/// The shortest decimal numbers that are these in `f32`.
fn decimals(numbers: &[f32]) -> Vec<f64> {
    let decimal = |number: &f32| number.to_string().parse().unwrap_or(f64::NAN);
    numbers.iter().map(decimal).collect()
}

/// The section that has these divisors: by the rule of Llama 3, if they are by that, and else as
/// they stand.
fn of_divisors(draft: &Draft<'_>, divisors: &[f32]) -> Result<Json, ModelError> {
    let rule = Llama3 {
        factor: divisors.iter().copied().fold(1.0, f32::max).into(),
        theta: draft.theta(),
        width: 2 * divisors.len(),
    };
    if rule.matches(divisors) {
        return Ok(json!({
            "rope_type": "llama3",
            "factor": rule.factor,
            "low_freq_factor": Llama3::LOW,
            "high_freq_factor": Llama3::HIGH,
            "original_max_position_embeddings": Llama3::CONTEXT,
        }));
    }
    let divisors = decimals(divisors);
    Ok(json!({
        "rope_type": "longrope",
        "short_factor": divisors,
        "long_factor": divisors,
        "attention_factor": 1.0,
    }))
}

/// The rule by which Llama 3.1 to 3.3 divide frequencies.
struct Llama3 {
    factor: f64,
    theta: f64,
    /// Rotated numbers of a head.
    width: usize,
}

impl Llama3 {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const CONTEXT: u32 = 8192;

    fn matches(&self, divisors: &[f32]) -> bool {
        let mut pairs = divisors.iter().enumerate();
        pairs.all(|(pair, found)| {
            let expected = self.divisor(pair);
            (f64::from(*found) - expected).abs() <= 1e-5 * expected
        })
    }

    fn divisor(&self, pair: usize) -> f64 {
        let exponent = 2.0 * pair as f64 / self.width as f64;
        let wave_length = std::f64::consts::TAU * self.theta.powf(exponent);
        let waves = f64::from(Self::CONTEXT) / wave_length;
        let share = ((waves - Self::LOW) / (Self::HIGH - Self::LOW)).clamp(0.0, 1.0);
        1.0 / ((1.0 - share) / self.factor + share)
    }
}
