//! The parameters of a decoder: their ids and shapes.

/// Id of a parameter of a decoder: a matrix or a norm, with its bias where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ParamId {
    /// Token embeddings.
    Embedding,
    /// Embeddings of positions, where they are learnt.
    Positions,
    /// The norm of the embeddings, where there is one.
    EmbeddingNorm,
    /// A parameter of a block, by the block's 0-based number.
    Block(usize, BlockParam),
    /// The norm after the last block.
    FinalNorm,
    /// The head of a model that is not tied.
    Head,
}

/// Id of a parameter within its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BlockParam {
    AttentionNorm,
    Query,
    Key,
    Value,
    QueryNorm,
    KeyNorm,
    Output,
    AttentionPostNorm,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
    Router,
    /// Of the expert with this 0-based number.
    Expert(usize, GatedPart),
    /// Of the expert that all tokens use.
    Shared(GatedPart),
    /// The projection to the sigmoid of the shared expert.
    SharedGate,
    FeedForwardPostNorm,
}

/// Part of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum GatedPart {
    Gate,
    Up,
    Down,
}

impl GatedPart {
    /// All of them, in the order in which a layer is built.
    pub(crate) const ALL: [Self; 3] = [Self::Gate, Self::Up, Self::Down];
}

/// Shape of a parameter as the decoder holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamShape {
    /// Rows that are looked up, `[rows, width]`.
    Table { rows: usize, width: usize },
    /// A projection, `[inputs, outputs]`, perhaps with a bias `[outputs]`.
    Linear {
        inputs: usize,
        outputs: usize,
        bias: bool,
    },
    /// A norm, `[width]`, perhaps with a bias of the same width.
    Norm { width: usize, bias: bool },
}

impl ParamShape {
    /// Size of the last axis, which is that of the bias too.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Linear { outputs, .. } => outputs,
            Self::Table { width, .. } | Self::Norm { width, .. } => width,
        }
    }

    /// Number of scalars, those of the bias included.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Table { rows, width } => rows * width,
            Self::Linear {
                inputs,
                outputs,
                bias,
            } => (inputs + usize::from(bias)) * outputs,
            Self::Norm { width, bias } => (1 + usize::from(bias)) * width,
        }
    }
}
