//! Positions in the attention of a block in one pass: angles and visibility.

use std::ops::Range;

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};
use calm_backend::ops;

use super::alibi::HeadBias;
use super::chosen::ChosenPositions;
use super::rope;
use super::sinusoidal::SinusoidalTable;
use crate::config::{AlibiKind, AttentionConfig, PositionEmbedding, RopeConfig};
use crate::{DecoderConfig, PaddingMask, TokenTrees};

/// The blocks of a decoder by their attention: most decoders have one kind, some two.
#[derive(Debug, Clone)]
pub(crate) struct PositionKinds {
    /// Each kind once.
    pub(crate) kinds: Vec<AttentionConfig>,
    /// The kind of every block.
    pub(crate) of_block: Vec<usize>,
}

impl PositionKinds {
    pub(crate) fn new(config: &DecoderConfig) -> Self {
        let mut kinds: Vec<AttentionConfig> = Vec::new();
        let of_block = config.blocks.iter().map(|block| {
            let known = kinds.iter().position(|kind| *kind == block.attention);
            known.unwrap_or_else(|| {
                kinds.push(block.attention.clone());
                kinds.len() - 1
            })
        });
        Self {
            of_block: of_block.collect(),
            kinds,
        }
    }
}

/// Angles and mask that all blocks of a kind share in one pass.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    /// Of the new positions; none without a rotary encoding.
    angles: Option<Angles>,
    /// Mask `[batch or 1, 1, seq, keys]`, `true` = masked, if a window hides more than causality and
    /// padding do.
    pub(crate) window: Option<Tensor<4, Bool>>,
    /// Biases of the scores, `[batch or 1, heads, 1, keys]` in `f32`, if the encoding has any.
    pub(crate) bias: Option<Tensor<4>>,
}

/// Embeddings of the new positions, or what they are made of.
#[derive(Debug, Clone)]
pub(crate) enum EmbeddedPositions {
    None,
    /// Ids of learnt embeddings, `[batch or 1, seq]`.
    Learnt(Tensor<2, Int>),
    /// `[batch or 1, seq, d_model]`.
    Computed(Tensor<3>),
}

/// Cosines and sines, `[batch or 1, 1, seq, d_rotary / 2]`.
#[derive(Debug, Clone)]
struct Angles {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Positions {
    /// `keys` are the positions of the keys that blocks of this kind will have.
    pub(crate) fn new(kind: &AttentionConfig, pass: &Pass<'_>, keys: Range<usize>) -> Self {
        let window = kind.window.filter(|window| pass.length() > *window);
        Self {
            angles: kind.rope().map(|rope| pass.angles(rope, kind.d_head)),
            bias: kind
                .alibi()
                .map(|alibi| pass.biases(kind, alibi, keys.clone())),
            window: window.map(|window| pass.window_mask(window, keys)),
        }
    }

    /// The same for queries at chosen positions only.
    pub(crate) fn choosing(&self, chosen: &ChosenPositions) -> Self {
        let of = |table: &Tensor<4>| chosen.queries(table.clone());
        let angles = self.angles.as_ref().map(|Angles { cos, sin }| Angles {
            cos: of(cos),
            sin: of(sin),
        });
        let window = self.window.clone().map(|masked| chosen.queries(masked));
        // All queries have the same biases.
        let bias = self.bias.clone();
        Self {
            angles,
            window,
            bias,
        }
    }

    /// Queries or keys of these positions, rotated.
    pub(crate) fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.angles {
            Some(angles) => angles.turn(x),
            None => x,
        }
    }
}

impl Angles {
    /// Rotates the first `d_rotary` numbers of every head.
    fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        let (d_head, d_rotary) = (x.dims()[3], 2 * self.cos.dims()[3]);
        let rotary = |x| ops::rotary(x, self.cos.clone(), self.sin.clone());
        if d_rotary == d_head {
            return rotary(x);
        }
        let kept = x.clone().narrow(3, d_rotary, d_head - d_rotary);
        Tensor::cat(vec![rotary(x.narrow(3, 0, d_rotary)), kept], 3)
    }
}

/// The positions of a pass: those before it, and those that it computes.
pub(crate) struct Pass<'a> {
    pub(crate) config: &'a DecoderConfig,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
    /// All positions, old and new.
    pub(crate) all: &'a PaddingMask,
    /// Number of old positions.
    pub(crate) past: usize,
    /// Order of the tokens, if they do not simply follow one another.
    pub(crate) trees: Option<&'a TokenTrees>,
}

