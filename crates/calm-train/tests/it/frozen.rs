//! Training a composition moves bridges, and nothing else has gradients or is recorded.

use crate::common::{bits, bridges, data, parts, train};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calm_compose::LoraPlan;
use calm_models::{Context, Decoder, PaddingMask};
use calm_train::{BridgeTraining, LanguageModelling, Objective};

#[test]
fn frozen_weights_stay_and_every_bridge_parameter_moves() {
    let parts = parts();
    let (trained, steps) = train(&parts, bridges(1), None, &data()).unwrap();
    let untouched = crate::common::parts();
    assert!(bits(&parts.anchor) == bits(&untouched.anchor));
    assert!(bits(&parts.augmenting[0].decoder) == bits(&untouched.augmenting[0].decoder));
    let before = bridges(1).named_parameters();
    for ((name, before), (_, after)) in before.iter().zip(trained.named_parameters()) {
        assert_ne!(before, &after, "{name}");
    }
    let (first, last) = (steps[0].loss, steps[19].loss);
    assert!(last < first, "{first} {last}");
}

#[test]
fn only_bridges_have_gradients() {
    let (parts, bridges) = (parts(), bridges(1));
    let backward = || parts.loss(&bridges, &data()(0).unwrap()).backward();
    let of_bridges = GradientsParams::from_grads(backward(), &bridges);
    assert_eq!(of_bridges.len(), 2 * 6);
    for decoder in [&parts.anchor, &parts.augmenting[0].decoder] {
        assert!(GradientsParams::from_grads(backward(), decoder).is_empty());
    }
}

struct Untracked;

impl ModuleVisitor for Untracked {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        assert!(!param.val().device().is_autodiff());
    }
}

#[test]
fn nothing_below_the_first_connection_is_recorded() {
    let parts = parts();
    let bridges = bridges(1);
    parts.loss(&bridges, &data()(0).unwrap()).backward();
    let augmenting = &parts.augmenting[0].decoder;
    let ids = Tensor::from_ints([[1, 2, 3]], &Device::default());
    let padding = PaddingMask::none(1, 3);
    // An operation is recorded if one of its inputs is tracked; no weight and no input is.
    let states = |decoder: &Decoder, end| {
        decoder.visit(&mut Untracked);
        let context = Context::new(decoder, &padding, None);
        decoder.run(0..end, decoder.embed(ids.clone(), &context), &context, None)
    };
    let last = augmenting.block_count();
    assert!(!states(augmenting, last).device().is_autodiff());
    assert!(!states(&parts.anchor, 1).device().is_autodiff());
    let hidden = parts
        .hidden_states(&bridges, ids.clone(), &padding, None)
        .unwrap();
    assert!(hidden.device().is_autodiff());
}

#[test]
fn adapters_move_and_their_base_stays() {
    let frozen = parts().anchor;
    let plan = LoraPlan::near(&frozen, 2000).unwrap();
    let adapted = plan.apply(&frozen, 1, &Device::default().autodiff());
    let before = bits(&adapted);
    let (trained, steps) = train(&LanguageModelling::default(), adapted, None, &data()).unwrap();
    let after = bits(&trained);
    let moved: usize = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|(values, _)| values.len())
        .sum();
    assert_eq!(moved, plan.parameters);
    assert!(steps[19].loss < steps[0].loss);
    let base = bits(&frozen);
    assert!(base.iter().all(|values| after.contains(values)));
}

#[test]
fn bridges_of_one_model_are_trained_beside_others_that_stay() {
    let one = parts();
    let mut both = one.clone();
    both.augmenting.extend(one.augmenting.clone());
    let fixed = train(&one, bridges(1), None, &data()).unwrap().0.valid();
    let before = fixed.named_parameters();
    let objective = BridgeTraining::new(&both).with_frozen_bridges(&fixed);
    let (trained, steps) = train(&objective, bridges(2), None, &data()).unwrap();
    assert_eq!(fixed.named_parameters(), before);
    assert!(steps[19].loss < steps[0].loss);
    for ((name, before), (_, after)) in bridges(2)
        .named_parameters()
        .iter()
        .zip(trained.named_parameters())
    {
        assert_ne!(before, &after, "{name}");
    }
    // Fresh bridges add nothing: the first step has the loss of those that are fixed.
    let batch = data()(0).unwrap();
    let loss = |loss: Tensor<1>| f64::from(loss.into_scalar::<f32>());
    let with_fixed = loss(objective.loss(&bridges(2), &batch));
    let alone = loss(one.loss(&fixed, &batch));
    assert!(
        (with_fixed / alone - 1.0).abs() < 1e-6,
        "{with_fixed} {alone}"
    );
}
