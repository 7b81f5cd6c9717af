//! Progress of all jobs of an experiment: one line for the whole, with the time that is left, and on
//! a terminal a bar for each job that runs.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use calm_experiments::plan::Job;
use calm_experiments::runner::{JobMonitor, Monitor, Overview};
use calm_train::runs::{Observer, RunEvent};

use super::{Progress, interrupt};

/// Parts of the whole that are shown.
const PARTS: usize = 1000;
/// Seconds of an example, until one was answered.
const SECONDS_PER_EXAMPLE: f64 = 0.005;

/// Shows the jobs of an experiment, and ends them after Ctrl-C.
pub struct ExperimentDisplay {
    name: String,
    is_quiet: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    whole: Option<Progress>,
    jobs: Vec<JobState>,
    /// Seconds and examples of the evaluations so far.
    answering: (f64, usize),
}

/// Work of a job, and what is done of it.
#[derive(Default)]
struct JobState {
    seconds_of_training: f64,
    trained_share: f64,
    examples: usize,
    answered: usize,
    is_done: bool,
}

impl JobState {
    /// Seconds of all of it, and of what is done.
    fn seconds(&self, of_example: f64) -> [f64; 2] {
        let all = self.seconds_of_training + of_example * self.examples as f64;
        if self.is_done {
            return [all, all];
        }
        let answered = self.answered.min(self.examples) as f64;
        let done = self.seconds_of_training * self.trained_share + of_example * answered;
        [all, done]
    }
}

impl ExperimentDisplay {
    /// Shows the experiment of this name, or nothing at all.
    pub fn new(name: &str, is_quiet: bool) -> Self {
        interrupt::listen();
        Self {
            name: name.to_owned(),
            is_quiet,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of a job, and shows the whole.
    fn update(&self, number: usize, change: impl FnOnce(&mut JobState)) {
        let mut state = self.state();
        if let Some(job) = state.jobs.get_mut(number) {
            change(job);
        }
        state.show();
    }
}

impl State {
    fn show(&mut self) {
        let of_example = match self.answering {
            (_, 0) => SECONDS_PER_EXAMPLE,
            (seconds, examples) => seconds / examples as f64,
        };
        let jobs = self.jobs.iter().map(|job| job.seconds(of_example));
        let [all, done] = jobs.fold([0.0, 0.0], |sum, job| [sum[0] + job[0], sum[1] + job[1]]);
        let finished = self.jobs.iter().filter(|job| job.is_done).count();
        let message = format!("{finished} of {} jobs done", self.jobs.len());
        let part = match finished == self.jobs.len() {
            true => PARTS,
            false => (PARTS as f64 * done / all.max(1e-9)) as usize,
        };
        if let Some(whole) = &mut self.whole {
            whole.advance(part.min(PARTS), &message);
        }
    }
}

impl Monitor for ExperimentDisplay {
    fn begin(&self, overview: &Overview<'_>) {
        let mut state = self.state();
        let jobs = overview.jobs.iter().zip(overview.is_done);
        let jobs = jobs.zip(overview.estimates);
        state.jobs = jobs
            .map(|((_, is_done), estimate)| JobState {
                seconds_of_training: estimate.training_seconds(),
                examples: estimate.examples,
                is_done: *is_done,
                ..JobState::default()
            })
            .collect();
        if !self.is_quiet && overview.is_done.iter().any(|is_done| !is_done) {
            state.whole = Some(Progress::of_share(&self.name, PARTS));
            state.show();
        }
    }

    fn job(&self, number: usize, job: &Job) -> Box<dyn JobMonitor + '_> {
        Box::new(JobDisplay {
            display: self,
            number,
            title: job.title.clone(),
            steps: 0,
            answering: None,
            bar: None,
        })
    }

    fn done(&self, number: usize, _: &Job) {
        self.update(number, |job| job.is_done = true);
    }

    fn wants_to_stop(&self) -> bool {
        interrupt::requested()
    }
}

struct JobDisplay<'a> {
    display: &'a ExperimentDisplay,
    number: usize,
    title: String,
    steps: usize,
    /// The task that is answered, when that began, and how many examples had answers then.
    answering: Option<(String, Instant, usize)>,
    bar: Option<Progress>,
}

impl JobDisplay<'_> {
    /// A bar, where there is a terminal: elsewhere the line of the whole is enough.
    fn open_bar(&mut self, what: &str, total: usize, completed: usize) {
        self.bar = None;
        if !self.display.is_quiet && std::io::stderr().is_terminal() {
            let name = format!("{}: {what}", self.title);
            self.bar = Some(Progress::new(&name, total, completed));
        }
    }

    fn advance_bar(&mut self, done: usize, message: &str) {
        if let Some(bar) = &mut self.bar {
            bar.advance(done, message);
        }
    }
}

impl Observer for JobDisplay<'_> {
    fn observe(&mut self, event: RunEvent<'_>) -> ControlFlow<()> {
        match event {
            RunEvent::Started {
                steps, completed, ..
            } => {
                self.steps = steps;
                self.open_bar("training", steps, completed);
            }
            RunEvent::Step(metrics) => {
                let share = metrics.step as f64 / self.steps.max(1) as f64;
                self.display
                    .update(self.number, |job| job.trained_share = share);
                self.advance_bar(metrics.step, &format!("loss {:.3}", metrics.loss));
                if metrics.step == self.steps {
                    self.bar = None;
                }
                if interrupt::requested() {
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl JobMonitor for JobDisplay<'_> {
    fn answered(&mut self, task: &str, done: usize, total: usize) {
        let is_same = self.answering.as_ref().is_some_and(|(of, ..)| of == task);
        if !is_same {
            self.open_bar(task, total, done);
            self.answering = Some((task.to_owned(), Instant::now(), done));
        }
        self.advance_bar(done, "");
        let Some((_, since, before)) = &mut self.answering else {
            return;
        };
        let (seconds, new) = (since.elapsed().as_secs_f64(), done.saturating_sub(*before));
        (*since, *before) = (Instant::now(), done);
        let mut state = self.display.state();
        state.answering.0 += seconds;
        state.answering.1 += new;
        drop(state);
        self.display.update(self.number, |job| {
            job.trained_share = 1.0;
            job.answered += new;
        });
        if done == total {
            self.bar = None;
            self.answering = None;
        }
    }
}
