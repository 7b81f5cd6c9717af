//! Positions and visibility, which all blocks of one forward pass share.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::cache::{Cache as _, KvCache};
use super::chosen::ChosenPositions;
use super::positions::{EmbeddedPositions, Pass, PositionKinds, Positions};
use crate::{Decoder, PaddingMask, TokenTrees};

/// Positions and visibility of one forward pass, worked out once for all blocks.
///
/// Positions count real tokens only, so that padding on either side changes nothing; attention is
/// causal and never sees padding.
#[derive(Debug, Clone)]
pub struct Context {
    /// One for every kind of block.
    positions: Vec<Positions>,
    kinds: Arc<PositionKinds>,
    embedded: EmbeddedPositions,
    /// `[batch or 1, 1, seq, keys]`, `true` = masked; none where every query sees every key.
    masked: Option<Tensor<4, Bool>>,
    /// Positions that the cache held before this pass.
    pub(crate) past: usize,
    /// Positions of this pass.
    seq: usize,
    /// Positions at which the output of a block is wanted, if not at all.
    pub(crate) chosen: Option<Chosen>,
    device: Device,
}

/// Positions and masks of the queries, if only some positions have any.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    positions: ChosenPositions,
    /// One for every kind of block.
    of_queries: Vec<Positions>,
    masked: Option<Tensor<4, Bool>>,
}

impl Context {
    /// The context of a pass over the positions of `padding`.
    ///
    /// With a cache they follow those that it holds, and room for them is reserved: the pass must
    /// then run with that same cache.
    ///
    /// # Panics
    ///
    /// If the cache was made for another number of rows, or does not serve so long a sequence (see
    /// [`CausalLm::cache_serves`](crate::CausalLm::cache_serves)), or a row is longer than the
    /// embeddings that the decoder has learnt for positions.
    pub fn new(decoder: &Decoder, padding: &PaddingMask, cache: Option<&mut KvCache>) -> Self {
        match cache {
            None => Self::of(decoder, padding, 0, None, |_| 0..padding.seq()),
            Some(cache) => {
                assert_eq!(
                    cache.batch(),
                    padding.batch(),
                    "rows of the cache and of the batch"
                );
                let after = cache.longest_row_with(padding);
                check_serves(decoder, cache, after);
                let past = cache.reserve(padding);
                Self::of(decoder, cache.positions(), past, None, |window| {
                    cache.keys(window, past)
                })
            }
        }
    }

    /// The context of a pass over trees of tokens, each of which sees its own text.
    ///
    /// With a cache they go on from what it holds, and room for them is reserved, as in
    /// [`Context::new`].
    ///
    /// # Panics
    ///
    /// As [`Context::new`], and if the trees were not made for what the cache holds, or it drops
    /// positions ([`KvCache::within_windows`]).
    pub fn of_trees(decoder: &Decoder, trees: &TokenTrees, cache: Option<&mut KvCache>) -> Self {
        let all = trees.all();
        match cache {
            None => Self::of(decoder, all, 0, Some(trees), |_| 0..all.seq()),
            Some(cache) => {
                check_serves(decoder, cache, trees.longest_text());
                let past = cache.reserve_trees(trees);
                Self::of(decoder, all, past, Some(trees), |window| {
                    cache.keys(window, past)
                })
            }
        }
    }

    /// `keys` gives the positions of the keys that blocks with a window, or without one, will have.
    fn of(
        decoder: &Decoder,
        all: &PaddingMask,
        past: usize,
        trees: Option<&TokenTrees>,
        keys: impl Fn(Option<usize>) -> Range<usize>,
    ) -> Self {
        let device = decoder.device().without_autodiff();
        let pass = Pass {
            config: decoder.config(),
            device: &device,
            dtype: decoder.dtype(),
            all,
            past,
            trees,
        };
        let kinds = decoder.kinds();
        let of_kind = kinds
            .kinds
            .iter()
            .map(|kind| Positions::new(kind, &pass, keys(kind.window)));
        Self {
            positions: of_kind.collect(),
            kinds,
            embedded: pass.embedded(),
            masked: pass.causal_mask(keys(None).end),
            past,
            seq: all.seq() - past,
            chosen: None,
            device: device.clone(),
        }
    }

