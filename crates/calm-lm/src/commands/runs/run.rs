//! One run, as far as it is.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use calm_files::Lock;
use calm_lm::train::StepMetrics;
use indicatif::FormattedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::find;
use crate::commands::training;
use crate::failure::Failure;

/// More than any description or line of a log has.
const MAX_BYTES: u64 = 16 << 20;

/// What the directory of a run says.
pub(super) struct Run {
    /// What the user calls it.
    pub(super) name: String,
    pub(super) description: Value,
    pub(super) steps: Vec<StepMetrics>,
    pub(super) validations: Vec<Validation>,
    /// The last that is known to have happened.
    last_event: Option<String>,
    is_running: bool,
}

/// A line of validation.jsonl.
#[derive(Debug, Deserialize)]
pub(super) struct Validation {
    pub(super) step: usize,
    /// Null if it was not a number.
    pub(super) loss: Option<f64>,
    metric: Option<Metric>,
}

#[derive(Debug, Deserialize)]
struct Metric {
    name: String,
    value: f64,
}

/// A line of events.jsonl.
#[derive(Deserialize)]
struct Event {
    event: String,
}

impl Run {
    /// The run in this directory: it, or the one that it keeps.
    pub(super) fn at(directory: &Path) -> Result<Self, Failure> {
        let inside = directory.join("run");
        let path = [directory, &inside]
            .into_iter()
            .find(|path| find::is_run(path));
        let path = path.ok_or_else(|| {
            let reason = "holds no run (no run.json, and no run/run.json); `calm runs list` finds \
                          those below a directory";
            Failure::path(directory, reason)
        })?;
        Self::read(path)
    }

