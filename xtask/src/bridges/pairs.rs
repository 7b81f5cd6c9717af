//! Pairs of small models whose hidden states are as those of large ones: they grow from block to
//! block, and a single position is much larger than its neighbours.

use std::ops::ControlFlow;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use calm_lm::compose::{Augmenting, ConnectionPlan, FrozenParts};
use calm_lm::data::{Batches, Examples, TokenizedExample};
use calm_lm::models::{
    Activation, Decoder, DecoderConfig, EmbeddingScale, FeedForwardKind, NormKind,
    PositionEmbedding, PositionEncoding, QkNorm, ResidualConfig,
};
use calm_lm::train::runs::{FitOptions, RunEvent, fit};
use calm_lm::train::{LanguageModelling, TrainConfig};
use miette::{IntoDiagnostic, Result, miette};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tokens 1 to `WORDS`; token 0 begins every text.
const WORDS: u32 = 96;
/// Tokens of a text.
const LENGTH: usize = 20;
/// Share of words that are followed by any word.
const NOISE: f64 = 0.1;

/// Shape of a model.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Llama,
    Gpt2,
    Gemma,
    Qwen3,
}

/// A model of a pair.
#[derive(Debug, Clone, Copy)]
struct Model {
    shape: Shape,
    width: usize,
    blocks: usize,
    heads: usize,
    /// Size of hidden states behind the last block, over those behind the first.
    growth: f64,
    /// Size of the first position over that of the others.
    spike: f64,
}

const fn model(shape: Shape, [width, blocks, heads]: [usize; 3], growth: f64, spike: f64) -> Model {
    Model {
        shape,
        width,
        blocks,
        heads,
        growth,
        spike,
    }
}

/// Name, anchor, augmenting model.
const PAIRS: [(&str, Model, Model); 6] = [
    (
        "growing-llama-spiked-gpt2",
        model(Shape::Llama, [64, 6, 4], 1000.0, 1.0),
        model(Shape::Gpt2, [48, 4, 4], 1.0, 100.0),
    ),
    (
        "growing-gemma-spiked-llama",
        model(Shape::Gemma, [96, 6, 4], 1000.0, 1.0),
        model(Shape::Llama, [64, 4, 4], 1.0, 100.0),
    ),
    (
        "spiked-qwen3-growing-gemma",
        model(Shape::Qwen3, [80, 6, 4], 1.0, 100.0),
        model(Shape::Gemma, [48, 4, 4], 1000.0, 1.0),
    ),
    (
        "both-gpt2-both-qwen3",
        model(Shape::Gpt2, [96, 6, 4], 1000.0, 100.0),
        model(Shape::Qwen3, [64, 4, 4], 1000.0, 100.0),
    ),
    (
        "wide-growing-llama-spiked-llama",
        model(Shape::Llama, [384, 4, 6], 1000.0, 1.0),
        model(Shape::Llama, [192, 4, 4], 1.0, 100.0),
    ),
    (
        "plain-llama-plain-gpt2",
        model(Shape::Llama, [64, 6, 4], 1.0, 1.0),
        model(Shape::Gpt2, [48, 4, 4], 1.0, 1.0),
    ),
];

/// Names of all pairs.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PAIRS.iter().map(|(name, ..)| *name)
}

/// Frozen models, and texts for bridges between them.
pub(super) struct Pair {
    pub(super) parts: FrozenParts,
    pub(super) heads: usize,
    pub(super) train: Batches,
    pub(super) held_out: Batches,
}

/// Both models of a pair, trained for a moment, and D_C: a language of which the anchor knows half
/// of the words and the augmenting model all.
pub(super) fn make(name: &str, rows: usize, seed: u64) -> Result<Pair> {
    let known = PAIRS.iter().find(|(other, ..)| *other == name);
    let (_, anchor, augmenting) = known.ok_or_else(|| miette!("{name}: no such pair"))?;
    let language = Language::new();
    let anchor = anchor.trained(&language.batches(WORDS / 2, 0, [4000, 16], 0), 1)?;
    let augmenting = augmenting.trained(&language.batches(WORDS, 1, [4000, 16], 0), 2)?;
    let connections = ConnectionPlan::Even(3)
        .resolve(augmenting.block_count(), anchor.block_count())
        .into_diagnostic()?;
    Ok(Pair {
        heads: anchor.config().heads(),
        parts: FrozenParts {
            anchor,
            augmenting: vec![Augmenting::new(augmenting, connections)],
        },
        train: language.batches(WORDS, 2, [4000, rows], seed),
        held_out: language.batches(WORDS, 3, [128, 32], 0),
    })
}

