//! Errors of descriptions.

/// Why settings make no model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size is zero, or beyond what any model has.
    #[error("the {name} is {value}; it must be between 1 and {largest}")]
    Size {
        /// Of what.
        name: &'static str,
        /// The size.
        value: usize,
        /// The largest allowed.
        largest: usize,
    },
    /// The key-value heads cannot be shared evenly.
    #[error("{kv_heads} key-value heads do not divide {heads} attention heads")]
    KvHeads {
        /// Attention heads.
        heads: usize,
        /// Key-value heads.
        kv_heads: usize,
    },
    /// Without a head width of its own, the hidden size must split evenly.
    #[error(
        "{heads} attention heads do not divide the hidden size {d_model}, and there is no head_dim"
    )]
    Heads {
        /// Attention heads.
        heads: usize,
        /// Hidden size.
        d_model: usize,
    },
    /// Rotary encoding turns pairs.
    #[error("rotary encoding needs heads of even width, not {d_head}")]
    OddHeadWidth {
        /// Width of a head.
        d_head: usize,
    },
    /// A list of rotary divisors is too short or too long.
    #[error("{name} has {found} numbers, the heads have {expected} rotary frequencies")]
    FactorCount {
        /// Its key.
        name: &'static str,
        /// Its length.
        found: usize,
        /// Its expected length.
        expected: usize,
    },
    /// A list with an entry for every block is too short or too long.
    #[error("{name} has {found} entries for {expected} blocks")]
    BlockList {
        /// Its key.
        name: &'static str,
        /// Its length.
        found: usize,
        /// Number of blocks.
        expected: usize,
    },
    /// Blocks are said to see a window of positions, but not how wide it is.
    #[error("layer_types has sliding_attention, but there is no sliding_window")]
    NoWindow,
    /// Scores have a bias or a bound, not both.
    #[error("the attention scores have a bound and the biases of ALiBi, which do not go together")]
    BoundedAlibi,
    /// A number must be above zero.
    #[error("the {name} is {value}; it must be above 0")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A number that the position encoding needs is missing.
    #[error("{section} has no {name}")]
    MissingRopeNumber {
        /// `rope_parameters` or `rope_scaling`.
        section: String,
        /// Its key.
        name: &'static str,
    },
    /// A special token has no embedding.
    #[error("special token id {id} is outside the vocabulary of {vocab_size} tokens")]
    SpecialId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
}
