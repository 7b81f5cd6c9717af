//! Held-out examples that a run is validated on.

use calm_data::Batch;
use calm_data::jsonl::{self, PromptTarget};
use calm_models::{CausalLm, Tokenizer, exact_match};

use super::config::{ValidationConfig, ValidationMetric};
use super::record::ValidationIdentity;
use super::split::DataSplit;
use crate::{HeldOut, Metric, Objective, TrainError, Validator};

/// Examples of which a score is taken unless another number is given.
const SCORED: usize = 100;

/// Data and score of a validation.
pub(super) struct ValidationData {
    pub(super) data: DataSplit,
    metric: Option<ValidationMetric>,
    /// Examples of which the score is taken.
    scored: Vec<PromptTarget>,
    tokenizer: Tokenizer,
    end_of_text: u32,
}

impl ValidationData {
    /// The examples of a file, of which `data` has the tokens.
    pub(super) fn new(
        config: &ValidationConfig,
        data: DataSplit,
        (tokenizer, end_of_text): (&Tokenizer, u32),
    ) -> Result<Self, TrainError> {
        let scored = match (&config.validation, config.validation_metric) {
            (Some(path), Some(_)) => {
                let mut examples = jsonl::read(path)?;
                examples.truncate(config.validation_examples.unwrap_or(SCORED));
                examples
            }
            _ => Vec::new(),
        };
        Ok(Self {
            data,
            metric: config.validation_metric,
            scored,
            tokenizer: tokenizer.clone(),
            end_of_text,
        })
    }

    pub(super) fn identity(&self) -> ValidationIdentity {
        ValidationIdentity {
            data_sha256: self.data.record.sha256.clone(),
            metric: self.metric,
            scored_examples: self.scored.len(),
        }
    }

    /// Validation by the loss that `objective` has, and by the answers of the model that `model`
    /// makes of the parameters.
    pub(super) fn validator<'a, O: Objective, M: CausalLm>(
        &'a self,
        objective: &'a O,
        model: impl Fn(&O::Parameters) -> M + 'a,
    ) -> Result<Box<dyn Validator<O::Parameters> + 'a>, TrainError> {
        let batches = &self.data.batches;
        let all = (0..batches.per_epoch()).map(|number| batches.batch(number));
        let held_out = HeldOut::new(objective, all.collect::<Result<Vec<Batch>, _>>()?);
        Ok(match self.metric {
            None => Box::new(held_out),
            Some(ValidationMetric::Exact) => {
                let scorer = move |parameters: &_| self.exact(&model(parameters));
                Box::new(held_out.scored_by(scorer))
            }
        })
    }

    fn exact(&self, model: &impl CausalLm) -> Result<Metric, TrainError> {
        let pairs = self.scored.iter();
        let pairs: Vec<_> = pairs.map(|pair| (&*pair.prompt, &*pair.target)).collect();
        let answers = exact_match(model, &self.tokenizer, self.end_of_text, &pairs)?;
        let hits = answers.iter().filter(|answer| answer.is_correct).count();
        Ok(Metric {
            name: "exact".to_owned(),
            value: 100.0 * hits as f64 / answers.len() as f64 / 100.0,
        })
    }
}
