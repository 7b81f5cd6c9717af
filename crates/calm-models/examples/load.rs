//! Loads a checkpoint and prints what that took: `load DIR [auto|f32|f16|bf16]`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use calm_models::{FrozenModel, LoadOptions};

fn peak() -> usize {
    calm_backend::peak_memory().unwrap_or(0) as usize
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, dtype) = match arguments.as_slice() {
        [directory] => (directory, "auto"),
        [directory, dtype] => (directory, dtype.as_str()),
        _ => return Err("usage: load DIR [auto|f32|f16|bf16]".into()),
    };
    let options = LoadOptions {
        dtype: dtype.parse()?,
        ..LoadOptions::default()
    };
    let (before, start) = (peak(), Instant::now());
    let model = FrozenModel::load(Path::new(directory), &options)?;
    let (seconds, peak) = (start.elapsed().as_secs_f64(), peak());
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let weights = model.decoder.num_params() * model.decoder.compute_type().bytes();
    let output = format!(
        "weights {:.1} MB, peak {:.1} MB over {:.1} MB before, {seconds:.2} s\n",
        megabytes(weights),
        megabytes(peak.saturating_sub(before)),
        megabytes(before),
    );
    std::io::Write::write_all(&mut std::io::stdout(), output.as_bytes())?;
    Ok(())
}
