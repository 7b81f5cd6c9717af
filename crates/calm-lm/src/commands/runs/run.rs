//! One run, as it is shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use calm_lm::train::{RunFigures, RunLog, RunStatus, StepMetrics};
use indicatif::FormattedDuration;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// A run and the name that the user gives it.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) log: RunLog,
}

/// Figures of a run, for programs.
#[derive(Serialize)]
pub(super) struct RunReport<'a> {
    run: &'a str,
    #[serde(flatten)]
    figures: RunFigures,
}

impl Run {
    /// The run in this directory: it, or the one that it keeps.
    pub(super) fn at(directory: &Path) -> Result<Self, Failure> {
        let inside = directory.join("run");
        let path = [directory, &inside]
            .into_iter()
            .find(|path| RunLog::is_run(path));
        let path = path.ok_or_else(|| {
            let reason = "holds no run (no run.json and metrics.jsonl, here or in run/); `calm runs \
                          list` finds those below a directory";
            Failure::path(directory, reason)
        })?;
        Self::read(path)
    }

    /// Reads the directory of a run.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        Ok(Self {
            name: name(path),
            log: RunLog::read(path)?,
        })
    }

    /// Names and values of its settings, in the order of the file.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        flatten(String::new(), &self.log.description.settings, &mut found);
        found
    }

    pub(super) fn state(&self) -> &'static str {
        match self.log.status() {
            RunStatus::Running => "running",
            RunStatus::StoppedEarly => "stopped early",
            RunStatus::Failed => "failed",
            RunStatus::Finished => "finished",
            RunStatus::Interrupted => "interrupted",
        }
    }

    pub(super) fn progress(&self) -> String {
        match self.log.total_steps() {
            Some(total) => format!("{}/{total}", self.log.step()),
            None => self.log.step().to_string(),
        }
    }

    pub(super) fn loss(&self) -> String {
        self.of_last(|last| format!("{:.4}", last.loss))
    }

    pub(super) fn best_validation(&self) -> String {
        let Some(best) = self.log.best() else {
            return missing();
        };
        let metric = best.metric.as_ref();
        let metric = metric.map(|metric| format!(", {} {:.4}", metric.name, metric.value));
        let metric = metric.unwrap_or_default();
        format!("{:.4}{metric} at {}", best.loss, best.step)
    }

    pub(super) fn speed(&self) -> String {
        let speed = self.log.tokens_per_second();
        speed.map_or_else(missing, |speed| format!("{speed:.0}"))
    }

    pub(super) fn time(&self) -> String {
        FormattedDuration(Duration::from_secs_f64(self.log.seconds().max(0.0))).to_string()
    }

    fn of_last(&self, text: fn(&StepMetrics) -> String) -> String {
        self.log.steps.last().map_or_else(missing, text)
    }

    /// Names and values of its figures.
    pub(super) fn figures(&self) -> Vec<(String, String)> {
        let figures = [
            ("state", self.state().to_owned()),
            ("steps", self.progress()),
            ("loss", self.loss()),
            ("best validation", self.best_validation()),
            (
                "gradient norm",
                self.of_last(|last| format!("{:.4}", last.gradient_norm)),
            ),
            (
                "learning rate",
                self.of_last(|last| format!("{:.3e}", last.learning_rate)),
            ),
            ("target tokens/s", self.speed()),
            ("time", self.time()),
        ];
        figures
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    pub(super) fn report(&self) -> RunReport<'_> {
        RunReport {
            run: &self.name,
            figures: self.log.figures(),
        }
    }
}

fn missing() -> String {
    "-".to_owned()
}

/// Name of the result, rather than of the `run` in it.
fn name(path: &Path) -> String {
    let is_inside = path.file_name().is_some_and(|name| name == "run");
    let outside = path.parent().filter(|_| is_inside);
    let name = outside.unwrap_or(path).components().collect::<PathBuf>();
    let shown = name
        .strip_prefix(".")
        .unwrap_or(&name)
        .display()
        .to_string();
    match shown.is_empty() {
        true => ".".to_owned(),
        false => shown,
    }
}

fn flatten(name: String, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{field}"), value, found);
            }
        }
        Value::String(text) => found.push((name, text.clone())),
        other => found.push((name, other.to_string())),
    }
}

/// A setting for people: connections as arrows, lists with commas, and no null.
pub(super) fn plain(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(Value::Null) => "none".to_owned(),
        Ok(Value::Array(items)) => listed(&items),
        _ => text.to_owned(),
    }
}

fn listed(items: &[Value]) -> String {
    let item = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(pair) => match pair.as_slice() {
            [from, to] if from.is_u64() && to.is_u64() => format!("{from} → {to}"),
            items => listed(items),
        },
        value => value.to_string(),
    };
    items.iter().map(item).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_without_knowing_json() {
        for (json, text) in [
            ("[[[1,1],[2,3]]]", "1 → 1, 2 → 3"),
            ("[0.9,0.98]", "0.9, 0.98"),
            (r#"["a","b"]"#, "a, b"),
            ("null", "none"),
            ("linear", "linear"),
            ("1e-3", "1e-3"),
        ] {
            assert_eq!(plain(json), text);
        }
    }

    #[test]
    fn a_run_is_called_by_what_was_trained() {
        let names = ["a/b/run", "a/b", "./a/run", "run", "."].map(|path| name(Path::new(path)));
        assert_eq!(names, ["a/b", "a/b", "a", ".", "."]);
    }
}
