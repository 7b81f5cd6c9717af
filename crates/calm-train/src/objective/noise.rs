//! Noise on hidden states.

use burn::tensor::Tensor;
use calm_backend::SeededInit;
use calm_data::Batch;

/// Normal noise that is a function of the batch, so that a resumed run meets the same.
pub(super) struct Noise {
    init: SeededInit,
    /// In units of the root mean square of what it is added to.
    std: f64,
}

impl Noise {
    pub(super) fn of(batch: &Batch, std: f64) -> Self {
        // FNV-1a: any mixing of the ids will do.
        let seed = batch.ids.iter().fold(0xcbf2_9ce4_8422_2325, |hash, id| {
            (hash ^ u64::from(*id)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let init = SeededInit::new(seed);
        Self { init, std }
    }

    /// `[batch, seq, d_model]` with noise.
    pub(super) fn add(&mut self, hidden: Tensor<3>) -> Tensor<3> {
        if self.std == 0.0 {
            return hidden;
        }
        let device = hidden.device();
        let constant = device.clone().without_autodiff();
        let drawn = self.init.normal(hidden.dims(), self.std, &constant).val();
        let drawn = if device.is_autodiff() {
            Tensor::from_inner(drawn)
        } else {
            drawn
        };
        let rms = hidden.clone().detach().square().mean_dim(2).sqrt();
        hidden + drawn.cast(rms.dtype()) * rms
    }
}
