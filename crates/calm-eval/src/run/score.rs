//! Samples, and their scores.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::RunError;
use crate::tasks::{Item, Task, TaskMetric};
use crate::{ScoreError, Statistics};
use calm_sandbox::{Sandbox, SandboxError, SandboxOptions, Verdict};

/// Output of a model after one prompt, with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sample {
    /// The task.
    pub task: String,
    /// The language; empty if the task has none.
    pub language: String,
    /// Position of the example among those of the language.
    pub index: usize,
    /// Text that the model read, except for its first `cut_tokens`.
    pub prompt: String,
    /// Number of tokens that the prompt lost at its beginning.
    #[serde(default)]
    pub cut_tokens: usize,
    /// Text that the model wrote, without the stop text.
    pub output: String,
    /// Whether it ended by itself, or at a stop text.
    pub stopped: bool,
    /// Answer in the output.
    pub answer: String,
    /// Right answer; empty if programs are run.
    pub reference: String,
    /// Score of this answer, from 0 to 100.
    pub score: f64,
    /// Verdict on the program, if programs are run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Verdict>"))]
    pub verdict: Option<Verdict>,
    /// Record of the example.
    pub record: Map<String, Value>,
}

/// Output of a model for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The example.
    pub item: Item,
    /// As [`Sample::cut_tokens`].
    pub cut_tokens: usize,
    /// As [`Sample::output`].
    pub output: String,
    /// As [`Sample::stopped`].
    pub stopped: bool,
}

/// Scores answers of a task.
#[derive(Debug)]
pub struct Scorer<'a> {
    task: &'a Task,
    sandbox: Option<Sandbox>,
}

impl<'a> Scorer<'a> {
    /// A scorer, with a sandbox if the task runs programs.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if there is no sandbox.
    pub fn new(task: &'a Task, sandbox: &SandboxOptions) -> Result<Self, SandboxError> {
        let is_run = task.score.metric == TaskMetric::PassAt1;
        let sandbox = is_run.then(|| Sandbox::new(sandbox.clone())).transpose()?;
        Ok(Self { task, sandbox })
    }

    /// The sandbox, if there is one.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// Scores outputs, on all cores.
    ///
    /// # Errors
    ///
    /// [`RunError`] if a template or the sandbox fails.
    pub fn score(&self, language: &str, written: Vec<Written>) -> Result<Vec<Sample>, RunError> {
        let scored = written.into_par_iter().map(|written| {
            let Written {
                item,
                cut_tokens,
                output,
                stopped,
            } = written;
            let answer = self.task.answer(&item, &output)?;
            let verdict = match (&self.sandbox, self.task.program(&item, &answer)?) {
                (Some(sandbox), Some(program)) => Some(sandbox.judge(&program)?),
                _ => None,
            };
            let right = match &verdict {
                Some(verdict) => verdict.is_pass(),
                None => answer == item.reference && !answer.is_empty(),
            };
            let score = match self.task.score.metric.is_of_texts() {
                true => of_one(self.task, &answer, &item.reference)?,
                false => 100.0 * f64::from(u8::from(right)),
            };
            Ok(Sample {
                task: self.task.name.clone(),
                language: language.to_owned(),
                index: item.index,
                prompt: item.prompt,
                cut_tokens,
                output,
                stopped,
                answer,
                reference: item.reference,
                score,
                verdict,
                record: item.record,
            })
        });
        scored.collect()
    }

    /// Scores samples again, without a model.
    ///
    /// # Errors
    ///
    /// As [`Scorer::score`].
    pub fn again(&self, samples: Vec<Sample>) -> Result<Vec<Sample>, RunError> {
        let again = samples.into_par_iter().map(|sample| {
            let item = Item {
                index: sample.index,
                prompt: sample.prompt,
                reference: sample.reference,
                record: sample.record,
            };
            let written = Written {
                item,
                cut_tokens: sample.cut_tokens,
                output: sample.output,
                stopped: sample.stopped,
            };
            self.score(&sample.language, vec![written])
        });
        let again: Vec<Vec<Sample>> = again.collect::<Result<_, RunError>>()?;
        Ok(again.into_iter().flatten().collect())
    }
}

fn of_one(task: &Task, answer: &str, reference: &str) -> Result<f64, RunError> {
    let metric = task.score.metric.counter(true);
    let counted = Statistics::of(&*metric, &[answer], &[vec![reference]]);
    counted
        .map(|counted| counted.sentence(0))
        .map_err(|source| RunError::score(&task.name, source))
}

/// Statistics of samples: of their texts, or of right answers. `metric` is [`TaskMetric::of_all`].
///
/// # Errors
///
/// [`ScoreError::Empty`] if there are texts to score, and none is given.
pub fn counted<'m>(
    kind: TaskMetric,
    metric: &'m dyn crate::Metric,
    samples: &[&Sample],
) -> Result<Statistics<'m>, ScoreError> {
    if kind.is_of_texts() {
        let answers: Vec<&str> = samples.iter().map(|sample| &*sample.answer).collect();
        let references = samples.iter().map(|sample| &*sample.reference).collect();
        return Statistics::of(metric, &answers, &[references]);
    }
    let rows = samples
        .iter()
        .flat_map(|sample| [u64::from(sample.score > 0.0), 1]);
    Ok(Statistics::of_rows(metric, rows.collect()))
}
