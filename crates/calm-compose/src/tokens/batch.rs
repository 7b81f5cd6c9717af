//! Own tokens of an augmenting model for all rows of a batch.

use std::borrow::Borrow;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use calm_models::{ModelError, PaddingMask, TokenTrees};
use rayon::prelude::*;

use super::{AugmentingTokens, OwnTokens, RowStream};

/// One augmenting model's new tokens of every row.
pub(crate) type BatchTokens = Vec<AugmentingTokens>;

impl OwnTokens {
    /// Tokens of whole rows, given the anchor's ids without padding. Of row i, the text of the anchor
    /// tokens before `ends[i]` is read.
    pub(crate) fn read_batch(
        &self,
        rows: &[Vec<u32>],
        ends: &[usize],
    ) -> Result<BatchTokens, ModelError> {
        let rows = rows.par_iter().zip(ends);
        rows.map(|(ids, end)| self.read(ids, *end)).collect()
    }
}

impl RowStream {
    /// [`OwnTokens::read_batch`] for rows whose text goes on.
    pub(crate) fn read_batch(
        streams: &mut [Self],
        rows: &[Vec<u32>],
        ends: &[usize],
    ) -> Result<BatchTokens, ModelError> {
        let rows = streams.par_iter_mut().zip(rows).zip(ends);
        rows.map(|((stream, ids), end)| stream.read(ids, *end))
            .collect()
    }
}

/// One augmenting model's new tokens of all rows, as prefix trees.
#[derive(Debug)]
pub(crate) struct TreeBatch {
    pub(crate) trees: TokenTrees,
    /// `[batch, new]`, row by row.
    ids: Vec<u32>,
    /// For every row and anchor position, the last augmenting position that it sees.
    ends: Vec<Vec<Option<usize>>>,
    /// For every row and position, whether it belongs to the text that the row ends with.
    kept: Vec<Vec<bool>>,
}

impl TreeBatch {
    /// `held` are the cache's positions; each row has as many real ones as it holds tokens. `padding`
    /// are the anchor's new positions.
    pub(crate) fn new(
        rows: &[impl Borrow<AugmentingTokens>],
        held: &PaddingMask,
        padding: &PaddingMask,
    ) -> Self {
        let rows: Vec<&AugmentingTokens> = rows.iter().map(Borrow::borrow).collect();
        let new = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let places = rows.iter().enumerate();
        let places: Vec<Places> = places
            .map(|(row, tokens)| Places::new(tokens, held.row(row)))
            .collect();
        let each = || places.iter().zip(&rows);
        let parents: Vec<Vec<Option<usize>>> = each()
            .map(|(places, tokens)| places.of_all(&tokens.parents))
            .collect();
        let ends = each().enumerate().map(|(row, (places, tokens))| {
            let mut ends = places.of_all(&tokens.ends).into_iter();
            let real = padding.row(row).iter();
            real.map(|real| real.then(|| ends.next().flatten()).flatten())
                .collect()
        });
        let kept = each().map(|(places, tokens)| {
            let mut kept = vec![false; held.seq() + new];
            tokens
                .last
                .iter()
                .for_each(|node| kept[places.of(*node)] = true);
            kept
        });
        let ids = rows.iter().flat_map(|row| {
            // Padding is never seen, so it may be any token.
            let filling = std::iter::repeat_n(0, new - row.ids.len());
            row.ids.iter().copied().chain(filling)
        });
        Self {
            ids: ids.collect(),
            ends: ends.collect(),
            kept: kept.collect(),
            trees: TokenTrees::new(held, &parents),
        }
    }

    /// New positions of every row.
    pub(crate) fn new_count(&self) -> usize {
        self.ids.len() / self.ends.len().max(1)
    }

    /// Ids, `[batch, new]`.
    pub(crate) fn ids(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i64> = self.ids.iter().map(|id| i64::from(*id)).collect();
        let shape = [self.ends.len(), self.new_count()];
        Tensor::from_data(TensorData::new(ids, shape), device)
    }

    /// Tokens that each new anchor position may not see, `[batch, 1, seq_anchor, keys]`, `true` =
    /// masked.
    pub(crate) fn masked(&self, keys: usize, device: &Device) -> Tensor<4, Bool> {
        self.trees.masked(&self.ends, keys, device)
    }

    /// Whether later positions can see this one: it belongs to the text that its row ends with.
    pub(crate) fn keeps(&self, row: usize, position: usize) -> bool {
        self.kept[row][position]
    }
}

/// Positions of a row's tokens, held and new.
struct Places {
    held: Vec<usize>,
    tokens_held: usize,
    positions_held: usize,
}

impl Places {
    fn new(tokens: &AugmentingTokens, held: &[bool]) -> Self {
        let real = held.iter().enumerate().filter(|(_, real)| **real);
        Self {
            held: real.map(|(place, _)| place).collect(),
            tokens_held: tokens.held,
            positions_held: held.len(),
        }
    }

    fn of(&self, token: u32) -> usize {
        let token = token as usize;
        match token.checked_sub(self.tokens_held) {
            None => self.held[token],
            Some(new) => self.positions_held + new,
        }
    }

    fn of_all(&self, tokens: &[Option<u32>]) -> Vec<Option<usize>> {
        tokens
            .iter()
            .map(|token| token.map(|token| self.of(token)))
            .collect()
    }
}
