//! Whoever watches the jobs of an experiment.

use calm_train::runs::Observer;

use super::JobEstimate;
use crate::plan::Job;

/// The whole of the work, told before it begins.
#[derive(Debug)]
pub struct Overview<'a> {
    /// All jobs.
    pub jobs: &'a [Job],
    /// For each, whether its results are there already.
    pub is_done: &'a [bool],
    /// For each, its time and memory.
    pub estimates: &'a [JobEstimate],
    /// Jobs that run at the same time.
    pub at_once: usize,
    /// Threads of each.
    pub threads: usize,
}

/// Watches the jobs of an experiment, and may end it. Jobs call it from their own threads.
pub trait Monitor: Sync {
    /// Work begins.
    fn begin(&self, overview: &Overview<'_>);

    /// A job begins. What is returned watches it, and is dropped at its end.
    fn job(&self, number: usize, job: &Job) -> Box<dyn JobMonitor + '_>;

    /// A job is done.
    fn done(&self, number: usize, job: &Job);

    /// Whether to stop after the step or batch at hand.
    fn wants_to_stop(&self) -> bool;
}

/// Watches one job: its training as an [`Observer`], then its evaluation.
pub trait JobMonitor: Observer {
    /// So many of a task's examples are answered.
    fn answered(&mut self, task: &str, done: usize, total: usize);
}
