//! Sequences that are decoded together.

use burn::tensor::{Int, Tensor, TensorData};

use super::SharedPrefix;
use super::sequence::{Event, Sequence, SequenceId};
use crate::{Cache as _, CausalLm, ModelError, PaddingMask};

/// Sequences that are decoded together, and the cache whose rows they are.
pub(super) struct Batch<M: CausalLm> {
    cache: M::Cache,
    /// One per row of the cache; none for a sequence that has left before its row.
    rows: Vec<Option<Sequence<M::Prompt>>>,
    /// Tokens that the cache holds, of the only sequence once it has left.
    left: Option<Vec<u32>>,
}

impl<M: CausalLm> Batch<M> {
    /// Computes the texts of new sequences, padded on the left, or what follows the prefix that they
    /// all begin with. Each gets its next token.
    pub(super) fn prefill(
        model: &M,
        prefix: Option<&SharedPrefix<M>>,
        sequences: Vec<Sequence<M::Prompt>>,
        events: &mut Vec<Event>,
    ) -> Result<Self, ModelError> {
        let cache = match prefix {
            Some(prefix) => prefix.rows(sequences.len()),
            None => {
                let mut rows = sequences.iter().map(|row| model.cache_for(row.prompt()));
                let mut cache = rows.next().expect("a sequence at least");
                rows.for_each(|row| cache.append_rows(row));
                cache
            }
        };
        let known = prefix.map_or(0, SharedPrefix::len);
        let texts: Vec<&[u32]> = sequences.iter().map(|row| &row.ids()[known..]).collect();
        let (ids, padding) = left_padded(&texts);
        let mut batch = Self {
            cache,
            rows: sequences.into_iter().map(Some).collect(),
            left: None,
        };
        batch.advance(model, &ids, &padding, events)?;
        Ok(batch)
    }

    /// Computes the last token of every sequence. Each gets its next token.
    pub(super) fn decode(&mut self, model: &M, events: &mut Vec<Event>) -> Result<(), ModelError> {
        // Removing rows copies those that stay, so that it waits until half have left.
        if self.sequences().count() * 2 <= self.rows.len() {
            self.drop_vacant_rows();
        }
        // The id that stands for padding is never seen.
        let last = |row: &Option<Sequence<_>>| row.as_ref().map_or(0, Sequence::last);
        let ids: Vec<u32> = self.rows.iter().map(last).collect();
        let padding = PaddingMask::new(ids.len(), 1, |row, _| self.rows[row].is_some());
        self.advance(model, &ids, &padding, events)
    }

    /// Adds the sequences of another batch.
    pub(super) fn append(&mut self, mut other: Self) {
        self.drop_vacant_rows();
        other.drop_vacant_rows();
        self.cache.append_rows(other.cache);
        self.rows.append(&mut other.rows);
    }

    /// Takes out all sequences that are to leave.
    pub(super) fn extract(
        &mut self,
        leaves: impl Fn(&Sequence<M::Prompt>) -> bool,
    ) -> impl Iterator<Item = Sequence<M::Prompt>> {
        let rows = self.rows.iter_mut();
        rows.filter_map(move |row| row.take_if(|sequence| leaves(sequence)))
    }

    pub(super) fn remove(&mut self, id: SequenceId) -> bool {
        let removed = self.extract(|sequence| sequence.id() == id).next();
        let is_alone = self.rows.len() == 1;
        if let Some(sequence) = removed.as_ref().filter(|_| is_alone) {
            // The last token waits to be computed.
            let ids = sequence.ids();
            self.left = Some(ids[..ids.len() - 1].to_vec());
        }
        removed.is_some()
    }

    /// Tokens and cache of a sequence that was alone, once it has left.
    pub(super) fn into_prefix(self) -> Option<SharedPrefix<M>> {
        let ids = self.left.filter(|ids| !ids.is_empty())?;
        Some(SharedPrefix::held(ids, self.cache))
    }

