//! The score of a query and a key.

/// Longest texts whose scores one head computes without a general matrix product, and whose weights
/// are kept for the backward pass.
pub(super) const SHORT: usize = 64;

/// Whether [`attention`](super::attention) over texts of this length keeps its weights for the
/// backward pass, rather than computing them again. So it is on the processor; GPUs never keep
/// them.
pub fn keeps_attention_weights(seq: usize) -> bool {
    seq <= SHORT
}

/// The score of a query and a key before the mask, from their product: `scale · product`, and with
/// a cap `cap · tanh(scale · product / cap)`.
#[cfg(any(feature = "flex", feature = "gpu"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scoring {
    pub(crate) scale: f32,
    pub(crate) cap: Option<f32>,
}

#[cfg(any(feature = "flex", feature = "gpu"))]
impl Scoring {
    pub(super) fn new(scale: f64, cap: Option<f64>) -> Self {
        Self {
            scale: scale as f32,
            cap: cap.map(|cap| cap as f32),
        }
    }
}
