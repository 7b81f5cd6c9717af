//! Held-out examples that a run is validated on.

use std::path::PathBuf;

use calm_lm::data::jsonl::PromptTarget;
use calm_lm::data::{Batch, Batches, TokenizedExample};
use calm_lm::eval::{accuracy, exact_match};
use calm_lm::models::{CausalLm, Tokenizer};
use calm_lm::train::{HeldOut, Metric, Objective, TrainError, Validator};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

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
    /// Examples of which the score is taken, the first of the file
    #[arg(
        long,
        value_name = "N",
        requires = "validation_metric",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) validation_examples: u32,
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
    batches: Batches,
    metric: Option<MetricName>,
    /// Those of which the metric is taken.
    scored: Vec<PromptTarget>,
    tokenizer: Tokenizer,
    end_of_text: u32,
    sha256: String,
}

impl ValidationData {
    /// The examples of a file with this hash, and the same in tokens, as batches.
    pub(super) fn new(
        args: &ValidationArgs,
        mut examples: Vec<PromptTarget>,
        batches: Batches,
        (tokenizer, end_of_text): (&Tokenizer, u32),
        sha256: String,
    ) -> Self {
        let scored = args
            .validation_metric
            .map_or(0, |_| args.validation_examples);
        examples.truncate(scored as usize);
        Self {
            batches,
            metric: args.validation_metric,
            scored: examples,
            tokenizer: tokenizer.clone(),
            end_of_text,
            sha256,
        }
    }

    pub(super) fn examples(&self) -> &[TokenizedExample] {
        self.batches.examples()
    }

    /// What makes another validation of it: its data, and what is measured.
    pub(super) fn identity(&self) -> Value {
        json!({
            "data_sha256": self.sha256,
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
    ) -> Box<dyn Validator<O::Parameters> + 'a> {
        let batches = (0..self.batches.per_epoch()).map(|number| self.batches.batch(number));
        let held_out = HeldOut::new(objective, batches.collect::<Vec<Batch>>());
        let Some(metric) = self.metric else {
            return Box::new(held_out);
        };
        Box::new(held_out.scored_by(move |parameters| self.score(metric, &model(parameters))))
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
