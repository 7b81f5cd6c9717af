//! Held-out examples that a run is validated on.

use std::path::PathBuf;

use calm_lm::data::Batch;
use calm_lm::data::jsonl::{self, PromptTarget};
use calm_lm::eval::{accuracy, exact_match};
use calm_lm::models::{CausalLm, Tokenizer};
use calm_lm::train::{HeldOut, Metric, Objective, TrainError, Validator};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::training_data::TrainingData;
use crate::failure::Failure;

/// Examples of which a score is taken unless there are others given.
const SCORED: u32 = 100;

#[derive(Debug, Args)]
#[command(next_help_heading = "Validation")]
pub(super) struct ValidationArgs {
    /// Examples that are not trained on, as those of --train: the result is then the best
    /// checkpoint by their loss, not the last
    #[arg(long, value_name = "FILE")]
    pub(super) validation: Option<PathBuf>,
    /// Steps between validations, each of which makes a checkpoint [default: as for checkpoints]
    #[arg(long, value_name = "N", requires = "validation")]
    pub(super) validation_steps: Option<usize>,
    /// Stop after so many validations without a better one [default: never]
    #[arg(long, value_name = "N", requires = "validation")]
    pub(super) patience: Option<usize>,
    /// Choose the best checkpoint by a score, and by the loss only among equals
    #[arg(long, value_name = "NAME", value_enum, requires = "validation")]
    pub(super) validation_metric: Option<MetricName>,
    /// Examples of which the score is taken, the first of the file [default: 100]
    #[arg(
        long,
        value_name = "N",
        requires = "validation_metric",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) validation_examples: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum MetricName {
    /// Share of the answers that are the target token for token, decoded greedily
    Exact,
}

impl MetricName {
    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
        }
    }
}

/// What a run is validated on.
pub(super) struct ValidationData {
    pub(super) data: TrainingData,
    metric: Option<MetricName>,
    /// Those of which the metric is taken.
    scored: Vec<PromptTarget>,
    tokenizer: Tokenizer,
    end_of_text: u32,
}

impl ValidationData {
    /// The examples of a file, which are also there in tokens.
    pub(super) fn new(
        args: &ValidationArgs,
        data: TrainingData,
        (tokenizer, end_of_text): (&Tokenizer, u32),
    ) -> Result<Self, Failure> {
        let scored = match (&args.validation, args.validation_metric) {
            (Some(path), Some(_)) => {
                let mut examples = jsonl::read(path)?;
                examples.truncate(args.validation_examples.unwrap_or(SCORED) as usize);
                examples
            }
            _ => Vec::new(),
        };
        Ok(Self {
            data,
            metric: args.validation_metric,
            scored,
            tokenizer: tokenizer.clone(),
            end_of_text,
        })
    }

    /// What makes another validation of it: its data, and what is measured.
    pub(super) fn identity(&self) -> Value {
        json!({
            "data_sha256": self.data.provenance["sha256"],
            "metric": self.metric.map(MetricName::name),
            "scored_examples": self.scored.len(),
        })
    }

    /// Validation by the loss that `objective` has, and by what the model writes that `model`
    /// makes of the parameters.
    pub(super) fn validator<'a, O: Objective, M: CausalLm>(
        &'a self,
        objective: &'a O,
        model: impl Fn(&O::Parameters) -> M + 'a,
    ) -> Result<Box<dyn Validator<O::Parameters> + 'a>, Failure> {
        let batches = (0..self.data.batches().per_epoch()).map(|number| self.data.batch(number));
        let held_out = HeldOut::new(objective, batches.collect::<Result<Vec<Batch>, _>>()?);
        let Some(metric) = self.metric else {
            return Ok(Box::new(held_out));
        };
        let scorer = move |parameters: &_| self.score(metric, &model(parameters));
        Ok(Box::new(held_out.scored_by(scorer)))
    }

    fn score(&self, metric: MetricName, model: &impl CausalLm) -> Result<Metric, TrainError> {
        let value = match metric {
            MetricName::Exact => {
                let (tokenizer, end_of_text) = (&self.tokenizer, self.end_of_text);
                let samples = exact_match(model, tokenizer, end_of_text, &self.scored)?;
                accuracy(&samples).percent() / 100.0
            }
        };
        Ok(Metric {
            name: metric.name().to_owned(),
            value,
        })
    }
}