impl Model {
    fn config(&self) -> DecoderConfig {
        let mut config =
            DecoderConfig::llama(WORDS as usize + 1, self.width, self.blocks, self.heads);
        config.context_length = 64;
        config.head.tied = false;
        let norm = config.first_block().norm;
        match self.shape {
            Shape::Llama => config,
            Shape::Gpt2 => {
                config.embedding.positions = PositionEmbedding::Learnt;
                config.final_norm.kind = NormKind::Layer;
                config.with_blocks(|block| {
                    block.norm.kind = NormKind::Layer;
                    block.attention.encoding = PositionEncoding::None;
                    block.attention.qkv_bias = true;
                    block.attention.output_bias = true;
                    block.feed_forward.kind = FeedForwardKind::Plain;
                    block.feed_forward.activation = Activation::GeluTanh;
                    block.feed_forward.bias = true;
                })
            }
            Shape::Gemma => {
                config.embedding.scale = Some(EmbeddingScale::Rounded((self.width as f64).sqrt()));
                config.final_norm.kind = NormKind::OffsetRms;
                config.with_blocks(|block| {
                    block.norm.kind = NormKind::OffsetRms;
                    block.residual = ResidualConfig::SandwichNorm;
                    block.feed_forward.activation = Activation::GeluTanh;
                })
            }
            Shape::Qwen3 => {
                config.with_blocks(|block| block.attention.qk_norm = Some(QkNorm::Heads(norm)))
            }
        }
    }

    fn trained(&self, batches: &Batches, seed: u64) -> Result<Decoder> {
        let device = Device::default().autodiff();
        let decoder = self.scaled(Decoder::untrained(&self.config(), seed, &device));
        let config = TrainConfig {
            learning_rate: 3e-3,
            ..TrainConfig::default()
        };
        let objective = LanguageModelling::default();
        let trained = fit(
            "model",
            &objective,
            decoder,
            config.with_steps(500),
            FitOptions::default(),
            &|number| Ok(batches.batch(number)?),
            &mut |_: RunEvent<'_>| ControlFlow::Continue(()),
        );
        Ok(trained.into_diagnostic()?.into_parameters().valid())
    }

    /// The outputs of block n grow as a power of n, and the first token's embedding has two large
    /// channels.
    fn scaled(&self, mut decoder: Decoder) -> Decoder {
        let rate = self.growth.powf(1.0 / (self.blocks - 1) as f64);
        for (number, block) in decoder.blocks.iter_mut().enumerate() {
            let factor = rate.powi(number as i32);
            if self.growth == 1.0 {
                continue;
            }
            match self.shape {
                // Its norms are the last factor; their weights are one less than the factor.
                Shape::Gemma => {
                    for norm in [
                        &mut block.attention_post_norm,
                        &mut block.feed_forward_post_norm,
                    ] {
                        let norm = norm.as_mut().expect("a sandwich has it");
                        change(&mut norm.weight, |w| w + (factor - 1.0));
                    }
                }
                _ => {
                    change(&mut block.attention.output.weight, |w| w * factor * 3.0);
                    if let Some(feed_forward) = &mut block.feed_forward {
                        change(&mut feed_forward.down.weight, |w| w * factor * 3.0);
                    }
                }
            }
        }
        if self.spike > 1.0 {
            let weight = decoder.embedding.weight.val();
            let device = weight.device();
            let [rows, width] = weight.dims();
            let mut values: Vec<f32> = weight.into_data().try_to_vec().expect("floats");
            let sum: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
            let rms = (sum / values.len() as f64).sqrt();
            let large = (self.spike * rms * (width as f64 / 2.0).sqrt()) as f32;
            values[1] = large;
            values[width / 2] = -large;
            let weight = Tensor::from_data(TensorData::new(values, [rows, width]), &device);
            decoder.embedding.weight = Param::from_tensor(weight);
        }
        decoder
    }
}

fn change<const D: usize>(param: &mut Param<Tensor<D>>, f: impl Fn(Tensor<D>) -> Tensor<D>) {
    *param = Param::from_tensor(f(param.val()).detach());
}

/// Every word is followed by one other, mostly.
struct Language {
    next: Vec<u32>,
}

impl Language {
    fn new() -> Self {
        let mut next: Vec<u32> = (1..=WORDS).collect();
        next.shuffle(&mut ChaCha8Rng::seed_from_u64(7));
        next.insert(0, 0);
        Self { next }
    }

    /// Texts that follow the language where the word is among the first `known`.
    fn batches(&self, known: u32, stream: u64, [count, rows]: [usize; 2], seed: u64) -> Batches {
        let mut random = ChaCha8Rng::seed_from_u64(stream);
        let texts = (0..count).map(|_| {
            let mut ids = vec![0];
            let mut word = random.random_range(1..=WORDS);
            for _ in 1..LENGTH {
                ids.push(word);
                let any = word > known || random.random_bool(NOISE);
                word = match any {
                    true => random.random_range(1..=WORDS),
                    false => self.next[word as usize],
                };
            }
            TokenizedExample::new(ids, 2)
        });
        let examples: Examples = texts.collect();
        Batches::new(examples, rows, 0, seed)
    }
}
