//! Evaluations that a table is made of, and how it is made.

use std::path::PathBuf;

use calm_eval::run::{Results, Sample};

/// The evaluation of a system on a task.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// Id of the system.
    pub system: String,
    /// Id of the task.
    pub task: String,
    /// The seed; none for a system that is not trained.
    pub seed: Option<u64>,
    /// Scores.
    pub results: Results,
    /// Every answer.
    pub samples: Vec<Sample>,
    /// Directory of the evaluation.
    pub directory: PathBuf,
    /// Wall-clock seconds that it took.
    pub seconds: f64,
}

/// Numbers of random trials, and their seed. The same ones give the same table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableOptions {
    /// Trials of a randomisation test. The least p is 1 / (trials + 1). Of many comparisons, there are
    /// at least 100 for each: with fewer, none could be significant after correction.
    pub trials: usize,
    /// Resamples of a bootstrap.
    pub resamples: usize,
    /// Seed of both.
    pub seed: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            trials: 10_000,
            resamples: 1000,
            seed: 0,
        }
    }
}
