//! Floating-point operations of a training run, by arithmetic.
//!
//! A product of matrices takes two operations for each weight and token. Its backward pass takes as
//! many again for each of its two factors that has a gradient: both where a weight is trained, one
//! where it is frozen, both in attention. The head is computed where a token carries loss and
//! nowhere else. Norms, activations, rotations, the optimiser, padding and validations are left out.
//!
//! | part | forward | backward |
//! | --- | --- | --- |
//! | frozen models that no gradient goes through (m_A, m_B below the first bridge) | 1, or once for each example if the activations are cached | 0 |
//! | m_B above the first bridge, frozen | 1, or 2 with gradient checkpointing | 1 of each weight, 2 of attention |
//! | bridges, weights that are trained | 1 (bridges: 2 with gradient checkpointing) | 2 |
//! | head | 1 for each target | 1 if frozen, 2 if trained |
//!
//! Adapters are added to the weights in every pass, as this program does it: their product takes
//! two operations for each weight and unit of rank in every batch, and four backward, and the
//! weights have gradients as if they were trained.

use calm_backend::FloatType;
use calm_compose::{BridgeConfig, Connection, Overhead};
use calm_models::{BlockConfig, DecoderConfig};

use super::data::TrainingData;
use super::record::RunRecord;

/// Operations of a training run, by what they grow with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrainingFlops {
    /// Per token whose frozen states are computed.
    frozen: f64,
    /// Per token of the anchor.
    trained: f64,
    /// Per token that carries loss.
    head: f64,
    /// Per batch.
    batch: f64,
}

/// An augmenting model, the tokens that it reads for one of the anchor's, and its bridges.
pub(super) struct Read<'a> {
    pub(super) model: &'a DecoderConfig,
    pub(super) tokens: f64,
    pub(super) connections: &'a [Connection],
    pub(super) bridge: BridgeConfig,
}

