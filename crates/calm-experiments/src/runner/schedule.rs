//! Which job runs when: as many at a time as threads and memory allow, each on its share of the
//! threads. To cut the small operations of small models up costs more than it gains.

use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::evaluate::{self, is_evaluated};
use super::{Estimates, Monitor, Outcome, Overview, RunnerOptions, train};
use crate::ExperimentError;
use crate::plan::{Job, Plan};

/// Jobs of a plan that are under way.
struct Queue {
    /// Results of jobs that are done.
    outcomes: Vec<Option<Outcome>>,
    begun: Vec<bool>,
    /// Bytes that running jobs take.
    taken: u64,
    running: usize,
    failed: Option<ExperimentError>,
}

/// Runs all jobs, and returns their results in the order of the plan.
pub(super) fn run_all(
    plan: &Plan,
    estimates: &Estimates,
    options: &RunnerOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Outcome>, ExperimentError> {
    let jobs = &plan.jobs;
    let is_done: Vec<bool> = jobs.iter().map(|job| is_done(plan, job)).collect();
    let open = is_done.iter().filter(|done| !**done).count();
    let all_threads = calm_backend::threads();
    let at_once = options.jobs.unwrap_or(all_threads).clamp(1, open.max(1));
    estimates.check_memory(plan, &is_done)?;
    monitor.begin(&Overview {
        jobs,
        is_done: &is_done,
        estimates: &estimates.jobs,
        at_once,
        threads: (all_threads / at_once).max(1),
    });
    let queue = Mutex::new(Queue {
        outcomes: jobs.iter().map(|_| None).collect(),
        begun: vec![false; jobs.len()],
        taken: 0,
        running: 0,
        failed: None,
    });
    let schedule = Schedule {
        plan,
        estimates,
        options,
        monitor,
        at_once,
        queue,
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| schedule.work(all_threads / at_once));
        }
    });
    let queue = schedule
        .queue
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let done = queue.outcomes.iter().flatten().count();
    match queue.failed {
        Some(error) => Err(error),
        None if done < jobs.len() => Err(ExperimentError::Interrupted {
            done,
            jobs: jobs.len(),
        }),
        None => Ok(queue.outcomes.into_iter().flatten().collect()),
    }
}

/// Whether the results of a job are there.
fn is_done(plan: &Plan, job: &Job) -> bool {
    let is_trained = job.seed.is_none() || train::is_trained(plan, job);
    let tasks = plan.tasks.iter();
    let mut cells = tasks.filter(|_| job.system.is_some());
    is_trained && cells.all(|task| is_evaluated(&plan.store.cell(&job.cell(task))))
}

struct Schedule<'a> {
    plan: &'a Plan,
    estimates: &'a Estimates,
    options: &'a RunnerOptions,
    monitor: &'a dyn Monitor,
    at_once: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Schedule<'_> {
    /// Does jobs until there is none left.
    fn work(&self, threads: usize) {
        while let Some(number) = self.take() {
            let job = &self.plan.jobs[number];
            let outcome = on_threads(threads.max(1), || self.do_job(number, job));
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.taken -= self.estimates.jobs[number].memory_bytes;
            queue.running -= 1;
            match outcome {
                Ok(outcome) => {
                    queue.outcomes[number] = outcome;
                    if queue.outcomes[number].is_some() {
                        self.monitor.done(number, job);
                    }
                }
                Err(error) => {
                    queue.failed.get_or_insert(error);
                }
            }
            self.changed.notify_all();
        }
    }

    /// The next job that can begin, once there is room for it.
    fn take(&self) -> Option<usize> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.failed.is_some() || self.monitor.wants_to_stop() {
                return None;
            }
            let mut numbers = 0..self.plan.jobs.len();
            if let Some(number) = numbers.find(|number| self.can_begin(&queue, *number)) {
                queue.begun[number] = true;
                queue.running += 1;
                queue.taken += self.estimates.jobs[number].memory_bytes;
                return Some(number);
            }
            if queue.begun.iter().all(|begun| *begun) || queue.running == 0 {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn can_begin(&self, queue: &Queue, number: usize) -> bool {
        let job = &self.plan.jobs[number];
        let is_made = |key: &String| {
            let jobs = self.plan.jobs.iter().zip(&queue.outcomes);
            let mut makers = jobs.filter(|(job, _)| job.key == *key);
            makers.all(|(_, outcome)| outcome.is_some())
        };
        let taken = queue.taken + self.estimates.jobs[number].memory_bytes;
        let fits = queue.running == 0 || self.estimates.available.is_none_or(|all| taken <= all);
        // Two systems that are trained alike are one result: the second waits for the first.
        let twin = (0..number).find(|other| self.plan.jobs[*other].key == job.key);
        let is_free = twin.is_none_or(|twin| queue.outcomes[twin].is_some());
        !queue.begun[number] && fits && is_free && job.needs.iter().all(is_made)
    }

    /// Does a job. None if it was interrupted; a panic of a library is an error like any other.
    fn do_job(&self, number: usize, job: &Job) -> Result<Option<Outcome>, ExperimentError> {
        let done = calm_files::guard(|| self.train_and_evaluate(number, job));
        done.unwrap_or_else(|reason| {
            let job = job.title.clone();
            Err(ExperimentError::Panic { job, reason })
        })
    }

    fn train_and_evaluate(
        &self,
        number: usize,
        job: &Job,
    ) -> Result<Option<Outcome>, ExperimentError> {
        let (plan, options) = (self.plan, self.options);
        let is_reused = is_done(plan, job);
        let mut monitor = self.monitor.job(number, job);
        let trained = train::train(plan, job, options, self.at_once, &mut *monitor)?;
        let ControlFlow::Continue(run) = trained else {
            return Ok(None);
        };
        let found = evaluate::evaluate(plan, job, options, self.monitor, &mut *monitor)?;
        let ControlFlow::Continue((evaluated, attention)) = found else {
            return Ok(None);
        };
        Ok(Some(Outcome {
            evaluated,
            attention,
            // A model that systems are made of is no row of the table.
            runs: run.into_iter().filter(|_| job.system.is_some()).collect(),
            is_reused,
        }))
    }
}

/// The result of `work`, computed on so many threads.
fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T, ExperimentError> + Send,
) -> Result<T, ExperimentError> {
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(work),
        // The threads of all others are slower, and as right.
        Err(_) => work(),
    }
}
