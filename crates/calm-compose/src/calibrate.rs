//! Calibration: fresh bridges are scaled to the hidden states of the models between which they are.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};
use calm_models::ChosenPositions;

use crate::{Bridge, Bridges, CachedActivations, FrozenParts, OutputUnit, Text};

/// Initial root mean square of the output of f_proj where no norm is before it.
///
/// If it is larger, the random projection stays random, since a step changes little of it. If it is
/// much smaller, bridges add nothing for hundreds of steps. See docs/table1.md.
const PROJECTED_RMS: f64 = 0.3;

/// Positions that a unit is taken from; more would not change it.
const UNIT_POSITIONS: usize = 4096;

/// Width of a bridge up to which its output is learnt in whole units. A step moves every weight of a
/// sum by the learning rate, and so the sum by as many of them as there are: wider bridges have
/// smaller units, so that a step changes the anchor's states by the same share.
const UNIT_WIDTH: f64 = 128.0;

/// Median of the absolute value of a normal variable of standard deviation one.
const NORMAL_MEDIAN: f64 = 0.6745;

impl FrozenParts {
    /// Fits fresh bridges to texts like these, whatever the size of the hidden states that they read
    /// and change: it differs between families, blocks and positions by orders of magnitude.
    ///
    /// * Where f_proj reads hidden states without a norm, as in the paper, it is scaled so that its
    ///   output has the same size everywhere.
    /// * [`OutputUnit::Anchor`] is measured: the median of all absolute values of the anchor's
    ///   hidden states at the connected block, in units of a normal variable's, and less for bridges
    ///   wider than 128, as a power of two.
    ///   In real models a few channels, and all of single positions, are a hundred times larger than
    ///   the others. They move a root mean square, but no median.
    ///
    /// A fresh composition still computes what its anchor does.
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
        let units = self.output_units(&bridges, texts, activations.clone());
        for ([index, slot], unit) in units {
            let bridge = bridges.of[index][slot].clone();
            bridges.of[index][slot] = bridge.with_output_unit(unit);
        }
        for ((index, model), states) in self.active_models().zip(activations.augmenting) {
            let read = texts.iter().map(|text| model.positions_of(index, text));
            let positions = read.sum();
            for (state, bridge) in states.into_iter().zip(&mut bridges.of[index]) {
                if bridge.config().options.augmenting_norm {
                    continue;
                }
                let rms = root_mean_square(state, positions);
                // States that are all zero, or broken, are left for training to report.
                if rms.is_normal() {
                    bridge.scale_projection(PROJECTED_RMS / rms);
                }
            }
        }
        bridges
    }

    /// Trained bridges as they are trained further: the same functions, with outputs in the units that
    /// [`FrozenParts::calibrate`] measures, since files have them in unit one, and parameters in `f32`.
    ///
    /// # Panics
    ///
    /// If the activations are not those of these texts.
    #[must_use]
    pub fn calibrate_trained(
        &self,
        bridges: Bridges,
        texts: &[Text<'_>],
        activations: CachedActivations,
    ) -> Bridges {
        let units = self.output_units(&bridges, texts, activations);
        let mut bridges = bridges.map(&mut InF32);
        for ([index, slot], unit) in units {
            let bridge = bridges.of[index][slot].clone();
            bridges.of[index][slot] = bridge.in_unit(unit);
        }
        bridges
    }

    /// Units of the bridges that have one, by the numbers of their augmenting model and connection.
    fn output_units(
        &self,
        bridges: &Bridges,
        texts: &[Text<'_>],
        activations: CachedActivations,
    ) -> Vec<([usize; 2], f64)> {
        let has_unit = |bridge: &Bridge| bridge.config().options.output_unit == OutputUnit::Anchor;
        if !bridges.of.iter().flatten().any(has_unit) {
            return Vec::new();
        }
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let shape = [texts.len(), lengths.iter().copied().max().unwrap_or(0)];
        let everywhere: Vec<u32> = (0..(shape[0] * shape[1]) as u32).collect();
        let device = self.anchor.device().without_autodiff();
        let chosen = ChosenPositions::new(&everywhere, shape, &device);
        let suffix = self.trainable_suffix(texts, activations, chosen, |state| state);
        let mut units = Vec::new();
        suffix.watched(&bridges.valid(), &mut |source, bridge, _, hidden| {
            if has_unit(bridge) {
                let share = (UNIT_WIDTH / bridge.config().d_inner() as f64).min(1.0);
                let size = typical_size(hidden, &lengths);
                units.extend(size.map(|size| (source.place, power_of_two(size * share))));
            }
        });
        units
    }
}

/// Brings parameters of half precision to the type that they are trained in.
struct InF32;

impl ModuleMapper for InF32 {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match parameter.val().dtype() {
            DType::F32 => parameter,
            _ => Param::from_tensor(parameter.val().cast(DType::F32).detach()),
        }
    }
}

