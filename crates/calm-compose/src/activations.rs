//! Cached activations: hidden states of a text that no bridge changes.
//!
//! Both models are frozen, so the augmenting models' hidden states at the connected blocks and the
//! anchor's below its first bridge are constants of a text: worked out once, they serve for every
//! epoch. Texts are run together with others of the same length only, and never fewer of them than
//! make the products of the processor independent of their number. There a text's states are
//! therefore the same to the last bit in whatever batch it comes, and nothing is computed for
//! padding.

use std::collections::BTreeMap;

use burn::tensor::{DType, Int, Tensor, TensorData};
use calm_backend::ops;
use calm_models::{Context, Decoder, PaddingMask};

use crate::tokens::{AugmentingTokens, TreeBatch};
use crate::{Augmenting, FrozenParts, RowTokens};

/// A whole text in the anchor's tokens.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// At least one.
    pub ids: &'a [u32],
    /// Ids that the anchor reads, as many: `ids`, unless something of the text is hidden from it.
    pub anchor_ids: &'a [u32],
    /// Number of ids that are its prompt, for [`Mode::Encoder`](crate::Mode::Encoder).
    pub prompt: usize,
    /// The tokens that augmenting models read of it: [`FrozenParts::read_rows`].
    pub tokens: &'a RowTokens,
}

/// Cached activations: hidden states that no bridge changes, of a batch of texts padded on the right.
#[derive(Debug, Clone)]
pub struct CachedActivations {
    /// The output of the anchor's first connected block, before any bridge adds to it,
    /// `[batch, seq, d_anchor]`.
    pub anchor: Tensor<3>,
    /// For every augmenting model that is on, and for each of its connections, the output of the
    /// connected block, `[batch, seq_augmenting, d_augmenting]`.
    pub augmenting: Vec<Vec<Tensor<3>>>,
}

/// The size of one activation of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationSize {
    /// Positions of the model that it belongs to.
    pub positions: usize,
    /// The model's width.
    pub width: usize,
}

impl ActivationSize {
    /// Number of values.
    pub fn elements(self) -> usize {
        self.positions * self.width
    }
}

impl CachedActivations {
    /// All of them, the anchor's first.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor<3>> {
        std::iter::once(&self.anchor).chain(self.augmenting.iter().flatten())
    }
}

impl FrozenParts {
    /// Computes the activations of these texts.
    ///
    /// # Panics
    ///
    /// If a text is empty, or was not read for these models.
    pub fn activations(&self, texts: &[Text<'_>]) -> CachedActivations {
        let models = self.active_models();
        CachedActivations {
            anchor: self.anchor_activations(texts),
            augmenting: models
                .map(|(index, model)| model.states_of(index, texts))
                .collect(),
        }
    }

    /// Puts activations together from tensors in the order of [`CachedActivations::iter`], of the
    /// sizes of [`FrozenParts::activation_sizes`].
    ///
    /// # Panics
    ///
    /// If there are not as many.
    pub fn activations_from(
        &self,
        states: impl IntoIterator<Item = Tensor<3>>,
    ) -> CachedActivations {
        let mut states = states.into_iter();
        let mut next = || states.next().expect("a state for every connection");
        CachedActivations {
            anchor: next(),
            augmenting: self
                .active_models()
                .map(|(_, model)| model.connections.iter().map(|_| next()).collect())
                .collect(),
        }
    }

    /// The size of every activation of a text, in the order of [`CachedActivations::iter`].
    pub fn activation_sizes(&self, text: &Text<'_>) -> Vec<ActivationSize> {
        let size = |decoder: &Decoder, positions| ActivationSize {
            positions,
            width: decoder.config().d_model,
        };
        let augmenting = self.active_models().flat_map(|(index, model)| {
            let size = size(&model.decoder, model.positions_of(index, text));
            std::iter::repeat_n(size, model.connections.len())
        });
        std::iter::once(size(&self.anchor, text.ids.len()))
            .chain(augmenting)
            .collect()
    }

    /// Those of the anchor alone: the output of its first connected block, before any bridge adds to
    /// it, `[batch, seq, d_anchor]`.
    ///
    /// # Panics
    ///
    /// If a text is empty.
    pub fn anchor_activations(&self, texts: &[Text<'_>]) -> Tensor<3> {
        let blocks = 0..self.first_connected();
        let lengths = texts.iter().map(|text| text.ids.len()).collect();
        let by_length = ByLength::new(lengths, &self.anchor);
        let states = by_length.run(1, |rows, length| {
            let padding = PaddingMask::none(rows.len(), length);
            let context = Context::new(&self.anchor, &padding, None);
            let rows = rows.iter().map(|row| texts[*row].anchor_ids);
            let ids = beginnings(rows, length, &self.anchor);
            let hidden = self.anchor.embed(ids, &context);
            vec![self.anchor.run(blocks.clone(), hidden, &context, None)]
        });
        states.into_iter().next().expect("one was asked for")
    }
}

impl Augmenting {
    /// Positions of this model, number `index` of all, that the anchor may read of a text.
    pub(crate) fn positions_of(&self, index: usize, text: &Text<'_>) -> usize {
        match &text.tokens.of[index] {
            Some(tokens) => tokens.ids.len(),
            None => self.mode.tokens_read(text.prompt).min(text.ids.len()),
        }
    }

    /// Own tokens of these texts; none if the model reads the anchor's ids. All are read in the same
    /// way, see [`FrozenParts::read_rows_in`].
    pub(crate) fn own_tokens<'a>(
        index: usize,
        texts: impl IntoIterator<Item = &'a Text<'a>>,
    ) -> Option<Vec<&'a AugmentingTokens>> {
        let rows = texts.into_iter();
        rows.map(|text| text.tokens.of[index].as_ref()).collect()
    }

