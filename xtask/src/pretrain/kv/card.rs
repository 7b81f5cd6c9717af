//! The model card and the loss curve that lie beside a checkpoint.

use std::fmt::Write as _;
use std::path::Path;

use calm_lm::data::jsonl::PromptTarget;
use calm_lm::data::kv::{KeyPool, KvDataset, KvTask};
use calm_lm::eval::{accuracy, exact_match};
use calm_lm::models::FrozenModel;
use calm_lm::train::StepMetrics;
use miette::{IntoDiagnostic, Result};

use super::RunSettings;
use crate::pretrain::curve::{CURVE_STEPS, curve};

/// Expressions that a task is tried on.
const EVALUATED: u64 = 1000;

/// Writes `README.md` and `loss.csv` into the directory of a checkpoint that was just saved.
pub(super) fn write(
    directory: &Path,
    settings: &RunSettings<'_>,
    metrics: &[StepMetrics],
    model: &FrozenModel,
    dataset: &KvDataset,
) -> Result<()> {
    let card = card(settings, model, dataset)?;
    for (name, text) in [("README.md", card), ("loss.csv", curve(metrics))] {
        calm_files::write(directory.join(name), text).into_diagnostic()?;
    }
    Ok(())
}

fn card(settings: &RunSettings<'_>, model: &FrozenModel, dataset: &KvDataset) -> Result<String> {
    let recipe = settings.recipe;
    let mut card = format!("# {}\n\n{}\n\n", recipe.name, recipe.purpose);
    let _ = writeln!(
        card,
        "Made by `cargo xtask pretrain kv --only {} --seed {}`, version {}. `loss.csv` has the \
         loss per target token in nats, averaged over {CURVE_STEPS} steps of mixed texts.\n",
        recipe.name,
        recipe.train.seed,
        env!("CARGO_PKG_VERSION"),
    );
    card.push_str("| task, over held-out keys | exact match |\n| --- | ---: |\n");
    for task in KvTask::TABLE {
        let examples: Vec<PromptTarget> = (0..EVALUATED)
            .map(|index| dataset.example(task, KeyPool::HeldOut, index).into())
            .collect();
        let end_of_text = model.special.eos[0];
        let samples = exact_match(&model.decoder, &model.tokenizer, end_of_text, &examples)
            .into_diagnostic()?;
        let _ = writeln!(
            card,
            "| {} | {:.1} % |",
            task.name(),
            accuracy(&samples).percent()
        );
    }
    let settings = serde_json::to_string_pretty(settings).into_diagnostic()?;
    let _ = writeln!(card, "\n```json\n{settings}\n```");
    Ok(card)
}
