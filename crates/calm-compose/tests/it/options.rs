//! Properties of bridges with every option.

use crate::common::{
    HEADS, assert_close, bridges_with, fixtures, halves, ids, logits, logits_after, options, parts,
    shaken, values,
};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Gradients, Tensor};
use calm_backend::{FloatType, SeededInit};
use calm_compose::{
    Augmenting, BridgeOptions, Bridges, ComposedModel, FrozenParts, LoraPlan, OutputInit,
};
use calm_models::{CausalLm, FrozenModel, LoadOptions, PaddingMask};

const TEXT: [u32; 6] = [1, 30, 12, 45, 7, 7];

fn composed(parts: FrozenParts, bridges: Bridges) -> ComposedModel {
    ComposedModel { parts, bridges }
}

/// Logits of the text in one pass and token by token.
fn both_ways(model: &impl CausalLm) -> [Tensor<3>; 2] {
    let whole = logits(model, ids(&[&TEXT]), &PaddingMask::none(1, TEXT.len()));
    let mut cache = model.new_cache(1);
    let steps = TEXT.map(|id| logits_after(model, &[&[id]], &mut cache));
    [whole, Tensor::cat(steps.into(), 1)]
}

#[test]
fn a_fresh_composition_is_the_anchor_bit_for_bit() {
    let halves = halves().map(|dtype| {
        let plain = BridgeOptions::default();
        (dtype.name(), BridgeOptions { dtype, ..plain })
    });
    for (name, options) in options().into_iter().chain(halves) {
        let parts = parts();
        let [whole, steps] = both_ways(&parts.anchor).map(values);
        let bridges = bridges_with(&parts, options, &Device::default());
        let [our_whole, our_steps] = both_ways(&composed(parts, bridges)).map(values);
        assert!(our_whole == whole && our_steps == steps, "{name}");
    }
}

#[test]
fn a_random_start_is_not_the_anchor() {
    for (name, options) in options() {
        let parts = parts();
        let [whole, _] = both_ways(&parts.anchor).map(values);
        let output_init = OutputInit::Random;
        let options = BridgeOptions {
            output_init,
            ..options
        };
        let bridges = bridges_with(&parts, options, &Device::default());
        let [ours, _] = both_ways(&composed(parts, bridges)).map(values);
        assert_ne!(ours, whole, "{name}");
    }
}

#[test]
fn cached_decoding_gives_the_logits_of_a_whole_pass() {
    for (_, options) in options() {
        let parts = parts();
        let bridges = shaken(bridges_with(&parts, options, &Device::default()));
        let [whole, steps] = both_ways(&composed(parts, bridges));
        assert_close(steps, whole);
    }
}

#[test]
fn a_later_token_never_moves_an_earlier_logit() {
    for (name, options) in options() {
        let parts = parts();
        let bridges = shaken(bridges_with(&parts, options, &Device::default()));
        let model = composed(parts, bridges);
        let mut other = TEXT;
        other[4] = 40;
        let of = |text| logits(&model, ids(&[text]), &PaddingMask::none(1, TEXT.len()));
        let [a, b] = [of(&TEXT), of(&other)];
        let earlier = |x: &Tensor<3>| values(x.clone().narrow(1, 0, 4));
        assert_eq!(earlier(&a), earlier(&b), "{name}");
        assert_ne!(values(a), values(b), "{name}");
    }
}

