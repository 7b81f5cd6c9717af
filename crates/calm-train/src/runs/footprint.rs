//! Memory that a training run takes, by arithmetic; docs/training.md explains it.

use burn::module::Module;
use calm_backend::ops;
use calm_compose::{BridgeConfig, Connection};
use calm_models::{BlockConfig, Decoder, DecoderConfig};
use serde::Serialize;

/// Bytes of a number that is trained, and of every value kept for the backward pass.
const F32: usize = 4;
/// Numbers that AdamW keeps of every parameter; Muon keeps one of some.
const MOMENTS: usize = 2;

/// The parts of a run that take memory.
#[derive(Debug, Clone)]
pub struct Footprint {
    parameters: ParameterCounts,
    frozen_bytes: usize,
    /// Values that the backward pass needs of every position, of each block and bridge.
    recorded: Vec<Recorded>,
    /// The largest block of which nothing is kept: one such block at a time is computed.
    passing: Option<Recorded>,
    vocab_size: usize,
    /// Bytes of the activation cache.
    cache_bytes: usize,
}

/// Numbers of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParameterCounts {
    /// Parameters that stay as they are.
    pub frozen: usize,
    /// Parameters that move.
    pub trained: usize,
}

/// Values per position, besides those of the weights of attention.
#[derive(Debug, Clone, Copy)]
struct Recorded {
    values: usize,
    /// Heads of attention.
    heads: usize,
}

/// Bytes that a run takes, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Weights, frozen and trained.
    pub weights: usize,
    /// Gradients of what is trained.
    pub gradients: usize,
    /// State of the optimiser.
    pub optimizer: usize,
    /// Values that the backward pass needs, logits, and one block on its way.
    pub activations: usize,
    /// Activations that are kept for the epochs to come, once all are there.
    pub activation_cache: usize,
    /// All together.
    pub total: usize,
}

impl Footprint {
    /// A model that is trained, with so many parameters of its own or of adapters.
    pub fn of_decoder(decoder: &Decoder, trained_parameters: usize) -> Self {
        let config = decoder.config();
        let all = decoder.num_params();
        // Adapters, and the weights below them.
        let frozen_parameters = if trained_parameters < all { all } else { 0 };
        Self {
            parameters: ParameterCounts {
                frozen: frozen_parameters,
                trained: trained_parameters,
            },
            frozen_bytes: frozen_parameters * decoder.dtype().size(),
            recorded: Recorded::trained_blocks(config).collect(),
            passing: None,
            vocab_size: config.vocab_size,
            cache_bytes: 0,
        }
    }

    /// Bridges between frozen models. Nothing is kept of the anchor below the first of them, and
    /// nothing of the augmenting models.
    pub fn of_bridges(
        anchor: &Decoder,
        augmenting: &[&Decoder],
        bridges: &[(BridgeConfig, Vec<Connection>)],
        trained_parameters: usize,
    ) -> Self {
        let config = anchor.config();
        let connections = || bridges.iter().flat_map(|(_, connections)| connections);
        let first = connections()
            .map(|connection| connection.anchor_block)
            .min();
        let first = first.unwrap_or(config.block_count());
        let mut recorded: Vec<Recorded> = Recorded::frozen_blocks(config, first).collect();
        for (bridge, connections) in bridges {
            recorded.extend(connections.iter().map(|_| Recorded::bridge(bridge)));
        }
        let frozen = || augmenting.iter().copied().chain([anchor]);
        let passing = frozen().flat_map(|decoder| Recorded::trained_blocks(decoder.config()));
        Self {
            parameters: ParameterCounts {
                frozen: frozen().map(Module::num_params).sum(),
                trained: trained_parameters,
            },
            frozen_bytes: frozen()
                .map(|decoder| decoder.num_params() * decoder.dtype().size())
                .sum(),
            recorded,
            passing: passing.max_by_key(|block| block.values),
            vocab_size: config.vocab_size,
            cache_bytes: 0,
        }
    }

    /// With so many bytes of activations in memory from one epoch to the next.
    #[must_use]
    pub fn with_cache(self, cache_bytes: usize) -> Self {
        Self {
            cache_bytes,
            ..self
        }
    }

