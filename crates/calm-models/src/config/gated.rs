//! Parts and costs of a gated feed-forward layer, alone or as an expert.

use super::params::{BlockParam, GatedPart, ParamShape};

/// Parts of a gated layer without biases, named by `name`.
pub(super) fn gated_params(
    d_model: usize,
    d_ff: usize,
    name: impl Fn(GatedPart) -> BlockParam,
) -> impl Iterator<Item = (BlockParam, ParamShape)> {
    let parts = GatedPart::ALL.into_iter();
    parts.map(move |part| (name(part), gated_shape(d_model, d_ff, part)))
}

/// Shape of a part of a gated layer without biases.
pub(super) fn gated_shape(d_model: usize, d_ff: usize, part: GatedPart) -> ParamShape {
    let (inputs, outputs) = match part {
        GatedPart::Gate | GatedPart::Up => (d_model, d_ff),
        GatedPart::Down => (d_ff, d_model),
    };
    ParamShape::Linear {
        inputs,
        outputs,
        bias: false,
    }
}

/// Operations of a gated layer for a token.
pub(super) fn gated_flops(d_model: usize, d_ff: usize) -> u64 {
    6 * (d_model * d_ff) as u64
}

/// Values of a gated layer that the backward pass needs of a token.
pub(super) fn gated_values(d_model: usize, d_ff: usize, trained: bool) -> usize {
    2 * d_ff + if trained { d_model + d_ff } else { 0 }
}
