//! Experiment files: models, data, systems and tasks of a table, in TOML.

mod document;
mod expect;
mod ordered;
mod read;
#[cfg(test)]
mod schema;
mod seeds;

use std::path::PathBuf;

use calm_data::sampling::Amount;
use calm_eval::tasks::TaskMetric;
use calm_models::ModelSource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use ordered::Ordered;
pub use read::{Experiment, Mode};
pub use seeds::Seeds;

use crate::table::Bar;

/// Version of the layout of experiment files.
pub const LAYOUT: u32 = 1;

/// An experiment, as its file has it. Every field may be left out, so that a file that extends
/// another holds only what differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExperimentFile {
    /// Version of the layout; 1.
    pub layout: u32,
    /// Name or file of an experiment, over which this one is laid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Systems, tasks and expectations of that experiment which this one has not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Heading.
    pub title: String,
    /// Place in the paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Question and setting, in a few sentences.
    pub about: String,
    /// System that the table is about; by default the first with bridges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<String>,
    /// System that gains are measured against; by default the anchor of the main one, alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Seeds of every system that is trained; by default 0, 1 and 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<seeds::Written>"))]
    pub seeds: Option<Seeds>,
    /// Models, by id.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, ModelSpec>"))]
    pub models: Ordered<ModelSpec>,
    /// Data, by id.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, DataSpec>"))]
    pub data: Ordered<DataSpec>,
    /// Settings that systems and tasks share.
    pub defaults: Defaults,
    /// Systems, by id, in the order of columns.
    #[cfg_attr(
        test,
        schemars(with = "std::collections::BTreeMap<String, SystemSpec>")
    )]
    pub systems: Ordered<SystemSpec>,
    /// Tasks, by id, in the order of rows.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, TaskSpec>"))]
    pub tasks: Ordered<TaskSpec>,
    /// What is to be reached, by id.
    #[cfg_attr(
        test,
        schemars(with = "std::collections::BTreeMap<String, ExpectSpec>")
    )]
    pub expect: Ordered<ExpectSpec>,
    /// What differs with `--quick`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quick: Option<Box<ExperimentFile>>,
    /// What differs with `--full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<Box<ExperimentFile>>,
}

/// Settings that systems and tasks share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Defaults {
    /// Of composed systems and baselines: flags of `calm compose`.
    pub compose: Map<String, Value>,
    /// Of trained models: flags of `calm pretrain`.
    pub pretrain: Map<String, Value>,
    /// Of tasks.
    pub task: Map<String, Value>,
}

/// A model: files, or a recipe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ModelSpec {
    /// Directory, `.gguf` file, or `hf:owner/name@revision`; of a checkpoint or a composition.
    #[serde(with = "source", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub source: Option<ModelSource>,
    /// Command that makes these files, for whoever lacks them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// Recipe: flags of `calm pretrain`, where `from` may be the id of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Map<String, Value>>,
    /// Seed of the recipe.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
}

/// Data: files that are there, a builder that makes them, or a sample of other data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DataSpec {
    /// File or directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub path: Option<PathBuf>,
    /// A [`BuilderConfig`](calm_data::builders::BuilderConfig): builder, config, sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Map<String, Value>>,
    /// Parts of other data: `ID/file` with `{ share = 0.05 }` or `{ examples = 1000 }` of each.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, Value>"))]
    pub sample: Ordered<Amount>,
    /// Seed of the sample.
    #[serde(skip_serializing_if = "is_zero")]
    pub seed: u64,
}

/// A system: a model as it is, or one that is trained.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SystemSpec {
    /// Heading; by default the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// System whose settings this one begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Id of a model, which is evaluated as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Flags of `calm compose`, where models and data may be ids: a composition, or a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose: Option<Map<String, Value>>,
    /// Flags of `calm pretrain`, likewise: a model that is trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Map<String, Value>>,
    /// Its seeds, if other than those of the experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<seeds::Written>"))]
    pub seeds: Option<Seeds>,
}

/// A task: a benchmark of `calm eval`, or prompts and targets of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TaskSpec {
    /// Heading; by default the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Heading of the tasks that it stands among.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Name of a benchmark (`calm eval --list`), or `ID/file` of data: a task file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Directory of the benchmark's files: `ID` or `ID/folder` of data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// File of prompts and targets: `ID` or `ID/file` of data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Prompt of a row of that file; by default `{{ prompt }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Right answer of a row of that file; by default `{{ target|trim }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Answer in the output; by default all of it, `{{ output|trim }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Metric of that file's answers; by default `exact_match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub metric: Option<TaskMetric>,
    /// Largest number of tokens that are generated; by default 128, or the benchmark's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
    /// Texts that end an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_texts: Vec<String>,
    /// Number of worked examples, if other than the benchmark's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shots: Option<usize>,
    /// Most examples of each language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Prompts that are answered together; by default 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Languages, from low to high resource; by default all, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Whether differences are tested; by default they are. Scores on training data are only shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tested: Option<bool>,
    /// Parts of the examples that are scored by themselves: a title, and an expression over the
    /// fields of a row.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub parts: Ordered<String>,
    /// The paper's figures, by id of the system.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, f64>"))]
    pub paper: Ordered<f64>,
    /// In how many languages the paper has a system better than the anchor, as `175 of 192`.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub paper_wins: Ordered<String>,
    /// Groups of languages, by name, besides those of the benchmark or with figures of the paper.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, GroupSpec>"))]
    pub groups: Ordered<GroupSpec>,
}

/// A group of languages, whose mean score is shown and tested beside that of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GroupSpec {
    /// Its languages; none if the benchmark has the group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// The paper's figures, by id of the system.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, f64>"))]
    pub paper: Ordered<f64>,
    /// In how many languages the paper has a system better than the anchor, as `20 of 25`.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub paper_wins: Ordered<String>,
}

/// Something that is to be reached: a score, or a difference between two systems. All conditions that
/// are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExpectSpec {
    /// Heading; by default the systems and the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Id of the task.
    pub task: String,
    /// Group of its languages; by default all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Id of the system; by default the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Ids of the systems that it is compared with, each by itself; without one, its score counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
    /// Least score or difference in points, or `{ share = 0.5, of = "ID" }` of what another
    /// expectation found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bar>,
    /// Largest score or difference, in points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Least share of the languages in which the system is better, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wins: Option<f64>,
    /// The 95 % intervals of both scores lie apart.
    #[serde(skip_serializing_if = "is_false")]
    pub intervals_apart: bool,
    /// The difference is above zero beyond chance, after correction.
    #[serde(skip_serializing_if = "is_false")]
    pub significant: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(holds: &bool) -> bool {
    !*holds
}

/// A model's source as text.
mod source {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        source: &Option<ModelSource>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = source.as_ref().map(ModelSource::to_string);
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ModelSource>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let source = text.map(|text| text.parse().map_err(serde::de::Error::custom));
        source.transpose()
    }
}
