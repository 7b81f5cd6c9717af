//! Examples that share a row have the loss and the gradients that they have alone, in every family.

use std::collections::BTreeMap;
use std::fs;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use calm_data::{Batch, TokenizedExample};
use calm_models::{Decoder, DecoderConfig, LoadOptions};
use calm_train::{LanguageModelling, Objective};

/// Of several lengths, with prompts and without; ids that every fixture has.
fn examples() -> Vec<TokenizedExample> {
    let example = |number: u32| {
        TokenizedExample::new(
            (0..3 + number * 2)
                .map(|i| 1 + (number * 11 + i * i) % 40)
                .collect(),
            1 + number as usize % 3,
        )
    };
    (0..5).map(example).collect()
}

/// The examples in rows: three in one row, two in another.
fn packed(examples: &[TokenizedExample]) -> Batch {
    let numbered: Vec<_> = examples.iter().enumerate().collect();
    Batch::collate_rows(&[&numbered[..3], &numbered[3..]], 0)
}

/// The sum of gradients, by the number of the parameter in the module.
#[derive(Default)]
struct Sum(BTreeMap<usize, Vec<f64>>);

impl Sum {
    fn add(&mut self, decoder: &Decoder, gradients: &GradientsParams) {
        struct Visitor<'a>(usize, &'a mut Sum, &'a GradientsParams);
        impl ModuleVisitor for Visitor<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.2.get::<D>(param.id) {
                    let values: Vec<f64> = gradient.into_data().iter().collect();
                    let sum = self.1.0.entry(self.0);
                    let sum = sum.or_insert_with(|| vec![0.0; values.len()]);
                    sum.iter_mut()
                        .zip(values)
                        .for_each(|(sum, value)| *sum += value);
                }
                self.0 += 1;
            }
        }
        decoder.visit(&mut Visitor(0, self, gradients));
    }

    /// `‖a - b‖ / ‖b‖` over all parameters.
    fn deviation(&self, other: &Self) -> f64 {
        assert!(self.0.keys().eq(other.0.keys()), "the same parameters move");
        let norm = |values: &mut dyn Iterator<Item = f64>| {
            values.map(|value| value * value).sum::<f64>().sqrt()
        };
        let pairs = || self.0.values().flatten().zip(other.0.values().flatten());
        norm(&mut pairs().map(|(a, b)| a - b)) / norm(&mut pairs().map(|(_, b)| *b))
    }
}

fn compare(name: &str, decoder: &Decoder) {
    let (examples, objective) = (examples(), LanguageModelling::default());
    let (mut together, mut alone) = (Sum::default(), Sum::default());
    let (loss, gradients) = objective.gradients(decoder, &packed(&examples));
    together.add(decoder, &gradients);
    let mut expected = 0.0;
    for example in examples.iter().enumerate() {
        let (loss, gradients) = objective.gradients(decoder, &Batch::collate([example], 0));
        expected += loss;
        alone.add(decoder, &gradients);
    }
    assert!(
        (loss / expected - 1.0).abs() < 1e-5,
        "{name}: {loss} {expected}"
    );
    let deviation = together.deviation(&alone);
    assert!(
        deviation < 1e-5,
        "{name}: gradients are {deviation:e} apart"
    );
}

#[test]
fn examples_in_a_row_learn_what_they_learn_alone() {
    let fixtures = calm_testing::fixtures("calm-models");
    let mut families = 0;
    for entry in fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        let directory = entry.path();
        if !directory.join("model.safetensors").exists() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        let decoder = Decoder::load(&directory, &LoadOptions::default()).unwrap();
        let device = decoder.device().autodiff();
        compare(&name, &decoder.fork(&device).train());
        families += 1;
    }
    assert!(families >= 11, "{families} checkpoints");
}

#[test]
fn examples_in_a_row_know_nothing_of_each_other() {
    let device = Device::default().autodiff();
    let decoder = Decoder::untrained(&DecoderConfig::llama(48, 8, 2, 2), 2, &device);
    let loss_of_the_last = |first: u32| {
        let mut examples = examples();
        examples[0].ids[1] = first;
        let mut batch = packed(&examples);
        // Of the first row, the loss of its last example alone.
        let last = batch.starts[1];
        let places = batch.loss_positions.iter().zip(&batch.targets);
        let own = places.filter(|(place, _)| (last..batch.length as u32).contains(place));
        (batch.loss_positions, batch.targets) =
            own.map(|(place, target)| (*place, *target)).unzip();
        assert!(!batch.targets.is_empty());
        let loss = LanguageModelling::default().loss(&decoder, &batch);
        loss.into_scalar::<f32>().to_bits()
    };
    assert_eq!(loss_of_the_last(3), loss_of_the_last(12));
}
