//! A training run that shows its progress and can be interrupted.

use std::ops::ControlFlow;

use calm_train::{BatchSource, Objective, Outcome, TrainError, Trainer};

use super::{Progress, interrupt};

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

/// Trains to the end, unless Ctrl-C comes first, and returns the trainer with the result. Unless
/// `quiet`, progress is shown under this name.
///
/// # Errors
///
/// [`Unfinished`] if the run was interrupted, or failed.
pub fn train<'a, O: Objective>(
    name: &str,
    mut trainer: Trainer<'a, O>,
    batches: &impl BatchSource,
    quiet: bool,
) -> Result<Trainer<'a, O>, Unfinished> {
    interrupt::listen();
    let steps = trainer.config().steps;
    let mut progress = (!quiet).then(|| Progress::new(name, steps, trainer.completed()));
    let outcome = trainer.run(batches, |metrics| {
        if let Some(progress) = &mut progress {
            progress.step(metrics);
        }
        if interrupt::requested() {
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
