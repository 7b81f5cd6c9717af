//! Names of tensors, and the location of each parameter in them.

use crate::DecoderConfig;
use crate::config::{BlockParam, ParamId, ParamShape, ResidualConfig};
use crate::ranges::Ranges;

/// Names of a family's tensors, without `.weight` or `.bias`.
pub(crate) struct Names {
    /// In front of everything but the head. Files of the body alone leave it out, wrappers around the
    /// model put more in front.
    pub(super) prefix: &'static str,
    pub(super) embedding: &'static str,
    /// Embeddings of positions.
    pub(super) positions: &'static str,
    /// Norm of the embeddings.
    pub(super) embedding_norm: &'static str,
    pub(super) final_norm: &'static str,
    /// The head, outside the prefix. Files may have any of these; the first is written.
    pub(super) head: &'static [&'static str],
    /// In front of a block's number.
    pub(super) block: &'static str,
    /// The parts of a block, of which some tensors hold several.
    pub(super) parts: &'static [(&'static str, &'static [BlockParam])],
    /// Those with other names in blocks with [`ResidualConfig::Parallel`].
    pub(super) parallel_parts: &'static [(&'static str, &'static [BlockParam])],
    /// Order of several parts in one tensor.
    pub(super) fused: Fused,
    /// Whether matrices of blocks are stored `[d_input, d_output]`, rather than the other way
    /// round.
    pub(super) input_first: bool,
    /// Ends of the names of buffers that follow from the settings.
    pub(super) buffers: &'static [&'static str],
}

/// Order of the outputs of several parts in one tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fused {
    /// One part after the other.
    ByPart,
    /// One key-value head after the other, each with its share of every part.
    ByHead,
}

/// The names that a file uses, among those that the family knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamesInFile {
    /// In front of everything but the head.
    prefix: String,
    head: String,
}

impl NamesInFile {
    /// Whether a tensor belongs to what lies around a text model, such as what sees images.
    pub(crate) fn is_around(&self, name: &str) -> bool {
        let mut modules = self.prefix.split('.');
        let is_part = modules.any(|module| matches!(module, "language_model" | "text_model"));
        is_part && !name.starts_with(&self.prefix)
    }
}

/// Location of a parameter in a file: part of a tensor, or all of it.
pub(crate) struct TensorLocation {
    /// The tensor, without `.weight` or `.bias`.
    name: String,
    /// The parameter's outputs among those of the tensor, in their order.
    pub(crate) outputs: Ranges,
    /// Outputs of all parameters in the tensor.
    total: usize,
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
    /// The names that are written.
    pub(crate) fn written(&self) -> NamesInFile {
        NamesInFile {
            prefix: self.prefix.to_owned(),
            head: self.head[0].to_owned(),
        }
    }

    /// The names of a file with tensors of these names, which may hold the body alone (`layers.0.…`),
    /// or a model within wrappers (`module.model.layers.0.…`).
    pub(crate) fn in_file(&self, names: &[&str]) -> NamesInFile {
        let prefix = self.prefix_in_file(names);
        let outer = prefix.strip_suffix(self.prefix);
        let is_outer = |outer: &&str| outer.is_empty() || outer.ends_with('.');
        let outer = outer.filter(is_outer).unwrap_or_default();
        let mut heads = self.head.iter().flat_map(|head| {
            let wrapped = [outer, "", prefix];
            wrapped.map(|outer| format!("{outer}{head}"))
        });
        let is_there = |head: &String| names.iter().any(|name| is_weight_of(name, head));
        NamesInFile {
            prefix: prefix.to_owned(),
            head: heads
                .find(is_there)
                .unwrap_or_else(|| format!("{outer}{}", self.head[0])),
        }
    }

    /// Beginning of the names of the only model in a file, by its first block.
    fn prefix_in_file<'a>(&'a self, names: &[&'a str]) -> &'a str {
        let anchor = format!("{}.0.{}.weight", self.block, self.parts[0].0);
        let found = names.iter().filter_map(|name| name.strip_suffix(&*anchor));
        let found: Vec<&str> = found
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .collect();
        match found.as_slice() {
            [prefix] => prefix,
            [] if !names.iter().any(|name| name.starts_with(self.prefix)) => "",
            // Of none, or of several models, the usual names are those to ask for.
            _ => self.prefix,
        }
    }

    /// Location of the parameter `id` in a file.
    ///
    /// # Panics
    ///
    /// If the family has no such part.
    pub(crate) fn location(
        &self,
        config: &DecoderConfig,
        id: ParamId,
        file: &NamesInFile,
    ) -> TensorLocation {
        let outputs = |id| config.shape(id).map_or(0, ParamShape::outputs);
        let prefix = &file.prefix;
        let whole = |name: String| {
            let total = outputs(id);
            TensorLocation {
                name,
                outputs: (0..total).into(),
                total,
                input_first: false,
            }
        };
        match id {
            ParamId::Embedding => whole(format!("{prefix}{}", self.embedding)),
            ParamId::Positions => whole(format!("{prefix}{}", self.positions)),
            ParamId::EmbeddingNorm => whole(format!("{prefix}{}", self.embedding_norm)),
            ParamId::FinalNorm => whole(format!("{prefix}{}", self.final_norm)),
            ParamId::Head => whole(file.head.clone()),
            ParamId::Block(index, part) => {
                let block = &config.blocks[index];
                let (name, parts) = self.find(part, block.residual);
                let outputs = |part: &BlockParam| outputs(ParamId::Block(index, *part));
                let offset: usize = parts.iter().take_while(|p| **p != part).map(outputs).sum();
                let total: usize = parts.iter().map(outputs).sum();
                let runs = match self.fused {
                    Fused::ByHead if parts.len() > 1 => block.attention.kv_heads,
                    _ => 1,
                };
                let length = outputs(&part) / runs;
                TensorLocation {
                    name: format!("{prefix}{}.{index}.{name}", self.block),
                    outputs: Ranges::every(total / runs, runs, offset / runs, length),
                    total,
                    input_first: self.input_first,
                }
            }
        }
    }

    /// The tensor that holds `part`, and all that it holds.
    fn find(
        &self,
        part: BlockParam,
        residual: ResidualConfig,
    ) -> (&'static str, &'static [BlockParam]) {
        let is_parallel = residual == ResidualConfig::Parallel;
        let others = self.parallel_parts.iter().filter(|_| is_parallel);
        let mut all = others.chain(self.parts);
        let found = all.find(|(_, parts)| parts.contains(&part));
        *found.unwrap_or_else(|| panic!("the family names no tensor for {part:?}"))
    }

    /// Whether a tensor that the decoder has no place for may be passed over, since it follows from
    /// the settings.
    pub(crate) fn is_harmless(&self, name: &str) -> bool {
        self.buffers.iter().any(|buffer| name.ends_with(buffer))
    }
}

fn is_weight_of(name: &str, module: &str) -> bool {
    name.strip_suffix(".weight") == Some(module)
}

/// The names of Llama, and of every family that has the same parts.
pub(super) const LLAMA: Names = Names {
    prefix: "model.",
    embedding: "embed_tokens",
    positions: "embed_positions",
    embedding_norm: "embed_layer_norm",
    final_norm: "norm",
    head: &["lm_head"],
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
    parallel_parts: &[],
    fused: Fused::ByPart,
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
