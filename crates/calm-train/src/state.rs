//! Where a run is, besides its parameters and its optimiser.

use serde::{Deserialize, Serialize};

use crate::ValidationMetrics;

/// Everything that decides how a run goes on and is neither a tensor nor a setting. The position
/// in the data, that in the schedule and the state of whatever is drawn are functions of the step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// Steps done, skipped ones included.
    pub(crate) step: usize,
    /// Steps that moved nothing.
    pub(crate) skipped: usize,
    /// The last of these without another step between them.
    pub(crate) skipped_in_a_row: usize,
    /// The best validation.
    pub(crate) best: Option<ValidationMetrics>,
    /// Validations after it.
    pub(crate) validations_since_best: usize,
}

impl RunState {
    /// Takes note of a validation and tells whether it is the best so far: by the score, if one is
    /// measured, and among equals by the loss, where words are hidden by that. A loss that is not finite
    /// is never the best.
    pub(crate) fn validated(&mut self, found: &ValidationMetrics) -> bool {
        let score = |metrics: &ValidationMetrics| {
            let score = metrics.metric.as_ref().map_or(0.0, |metric| metric.value);
            (score, -metrics.deciding_loss())
        };
        let is_best = found.deciding_loss().is_finite()
            && self
                .best
                .as_ref()
                .is_none_or(|best| score(found) > score(best));
        if is_best {
            self.best = Some(found.clone());
            self.validations_since_best = 0;
        } else {
            self.validations_since_best += 1;
        }
        is_best
    }

    /// The checkpoint that must not be deleted as long as this one is there.
    pub(crate) fn best_step(&self) -> Option<usize> {
        self.best.as_ref().map(|best| best.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;

    fn found(step: usize, loss: f64, score: Option<f64>) -> ValidationMetrics {
        let metric = score.map(|value| Metric {
            name: "exact".to_owned(),
            value,
        });
        ValidationMetrics {
            step,
            loss,
            masked_loss: None,
            metric,
            seconds: 0.0,
        }
    }

    /// The step that is best after all of these, and the validations since.
    fn best(validations: &[(f64, Option<f64>)]) -> (Option<usize>, usize) {
        let mut state = RunState::default();
        for (step, (loss, score)) in validations.iter().enumerate() {
            state.validated(&found(step, *loss, *score));
        }
        (state.best_step(), state.validations_since_best)
    }

    #[test]
    fn the_best_is_that_of_the_least_loss_or_the_highest_score() {
        let losses = [(3.0, None), (1.0, None), (2.0, None), (1.0, None)];
        assert_eq!(best(&losses), (Some(1), 2), "of equals the first");
        let scores = [(3.0, Some(0.5)), (1.0, Some(0.4)), (2.5, Some(0.5))];
        assert_eq!(best(&scores), (Some(2), 0), "of equal scores by loss");
    }

    #[test]
    fn what_is_not_finite_is_never_the_best() {
        assert_eq!(best(&[(f64::NAN, None), (f64::INFINITY, None)]), (None, 2));
        let late = [(f64::NAN, Some(1.0)), (2.0, Some(0.1)), (f64::NAN, None)];
        assert_eq!(best(&late), (Some(1), 1));
    }
}
