//! What bridges get to read of the augmenting models in one pass.

use std::borrow::Cow;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use calm_models::{Context, KvCache, ModelError, PaddingMask, TokenTrees};
use rayon::prelude::*;

use crate::cache::AugmentingCache;
use crate::tokens::{AugmentingTokens, OwnTokens, RowStream, RowTokens};
use crate::{Augmenting, Bridge};

/// The anchor's new tokens.
pub(crate) struct Input<'a> {
    /// `[batch, seq]`.
    pub(crate) ids: Tensor<2, Int>,
    pub(crate) padding: &'a PaddingMask,
    /// What is read of every row, where it has been worked out.
    pub(crate) rows: Option<&'a [&'a RowTokens]>,
}

/// One augmenting model's new tokens of every row.
pub(crate) type BatchTokens<'a> = Vec<Cow<'a, AugmentingTokens>>;

impl<'a> Input<'a> {
    /// What augmenting model `index` reads of it. With `streams` the rows go on.
    pub(crate) fn read(
        &self,
        index: usize,
        tokens: &OwnTokens,
        streams: Option<&mut [RowStream]>,
    ) -> Result<BatchTokens<'a>, ModelError> {
        let worked_out = self.rows.map(|rows| {
            let of = rows.iter().map(|row| row.of[index].as_ref());
            of.map(|tokens| tokens.map(Cow::Borrowed)).collect()
        });
        if let Some(Some(rows)) = worked_out {
            return Ok(rows);
        }
        let ids = self.real_ids()?;
        let read = match streams {
            None => ids.par_iter().map(|ids| tokens.read(ids)).collect(),
            Some(streams) => {
                let rows = streams.par_iter_mut().zip(&ids);
                rows.map(|(stream, ids)| stream.read(tokens, ids)).collect()
            }
        };
        let read: Result<Vec<AugmentingTokens>, ModelError> = read;
        Ok(read?.into_iter().map(Cow::Owned).collect())
    }

    /// The ids of every row without padding.
    fn real_ids(&self) -> Result<Vec<Vec<u32>>, ModelError> {
        let ids = self.ids.clone().try_into_vec_as::<u32>();
        let ids = ids.map_err(|source| ModelError::Device { source })?;
        let rows = ids.chunks(self.padding.seq().max(1)).enumerate();
        let rows = rows.map(|(row, ids)| {
            let ids = ids.iter().zip(self.padding.row(row));
            let real = ids.filter(|(_, real)| **real);
            real.map(|(id, _)| *id).collect()
        });
        Ok(rows.collect())
    }
}

/// Rows of ids at the real positions of `padding`, as a tensor's data.
pub(crate) fn spread(rows: &[&[u32]], padding: &PaddingMask) -> TensorData {
    let ids = rows.iter().enumerate().flat_map(|(row, ids)| {
        let mut ids = ids.iter();
        let real = padding.row(row).iter();
        real.map(move |real| {
            real.then(|| ids.next())
                .flatten()
                .map_or(0, |id| i64::from(*id))
        })
    });
    TensorData::new(ids.collect(), [padding.batch(), padding.seq()])
}

/// What one bridge reads.
pub(crate) struct Reading<'a> {
    pub(crate) anchor_block: usize,
    pub(crate) bridge: &'a Bridge,
    pub(crate) keys: Tensor<4>,
    pub(crate) values: Tensor<4>,
    pub(crate) masked: Option<Tensor<4, Bool>>,
    pub(crate) scale: f64,
}

impl Reading<'_> {
    /// The anchor's hidden states with what the bridge reads added to them.
    pub(crate) fn add_to(self, hidden: Tensor<3>) -> Tensor<3> {
        let Self { keys, values, .. } = self;
        let read = self.bridge.read(hidden.clone(), keys, values, self.masked);
        match self.scale {
            1.0 => hidden + read,
            scale => hidden + read * scale,
        }
    }
}

/// What an augmenting model has to show to its bridges in one pass.
pub(crate) struct Shown {
    /// The output of every connected block at its new positions; none if it has no new ones.
    pub(crate) states: Option<Vec<Tensor<3>>>,
    /// Its positions before them.
    pub(crate) past: usize,
    /// What the anchor's positions may not see, `[batch or 1, 1, seq_anchor, seq_augmenting]`.
    pub(crate) masked: Option<Tensor<4, Bool>>,
    /// What it has read in tokens of its own.
    pub(crate) trees: Option<TreeBatch>,
}

