//! Calibration: f_proj of fresh bridges is scaled to the size of the hidden states that they read.

use burn::module::Param;
use burn::tensor::{DType, Tensor};

use crate::{Bridge, Bridges, CachedActivations, FrozenParts, Text};

/// Initial root mean square of the output of f_proj.
///
/// If it is larger, the random projection stays random, since a step changes little of it. If it is
/// much smaller, bridges add nothing for hundreds of steps. See docs/table1.md.
const PROJECTED_RMS: f64 = 0.3;

impl FrozenParts {
    /// Scales f_proj of fresh bridges so that its output has the same size for texts like these,
    /// whatever the size of the augmenting models' hidden states.
    ///
    /// That size differs between families and blocks by orders of magnitude, and the paper's bridge
    /// reads hidden states without a norm (section 3.1). Nothing else is changed, so that a fresh
    /// composition still computes what its anchor does.
    ///
    /// # Panics
    ///
    /// If the activations are not those of these texts.
    #[must_use]
    pub fn calibrate(
        &self,
        mut bridges: Bridges,
        texts: &[Text<'_>],
        activations: CachedActivations,
    ) -> Bridges {
        for ((index, model), states) in self.active_models().zip(activations.augmenting) {
            let read = texts.iter().map(|text| model.positions_of(index, text));
            let positions = read.sum();
            for (state, bridge) in states.into_iter().zip(&mut bridges.of[index]) {
                let rms = root_mean_square(bridge.projection_input(state), positions);
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

/// Over the `positions` of `[batch, seq, d_model]` that are not padding; padding is zero.
fn root_mean_square(state: Tensor<3>, positions: usize) -> f64 {
    let [_, _, d_model] = state.dims();
    let sum: f32 = state.cast(DType::F32).square().sum().into_scalar();
    (f64::from(sum) / (positions * d_model) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use calm_models::{Decoder, DecoderConfig, PaddingMask};

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

    /// With these texts, all of them prompts.
    fn calibrated(parts: &FrozenParts, bridges: Bridges, texts: &[&[u32]]) -> Bridges {
        let rows: Vec<_> = texts.iter().map(|ids| (*ids, ids.len())).collect();
        let read = parts.read_rows(&rows).unwrap();
        let texts = rows.iter().zip(&read).map(|((ids, prompt), tokens)| Text {
            ids,
            prompt: *prompt,
            tokens,
        });
        let texts: Vec<_> = texts.collect();
        parts.calibrate(bridges, &texts, parts.activations(&texts))
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
        let ids = Tensor::from_ints([[1, 2, 3, 4], [9, 8, 7, 6]], &Device::default());
        let padding = PaddingMask::none(2, 4);
        let projected = |bridges: &Bridges| -> Vec<f64> {
            let states = parts.augmenting[0].states_of_ids(ids.clone(), &padding, None);
            let projected = states.into_iter().zip(&bridges.of[0]);
            projected
                .map(|(state, bridge)| root_mean_square(bridge.projection.forward(state), 8))
                .collect()
        };
        let before = projected(&fresh(&parts));
        assert!(
            before
                .iter()
                .any(|rms| (rms / PROJECTED_RMS).ln().abs() > 1.0)
        );
        // A random projection keeps lengths only on average.
        let texts: [&[u32]; 2] = [&[1, 2, 3, 4], &[9, 8, 7, 6]];
        let after = projected(&calibrated(&parts, fresh(&parts), &texts));
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
        let bridges = calibrated(&parts, fresh, &[&[1, 2, 3, 4], &[9, 8, 7, 6]]);
        let weight = bridges.of[0][0].projection.weight.val();
        let gradients = weight.clone().sum().backward();
        assert!(weight.grad(&gradients).is_some());
    }

    #[test]
    fn padding_has_no_part_in_it() {
        let parts = parts();
        let found = |texts: &[&[u32]]| weights(&calibrated(&parts, fresh(&parts), texts));
        let text: &[u32] = &[1, 2, 3, 4, 5, 6];
        let [alone, twice] = [found(&[text]), found(&[text, text])];
        // Beside a short text a long one is as it is alone, and the short one counts by its length.
        let padded = found(&[text, &text[..1]]);
        let relative = |some: &[Vec<f32>]| f64::from(some[0][0] / alone[0][0] - 1.0).abs();
        assert!(relative(&twice) < 1e-5);
        assert!(relative(&padded) < 0.2, "{}", relative(&padded));
        assert!(relative(&padded) > 1e-5);
    }
}
