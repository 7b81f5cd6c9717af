//! Models, tensors and comparisons for several test files.

pub(crate) mod gguf;
#[cfg(feature = "hub")]
pub(crate) mod hub_server;

use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_backend::FloatType;
use calm_models::{FrozenModel, LoadOptions};

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

/// The types of half precision that the device of tests computes in.
pub(crate) fn halves() -> impl Iterator<Item = FloatType> {
    let device = Device::default();
    let halves = [FloatType::F16, FloatType::BF16].into_iter();
    halves.filter(move |dtype| dtype.is_supported_by(&device))
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn load(name: &str) -> FrozenModel {
    FrozenModel::load(&fixture(name), &LoadOptions::default()).unwrap()
}

pub(crate) fn ids<const N: usize>(rows: &[[u32; N]]) -> Tensor<2, Int> {
    let ids: Vec<i64> = rows
        .as_flattened()
        .iter()
        .map(|id| i64::from(*id))
        .collect();
    Tensor::from_data(TensorData::new(ids, [rows.len(), N]), &Device::default())
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// `‖a - b‖ / ‖b‖` is tiny.
#[track_caller]
pub(crate) fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
    assert_eq!(a.dims(), b.dims());
    let norm = |x: Vec<f32>| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let relative = norm(values(a - b.clone())) / norm(values(b));
    assert!(relative < 1e-5, "relative error {relative:e}");
}
