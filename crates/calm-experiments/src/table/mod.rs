//! A table of results: systems beside each other over tasks, with everything that a reader needs to
//! judge them. The runner makes it, reports show it, `table.json` holds it.

mod breakdowns;
mod build;
mod contrasts;
mod directories;
mod error;
mod evaluated;
mod findings;
mod measured;
mod runs;
mod scores;
mod trained;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;

use calm_eval::Spread;
use calm_eval::tasks::TaskMetric;
use serde::{Deserialize, Serialize};

pub use self::error::TableError;
pub use self::evaluated::{Evaluated, TableOptions};
pub use self::findings::{Bar, Expectation, Finding};

/// Version of the layout of `table.json`.
pub const SCHEMA: u32 = 1;

/// Systems beside each other over tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Version of the layout.
    pub schema: u32,
    /// Title, tasks and systems.
    pub frame: Frame,
    /// Scores, system by system in the order of the frame, and task by task within each.
    pub cells: Vec<Cell>,
    /// Differences between systems on the same examples.
    pub contrasts: Vec<Contrast>,
    /// Scores by parts of the examples, such as the number of operands.
    pub breakdowns: Vec<Breakdown>,
    /// Outcomes of what was to be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Training of every trained system and seed.
    pub runs: Vec<TrainedRun>,
    /// Examples with the outputs of all systems.
    pub samples: Vec<SampleRow>,
    /// Attention of bridges over sample texts.
    pub attention: Vec<AttentionSample>,
    /// Program, machine and time.
    pub circumstances: Circumstances,
}

/// Everything about a table but its results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Name of the experiment; a file name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Place in the paper, if it has one.
    pub paper: Option<String>,
    /// Its question and setting, in a few sentences.
    pub about: String,
    /// How much was run: `quick`, `full`, or none for the file as it stands.
    pub mode: Option<String>,
    /// Id of the system that the table is about.
    pub main: String,
    /// Id of the system that gains are measured against: the anchor alone.
    pub reference: String,
    /// Systems, in the order of columns.
    pub systems: Vec<SystemFrame>,
    /// Tasks, in the order of rows.
    pub tasks: Vec<TaskFrame>,
    /// What is to be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Expectation>,
}

/// A system as the table presents it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemFrame {
    /// Its id in the experiment.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Its kind.
    pub kind: SystemKind,
    /// Models that it is made of, each with its part: `m_B`, `m_A`.
    pub models: Vec<(String, String)>,
}

/// Kind of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemKind {
    /// A model as it is.
    Frozen,
    /// Frozen models with trained bridges.
    Composed,
    /// An anchor with trained low-rank adapters.
    Lora,
    /// An anchor whose weights are all trained.
    Finetuned,
    /// A checkpoint that the experiment pretrains.
    Pretrained,
}

/// A task as the table presents it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskFrame {
    /// Its id in the experiment.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// Heading of the tasks that it stands among, if any.
    pub group: Option<String>,
    /// Its metric.
    pub metric: TaskMetric,
    /// Whether it is one of the questions that the table answers. Others, such as scores on the
    /// training keys, are shown and not tested.
    pub tested: bool,
    /// Languages from low to high resource, if the task has languages.
    pub languages: Vec<String>,
    /// Groups of languages, by name. `*` stands for all that no group names.
    pub language_groups: BTreeMap<String, Vec<String>>,
    /// The paper's figure of a system.
    pub paper: BTreeMap<String, f64>,
    /// In how many languages the paper has a system better than the anchor, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paper_wins: BTreeMap<String, String>,
    /// The paper's figures of groups of languages, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paper_of_groups: BTreeMap<String, PaperFigures>,
    /// Parts of the examples: a title, and an expression over the fields of an example's record.
    pub parts: Vec<(String, String)>,
}

/// Figures of the paper, by id of the system.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PaperFigures {
    /// Scores.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// In how many languages a system is better than the anchor, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wins: BTreeMap<String, String>,
}

/// The score of a system on a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Id of the system.
    pub system: String,
    /// Id of the task.
    pub task: String,
    /// Mean over languages, if there are several.
    pub score: Score,
    /// Every language, in the order of the frame; one without a name if the task has none.
    pub languages: Vec<(String, Score)>,
    /// Means over groups of languages.
    pub groups: Vec<(String, Score)>,
    /// The evaluation of every seed.
    pub seeds: Vec<SeedResult>,
    /// Settings of the metric, in sacreBLEU's form.
    pub signature: String,
    /// SHA-256 of every prompt and reference.
    pub prompts_sha256: String,
}

/// A score over seeds and examples, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean and standard deviation over seeds.
    pub spread: Spread,
    /// 95 % interval over the examples of all seeds, in each language by itself: Wilson's of shares,
    /// else of a bootstrap. None where the examples tell nothing of one.
    pub interval_95: Option<[f64; 2]>,
    /// Examples of a seed.
    pub n: usize,
}

/// The evaluation of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed; none for a system that is not trained.
    pub seed: Option<u64>,
    /// Its score, as [`calm_eval::run::TaskResults::score`].
    pub score: f64,
    /// Its score in every language, in the order of the frame; empty if the task has none.
    #[serde(default)]
    pub languages: Vec<(String, f64)>,
    /// Directory of the evaluation, with every sample.
    pub directory: PathBuf,
    /// Wall-clock seconds of the evaluation.
    pub seconds: f64,
    /// Commit of the program that evaluated, if known.
    pub commit: Option<String>,
}

