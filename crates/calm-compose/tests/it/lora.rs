//! The baseline of low-rank adapters.

use crate::common::{assert_close, ids, load, logits, values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use calm_backend::FloatType;
use calm_compose::{ComposeError, LoraPlan};
use calm_models::{Decoder, FrozenModel, LoadOptions, PaddingMask};

const CHECKPOINTS: [&str; 2] = ["llama", "llama3-scaled-tied"];
const TEXT: [u32; 6] = [1, 30, 12, 45, 7, 7];

fn output(decoder: &Decoder) -> Tensor<3> {
    logits(decoder, ids(&[&TEXT]), &PaddingMask::none(1, 6))
}

/// Values of all parameters by their path, and whether they require a gradient.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    found: Vec<(String, bool, Vec<f32>)>,
}

impl Parameters {
    fn of(decoder: &Decoder) -> Vec<(String, bool, Vec<f32>)> {
        let mut parameters = Self::default();
        decoder.visit(&mut parameters);
        parameters.found
    }
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let value = param.base();
        self.found
            .push((path, value.is_require_grad(), values(value)));
    }
}

fn adapted(name: &str, plan: LoraPlan) -> Decoder {
    plan.apply(&load(name).decoder, 3, &Device::default().autodiff())
}

#[test]
fn the_count_is_that_of_the_parameters_that_require_gradients() {
    for name in CHECKPOINTS {
        for wanted in [700, 3000, 9000] {
            let plan = LoraPlan::near(&load(name).decoder, wanted).unwrap();
            let decoder = adapted(name, plan);
            let parameters = Parameters::of(&decoder);
            let trainable = parameters.iter().filter(|(_, trainable, _)| *trainable);
            let count: usize = trainable.map(|(_, _, values)| values.len()).sum();
            assert_eq!(count, plan.parameters, "{name}");
            assert_eq!(
                decoder.num_params(),
                load(name).decoder.num_params() + plan.parameters
            );

            let gradients = output(&decoder).square().mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &decoder);
            let trainable = parameters.iter().filter(|(_, trainable, _)| *trainable);
            assert_eq!(gradients.len(), trainable.count(), "{name}");
        }
    }
}

#[test]
fn the_rank_is_the_nearest() {
    let decoder = load("llama").decoder;
    // Of a block: q and o 16 x 16, k and v 16 x 8, three of 16 x 24.
    let per_rank = 3 * (2 * 32 + 2 * 24 + 3 * 40);
    for (wanted, rank) in [
        (per_rank, 1),
        (per_rank * 5 / 2 - 1, 2),
        (per_rank * 3 - 1, 3),
    ] {
        let plan = LoraPlan::near(&decoder, wanted).unwrap();
        let parameters = rank * per_rank;
        assert_eq!(plan, LoraPlan { rank, parameters });
    }
    let error = LoraPlan::near(&decoder, per_rank / 3).unwrap_err();
    assert!(matches!(
        error,
        ComposeError::LoraRank { smallest, .. } if smallest == per_rank
    ));
}

#[test]
fn fresh_adapters_change_nothing_bit_for_bit() {
    for name in CHECKPOINTS {
        let frozen = load(name).decoder;
        let plan = LoraPlan::near(&frozen, 3000).unwrap();
        let decoder = adapted(name, plan);
        // Recorded and unrecorded attention differ in the order of their sums.
        let tracked = frozen.clone().train();
        assert_eq!(
            values(output(&decoder).inner()),
            values(output(&tracked).inner())
        );
    }
}

#[test]
fn training_moves_adapters_and_nothing_else() {
    for name in CHECKPOINTS {
        let plan = LoraPlan::near(&load(name).decoder, 3000).unwrap();
        let mut decoder = adapted(name, plan);
        let before = Parameters::of(&decoder);
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let gradients = output(&decoder).square().mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &decoder);
            decoder = optimizer.step(1e-2, decoder, gradients);
        }
        for ((path, trainable, old), (_, _, new)) in before.iter().zip(Parameters::of(&decoder)) {
            assert_eq!(*trainable, *old != new, "{path}");
            assert_eq!(*trainable, path.contains("lora"), "{path}");
        }
    }
}

#[test]
fn the_seed_fixes_the_adapters() {
    let frozen = load("llama").decoder;
    let plan = LoraPlan::near(&frozen, 3000).unwrap();
    let draw = |seed| Parameters::of(&plan.apply(&frozen, seed, &Device::default().autodiff()));
    assert!(draw(1) == draw(1));
    assert!(draw(1) != draw(2));
}

#[test]
fn merged_adapters_are_a_checkpoint_that_computes_the_same() {
    let device = Device::default().autodiff();
    for name in CHECKPOINTS {
        let anchor = load(name);
        let plan = LoraPlan::near(&anchor.decoder, 700).unwrap();
        let mut decoder = plan.apply(&anchor.decoder, 3, &device);
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let gradients = output(&decoder).tanh().sum().backward();
            let gradients = GradientsParams::from_grads(gradients, &decoder);
            decoder = optimizer.step(1e-2, decoder, gradients);
        }
        let adapted = decoder.valid();
        let merged = anchor.with_decoder(adapted.clone().materialize());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("merged");
        merged.save(&path, FloatType::F32).unwrap();
        let loaded = FrozenModel::load(&path, &LoadOptions::default()).unwrap();
        assert_close(output(&loaded.decoder), output(&adapted));
        assert_ne!(
            values(output(&loaded.decoder)),
            values(output(&anchor.decoder))
        );
        assert_eq!(
            loaded.weights_sha256().unwrap(),
            merged.weights_sha256().unwrap()
        );
    }
}
