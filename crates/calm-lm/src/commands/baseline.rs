//! What bridges are compared with: the anchor alone, trained on the same data by the same loop.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::compose::LoraPlan;
use calm_lm::models::{Decoder, FrozenModel};
use calm_lm::train::LanguageModelling;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::footprint::Footprint;
use super::training::{Helpers, Training};
use super::training_data::TrainingData;
use crate::failure::Failure;
use crate::report::{Report, table};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Baseline {
    /// Low-rank adapters on the anchor, with as many parameters as the bridges would have
    Lora,
    /// The anchor with all its weights
    Finetune,
}

/// What is trained in the place of bridges, and what is known of it.
pub(super) struct Plan<'a> {
    pub(super) baseline: Baseline,
    pub(super) anchor: &'a FrozenModel,
    /// Parameters of the bridges, as stored.
    pub(super) bridge_parameters: usize,
    pub(super) seed: u64,
}

impl Plan<'_> {
    /// Trains the baseline and saves it as a checkpoint, the adapters merged into the weights.
    pub(super) fn run(
        &self,
        training: &Training<'_>,
        data: &TrainingData,
        device: &Device,
        out: &Path,
    ) -> Result<Report, Failure> {
        let lora = self.lora()?;
        let (device, decoder) = (device.clone().autodiff(), &self.anchor.decoder);
        let parameters = match lora {
            Some(plan) => plan.apply(decoder, self.seed, &device),
            None => decoder.clone().fork(&device).train(),
        };
        let trainable = match lora {
            Some(plan) => plan.parameters,
            None => decoder.num_params(),
        };
        let rank = lora.map(|plan| plan.rank);
        let name = match self.baseline {
            Baseline::Lora => "lora",
            Baseline::Finetune => "finetune",
        };
        let what = json!({
            name: { "anchor_sha256": self.anchor.weights_sha256()?, "rank": rank },
        });
        let objective = LanguageModelling::default();
        if training.is_dry() {
            let footprint = Footprint::of_decoder(decoder, trainable);
            return training.preview(&objective, parameters, data, &footprint, Vec::new());
        }
        let validation = data.validation.as_ref();
        let merged = |decoder: &Decoder| decoder.clone().materialize();
        let validator = validation.map(|data| data.validator(&objective, merged));
        let validator = validator.transpose()?;
        let helpers = Helpers {
            validator,
            crew: None,
        };
        let settings = training.settings(data, &what);
        let trained = training.run(name, &objective, parameters, data, helpers, &settings)?;
        let decoder = trained.parameters.valid().materialize();
        let model = self.anchor.with_decoder(decoder);
        model.save(out, FloatType::F32)?;
        let counts = json!({
            "baseline": name,
            "rank": rank,
            "trainable_parameters": trainable,
            "bridge_parameters": self.bridge_parameters,
        });
        Ok(report(out, &counts, &trained.provenance))
    }

    fn lora(&self) -> Result<Option<LoraPlan>, Failure> {
        Ok(match self.baseline {
            Baseline::Finetune => None,
            Baseline::Lora => Some(LoraPlan::near(
                &self.anchor.decoder,
                self.bridge_parameters,
            )?),
        })
    }
}

fn report(out: &Path, counts: &Value, training: &Value) -> Report {
    let count = |name: &str| counts[name].as_i64().unwrap_or_default();
    let [trainable, bridges] = [count("trainable_parameters"), count("bridge_parameters")];
    let mut rows = vec![("written to", out.display().to_string())];
    if let Some(rank) = counts["rank"].as_u64() {
        rows.push(("rank", rank.to_string()));
    }
    rows.extend([
        (
            "trained parameters",
            format!(
                "{trainable}, {:+} ({:+.2} %) beside the {bridges} of the bridges",
                trainable - bridges,
                100.0 * (trainable - bridges) as f64 / bridges.max(1) as f64
            ),
        ),
        ("final loss", training["final_loss"].to_string()),
        ("seconds", training["seconds"].to_string()),
    ]);
    let mut json = counts.clone();
    json["out"] = json!(out);
    json["training"] = training.clone();
    Report::new(table(&rows), json)
}