/// The nearest one, with which a product is exact.
fn power_of_two(size: f64) -> f64 {
    size.log2().round().exp2()
}

/// The standard deviation that most values of hidden states `[batch, seq, d_model]` seem to have, padded on
/// the right; none if they are all zero or broken, which training will report.
fn typical_size(hidden: &Tensor<3>, lengths: &[usize]) -> Option<f64> {
    let [batch, seq, d_model] = hidden.dims();
    let rows = lengths.iter().enumerate();
    let real: Vec<i64> = rows
        .flat_map(|(row, length)| (row * seq..row * seq + length).map(|place| place as i64))
        .collect();
    let stride = real.len().div_ceil(UNIT_POSITIONS).max(1);
    let places: Vec<i64> = real.into_iter().step_by(stride).collect();
    let count = places.len();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &hidden.device());
    let states = hidden.clone().reshape([batch * seq, d_model]);
    let values = states.select(0, places).abs().cast(DType::F32);
    let mut values: Vec<f32> = values.try_into_vec_as().ok()?;
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let size = f64::from(*median) / NORMAL_MEDIAN;
    size.is_normal().then_some(size)
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

    use calm_backend::SeededInit;

    use super::*;
    use crate::{Augmenting, BridgeOptions, Memory};

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
            anchor_ids: ids,
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

    fn states(rows: &[[f32; 4]]) -> Tensor<3> {
        Tensor::<1>::from_data(rows.as_flattened(), &Device::default()).reshape([1, rows.len(), 4])
    }

    #[test]
    fn a_unit_is_ruled_by_no_position_and_no_channel() {
        let row = [6.0, -5.0, 5.5, -6.5];
        let unit = |rows: &[[f32; 4]]| typical_size(&states(rows), &[rows.len()]).map(power_of_two);
        // 5.75 / 0.6745 = 8.5.
        assert_eq!(unit(&[row; 7]), Some(8.0));
        let spike = row.map(|x| 1e4 * x);
        assert_eq!(unit(&[spike, row, row, row, row, row, row]), Some(8.0));
        let channel = [1e5, -5.0, 5.5, -6.5];
        assert_eq!(unit(&[channel; 7]), Some(8.0));
        assert_eq!(unit(&[[0.0; 4]; 7]), None);
        assert_eq!(unit(&[[f32::NAN; 4]; 7]), None);
    }

    #[test]
    fn units_follow_the_anchor_and_leave_no_trace_in_files() {
        let parts = parts();
        let sets = parts.bridge_sets_with(2, BridgeOptions::default());
        let fresh = Bridges::init(&sets, 0, &Device::default()).unwrap();
        let texts: [&[u32]; 2] = [&[1, 2, 3, 4], &[9, 8]];
        let units = |parts: &FrozenParts| {
            let bridges = calibrated(parts, fresh.clone(), &texts);
            bridges.of[0]
                .iter()
                .map(Bridge::output_unit)
                .collect::<Vec<_>>()
        };
        let mut large = parts.clone();
        for block in &mut large.anchor.blocks {
            let feed_forward = block.feed_forward.as_mut().unwrap();
            for linear in [&mut block.attention.output, &mut feed_forward.down] {
                linear.weight = Param::from_tensor(linear.weight.val() * 4096.0);
            }
        }
        let mut pairs = units(&large).into_iter().zip(units(&parts));
        assert!(pairs.all(|(large, small)| large > 500.0 * small));

        let mut bridges = calibrated(&large, fresh, &texts);
        for bridge in &mut bridges.of[0] {
            let shape = bridge.output.weight.dims();
            bridge.output.weight = SeededInit::new(1).normal(shape, 0.1, &Device::default());
        }
        let plain = bridges.clone().in_unit_one();
        for (bridge, plain) in bridges.of[0].iter().zip(&plain.of[0]) {
            assert_ne!(bridge.output_unit(), 1.0);
            assert_eq!(plain.output_unit(), 1.0);
            let (anchor, augmenting) = (
                Tensor::ones([1, 3, 16], &Device::default()),
                Tensor::ones([1, 2, 64], &Device::default()),
            );
            let again = plain.clone().in_unit(bridge.output_unit());
            let read = |bridge: &Bridge| {
                let (keys, values) = bridge.keys_values(augmenting.clone());
                let memory = Memory {
                    keys,
                    values,
                    masked: None,
                    bias: None,
                };
                bridge.read(anchor.clone(), memory).into_data()
            };
            assert_eq!(read(bridge), read(plain));
            assert_eq!(read(bridge), read(&again), "trained further");
        }
    }
}
