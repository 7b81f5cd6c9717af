//! How good parameters are on data that is not trained on.

use std::fmt;

use burn::module::Module;
use calm_data::Batch;

use crate::{Metric, Objective, TrainError};

/// Result of a validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Mean cross-entropy per target token, in nats.
    pub loss: f64,
    /// The same where words are hidden from the anchor, as in training. If there is one, it decides
    /// which checkpoint is the best: what an anchor knows by itself says nothing of bridges.
    pub masked_loss: Option<f64>,
    /// A score of the task. If there is one, it decides before any loss.
    pub metric: Option<Metric>,
}

/// Something that parameters are held against between steps. It must be a function of them alone,
/// or a resumed run would end otherwise than one that was never interrupted.
pub trait Validator<P> {
    /// How good they are.
    ///
    /// # Errors
    ///
    /// Any error that keeps the parameters from being used.
    fn validate(&self, parameters: &P) -> Result<Score, TrainError>;
}

/// A score of the task, from parameters without autodiff.
type Scorer<'a, P> = Box<dyn Fn(&P) -> Result<Metric, TrainError> + 'a>;

/// Validation by the loss over held-out batches, and perhaps by a score.
pub struct HeldOut<'a, O: Objective> {
    objective: &'a O,
    batches: Vec<Batch>,
    /// The same, with words that the anchor does not see; nothing if it sees all.
    masked: Vec<Batch>,
    scorer: Option<Scorer<'a, O::Parameters>>,
}

impl<'a, O: Objective> HeldOut<'a, O> {
    /// Validation by the loss that `objective` has over these batches.
    pub fn new(objective: &'a O, batches: Vec<Batch>) -> Self {
        Self {
            objective,
            batches,
            masked: Vec::new(),
            scorer: None,
        }
    }

    /// Measures the loss over these batches, too: the same, with words that the anchor does not see.
    #[must_use]
    pub fn masked(self, masked: Vec<Batch>) -> Self {
        Self { masked, ..self }
    }

    /// Measures a score, too, with parameters that are without autodiff.
    #[must_use]
    pub fn scored_by(
        self,
        scorer: impl Fn(&O::Parameters) -> Result<Metric, TrainError> + 'a,
    ) -> Self {
        Self {
            scorer: Some(Box::new(scorer)),
            ..self
        }
    }
}

impl<O: Objective> Validator<O::Parameters> for HeldOut<'_, O> {
    /// The loss is weighted by target tokens, as that of a step is.
    fn validate(&self, parameters: &O::Parameters) -> Result<Score, TrainError> {
        let parameters = parameters.valid();
        let sum = |batch: &Batch| {
            let loss: f32 = self.objective.loss(&parameters, batch).into_scalar();
            f64::from(loss)
        };
        let mean = |batches: &[Batch]| {
            let loss: f64 = batches.iter().map(sum).sum();
            let target_tokens: usize = batches.iter().map(Batch::target_tokens).sum();
            loss / target_tokens as f64
        };
        let loss = mean(&self.batches);
        let masked_loss = (!self.masked.is_empty()).then(|| mean(&self.masked));
        let metric = self.scorer.as_ref().map(|scorer| scorer(&parameters));
        Ok(Score {
            loss,
            masked_loss,
            metric: metric.transpose()?,
        })
    }
}

impl<O: Objective> fmt::Debug for HeldOut<'_, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HeldOut")
            .field("batches", &self.batches.len())
            .field("is_scored", &self.scorer.is_some())
            .finish_non_exhaustive()
    }
}
