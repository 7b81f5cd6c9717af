//! Objectives of the training loop.

mod bridges;
mod head;
mod language;
mod noise;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_data::Batch;

pub use self::bridges::{BridgeTraining, calibrate, calibrate_trained, read_examples};
pub use self::language::LanguageModelling;

/// A trainable part and its loss.
///
/// Frozen weights belong to the objective; only [`Objective::Parameters`] move.
pub trait Objective {
    /// The trainable part.
    type Parameters: Module;

    /// Cross-entropy summed over the target tokens of a batch, `[1]`, in nats.
    ///
    /// A sum and not a mean: only sums can be added over micro-batches of unequal size.
    fn loss(&self, parameters: &Self::Parameters, batch: &Batch) -> Tensor<1>;

    /// [`Objective::loss`] and its gradients, by whatever way takes the least time and memory.
    fn gradients(&self, parameters: &Self::Parameters, batch: &Batch) -> (f64, GradientsParams) {
        let loss = self.loss(parameters, batch);
        let gradients = GradientsParams::from_grads(loss.backward(), parameters);
        (f64::from(loss.into_scalar::<f32>()), gradients)
    }
}

fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
    let shape = [values.len()];
    // Ids and places are constants, whatever is trained.
    let device = device.clone().without_autodiff();
    Tensor::from_data(TensorData::new(values, shape), &device)
}
