//! Memory of loading a checkpoint, measured by the allocator.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use calm_backend::{ComputeType, FloatType};
use calm_models::{Decoder, DecoderConfig, FrozenModel, LoadOptions, Tokenizer};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that loading takes at its highest, and those of the weights in their compute type.
fn peak_and_weights(directory: &Path, dtype: ComputeType) -> (usize, usize) {
    let options = LoadOptions {
        dtype,
        ..LoadOptions::default()
    };
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let decoder = Decoder::load(directory, &options).unwrap();
    let peak = MEMORY.peak_usage() - before;
    (peak, decoder.num_params() * decoder.compute_type().bytes())
}

/// A Llama of 26 million parameters in matrices of several mebibytes, stored as `dtype`.
fn stored(dtype: FloatType) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = DecoderConfig::llama(4096, 1024, 2, 8);
    let decoder = Decoder::untrained(&config, 0, &Device::default());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let tokenizer = Tokenizer::load(&fixtures.join("llama/tokenizer.json")).unwrap();
    FrozenModel::new(decoder, tokenizer)
        .save(directory.path(), dtype)
        .unwrap();
    directory
}

#[test]
fn loading_takes_the_weights_in_their_compute_type_and_a_tenth() {
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
