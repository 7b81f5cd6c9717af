//! The memory that bridges read: keys, values and a mask of augmenting positions.

use burn::tensor::{Bool, Tensor};

/// Augmenting positions as one bridge reads them.
#[derive(Debug, Clone)]
pub struct Memory {
    /// `[batch, heads, seq_augmenting, d_head]`.
    pub keys: Tensor<4>,
    /// `[batch, heads, seq_augmenting, d_head]`.
    pub values: Tensor<4>,
    /// `[batch or 1, 1, seq_anchor, seq_augmenting]`, `true` = masked: the anchor position may not
    /// see the augmenting position. None if all may be seen.
    pub masked: Option<Tensor<4, Bool>>,
    /// `[batch, heads, 1, seq_augmenting]`, in `f32`: added to the scores, see
    /// [`BridgeOptions::alibi`](crate::BridgeOptions::alibi).
    pub bias: Option<Tensor<4>>,
}
