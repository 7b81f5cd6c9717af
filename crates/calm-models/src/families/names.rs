//! Names of tensors, and the location of each parameter in them.

use super::experts::ExpertNames;
use crate::DecoderConfig;
use crate::config::{BlockParam, GatedPart, ParamId, ParamShape, ResidualConfig};
use crate::ranges::Ranges;

/// Names of a family's tensors, without `.weight` or `.bias`.
#[derive(Debug)]
pub(crate) struct Names {
    /// In front of everything but the head. Files of the body alone leave it out, wrappers around the
    /// model put more in front.
    pub(crate) prefix: &'static str,
    pub(crate) embedding: &'static str,
    /// Embeddings of positions.
    pub(crate) positions: &'static str,
    /// Norm of the embeddings.
    pub(crate) embedding_norm: &'static str,
    pub(crate) final_norm: &'static str,
    /// The head, outside the prefix. Files may have any of these; the first is written.
    pub(crate) head: &'static [&'static str],
    /// In front of a block's number.
    pub(crate) block: &'static str,
    /// The parts of a block, of which some tensors hold several. With [`HEAD_NUMBER`] in its name, a
    /// part has a tensor for every head.
    pub(crate) parts: &'static [(&'static str, &'static [BlockParam])],
    /// Those with other names in blocks with [`ResidualConfig::Parallel`].
    pub(crate) parallel_parts: &'static [(&'static str, &'static [BlockParam])],
    /// Experts, in the forms that files may have; the first is written.
    pub(crate) experts: &'static [ExpertNames],
    /// Order of several parts in one tensor.
    pub(crate) fused: Fused,
    /// Whether matrices of blocks are stored `[d_input, d_output]`, rather than the other way
    /// round.
    pub(crate) input_first: bool,
    /// Ends of the names of buffers that follow from the settings.
    pub(crate) buffers: &'static [&'static str],
    /// Whether the outputs of queries and keys are stored in the pairs that are rotated together,
    /// rather than in the two halves of a head.
    pub(crate) rotated_pairs: bool,
    /// Whether norms are stored as what they multiply by, rather than as the family computes it.
    pub(crate) norms_are_factors: bool,
}

/// Stands for the 0-based number of a head in a name.
pub(super) const HEAD_NUMBER: &str = "{head}";

/// Order of the outputs of several parts in one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fused {
    /// One part after the other.
    ByPart,
    /// One key-value head after the other, each with its share of every part.
    ByHead,
}

/// The names that a file uses, among those that the family knows.
pub(crate) struct NamesInFile {
    /// In front of everything but the head.
    prefix: String,
    head: String,
    /// Where the family has any.
    experts: Option<&'static ExpertNames>,
}

impl NamesInFile {
    fn experts(&self) -> &'static ExpertNames {
        self.experts.expect("a family with experts names them")
    }

    /// Whether a tensor belongs to what lies around a text model, such as what sees images.
    pub(crate) fn is_around(&self, name: &str) -> bool {
        let mut modules = self.prefix.split('.');
        let is_part = modules.any(|module| matches!(module, "language_model" | "text_model"));
        is_part && !name.starts_with(&self.prefix)
    }
}

/// Location of a parameter in a file: part of a tensor, or all of it.
pub(crate) struct TensorLocation {
    /// The tensor, without `.weight` or `.bias`; of stacked experts the whole name.
    name: String,
    /// The parameter's outputs among those of the tensor, in their order.
    pub(crate) outputs: Ranges,
    /// Outputs of all parameters in the tensor.
    total: usize,
    /// Whether a matrix is stored `[d_input, d_output]`.
    pub(crate) input_first: bool,
    /// Experts whose matrices are stacked in the tensor.
    stacked: Option<usize>,
    /// Number of tensors, if there is one for every head.
    heads: Option<usize>,
}

impl TensorLocation {
    /// A tensor that holds nothing else.
    fn alone(name: String, outputs: usize) -> Self {
        Self {
            name,
            outputs: (0..outputs).into(),
            total: outputs,
            input_first: false,
            stacked: None,
            heads: None,
        }
    }

    /// Part of the expert with this number in a block with so many.
    fn of_expert(
        names: &ExpertNames,
        block: &str,
        [index, count]: [usize; 2],
        part: GatedPart,
        outputs: usize,
    ) -> Self {
        let name = format!("{block}.{}", names.tensor(index, part));
        match names.place(part) {
            None => Self::alone(name, outputs),
            Some((place, of_expert)) => {
                let offset = (index * of_expert + place) * outputs;
                Self {
                    outputs: (offset..offset + outputs).into(),
                    total: count * of_expert * outputs,
                    stacked: Some(count),
                    ..Self::alone(name, outputs)
                }
            }
        }
    }

