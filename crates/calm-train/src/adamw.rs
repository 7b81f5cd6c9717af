//! AdamW in one pass over every parameter.

use burn::optim::{AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use calm_backend::ops::{self, AdamWStep};

/// Burn's AdamW by [`ops::adamw`]: the same numbers, the same records in checkpoints, a fifteenth of
/// the passes over memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamW {
    pub(crate) betas: [f32; 2],
    pub(crate) epsilon: f32,
    pub(crate) weight_decay: f32,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (time, moments) = match state {
            Some(AdamWState { momentum }) => {
                (momentum.time + 1, [momentum.moment_1, momentum.moment_2])
            }
            None => (1, [(); 2].map(|()| gradient.zeros_like())),
        };
        let step = AdamWStep {
            learning_rate,
            betas: self.betas,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            time,
        };
        let (parameter, [first, second]) = ops::adamw(parameter, gradient, moments, step);
        let momentum = AdaptiveMomentumState::new(time, first, second);
        (parameter, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        AdamWState::new(state.momentum.to_device(device))
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};

    use super::*;

    /// Parameters after some steps, as bits, and what the optimiser would write to a checkpoint.
    fn train(mut optimizer: ModuleOptimizer, linear: &Linear) -> (Vec<u32>, Vec<u8>) {
        let mut linear = linear.clone();
        for step in 1..=20 {
            let x = Tensor::<2>::full([3, 7], 0.1 * f64::from(step), &linear.weight.device());
            let loss = linear.forward(x).sin().sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &linear);
            linear = optimizer.step(0.01, linear, gradients);
        }
        let values = linear.weight.val().into_data().try_to_vec::<f32>().unwrap();
        let record = optimizer.into_bytes().unwrap();
        (
            values.into_iter().map(f32::to_bits).collect(),
            record.to_vec(),
        )
    }

    #[test]
    fn steps_and_records_are_burns() {
        let device = Device::default().autodiff();
        // One parameter: several are written in any order.
        let linear = LinearConfig::new(7, 5).with_bias(false).init(&device);
        let burns = AdamWConfig::new()
            .with_beta_2(0.98)
            .with_epsilon(1e-8)
            .with_weight_decay(0.1);
        let ours = AdamW {
            betas: [0.9, 0.98],
            epsilon: 1e-8,
            weight_decay: 0.1,
        };
        assert_eq!(train(ours.into(), &linear), train(burns.init(), &linear));
    }
}
