//! Anchor masking in the course of a run.

use std::sync::Arc;

use calm_data::{Batch, Batches, Masking};

use crate::{TrainConfig, TrainError};

/// Hides words of prompts from the anchor while bridges are trained, the augmenting models reading the
/// true text, so that bridges become needed for what the anchor knows by itself.
#[derive(Debug, Clone)]
pub struct AnchorMasking {
    /// How words are hidden.
    pub masking: Arc<Masking>,
    /// Share of the words that are hidden, of those that may be, from 0 to 1.
    pub share: f64,
    /// Share of the steps, the last ones, over which that share falls to none, from 0 to 1.
    pub decay: f64,
}

impl AnchorMasking {
    /// Batch `number` of a run with these settings.
    ///
    /// # Errors
    ///
    /// [`TrainError::Data`] if the examples cannot be read any more.
    pub fn batch(
        &self,
        batches: &Batches,
        number: usize,
        train: &TrainConfig,
    ) -> Result<Batch, TrainError> {
        let share = self.share_at(number / train.accumulation, train.steps);
        Ok(batches.masked(number, &self.masking, share)?)
    }

    /// The share of words that are hidden once so many of the steps are done.
    pub fn share_at(&self, done: usize, steps: usize) -> f64 {
        let decaying = self.decay * steps as f64;
        let left = steps.saturating_sub(done) as f64;
        match decaying > 0.0 {
            true => self.share * (left / decaying).min(1.0),
            false => self.share,
        }
    }
}

#[cfg(test)]
mod tests {
    use calm_data::Placeholders;

    use super::*;

    #[test]
    fn masking_falls_to_none_over_the_last_steps() {
        let placeholders = Placeholders::new([vec![1]]).unwrap();
        let masking = |decay| AnchorMasking {
            masking: Arc::new(Masking::new(placeholders.clone(), 0)),
            share: 0.8,
            decay,
        };
        let shares = |decay| [0, 5, 8, 9].map(|done| masking(decay).share_at(done, 10));
        assert_eq!(shares(0.0), [0.8; 4]);
        assert_eq!(shares(0.4), [0.8, 0.8, 0.4, 0.2]);
        assert_eq!(masking(1.0).share_at(5, 10), 0.4);
    }
}
