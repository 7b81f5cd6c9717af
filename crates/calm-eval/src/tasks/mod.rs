//! Benchmarks as data: a task is one TOML file, and a new one needs no Rust.
//!
//! A [`Task`] names the files of its examples, and describes how an example becomes a prompt, how the
//! answer is found in the output of a model, and how it is scored. The tasks of the paper are bundled
//! ([`Task::builtin`]); others are read from a file.
//!
//! ```
//! use calm_eval::tasks::Task;
//!
//! let task = Task::named("gsm8k")?;
//! assert_eq!(task.shots.as_ref().map(|shots| shots.count), Some(8));
//! # Ok::<(), calm_eval::tasks::TaskError>(())
//! ```

mod error;
mod expression;
mod prompt;
mod read;
mod source;
mod template;

use std::collections::BTreeMap;
use std::path::Path;

use calm_data::DataError;
use calm_data::bundle::{Bundle, parse};
use serde::{Deserialize, Serialize};

use crate::metrics::{AnswerMatch, Bleu, Chrf, Metric, VERSION, passk};

pub use error::TaskError;
pub use expression::Expression;
pub use prompt::{Item, Subset};
pub use source::{DataSource, Format, GivenFile};
pub use template::{ProgramTemplates, Template};

/// Bundled tasks, by name.
const BUILTIN: Bundle = Bundle {
    kind: "task",
    list: "calm eval --list",
    files: &[
        ("codexglue", include_str!("builtin/codexglue.toml")),
        ("flores-v1", include_str!("builtin/flores-v1.toml")),
        ("flores200", include_str!("builtin/flores200.toml")),
        ("gsm8k", include_str!("builtin/gsm8k.toml")),
        (
            "gsm8k-translated",
            include_str!("builtin/gsm8k-translated.toml"),
        ),
        ("humaneval", include_str!("builtin/humaneval.toml")),
        ("mbpp", include_str!("builtin/mbpp.toml")),
        (
            "mbpp-sanitized",
            include_str!("builtin/mbpp-sanitized.toml"),
        ),
        ("mgsm", include_str!("builtin/mgsm.toml")),
    ],
};

/// Layout version of task files.
const LAYOUT: u32 = 1;

/// A benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Version of the layout; 1.
    pub layout: u32,
    /// Its name.
    pub name: String,
    /// Increases with every change that moves scores.
    pub version: u32,
    /// Its content, in one line.
    pub about: String,
    /// Place and setting in the paper.
    #[serde(default)]
    pub paper: String,
    /// Examples to score.
    pub data: DataSource,
    /// Worked examples before each.
    #[serde(default)]
    pub shots: Option<Shots>,
    /// Prompt of an example. The template knows the fields of the record, `language`, and `shots`,
    /// the records of the worked examples.
    pub prompt: Template,
    /// Limits of the output.
    pub generation: Generation,
    /// Scoring of the output.
    pub score: Scoring,
    /// Languages whose scores are averaged, by name of the group. `*` stands for all languages that
    /// no group names.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Languages from low to high resource, the order in which tables show them. Others follow by
    /// name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub low_to_high: Vec<String>,
}

/// Worked examples, the same before every prompt of a language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shots {
    /// Their number; the first of the file are taken.
    pub count: usize,
    /// Their file.
    pub data: DataSource,
    /// Another file with the same records, for directories that lack the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or_data: Option<DataSource>,
    /// Text of each.
    pub template: Template,
}

/// Limits of a model's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Largest number of tokens.
    pub max_new_tokens: usize,
    /// Texts that end the output.
    #[serde(default)]
    pub stop_texts: Vec<String>,
}

/// How an answer is scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// Metric.
    pub metric: TaskMetric,
    /// Answer in the output of a model, which is `output`.
    #[serde(default = "Template::output")]
    pub answer: Template,
    /// Right answer; not for `pass@1`.
    #[serde(default)]
    pub reference: Option<Template>,
    /// Program to run; only for `pass@1`.
    #[serde(default)]
    pub program: Option<ProgramTemplates>,
}

/// Metric of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TaskMetric {
    /// Share of answers that equal the reference.
    #[serde(rename = "exact_match")]
    ExactMatch,
    /// chrF1, the paper's metric, of all answers of a language together.
    #[serde(rename = "chrf1")]
    Chrf1,
    /// chrF2: recall counts twice.
    #[serde(rename = "chrf2")]
    Chrf2,
    /// chrF++: chrF2 with pairs of words.
    #[serde(rename = "chrf++")]
    ChrfPlusPlus,
    /// BLEU with sacreBLEU's defaults, of all answers of a language together.
    #[serde(rename = "bleu")]
    Bleu,
    /// Share of programs that pass their tests.
    #[serde(rename = "pass@1")]
    PassAt1,
}

