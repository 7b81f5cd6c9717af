//! `calm verify`: compares models with values computed elsewhere, and writes such values.

use std::path::{Path, PathBuf};

use calm_lm::compose::{self, Composition, LocatedComposition, ModelSources};
use calm_lm::models::{
    self, EXPECTED_FILE, GreedyCheck, LoadOptions, ModelSource, expected_file, verify_against,
    write_expected,
};
use clap::Args;
use serde::Serialize;

use super::load::LoadArgs;
use super::model::{fetch, show_fetching};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  Write what a composition computes here, and compare on another machine or with a later
  version:
    calm verify composition --make
    calm verify composition

  The same for a checkpoint, for a text of one's own:
    calm verify gpt2 --make --text 'Once upon a time' --expected gpt2.safetensors
    calm verify gpt2 --expected gpt2.safetensors

  A checkpoint with an expected.safetensors of transformers beside it (hidden states,
  logits, and a greedy continuation):
    calm verify crates/calm-models/tests/fixtures/llama

  A composition with expected logits, loss and gradients, over these checkpoints:
    calm verify --tolerance 1e-5 \
        --composition crates/calm-compose/tests/fixtures/compositions/llama-reads-both \
        --checkpoints crates/calm-compose/tests/fixtures/checkpoints

Prints the relative error of every tensor, and exits with 1 if one is outside the
tolerance or a token differs.";

/// Texts of different lengths, so that one is padded.
const TEXTS: [&str; 2] = [
    "The river is long, and the bridge over it is old.",
    "Two and two are 4.",
];

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of a checkpoint or a composition, a GGUF file, or hf:owner/name@revision
    #[arg(
        value_name = "MODEL",
        required_unless_present = "composition",
        conflicts_with = "composition"
    )]
    model: Option<ModelSource>,
    /// Directory of a composition, whose models are in --checkpoints
    #[arg(long, value_name = "DIR", requires = "checkpoints")]
    composition: Option<PathBuf>,
    /// Directory with the checkpoints that the composition names
    #[arg(long, value_name = "DIR", requires = "composition")]
    checkpoints: Option<PathBuf>,
    /// The expected values [default: expected.safetensors beside the model]
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Write the expected values, rather than compare with them
    #[arg(long)]
    make: bool,
    /// Text to write expected values for; once for each of several [default: two sentences]
    #[arg(
        long,
        value_name = "TEXT",
        requires = "make",
        allow_hyphen_values = true
    )]
    text: Vec<String>,
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

/// The model that is verified.
enum Subject {
    /// The path of a checkpoint.
    Checkpoint(PathBuf),
    Composition(Box<Composition>),
}

pub(super) fn run(args: &VerifyArgs, common: &Common) -> Result<Report, Failure> {
    let options = LoadOptions {
        allow_not_finite: args.allow_not_finite,
        ..args.load.options(common.device()?)
    };
    let (subject, beside) = args.subject(&options, common.quiet)?;
    let expected = args.expected.clone().unwrap_or(beside);
    if args.make {
        return args.make(subject, &expected, &options);
    }
    let comparison = match subject {
        Subject::Checkpoint(path) => {
            Comparison::of_checkpoint(verify_against(&path, &expected, &options)?, args.tolerance)
        }
        Subject::Composition(composition) => {
            Comparison::of_composition(composition.verify(&expected)?, args.tolerance)
        }
    };
    Ok(comparison.report())
}

impl VerifyArgs {
    /// The model to be verified, and the file of expected values beside it.
    fn subject(&self, options: &LoadOptions, quiet: bool) -> Result<(Subject, PathBuf), Failure> {
        let composed = |directory: &Path, composition| {
            let subject = Subject::Composition(Box::new(composition));
            Ok((subject, directory.join(EXPECTED_FILE)))
        };
        match (&self.model, &self.composition, &self.checkpoints) {
            (None, Some(directory), Some(checkpoints)) => {
                let composition = Composition::open_among(directory, checkpoints, options)?;
                composed(directory, composition)
            }
            (Some(ModelSource::Path(directory)), ..)
                if directory.join("composition.json").exists() =>
            {
                let sources = ModelSources::default();
                let located = show_fetching(quiet, |show| {
                    LocatedComposition::find(directory, &sources, show)
                });
                composed(directory, located?.load(options, &options.device)?)
            }
            (Some(model), ..) => {
                let also: &[&str] = if self.make { &[] } else { &[EXPECTED_FILE] };
                let path = fetch(model, also, quiet)?.path;
                let beside = expected_file(&path);
                Ok((Subject::Checkpoint(path), beside))
            }
            _ => unreachable!("the parser asks for one or the other"),
        }
    }

    fn make(
        &self,
        subject: Subject,
        expected: &Path,
        options: &LoadOptions,
    ) -> Result<Report, Failure> {
        if expected.exists() {
            let reason = "is there already; delete it, or choose another file with --expected";
            return Err(Failure::path(expected, reason));
        }
        let texts = match self.text.as_slice() {
            [] => TEXTS.map(str::to_owned).to_vec(),
            texts => texts.to_vec(),
        };
        match subject {
            Subject::Checkpoint(path) => write_expected(&path, &texts, expected, options)?,
            Subject::Composition(composition) => composition.write_expected(&texts, expected)?,
        }
        let text = table(&[
            ("written to", expected.display().to_string()),
            ("texts", texts.len().to_string()),
        ]);
        Ok(Report::new(
            text,
            Made {
                expected,
                texts: &texts,
            },
        ))
    }
}

#[derive(Serialize)]
struct Made<'a> {
    expected: &'a Path,
    texts: &'a [String],
}

#[derive(Serialize)]
struct Comparison {
    holds: bool,
    tolerance: f64,
    tensors: Vec<Tensor>,
    greedy: Option<GreedyCheck>,
}

/// Deviation of a tensor from its expected values.
#[derive(Serialize)]
struct Tensor {
    name: String,
    relative_error: f64,
    /// Values that are not numbers.
    nan: usize,
}

impl Comparison {
    fn of_checkpoint(found: models::Verification, tolerance: f64) -> Self {
        let holds = found.is_within(tolerance);
        let tensors = found.deviations.into_iter().map(|tensor| Tensor {
            name: tensor.name,
            relative_error: tensor.relative,
            nan: 0,
        });
        Self {
            holds,
            tolerance,
            tensors: tensors.collect(),
            greedy: Some(found.greedy),
        }
    }

    fn of_composition(found: compose::Verification, tolerance: f64) -> Self {
        let holds = found.is_within(tolerance);
        let tensors = found.deviations.into_iter().map(|tensor| Tensor {
            name: tensor.name,
            relative_error: tensor.relative,
            nan: tensor.nan,
        });
        Self {
            holds,
            tolerance,
            tensors: tensors.collect(),
            greedy: None,
        }
    }

    fn report(self) -> Report {
        let mut rows: Vec<(&str, String)> = self.tensors.iter().map(Tensor::row).collect();
        if let Some(greedy) = &self.greedy {
            rows.extend(greedy_rows(greedy));
        }
        let verdict = if self.holds { "holds" } else { "does not hold" };
        rows.push((verdict, format!("within {:e}", self.tolerance)));
        Report::new(table(&rows), &self).judged(self.holds)
    }
}

impl Tensor {
    fn row(&self) -> (&str, String) {
        let nan = match self.nan {
            0 => String::new(),
            nan => format!(", {nan} values are not numbers"),
        };
        (&self.name, format!("{:.2e}{nan}", self.relative_error))
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
