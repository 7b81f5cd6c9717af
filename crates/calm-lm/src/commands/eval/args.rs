//! Flags of `calm eval`.

use std::path::PathBuf;

use calm_lm::train::runs::ExampleConfig;
use clap::Args;

use super::flags::{Amounts, Kind, given};
use super::metric::EvalMetric;
use super::tasks::TaskArgs;
use crate::commands::load::LoadArgs;
use crate::commands::model::{ModelArgs, ScaleArgs};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(super) model: Option<ModelArgs>,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) scales: ScaleArgs,
    /// Examples: a file, or hf:datasets/owner/name@revision; with --task, the benchmark's directory
    ///
    /// JSON Lines, a JSON array, CSV or Parquet with a `prompt` and a `target`, a `question` and an
    /// `answer`, `messages`, or a `text`.
    #[arg(long, value_name = "PATH")]
    pub(super) data: Option<PathBuf>,
    /// With examples, what is measured [default: exact; perplexity of plain texts]
    #[arg(long, value_name = "NAME")]
    pub(super) metric: Option<EvalMetric>,
    #[command(flatten)]
    pub(super) form: ExampleConfig,
    #[command(flatten)]
    pub(super) amounts: Amounts,
    /// With examples, write every prompt, target and answer to this JSON Lines file
    #[arg(long, value_name = "FILE")]
    pub(super) samples: Option<PathBuf>,
    #[command(flatten)]
    pub(super) tasks: TaskArgs,
    /// List the benchmarks
    #[arg(long)]
    list: bool,
    /// Show a benchmark as a task file; with --data its first prompt, as a model reads it
    #[arg(long, value_name = "TASK")]
    pub(super) show: Option<String>,
    /// Compare the second run with the first
    #[arg(long, value_name = "RUN", num_args = 2)]
    pub(super) compare: Vec<PathBuf>,
}

impl EvalArgs {
    /// The kind of evaluation that is asked for. Of several, none.
    pub(super) fn kind(&self) -> Result<Kind, Failure> {
        let asked = [
            (Kind::List, "--list", self.list),
            (Kind::Show, "--show", self.show.is_some()),
            (Kind::Compare, "--compare", !self.compare.is_empty()),
            (Kind::Tasks, "--task", !self.tasks.tasks.is_empty()),
        ];
        let mut asked = asked.into_iter().filter(|(.., is_asked)| *is_asked);
        match (asked.next(), asked.next()) {
            (Some((_, first, _)), Some((_, second, _))) => {
                let reason = format!("cannot be used with {first}; give one of them");
                Err(Failure::flag(second, reason))
            }
            (Some((kind, ..)), None) => Ok(kind),
            (None, _) => Ok(Kind::Examples),
        }
    }

    /// Names of all flags that are given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let (form, amounts) = (&self.form, &self.amounts);
        let own = given([
            ("--scale", !self.scales.is_empty()),
            ("--data", self.data.is_some()),
            ("--metric", self.metric.is_some()),
            ("--samples", self.samples.is_some()),
            ("--prompt-field", form.prompt_field.is_some()),
            ("--target-field", form.target_field.is_some()),
            ("--text-field", form.text_field.is_some()),
            ("--chat", form.chat),
            ("--limit", amounts.limit.is_some()),
            ("--shots", amounts.shots.is_some()),
            ("--shots-file", amounts.shots_file.is_some()),
            ("--max-new-tokens", amounts.max_new_tokens.is_some()),
            ("--batch", amounts.batch.is_some()),
        ]);
        let model = self.model.as_ref().map_or(Vec::new(), ModelArgs::given);
        [own, model, self.load.given(), self.tasks.given()].concat()
    }
}
