//! Traces: the attention of every bridge over the tokens of a text.

use burn::tensor::{Int, Tensor, TensorData};
use calm_models::{ModelError, PaddingMask, check_prompt};
use serde::Serialize;

use crate::forward::Input;
use crate::source::Source;
use crate::{Bridge, ComposedModel, Connection, Memory};

/// The attention of every bridge over one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// One per augmenting model, in the order of the composition.
    pub models: Vec<ModelTrace>,
}

/// The attention to one augmenting model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTrace {
    /// The ids of its positions. If it reads in tokens of its own, these are the tokens of all
    /// beginnings of the text, and no anchor position sees all of them.
    pub tokens: Vec<u32>,
    /// For every anchor position, the positions that it may see, ascending.
    pub sees: Vec<Vec<usize>>,
    /// One per connection, in the order of the composition; none if the model's scale is 0 or it has
    /// read nothing.
    pub bridges: Vec<BridgeTrace>,
}

/// The attention of one bridge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BridgeTrace {
    /// The connected blocks.
    pub connection: Connection,
    /// `[head][anchor position]`: the weights of the positions that it [sees](ModelTrace::sees).
    /// They sum to 1; there are none if it sees none.
    pub heads: Vec<Vec<Vec<f32>>>,
}

impl ComposedModel {
    /// Records the attention of all bridges over a text, given in the anchor's tokens with the first
    /// token of its text. In [`Mode::Encoder`](crate::Mode::Encoder) all of it is a prompt.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if there is no token, one is outside the vocabulary, or a model has no room
    /// for the text or no token for a part of it.
    pub fn trace(&self, ids: &[u32]) -> Result<Trace, ModelError> {
        check_prompt(self, 0, ids)?;
        let mut models = self.unread(ids)?;
        let padding = PaddingMask::none(1, ids.len());
        let signed: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let device = self.parts.anchor.device().without_autodiff();
        let input = Input {
            ids: Tensor::<2, Int>::from_data(TensorData::new(signed, [1, ids.len()]), &device),
            padding: &padding,
        };
        let mut failed = None;
        let mut watch = |source: &Source, bridge: &Bridge, memory: &Memory, hidden: &Tensor<3>| {
            let weights = bridge.attention_weights(hidden.clone(), memory);
            let model = &mut models[source.place[0]];
            if let Err(error) = model.watch(source.connection, memory, weights) {
                failed = Some(error);
            }
        };
        self.parts
            .forward(&self.bridges, &input, None, &mut watch)?;
        if let Some(error) = failed {
            return Err(error);
        }
        for (model, augmenting) in models.iter_mut().zip(&self.parts.augmenting) {
            // They were recorded in the order of the anchor's blocks.
            model.bridges.sort_by_key(|bridge| {
                let mut connections = augmenting.connections.iter();
                connections.position(|connection| *connection == bridge.connection)
            });
        }
        Ok(Trace { models })
    }

    /// Traces with the tokens of every augmenting model, and no attention yet.
    fn unread(&self, ids: &[u32]) -> Result<Vec<ModelTrace>, ModelError> {
        let models = self.parts.augmenting.iter().map(|augmenting| {
            let tokens = match &augmenting.tokens {
                Some(tokens) if augmenting.is_active() => tokens.read(ids, usize::MAX)?.ids,
                _ => ids.to_vec(),
            };
            Ok(ModelTrace {
                tokens,
                sees: vec![Vec::new(); ids.len()],
                bridges: Vec::new(),
            })
        });
        models.collect()
    }
}

impl BridgeTrace {
    /// `[anchor position]`: the weights of the positions that it sees, as the mean over the heads.
    #[must_use]
    pub fn mean(&self) -> Vec<Vec<f32>> {
        let share = 1.0 / self.heads.len() as f32;
        let mut heads = self.heads.iter();
        let mut mean = heads.next().cloned().unwrap_or_default();
        for head in heads {
            for (sum, weight) in mean.iter_mut().flatten().zip(head.iter().flatten()) {
                *sum += weight;
            }
        }
        mean.iter_mut().flatten().for_each(|sum| *sum *= share);
        mean
    }
}

impl ModelTrace {
    fn watch(
        &mut self,
        connection: Connection,
        memory: &Memory,
        weights: Tensor<4>,
    ) -> Result<(), ModelError> {
        let device = |source| ModelError::Device { source };
        let [_, heads, seq, _] = weights.dims();
        let keys = self.tokens.len();
        if let Some(masked) = &memory.masked {
            let masked = masked.clone().expand([1, 1, seq, keys]);
            let masked = masked.int().try_into_vec_as::<u32>().map_err(device)?;
            let rows = masked.chunks(keys).map(|row| {
                let row = row.iter().enumerate();
                let seen = row.filter(|(_, masked)| **masked == 0);
                seen.map(|(key, _)| key).collect()
            });
            self.sees = rows.collect();
        } else {
            self.sees = vec![(0..keys).collect(); seq];
        }
        let weights = weights.try_into_vec_as::<f32>().map_err(device)?;
        let of_head = |head: usize| {
            let rows = weights[head * seq * keys..].chunks(keys).zip(&self.sees);
            let seen = rows.map(|(row, sees)| sees.iter().map(|key| row[*key]).collect());
            seen.collect()
        };
        self.bridges.push(BridgeTrace {
            connection,
            heads: (0..heads).map(of_head).collect(),
        });
        Ok(())
    }
}
