//! `calm inspect`: what a checkpoint or a composition is, without loading weights.

use std::path::PathBuf;

use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::compose::{
    BridgeConfig, BridgeOptions, CompositionFile, Connection, LocatedComposition, Mode,
    ModelHashes, ModelReference, Overhead,
};
use calm_lm::models::{CheckpointInfo, Decoder, FrozenModel, ModelError, ModelFiles, Tokenizer};
use clap::Args;
use serde_json::json;

use super::checkpoint::Checkpoint;
use super::model::{Located, ModelArgs};
use super::overhead::{self, Measured, OverheadArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  Sizes, files and hash of a checkpoint:
    calm inspect anchor

  Where each of its weights comes from:
    calm inspect anchor --tensors

  A checkpoint of the Hugging Face Hub, at a branch that holds a request:
    calm inspect hf:owner/name@refs/pr/1

  What a composition joins, adds and costs, and how it was trained:
    calm inspect composition

  The same with the time per token, measured at the end of a text:
    calm inspect composition --measure text.txt

  One number for a script, by way of jq:
    calm inspect composition --json | jq .added_parameters.stored

Bytes per token are those of keys and values that decoding keeps, of a composition
in f32. A window is full with the tokens that it shows; decoding keeps up to twice as
many. FLOPs are two for each weight, and those of attention over --context tokens.
Those of augmenting models, and their cache, are per token that the model reads: where
it has a tokenizer of its own, --measure tells how many that are for each of the
anchor's. Added parameters by the paper's count are n (D_A D_B + 3 D_B²), without output
projections, biases, norms and gates.";

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// List every tensor of a checkpoint: its file, type, part and shape
    #[arg(long)]
    tensors: bool,
    #[command(flatten)]
    overhead: OverheadArgs,
}

pub(super) fn run(args: &InspectArgs, common: &Common) -> Result<Report, Failure> {
    match args.model.locate(common.quiet)? {
        Located::Checkpoint(_) if args.overhead.measure.is_some() => Err(Failure::flag(
            "--measure",
            "is for compositions; leave it out",
        )),
        Located::Checkpoint(files) => Ok(Checkpoint::read(files)?.report(args.tensors)),
        Located::Composition(located) => {
            let allow_others = args.model.allow_other_weights;
            let composition = Composition::read(*located, allow_others)?;
            let (quiet, overhead) = (common.quiet, &args.overhead);
            let measured = overhead::measure(&args.model, overhead, &common.device()?, quiet)?;
            Ok(composition.report(overhead.context(), measured.as_ref()))
        }
    }
}

/// What a composition is decoded in.
const DTYPE: FloatType = FloatType::F32;

/// A composition with what is known of its models.
struct Composition {
    directory: PathBuf,
    file: CompositionFile,
    anchor: CheckpointInfo,
    augmenting: Vec<CheckpointInfo>,
}

/// What a composition knows its models by.
fn hashes(
    reference: &ModelReference,
    files: &ModelFiles,
    info: &CheckpointInfo,
) -> Result<[String; 2], ModelError> {
    let tokenizer = Tokenizer::load(&files.directory.join("tokenizer.json"))?;
    let vocabulary = tokenizer.sha256().to_owned();
    let weights = match reference.untrained_seed {
        None => info.weights_sha256.clone(),
        Some(seed) => {
            let decoder = Decoder::untrained(&info.config, seed, &Device::default());
            let model = FrozenModel::new(decoder, tokenizer);
            model.weights_sha256()?.to_owned()
        }
    };
    Ok([weights, vocabulary])
}

impl Composition {
    fn read(located: LocatedComposition, allow_others: bool) -> Result<Self, Failure> {
        let anchor = CheckpointInfo::read(&located.anchor.directory)?;
        let augmenting = located
            .augmenting
            .iter()
            .map(|files| CheckpointInfo::read(&files.directory))
            .collect::<Result<Vec<_>, _>>()?;
        let composition = Self {
            directory: located.directory,
            file: located.file,
            anchor,
            augmenting,
        };
        composition.file.check_count(composition.augmenting.len())?;
        if !allow_others {
            composition.check_models(&located.anchor, &located.augmenting)?;
        }
        Ok(composition)
    }

