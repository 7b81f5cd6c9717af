//! `calm inspect`: describes a checkpoint or a composition, without loading weights.

mod checkpoint;
mod cost;

use std::iter;
use std::path::Path;

use calm_lm::backend::FloatType;
use calm_lm::compose::{
    BridgeOptions, CompositionInfo, Connection, Mode, ModelReference, Overhead, Project,
    TrainingRecord,
};
use calm_lm::models::CheckpointInfo;
use calm_lm::train::runs::BridgeRecord;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use self::cost::{Cost, CostArgs, Measured};
use super::load::LoadArgs;
use super::model::{Located, ModelArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, connection_rows, count, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  Sizes, files and hash of a checkpoint:
    calm inspect anchor

  Where each of its weights comes from:
    calm inspect anchor --tensors

  A checkpoint of the Hugging Face Hub, at a branch that holds a request:
    calm inspect hf:owner/name@refs/pr/1

  The models, connections, cost and training of a composition:
    calm inspect composition

  The same with the time per token, measured at the end of a text:
    calm inspect composition --measure text.txt

  One number for a script, by way of jq:
    calm inspect composition --json | jq .added_parameters.stored

Bytes per token are those of the keys and values that decoding keeps, of a composition
in the types that its models compute in. A window is full with the tokens that it shows; decoding keeps up to twice as
many. FLOPs are two for each weight, and those of attention over --context tokens.
FLOPs and cache of augmenting models are per token that the model reads. A model with a
tokenizer of its own reads more or fewer tokens than the anchor: --measure counts them.
Added parameters by the paper's count are n (D_A D_B + 3 D_B²), without output
projections, biases, norms and gates.";

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// List every tensor of a checkpoint with its file, type, part and shape
    #[arg(long)]
    tensors: bool,
    #[command(flatten)]
    cost: CostArgs,
}

pub(super) fn run(args: &InspectArgs, common: &Common) -> Result<Report, Failure> {
    let [anchor, augmenting] = args.model.load_options(&args.load, common)?;
    match args.model.locate(common.quiet)? {
        Located::Checkpoint(_) if args.cost.measure.is_some() => Err(Failure::flag(
            "--measure",
            "is for compositions; leave it out",
        )),
        Located::Checkpoint(files) => checkpoint::report(&files, args.tensors, &anchor),
        Located::Composition(located) => {
            let info = CompositionInfo::read(*located, anchor.strictness)?;
            let anchor = anchor.resolve(info.anchor.stored_type)?;
            let of_model = |model: &CheckpointInfo| augmenting.resolve(model.stored_type);
            let of_models = info.augmenting.iter().map(of_model);
            let of_models = of_models.collect::<Result<Vec<FloatType>, _>>()?;
            let cost = info.overhead(args.cost.context(), anchor, &of_models);
            let dtype = FloatType::names(iter::once(anchor).chain(of_models));
            let measured = cost::measure((&args.model, &args.load), &args.cost, &cost, common)?;
            let context = args.cost.context();
            let composition = Composition::new(&info, dtype, &cost, context, measured);
            Ok(Report::new(composition.text(&info), composition))
        }
    }
}

#[derive(Serialize)]
struct Composition<'a> {
    kind: &'static str,
    directory: &'a Path,
    anchor: &'a ModelReference,
    augmenting: &'a [ModelReference],
    connections: &'a [Vec<Connection>],
    heads: usize,
    options: BridgeOptions,
    mode: Mode,
    added_parameters: ParameterCounts,
    share_of_anchor: f64,
    /// Type that the models compute in; of each in turn if they differ.
    dtype: String,
    cache_bytes_per_token: u64,
    overhead: Cost,
    measured: Option<Measured>,
    /// Repositories of the projects that `calm export` can write the bridges for.
    exportable_to: Vec<&'static str>,
    training: &'a TrainingRecord,
}

#[derive(Serialize)]
struct ParameterCounts {
    stored: usize,
    paper: usize,
}

impl<'a> Composition<'a> {
    fn new(
        info: &'a CompositionInfo,
        dtype: String,
        overhead: &Overhead,
        context: usize,
        measured: Option<Measured>,
    ) -> Self {
        let file = &info.file;
        let stored = info.parameter_count();
        Self {
            kind: "composition",
            directory: &info.directory,
            anchor: &file.anchor,
            augmenting: &file.augmenting,
            connections: &file.connections,
            heads: file.heads,
            options: file.options,
            mode: file.mode,
            added_parameters: ParameterCounts {
                stored,
                paper: info.paper_parameter_count(),
            },
            share_of_anchor: stored as f64 / info.anchor.parameters() as f64,
            dtype,
            cache_bytes_per_token: overhead.cache_bytes(),
            overhead: Cost::new(overhead, context),
            measured,
            exportable_to: exportable(info),
            training: &file.training,
        }
    }

