//! Memory of loading a checkpoint.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use calm_backend::{ComputeType, FloatType};
use calm_models::{Decoder, FrozenModel, LoadOptions, Tokenizer};

use crate::{turn, with_peak};

/// Bytes that loading takes at its highest, and those of the weights in their compute type.
fn peak_and_weights(directory: &Path, dtype: ComputeType) -> (usize, usize) {
    let options = LoadOptions {
        dtype,
        ..LoadOptions::default()
    };
    let (decoder, peak) = with_peak(|| Decoder::load(directory, &options).unwrap());
    (peak, decoder.num_params() * decoder.compute_type().bytes())
}

/// A Llama of 26 million parameters in matrices of several mebibytes, stored as `dtype`.
fn stored(dtype: FloatType) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let decoder = calm_testing::llama(4096, [1024, 2, 8], 0);
    let tokenizer = calm_testing::fixtures("calm-models").join("llama/tokenizer.json");
    let tokenizer = Tokenizer::load(&tokenizer).unwrap();
    FrozenModel::new(decoder, tokenizer)
        .save(directory.path(), dtype)
        .unwrap();
    directory
}

#[test]
fn loading_takes_the_weights_in_their_compute_type_and_a_tenth() {
    let _turn = turn();
    for from in FloatType::ALL {
        let directory = stored(from);
        for to in FloatType::ALL {
            let (peak, weights) = peak_and_weights(directory.path(), to.into());
            let mib = [peak, weights].map(|bytes| bytes >> 20);
            assert!(peak < weights + weights / 10, "{from} as {to}: {mib:?} MiB");
            // Weights of the processor that need no other type stay in their file, if they are large.
            let is_mapped = from == to && calm_backend::takes_mapped(&Device::default());
            let is_copied = peak > weights - weights / 10;
            assert_ne!(is_mapped, is_copied, "{from} as {to}: {mib:?} MiB");
        }
        let (peak, weights) = peak_and_weights(directory.path(), ComputeType::Auto);
        assert!(peak < weights + weights / 10, "{from} as auto");
    }
}
