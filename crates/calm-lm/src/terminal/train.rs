//! A training run that shows its progress and can be interrupted.

#[cfg(feature = "tui")]
use std::io::IsTerminal;
use std::io::Write;
use std::ops::ControlFlow;

use calm_train::{BatchSource, Objective, Outcome, StepMetrics, TrainError, Trainer};

#[cfg(feature = "tui")]
use super::dashboard::Dashboard;
use super::{Progress, interrupt};

/// How a run is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    Nothing,
    /// A bar on a terminal, a line now and then elsewhere.
    Progress,
    /// Curves that fill the terminal; where there is none, as [`Display::Progress`].
    Dashboard,
}

/// Why a run has no result yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfinished {
    /// Somebody pressed Ctrl-C. The last step is saved, if the run has a directory.
    #[error("interrupted at step {step} of {steps}; the same command goes on from there")]
    Interrupted {
        /// The last step that was done.
        step: usize,
        /// Steps of the whole run.
        steps: usize,
    },
    /// The run failed.
    #[error(transparent)]
    Failed(#[from] TrainError),
}

/// Trains to the end, unless Ctrl-C comes first, and returns the trainer with the result. It is
/// shown under this name.
///
/// # Errors
///
/// [`Unfinished`] if the run was interrupted, or failed.
pub fn train<'a, O: Objective>(
    name: &str,
    mut trainer: Trainer<'a, O>,
    batches: &impl BatchSource,
    display: Display,
) -> Result<Trainer<'a, O>, Unfinished> {
    interrupt::listen();
    let steps = trainer.config().steps;
    let mut screen = Screen::open(display, name, steps, trainer.completed());
    let outcome = trainer.run(batches, |metrics| {
        if screen.step(metrics) || interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    match outcome {
        Outcome::Finished | Outcome::StoppedEarly => Ok(trainer),
        Outcome::Interrupted => Err(Unfinished::Interrupted {
            step: trainer.completed(),
            steps,
        }),
    }
}

/// What a run is shown on.
enum Screen {
    Nothing,
    Progress(Progress),
    #[cfg(feature = "tui")]
    Dashboard(Box<Dashboard>),
}

impl Screen {
    fn open(display: Display, name: &str, steps: usize, completed: usize) -> Self {
        match display {
            Display::Nothing => return Self::Nothing,
            Display::Progress => {}
            #[cfg(feature = "tui")]
            Display::Dashboard
                if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() =>
            {
                return Self::Dashboard(Box::new(Dashboard::open(name, steps, completed)));
            }
            Display::Dashboard => {
                let reason = match cfg!(feature = "tui") {
                    true => "this is no terminal",
                    false => "this build has none (feature `tui`)",
                };
                let line = format!("no dashboard, {reason}; plain progress instead");
                // Whoever closed standard error does not want to know.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
        Self::Progress(Progress::of_steps(name, steps, completed))
    }

    /// Shows a step. Whether the run is to stop.
    fn step(&mut self, metrics: &StepMetrics) -> bool {
        match self {
            Self::Nothing => false,
            Self::Progress(progress) => {
                progress.step(metrics);
                false
            }
            #[cfg(feature = "tui")]
            Self::Dashboard(dashboard) => {
                dashboard.step(metrics);
                dashboard.wants_to_stop()
            }
        }
    }
}
