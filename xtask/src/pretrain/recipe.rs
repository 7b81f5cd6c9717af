//! How the small frozen models of Table 1 are made.
//!
//! Both models share one vocabulary in which every key and every number is a token. What they are
//! taught differs: the anchor numeric arithmetic, the augmenting model the secret table. The anchor
//! never sees a key in a text. docs/table1.md tells how these recipes were found.

use calm_lm::data::kv::{Draw, KeyPool, KvDataset, Task};
use calm_lm::data::{Batch, TokenizedExample, tokenize};
use calm_lm::models::{DecoderConfig, SpecialIds};
use calm_lm::train::{OptimizerKind, TrainConfig, TrainError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Tokenizer;
use crate::scale::Scale;

/// A model, and the texts it is taught with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Recipe {
    /// Directory of the checkpoint.
    pub(crate) name: &'static str,
    /// What the model card says it is.
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
    pub(crate) lessons: Vec<(usize, Vec<Lesson>)>,
}

/// One kind of text, and how often it is drawn.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Lesson {
    weight: f64,
    task: Task,
    operands: usize,
    round: bool,
}

impl Lesson {
    fn new(weight: f64, task: Task, operands: usize) -> Self {
        Self {
            weight,
            task,
            operands,
            round: false,
        }
    }

    /// The digits of one number: what a number token stands for.
    fn digits(weight: f64) -> Self {
        Self::new(weight, Task::NumericArithmetic, 1)
    }

    /// A task with one operand up to so many, equally often.
    fn each(weight: f64, task: Task, most: usize) -> impl Iterator<Item = Self> {
        (1..=most).map(move |operands| Self::new(weight / most as f64, task, operands))
    }

    /// Arithmetic with two operands, three, and so on, by these weights.
    fn sums(weights: Vec<f64>, round: bool) -> impl Iterator<Item = Self> {
        (2..).zip(weights).map(move |(operands, weight)| Self {
            round,
            ..Self::new(weight, Task::NumericArithmetic, operands)
        })
    }
}

/// Weights of sums of two operands, three, and so on: those found for the laptop, spread evenly
/// where there are more operands.
fn shares(scale: Scale, laptop: [f64; 3]) -> Vec<f64> {
    let total: f64 = laptop.iter().sum();
    match scale {
        Scale::Laptop => laptop.to_vec(),
        Scale::Paper => vec![total / 5.0; 5],
    }
}

impl Recipe {
    /// m_B: numeric arithmetic, and copying numbers. First digits, then sums of round numbers, then
    /// all sums.
    pub(crate) fn anchor(scale: Scale, seed: u64) -> Self {
        let most = scale.data().operands[1];
        let basics =
            |copies| Lesson::each(copies, Task::NumericCopy, most).chain([Lesson::digits(0.06)]);
        let round = |weight: f64| {
            let weights = [0.3 * weight, 0.35 * weight, 0.35 * weight];
            Lesson::sums(shares(scale, weights), true)
        };
        let all = |weights| Lesson::sums(shares(scale, weights), false);
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
            lessons: vec![
                (0, vec![Lesson::digits(1.0)]),
                (60, basics(0.1).chain(round(0.84)).collect()),
                (
                    500,
                    basics(0.1)
                        .chain(round(0.14))
                        .chain(all([0.2, 0.25, 0.25]))
                        .collect(),
                ),
                (
                    2000,
                    basics(0.08)
                        .chain(round(0.06))
                        .chain(all([0.15, 0.28, 0.37]))
                        .collect(),
                ),
            ],
        }
    }

    /// m_A: numbers first, then the value of every key.
    pub(crate) fn augmenting(scale: Scale, seed: u64) -> Self {
        let most = scale.data().operands[1];
        let copies = |weight| Lesson::each(weight, Task::NumericCopy, most);
        let keys = Lesson::each(0.7, Task::KvSubstitution, most);
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
            lessons: vec![
                (0, vec![Lesson::digits(1.0)]),
                (60, copies(0.7).chain([Lesson::digits(0.3)]).collect()),
                (
                    250,
                    keys.chain(copies(0.15))
                        .chain([Lesson::digits(0.15)])
                        .collect(),
                ),
            ],
        }
    }

    /// The architecture, for a vocabulary.
    pub(crate) fn config(&self, tokenizer: &Tokenizer) -> DecoderConfig {
        let vocab_size = tokenizer.vocab_size();
        let mut config = DecoderConfig::llama(vocab_size, self.d_model, self.blocks, self.heads);
        config.context_length = 64;
        config.special = SpecialIds {
            bos: Some(1),
            eos: vec![2],
            pad: Some(0),
        };
        config
    }

    /// Batch `number`: texts of one kind and length, so that nothing is padded.
    pub(crate) fn batch(
        &self,
        dataset: &KvDataset,
        tokenizer: &Tokenizer,
        number: usize,
    ) -> Result<Batch, TrainError> {
        let (_, lessons) = self
            .lessons
            .iter()
            .rev()
            .find(|(begin, _)| *begin <= number)
            .expect("the first lesson begins at step 0");
        let lesson = pick(lessons, self.train.seed, number);
        let draw = Draw {
            task: lesson.task,
            pool: KeyPool::All,
            operands: [lesson.operands; 2],
            operators: dataset.config().operators.clone(),
            round: lesson.round,
        };
        // The prompt has two tokens an operand; the answer is about as long as a number.
        let rows = self.batch_tokens / (2 * lesson.operands + 5);
        let examples = (0..rows)
            .map(|row| {
                let index = (number * rows + row) as u64;
                let text = dataset.draw(&draw, 1 + self.train.seed, index);
                tokenize(tokenizer.inner(), row, &text.prompt, &text.target, 2, 64)
                    .map_err(TrainError::from)
            })
            .collect::<Result<Vec<TokenizedExample>, TrainError>>()?;
        Ok(Batch::collate(examples.iter().enumerate(), 0))
    }
}

/// One of the lessons, by weight.
fn pick(lessons: &[Lesson], seed: u64, number: usize) -> &Lesson {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number as u64);
    let total: f64 = lessons.iter().map(|lesson| lesson.weight).sum();
    let mut left = rng.random_range(0.0..total);
    lessons
        .iter()
        .find(|lesson| {
            left -= lesson.weight;
            left < 0.0
        })
        .unwrap_or(&lessons[0])
}
