//! Burn's terminal dashboard, shown by our own training loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::Arc;

use burn_train::Interrupter;
use burn_train::logger::TrainingProgressLogger;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{MetricState, MetricsRenderer, MetricsRendererTraining};
use calm_train::StepMetrics;

use super::pace::{Pace, peak_memory_mib};
use super::silence::Excuse;
use super::{interrupt, keys};

/// Metrics, the most important first: a low terminal cuts off the end.
const METRICS: [(&str, &str); 5] = [
    ("Loss", "nats per token"),
    ("Speed", "tokens/s"),
    ("Learning rate", ""),
    ("Gradient norm", ""),
    ("Peak memory", "MiB"),
];

/// A screen full of curves; the terminal is as before once it is dropped.
pub(super) struct Dashboard {
    name: String,
    total: usize,
    /// Steps that were done before this process began.
    begun_at: usize,
    renderer: TuiMetricsRendererWrapper,
    interrupter: Interrupter,
    pace: Pace,
    /// There is no silence before so many curves.
    _excuse: Excuse,
}

impl Dashboard {
    /// Takes the terminal over, for a run with `completed` of its steps behind it.
    pub(super) fn open(name: &str, total: usize, completed: usize) -> Self {
        let interrupter = Interrupter::new();
        keys::remember_terminal();
        let mut renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), None);
        for (name, unit) in METRICS {
            renderer.register_metric(definition(name, unit));
        }
        keys::let_interrupts_through();
        Self {
            name: name.to_owned(),
            total,
            begun_at: completed,
            renderer,
            interrupter,
            pace: Pace::default(),
            _excuse: Excuse::new(),
        }
    }

    /// Shows a training step.
    pub(super) fn step(&mut self, metrics: &StepMetrics) {
        let values = [
            Some(f64::from(metrics.loss)),
            Some(self.pace.tokens_per_second(metrics)),
            Some(metrics.learning_rate),
            Some(metrics.gradient_norm),
            peak_memory_mib().map(|mib| mib as f64),
        ];
        let (here, step) = (metrics.step - self.begun_at, metrics.step);
        let label = format!("{}, step {step} of {}", self.name, self.total);
        let left = self.total - self.begun_at;
        let renderer = &mut self.renderer;
        let shown = catch_unwind(AssertUnwindSafe(|| {
            for ((name, _), value) in METRICS.into_iter().zip(values) {
                if let Some(value) = value {
                    renderer.update_train(state(name, value));
                }
            }
            // To Burn all steps are one epoch. Its time left would count the steps of earlier
            // processes as done by this one, so it is told of those of this one only.
            renderer.start(1, 1, Some(left), Some(&label));
            renderer.update_split(here);
        }));
        if shown.is_err() {
            // Asked to end at once, the dashboard has said so and panics.
            exit(interrupt::EXIT_CODE.into());
        }
    }

    /// Whether its key for stopping was pressed.
    pub(super) fn wants_to_stop(&self) -> bool {
        self.interrupter.should_stop()
    }
}

fn definition(name: &str, unit: &str) -> MetricDefinition {
    let attributes = NumericAttributes {
        unit: (!unit.is_empty()).then(|| unit.to_owned()),
        higher_is_better: name == "Speed",
    };
    MetricDefinition {
        metric_id: id(name),
        name: Arc::new(name.to_owned()),
        description: None,
        attributes: MetricAttributes::Numeric(attributes),
    }
}

fn id(name: &str) -> MetricId {
    MetricId::new(Arc::new(name.to_owned()))
}

fn state(name: &str, value: f64) -> MetricState {
    let unit = METRICS.iter().find(|(known, _)| *known == name);
    let unit = unit.map_or("", |(_, unit)| unit);
    let number = match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.01 => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    };
    let entry = SerializedEntry::new(format!("{number} {unit}"), value.to_string());
    let entry = MetricEntry::new(id(name), entry);
    MetricState::Numeric(entry, Some(NumericEntry::Value(value)))
}