    pub(crate) fn weight(&self) -> String {
        match self.stacked {
            Some(_) => self.name.clone(),
            None => format!("{}.weight", self.name),
        }
    }

    pub(crate) fn bias(&self) -> String {
        format!("{}.bias", self.name)
    }

    /// The tensors that hold a weight, each an equal part of it.
    pub(crate) fn weights(&self) -> Vec<String> {
        let name = self.weight();
        match self.heads {
            None => vec![name],
            Some(heads) => (0..heads)
                .map(|head| name.replace(HEAD_NUMBER, &head.to_string()))
                .collect(),
        }
    }

    /// The stored shape of the tensor that holds a matrix with so many inputs, of those that are stacked
    /// one below the other.
    pub(crate) fn matrix_shape(&self, d_input: usize) -> [usize; 2] {
        if self.input_first {
            [d_input, self.total]
        } else {
            [self.total, d_input]
        }
    }

    /// The tensors that hold a parameter of this shape, weight before bias, with their stored shapes.
    pub(crate) fn tensors(&self, shape: ParamShape) -> Vec<(String, Vec<usize>)> {
        let weights = self.weights();
        let (stored, bias) = match shape {
            ParamShape::Table { rows, width } => (vec![rows, width], false),
            ParamShape::Linear { inputs, bias, .. } => match self.stacked {
                Some(count) => (vec![count, self.total / count, inputs], bias),
                None => (self.matrix_shape(inputs).to_vec(), bias),
            },
            ParamShape::Norm { width, bias } => (vec![width / weights.len()], bias),
        };
        let bias = bias.then(|| (self.bias(), vec![self.total]));
        let weights = weights.into_iter().map(|name| (name, stored.clone()));
        weights.chain(bias).collect()
    }
}

impl Names {
    /// The names that are written.
    pub(crate) fn written(&self) -> NamesInFile {
        NamesInFile {
            prefix: self.prefix.to_owned(),
            head: self.head[0].to_owned(),
            experts: self.experts.first(),
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
            experts: self.experts_in_file(names),
        }
    }

    fn experts_in_file(&self, names: &[&str]) -> Option<&'static ExpertNames> {
        let mut forms = self.experts.iter();
        forms
            .find(|form| form.are_in(names))
            .or(self.experts.first())
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
        let whole = |name: String| TensorLocation::alone(name, outputs(id));
        match id {
            ParamId::Embedding => whole(format!("{prefix}{}", self.embedding)),
            ParamId::Positions => whole(format!("{prefix}{}", self.positions)),
            ParamId::EmbeddingNorm => whole(format!("{prefix}{}", self.embedding_norm)),
            ParamId::FinalNorm => whole(format!("{prefix}{}", self.final_norm)),
            ParamId::Head => whole(file.head.clone()),
            ParamId::Block(index, BlockParam::Router) => {
                let name = file.experts().router;
                whole(format!("{prefix}{}.{index}.{name}", self.block))
            }
            ParamId::Block(index, BlockParam::Expert(expert, part)) => {
                let block = format!("{prefix}{}.{index}", self.block);
                let count = config.blocks[index].feed_forward.experts();
                let count = count.map_or(0, |experts| experts.count);
                TensorLocation::of_expert(
                    file.experts(),
                    &block,
                    [expert, count],
                    part,
                    outputs(id),
                )
            }
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
                let is_rotated = matches!(part, BlockParam::Query | BlockParam::Key);
                let outputs = match self.rotated_pairs && is_rotated {
                    true => Ranges::halves(length, config.blocks[index].attention.d_head),
                    false => Ranges::every(total / runs, runs, offset / runs, length),
                };
                TensorLocation {
                    name: format!("{prefix}{}.{index}.{name}", self.block),
                    outputs,
                    total,
                    input_first: self.input_first,
                    stacked: None,
                    heads: name.contains(HEAD_NUMBER).then_some(match part {
                        BlockParam::KeyNorm => block.attention.kv_heads,
                        _ => block.attention.heads,
                    }),
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
    experts: &[],
    fused: Fused::ByPart,
    input_first: false,
    buffers: &[".rotary_emb.inv_freq"],
    rotated_pairs: false,
    norms_are_factors: false,
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
