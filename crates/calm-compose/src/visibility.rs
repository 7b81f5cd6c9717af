//! Visibility: which positions of an augmenting model an anchor position may see.
//!
//! It is decided here, for training and for decoding.
//!
//! - A model that reads the anchor's token ids has a position for each anchor position that it
//!   reads. An anchor position sees those up to its own that are not padding.
//! - A model that reads in tokens of its own has the tokens of every text that ends at an anchor
//!   position, merged into trees. An anchor position sees the tokens of the text up to itself.
//!
//! In [`Mode::Encoder`] the model reads the prompt only, so there is nothing to see behind it.

use std::borrow::Borrow;

use burn::tensor::{Bool, Device, Tensor, TensorData};
use calm_models::{Context, KvCache, PaddingMask};

use crate::Mode;
use crate::tokens::{AugmentingTokens, TreeBatch};

/// The anchor's new positions of one pass.
pub(crate) struct AnchorPositions<'a> {
    /// Real positions and padding.
    pub(crate) padding: &'a PaddingMask,
    /// Tokens of every row's prompt.
    pub(crate) prompts: &'a [usize],
    /// The anchor's context: how many positions come before, and the causal mask.
    pub(crate) context: &'a Context,
}

/// The positions of one augmenting model in one pass.
#[derive(Debug)]
pub(crate) struct Visibility {
    /// Positions that its cache holds from earlier passes.
    held: PaddingMask,
    new: NewPositions,
}

/// The positions that an augmenting model computes in one pass.
#[derive(Debug)]
pub(crate) enum NewPositions {
    /// The first of the anchor's new positions. Those that are not read are padding.
    OfAnchor(PaddingMask),
    /// Tokens of its own.
    Own(TreeBatch),
}

impl Visibility {
    /// `own` are the new tokens of a model that reads in tokens of its own.
    pub(crate) fn new(
        mode: Mode,
        anchor: &AnchorPositions<'_>,
        held: PaddingMask,
        own: Option<&[impl Borrow<AugmentingTokens>]>,
    ) -> Self {
        let new = match own {
            Some(rows) => NewPositions::Own(TreeBatch::new(rows, &held, anchor.padding)),
            None => NewPositions::OfAnchor(anchor.read_in(mode, &held)),
        };
        Self { held, new }
    }

    /// Positions from earlier passes.
    pub(crate) fn past(&self) -> usize {
        self.held.seq()
    }

    /// Positions computed in this pass.
    pub(crate) fn new_count(&self) -> usize {
        match &self.new {
            NewPositions::OfAnchor(read) => read.seq(),
            NewPositions::Own(trees) => trees.new_count(),
        }
    }

    pub(crate) fn new_positions(&self) -> &NewPositions {
        &self.new
    }

    /// Makes room in a cache for the new positions. Returns how many keys bridges will read from it.
    pub(crate) fn reserve(&self, cache: &mut KvCache) -> usize {
        match &self.new {
            _ if self.new_count() == 0 => {}
            NewPositions::OfAnchor(read) => _ = cache.reserve(read),
            NewPositions::Own(trees) => _ = cache.reserve_trees(&trees.trees),
        }
        match self.past() {
            // A first pass reads its own keys, a later one the cache's storage.
            0 => self.new_count(),
            _ => cache.key_count(),
        }
    }

    /// Place of every augmenting position in the text that its row reads, `[batch, keys]`; 0 for those
    /// that hold nothing.
    pub(crate) fn places(&self, keys: usize) -> Vec<Vec<usize>> {
        let rows = 0..self.held.batch();
        let mut places: Vec<Vec<usize>> = match &self.new {
            NewPositions::OfAnchor(read) => {
                let all = self.held.followed_by(read);
                rows.map(|row| all.places(row).collect()).collect()
            }
            NewPositions::Own(trees) => {
                let depths = rows.map(|row| trees.trees.depths(row).to_vec());
                depths.collect()
            }
        };
        places.iter_mut().for_each(|row| row.resize(keys, 0));
        places
    }

    /// Augmenting positions that each new anchor position may not see,
    /// `[batch or 1, 1, seq_anchor, keys]`, `true` = masked; none if all may be seen.
    pub(crate) fn masked(
        &self,
        anchor: &AnchorPositions<'_>,
        keys: usize,
    ) -> Option<Tensor<4, Bool>> {
        let context = anchor.context;
        match &self.new {
            // The anchor sees of the model what it sees of itself.
            NewPositions::OfAnchor(read) if read == anchor.padding && context.past() == 0 => {
                context.masked()
            }
            NewPositions::OfAnchor(read) => {
                let real = self.held.followed_by(read);
                Some(up_to(
                    &real,
                    context.past(),
                    anchor.padding,
                    keys,
                    context.device(),
                ))
            }
            NewPositions::Own(trees) => Some(trees.masked(keys, context.device())),
        }
    }
}

impl AnchorPositions<'_> {
    /// The new positions that a model reads which reads the anchor's ids, up to the last of them.
    fn read_in(&self, mode: Mode, held: &PaddingMask) -> PaddingMask {
        let padding = self.padding;
        if mode == Mode::Iterative {
            return padding.clone();
        }
        if held.seq() < self.context.past() {
            // The prompt ended in an earlier pass.
            return PaddingMask::none(padding.batch(), 0);
        }
        let before = token_counts(held);
        let is_read = |row: usize| {
            let places = padding.places(row).zip(padding.row(row));
            let end = self.prompts[row].saturating_sub(before[row]);
            places.map(move |(place, real)| *real && place < end)
        };
        let rows: Vec<Vec<bool>> = (0..padding.batch())
            .map(|row| is_read(row).collect())
            .collect();
        let ends = rows.iter().map(|row| row.iter().rposition(|read| *read));
        let seq = ends.flatten().max().map_or(0, |last| last + 1);
        PaddingMask::new(padding.batch(), seq, |row, position| rows[row][position])
    }
}

/// The number of real tokens of every row.
pub(crate) fn token_counts(padding: &PaddingMask) -> Vec<usize> {
    let of = |row| padding.row(row).iter().filter(|real| **real).count();
    (0..padding.batch()).map(of).collect()
}

/// Hides from the anchor's positions after `past` what comes after them and what is not real,
/// `[batch, 1, seq_anchor, keys]`, `true` = masked.
fn up_to(
    real: &PaddingMask,
    past: usize,
    new: &PaddingMask,
    keys: usize,
    device: &Device,
) -> Tensor<4, Bool> {
    let [batch, seq] = [new.batch(), new.seq()];
    let mut masked = Vec::with_capacity(batch * seq * keys);
    for row in 0..batch {
        let real = real.row(row);
        for query in past..past + seq {
            let sees = |key: usize| key <= query && real.get(key).copied().unwrap_or(false);
            masked.extend((0..keys).map(|key| !sees(key)));
        }
    }
    Tensor::from_data(TensorData::new(masked, [batch, 1, seq, keys]), device)
}
