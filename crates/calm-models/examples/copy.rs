//! Loads a checkpoint and saves it again: `copy FROM TO [f32|f16|bf16]`.

use std::error::Error;
use std::path::Path;

use calm_backend::FloatType;
use calm_models::{FrozenModel, LoadOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (from, to, dtype) = match arguments.as_slice() {
        [from, to] => (from, to, FloatType::F32),
        [from, to, dtype] => (from, to, dtype.parse()?),
        _ => return Err("usage: copy FROM TO [f32|f16|bf16]".into()),
    };
    let model = FrozenModel::load(Path::new(from), &LoadOptions::default())?;
    model.save(Path::new(to), dtype)?;
    Ok(())
}
