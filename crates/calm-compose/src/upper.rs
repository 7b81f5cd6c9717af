//! The anchor from its first bridge on: the part of a composition that training runs.

use std::ops::Range;

use burn::tensor::{Bool, Tensor};
use calm_models::{ChosenPositions, Context, PaddingMask};

use crate::reading::{Reading, TreeBatch, up_to};
use crate::{Augmenting, Bridges, Connection, FrozenParts, FrozenStates, Text};

/// The anchor's blocks behind its first bridge, and all that the bridges read, for one batch of
/// whole texts: what is left once the [`FrozenStates`] are known.
///
/// The last hidden states are wanted at chosen positions only. So the last block, or what bridges
/// add to its output, is computed there; only its keys and values, and all below, are needed of
/// every position.
#[derive(Debug)]
pub struct Upper<'a> {
    parts: &'a FrozenParts,
    context: Context,
    /// Of the last block.
    last: Context,
    wanted: ChosenPositions,
    start: Tensor<3>,
    /// In the order in which the anchor comes by.
    sources: Vec<Source>,
}

/// What one bridge reads before f_proj.
#[derive(Debug)]
struct Source {
    /// Numbers of its augmenting model and its connection.
    place: [usize; 2],
    connection: Connection,
    /// `[batch, seq_augmenting, d_augmenting]`.
    state: Tensor<3>,
    /// `[batch or 1, 1, seq_anchor, seq_augmenting]`, `true` = masked.
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
}

impl FrozenParts {
    /// What is left to compute of a batch whose states are known, to have the last hidden states at
    /// the positions that are `wanted`.
    ///
    /// `perturb` changes what the bridges get to see, from and to
    /// `[batch, seq_augmenting, d_augmenting]`: for regularisation.
    ///
    /// # Panics
    ///
    /// If the states are not those of these texts.
    pub fn upper(
        &self,
        texts: &[Text<'_>],
        states: FrozenStates,
        wanted: ChosenPositions,
        mut perturb: impl FnMut(Tensor<3>) -> Tensor<3>,
    ) -> Upper<'_> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let padding = PaddingMask::right(&lengths);
        let context = Context::new(&self.anchor, &padding, None);
        let device = self.anchor.device();
        let queries = |connection: &Connection, masked: &Option<Tensor<4, Bool>>| {
            let is_last = connection.anchor_block == self.anchor.block_count();
            let masked = masked.clone();
            masked.map(|masked| {
                if is_last {
                    wanted.queries(masked)
                } else {
                    masked
                }
            })
        };
        let mut sources = Vec::new();
        for ((index, model), states) in self.models_on().zip(states.augmenting) {
            let masked = model.masked_in(index, texts, &padding, &context);
            let connected = model.connections.iter().zip(states).enumerate();
            // Of a model that has read nothing there is nothing to see.
            let seen = connected.filter(|(_, (_, state))| state.dims()[1] > 0);
            sources.extend(seen.map(|(slot, (connection, state))| Source {
                place: [index, slot],
                connection: *connection,
                state: perturb(state).to_device(&device),
                masked: queries(connection, &masked),
                scale: model.scale,
            }));
        }
        sources.sort_by_key(|source| source.connection.anchor_block);
        Upper {
            parts: self,
            last: context.choosing(&wanted),
            context,
            wanted,
            start: states.anchor,
            sources,
        }
    }
}

impl Augmenting {
    /// What the anchor's positions in whole texts may not see of the model.
    fn masked_in(
        &self,
        index: usize,
        texts: &[Text<'_>],
        padding: &PaddingMask,
        context: &Context,
    ) -> Option<Tensor<4, Bool>> {
        if self.tokens.is_some() {
            let rows: Vec<_> = texts
                .iter()
                .filter_map(|text| text.tokens.of[index].as_ref())
                .map(std::borrow::Cow::Borrowed)
                .collect();
            let batch = TreeBatch::new(&rows, &PaddingMask::none(rows.len(), 0), padding);
            return Some(batch.masked(batch.new_count(), context.device()));
        }
        let lengths = texts.iter().map(|text| self.positions_of(index, text));
        let read = PaddingMask::right(&lengths.collect::<Vec<_>>());
        if read == *padding {
            // The anchor sees of the model what it sees of itself.
            return context.masked();
        }
        Some(up_to(&read, 0, padding, read.seq(), context.device()))
    }
}

impl Upper<'_> {
    /// The anchor's blocks that are left to run, 0-based.
    pub fn blocks(&self) -> Range<usize> {
        self.parts.first_connected()..self.parts.anchor.block_count()
    }

    /// What the first of them gets to see once bridges have added to it,
    /// `[batch, seq, d_anchor]`.
    pub fn start(&self) -> Tensor<3> {
        self.start.clone()
    }

    /// The anchor's last hidden states as the bridges have changed them, before final norm and
    /// head, at the positions that are wanted, `[n, d_anchor]`.
    pub fn hidden_states(&self, bridges: &Bridges) -> Tensor<2> {
        self.wanted(self.run(bridges, self.blocks(), self.start()))
    }

    /// What the last block's output is at the positions that are wanted.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch, computed, d_anchor]`
    /// - output: `[n, d_anchor]`
    pub fn wanted(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.wanted.wanted(hidden)
    }

    /// Runs some of the blocks over `hidden`, the output of the block before them, each with what
    /// bridges add to its input, and the last with what they add to its output.
    ///
    /// # Shapes
    ///
    /// - `hidden` and output: `[batch, seq, d_anchor]`, of the last block
    ///   `[batch, computed, d_anchor]`
    pub fn run(&self, bridges: &Bridges, blocks: Range<usize>, mut hidden: Tensor<3>) -> Tensor<3> {
        let (anchor, count) = (&self.parts.anchor, self.parts.anchor.block_count());
        if blocks == (count..count) {
            // All blocks are below the first bridge.
            return self.read(bridges, count, self.wanted.computed(hidden));
        }
        for block in blocks {
            let is_last = block + 1 == count;
            let context = if is_last { &self.last } else { &self.context };
            hidden = self.read(bridges, block, hidden);
            hidden = anchor.run(block..block + 1, hidden, context, None);
            if is_last {
                hidden = self.read(bridges, count, hidden);
            }
        }
        hidden
    }

    /// The output of so many blocks with what bridges add to it.
    fn read(&self, bridges: &Bridges, blocks: usize, hidden: Tensor<3>) -> Tensor<3> {
        let sources = self.sources.iter();
        let here = sources.filter(|source| source.connection.anchor_block == blocks);
        here.fold(hidden, |hidden, source| {
            source.reading(bridges).add_to(hidden)
        })
    }
}

impl Source {
    fn reading<'a>(&self, bridges: &'a Bridges) -> Reading<'a> {
        let [model, slot] = self.place;
        let bridge = &bridges.of[model][slot];
        let (keys, values) = bridge.keys_values(self.state.clone());
        Reading {
            place: self.place,
            connection: self.connection,
            bridge,
            keys,
            values,
            masked: self.masked.clone(),
            scale: self.scale,
        }
    }
}
