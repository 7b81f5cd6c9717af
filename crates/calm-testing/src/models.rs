//! Models of random weights.

use burn::tensor::Device;
use calm_backend::FloatType;
use calm_models::{Decoder, DecoderConfig, FrozenModel, Tokenizer};

/// A decoder of random weights, on the device of tests.
pub fn decoder(config: &DecoderConfig, seed: u64) -> Decoder {
    Decoder::untrained(config, seed, &Device::default())
}

/// A Llama of random weights for so many tokens; its size is width, blocks and heads.
pub fn llama(vocab_size: usize, [d_model, blocks, heads]: [usize; 3], seed: u64) -> Decoder {
    decoder(
        &DecoderConfig::llama(vocab_size, d_model, blocks, heads),
        seed,
    )
}

/// A Llama of random weights for the tokens of a tokenizer; its size is width, blocks and heads.
pub fn model(tokenizer: Tokenizer, size: [usize; 3], seed: u64) -> FrozenModel {
    FrozenModel::new(llama(tokenizer.vocab_size(), size, seed), tokenizer)
}

/// The types of half precision that the device of tests computes in.
pub fn halves() -> impl Iterator<Item = FloatType> {
    let device = Device::default();
    let halves = [FloatType::F16, FloatType::BF16].into_iter();
    halves.filter(move |dtype| dtype.is_supported_by(&device))
}