#[test]
fn every_parameter_is_counted() {
    for (name, options) in options() {
        let parts = parts();
        let sets = parts.bridge_sets_with(crate::common::HEADS, options);
        let counts = sets
            .iter()
            .map(|(config, connections)| config.parameter_count() * connections.len());
        let bridges = bridges_with(&parts, options, &Device::default());
        assert_eq!(bridges.parameter_count(), counts.sum::<usize>(), "{name}");
        let stored = bridges.named_parameters();
        let stored = stored.iter().map(|(_, data)| data.num_elements());
        assert_eq!(bridges.parameter_count(), stored.sum::<usize>(), "{name}");
        let plan = LoraPlan::near(&parts.anchor, bridges.parameter_count()).unwrap();
        let per_rank = plan.parameters / plan.rank;
        let missed = plan.parameters.abs_diff(bridges.parameter_count());
        assert!(2 * missed <= per_rank, "{name}");
    }
    // D_B = 16, d = 8; two connections of D_A = 24 and one of 16.
    let narrow = BridgeOptions {
        d_inner: Some(8),
        ..BridgeOptions::paper()
    };
    let bridges = bridges_with(&parts(), narrow, &Device::default());
    let paper = 2 * 24 * 16 + 16 * 16 + 3 * (3 * 16 * 8);
    assert_eq!(bridges.paper_parameter_count(), paper);
    let stored = paper + 3 * (16 * 8 + 16);
    assert_eq!(bridges.parameter_count(), stored);
    // The default has two norms more.
    let normed = BridgeOptions {
        d_inner: Some(8),
        ..BridgeOptions::default()
    };
    let bridges = bridges_with(&parts(), normed, &Device::default());
    assert_eq!(bridges.paper_parameter_count(), paper);
    assert_eq!(bridges.parameter_count(), stored + 3 * 16 + 2 * 24 + 16);
}

/// Something that every logit has a part in, each another one.
fn loss(parts: &FrozenParts, bridges: &Bridges) -> Tensor<1> {
    let padding = PaddingMask::none(1, TEXT.len());
    let hidden = parts.hidden_states(bridges, ids(&[&TEXT]), &padding, None);
    let logits = parts.anchor.finish(hidden.unwrap()).tanh();
    let shares = SeededInit::new(3).normal(logits.dims(), 0.1, &Device::default());
    let shares = match logits.device().is_autodiff() {
        true => Tensor::from_inner(shares.val()),
        false => shares.val(),
    };
    (logits * shares).sum()
}

/// The gradients of all parameters in the order of the module, which is that of their names.
struct Slopes<'a> {
    gradients: &'a Gradients,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Slopes<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients);
        self.found.push(gradient.map(values).unwrap_or_default());
    }
}

/// Moves one parameter.
struct Move<'a> {
    seen: usize,
    number: usize,
    by: &'a [f32],
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seen += 1;
        if self.seen != self.number + 1 {
            return param;
        }
        let value = param.val();
        let by = Tensor::<1>::from_floats(self.by, &value.device());
        let shape = value.shape();
        Param::from_tensor(value + by.reshape(shape))
    }
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    const STEP: f32 = 2e-3;
    for (option, options) in options() {
        let parts = parts();
        let plain = shaken(bridges_with(&parts, options, &Device::default()));
        let tracked = shaken(bridges_with(&parts, options, &Device::default().autodiff()));
        let gradients = loss(&parts, &tracked).backward();
        let mut slopes = Slopes {
            gradients: &gradients,
            found: Vec::new(),
        };
        tracked.visit(&mut slopes);
        let named = tracked.named_parameters();
        assert_eq!(slopes.found.len(), named.len());
        for (number, ((name, _), gradient)) in named.iter().zip(slopes.found).enumerate() {
            if name.ends_with(".k.bias") {
                continue; // Moving all keys alike changes nothing.
            }
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            assert!(norm > 1e-3, "{option}, {name}: {norm} tests nothing");
            let at = |step: f32| {
                let by: Vec<f32> = gradient.iter().map(|g| step * g / norm).collect();
                let moved = plain.clone().map(&mut Move {
                    seen: 0,
                    number,
                    by: &by,
                });
                f64::from(loss(&parts, &moved).into_scalar::<f32>())
            };
            let slope = |step: f32| (at(step) - at(-step)) / f64::from(2.0 * step);
            // Of two differences, what grows with the square of the step cancels out.
            let step = (STEP / norm).min(0.01);
            let found = (4.0 * slope(step / 2.0) - slope(step)) / 3.0;
            let expected = f64::from(norm);
            // Differences of a loss in f32 are good for two digits.
            let tolerance = 0.02 * expected + 1e-4;
            assert!(
                (found - expected).abs() < tolerance,
                "{option}, {name}: {found} {expected}"
            );
        }
    }
}

