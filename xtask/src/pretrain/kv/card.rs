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

/// Steps whose losses are averaged for a point of the curve: every step has one kind of text, and
/// some kinds are much harder than others.
const CURVE_STEPS: usize = 50;

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

fn curve(metrics: &[StepMetrics]) -> String {
    let mut text = String::from("step,loss\n");
    for steps in metrics.chunks(CURVE_STEPS) {
        let mean = steps.iter().map(|step| f64::from(step.loss)).sum::<f64>() / steps.len() as f64;
        let last = steps.last().map_or(0, |step| step.step);
        let _ = writeln!(text, "{last},{mean:.4}");
    }
    text
}
