//! Benchmarks as data: a task is one TOML file, and a new one needs no Rust.
//!
//! A [`Task`] says which files hold its examples, how an example becomes a prompt, where the answer
//! is in what a model writes, and how that is scored. The tasks of the paper are part of the program
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
mod prompt;
mod read;
mod source;
mod template;

use std::collections::BTreeMap;
use std::path::Path;

use calm_data::DataError;
use calm_data::bundle::{Bundle, parse};
use serde::{Deserialize, Serialize};

use crate::{Chrf, Share, VERSION, passk};

pub use error::TaskError;
pub use prompt::{Item, Subset};
pub use source::{Format, Source};
pub use template::{ProgramTemplates, Template};

/// The tasks that are part of the program, by name.
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

/// The layout of task files that is read.
const LAYOUT: u32 = 1;

/// A benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Version of the layout; 1.
    pub layout: u32,
    /// What it is called.
    pub name: String,
    /// Goes up with every change that moves scores.
    pub version: u32,
    /// What it measures, in one line.
    pub about: String,
    /// Where the paper reports it, and in which setting.
    #[serde(default)]
    pub paper: String,
    /// The examples to be scored.
    pub data: Source,
    /// The worked examples before each.
    #[serde(default)]
    pub shots: Option<Shots>,
    /// What a model reads of an example. `language` and the record's fields are known to it, and
    /// `shots`, the records of the worked examples.
    pub prompt: Template,
    /// What a model may write.
    pub generation: Generation,
    /// What becomes of it.
    pub score: Score,
    /// Languages whose scores are averaged, by the name of the group; `*` stands for all that no
    /// other group has.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

/// Worked examples, the same before every prompt of a language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shots {
    /// How many, the first of the file.
    pub count: usize,
    /// The file.
    pub data: Source,
    /// Another file that holds the same, for directories that lack the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or_data: Option<Source>,
    /// What a model reads of each.
    pub template: Template,
}

/// What a model may write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// At most so many tokens.
    pub max_new_tokens: usize,
    /// Any of these ends it.
    #[serde(default)]
    pub stop_texts: Vec<String>,
}

/// How an answer is scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// By what.
    pub metric: Metric,
    /// The answer in what a model wrote, which is `output`.
    #[serde(default = "Template::output")]
    pub answer: Template,
    /// What the answer should be; unless programs are run.
    #[serde(default)]
    pub reference: Option<Template>,
    /// What is run; only for `pass@1`.
    #[serde(default)]
    pub program: Option<ProgramTemplates>,
}

/// What scores an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Metric {
    /// The share of answers that are the reference, character for character.
    #[serde(rename = "exact_match")]
    ExactMatch,
    /// The paper's chrF1, of all answers of a language together.
    #[serde(rename = "chrf1")]
    Chrf1,
    /// The same with recall counted twice.
    #[serde(rename = "chrf2")]
    Chrf2,
    /// chrF2 with pairs of words.
    #[serde(rename = "chrf++")]
    ChrfPlusPlus,
    /// BLEU as sacreBLEU has it unless told otherwise, of all answers of a language together.
    #[serde(rename = "bleu")]
    Bleu,
    /// The share of programs that pass their tests.
    #[serde(rename = "pass@1")]
    PassAt1,
}

impl Metric {
    /// Whether texts are compared; otherwise an answer is right or wrong.
    pub fn is_of_texts(self) -> bool {
        !matches!(self, Self::ExactMatch | Self::PassAt1)
    }

    /// All settings, in sacreBLEU's form.
    pub(crate) fn signature(self) -> String {
        match self {
            Self::ExactMatch => format!("nrefs:1|case:mixed|match:exact|version:{VERSION}"),
            Self::PassAt1 => passk::signature(1, 1),
            _ => self.counter(false).signature(1),
        }
    }

    /// What counts in texts, or right answers. `of_one` text, BLEU leaves out the orders of which it
    /// has no n-gram.
    pub(crate) fn counter(self, of_one: bool) -> Box<dyn crate::Metric> {
        match self {
            Self::ExactMatch | Self::PassAt1 => Box::new(Share::Exact { lowercase: false }),
            Self::Chrf1 => Box::new(Chrf::chrf1()),
            Self::Chrf2 => Box::new(Chrf::chrf2()),
            Self::ChrfPlusPlus => Box::new(Chrf::chrf_plus_plus()),
            Self::Bleu => Box::new(crate::Bleu {
                effective_order: of_one,
                ..crate::Bleu::default()
            }),
        }
    }
}

impl Task {
    /// The tasks that are part of the program.
    ///
    /// # Panics
    ///
    /// If one of them is no task, which a test rules out.
    pub fn builtin() -> Vec<Self> {
        let parse = |(name, text): &(&str, &str)| {
            Self::parse(Path::new(name), text).expect("a test parses every task of the program")
        };
        BUILTIN.files.iter().map(parse).collect()
    }

    /// A task of the program by its name, or else the file of that path.
    ///
    /// # Errors
    ///
    /// [`TaskError`] if there is neither, or if the file is no task.
    pub fn named(name: &str) -> Result<Self, TaskError> {
        Self::parse(Path::new(name), &BUILTIN.text(name)?)
    }

    /// A task as its file says it; `path` is what errors name.
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
        let is_run = self.score.metric == Metric::PassAt1;
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
        sources.try_for_each(Source::check)
    }

    /// SHA-256 of everything that it says, in hexadecimal; comments and layout of the file do not
    /// count.
    ///
    /// # Panics
    ///
    /// Never: a task is plain data.
    pub fn sha256(&self) -> String {
        let text = serde_json::to_vec(self).expect("a task is plain data");
        calm_files::sha256(text)
    }

    /// The same task with another number of worked examples.
    pub fn with_shots(mut self, count: usize) -> Self {
        self.shots = self.shots.filter(|_| count > 0);
        if let Some(shots) = &mut self.shots {
            shots.count = count;
        }
        self
    }
}

#[cfg(test)]
mod tests;
