//! Values of keys that a file may leave out.

/// Settings of a family whose file does not name them.
pub(super) struct Defaults {
    /// None: as many as heads.
    pub(super) kv_heads: Option<usize>,
    /// None: the hidden size divided among the heads.
    pub(super) d_head: Option<usize>,
    pub(super) context_length: usize,
    /// The context of the pre-training, where the family has a default for it.
    pub(super) original_context: Option<usize>,
    pub(super) norm_key: &'static str,
    pub(super) norm_epsilon: f64,
    pub(super) rope_theta: f64,
    pub(super) activation_key: &'static str,
    pub(super) activation: &'static str,
    pub(super) tied_head: bool,
    /// The share of a head that is rotated; none: all, and the file may not say otherwise.
    pub(super) partial_rotary: Option<f64>,
    pub(super) special: Special,
}

/// Ids of the beginning, the end and the padding.
#[derive(Clone, Copy, Default)]
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            kv_heads: None,
            d_head: None,
            context_length: 2048,
            original_context: None,
            norm_key: "rms_norm_eps",
            norm_epsilon: 1e-6,
            rope_theta: 1e4,
            activation_key: "hidden_act",
            activation: "silu",
            tied_head: false,
            partial_rotary: None,
            special: Special::default(),
        }
    }
}
