//! How far a training run is, and how long it will take.

use std::io::IsTerminal;
use std::time::Duration;

use calm_lm::train::StepMetrics;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line every hundred steps elsewhere.
pub(crate) struct Progress {
    name: String,
    steps: usize,
    begun_at: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress of a run with `completed` of its `steps` already behind it.
    pub(crate) fn new(name: &str, steps: usize, completed: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{prefix} {wide_bar} {pos}/{len} {msg} {eta} left";
            let style = ProgressStyle::with_template(style).expect("the template is a constant");
            let bar = ProgressBar::new(steps as u64)
                .with_style(style)
                .with_prefix(name.to_owned());
            bar.set_position(completed as u64);
            bar.reset_eta();
            bar
        });
        Self {
            name: name.to_owned(),
            steps,
            begun_at: completed,
            bar,
        }
    }

    /// Shows a step.
    pub(crate) fn step(&mut self, metrics: &StepMetrics) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("loss {:.3}", metrics.loss));
            bar.set_position(metrics.step as u64);
        } else if metrics.step.is_multiple_of(100) || metrics.step == self.steps {
            let done = (metrics.step - self.begun_at) as f64;
            let left = metrics.seconds / done * (self.steps - metrics.step) as f64;
            let left = Duration::from_secs(left as u64);
            eprintln!(
                "{}: step {}/{}, loss {:.3}, gradient norm {:.2}, {left:?} left",
                self.name, metrics.step, self.steps, metrics.loss, metrics.gradient_norm
            );
        }
    }
}