    fn text(&self, info: &CompositionInfo) -> String {
        let ParameterCounts { stored, paper } = self.added_parameters;
        let mut rows = vec![("composition", self.directory.display().to_string())];
        rows.extend(model_rows("anchor", self.anchor, &info.anchor));
        let augmenting = self.augmenting.iter().zip(&info.augmenting);
        rows.extend(augmenting.flat_map(|(model, info)| model_rows("augmenting", model, info)));
        let mode = match self.mode {
            Mode::Iterative => "iterative, augmenting models read all of a text",
            Mode::Encoder => "encoder, augmenting models read the prompt only",
        };
        let share = 100.0 * self.share_of_anchor;
        rows.extend(connection_rows(self.connections));
        rows.extend([
            ("heads", self.heads.to_string()),
            ("options", options(&self.options)),
            ("mode", mode.to_owned()),
            (
                "added parameters",
                format!(
                    "{}, {share:.2} % of the anchor's ({} by the paper's count)",
                    count(stored),
                    count(paper)
                ),
            ),
            ("computes in", self.dtype.clone()),
            ("export", export_line(info)),
        ]);
        rows.extend(self.overhead.rows(self.cache_bytes_per_token, self.mode));
        rows.extend(self.measured.iter().flat_map(Measured::rows));
        rows.extend(training_rows(self.training));
        table(&rows)
    }
}

fn exportable(info: &CompositionInfo) -> Vec<&'static str> {
    let all = Project::ALL.into_iter();
    let exportable = all.filter(|project| info.check_export(*project).is_ok());
    exportable.map(Project::repository).collect()
}

/// Projects that the bridges can be written for.
fn export_line(info: &CompositionInfo) -> String {
    match exportable(info).as_slice() {
        [] => "to no other project, see `calm export --help`".to_owned(),
        projects => format!("to {}", projects.join(" and ")),
    }
}

/// The form of the bridges, and the options beyond it.
fn options(options: &BridgeOptions) -> String {
    let forms = [
        ("normed", BridgeOptions::default()),
        ("the paper's", BridgeOptions::paper()),
    ];
    let described = forms.map(|(name, form)| {
        let (given, form) = (json!(options), json!(form));
        let given = given.as_object().into_iter().flatten();
        let others = given.filter(|(name, value)| form.get(name) != Some(value));
        let others: Vec<String> = others.map(|(name, value)| option(name, value)).collect();
        (others.len(), [name.to_owned()].into_iter().chain(others))
    });
    let nearest = described.into_iter().min_by_key(|(others, _)| *others);
    let words = nearest.into_iter().flat_map(|(_, words)| words);
    words.collect::<Vec<_>>().join(", ")
}

/// An option of bridges in words.
fn option(name: &str, value: &Value) -> String {
    let name = name.replace('_', " ");
    match value {
        Value::Bool(true) => name,
        Value::Bool(false) => format!("no {name}"),
        Value::String(value) => format!("{name} {value}"),
        value => format!("{name} {value}"),
    }
}

fn model_rows(
    name: &'static str,
    reference: &ModelReference,
    info: &CheckpointInfo,
) -> [(&'static str, String); 3] {
    let size = format!(
        "{} blocks of width {}, {} parameters",
        info.config.block_count(),
        info.config.d_model,
        count(info.parameters()),
    );
    let weights = match reference.untrained_seed {
        None => format!("sha256 {}", info.weights_sha256),
        Some(seed) => format!(
            "untrained weights of seed {seed}, sha256 {}",
            reference.weights_sha256
        ),
    };
    [
        (name, reference.path.display().to_string()),
        ("", size),
        ("", weights),
    ]
}

/// How the bridges were trained, if our trainer has.
fn training_rows(record: &TrainingRecord) -> Vec<(&'static str, String)> {
    let Ok(BridgeRecord { run, device, .. }) = record.read() else {
        let text = "by another program; --json has its record".to_owned();
        return vec![("trained", text)];
    };
    let data = format!(
        "{}, {} examples",
        run.data.path.display(),
        run.data.examples
    );
    let steps = format!(
        "{} of {}, of {} rows each, {:.0} s on {device}",
        run.steps_done, run.settings.steps, run.rows, run.seconds
    );
    let loss = run
        .final_loss
        .map(|loss| format!("{loss:.4} nats per token at the last step"));
    let best = run.best.map(|best| {
        format!(
            "{:.4} nats per token held out, at step {}",
            best.loss, best.step
        )
    });
    let losses = [loss, best].into_iter().flatten();
    let losses = losses.map(|loss| ("loss", loss));
    [("trained on", data), ("steps", steps)]
        .into_iter()
        .chain(losses)
        .collect()
}