    fn check_models(&self, anchor: &ModelFiles, augmenting: &[ModelFiles]) -> Result<(), Failure> {
        let anchor = hashes(&self.file.anchor, anchor, &self.anchor)?;
        let references = self.file.augmenting.iter();
        let augmenting = references.zip(augmenting).zip(&self.augmenting);
        let augmenting = augmenting
            .map(|((reference, files), info)| hashes(reference, files, info))
            .collect::<Result<Vec<_>, _>>()?;
        let augmenting: Vec<ModelHashes<'_>> = augmenting.iter().map(borrowed).collect();
        Ok(self
            .file
            .check_models(&self.directory, borrowed(&anchor), &augmenting)?)
    }

    /// Every augmenting model with how it is read.
    fn readings(&self) -> impl Iterator<Item = (&CheckpointInfo, &Vec<Connection>, BridgeConfig)> {
        let models = self.augmenting.iter().zip(&self.file.connections);
        models.map(|(augmenting, connections)| {
            let bridge = BridgeConfig {
                d_augmenting: augmenting.config.d_model,
                d_anchor: self.anchor.config.d_model,
                heads: self.file.heads,
                options: self.file.options,
            };
            (augmenting, connections, bridge)
        })
    }

    fn count(&self, of: impl Fn(&BridgeConfig) -> usize) -> usize {
        let counts = self
            .readings()
            .map(|(_, connections, bridge)| connections.len() * of(&bridge));
        counts.sum()
    }

    fn overhead(&self, context: usize) -> Overhead {
        let models = self.readings().map(|(augmenting, connections, bridge)| {
            (&augmenting.config, connections.as_slice(), bridge)
        });
        Overhead::new(&self.anchor.config, models, context, DTYPE)
    }

    fn report(&self, context: usize, measured: Option<&Measured>) -> Report {
        let stored = self.count(BridgeConfig::parameter_count);
        let paper = self.count(BridgeConfig::paper_parameter_count);
        let share = stored as f64 / self.anchor.parameters() as f64;
        let overhead = self.overhead(context);
        let file = &self.file;
        let mut rows = vec![
            ("composition", self.directory.display().to_string()),
            ("anchor", reference(&file.anchor, &self.anchor)),
        ];
        for (model, info) in file.augmenting.iter().zip(&self.augmenting) {
            rows.push(("augmenting", reference(model, info)));
        }
        rows.extend([
            ("connections", json!(file.connections).to_string()),
            ("heads", file.heads.to_string()),
            ("options", options(&file.options)),
            ("mode", mode(file.mode).to_owned()),
            (
                "added parameters",
                format!("{stored}, {paper} by the paper's count"),
            ),
            ("share of the anchor", format!("{:.2} %", 100.0 * share)),
        ]);
        rows.extend(overhead::rows(&overhead, context, file.mode));
        rows.extend(
            measured
                .iter()
                .flat_map(|measured| measured.rows(&overhead)),
        );
        let text = format!("{}training {}\n", table(&rows), file.training);
        let json = json!({
            "kind": "composition",
            "directory": self.directory,
            "anchor": file.anchor,
            "augmenting": file.augmenting,
            "connections": file.connections,
            "heads": file.heads,
            "options": file.options,
            "mode": file.mode,
            "added_parameters": { "stored": stored, "paper": paper },
            "share_of_anchor": share,
            "cache_bytes_per_token": overhead.cache_bytes(),
            "overhead": overhead::json(&overhead, context),
            "measured": measured.map(|measured| measured.json(&overhead)),
            "training": file.training,
        });
        Report::new(text, json)
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Iterative => "iterative, augmenting models read all of a text",
        Mode::Encoder => "encoder, augmenting models read the prompt only",
    }
}

fn borrowed([weights, tokenizer]: &[String; 2]) -> ModelHashes<'_> {
    ModelHashes { weights, tokenizer }
}

/// What departs from the paper's bridge, as composition.json has it.
fn options(options: &BridgeOptions) -> String {
    let (mut given, default) = (json!(options), json!(BridgeOptions::default()));
    if let Some(given) = given.as_object_mut() {
        given.retain(|name, value| default.get(name) != Some(value));
        if given.is_empty() {
            return "the paper's".to_owned();
        }
    }
    given.to_string()
}

fn reference(reference: &ModelReference, info: &CheckpointInfo) -> String {
    let weights = match reference.untrained_seed {
        None => format!("sha256 {}", info.weights_sha256),
        Some(seed) => format!(
            "untrained weights of seed {seed}, sha256 {}",
            reference.weights_sha256
        ),
    };
    format!(
        "{}, {} blocks of width {}, {} parameters, {weights}",
        reference.path.display(),
        info.config.block_count(),
        info.config.d_model,
        info.parameters(),
    )
}
