//! Models, tensors and comparisons for several test files.

pub(crate) mod gguf;
#[cfg(feature = "hub")]
pub(crate) mod hub_server;

use std::path::PathBuf;

use calm_models::{FrozenModel, LoadOptions};
pub(crate) use calm_testing::{assert_close, halves, ids, values};

pub(crate) const FIXTURES: &[&str] = &[
    "llama",
    "llama3-scaled-tied",
    "mistral",
    "qwen2-yarn",
    "qwen3",
    "smollm3",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3-images",
    "olmo2",
    "granite",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe-stacked",
    "phi3-longrope",
    "gpt2",
    "gpt_neox",
    "gpt_neox-sequential",
    "starcoder2",
    "stablelm",
    "stablelm-head-norms",
    "bloom",
    "bloom-normed-skip",
    "falcon",
    "falcon-grouped",
    "falcon-alibi",
    "xglm",
];

pub(crate) fn fixture(name: &str) -> PathBuf {
    calm_testing::fixtures("calm-models").join(name)
}

pub(crate) fn load(name: &str) -> FrozenModel {
    FrozenModel::load(&fixture(name), &LoadOptions::default()).unwrap()
}
