//! Masking in the course of a run.

use std::sync::Arc;

use calm_compose::RowTokens;
use calm_data::{Batch, Batches, Masking, MaskingShares};

use crate::{TrainConfig, TrainError};

/// Hides words of prompts from the anchor while bridges are trained, the augmenting models reading the
/// true text, so that bridges become needed for what the anchor knows by itself; and other words from
/// the augmenting models, so that bridges learn when to say nothing.
#[derive(Debug, Clone)]
pub struct AnchorMasking {
    /// How words are hidden.
    pub masking: Arc<Masking>,
    /// Shares of the words that are hidden, of those that may be.
    pub shares: MaskingShares,
    /// Share of the steps, the last ones, over which that of the anchor falls to none, from 0 to 1.
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
        let shares = self.shares_at(number / train.accumulation, train.steps);
        Ok(batches.masked(number, &self.masking, shares)?)
    }

    /// Refuses to hide words from augmenting models that read other `tokens` than the anchor's: of
    /// placeholders these might be more than a model can read.
    pub(crate) fn check_tokens(&self, tokens: Option<&[RowTokens]>) -> Result<(), TrainError> {
        if tokens.is_none() || self.shares.augmenting == 0.0 {
            return Ok(());
        }
        let reason = "hides words of models that read the anchor's tokens, and one has a tokenizer of its \
                      own; leave it out";
        Err(TrainError::setting("mask-augmenting", reason))
    }

    /// The shares of words that are hidden once so many of the steps are done.
    pub fn shares_at(&self, done: usize, steps: usize) -> MaskingShares {
        let decaying = self.decay * steps as f64;
        let left = steps.saturating_sub(done) as f64;
        let of_full = match decaying > 0.0 {
            true => (left / decaying).min(1.0),
            false => 1.0,
        };
        MaskingShares {
            anchor: self.shares.anchor * of_full,
            ..self.shares
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
            shares: MaskingShares {
                anchor: 0.8,
                augmenting: 0.1,
            },
            decay,
        };
        let shares = |decay| {
            [0, 5, 8, 9].map(|done| {
                let shares = masking(decay).shares_at(done, 10);
                assert_eq!(shares.augmenting, 0.1);
                shares.anchor
            })
        };
        assert_eq!(shares(0.0), [0.8; 4]);
        assert_eq!(shares(0.4), [0.8, 0.8, 0.4, 0.2]);
        assert_eq!(shares(1.0)[1], 0.4);
    }
}