/// Whether each parameter has a gradient that is not zero.
fn moved(parts: &FrozenParts, bridges: &Bridges) -> (Vec<(String, bool)>, GradientsParams) {
    let gradients = loss(parts, bridges).backward();
    let named = bridges.named_gradients(&gradients).into_iter();
    let moves = named.map(|(name, gradient)| {
        let moves = gradient.iter::<f32>().any(|value| value != 0.0);
        (name, moves)
    });
    let moves = moves.collect();
    (moves, GradientsParams::from_grads(gradients, bridges))
}

#[test]
fn every_option_learns_from_its_start() {
    let plain = BridgeOptions::default();
    let halves = halves().map(|dtype| (dtype.name(), BridgeOptions { dtype, ..plain }));
    for (option, options) in options().into_iter().chain(halves) {
        let parts = parts();
        let mut bridges = bridges_with(&parts, options, &Device::default().autodiff());
        let mut optimizer = AdamWConfig::new().init();
        let (first, gradients) = moved(&parts, &bridges);
        assert!(first.iter().any(|(_, moves)| *moves), "{option}");
        bridges = optimizer.step(1e-2, bridges, gradients);
        let (then, _) = moved(&parts, &bridges);
        for (name, moves) in then {
            assert!(moves || name.ends_with(".k.bias"), "{option}: {name} stays");
        }
    }
}

/// The models of [`parts`] in a type of theirs.
fn parts_in(dtype: FloatType) -> FrozenParts {
    let load = |name: &str| {
        let options = LoadOptions {
            dtype: FloatType::into(dtype),
            ..LoadOptions::default()
        };
        let directory = fixtures().join("checkpoints").join(name);
        FrozenModel::load(&directory, &options).unwrap().decoder
    };
    let connections = vec![[2, 1].into(), [2, 2].into(), [4, 2].into()];
    let augmenting = Augmenting::new(load("llama3-scaled-tied"), connections);
    FrozenParts {
        anchor: load("llama"),
        augmenting: vec![augmenting],
    }
}

#[test]
fn bridges_keep_their_type_over_models_of_another() {
    for (models, bridges) in [
        (FloatType::BF16, FloatType::F32),
        (FloatType::F32, FloatType::BF16),
        (FloatType::F16, FloatType::BF16),
    ] {
        let device = Device::default();
        if ![models, bridges]
            .iter()
            .all(|dtype| dtype.is_supported_by(&device))
        {
            continue;
        }
        for (name, options) in options() {
            let options = BridgeOptions {
                dtype: bridges,
                ..options
            };
            let parts = parts_in(models);
            let alone = both_ways(&parts.anchor).map(|x| values(x.cast(burn::tensor::DType::F32)));
            let fresh = bridges_with(&parts, options, &Device::default());
            let model = composed(parts, fresh.clone());
            let ours = both_ways(&model).map(|x| values(x.cast(burn::tensor::DType::F32)));
            assert_eq!(ours, alone, "{name}");
            let trained = composed(model.parts, shaken(fresh));
            let [whole, _] = both_ways(&trained).map(|x| values(x.cast(burn::tensor::DType::F32)));
            assert_ne!(whole, alone[0], "{name}");
            assert!(whole.iter().all(|value| value.is_finite()), "{name}");
        }
    }
}

#[test]
fn a_type_that_the_device_lacks_is_refused() {
    let device = Device::default();
    for dtype in FloatType::ALL {
        let options = BridgeOptions {
            dtype,
            ..BridgeOptions::default()
        };
        let sets = parts().bridge_sets_with(HEADS, options);
        let bridges = Bridges::init(&sets, 0, &device);
        assert_eq!(bridges.is_ok(), dtype.is_supported_by(&device), "{dtype}");
    }
}