impl TaskMetric {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact_match",
            Self::Chrf1 => "chrf1",
            Self::Chrf2 => "chrf2",
            Self::ChrfPlusPlus => "chrf++",
            Self::Bleu => "bleu",
            Self::PassAt1 => "pass@1",
        }
    }

    /// Whether it compares texts; otherwise an answer is right or wrong.
    pub fn is_of_texts(self) -> bool {
        !matches!(self, Self::ExactMatch | Self::PassAt1)
    }

    /// All settings, in sacreBLEU's form.
    pub fn signature(self) -> String {
        match self {
            Self::ExactMatch => format!("nrefs:1|case:mixed|match:exact|version:{VERSION}"),
            Self::PassAt1 => passk::signature(1, 1),
            _ => self.of_all().signature(1),
        }
    }

    /// Metric of all answers together.
    pub fn of_all(self) -> Box<dyn Metric> {
        self.counter(false)
    }

    /// Metric that counts. With `of_one` text, BLEU skips orders of which it has no n-gram.
    pub(crate) fn counter(self, of_one: bool) -> Box<dyn Metric> {
        match self {
            Self::ExactMatch | Self::PassAt1 => Box::new(AnswerMatch::Exact { lowercase: false }),
            Self::Chrf1 => Box::new(Chrf::chrf1()),
            Self::Chrf2 => Box::new(Chrf::chrf2()),
            Self::ChrfPlusPlus => Box::new(Chrf::chrf_plus_plus()),
            Self::Bleu => Box::new(Bleu {
                effective_order: of_one,
                ..Bleu::default()
            }),
        }
    }
}

impl Task {
    /// All bundled tasks.
    ///
    /// # Panics
    ///
    /// If one of them is invalid, which a test rules out.
    pub fn builtin() -> Vec<Self> {
        let parse = |(name, text): &(&str, &str)| {
            Self::parse(Path::new(name), text).expect("a test parses every bundled task")
        };
        BUILTIN.files.iter().map(parse).collect()
    }

    /// A bundled task by its name, or else the file of that path.
    ///
    /// # Errors
    ///
    /// [`TaskError`] if there is neither, or if the file is invalid.
    pub fn named(name: &str) -> Result<Self, TaskError> {
        Self::parse(Path::new(name), &BUILTIN.text(name)?)
    }

    /// Parses the text of a task file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`TaskError::Data`] naming the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, TaskError> {
        let task: Self = parse(path, text)?;
        task.check()
            .map_err(|reason| DataError::file(path, reason))?;
        Ok(task)
    }

    fn check(&self) -> Result<(), String> {
        if self.layout != LAYOUT {
            return Err(format!(
                "layout is {}; this version reads layout {LAYOUT}",
                self.layout
            ));
        }
        let is_run = self.score.metric == TaskMetric::PassAt1;
        if is_run != self.score.program.is_some() {
            return Err("[score.program] belongs to the metric pass@1, and to no other".to_owned());
        }
        if is_run == self.score.reference.is_some() {
            let reason = "score.reference belongs to every metric but pass@1, which has tests";
            return Err(reason.to_owned());
        }
        if self.generation.stop_texts.iter().any(String::is_empty) {
            return Err("generation.stop_texts holds an empty text; remove it".to_owned());
        }
        self.data.check()?;
        let shots = self.shots.iter();
        let mut sources = shots.flat_map(|shots| [&shots.data].into_iter().chain(&shots.or_data));
        sources.try_for_each(DataSource::check)
    }

    /// SHA-256 of its content, in hexadecimal. Comments and formatting of the file do not count.
    ///
    /// # Panics
    ///
    /// Never: a task is plain data.
    pub fn sha256(&self) -> String {
        let text = serde_json::to_vec(self).expect("a task is plain data");
        calm_files::sha256(text)
    }

    /// The same task with another number of worked examples.
    ///
    /// # Errors
    ///
    /// [`TaskError::NoShots`] if it has no place for any.
    pub fn with_shots(mut self, count: usize) -> Result<Self, TaskError> {
        if self.shots.is_none() && count > 0 {
            return Err(TaskError::NoShots { task: self.name });
        }
        self.shots = self.shots.filter(|_| count > 0);
        if let Some(shots) = &mut self.shots {
            shots.count = count;
        }
        Ok(self)
    }

    /// The same task with other files of its examples, and of its worked examples. The first names
    /// the language that they are of, if files of the task are of one.
    ///
    /// # Errors
    ///
    /// [`TaskError::GivenFile`] if the task reads several files together, takes no worked examples, or
    /// has languages, and none or several are named.
    pub fn with_files(
        mut self,
        test: Option<&Path>,
        shots: Option<&Path>,
        languages: &[String],
    ) -> Result<Self, TaskError> {
        let name = self.name.clone();
        let refuse = |flag: &'static str, reason: &'static str| {
            let task = name.clone();
            TaskError::GivenFile { flag, task, reason }
        };
        let given = |source: &mut DataSource, path: &Path, flag| {
            let language = match (source.has_languages(), languages) {
                (false, _) => String::new(),
                (true, [one]) => one.clone(),
                (true, _) => {
                    return Err(refuse(
                        flag,
                        "has a file for each language; name the one of this file with --language",
                    ));
                }
            };
            if source.format == Format::Lines {
                return Err(refuse(
                    flag,
                    "reads several files line by line together; put them where --data says",
                ));
            }
            let path = path.to_owned();
            source.given = Some(GivenFile { path, language });
            Ok::<(), TaskError>(())
        };
        if let Some(path) = test {
            given(&mut self.data, path, "--test-file")?;
        }
        match (&mut self.shots, shots) {
            (_, None) => {}
            (None, Some(_)) => {
                return Err(refuse(
                    "--shots-file",
                    "takes no worked examples; leave it out",
                ));
            }
            (Some(own), Some(path)) => {
                own.or_data = None;
                given(&mut own.data, path, "--shots-file")?;
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