impl Augmenting {
    /// A model that reads the anchor's ids: what the anchor may see of itself is what it may see of
    /// the model, positions up to its own that are not padding.
    pub(crate) fn show(
        &self,
        input: &Input<'_>,
        context: &Context,
        cache: Option<&mut AugmentingCache>,
    ) -> Shown {
        let ids = input.ids.clone().to_device(&self.decoder.device());
        let (model, bridges) = cache
            .map(|cache| (&mut cache.model, &mut cache.bridges))
            .unzip();
        Shown {
            states: Some(self.connected_states(ids, input.padding, model)),
            past: bridges.map_or(0, |bridges| bridges.reserve(input.padding)),
            masked: context.masked(),
            trees: None,
        }
    }

    /// A model that reads in tokens of its own; `device` is the anchor's.
    pub(crate) fn show_own(
        &self,
        rows: &[Cow<'_, AugmentingTokens>],
        input: &Input<'_>,
        device: &Device,
        mut cache: Option<&mut AugmentingCache>,
    ) -> Shown {
        let held = match cache.as_deref_mut() {
            None => PaddingMask::none(rows.len(), 0),
            Some(cache) => {
                cache.roll_back(rows);
                cache.model.positions().clone()
            }
        };
        let batch = TreeBatch::new(rows, &held, input.padding);
        let (model, bridges) = cache
            .map(|cache| (&mut cache.model, &mut cache.bridges))
            .unzip();
        let is_more = batch.new_count() > 0;
        let states = is_more.then(|| self.tree_states(&batch, model));
        let keys = bridges.map(|bridges| {
            if is_more {
                bridges.reserve_trees(&batch.trees);
            }
            bridges.key_count()
        });
        let keys = keys.filter(|_| held.seq() > 0).unwrap_or(batch.new_count());
        Shown {
            states,
            past: held.seq(),
            masked: Some(batch.masked(keys, &device.clone().without_autodiff())),
            trees: Some(batch),
        }
    }

    /// The output of every connected block for a batch without a cache, in whichever tokens the
    /// model reads, and which of its positions are real.
    pub(crate) fn states_of_text(
        &self,
        ids: &Tensor<2, Int>,
        padding: &PaddingMask,
    ) -> Result<(Vec<Tensor<3>>, PaddingMask), ModelError> {
        let Some(tokens) = &self.tokens else {
            let ids = ids.clone().to_device(&self.decoder.device());
            return Ok((self.connected_states(ids, padding, None), padding.clone()));
        };
        let input = Input {
            ids: ids.clone(),
            padding,
            rows: None,
        };
        let rows = input.read(0, tokens, None)?;
        let batch = TreeBatch::new(&rows, &PaddingMask::none(rows.len(), 0), padding);
        let is_any = batch.new_count() > 0;
        let states = is_any.then(|| self.tree_states(&batch, None));
        Ok((states.unwrap_or_default(), batch.trees.new_positions()))
    }

    fn tree_states(&self, batch: &TreeBatch, mut cache: Option<&mut KvCache>) -> Vec<Tensor<3>> {
        let context = Context::of_trees(&self.decoder, &batch.trees, cache.as_deref_mut());
        let ids = batch.ids(&self.decoder.device());
        self.states(ids, &context, cache)
    }
}

/// The trees of all rows, and what each anchor position sees of them.
pub(crate) struct TreeBatch {
    trees: TokenTrees,
    /// `[batch, new]`, row by row.
    ids: Vec<u32>,
    /// For every row and anchor position, the last position that it sees.
    ends: Vec<Vec<Option<usize>>>,
    /// For every row and position, whether it belongs to the text that the row ends with.
    kept: Vec<Vec<bool>>,
}

impl TreeBatch {
    /// `held` are the positions of the cache, of which each row has as many real ones as its tokens
    /// go on from; `padding` are the anchor's new positions.
    fn new(rows: &[Cow<'_, AugmentingTokens>], held: &PaddingMask, padding: &PaddingMask) -> Self {
        let new = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let places = rows.iter().enumerate();
        let places: Vec<Places> = places
            .map(|(row, tokens)| Places::new(tokens, held.row(row)))
            .collect();
        let each = || places.iter().zip(rows);
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
            // What fills up a row is never seen, so it may be any token.
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
    fn new_count(&self) -> usize {
        self.ids.len() / self.ends.len().max(1)
    }

    /// `[batch, new]`.
    fn ids(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i64> = self.ids.iter().map(|id| i64::from(*id)).collect();
        let shape = [self.ends.len(), self.new_count()];
        Tensor::from_data(TensorData::new(ids, shape), device)
    }

    /// What the anchor's new positions may not see, `[batch, 1, seq_anchor, keys]`, `true` = masked.
    fn masked(&self, keys: usize, device: &Device) -> Tensor<4, Bool> {
        self.trees.masked(&self.ends, keys, device)
    }

    /// Whether a position belongs to the text that its row ends with, so that later ones see it.
    pub(crate) fn keeps(&self, row: usize, position: usize) -> bool {
        self.kept[row][position]
    }
}

/// Where the tokens of a row are among all positions.
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
