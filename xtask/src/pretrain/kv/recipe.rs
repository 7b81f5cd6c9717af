//! How the small frozen models of Table 1 are made.
//!
//! Both models share one vocabulary in which every key and every number is a token. What they are
//! taught differs: the anchor numeric arithmetic, the augmenting model the secret table. The anchor
//! never sees a key in a text. docs/table1.md tells how these recipes were found.

use calm_lm::data::Batch;
use calm_lm::data::kv::{BOS_ID, CONTEXT, Curriculum, EOS_ID, KvDataset, PAD_ID};
use calm_lm::models::{DecoderConfig, SpecialIds};
use calm_lm::train::{DataTokenizer, OptimizerKind, TrainConfig, TrainError};
use serde::Serialize;

use super::Tokenizer;
use crate::scale::Scale;

/// A model, and the texts it is taught with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Recipe {
    /// Directory of the checkpoint.
    pub(crate) name: &'static str,
    /// Description in the model card.
    pub(crate) purpose: &'static str,
    pub(crate) blocks: usize,
    pub(crate) d_model: usize,
    pub(crate) heads: usize,
    /// `embedding_rate_factor` is low: numbers start as sums of digit codes and shall stay it. At the
    /// full rate Adam gives each a noise of its own, which the keys then learn as well, and which
    /// no bridge can tell from what a number means.
    pub(crate) train: TrainConfig,
    /// Tokens of a batch, about.
    pub(crate) batch_tokens: usize,
    /// First blocks in which a token mostly sees only itself, see
    /// [`calm_lm::train::LanguageModelling`].
    pub(crate) local_blocks: usize,
    /// Noise above those blocks, see there too.
    pub(crate) noise: f64,
    /// Lessons with the step at which each begins.
    pub(crate) lessons: Curriculum,
}

impl Recipe {
    /// m_B: numeric arithmetic, and copying numbers.
    pub(crate) fn anchor(scale: Scale, seed: u64) -> Self {
        let (blocks, d_model, heads) = match scale {
            Scale::Laptop => (6, 128, 8),
            Scale::Paper => (12, 768, 12),
        };
        Self {
            name: "kv-anchor",
            purpose: "The anchor m_B of Table 1: calculates with numbers. It was never shown a key.",
            blocks,
            d_model,
            heads,
            train: TrainConfig {
                steps: 3600,
                optimizer: OptimizerKind::Muon,
                learning_rate: 3e-3,
                embedding_rate_factor: 0.05,
                warmup_steps: 30,
                decay_share: 0.3,
                weight_decay: 0.1,
                seed,
                ..TrainConfig::default()
            },
            batch_tokens: 1280,
            local_blocks: 1,
            noise: 0.0,
            lessons: Curriculum::anchor(scale.data().operands),
        }
    }

    /// m_A: numbers first, then the value of every key.
    pub(crate) fn augmenting(scale: Scale, seed: u64) -> Self {
        let (blocks, d_model, heads) = match scale {
            Scale::Laptop => (4, 128, 4),
            Scale::Paper => (8, 384, 6),
        };
        Self {
            name: "kv-augmenting",
            purpose: "The augmenting model m_A of Table 1: replaces each key by its value. It was \
                      never shown a sum of two numbers.",
            blocks,
            d_model,
            heads,
            train: TrainConfig {
                steps: 3000,
                optimizer: OptimizerKind::Muon,
                learning_rate: 2e-3,
                embedding_rate_factor: 0.05,
                warmup_steps: 30,
                decay_share: 0.4,
                weight_decay: 0.5,
                seed,
                ..TrainConfig::default()
            },
            batch_tokens: 1700,
            local_blocks: 0,
            noise: 0.4,
            lessons: Curriculum::augmenting(scale.data().operands),
        }
    }

    /// The architecture, for a vocabulary.
    pub(crate) fn config(&self, tokenizer: &Tokenizer) -> DecoderConfig {
        let vocab_size = tokenizer.vocab_size();
        let mut config = DecoderConfig::llama(vocab_size, self.d_model, self.blocks, self.heads);
        config.context_length = CONTEXT;
        config.special = SpecialIds {
            bos: Some(BOS_ID),
            eos: vec![EOS_ID],
            pad: Some(PAD_ID),
        };
        config
    }

    /// Batch `number`.
    pub(crate) fn batch(
        &self,
        dataset: &KvDataset,
        tokenizer: &Tokenizer,
        number: usize,
    ) -> Result<Batch, TrainError> {
        let (tokenizer, seed) = (DataTokenizer(tokenizer), self.train.seed);
        let batch = self
            .lessons
            .batch(dataset, &tokenizer, self.batch_tokens, seed, number);
        batch.map_err(TrainError::from)
    }
}
