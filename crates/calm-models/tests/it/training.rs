//! The same decoder, frozen and in training.

use crate::common::{assert_close, ids, load, values};
use burn::module::{Lora, Module, ModuleVisitor, Param, ParamGroup};
use burn::tensor::{Gradients, Tensor};
use calm_models::{Context, Decoder, PaddingMask};

const TEXT: [[u32; 5]; 2] = [[1, 30, 12, 55, 7], [3, 4, 5, 6, 7]];

fn logits(decoder: &Decoder) -> Tensor<3> {
    decoder.forward(ids(&TEXT), &PaddingMask::none(2, 5))
}

/// Paths of the parameters that have a gradient other than zero, and of those that have none.
struct GradientPaths<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    with: Vec<String>,
    without: Vec<String>,
}

impl<'a> GradientPaths<'a> {
    fn of(decoder: &Decoder, gradients: &'a Gradients) -> Self {
        let mut paths = Self {
            gradients,
            path: Vec::new(),
            with: Vec::new(),
            without: Vec::new(),
        };
        decoder.visit(&mut paths);
        paths
    }
}

impl ModuleVisitor for GradientPaths<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let gradient = parameter.base().grad(self.gradients);
        let moves = gradient.is_some_and(|gradient| values(gradient).iter().any(|g| *g != 0.0));
        let list = if moves {
            &mut self.with
        } else {
            &mut self.without
        };
        list.push(self.path.join("."));
    }
}

#[test]
fn in_training_it_computes_the_same_and_every_parameter_has_a_gradient() {
    for name in crate::common::FIXTURES {
        let frozen = load(name).decoder;
        let decoder = frozen.clone().train();
        let output = logits(&decoder);
        assert_close(output.clone().inner(), logits(&frozen));
        let gradients = output.powi_scalar(2).mean().backward();
        let paths = GradientPaths::of(&decoder, &gradients);
        // The bias of the keys moves all scores of a row alike, which softmax does not see. An expert
        // may have no token.
        let may_be_without =
            |path: &String| path.ends_with("key.bias") || path.contains("experts.layers");
        assert!(
            paths.without.iter().all(may_be_without),
            "{:?}",
            paths.without
        );
        assert!(
            paths
                .with
                .contains(&"blocks.0.attention.query.weight".to_owned())
        );
        assert!(paths.with.len() >= 27, "{:?}", paths.with);
    }
}

#[test]
fn frozen_weights_are_constants_that_gradients_pass_through() {
    let frozen = load("llama").decoder;
    let context = Context::new(&frozen, &PaddingMask::none(2, 5), None);
    let hidden = frozen.embed(ids(&TEXT), &context);
    let input = Tensor::from_inner(hidden).require_grad();
    let output = frozen.finish(frozen.run(0..3, input.clone(), &context, None));
    let gradients = output.powi_scalar(2).mean().backward();
    assert!(
        values(input.grad(&gradients).unwrap())
            .iter()
            .any(|g| *g != 0.0)
    );
    assert!(GradientPaths::of(&frozen, &gradients).with.is_empty());
}

/// Along its own direction, the gradient is as long as the loss is steep. That of experts goes through
/// the router's weights, too.
#[test]
fn gradients_through_frozen_blocks_are_those_of_the_loss() {
    for name in crate::common::FIXTURES {
        let frozen = load(name).decoder;
        let context = Context::new(&frozen, &PaddingMask::none(2, 5), None);
        let loss = |input: Tensor<3>| {
            let output = frozen.run(0..3, input, &context, None);
            // Any fixed weights will do.
            let weights = frozen.embed(ids(&[[9, 8, 7, 6, 5], [40, 30, 20, 10, 3]]), &context);
            (output.clone() * Tensor::from_data(weights.into_data(), &output.device())).sum()
        };
        let hidden = frozen.embed(ids(&TEXT), &context);
        let input = Tensor::from_inner(hidden.clone()).require_grad();
        let gradient = input.grad(&loss(input.clone()).backward()).unwrap();
        let length = gradient.clone().powi_scalar(2).sum().sqrt();
        let step = 2e-3;
        let step_along = (gradient / length.clone().unsqueeze()) * step;
        let rise = loss(hidden.clone() + step_along.clone()) - loss(hidden - step_along);
        let slope = rise.into_scalar::<f32>() / (2.0 * step as f32);
        let expected = length.into_scalar::<f32>();
        assert!(
            (slope / expected - 1.0).abs() < 2e-2,
            "{name}: {slope} instead of {expected}"
        );
    }
}

#[test]
fn adapters_change_nothing_at_first_and_alone_have_gradients() {
    let frozen = load("llama").decoder;
    let blocks = ParamGroup::from_predicate("blocks");
    let decoder = frozen
        .clone()
        .train()
        .apply_lora(Lora::new(2, 4.0).set_param_group(blocks));
    let output = logits(&decoder);
    assert_close(output.clone().inner(), logits(&frozen));
    let gradients = output.powi_scalar(2).mean().backward();
    let adapter = decoder.blocks[0].attention.query.weight.adapter().unwrap();
    assert!(adapter.b.val().grad(&gradients).is_some());
    assert!(decoder.embedding.weight.adapter().is_none());
    let paths = GradientPaths::of(&decoder, &gradients);
    assert!(
        paths.with.iter().all(|path| path.contains("lora")),
        "{:?}",
        paths.with
    );
}