    /// For a batch of this shape, of which so many positions carry loss.
    pub fn estimate(&self, rows: usize, length: usize, targets: usize) -> MemoryEstimate {
        let kept: usize = self.recorded.iter().map(|one| one.at(length)).sum();
        let passing = self.passing.map_or(0, |one| one.at(length));
        // The backward pass holds gradients of the largest block's values beside them.
        let largest = self.recorded.iter().map(|one| one.at(length)).max();
        let per_position = kept + passing.max(largest.unwrap_or(0));
        // Logits and their gradient.
        let logits = 2 * targets * self.vocab_size;
        let trained = F32 * self.parameters.trained;
        let (weights, optimizer) = (self.frozen_bytes + trained, MOMENTS * trained);
        let activations = F32 * (rows * length * per_position + logits);
        MemoryEstimate {
            weights,
            gradients: trained,
            optimizer,
            activations,
            activation_cache: self.cache_bytes,
            total: weights + trained + optimizer + activations + self.cache_bytes,
        }
    }

    /// Numbers of parameters.
    pub fn parameters(&self) -> ParameterCounts {
        self.parameters
    }
}

impl Recorded {
    /// Blocks whose weights are frozen, from `first` on: the inputs of their norms, attention and
    /// activation. A frozen projection needs nothing of its input.
    fn frozen_blocks(config: &DecoderConfig, first: usize) -> impl Iterator<Item = Self> {
        let blocks = config.blocks.iter().skip(first);
        blocks.map(|block| Self::block(block, config.d_model, false))
    }

    /// Blocks that are trained, or have adapters: the inputs of their projections, too.
    fn trained_blocks(config: &DecoderConfig) -> impl Iterator<Item = Self> {
        let blocks = config.blocks.iter();
        blocks.map(|block| Self::block(block, config.d_model, true))
    }

    fn block(block: &BlockConfig, d_model: usize, trained: bool) -> Self {
        Self {
            values: block.backward_values(d_model, trained),
            heads: block.attention.heads,
        }
    }

    /// A bridge: the input of each of its projections and norms; queries, keys and values.
    fn bridge(config: &BridgeConfig) -> Self {
        let options = &config.options;
        let norms = [
            (options.augmenting_norm, config.d_augmenting),
            (options.anchor_norm, config.d_anchor),
            (options.output_norm, config.d_anchor),
        ];
        let norms = norms.into_iter().filter(|(has, _)| *has);
        let norms: usize = norms.map(|(_, width)| width).sum();
        Self {
            values: config.d_augmenting + 2 * config.d_anchor + 4 * config.d_inner() + norms,
            heads: config.heads,
        }
    }

    /// In rows of this length.
    fn at(self, length: usize) -> usize {
        let weights = if ops::keeps_attention_weights(length) {
            length
        } else {
            // The largest score and the sum of a row.
            2
        };
        self.values + self.heads * weights
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn only_what_is_above_the_first_bridge_is_kept() {
        let device = Device::default();
        let decoder = |blocks| {
            let config = DecoderConfig::llama(10, 8, blocks, 2);
            Decoder::untrained(&config, 0, &device)
        };
        let (anchor, augmenting) = (decoder(4), decoder(2));
        let bytes = |at: usize| {
            let bridges = [(BridgeConfig::new(8, 8, 2), vec![[1, at].into()])];
            let footprint = Footprint::of_bridges(&anchor, &[&augmenting], &bridges, 100);
            footprint.estimate(3, 5, 6).activations
        };
        let block = Recorded::frozen_blocks(anchor.config(), 0)
            .next()
            .unwrap()
            .at(5)
            * F32
            * 15;
        assert_eq!(bytes(2) - bytes(3), block);
        assert_eq!(bytes(1) - bytes(4), 3 * block);
    }

    #[test]
    fn adapters_leave_the_weights_frozen() {
        let device = Device::default();
        let decoder = Decoder::untrained(&DecoderConfig::llama(10, 8, 2, 2), 0, &device);
        let all = decoder.num_params();
        let adapters = Footprint::of_decoder(&decoder, 7);
        let counts = |frozen, trained| ParameterCounts { frozen, trained };
        assert_eq!(adapters.parameters(), counts(all, 7));
        let whole = Footprint::of_decoder(&decoder, all);
        assert_eq!(whole.parameters(), counts(0, all));
        // Weight, gradient, and two moments.
        let estimate = whole.estimate(0, 0, 0);
        assert_eq!(estimate.total, 16 * all);
    }
}
