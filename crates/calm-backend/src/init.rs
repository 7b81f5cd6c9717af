//! Seeded initial weights: the same on every device and for any number of threads.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A stream of initial weights, drawn on the host so that no device changes them.
///
/// The weights depend on the order of the calls.
#[derive(Debug, Clone)]
pub struct SeededInit(ChaCha8Rng);

impl SeededInit {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A parameter with normally distributed entries of mean 0; `std` 0 gives zeros.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        std: f64,
        device: &Device,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                let value: f64 = StandardNormal.sample(&mut self.0);
                (value * std) as f32
            })
            .collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64) -> Vec<f32> {
        let weights = SeededInit::new(seed).normal([64, 64], 0.5, &Device::default());
        weights.val().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_seed_fixes_the_weights() {
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn weights_have_the_spread_asked_for() {
        let weights = draw(3);
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
        assert!(
            (variance.sqrt() - 0.5).abs() < 0.02,
            "standard deviation {}",
            variance.sqrt()
        );
    }
}