impl TrainingFlops {
    /// Bridges, where a token sees so many others.
    pub(super) fn of_bridges(
        anchor: &DecoderConfig,
        read: &[Read<'_>],
        seen: usize,
        checkpointing: bool,
    ) -> Self {
        let dtype = FloatType::F32;
        let models = read.iter();
        let models = models.map(|read| ((read.model, dtype), read.connections, read.bridge));
        let cost = Overhead::new((anchor, dtype), models, seen);
        let head = cost.anchor_head_flops;
        let above = cost.anchor.flops - head - cost.anchor_below_flops;
        let tokens = || read.iter().map(|read| read.tokens);
        let augmenting = cost.augmenting.iter().zip(tokens());
        let augmenting: f64 = augmenting
            .map(|(cost, tokens)| cost.flops as f64 * tokens)
            .sum();
        let bridges = cost.bridges.iter().zip(tokens());
        let bridges: f64 = bridges
            .map(|(cost, tokens)| {
                cost.of_anchor.flops as f64 + cost.of_augmenting.flops as f64 * tokens
            })
            .sum();
        let again = if checkpointing {
            above as f64 + bridges
        } else {
            0.0
        };
        let backward = (cost.anchor_backward_flops - head) as f64 + 2.0 * bridges;
        Self {
            frozen: cost.anchor_below_flops as f64 + augmenting,
            trained: above as f64 + bridges + backward + again,
            head: 2.0 * head as f64,
            batch: 0.0,
        }
    }

    /// A model that is trained, or adapters of this rank on it.
    pub(super) fn of_decoder(config: &DecoderConfig, rank: Option<usize>, seen: usize) -> Self {
        let blocks = |seen| {
            let blocks = config.blocks.iter();
            let flops =
                blocks.map(|block: &BlockConfig| block.flops_per_token(config.d_model, seen));
            flops.sum::<u64>() as f64
        };
        let head = 2.0 * (config.vocab_size * config.d_model) as f64;
        let (head, batch) = match rank {
            None => (3.0 * head, 0.0),
            // Two operations per weight and unit of rank, three times.
            Some(rank) => (2.0 * head, 3.0 * rank as f64 * blocks(0)),
        };
        Self {
            frozen: 0.0,
            trained: 3.0 * blocks(seen),
            head,
            batch,
        }
    }

    /// Operations of all steps so far; none if their tokens were not counted. `computed`: share of
    /// the tokens whose frozen states were computed, rather than found in a cache.
    pub(super) fn of_run(&self, run: &RunRecord, computed: f64) -> Option<f64> {
        if run.tokens_read == 0 {
            return None;
        }
        let batches = (run.steps_done * run.settings.accumulation) as f64;
        let tokens = run.tokens_read as f64;
        let frozen = self.frozen * computed + self.trained;
        Some(tokens * frozen + run.target_tokens as f64 * self.head + batches * self.batch)
    }
}

/// Tokens that a token of the training data sees, itself included, in the mean.
pub(super) fn mean_seen(data: &TrainingData) -> usize {
    let examples = data.train.batches.examples();
    let most = data
        .train
        .record
        .packed
        .map_or(usize::MAX, |packed| packed.context);
    // The last token of an example is only ever a target.
    let lengths = (0..examples.len()).map(|number| examples.tokens_of(number).saturating_sub(1));
    mean_seen_of(lengths.map(|length| length.min(most)))
}

fn mean_seen_of(lengths: impl Iterator<Item = usize>) -> usize {
    let (tokens, seen) = lengths.fold((0.0, 0.0), |(tokens, seen), length| {
        let length = length as f64;
        (tokens + length, seen + length * (length + 1.0) / 2.0)
    });
    if tokens > 0.0 {
        (seen / tokens).round() as usize
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_sees_those_before_it() {
        // 1 + 2 + 3, and 1: 7 over 4 tokens.
        assert_eq!(mean_seen_of([3, 1].into_iter()), 2);
        assert_eq!(mean_seen_of([9; 4].into_iter()), 5);
        assert_eq!(mean_seen_of(std::iter::empty()), 0);
    }

    /// Weights of the matrices of a block of width 8 with a gated layer of 32.
    const MATRICES: f64 = (4 * 8 * 8 + 3 * 8 * 32) as f64;
    /// Attention of a token that sees 10.
    const ATTENTION: f64 = (4 * 8 * 10) as f64;

    #[test]
    fn a_whole_model_takes_three_times_its_forward_pass() {
        let config = DecoderConfig::llama(50, 8, 2, 2);
        let whole = TrainingFlops::of_decoder(&config, None, 10);
        let expected = TrainingFlops {
            frozen: 0.0,
            trained: 3.0 * 2.0 * (2.0 * MATRICES + ATTENTION),
            head: 3.0 * 2.0 * 8.0 * 50.0,
            batch: 0.0,
        };
        assert_eq!(whole, expected);
        // The head has no gradient; products of adapters of rank 4.
        let lora = TrainingFlops::of_decoder(&config, Some(4), 10);
        let (head, batch) = (2.0 * 2.0 * 8.0 * 50.0, 3.0 * 2.0 * 4.0 * 2.0 * MATRICES);
        assert_eq!(
            lora,
            TrainingFlops {
                head,
                batch,
                ..expected
            }
        );
    }

    #[test]
    fn bridges_take_the_anchor_above_them_twice() {
        let (anchor, augmenting) = (
            DecoderConfig::llama(50, 8, 3, 2),
            DecoderConfig::llama(60, 6, 2, 3),
        );
        let read = [Read {
            model: &augmenting,
            tokens: 1.5,
            connections: &[[1, 2].into()],
            bridge: BridgeConfig::new(6, 8, 2),
        }];
        let found = TrainingFlops::of_bridges(&anchor, &read, 10, false);
        let one = 2.0 * MATRICES + ATTENTION;
        // One block of m_A, of width 6.
        let block = 2.0 * (4 * 6 * 6 + 3 * 6 * 16) as f64 + (4 * 6 * 10) as f64;
        let bridge = 2.0 * (2 * 8 * 8) as f64 + ATTENTION + 1.5 * 2.0 * (6 * 8 + 2 * 8 * 8) as f64;
        let backward = 2.0 * MATRICES + 2.0 * ATTENTION;
        let expected = TrainingFlops {
            frozen: 2.0 * one + 1.5 * block,
            trained: one + backward + 3.0 * bridge,
            head: 2.0 * 2.0 * 8.0 * 50.0,
            batch: 0.0,
        };
        assert_eq!(found, expected);
        let twice = TrainingFlops::of_bridges(&anchor, &read, 10, true);
        assert_eq!(twice.trained - found.trained, one + bridge);
    }
}
