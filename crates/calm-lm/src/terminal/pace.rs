//! Speed and peak memory of a training run.

use std::collections::VecDeque;

use calm_train::StepMetrics;

/// Steps that the speed is a mean of; that of a single batch of long texts would jump.
const STEPS: usize = 20;

/// The last steps of this process.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Target tokens of each, and when it was done.
    last: VecDeque<(usize, f64)>,
    /// When the step before them was done.
    before: f64,
}

impl Pace {
    /// Target tokens per second, this step included.
    pub(super) fn tokens_per_second(&mut self, metrics: &StepMetrics) -> f64 {
        self.last
            .push_back((metrics.target_tokens, metrics.seconds));
        if self.last.len() > STEPS
            && let Some((_, seconds)) = self.last.pop_front()
        {
            self.before = seconds;
        }
        let tokens: usize = self.last.iter().map(|(tokens, _)| tokens).sum();
        tokens as f64 / (metrics.seconds - self.before).max(f64::MIN_POSITIVE)
    }
}

/// The most memory that this process has held, in MiB, where the system tells.
pub(super) fn peak_memory_mib() -> Option<u64> {
    calm_backend::peak_memory().map(|bytes| bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_last_steps() {
        let mut pace = Pace::default();
        let mut step = |step: usize, seconds| {
            pace.tokens_per_second(&StepMetrics {
                step,
                target_tokens: 30,
                seconds,
                ..StepMetrics::default()
            })
        };
        assert_eq!(step(1, 3.0), 10.0);
        assert_eq!(step(2, 4.0), 15.0);
        for number in 3..=42 {
            step(number, number as f64 + 2.0);
        }
        assert_eq!(step(43, 45.0), 30.0, "the slow one is forgotten");
    }
}
