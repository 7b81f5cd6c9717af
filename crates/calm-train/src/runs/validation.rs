//! Held-out examples that a run is validated on.

use std::path::Path;

use calm_compose::ComposedPrompt;
use calm_data::{Batch, DataError, ExampleForm, ExampleReader, Record, TooLong};
use calm_models::{AnswerOptions, CausalLm, Question, Tokenizer, answer};

use super::config::{ValidationConfig, ValidationMetric};
use super::plan::TextPlan;
use super::record::ValidationIdentity;
use super::split::{DataSplit, HeldOutPart};
use crate::{
    AnchorMasking, DataTokenizer, HeldOut, Metric, Objective, Questions, TrainError, Validator,
};

/// Examples of which a score is taken unless another number is given.
const SCORED: usize = 100;

/// Data and score of a validation.
pub(super) struct ValidationData {
    pub(super) data: DataSplit,
    metric: Option<ValidationMetric>,
    /// Examples of which the score is taken.
    scored: Vec<Question<ComposedPrompt>>,
    /// Number of examples that were held out of the training data.
    held_out: Option<usize>,
    tokenizer: Tokenizer,
    stop_ids: Vec<u32>,
}

impl ValidationData {
    /// The examples of a file, of which `data` has the tokens.
    pub(super) fn of_file(
        config: &ValidationConfig,
        path: &Path,
        data: DataSplit,
        plan: &TextPlan<'_>,
        form: &ExampleForm,
    ) -> Result<Self, TrainError> {
        let count = config.validation_examples.unwrap_or(SCORED);
        let records = match config.validation_metric {
            Some(_) => ExampleReader::read(path, form, Some(count))?,
            None => Vec::new(),
        };
        Self::new(config, path, data, records, plan)
    }

    /// Examples that were held out of a file.
    pub(super) fn of_part(
        config: &ValidationConfig,
        path: &Path,
        part: HeldOutPart,
        plan: &TextPlan<'_>,
        form: &ExampleForm,
    ) -> Result<Self, TrainError> {
        let records = match config.validation_metric {
            Some(_) => scored(path, &part, form)?,
            None => Vec::new(),
        };
        let held_out = Self::new(config, path, part.split, records, plan)?;
        Ok(Self {
            held_out: Some(part.numbers.len()),
            ..held_out
        })
    }

    fn new(
        config: &ValidationConfig,
        path: &Path,
        data: DataSplit,
        mut records: Vec<Record>,
        plan: &TextPlan<'_>,
    ) -> Result<Self, TrainError> {
        let (mut scored, mut stop_ids) = (Vec::new(), vec![plan.end_of_text]);
        if !records.is_empty() {
            records.truncate(config.validation_examples.unwrap_or(SCORED));
            let tokenizer = DataTokenizer(plan.tokenizer);
            let questions = Questions {
                tokenizing: plan.tokenizing(&tokenizer, TooLong::Error),
                chat: plan.chat,
            };
            stop_ids = questions.stop_ids(&records);
            let asked = records.iter().enumerate();
            let asked = asked.map(|(number, record)| Ok(questions.of(number, record)?.question));
            scored =
                asked
                    .collect::<Result<_, DataError>>()
                    .map_err(|source| DataError::Example {
                        path: path.to_owned(),
                        source: Box::new(source),
                    })?;
        }
        Ok(Self {
            data,
            metric: config.validation_metric,
            scored,
            held_out: None,
            tokenizer: plan.tokenizer.clone(),
            stop_ids,
        })
    }

    pub(super) fn identity(&self) -> ValidationIdentity {
        ValidationIdentity {
            data_sha256: self.data.record.sha256.clone(),
            metric: self.metric,
            scored_examples: self.scored.len(),
            held_out: self.held_out,
        }
    }

    /// Validation by the loss that `objective` has, also where `masking` hides words,
    /// and by the answers of the model that `model` makes of the parameters.
    pub(super) fn validator<'a, O: Objective, M: CausalLm>(
        &'a self,
        objective: &'a O,
        model: impl Fn(&O::Parameters) -> M + 'a,
        masking: Option<&AnchorMasking>,
    ) -> Result<Box<dyn Validator<O::Parameters> + 'a>, TrainError>
    where
        ComposedPrompt: Into<M::Prompt>,
    {
        let batches = &self.data.batches;
        let all = (0..batches.per_epoch()).map(|number| batches.batch(number));
        let mut held_out = HeldOut::new(objective, all.collect::<Result<Vec<Batch>, _>>()?);
        if let Some(AnchorMasking {
            masking, shares, ..
        }) = masking
        {
            let all = 0..batches.per_epoch();
            let masked = all.map(|number| batches.masked(number, masking, *shares));
            held_out = held_out.masked(masked.collect::<Result<Vec<Batch>, _>>()?);
        }
        Ok(match self.metric {
            None => Box::new(held_out),
            Some(ValidationMetric::Exact) => {
                let scorer = move |parameters: &_| self.exact(&model(parameters));
                Box::new(held_out.scored_by(scorer))
            }
        })
    }

    fn exact<M: CausalLm>(&self, model: &M) -> Result<Metric, TrainError>
    where
        ComposedPrompt: Into<M::Prompt>,
    {
        let options = AnswerOptions {
            stop_ids: self.stop_ids.clone(),
            ..AnswerOptions::default()
        };
        let answers = answer(model, &self.tokenizer, &options, &self.scored)?;
        let hits = answers.iter().filter(|answer| answer.is_correct).count();
        Ok(Metric {
            name: "exact".to_owned(),
            value: 100.0 * hits as f64 / answers.len() as f64 / 100.0,
        })
    }
}

/// The examples that were held out of a file.
fn scored(path: &Path, part: &HeldOutPart, form: &ExampleForm) -> Result<Vec<Record>, TrainError> {
    let all = ExampleReader::read(path, form, None)?;
    if all.len() != part.of {
        let reason = "needs --validation where examples are left out or cut";
        return Err(TrainError::setting("validation-metric", reason));
    }
    let is_held_out = |number: &u32| part.numbers.binary_search(number).is_ok();
    let numbered = (0u32..).zip(all);
    let held_out = numbered.filter(|(number, _)| is_held_out(number));
    Ok(held_out.map(|(_, record)| record).collect())
}