    /// Reads the directory of a run.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let description = path.join("run.json");
        let text = read_bounded(&description)?;
        let parsed = serde_json::from_slice(&text);
        let parsed = parsed.map_err(|error| Failure::path(&description, error.to_string()))?;
        let events: Vec<Event> = read_lines(&path.join("events.jsonl"))?;
        Ok(Self {
            name: name(path),
            description: parsed,
            steps: read_lines(&path.join("metrics.jsonl"))?,
            validations: read_lines(&path.join("validation.jsonl"))?,
            last_event: events.into_iter().next_back().map(|last| last.event),
            is_running: Lock::is_held(path),
        })
    }

    /// What it depends on.
    fn settings_value(&self) -> &Value {
        self.description
            .get("settings")
            .unwrap_or(&self.description)
    }

    /// The same as names and values, in the order of the file.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        flatten(String::new(), self.settings_value(), &mut found);
        found
    }

    fn step(&self) -> usize {
        self.steps.last().map_or(0, |last| last.step)
    }

    /// Steps of the whole run, where the settings say.
    fn total(&self) -> Option<usize> {
        let total = self.settings_value()["train"]["steps"].as_u64()?;
        usize::try_from(total).ok()
    }

    pub(super) fn state(&self) -> &str {
        match self.last_event.as_deref() {
            _ if self.is_running => "running",
            Some("stopped-early") => "stopped early",
            Some("failed") => "failed",
            Some("finished") => "finished",
            _ if self.total() == Some(self.step()) => "finished",
            _ => "interrupted",
        }
    }

    pub(super) fn progress(&self) -> String {
        match self.total() {
            Some(total) => format!("{}/{total}", self.step()),
            None => self.step().to_string(),
        }
    }

    pub(super) fn loss(&self) -> String {
        let last = self.steps.last();
        last.map_or_else(missing, |last| format!("{:.4}", last.loss))
    }

    /// The validation with the least loss.
    fn best(&self) -> Option<&Validation> {
        let with_loss = self.validations.iter().filter(|one| one.loss.is_some());
        with_loss.min_by(|one, other| {
            one.loss
                .unwrap_or(0.0)
                .total_cmp(&other.loss.unwrap_or(0.0))
        })
    }

    pub(super) fn best_validation(&self) -> String {
        let Some((best, loss)) = self.best().and_then(|best| Some((best, best.loss?))) else {
            return missing();
        };
        let metric = best.metric.as_ref();
        let metric = metric.map(|metric| format!(", {} {:.4}", metric.name, metric.value));
        format!("{loss:.4}{} at {}", metric.unwrap_or_default(), best.step)
    }

    /// Of all its processes, in seconds.
    fn seconds(&self) -> f64 {
        training::seconds(&self.steps)
    }

    fn tokens_per_second(&self) -> Option<f64> {
        let tokens: usize = self.steps.iter().map(|step| step.target_tokens).sum();
        let seconds = self.seconds();
        (seconds > 0.0).then(|| tokens as f64 / seconds)
    }

    pub(super) fn speed(&self) -> String {
        let speed = self.tokens_per_second();
        speed.map_or_else(missing, |speed| format!("{speed:.0}"))
    }

    pub(super) fn time(&self) -> String {
        FormattedDuration(Duration::from_secs_f64(self.seconds().max(0.0))).to_string()
    }

    /// Names and values of what came of it.
    pub(super) fn figures(&self) -> Vec<(String, String)> {
        let last = self.steps.last();
        let of_last = |text: fn(&StepMetrics) -> String| last.map_or_else(missing, text);
        let figures = [
            ("state", self.state().to_owned()),
            ("steps", self.progress()),
            ("loss", self.loss()),
            ("best validation", self.best_validation()),
            (
                "gradient norm",
                of_last(|last| format!("{:.4}", last.gradient_norm)),
            ),
            (
                "learning rate",
                of_last(|last| format!("{:.3e}", last.learning_rate)),
            ),
            ("target tokens/s", self.speed()),
            ("time", self.time()),
        ];
        figures
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    pub(super) fn json(&self) -> Value {
        let last = self.steps.last();
        let best = self.best().map(|best| {
            let metric = best.metric.as_ref();
            let metric = metric.map(|metric| json!({ "name": metric.name, "value": metric.value }));
            json!({ "step": best.step, "loss": best.loss, "metric": metric })
        });
        json!({
            "run": self.name,
            "state": self.state(),
            "step": self.step(),
            "steps": self.total(),
            "loss": last.map(|last| last.loss),
            "gradient_norm": last.map(|last| last.gradient_norm),
            "learning_rate": last.map(|last| last.learning_rate),
            "best_validation": best,
            "target_tokens_per_second": self.tokens_per_second(),
            "seconds": self.seconds(),
        })
    }
}

fn missing() -> String {
    "-".to_owned()
}

/// What was trained, rather than the `run` in it.
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

fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::path(path, error.to_string());
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(Failure::path(path, "is too long to describe a run"));
    }
    fs::read(path).map_err(failed)
}

/// Every line of a log, of which there may be none. The last may not be whole yet, or never have
/// become so.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    let failed = |error: io::Error| Failure::path(path, error.to_string());
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut records = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut bounded = reader.by_ref().take(MAX_BYTES);
        bounded.read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            return Ok(records);
        }
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with(b"\n") => return Ok(records),
            Err(error) => {
                let reason = format!("line {}: {error}", records.len() + 1);
                return Err(Failure::path(path, reason));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_by_what_was_trained() {
        let names = ["a/b/run", "a/b", "./a/run", "run", "."].map(|path| name(Path::new(path)));
        assert_eq!(names, ["a/b", "a/b", "a", ".", "."]);
    }

    #[test]
    fn a_line_that_is_being_written_is_not_read_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("validation.jsonl");
        let read = || read_lines::<Validation>(&path).map(|lines| lines.len());
        assert_eq!(read().unwrap(), 0, "there is none");
        let line = r#"{"step": 1, "loss": 2.5, "metric": null, "seconds": 1.0}"#;
        fs::write(&path, format!("{line}\n{}", &line[..20])).unwrap();
        assert_eq!(read().unwrap(), 1);
        fs::write(&path, format!("{line}\nx\n{line}\n")).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("validation.jsonl: line 2"), "{error}");
    }
}
