//! `cargo xtask pretrain ntl`: the frozen models of tables 2, 3 and 6, trained on a generated world.
//!
//! A recipe is a file of flags of `calm pretrain`, in which `train` and `tokenizer` are files of the
//! world and `from` is another recipe's model.

mod card;

use std::path::{Path, PathBuf};

use calm_lm::backend::device;
use calm_lm::data::builders::BuilderConfig;
use calm_lm::data::builders::ntl::world::{WorldConfig, WorldSizes};
use calm_lm::models::ModelSource;
use calm_lm::terminal::{Display, RunDisplay};
use calm_lm::train::runs::{PretrainConfig, PretrainRun, RunContext};
use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr};

/// Models in the order in which they are made, with their recipes and what they are for.
const RECIPES: [Recipe; 3] = [
    Recipe {
        name: "ntl-small",
        flags: include_str!("small.toml"),
        about: "`small`, the paper's XXS: a little of everything. m_A begins as it, and it is the control \
                without a specialisation.",
    },
    Recipe {
        name: "ntl-augmenting",
        flags: include_str!("augmenting.toml"),
        about: "The augmenting model m_A: `small`, trained further on D_NTL: texts, glosses, word lists and some \
                translations of 24 low-resource languages and six high-resource ones.",
    },
    Recipe {
        name: "ntl-anchor",
        flags: include_str!("anchor.toml"),
        about: "The anchor m_B: English and six high-resource languages, translation between them, word \
                problems, and traces of the low-resource languages.",
    },
];

/// A model, and how it is made.
struct Recipe {
    /// Directory of the checkpoint.
    name: &'static str,
    /// Flags of `calm pretrain`.
    flags: &'static str,
    /// Description in the model card.
    about: &'static str,
}

/// Models to make, and their directory.
#[derive(Debug, Args)]
pub(crate) struct NtlArgs {
    /// Only this model.
    #[arg(long, value_parser = RECIPES.map(|recipe| recipe.name))]
    only: Option<String>,
    /// Steps of every training, if other than the recipe's.
    #[arg(long)]
    steps: Option<usize>,
    /// Where the checkpoints go [default: where `cargo xtask reproduce` looks for them].
    #[arg(long, default_value = "datasets/checkpoints")]
    out: PathBuf,
    /// Where the world and the runs are kept, so that an interrupted one goes on.
    #[arg(long, default_value = "runs/pretrain/ntl")]
    runs: PathBuf,
    /// Fixes weights and the order of texts.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device to train on.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Makes the world, then the models one after the other.
pub(super) fn run(args: &NtlArgs) -> Result<()> {
    let world = args.runs.join("world");
    let builder = BuilderConfig::Ntl {
        config: WorldConfig::default(),
        sizes: WorldSizes::default(),
    };
    builder.build(&world).into_diagnostic()?;
    for recipe in &RECIPES {
        if args.only.as_ref().is_none_or(|only| only == recipe.name) {
            make(recipe, &world, args).wrap_err(recipe.name)?;
        }
    }
    Ok(())
}

/// Trains one model and writes its checkpoint with its card.
fn make(recipe: &Recipe, world: &Path, args: &NtlArgs) -> Result<()> {
    let made = args.runs.join(recipe.name);
    let mut config: PretrainConfig = toml::from_str(recipe.flags).into_diagnostic()?;
    config.training.train = world.join(&config.training.train);
    match &config.from {
        Some(base) => config.from = Some(ModelSource::Path(args.runs.join(base.to_string()))),
        None => config.tokenizer = world.join("tokenizer.json"),
    }
    config.out.clone_from(&made);
    config.training.resume = made.join("run").is_dir();
    if let Some(steps) = args.steps {
        config.training.steps = Some(steps);
    }
    let device = device(&args.device).into_diagnostic()?;
    let run = PretrainRun::new(config, RunContext::new(device, args.seed)).into_diagnostic()?;
    run.run(&mut RunDisplay::new(Display::Progress))
        .into_diagnostic()?;
    let out = args.out.join(recipe.name);
    card::write(recipe, world, &made, &out, args)?;
    println!("{}: {}", out.display(), recipe.about);
    Ok(())
}
