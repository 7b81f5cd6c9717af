//! The checkpoint of a recipe: weights in half precision, the model card and the loss curve.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;

use calm_lm::backend::{FloatType, device};
use calm_lm::eval::run::{Answering, Decoding, Evaluation, PromptOverflow, Results, Selection};
use calm_lm::eval::tasks::Task;
use calm_lm::models::{FrozenModel, LoadOptions};
use calm_lm::train::RunDir;
use miette::{IntoDiagnostic, Result};

use super::{NtlArgs, Recipe};
use crate::pretrain::curve::{CURVE_STEPS, curve};

/// Tasks of the world that a model is tried on, alone.
const TASKS: [&str; 2] = ["translation", "problems"];

/// Examples of each language.
const EVALUATED: usize = 50;

/// Writes the checkpoint that `made` holds to `out`, with its card, which tells what the stored weights
/// can do, rounding included.
pub(super) fn write(
    recipe: &Recipe,
    world: &Path,
    made: &Path,
    out: &Path,
    args: &NtlArgs,
) -> Result<()> {
    let options = LoadOptions {
        device: device(&args.device).into_diagnostic()?,
        dtype: FloatType::F32.into(),
        ..LoadOptions::default()
    };
    let model = FrozenModel::load(made, &options).into_diagnostic()?;
    model.save(out, FloatType::F16).into_diagnostic()?;
    let stored = FrozenModel::load(out, &options).into_diagnostic()?;
    let mut card = format!(
        "# {name}\n\n{about}\n\nMade by `cargo xtask pretrain ntl --only {name} --seed {seed}`, version {version}. `loss.csv` \
         has the loss per token in nats, averaged over {CURVE_STEPS} steps.\n\n| task | languages | score |\n\
         | --- | --- | ---: |\n",
        name = recipe.name,
        about = recipe.about,
        seed = args.seed,
        version = env!("CARGO_PKG_VERSION"),
    );
    for task in TASKS {
        let results = evaluate(&stored, task, world)?;
        let scores = &results.tasks[0];
        for group in &scores.groups {
            let _ = writeln!(
                card,
                "| {task}, {metric} | {group}, {languages} | {score:.1} |",
                metric = scores.metric.name(),
                group = group.group.replace('_', " "),
                languages = group.languages,
                score = group.score
            );
        }
    }
    let _ = writeln!(card, "\n```toml\n{}```", recipe.flags);
    calm_files::write(out.join("README.md"), card).into_diagnostic()?;
    let metrics = RunDir::read_metrics(&made.join("run")).into_diagnostic()?;
    calm_files::write(out.join("loss.csv"), curve(&metrics)).into_diagnostic()
}

fn evaluate(model: &FrozenModel, task: &str, world: &Path) -> Result<Results> {
    let task =
        Task::named(&world.join(format!("{task}.toml")).to_string_lossy()).into_diagnostic()?;
    let selection = Selection {
        limit: Some(EVALUATED),
        ..Selection::default()
    };
    let evaluation = Evaluation::read(vec![task], world, &selection).into_diagnostic()?;
    let scorers = evaluation.scorers(&Default::default()).into_diagnostic()?;
    let answering = Answering {
        model: &model.decoder,
        tokenizer: &model.tokenizer,
        end_of_text: &model.special.eos,
        decoding: Decoding {
            rows: EVALUATED,
            too_long: PromptOverflow::default(),
        },
    };
    let directory = tempfile::tempdir().into_diagnostic()?;
    let watch = |_: usize| ControlFlow::Continue(());
    let results = evaluation.run(&answering, &"", &scorers, directory.path(), 0, watch);
    match results.into_diagnostic()? {
        ControlFlow::Continue(results) => Ok(results),
        ControlFlow::Break(_) => unreachable!("nothing ends it"),
    }
}