impl Pass<'_> {
    /// Tokens of the longest text.
    fn length(&self) -> usize {
        self.trees
            .map_or_else(|| self.all.longest_row(), TokenTrees::longest_text)
    }

    /// The new positions of every row, or of one if all rows are alike.
    fn new_rows(&self) -> Vec<Vec<usize>> {
        self.rows(self.past)
    }

    /// The positions from `first` on of every row, or of one if all rows are alike.
    fn rows(&self, first: usize) -> Vec<Vec<usize>> {
        let row = |row| match self.trees {
            Some(trees) => trees.depths(row)[first..].to_vec(),
            None => self.all.places(row).skip(first).collect(),
        };
        let rows: Vec<Vec<usize>> = (0..self.all.batch()).map(row).collect();
        // Mostly all rows are at the same positions and can share one table.
        if rows.windows(2).all(|pair| pair[0] == pair[1]) {
            rows.into_iter().take(1).collect()
        } else {
            rows
        }
    }

    fn angles(&self, rope: &RopeConfig, d_head: usize) -> Angles {
        let rows = self.new_rows();
        let first = rows.iter().flatten().copied().min().unwrap_or(0);
        let last = rows.iter().flatten().copied().max();
        let end = last.map_or(first, |last| last + 1);
        let length = self.length();
        let frequencies = rope::frequencies(rope, d_head, length);
        let (cos, sin) = rope::table(&frequencies, first..end);

        let (batch, seq) = (rows.len(), self.all.seq() - self.past);
        let indices = rows
            .iter()
            .flatten()
            .map(|position| (position - first) as i64);
        let indices = TensorData::new(indices.collect(), [batch * seq]);
        let indices = Tensor::<1, Int>::from_data(indices, self.device);
        let width = frequencies.angles.len();
        let gather = |table: Vec<f32>| {
            let table = TensorData::new(table, [end - first, width]);
            Tensor::<2>::from_data(table, (self.device, self.dtype))
                .select(0, indices.clone())
                .reshape([batch, 1, seq, width])
        };
        Angles {
            cos: gather(cos),
            sin: gather(sin),
        }
    }

    /// Biases of the scores of these keys, `[batch or 1, heads, 1, keys]`. Keys beyond the positions
    /// hold nothing, and are never seen.
    fn biases(
        &self,
        attention: &AttentionConfig,
        kind: AlibiKind,
        keys: Range<usize>,
    ) -> Tensor<4> {
        let heads = HeadBias::of_heads(attention, kind, self.dtype);
        let mut rows = self.rows(keys.start);
        rows.iter_mut().for_each(|row| row.resize(keys.len(), 0));
        let shape = [rows.len(), heads.len(), 1, keys.len()];
        let of_row = |row| heads.iter().flat_map(move |head| head.of_keys(row));
        let biases = TensorData::new(rows.iter().flat_map(|row| of_row(row)).collect(), shape);
        Tensor::from_data(biases, (self.device, DType::F32))
    }

    /// Embeddings of the new positions.
    pub(crate) fn embedded(&self) -> EmbeddedPositions {
        match self.config.embedding.positions {
            PositionEmbedding::None => EmbeddedPositions::None,
            PositionEmbedding::Learnt => EmbeddedPositions::Learnt(self.learnt()),
            PositionEmbedding::Sinusoidal { zeroed } => {
                EmbeddedPositions::Computed(self.sinusoidal(zeroed))
            }
        }
    }

    fn sinusoidal(&self, zeroed: Option<u32>) -> Tensor<3> {
        let rows = self.new_rows();
        let width = self.config.d_model;
        let shape = [rows.len(), self.all.seq() - self.past, width];
        let table = SinusoidalTable::new(width, zeroed);
        let positions = rows.iter().flatten();
        let numbers = positions.flat_map(|position| table.row(*position));
        let numbers = TensorData::new(numbers.collect(), shape);
        Tensor::from_data(numbers, (self.device, self.dtype))
    }

    /// The new positions as ids of learnt embeddings, `[batch or 1, seq]`.
    fn learnt(&self) -> Tensor<2, Int> {
        let context_length = self.config.context_length;
        assert!(
            self.length() <= context_length,
            "a row is longer than the {context_length} positions that the decoder has learnt"
        );
        let rows = self.new_rows();
        let shape = [rows.len(), self.all.seq() - self.past];
        // Padding behind a row that fills the context would be one too far; it is never seen.
        let ids = rows
            .iter()
            .flatten()
            .map(|id| *id.min(&(context_length - 1)) as i64);
        Tensor::from_data(TensorData::new(ids.collect(), shape), self.device)
    }

    /// `true` where a query may not see a key: later keys, padding, and unused room. There are
    /// `keys` of them: as many as positions, or more, which hold nothing yet.
    pub(crate) fn causal_mask(&self, keys: usize) -> Option<Tensor<4, Bool>> {
        if let Some(trees) = self.trees {
            return Some(trees.masked(&trees.own_ends(), keys, self.device));
        }
        let (all, device) = (self.all, self.device);
        let seq = all.seq() - self.past;
        if seq == 1 && all.is_full() && keys == all.seq() {
            return None;
        }
        let later = Tensor::<2, Bool>::tril_mask([seq, keys], self.past as i64, device)
            .unsqueeze_dims(&[0, 1]);
        if all.is_full() {
            return Some(later);
        }
        let padding = PaddingMask::new(all.batch(), keys, |row, key| {
            all.row(row).get(key).is_none_or(|real| !real)
        });
        let padding = padding.to_tensor(device).reshape([all.batch(), 1, 1, keys]);
        let shape = [all.batch(), 1, seq, keys];
        Some(later.expand(shape).bool_or(padding.expand(shape)))
    }

    /// As [`Pass::causal_mask`], and keys `window` positions or more before the query.
    fn window_mask(&self, window: usize, keys: Range<usize>) -> Tensor<4, Bool> {
        if let Some(trees) = self.trees {
            assert_eq!(keys.start, 0, "a cache for trees keeps all positions");
            return trees.masked_in_window(&trees.own_ends(), keys.end, window, self.device);
        }
        let seq = self.all.seq();
        let batch = if self.all.is_full() {
            1
        } else {
            self.all.batch()
        };
        let mut masked = Vec::with_capacity(batch * (seq - self.past) * keys.len());
        for row in 0..batch {
            let position: Vec<usize> = self.all.places(row).collect();
            let row = self.all.row(row);
            for query in self.past..seq {
                let sees = |key: usize| {
                    key <= query && row[key] && position[query] - position[key] < window
                };
                masked.extend(keys.clone().map(|key| !sees(key)));
            }
        }
        let masked = TensorData::new(masked, [batch, 1, seq - self.past, keys.len()]);
        Tensor::from_data(masked, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(masked: Tensor<4, Bool>) -> Vec<String> {
        let keys = masked.dims()[3];
        let masked: Vec<bool> = masked.into_data().iter().collect();
        let draw = |masked: &bool| if *masked { 'x' } else { '.' };
        masked
            .chunks(keys)
            .map(|row| row.iter().map(draw).collect())
            .collect()
    }

    fn pass<T>(all: &PaddingMask, past: usize, of: impl FnOnce(Pass<'_>) -> T) -> T {
        of(Pass {
            config: &DecoderConfig::llama(8, 4, 1, 1),
            device: &Device::default(),
            dtype: DType::F32,
            all,
            past,
            trees: None,
        })
    }

    #[test]
    fn the_mask_hides_later_keys_padding_and_unused_room() {
        let all = PaddingMask::left(&[4, 3]);
        let masked = pass(&all, 2, |pass| pass.causal_mask(5).unwrap());
        assert_eq!(rows(masked), ["...xx", "....x", "x..xx", "x...x"]);
    }

    #[test]
    fn a_window_counts_real_tokens() {
        let all = PaddingMask::none(3, 4);
        let masked = pass(&all, 2, |pass| pass.window_mask(2, 0..5));
        assert_eq!(rows(masked), ["x..xx", "xx..x"]);
        // The padding between the second and the third token does not push the second out.
        let all = PaddingMask::new(1, 4, |_, entry| entry != 2);
        let masked = pass(&all, 3, |pass| pass.window_mask(2, 0..4));
        assert_eq!(rows(masked), ["x.x."]);
    }

    #[test]
    fn a_single_new_token_without_padding_needs_no_mask() {
        let mask = |seq, keys| {
            let all = PaddingMask::none(2, seq);
            pass(&all, seq - 1, |pass| pass.causal_mask(keys))
        };
        assert!(mask(32, 32).is_none());
        assert!(mask(31, 32).is_some());
    }

    #[test]
    fn blocks_are_sorted_into_kinds() {
        let mut config = DecoderConfig::llama(8, 4, 4, 1);
        config.blocks[1].attention.window = Some(3);
        config.blocks[3].attention.window = Some(3);
        let kinds = PositionKinds::new(&config);
        assert_eq!((kinds.kinds.len(), kinds.of_block), (2, vec![0, 1, 0, 1]));
    }
}
