//! The lines of a run's three logs.

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::log::Record;
use super::{ReferenceLoss, RunSummary};

/// Metrics of one optimiser step, a line of `metrics.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// 1-based step.
    pub step: usize,
    /// Mean cross-entropy per target token, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f32,
    /// L2 norm of all gradients before clipping.
    #[serde(deserialize_with = "number_or_nan")]
    pub gradient_norm: f64,
    /// Base learning rate of the step.
    pub learning_rate: f64,
    /// Target tokens in the step.
    pub target_tokens: usize,
    /// Tokens in the step that were read.
    #[serde(default)]
    pub tokens: usize,
    /// The same with the padding that was computed beside them.
    #[serde(default)]
    pub positions: usize,
    /// Steps so far, this one included, that moved nothing because their loss or their gradients
    /// were not finite.
    #[serde(default)]
    pub skipped: usize,
    /// The most memory that the process has held so far, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// Seconds since this process began to train.
    pub seconds: f64,
}

/// A score of the task that is trained for; more is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name of the score.
    pub name: String,
    /// The score.
    pub value: f64,
}

/// Result of a validation, a line of `validation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// The step after which it took place.
    pub step: usize,
    /// Mean cross-entropy per target token over all of the data, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f64,
    /// The same where words are hidden from the anchor, as in training, if any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_loss: Option<f64>,
    /// The score, if one is measured.
    pub metric: Option<Metric>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Something that happened to a run, as a line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in UTC, as RFC 3339 has it.
    pub time: String,
    /// Kind of the event.
    #[serde(flatten)]
    pub kind: EventKind,
    /// The step that it concerns: mostly the last one that was done.
    pub step: usize,
}

/// Kinds of events of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// The first process began.
    Started,
    /// Another process went on from a checkpoint, or from the beginning if there was none.
    Resumed {
        /// Steps that were done after that checkpoint, and have to be done again.
        lost_steps: usize,
    },
    /// A loss that the run is measured by was taken, before its first step.
    Reference(ReferenceLoss),
    /// Long after it began, the loss is still above that of the parameters that it began with.
    AboveStart {
        /// The loss.
        loss: f64,
        /// That at the start.
        start: f64,
    },
    /// Result of the run.
    Summary(RunSummary),
    /// A checkpoint was written.
    Checkpoint,
    /// A validation found this checkpoint to be the best so far.
    Best {
        /// Its loss.
        loss: f64,
        /// Its score, if one is measured.
        metric: Option<Metric>,
    },
    /// A step moved nothing.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A checkpoint was passed over, since it is not whole.
    FellBack {
        /// Its step.
        from: usize,
        /// The reason.
        reason: String,
    },
    /// The run was asked to stop, and saved.
    Interrupted,
    /// All steps are done.
    Finished,
    /// Validation had not improved for as long as it may.
    StoppedEarly,
    /// An error ended the process.
    Failed {
        /// Its message.
        reason: String,
    },
    /// An event of a newer program.
    #[serde(other)]
    Unknown,
}

impl ValidationMetrics {
    /// The loss by which a checkpoint is the best.
    pub fn deciding_loss(&self) -> f64 {
        self.masked_loss.unwrap_or(self.loss)
    }
}

impl StepMetrics {
    /// Seconds that all processes of a run spent on these steps. The clock of each process begins
    /// at zero.
    pub fn total_seconds(steps: &[Self]) -> f64 {
        let lasts = steps
            .windows(2)
            .filter(|pair| pair[1].seconds < pair[0].seconds)
            .map(|pair| pair[0].seconds);
        lasts.sum::<f64>() + steps.last().map_or(0.0, |last| last.seconds)
    }

    /// The most memory that any process held, in bytes, where the system tells.
    pub fn peak_bytes(steps: &[Self]) -> Option<u64> {
        let held = steps.iter().filter_map(|step| step.peak_memory_mib);
        held.map(|mib| (mib * f64::from(1 << 20)) as u64).max()
    }
}

impl Event {
    /// Something that happens now.
    pub(crate) fn now(step: usize, kind: EventKind) -> Self {
        Self {
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            kind,
            step,
        }
    }
}

impl Record for StepMetrics {
    const FILE: &'static str = "metrics.jsonl";

    fn step(&self) -> usize {
        self.step
    }
}

impl Record for ValidationMetrics {
    const FILE: &'static str = "validation.jsonl";

    fn step(&self) -> usize {
        self.step
    }
}

impl Record for Event {
    const FILE: &'static str = "events.jsonl";

    fn step(&self) -> usize {
        self.step
    }
}

/// JSON has neither NaN nor infinities: they are written as null.
pub(super) fn number_or_nan<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + From<f32>,
{
    let number = Option::<T>::deserialize(deserializer)?;
    Ok(number.unwrap_or_else(|| f32::NAN.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_can_be_read_again() {
        let metrics = StepMetrics {
            loss: f32::NAN,
            gradient_norm: f64::INFINITY,
            ..StepMetrics::default()
        };
        let line = serde_json::to_string(&metrics).unwrap();
        let read: StepMetrics = serde_json::from_str(&line).unwrap();
        assert!(read.loss.is_nan() && read.gradient_norm.is_nan(), "{line}");
    }

    #[test]
    fn the_time_of_a_resumed_run_is_that_of_all_its_processes() {
        let at = |seconds| StepMetrics {
            seconds,
            ..StepMetrics::default()
        };
        let steps = [at(1.0), at(4.0), at(0.5), at(1.5)];
        assert_eq!(StepMetrics::total_seconds(&steps), 5.5);
        assert_eq!(StepMetrics::total_seconds(&[]), 0.0);
    }

    #[test]
    fn the_memory_of_a_run_is_the_most_of_its_processes() {
        let at = |peak_memory_mib| StepMetrics {
            peak_memory_mib,
            ..StepMetrics::default()
        };
        let steps = [at(Some(1.5)), at(Some(3.0)), at(None), at(Some(2.0))];
        assert_eq!(StepMetrics::peak_bytes(&steps), Some(3 << 20));
        assert_eq!(StepMetrics::peak_bytes(&[at(None)]), None);
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            kind: EventKind::FellBack {
                from: 10,
                reason: "cut".to_owned(),
            },
            step: 5,
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"time":"2026-01-02T03:04:05.678Z","event":"fell-back","from":10,"reason":"cut","step":5}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        let now = Event::now(0, EventKind::Started).time;
        assert!(chrono::DateTime::parse_from_rfc3339(&now).is_ok() && now.ends_with('Z'));
    }
}
