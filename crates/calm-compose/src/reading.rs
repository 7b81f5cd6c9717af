//! What bridges get to read of the augmenting models in one pass.

use std::borrow::Borrow;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use calm_models::{Context, KvCache, ModelError, PaddingMask, TokenTrees};
use rayon::prelude::*;

use crate::cache::AugmentingCache;
use crate::tokens::{AugmentingTokens, OwnTokens, RowStream};
use crate::{Augmenting, Bridge, Connection, Mode};

/// The anchor's new tokens.
pub(crate) struct Input<'a> {
    /// `[batch, seq]`.
    pub(crate) ids: Tensor<2, Int>,
    pub(crate) padding: &'a PaddingMask,
}

/// All that augmenting models get to know of one pass.
pub(crate) struct New<'a, 'b> {
    pub(crate) input: &'a Input<'b>,
    /// Tokens of every row's prompt.
    pub(crate) prompts: &'a [usize],
    /// Per augmenting model that reads in tokens of its own, what is new.
    pub(crate) rows: &'a [Option<BatchTokens>],
    /// The anchor's.
    pub(crate) context: &'a Context,
}

/// One augmenting model's new tokens of every row.
pub(crate) type BatchTokens = Vec<AugmentingTokens>;

impl Input<'_> {
    /// What an augmenting model reads of it, of every row the tokens before one of `ends`. With
    /// `streams` the rows go on.
    pub(crate) fn read(
        &self,
        tokens: &OwnTokens,
        ends: &[usize],
        streams: Option<&mut [RowStream]>,
    ) -> Result<BatchTokens, ModelError> {
        let ids = self.real_ids()?;
        match streams {
            None => {
                let rows = ids.par_iter().zip(ends);
                rows.map(|(ids, end)| tokens.read(ids, *end)).collect()
            }
            Some(streams) => {
                let rows = streams.par_iter_mut().zip(&ids).zip(ends);
                rows.map(|((stream, ids), end)| stream.read(tokens, ids, *end))
                    .collect()
            }
        }
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

/// The number of real tokens of every row.
pub(crate) fn token_counts(padding: &PaddingMask) -> Vec<usize> {
    let of = |row| padding.row(row).iter().filter(|real| **real).count();
    (0..padding.batch()).map(of).collect()
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
    /// Numbers of its augmenting model and its connection.
    pub(crate) place: [usize; 2],
    pub(crate) connection: Connection,
    pub(crate) bridge: &'a Bridge,
    pub(crate) keys: Tensor<4>,
    pub(crate) values: Tensor<4>,
    pub(crate) masked: Option<Tensor<4, Bool>>,
    pub(crate) scale: f64,
}

impl Reading<'_> {
    /// [`Bridge::attention_weights`] of the anchor's hidden states before it.
    pub(crate) fn weights(&self, hidden: Tensor<3>) -> Tensor<4> {
        let keys = self.keys.clone();
        self.bridge
            .attention_weights(hidden, keys, self.masked.clone())
    }

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
    /// A model that reads the anchor's ids: an anchor position may see the model's positions up to
    /// its own that are not padding, and in [`Mode::Encoder`] none behind the prompt.
    ///
    /// Positions that are not read are padding to the model, or left out if no row is read from
    /// there on. So the model's positions are always the first ones of the anchor's.
    pub(crate) fn show(&self, new: &New<'_, '_>, cache: Option<&mut AugmentingCache>) -> Shown {
        let held = match &cache {
            Some(cache) => cache.bridges.positions().clone(),
            None => PaddingMask::none(new.prompts.len(), 0),
        };
        let read = self.read_of(new, &held);
        let (model, bridges) = cache
            .map(|cache| (&mut cache.model, &mut cache.bridges))
            .unzip();
        let states = (read.seq() > 0).then(|| {
            let ids = new.input.ids.clone().narrow(1, 0, read.seq());
            self.connected_states(ids.to_device(&self.decoder.device()), &read, model)
        });
        let keys = bridges.map(|bridges| {
            if read.seq() > 0 {
                bridges.reserve(&read);
            }
            bridges.key_count()
        });
        let past = new.context.past();
        let is_all = read == *new.input.padding && past == 0;
        let masked = if is_all {
            // The anchor sees of the model what it sees of itself.
            new.context.masked()
        } else {
            let keys = keys.filter(|_| held.seq() > 0).unwrap_or(read.seq());
            let device = new.context.device().clone();
            Some(up_to(
                &held.followed_by(&read),
                past,
                new.input.padding,
                keys,
                &device,
            ))
        };
        Shown {
            states,
            past: held.seq(),
            masked,
            trees: None,
        }
    }

    /// The new positions that the model reads, beginning with the first.
    fn read_of(&self, new: &New<'_, '_>, held: &PaddingMask) -> PaddingMask {
        let padding = new.input.padding;
        if self.mode == Mode::Iterative {
            return padding.clone();
        }
        if held.seq() < new.context.past() {
            // It was over before.
            return PaddingMask::none(padding.batch(), 0);
        }
        let before = token_counts(held);
        let is_read = |row: usize| {
            let places = padding.places(row).zip(padding.row(row));
            let end = new.prompts[row].saturating_sub(before[row]);
            places.map(move |(place, real)| *real && place < end)
        };
        let rows: Vec<Vec<bool>> = (0..padding.batch())
            .map(|row| is_read(row).collect())
            .collect();
        let ends = rows.iter().map(|row| row.iter().rposition(|read| *read));
        let seq = ends.flatten().max().map_or(0, |last| last + 1);
        PaddingMask::new(padding.batch(), seq, |row, position| rows[row][position])
    }

    /// A model that reads in tokens of its own; `device` is the anchor's.
    pub(crate) fn show_own(
        &self,
        rows: &[AugmentingTokens],
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

    pub(crate) fn tree_states(
        &self,
        batch: &TreeBatch,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::of_trees(&self.decoder, &batch.trees, cache.as_deref_mut());
        let ids = batch.ids(&self.decoder.device());
        self.states(ids, &context, cache)
    }
}

/// Hides from the anchor's positions after `past` what comes after them and what is not real,
/// `[batch, 1, seq_anchor, keys]`, `true` = masked.
pub(crate) fn up_to(
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
    pub(crate) fn new_count(&self) -> usize {
        self.ids.len() / self.ends.len().max(1)
    }

    /// `[batch, new]`.
    fn ids(&self, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i64> = self.ids.iter().map(|id| i64::from(*id)).collect();
        let shape = [self.ends.len(), self.new_count()];
        Tensor::from_data(TensorData::new(ids, shape), device)
    }

    /// What the anchor's new positions may not see, `[batch, 1, seq_anchor, keys]`, `true` = masked.
    pub(crate) fn masked(&self, keys: usize, device: &Device) -> Tensor<4, Bool> {
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
