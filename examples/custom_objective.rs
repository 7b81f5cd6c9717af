//! Trains bridges by an objective of one's own: cross-entropy, and a price on all that the bridges
//! may add to the anchor, so that a composition stays near its anchor where it gains nothing.
//!
//! ```sh
//! cargo run --release --example custom_objective -- 20
//! ```

use std::ops::ControlFlow;
use std::path::Path;

use calm_lm::Error;
use calm_lm::burn::module::Module;
use calm_lm::burn::tensor::Tensor;
use calm_lm::compose::{Bridges, Composition, CompositionConfig, ConnectionPlan, LoadedModel};
use calm_lm::data::{Batch, Batches, Examples, tokenize};
use calm_lm::models::LoadOptions;
use calm_lm::train::{BridgeTraining, DataTokenizer, Objective, TrainConfig, Trainer, calibrate};

/// The loss of [`BridgeTraining`], and `price` for each unit of the mean square of W_O.
pub(crate) struct Priced<'a> {
    /// The loss that has no price.
    pub(crate) training: BridgeTraining<'a>,
    /// Nats per token for a mean square of 1.
    pub(crate) price: f64,
}

impl Objective for Priced<'_> {
    type Parameters = Bridges;

    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        let sizes = bridges.of.iter().flatten();
        let sizes = sizes.map(|bridge| bridge.output.weight.val().square().mean());
        let size = sizes.reduce(|one, other| one + other);
        // A loss is a sum over target tokens. The trainer divides by their number.
        let tokens = batch.target_tokens() as f64;
        let loss = self.training.loss(bridges, batch);
        match size {
            Some(size) => loss + size * (self.price * tokens),
            None => loss,
        }
    }
}

/// Two models, an anchor and one that it reads.
pub(crate) fn joined(checkpoints: &Path) -> Result<Composition, Error> {
    let options = LoadOptions::default();
    let load = |name: &str| -> Result<LoadedModel, Error> {
        let path = checkpoints.join(name).display().to_string();
        Ok(LoadedModel::load(&path.parse()?, &options)?)
    };
    let augmenting = vec![(load("kv-augmenting")?, ConnectionPlan::Every(2))];
    let config = CompositionConfig::default();
    Ok(Composition::new(
        load("kv-anchor")?,
        augmenting,
        &config,
        0,
    )?)
}

/// Trains at this price, and returns the root mean square of all W_O together.
pub(crate) fn train(composition: &mut Composition, steps: usize, price: f64) -> Result<f64, Error> {
    let tokenizer = DataTokenizer(composition.tokenizer());
    let pairs = [
        ("1 + 2 =", "3"),
        ("7 - 4 =", "3"),
        ("5 + 5 =", "1 0"),
        ("9 - 9 =", "0"),
    ];
    let examples = pairs.iter().enumerate();
    let examples =
        examples.map(|(n, (prompt, target))| tokenize(&tokenizer, n, prompt, target, 2, 64));
    let examples = examples.collect::<Result<Examples, _>>()?;
    let batches = Batches::new(examples, pairs.len(), 0, 0);

    let parts = &composition.model.parts;
    let device = composition.device().autodiff();
    let bridges = composition.model.bridges.clone().fork(&device).train();
    let bridges = calibrate(parts, bridges, &batches.batch(0)?)?;
    let training = BridgeTraining::new(parts);
    let objective = Priced { training, price };
    let config = TrainConfig {
        warmup_steps: 2,
        ..TrainConfig::default().with_steps(steps)
    };
    let mut trainer = Trainer::new(&objective, bridges, config, None)?;
    let source = |number| Ok(batches.batch(number)?);
    trainer.run(&source, |_| ControlFlow::Continue(()))?;
    composition.model.bridges = trainer.into_parameters().valid();

    let outputs = composition.model.bridges.of.iter().flatten();
    let squares = outputs.map(|bridge| bridge.output.weight.val().square().mean());
    let mut sum = 0.0;
    for square in squares {
        sum += f64::from(square.try_into_vec_as::<f32>()?[0]);
    }
    Ok(sum.sqrt())
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<(), Error> {
    let steps = std::env::args().nth(1).and_then(|steps| steps.parse().ok());
    for price in [0.0, 1.0, 1000.0] {
        let mut composition = joined(Path::new("datasets/checkpoints"))?;
        let size = train(&mut composition, steps.unwrap_or(20), price)?;
        println!("price {price}: root mean square of W_O {size:.5}");
    }
    Ok(())
}
