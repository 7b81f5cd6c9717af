//! Sources: hidden states of augmenting models, out of which each bridge makes its memory.

use std::sync::Arc;

use burn::tensor::{Bool, Tensor};
use calm_models::KvCache;

use crate::visibility::Visibility;
use crate::{Bridge, Connection, Memory};

/// The source of one bridge's [`Memory`] in one pass, before f_proj.
#[derive(Debug)]
pub(crate) struct Source {
    /// Numbers of the augmenting model and of its connection.
    pub(crate) place: [usize; 2],
    pub(crate) connection: Connection,
    /// Output of the connected block at the new augmenting positions,
    /// `[batch, seq_augmenting, d_augmenting]`; none if there are no new positions.
    pub(crate) state: Option<Tensor<3>>,
    /// Augmenting positions of earlier passes and of this one.
    pub(crate) visibility: Arc<Visibility>,
    /// Number of augmenting positions that there are keys for.
    pub(crate) keys: usize,
    /// [`Memory::masked`].
    pub(crate) masked: Option<Tensor<4, Bool>>,
    /// Factor of what the bridge adds to the anchor's hidden states.
    pub(crate) scale: f64,
}

impl Source {
    /// The memory of held and new positions; none if there are neither. New keys and values are
    /// added to the cache.
    pub(crate) fn memory(&self, bridge: &Bridge, cache: Option<&mut KvCache>) -> Option<Memory> {
        let [_, slot] = self.place;
        let new = self.state.clone().map(|state| bridge.keys_values(state));
        let all = match (new, cache) {
            (Some((keys, values)), Some(cache)) => {
                Some(cache.append(slot, self.visibility.past(), keys, values))
            }
            (None, Some(cache)) => cache.stored(slot),
            (new, None) => new,
        };
        all.map(|(keys, values)| Memory {
            bias: bridge.bias(|| self.visibility.places(self.keys), &keys.device()),
            keys,
            values,
            masked: self.masked.clone(),
        })
    }

    /// The anchor's hidden states with what the bridge reads of the memory added,
    /// `[batch, seq_anchor, d_anchor]`.
    pub(crate) fn add_to(&self, hidden: Tensor<3>, bridge: &Bridge, memory: Memory) -> Tensor<3> {
        let read = bridge.read(hidden.clone(), memory);
        match self.scale {
            1.0 => hidden + read,
            scale => hidden + read * scale,
        }
    }
}
