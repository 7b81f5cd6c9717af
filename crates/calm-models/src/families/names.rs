//! Names of tensors, and the location of each parameter in them.

use crate::DecoderConfig;
use crate::config::{BlockParam, ParamId, ParamShape};

/// Names of a family's tensors, without `.weight` or `.bias`.
pub(crate) struct Names {
    /// In front of everything but the head; files of the body alone leave it out.
    pub(super) prefix: &'static str,
    pub(super) embedding: &'static str,
    /// Embeddings of positions.
    pub(super) positions: &'static str,
    pub(super) final_norm: &'static str,
    /// In front of a block's number.
    pub(super) block: &'static str,
    /// The parts of a block. Several in one tensor follow one another in its outputs.
    pub(super) parts: &'static [(&'static str, &'static [BlockParam])],
    /// Whether matrices of blocks are stored `[d_input, d_output]`, rather than the other way
    /// round.
    pub(super) input_first: bool,
    /// Ends of the names of buffers that follow from the settings.
    pub(super) buffers: &'static [&'static str],
}

const HEAD: &str = "lm_head";

/// Location of a parameter in a file: part of a tensor, or all of it.
pub(crate) struct TensorLocation {
    /// The tensor, without `.weight` or `.bias`.
    name: String,
    /// The parameter's first output among those of the tensor.
    pub(crate) offset: usize,
    /// Outputs of all parameters in the tensor.
    pub(crate) total: usize,
    /// Whether a matrix is stored `[d_input, d_output]`.
    pub(crate) input_first: bool,
}

impl TensorLocation {
    pub(crate) fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    pub(crate) fn bias(&self) -> String {
        format!("{}.bias", self.name)
    }

    /// The stored shape of the tensor that holds a matrix with so many inputs.
    pub(crate) fn matrix_shape(&self, d_input: usize) -> [usize; 2] {
        if self.input_first {
            [d_input, self.total]
        } else {
            [self.total, d_input]
        }
    }

    /// The tensors that hold a parameter of this shape, weight before bias, with their stored shapes.
    pub(crate) fn tensors(&self, shape: ParamShape) -> Vec<(String, Vec<usize>)> {
        let (stored, bias) = match shape {
            ParamShape::Table { rows, width } => (vec![rows, width], false),
            ParamShape::Linear { inputs, bias, .. } => (self.matrix_shape(inputs).to_vec(), bias),
            ParamShape::Norm { width, bias } => (vec![width], bias),
        };
        let bias = bias.then(|| (self.bias(), vec![self.total]));
        std::iter::once((self.weight(), stored))
            .chain(bias)
            .collect()
    }
}

impl Names {
    /// Location of the parameter `id` in a file whose names begin with the prefix or, `bare`, do not.
    ///
    /// # Panics
    ///
    /// If the family has no such part.
    pub(crate) fn location(
        &self,
        config: &DecoderConfig,
        id: ParamId,
        bare: bool,
    ) -> TensorLocation {
        let outputs = |id| config.shape(id).map_or(0, ParamShape::outputs);
        let prefix = if bare { "" } else { self.prefix };
        let whole = |name: String| TensorLocation {
            name,
            offset: 0,
            total: outputs(id),
            input_first: false,
        };
        match id {
            ParamId::Embedding => whole(format!("{prefix}{}", self.embedding)),
            ParamId::Positions => whole(format!("{prefix}{}", self.positions)),
            ParamId::FinalNorm => whole(format!("{prefix}{}", self.final_norm)),
            ParamId::Head => whole(HEAD.to_owned()),
            ParamId::Block(index, part) => {
                let (name, parts) = self.find(part);
                let outputs = |part: &BlockParam| outputs(ParamId::Block(index, *part));
                TensorLocation {
                    name: format!("{prefix}{}.{index}.{name}", self.block),
                    offset: parts.iter().take_while(|p| **p != part).map(outputs).sum(),
                    total: parts.iter().map(outputs).sum(),
                    input_first: self.input_first,
                }
            }
        }
    }

    /// The tensor that holds `part`, and all that it holds.
    fn find(&self, part: BlockParam) -> (&'static str, &'static [BlockParam]) {
        let found = self.parts.iter().find(|(_, parts)| parts.contains(&part));
        *found.unwrap_or_else(|| panic!("the family names no tensor for {part:?}"))
    }

    /// Whether none of the names begins like those of a whole model.
    pub(crate) fn are_bare(&self, names: &[&str]) -> bool {
        !names.iter().any(|name| name.starts_with(self.prefix))
    }

    /// Whether a tensor that the decoder has no place for may be passed over: a head beside a tied
    /// embedding is a copy of it, and buffers follow from the settings.
    pub(crate) fn is_harmless(&self, name: &str, config: &DecoderConfig) -> bool {
        let is_head = config.head.tied && name.strip_suffix(".weight") == Some(HEAD);
        is_head || self.buffers.iter().any(|buffer| name.ends_with(buffer))
    }
}

/// The names of Llama, and of every family that has the same parts.
pub(super) const LLAMA: Names = Names {
    prefix: "model.",
    embedding: "embed_tokens",
    positions: "embed_positions",
    final_norm: "norm",
    block: "layers",
    parts: &[
        ("input_layernorm", &[BlockParam::AttentionNorm]),
        ("self_attn.q_proj", &[BlockParam::Query]),
        ("self_attn.k_proj", &[BlockParam::Key]),
        ("self_attn.v_proj", &[BlockParam::Value]),
        ("self_attn.o_proj", &[BlockParam::Output]),
        ("self_attn.q_norm", &[BlockParam::QueryNorm]),
        ("self_attn.k_norm", &[BlockParam::KeyNorm]),
        ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
        ("mlp.gate_proj", &[BlockParam::Gate]),
        ("mlp.up_proj", &[BlockParam::Up]),
        ("mlp.down_proj", &[BlockParam::Down]),
    ],
    input_first: false,
    buffers: &[".rotary_emb.inv_freq"],
};

/// The names of Gemma from version 2 on, whose blocks have norms after their parts, too.
pub(super) const GEMMA2: Names = Names {
    parts: &[
        ("input_layernorm", &[BlockParam::AttentionNorm]),
        ("self_attn.q_proj", &[BlockParam::Query]),
        ("self_attn.k_proj", &[BlockParam::Key]),
        ("self_attn.v_proj", &[BlockParam::Value]),
        ("self_attn.o_proj", &[BlockParam::Output]),
        ("self_attn.q_norm", &[BlockParam::QueryNorm]),
        ("self_attn.k_norm", &[BlockParam::KeyNorm]),
        ("post_attention_layernorm", &[BlockParam::AttentionPostNorm]),
        ("pre_feedforward_layernorm", &[BlockParam::FeedForwardNorm]),
        ("mlp.gate_proj", &[BlockParam::Gate]),
        ("mlp.up_proj", &[BlockParam::Up]),
        ("mlp.down_proj", &[BlockParam::Down]),
        (
            "post_feedforward_layernorm",
            &[BlockParam::FeedForwardPostNorm],
        ),
    ],
    ..LLAMA
};