    /// The same pass, but rows for which `narrow(row)` holds see only the last `window` positions,
    /// their own included.
    ///
    /// For training with windows of changing width; not for a pass that continues a cache.
    ///
    /// # Panics
    ///
    /// If the pass continues a cache.
    pub fn with_window(&self, window: usize, narrow: impl Fn(usize) -> bool, batch: usize) -> Self {
        assert_eq!(self.past, 0, "a window cannot be put over a cache");
        let seq = self.seq;
        let outside: Vec<bool> = (0..batch * seq * seq)
            .map(|entry| {
                let (row, query, key) = (entry / (seq * seq), entry / seq % seq, entry % seq);
                narrow(row) && key + window <= query
            })
            .collect();
        let shape = [batch, 1, seq, seq];
        let outside = Tensor::<4, Bool>::from_data(TensorData::new(outside, shape), &self.device);
        let narrow = |masked: &mut Tensor<4, Bool>| {
            *masked = outside.clone().bool_or(masked.clone().expand(shape));
        };
        let mut context = self.clone();
        match &mut context.masked {
            Some(masked) => narrow(masked),
            none => *none = Some(outside.clone()),
        }
        let windows = context.positions.iter_mut().map(|kind| &mut kind.window);
        windows.flatten().for_each(narrow);
        context
    }

    /// The same pass for a last block, whose output is wanted at chosen positions only: keys and
    /// values are of all positions, all else is computed where it is wanted.
    pub fn choosing(&self, positions: &ChosenPositions) -> Self {
        let of_queries = self.positions.iter().map(|kind| kind.choosing(positions));
        let chosen = Chosen {
            of_queries: of_queries.collect(),
            masked: self.masked().map(|masked| positions.queries(masked)),
            positions: positions.clone(),
        };
        Self {
            chosen: Some(chosen),
            ..self.clone()
        }
    }

    /// Mask of the queries, whatever windows the blocks have: `[batch or 1, 1, seq, keys]`,
    /// `true` = masked; none where every query sees every key. A cache that is filled alongside the
    /// decoder's has the same keys.
    pub fn masked(&self) -> Option<Tensor<4, Bool>> {
        self.masked.clone()
    }

    /// Positions that the cache held before this pass.
    pub fn past(&self) -> usize {
        self.past
    }

    /// Device of the masks: the decoder's, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Positions of the keys of a block.
    pub(crate) fn positions_of(&self, block: usize) -> &Positions {
        &self.positions[self.kinds.of_block[block]]
    }

    /// Positions of the queries of a block.
    pub(crate) fn queries_of(&self, block: usize) -> &Positions {
        match &self.chosen {
            Some(chosen) => &chosen.of_queries[self.kinds.of_block[block]],
            None => self.positions_of(block),
        }
    }

    /// Mask of the queries of a block.
    pub(crate) fn masked_in(&self, block: usize) -> Option<Tensor<4, Bool>> {
        let masked = match &self.chosen {
            Some(chosen) => &chosen.masked,
            None => &self.masked,
        };
        let window = &self.queries_of(block).window;
        window.as_ref().or(masked.as_ref()).cloned()
    }

    /// Of `[batch, seq, d_model]` the positions at which a block's output is computed.
    pub(crate) fn computed(&self, hidden: Tensor<3>) -> Tensor<3> {
        match &self.chosen {
            Some(chosen) => chosen.positions.computed(hidden),
            None => hidden,
        }
    }

    /// The numbers that embeddings of the positions are made of.
    pub(crate) fn embedded(&self) -> EmbeddedPositions {
        self.embedded.clone()
    }
}

fn check_serves(decoder: &Decoder, cache: &KvCache, after: usize) {
    assert!(
        cache.filled_at() == 0 || decoder.has_same_frequencies(cache.filled_at(), after),
        "the rotary frequencies are no longer those that the cache was filled with"
    );
}
