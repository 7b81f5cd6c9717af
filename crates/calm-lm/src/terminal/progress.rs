//! How far a computation is, and how long it will take.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use calm_train::{StepMetrics, ValidationMetrics};
use indicatif::{FormattedDuration, HumanBytes, ProgressBar, ProgressStyle};

use super::bars::BARS;
use super::line::write_line;
use super::pace::{Pace, peak_memory_mib};
use super::silence::{self, Excuse};

/// Where there is no bar, a line is written at most this often, and one at the end.
const BETWEEN_LINES: Duration = Duration::from_secs(20);

/// A bar on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    name: String,
    total: usize,
    /// Parts that were done before this process began.
    begun_at: usize,
    begun: Instant,
    last_line: Instant,
    unit: Unit,
    pace: Pace,
    bar: Option<ProgressBar>,
    /// As long as there is progress, there is no silence.
    _excuse: Excuse,
}

/// Unit of the parts.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    /// Steps of a training run, of which there is much to say.
    Steps,
    /// Parts that have no unit of their own; their share is shown.
    Share,
}

impl Progress {
    /// Progress of something with `completed` of its `total` parts already behind it.
    pub fn new(name: &str, total: usize, completed: usize) -> Self {
        Self::of(Unit::Count, name, total, completed)
    }

    /// The same of something whose parts are bytes.
    pub fn of_bytes(name: &str, total: usize, completed: usize) -> Self {
        Self::of(Unit::Bytes, name, total, completed)
    }

    /// The same of a training run.
    pub(super) fn of_steps(name: &str, total: usize, completed: usize) -> Self {
        Self::of(Unit::Steps, name, total, completed)
    }

    /// The same of work whose parts are only shares of the whole.
    pub(super) fn of_share(name: &str, total: usize) -> Self {
        Self::of(Unit::Share, name, total, 0)
    }

    fn of(unit: Unit, name: &str, total: usize, completed: usize) -> Self {
        let now = Instant::now();
        let on_terminal = std::io::stderr().is_terminal();
        Self {
            name: name.to_owned(),
            total,
            begun_at: completed,
            begun: now,
            last_line: now,
            unit,
            pace: Pace::default(),
            bar: on_terminal.then(|| bar(unit, name, total, completed)),
            _excuse: Excuse::new(),
        }
    }

    /// Shows a training step.
    pub(super) fn step(&mut self, metrics: &StepMetrics) {
        let mut message = format!(
            "loss {:.3} nats, learning rate {:.1e}, gradient norm {:.2}, {:.0} target tokens/s",
            metrics.loss,
            metrics.learning_rate,
            metrics.gradient_norm,
            self.pace.tokens_per_second(metrics),
        );
        if metrics.skipped > 0 {
            message += &format!(", {} skipped", metrics.skipped);
        }
        if let Some(mib) = peak_memory_mib() {
            message.push_str(&format!(", {mib} MiB"));
        }
        self.advance(metrics.step, &message);
    }

    /// Shows that so many parts are done.
    pub fn advance(&mut self, done: usize, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
            bar.set_position(done as u64);
        } else if done == self.total || self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            let left = FormattedDuration(self.left(done));
            let (name, done) = (&self.name, self.unit.text(done, self.total));
            let line = match message {
                "" => format!("{name}: {done}, {left} left"),
                _ => format!("{name}: {done}, {message}, {left} left"),
            };
            say(&line);
        }
    }

    fn left(&self, done: usize) -> Duration {
        let here = done.saturating_sub(self.begun_at).max(1);
        let left = self.total.saturating_sub(done);
        self.begun.elapsed().mul_f64(left as f64 / here as f64)
    }
}

impl Unit {
    fn text(self, done: usize, total: usize) -> String {
        match self {
            Self::Count | Self::Steps => format!("{done} of {total}"),
            Self::Bytes => {
                let [done, total] = [done, total].map(|bytes| HumanBytes(bytes as u64));
                format!("{done} of {total}")
            }
            Self::Share => format!("{:.0} %", 100.0 * done as f64 / total.max(1) as f64),
        }
    }
}

/// Shows what a validation found, above the bars.
pub(super) fn show_validation(name: &str, metrics: &ValidationMetrics, is_best: bool) {
    let mut line = format!(
        "{name}: validation at step {}: loss {:.4} nats, perplexity {:.3}",
        metrics.step,
        metrics.loss,
        metrics.loss.exp()
    );
    if let Some(masked) = metrics.masked_loss {
        line += &format!(", {masked:.4} nats with words hidden from the anchor");
    }
    if let Some(metric) = &metrics.metric {
        line += &format!(", {} {:.4}", metric.name, metric.value);
    }
    if is_best {
        line += ", the best so far";
    }
    say(&line);
}

/// Writes a line to standard error, above the bars that are there.
pub(super) fn say(line: &str) {
    silence::heard();
    BARS.suspend(|| write_line(line));
}

fn bar(unit: Unit, name: &str, total: usize, completed: usize) -> ProgressBar {
    let style = match unit {
        Unit::Count => "{prefix} {wide_bar} {pos}/{len} {msg} {eta} left",
        Unit::Share => "{prefix} {wide_bar} {percent} %, {msg}, {eta} left",
        Unit::Steps => "{prefix} {wide_bar} {pos}/{len} {eta} left\n{msg}",
        Unit::Bytes => "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg} {eta} left",
    };
    let style = ProgressStyle::with_template(style).expect("the template is a constant");
    let bar = BARS
        .add(ProgressBar::new(total as u64))
        .with_style(style)
        .with_prefix(name.to_owned());
    bar.set_position(completed as u64);
    bar.reset_eta();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_before_does_not_count_as_speed() {
        let mut progress = Progress::new("it", 100, 90);
        progress.begun -= Duration::from_secs(60);
        let left = progress.left(92).as_secs_f64();
        assert!((239.0..242.0).contains(&left), "{left}");
        assert_eq!(progress.left(100), Duration::ZERO);
    }
}
