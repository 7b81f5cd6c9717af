//! `calm verify`: compares models with values computed elsewhere.

use std::path::{Path, PathBuf};

use calm_lm::compose;
use calm_lm::models::{self, EXPECTED_FILE, GreedyCheck, LoadOptions, ModelSource};
use clap::Args;
use serde::Serialize;

use super::load::LoadArgs;
use super::model::fetch;
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A checkpoint with an expected.safetensors beside it (hidden states, logits, and a
  greedy continuation):
    calm verify crates/calm-models/tests/fixtures/llama

  A composition with expected logits, loss and gradients, over these checkpoints:
    calm verify --tolerance 1e-5 \
        --composition crates/calm-compose/tests/fixtures/compositions/llama-reads-both \
        --checkpoints crates/calm-compose/tests/fixtures/checkpoints

Prints the relative error of every tensor, and exits with 1 if one is outside the
tolerance or a token differs.";

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of a checkpoint and its expected.safetensors, or hf:owner/name@revision
    #[arg(
        value_name = "MODEL",
        required_unless_present = "composition",
        conflicts_with = "composition"
    )]
    model: Option<ModelSource>,
    /// Directory of a composition.json and its expected.safetensors
    #[arg(long, value_name = "DIR", requires = "checkpoints")]
    composition: Option<PathBuf>,
    /// Directory with the checkpoints that the composition names
    #[arg(long, value_name = "DIR", requires = "composition")]
    checkpoints: Option<PathBuf>,
    /// Largest relative error of a tensor
    #[arg(
        long,
        value_name = "ERROR",
        default_value = "1e-4",
        value_parser = tolerance,
        allow_negative_numbers = true
    )]
    tolerance: f64,
    #[command(flatten)]
    load: LoadArgs,
    /// Load weights that are NaN or infinite, rather than refuse them
    #[arg(long, conflicts_with = "composition")]
    allow_not_finite: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a number that is not negative".to_owned()),
    }
}

pub(super) fn run(args: &VerifyArgs, common: &Common) -> Result<Report, Failure> {
    let options = LoadOptions {
        allow_not_finite: args.allow_not_finite,
        ..args.load.options(common.device()?)
    };
    match (&args.model, &args.composition, &args.checkpoints) {
        (Some(model), ..) => {
            let files = fetch(model, &[EXPECTED_FILE], common.quiet)?;
            checkpoint(&files.path, args.tolerance, &options)
        }
        (None, Some(directory), Some(checkpoints)) => {
            composition(directory, checkpoints, args.tolerance, &options)
        }
        _ => unreachable!("the parser asks for one or the other"),
    }
}

fn checkpoint(directory: &Path, tolerance: f64, options: &LoadOptions) -> Result<Report, Failure> {
    let found = models::verify(directory, options)?;
    let tensors = found.deviations.iter().map(|tensor| Tensor {
        name: &tensor.name,
        relative_error: tensor.relative,
        nan: 0,
    });
    Ok(Comparison {
        holds: found.is_within(tolerance),
        tolerance,
        tensors: tensors.collect(),
        greedy: Some(found.greedy),
    }
    .report())
}

fn composition(
    directory: &Path,
    checkpoints: &Path,
    tolerance: f64,
    options: &LoadOptions,
) -> Result<Report, Failure> {
    let found = compose::verify(directory, checkpoints, options)?;
    let tensors = found.deviations.iter().map(|tensor| Tensor {
        name: &tensor.name,
        relative_error: tensor.relative,
        nan: tensor.nan,
    });
    Ok(Comparison {
        holds: found.is_within(tolerance),
        tolerance,
        tensors: tensors.collect(),
        greedy: None,
    }
    .report())
}

#[derive(Serialize)]
struct Comparison<'a> {
    holds: bool,
    tolerance: f64,
    tensors: Vec<Tensor<'a>>,
    greedy: Option<GreedyCheck>,
}

/// Deviation of a tensor from its expected values.
#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    relative_error: f64,
    /// Values that are not numbers.
    nan: usize,
}

impl Comparison<'_> {
    fn report(&self) -> Report {
        let mut rows: Vec<(&str, String)> = self.tensors.iter().map(Tensor::row).collect();
        if let Some(greedy) = &self.greedy {
            rows.extend(greedy_rows(greedy));
        }
        let verdict = if self.holds { "holds" } else { "does not hold" };
        rows.push((verdict, format!("within {:e}", self.tolerance)));
        Report::new(table(&rows), self).judged(self.holds)
    }
}

impl Tensor<'_> {
    fn row(&self) -> (&str, String) {
        let nan = match self.nan {
            0 => String::new(),
            nan => format!(", {nan} values are not numbers"),
        };
        (self.name, format!("{:.2e}{nan}", self.relative_error))
    }
}

fn greedy_rows(greedy: &GreedyCheck) -> [(&'static str, String); 2] {
    let result = |differs_at: Option<usize>| match differs_at {
        None => format!("all {} tokens are the same", greedy.tokens),
        Some(place) => format!("differs at token {} of {}", place + 1, greedy.tokens),
    };
    [
        ("greedy, cached", result(greedy.cached_differs_at)),
        ("greedy, uncached", result(greedy.uncached_differs_at)),
    ]
}
