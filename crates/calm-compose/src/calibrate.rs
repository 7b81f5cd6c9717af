//! Fitting fresh bridges to the size of the hidden states that they will read.

use burn::module::Param;
use burn::tensor::{DType, Int, Tensor};
use calm_models::PaddingMask;

use crate::{Bridge, Bridges, FrozenParts};

/// Root mean square that the output of f_proj starts with.
///
/// Larger, and what is random in the projection stays random, since a step changes little of it;
/// much smaller, and bridges stay silent for hundreds of steps. See docs/table1.md.
const PROJECTED_RMS: f64 = 0.3;

impl FrozenParts {
    /// Scales the f_proj of fresh bridges so that for texts like these its output has the same
    /// size, whatever the size of the augmenting models' hidden states.
    ///
    /// Families and blocks differ in it by orders of magnitude, and the paper's bridge reads hidden
    /// states without a norm (section 3.1). Nothing else is changed, so that a composition that was
    /// the anchor stays the anchor.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`
    #[must_use]
    pub fn calibrate(
        &self,
        mut bridges: Bridges,
        ids: &Tensor<2, Int>,
        padding: &PaddingMask,
    ) -> Bridges {
        for (augmenting, bridges) in self.augmenting.iter().zip(&mut bridges.of) {
            // A text that a model cannot read is left for training to report, too.
            let Ok((states, padding)) = augmenting.states_of_text(ids, padding) else {
                continue;
            };
            for (state, bridge) in states.into_iter().zip(bridges) {
                let rms = root_mean_square(bridge.projectable(state), &padding);
                // States that are all zero, or broken, are left for training to report.
                if rms.is_normal() {
                    bridge.scale_projection(PROJECTED_RMS / rms);
                }
            }
        }
        bridges
    }
}

impl Bridge {
    fn scale_projection(&mut self, factor: f64) {
        let weight = self.projection.weight.val() * factor;
        self.projection.weight = Param::from_tensor(weight.detach());
    }
}

/// Over the real positions of `[batch, seq, d_model]`.
fn root_mean_square(state: Tensor<3>, padding: &PaddingMask) -> f64 {
    let real = padding.to_tensor(&state.device());
    let squares: Tensor<2> = state.cast(DType::F32).square().mean_dim(2).squeeze_dim(2);
    let sum: f32 = squares.mask_fill(real.bool_not(), 0.0).sum().into_scalar();
    let count: usize = (0..padding.batch())
        .map(|row| padding.row(row).iter().filter(|real| **real).count())
        .sum();
    (f64::from(sum) / count as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use calm_models::{Decoder, DecoderConfig};

    use super::*;
    use crate::Augmenting;

    fn parts() -> FrozenParts {
        let decoder = |d_model, seed| {
            let config = DecoderConfig::llama(20, d_model, 3, 2);
            Decoder::untrained(&config, seed, &Device::default())
        };
        FrozenParts {
            anchor: decoder(16, 0),
            augmenting: vec![Augmenting::new(
                decoder(64, 1),
                vec![[1, 1].into(), [3, 2].into()],
            )],
        }
    }

    fn fresh(parts: &FrozenParts) -> Bridges {
        Bridges::init(&parts.bridge_sets(2), 0, &Device::default()).unwrap()
    }

    fn ids(rows: [[i64; 4]; 2]) -> Tensor<2, Int> {
        Tensor::from_data(TensorData::from(rows), &Device::default())
    }

    fn weights(bridges: &Bridges) -> Vec<Vec<f32>> {
        let weights = bridges.of[0]
            .iter()
            .map(|bridge| bridge.projection.weight.val());
        weights
            .map(|weight| weight.into_data().try_to_vec().unwrap())
            .collect()
    }

    #[test]
    fn projected_states_have_one_size_whatever_the_block() {
        let parts = parts();
        let (ids, padding) = (ids([[1, 2, 3, 4], [9, 8, 7, 6]]), PaddingMask::none(2, 4));
        let projected = |bridges: &Bridges| -> Vec<f64> {
            let states = parts.augmenting[0].connected_states(ids.clone(), &padding, None);
            let projected = states.into_iter().zip(&bridges.of[0]);
            projected
                .map(|(state, bridge)| root_mean_square(bridge.projection.forward(state), &padding))
                .collect()
        };
        let before = projected(&fresh(&parts));
        assert!(
            before
                .iter()
                .any(|rms| (rms / PROJECTED_RMS).ln().abs() > 1.0)
        );
        // A random projection keeps lengths only on average.
        let after = projected(&parts.calibrate(fresh(&parts), &ids, &padding));
        assert!(
            after
                .iter()
                .all(|rms| (rms / PROJECTED_RMS).ln().abs() < 0.3),
            "{after:?}"
        );
    }

    #[test]
    fn what_is_trained_can_still_be_trained() {
        let parts = parts();
        let device = Device::default().autodiff();
        let fresh = Bridges::init(&parts.bridge_sets(2), 0, &device).unwrap();
        let (ids, padding) = (ids([[1, 2, 3, 4], [9, 8, 7, 6]]), PaddingMask::none(2, 4));
        let bridges = parts.calibrate(fresh, &ids, &padding);
        let weight = bridges.of[0][0].projection.weight.val();
        let gradients = weight.clone().sum().backward();
        assert!(weight.grad(&gradients).is_some());
    }

    #[test]
    fn padding_has_no_part_in_it() {
        let parts = parts();
        let calibrated = |rows, padding: PaddingMask| {
            weights(&parts.calibrate(fresh(&parts), &ids(rows), &padding))
        };
        let padded = || PaddingMask::new(2, 4, |_, position| position > 0);
        let one = calibrated([[5, 1, 2, 3], [5, 9, 8, 7]], padded());
        let other = calibrated([[6, 1, 2, 3], [7, 9, 8, 7]], padded());
        let whole = calibrated([[6, 1, 2, 3], [7, 9, 8, 7]], PaddingMask::none(2, 4));
        assert_eq!(one, other);
        assert_ne!(one, whole);
    }
}
