//! Settings of Gemma that are not one key each.

use serde_json::json;

use super::rope;
use super::settings::Draft;
use crate::ModelError;

/// Numbers of blocks of the 27B models, of Gemma 2 and 3.
const LARGEST: [u64; 2] = [46, 62];

/// The number whose square root scores are divided by. It is in no key: the largest models have the
/// width divided among the heads, all others 256, the family's default.
pub(super) fn query_scalar(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let (heads, width) = (draft.known("num_attention_heads"), draft.known("head_dim"));
    if let Some(scale) = draft.number("attention.scale")? {
        draft.set("query_pre_attn_scalar", scale.powi(-2));
    } else if LARGEST.contains(&draft.known("num_hidden_layers")) && heads > 0 {
        draft.set("query_pre_attn_scalar", draft.known("hidden_size") / heads);
    } else if width != 256 {
        tracing::warn!(
            "the file does not say what attention scores are divided by: the square root of 256, as in \
             transformers; llama.cpp takes that of the heads' width, {width}"
        );
    }
    Ok(())
}

/// The encoding of the blocks without a window, whose scaling those with one do not share.
pub(super) fn rope(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    if let Some(theta) = draft.number("rope.freq_base")? {
        draft.set("rope_theta", theta);
    }
    if let Some(theta) = draft.number("rope.freq_base_swa")? {
        draft.set("rope_local_base_freq", theta);
    }
    // It would be the width of a head.
    draft.count("rope.dimension_count")?;
    if let Some(section) = rope::scaling(draft)? {
        draft.set("rope_scaling", section);
    }
    Ok(())
}

/// The blocks that have a window: all but every so many, or those that a list names.
pub(super) fn windows(draft: &mut Draft<'_>) -> Result<(), ModelError> {
    let key = "attention.sliding_window_pattern";
    if let Some(slides) = draft.truths(key) {
        let name = |slides| {
            if slides {
                "sliding_attention"
            } else {
                "full_attention"
            }
        };
        let types: Vec<&str> = slides.into_iter().map(name).collect();
        draft.set("layer_types", json!(types));
    } else if let Some(every) = draft.count(key)? {
        draft.set("sliding_window_pattern", every);
    }
    Ok(())
}