/// The difference between two systems on the same examples: `system` minus `against`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Id of the task.
    pub task: String,
    /// Id of the system.
    pub system: String,
    /// Id of the other system.
    pub against: String,
    /// Difference of the scores of all examples and languages.
    pub difference: Difference,
    /// Every language by itself, in the order of the frame; empty if the task has none.
    pub languages: Vec<(String, Difference)>,
    /// Languages in which the system is better, and worse.
    pub wins: [usize; 2],
    /// Languages in which it is better, and worse, at the level of 5 % after correction.
    pub significant_wins: [usize; 2],
    /// One sentence that follows from the test.
    pub verdict: String,
    /// Groups of some of the languages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupContrast>,
}

/// A [`Contrast`] over a group of languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupContrast {
    /// Name of the group.
    pub group: String,
    /// Number of its languages.
    pub languages: usize,
    /// Difference of the means over them.
    pub difference: Difference,
    /// Of them, in how many the system is better, and worse.
    pub wins: [usize; 2],
    /// Likewise, beyond chance, as in the contrast.
    pub significant_wins: [usize; 2],
    /// One sentence that follows from the test.
    pub verdict: String,
}

/// A difference with its test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Points, from -100 to 100.
    pub points: f64,
    /// 95 % interval of the paired bootstrap.
    pub interval_95: [f64; 2],
    /// p-value of the paired randomisation, for both directions.
    pub p: f64,
    /// The same, corrected for all comparisons of the table (Holm).
    pub p_corrected: f64,
    /// Examples.
    pub n: usize,
}

impl Difference {
    /// The difference the other way round.
    #[must_use]
    pub fn reversed(self) -> Self {
        let [low, high] = self.interval_95;
        Self {
            points: -self.points,
            interval_95: [-high, -low],
            ..self
        }
    }

    /// Whether it is beyond chance: at the level of 5 %, after correction.
    pub fn is_significant(&self) -> bool {
        self.p_corrected < verdict::LEVEL
    }
}

/// Scores on parts of the examples of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Id of the task.
    pub task: String,
    /// Title: what the examples are parted by.
    pub title: String,
    /// Every part: its value, and the score of each system, in the order of the frame; none for a
    /// system that was not evaluated.
    pub parts: Vec<(String, Vec<Option<Score>>)>,
}

/// The training of a system with one seed, and its cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedRun {
    /// Id of the system.
    pub system: String,
    /// The seed.
    pub seed: u64,
    /// Directory of the result.
    pub directory: PathBuf,
    /// Parameters that were trained.
    pub trained_parameters: usize,
    /// By the paper's count, n (D_A D_B + 3 D_B²); of bridges only.
    pub paper_parameters: Option<usize>,
    /// Examples of the training data.
    pub examples: usize,
    /// Their tokens.
    pub tokens: u64,
    /// SHA-256 of the training data.
    pub data_sha256: String,
    /// SHA-256 of the frozen models' weights, by part.
    pub weights_sha256: Vec<(String, String)>,
    /// Steps that were done.
    pub steps: usize,
    /// Examples of a step.
    pub batch: usize,
    /// Optimiser.
    pub optimizer: String,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Floating-point operations of all steps, by arithmetic; none if unknown.
    pub flops: Option<f64>,
    /// Wall-clock seconds of all steps.
    pub seconds: f64,
    /// The most memory that the process held while it ran, in bytes, jobs beside it included.
    pub peak_bytes: Option<u64>,
    /// Jobs that ran at the same time.
    pub jobs_at_once: usize,
    /// Public name of the device.
    pub device: String,
    /// Program, version and commit.
    pub program: String,
    /// Loss of the training batches, `(step, nats per token)`.
    pub losses: Vec<(usize, f32)>,
    /// Loss of held-out data, likewise.
    pub validation: Vec<(usize, f32)>,
}

/// An example with the outputs of all systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Id of the task.
    pub task: String,
    /// The language; empty if the task has none.
    pub language: String,
    /// Position of the example.
    pub index: usize,
    /// Text that the systems read.
    pub prompt: String,
    /// Right answer.
    pub reference: String,
    /// Output and score of each system, in the order of the frame, of its first seed; none for a
    /// system that was not evaluated.
    pub outputs: Vec<Option<SampleOutput>>,
}

/// What a system wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleOutput {
    /// The text.
    pub text: String,
    /// Its score, from 0 to 100.
    pub score: f64,
}

/// Attention of the bridges of a composition over a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionSample {
    /// Id of the system.
    pub system: String,
    /// Id of the task that the text is of.
    #[serde(default)]
    pub task: String,
    /// Tokens of the anchor.
    pub anchor_tokens: Vec<String>,
    /// Name of the augmenting model.
    pub model: String,
    /// Tokens of the augmenting model.
    pub augmenting_tokens: Vec<String>,
    /// Every bridge from that model.
    pub bridges: Vec<BridgeAttention>,
}

/// Attention of a bridge, the mean of its heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BridgeAttention {
    /// Block of the augmenting model, from 1.
    pub augmenting_block: usize,
    /// Block of the anchor, from 1.
    pub anchor_block: usize,
    /// `[anchor tokens, augmenting tokens]`; a row adds up to 1 over what the token may see.
    pub weights: Vec<Vec<f32>>,
}

/// Program, machine and time of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Circumstances {
    /// Program, version and commit.
    pub program: String,
    /// Public name of the device.
    pub device: String,
    /// Operating system and processor.
    pub system: String,
    /// Threads of the process.
    pub threads: usize,
    /// Wall-clock seconds of this process, without what was there already.
    pub seconds: f64,
    /// Jobs that earlier runs had done.
    pub jobs_reused: usize,
    /// The most memory that the process held, in bytes, if the system tells.
    pub peak_bytes: Option<u64>,
    /// The experiment file, with all defaults.
    pub experiment: String,
}
