//! `calm inspect`: what a checkpoint or a composition is, without loading weights.

use std::path::{Path, PathBuf};

use calm_lm::backend::FloatType;
use calm_lm::compose::{BridgeConfig, CompositionFile, Connection};
use calm_lm::models::CheckpointInfo;
use clap::Args;
use serde_json::json;

use super::checkpoint::Checkpoint;
use super::model::{Located, LocatedComposition, ModelArgs};
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

  One number for a script, by way of jq:
    calm inspect composition --json | jq .added_parameters.stored

Bytes per token are those of keys and values that decoding keeps, of a composition
in f32. A window is full with the tokens that it shows; decoding keeps up to twice as
many. Added parameters by the paper's count are n (D_A D_B + 3 D_B²), without output
projections and biases.";

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// List every tensor of a checkpoint: its file, type, part and shape
    #[arg(long)]
    tensors: bool,
}

pub(super) fn run(args: &InspectArgs, common: &Common) -> Result<Report, Failure> {
    match args.model.locate(common.quiet)? {
        Located::Checkpoint(files) => Ok(Checkpoint::read(files)?.report(args.tensors)),
        Located::Composition(located) => Ok(Composition::read(*located)?.report()),
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

impl Composition {
    fn read(located: LocatedComposition) -> Result<Self, Failure> {
        let LocatedComposition {
            directory,
            file,
            anchor,
            augmenting,
        } = located;
        let anchor = CheckpointInfo::read(&anchor.directory)?;
        let augmenting = augmenting
            .iter()
            .map(|files| CheckpointInfo::read(&files.directory))
            .collect::<Result<Vec<_>, _>>()?;
        let hashes: Vec<&str> = augmenting
            .iter()
            .map(|i| i.weights_sha256.as_str())
            .collect();
        file.check_models(&directory, &anchor.weights_sha256, &hashes)?;
        Ok(Self {
            directory,
            file,
            anchor,
            augmenting,
        })
    }

    /// Every augmenting model with how it is read.
    fn readings(&self) -> impl Iterator<Item = (&CheckpointInfo, &Vec<Connection>, BridgeConfig)> {
        let models = self.augmenting.iter().zip(&self.file.connections);
        models.map(|(augmenting, connections)| {
            let bridge = BridgeConfig {
                d_augmenting: augmenting.config.d_model,
                d_anchor: self.anchor.config.d_model,
                heads: self.file.heads,
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

    /// Keys and values of the anchor, of the blocks that are run of each augmenting model, and of
    /// the bridges, which are as wide as the anchor.
    fn cache_bytes_per_token(&self) -> usize {
        let read = self.readings().map(|(augmenting, connections, bridge)| {
            let blocks = connections.iter().map(|c| c.augmenting_block).max();
            let mut run = augmenting.config.clone();
            run.blocks.truncate(blocks.unwrap_or(0));
            let bridges = connections.len() * 2 * bridge.d_anchor * DTYPE.bytes();
            run.cache_bytes_per_token(DTYPE) + bridges
        });
        self.anchor.config.cache_bytes_per_token(DTYPE) + read.sum::<usize>()
    }

    fn report(&self) -> Report {
        let stored = self.count(BridgeConfig::parameter_count);
        let paper = self.count(BridgeConfig::paper_parameter_count);
        let share = stored as f64 / self.anchor.parameters() as f64;
        let cache_bytes = self.cache_bytes_per_token();
        let file = &self.file;
        let mut rows = vec![
            ("composition", self.directory.display().to_string()),
            ("anchor", reference(&file.anchor.path, &self.anchor)),
        ];
        for (model, info) in file.augmenting.iter().zip(&self.augmenting) {
            rows.push(("augmenting", reference(&model.path, info)));
        }
        rows.extend([
            ("connections", json!(file.connections).to_string()),
            ("heads", file.heads.to_string()),
            (
                "added parameters",
                format!("{stored}, {paper} by the paper's count"),
            ),
            ("share of the anchor", format!("{:.2} %", 100.0 * share)),
            ("cache", format!("{cache_bytes} bytes per token")),
        ]);
        let text = format!("{}training {:#}\n", table(&rows), file.training);
        let json = json!({
            "kind": "composition",
            "directory": self.directory,
            "anchor": file.anchor,
            "augmenting": file.augmenting,
            "connections": file.connections,
            "heads": file.heads,
            "added_parameters": { "stored": stored, "paper": paper },
            "share_of_anchor": share,
            "cache_bytes_per_token": cache_bytes,
            "training": file.training,
        });
        Report::new(text, json)
    }
}

fn reference(path: &Path, info: &CheckpointInfo) -> String {
    format!(
        "{}, {} blocks of width {}, {} parameters, sha256 {}",
        path.display(),
        info.config.block_count(),
        info.config.d_model,
        info.parameters(),
        info.weights_sha256
    )
}
