//! Gradients of the bridges against differences of the loss, and where there are none.

use crate::common::{KINDS, ids, parts, parts_of_kind, random_bridges, values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use calm_backend::SeededInit;
use calm_compose::{Bridge, Bridges, FrozenParts};
use calm_models::{Decoder, PaddingMask};

const TEXT: [&[u32]; 2] = [&[1, 30, 12, 45, 7, 7], &[0, 0, 41, 20, 9, 3]];

/// Something that every logit of a real position has a part in.
fn loss(parts: &FrozenParts, bridges: &Bridges) -> Tensor<1> {
    let padding = PaddingMask::left(&[6, 4]);
    let hidden = parts
        .hidden_states(bridges, ids(&TEXT), &padding, None)
        .unwrap();
    let logits = parts.anchor.finish(hidden);
    let second_row = logits.clone().slice([1..2, 2..6]).tanh().mean();
    logits.narrow(0, 0, 1).tanh().mean() + second_row
}

/// A parameter's place in a bridge.
type Place = (&'static str, fn(&mut Bridge) -> &mut Param<Tensor<2>>);

const WEIGHTS: [Place; 5] = [
    ("proj", |bridge| &mut bridge.projection.weight),
    ("q", |bridge| &mut bridge.query.weight),
    ("k", |bridge| &mut bridge.key.weight),
    ("v", |bridge| &mut bridge.value.weight),
    ("o", |bridge| &mut bridge.output.weight),
];

/// `(loss(θ + εd) - loss(θ - εd)) / 2ε` where `moved(ε)` are the bridges at θ + εd.
fn slope(parts: &FrozenParts, moved: impl Fn(f64) -> Bridges) -> f64 {
    const STEP: f64 = 2e-3;
    let at = |step| f64::from(loss(parts, &moved(step)).into_scalar::<f32>());
    (at(STEP) - at(-STEP)) / (2.0 * STEP)
}

#[track_caller]
fn assert_slope(name: &str, found: f64, expected: f64) {
    // Differences of a loss in f32 are good for two digits.
    let tolerance = 0.02 * expected.abs() + 1e-4;
    assert!(
        (found - expected).abs() < tolerance,
        "{name}: {found} {expected}"
    );
    assert!(expected.abs() > 2e-3, "{name}: {expected} tests nothing");
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    assert_slopes("llama", &parts(), &[(0, 0), (0, 1), (1, 0)]);
}

#[test]
fn gradients_pass_through_frozen_blocks_of_every_kind() {
    for name in KINDS {
        assert_slopes(name, &parts_of_kind(name), &[(0, 0), (0, 1)]);
    }
}

/// Of the parameters of these bridges.
fn assert_slopes(model: &str, parts: &FrozenParts, bridges: &[(usize, usize)]) {
    let device = Device::default();
    let plain = random_bridges(parts, &device);
    let tracked = random_bridges(parts, &device.clone().autodiff());
    let gradients = loss(parts, &tracked).backward();

    let mut init = SeededInit::new(13);
    for &(m, n) in bridges {
        for (name, weight) in WEIGHTS {
            let mut bridge = tracked.of[m][n].clone();
            let gradient = weight(&mut bridge).val().grad(&gradients).unwrap();
            // Along the gradient, with some noise so that its length is not all that is tested.
            let noise = init.normal(gradient.dims(), 1.0, &device).val();
            let size = gradient.clone().square().mean().sqrt().into_scalar::<f32>();
            let direction = gradient.clone() / size + noise;
            let expected = (gradient * direction.clone()).sum().into_scalar::<f32>();
            let found = slope(parts, |step| {
                let mut bridges = plain.clone();
                let weight = weight(&mut bridges.of[m][n]);
                *weight = Param::from_tensor(weight.val() + direction.clone() * step);
                bridges
            });
            let name = format!("{model}: a{m}.c{n}.{name}");
            assert_slope(&name, found, f64::from(expected));
        }
        let bias = tracked.of[m][n].projection.bias.as_ref().unwrap();
        let gradient = bias.val().grad(&gradients).unwrap();
        let size = gradient.clone().square().mean().sqrt().into_scalar::<f32>();
        let direction = gradient.clone() / size;
        let expected = (gradient * direction.clone()).sum().into_scalar::<f32>();
        let found = slope(parts, |step| {
            let mut bridges = plain.clone();
            let projection = &mut bridges.of[m][n].projection;
            let bias = projection.bias.take().unwrap().val();
            projection.bias = Some(Param::from_tensor(bias + direction.clone() * step));
            bridges
        });
        let name = format!("{model}: a{m}.c{n}.bias");
        assert_slope(&name, found, f64::from(expected));
    }
}

#[test]
fn only_the_output_projection_has_a_gradient_at_first() {
    let parts = parts();
    let bridges = crate::common::fresh_bridges(&parts, &Device::default().autodiff());
    let gradients = loss(&parts, &bridges).backward();
    for (name, gradient) in bridges.named_gradients(&gradients) {
        let moves = gradient.iter::<f32>().any(|value| value != 0.0);
        assert_eq!(moves, name.ends_with(".o.weight"), "{name}");
    }
}

/// Fails if any parameter is tracked or requires a gradient.
struct Untracked;

impl ModuleVisitor for Untracked {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        assert!(!param.val().device().is_autodiff());
        assert!(!param.is_require_grad());
    }
}

#[test]
fn frozen_models_are_never_tracked() {
    let parts = parts();
    let bridges = random_bridges(&parts, &Device::default().autodiff());
    let gradients = loss(&parts, &bridges).backward();
    drop(gradients);
    let models = parts
        .augmenting
        .iter()
        .map(|augmenting| &augmenting.decoder);
    models
        .chain([&parts.anchor])
        .for_each(|decoder: &Decoder| decoder.visit(&mut Untracked));
}

#[test]
fn both_counts_of_parameters() {
    let parts = parts();
    let bridges = crate::common::fresh_bridges(&parts, &Device::default());
    // D_B = 16; two connections of D_A = 24 and one of 16.
    let paper = 2 * (24 * 16 + 3 * 16 * 16) + (16 * 16 + 3 * 16 * 16);
    assert_eq!(bridges.paper_parameter_count(), paper);
    assert_eq!(bridges.parameter_count(), paper + 3 * (16 * 16 + 16));
    let named = bridges.named_parameters();
    let stored: usize = named.iter().map(|(_, data)| data.num_elements()).sum();
    assert_eq!(stored, bridges.parameter_count());
    assert_eq!(named[0].0, "a0.c0.proj.weight");
    assert_eq!(named[0].1.shape().to_vec(), [16, 24], "(out, in)");
    assert_eq!(named[17].0, "a1.c0.o.weight");
    let first: Vec<f32> = named[0].1.iter().collect();
    let weight = values(bridges.of[0][0].projection.weight.val());
    assert_eq!(first[1], weight[16], "row 0, column 1 is input 1, output 0");
}