    fn states_of(&self, index: usize, texts: &[Text<'_>]) -> Vec<Tensor<3>> {
        let lengths = texts.iter().map(|text| self.positions_of(index, text));
        let by_length = ByLength::new(lengths.collect(), &self.decoder);
        by_length.run(self.connections.len(), |rows, length| {
            let Some(own) = Self::own_tokens(index, rows.iter().map(|row| &texts[*row])) else {
                let padding = PaddingMask::none(rows.len(), length);
                let rows = rows.iter().map(|row| texts[*row].ids);
                return self.states_of_ids(beginnings(rows, length, &self.decoder), &padding, None);
            };
            let lengths: Vec<usize> = rows.iter().map(|row| texts[*row].ids.len()).collect();
            let held = PaddingMask::none(rows.len(), 0);
            let batch = TreeBatch::new(&own, &held, &PaddingMask::right(&lengths));
            self.states_of_trees(&batch, None)
        })
    }
}

/// The first `length` ids of these rows, `[rows, length]`.
fn beginnings<'a>(
    rows: impl ExactSizeIterator<Item = &'a [u32]>,
    length: usize,
    decoder: &Decoder,
) -> Tensor<2, Int> {
    let shape = [rows.len(), length];
    let ids = rows.flat_map(|ids| &ids[..length]);
    let ids: Vec<i64> = ids.map(|id| i64::from(*id)).collect();
    let device = decoder.device().without_autodiff();
    Tensor::from_data(TensorData::new(ids, shape), &device)
}

/// Rows that are run with others of their length.
struct ByLength<'a> {
    lengths: Vec<usize>,
    /// Length, rows.
    groups: BTreeMap<usize, Vec<usize>>,
    decoder: &'a Decoder,
}

impl<'a> ByLength<'a> {
    fn new(lengths: Vec<usize>, decoder: &'a Decoder) -> Self {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, length) in lengths.iter().enumerate() {
            groups.entry(*length).or_default().push(row);
        }
        Self {
            lengths,
            groups,
            decoder,
        }
    }

    /// Runs `states` for every group of rows of one length. Returns `count` tensors
    /// `[rows, longest, d_model]` in the order of the rows, with zeros as padding on the right.
    fn run(
        &self,
        count: usize,
        states: impl Fn(&[usize], usize) -> Vec<Tensor<3>>,
    ) -> Vec<Tensor<3>> {
        let mut parts = vec![Vec::with_capacity(self.groups.len()); count];
        for (length, rows) in &self.groups {
            for (parts, state) in parts
                .iter_mut()
                .zip(self.group(count, rows, *length, &states))
            {
                parts.push(self.padded(state));
            }
        }
        parts
            .into_iter()
            .map(|parts| self.in_row_order(parts))
            .collect()
    }

    fn group(
        &self,
        count: usize,
        rows: &[usize],
        length: usize,
        states: &impl Fn(&[usize], usize) -> Vec<Tensor<3>>,
    ) -> Vec<Tensor<3>> {
        if length == 0 {
            return vec![self.zeros(rows.len(), 0); count];
        }
        let run = rows.len().max(ops::BATCH_INVARIANT_ROWS.div_ceil(length));
        let repeated: Vec<usize> = rows.iter().copied().cycle().take(run).collect();
        let states = states(&repeated, length);
        let own = |state: Tensor<3>| state.narrow(0, 0, rows.len());
        states.into_iter().map(own).collect()
    }

    fn padded(&self, state: Tensor<3>) -> Tensor<3> {
        let ([rows, length, _], longest) = (state.dims(), self.longest());
        if length == longest {
            return state;
        }
        Tensor::cat(vec![state, self.zeros(rows, longest - length)], 1)
    }

    /// The groups of rows, one behind the other, in the order of the rows.
    fn in_row_order(&self, mut parts: Vec<Tensor<3>>) -> Tensor<3> {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let mut places = vec![0; self.lengths.len()];
        for (place, row) in self.groups.values().flatten().enumerate() {
            places[*row] = place as i64;
        }
        let places = TensorData::new(places, [self.lengths.len()]);
        let places = Tensor::from_data(places, &self.decoder.device());
        Tensor::cat(parts, 0).select(0, places)
    }

    fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    fn zeros(&self, rows: usize, length: usize) -> Tensor<3> {
        let dtype: DType = self.decoder.dtype();
        let shape = [rows, length, self.decoder.config().d_model];
        Tensor::zeros(shape, (&self.decoder.device(), dtype))
    }
}
