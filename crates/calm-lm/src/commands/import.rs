//! `calm import` and `calm export`: compositions of other projects.

use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::compose::{
    BridgeOptions, Composition, CompositionInfo, Connection, ImportPlan, LoadedModel, Project,
    TrainingRecord, export, import,
};
use calm_lm::models::ModelSource;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::load::LoadArgs;
use super::model::{Located, ModelArgs, fetch};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, connection_rows, count, table};

pub(super) const IMPORT_EXAMPLES: &str = r"EXAMPLES
  Of google-deepmind/calm, whose pairs are (anchor, augmenting) counted from 0:
    calm import --from deepmind --state model.safetensors --anchor gemma-2b \
        --augmenting gemma-law --connections '[[8,8],[17,17]]' --heads 1 --out composition

  Of lucidrains/CALM-pytorch, whose pairs are (augmenting, anchor) counted from 1:
    calm import --from lucidrains --state calm.pt --anchor anchor \
        --augmenting specialist --connections '[[1,1],[5,3]]' --out composition

The state dict may be a safetensors file, or one of torch.save, which is read without
executing anything. docs/composition.md has which of its names becomes which of ours.";

pub(super) const EXPORT_EXAMPLES: &str = r"EXAMPLES
  For CALM(...).load_state_dict of lucidrains/CALM-pytorch:
    calm compose --anchor anchor --augmenting specialist --bridge paper \
        --train data.jsonl --out paper
    calm export paper --to lucidrains --out calm.safetensors

What can be exported:
  deepmind    one augmenting model, --bridge paper --output-norm, with or without
              --bridge-bias and --gate scalar
  lucidrains  --bridge paper, with or without --anchor-norm, --d-inner, --gate heads and
              --gate scalar

Neither project has a norm of the augmenting model's hidden states, and no weights can
stand for it, so that bridges of the default form are refused. A scalar gate is
multiplied into W_O. `calm inspect COMPOSITION` tells what a composition can be
exported to.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProjectName {
    /// google-deepmind/calm
    Deepmind,
    /// lucidrains/CALM-pytorch
    Lucidrains,
}

impl From<ProjectName> for Project {
    fn from(name: ProjectName) -> Self {
        match name {
            ProjectName::Deepmind => Self::Deepmind,
            ProjectName::Lucidrains => Self::Lucidrains,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Project that wrote the state dict
    #[arg(long, value_name = "PROJECT", value_enum)]
    from: ProjectName,
    /// The state dict, a safetensors file or one of torch.save
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Checkpoint of the anchor
    #[arg(long, value_name = "MODEL")]
    anchor: ModelSource,
    /// Checkpoint of an augmenting model; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    augmenting: Vec<ModelSource>,
    /// Pairs of blocks as that project writes them; once for each augmenting model
    #[arg(long, value_name = "JSON", required = true, value_parser = pairs)]
    connections: Vec<Pairs>,
    /// Attention heads, where the state dict does not tell them
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Directory for the composition
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
}

type Pairs = Vec<[usize; 2]>;

fn pairs(text: &str) -> Result<Pairs, String> {
    serde_json::from_str(text).map_err(|_| "expected pairs such as [[1,1],[2,3]]".to_owned())
}

pub(super) fn run_import(args: &ImportArgs, common: &Common) -> Result<Report, Failure> {
    if fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::path(
            &args.out,
            "is not empty; choose another directory",
        ));
    }
    let composition = args.import(common)?;
    composition.save(&args.out)?;
    let parameters = composition.model.bridges.parameter_count();
    let connections: Vec<_> = composition.connections().collect();
    let mut rows = vec![("written to", args.out.display().to_string())];
    rows.extend(connection_rows(&connections));
    rows.push(("added parameters", count(parameters)));
    let text = table(&rows);
    let result = ImportResult {
        out: &args.out,
        connections,
        heads: composition.heads,
        options: composition.options,
        added_parameters: parameters,
    };
    Ok(Report::new(text, result))
}

#[derive(Serialize)]
struct ImportResult<'a> {
    out: &'a Path,
    connections: Vec<&'a [Connection]>,
    heads: usize,
    options: BridgeOptions,
    added_parameters: usize,
}

/// The training record of an imported composition.
#[derive(Serialize)]
struct ImportRecord<'a> {
    imported_from: &'a Path,
}

impl ImportArgs {
    fn import(&self, common: &Common) -> Result<Composition, Failure> {
        let options = self.load.options(common.device()?);
        let load = |source: &ModelSource| -> Result<LoadedModel, Failure> {
            let files = fetch(source, &[], common.quiet)?;
            Ok(LoadedModel::from_files(files, &options)?)
        };
        let anchor = load(&self.anchor)?;
        let augmenting = self.augmenting.iter().map(load);
        let augmenting = augmenting.collect::<Result<Vec<LoadedModel>, _>>()?;
        let widths = augmenting.iter().map(|model| model.model.config().d_model);
        let plan = ImportPlan {
            project: self.from.into(),
            connections: self.connections.clone(),
            heads: self.heads,
            d_anchor: anchor.model.config().d_model,
            d_augmenting: widths.collect(),
            norm_epsilon: anchor.model.config().final_norm.epsilon,
        };
        let imported = import(&self.state, &plan, &options.device)?;
        let record = ImportRecord {
            imported_from: &self.state,
        };
        let record = TrainingRecord::new(&record)
            .map_err(|error| Failure::path(&self.state, error.to_string()))?;
        Ok(imported.join(anchor, augmenting, record)?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Project that is to read it
    #[arg(long, value_name = "PROJECT", value_enum)]
    to: ProjectName,
    /// The state dict to write, a safetensors file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run_export(args: &ExportArgs, common: &Common) -> Result<Report, Failure> {
    let [options, _] = args.model.load_options(&args.load, common)?;
    let located = match args.model.locate(common.quiet)? {
        Located::Composition(located) => located,
        Located::Checkpoint(files) => {
            let reason = "is no composition (there is no composition.json in it)";
            return Err(Failure::path(files.source.to_string(), reason));
        }
    };
    let info = CompositionInfo::read(*located, options.strictness)?;
    let to = args.to.into();
    info.check_export(to)?;
    export(&info.read_bridges(&options.device)?, to, &args.out)?;
    let text = table(&[("written to", args.out.display().to_string())]);
    Ok(Report::new(text, Exported { out: &args.out }))
}

#[derive(Serialize)]
struct Exported<'a> {
    out: &'a Path,
}