    /// The sequences that go on.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &Sequence<M::Prompt>> {
        self.rows.iter().flatten()
    }

    pub(super) fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn drop_vacant_rows(&mut self) {
        if self.rows.iter().any(Option::is_none) {
            let kept = (0..self.rows.len()).filter(|row| self.rows[*row].is_some());
            self.cache.select_rows(&kept.collect::<Vec<_>>());
            self.rows.retain(Option::is_some);
        }
    }

    fn advance(
        &mut self,
        model: &M,
        ids: &[u32],
        padding: &PaddingMask,
        events: &mut Vec<Event>,
    ) -> Result<(), ModelError> {
        let hidden = feed(model, ids, padding, &mut self.cache)?;
        // Rows are padded on the left, so the last position is every row's last token.
        let last = hidden.narrow(1, padding.seq() - 1, 1).squeeze_dim::<2>(1);
        let logits = model.head().finish_positions(last);
        let next = self.choose(match model.readable_ids() {
            readable if readable < logits.dims()[1] => logits.narrow(1, 0, readable),
            _ => logits,
        })?;
        let is_alone = self.rows.len() == 1;
        for (row, id) in self.rows.iter_mut().zip(next) {
            if let Some(sequence) = row {
                let computed = sequence.ids().len();
                let event = sequence.accept(id)?;
                if event.finished.is_some() {
                    self.left = is_alone.then(|| sequence.ids()[..computed].to_vec());
                    *row = None;
                }
                events.push(event);
            }
        }
        Ok(())
    }

    /// The next token of every row, any for those without a sequence. Logits, `[rows, vocab]`, leave
    /// the device only where they have to be processed.
    fn choose(&mut self, logits: Tensor<2>) -> Result<Vec<u32>, ModelError> {
        let device_error = |source| ModelError::Device { source };
        let [count, vocab_size] = logits.dims();
        let mut next = vec![0; count];
        if self.sequences().any(Sequence::is_plain) {
            let likeliest = logits.clone().argmax(1).try_into_vec_as::<u32>();
            next = likeliest.map_err(device_error)?;
        }
        let rows = self.rows.iter_mut().zip(&mut next).enumerate();
        let processed = rows.filter_map(|(place, (row, next))| {
            let sequence = row.as_mut().filter(|sequence| !sequence.is_plain())?;
            Some((place, (sequence, next)))
        });
        let (places, processed): (Vec<usize>, Vec<_>) = processed.unzip();
        if !places.is_empty() {
            let logits = select_rows(logits, &places).try_into_vec_as::<f32>();
            let mut logits = logits.map_err(device_error)?;
            let logits = logits.chunks_mut(vocab_size);
            for ((sequence, next), logits) in processed.into_iter().zip(logits) {
                *next = sequence.sample(logits);
            }
        }
        Ok(next)
    }
}

fn select_rows(logits: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    if rows.len() == logits.dims()[0] {
        return logits;
    }
    let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
    let indices = TensorData::new(indices, [rows.len()]);
    let indices = Tensor::<1, Int>::from_data(indices, &logits.device());
    logits.select(0, indices)
}

/// The last hidden states of ids, `[rows, seq]`, which go on from a cache.
pub(super) fn feed<M: CausalLm>(
    model: &M,
    ids: &[u32],
    padding: &PaddingMask,
    cache: &mut M::Cache,
) -> Result<Tensor<3>, ModelError> {
    let ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    let ids = TensorData::new(ids, [padding.batch(), padding.seq()]);
    let ids = Tensor::from_data(ids, &model.head().device().without_autodiff());
    model.hidden_states(ids, padding, Some(cache))
}

/// Rows of ids and their padding.
fn left_padded(rows: &[&[u32]]) -> (Vec<u32>, PaddingMask) {
    let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let padding = PaddingMask::left(&lengths);
    let ids = rows.iter().flat_map(|row| {
        std::iter::repeat_n(0, padding.seq() - row.len()).chain(row.iter().copied())
    });
    (ids.collect(), padding)
}
