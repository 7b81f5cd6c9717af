//! `calm compose`: trains the bridges of a composition.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::compose::{
    BridgeOptions, Bridges, CompositionFile, Connection, ConnectionPlan, FrozenParts,
};
use calm_lm::models::{FrozenModel, ModelFiles, ModelSource};
use calm_lm::train::{Noisy, calibrate};
use clap::Args;
use serde_json::{Value, json};

use super::bridges::BridgeArgs;
use super::model::{end_of_text, fetch, load_checkpoint, reference};
use super::training::TrainingArgs;
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The anchor reads every fourth block of a specialist, the paper's choice:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition

  Connections of one's own, from an augmenting block to an anchor block:
    calm compose --anchor anchor --augmenting specialist \
        --connections '[[1,1],[2,3]]' --train data.jsonl --out composition

  The four blocks in the middle of each model:
    calm compose --anchor anchor --augmenting specialist --connections middle:4 \
        --train data.jsonl --out composition

  Small models and little data, every block:
    calm compose --anchor anchor --augmenting specialist --connections every:1 --rows 16 \
        --steps 500 --learning-rate 2e-3 --train data.jsonl --out composition

  Two specialists, read through narrower bridges with a gate:
    calm compose --anchor anchor --augmenting code --augmenting law \
        --connections every:2 --d-inner 256 --heads 4 --gate scalar \
        --train data.jsonl --out composition

  Models of the Hugging Face Hub; composition.json names their commits:
    calm compose --anchor hf:HuggingFaceTB/SmolLM2-360M \
        --augmenting hf:HuggingFaceTB/SmolLM2-135M --train data.jsonl --out composition

  Go on with a run that was interrupted, with the flags that it was started with:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition --resume

DIR gets composition.json and bridge.safetensors; the models stay where and what they
are. The run itself (settings, metrics of every step, checkpoints) is kept in DIR/run,
which may be deleted once it is done. On the processor, a run that was killed and
resumed ends with the same bytes as one that was not.";

#[derive(Debug, Args)]
pub(crate) struct ComposeArgs {
    /// Checkpoint of the model that is to learn to read others, m_B: a directory, or
    /// hf:owner/name@revision
    #[arg(long, value_name = "MODEL")]
    anchor: ModelSource,
    /// Checkpoint of a model that it reads, m_A; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    augmenting: Vec<ModelSource>,
    /// Directory for the composition
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which blocks are read where: every:K, even:N, first:N, middle:N or last:N blocks, or pairs
    /// [augmenting block, anchor block] counted from 1, as JSON; once for all augmenting models, or
    /// once for each [default: every:4]
    #[arg(long, value_name = "PLAN")]
    connections: Vec<ConnectionPlan>,
    /// Noise on the augmenting models' hidden states while the bridges are trained, in units of
    /// their root mean square: against learning a small dataset by heart
    #[arg(
        long,
        value_name = "SHARE",
        allow_negative_numbers = true,
        default_value_t = 0.0
    )]
    noise: f64,
    #[command(flatten)]
    bridges: BridgeArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

impl ComposeArgs {
    /// How each augmenting model is to be read.
    fn plans(&self) -> Result<Vec<ConnectionPlan>, Failure> {
        let (given, models) = (self.connections.len(), self.augmenting.len());
        match self.connections.as_slice() {
            [] => Ok(vec![ConnectionPlan::default(); models]),
            [plan] => Ok(vec![plan.clone(); models]),
            plans if given == models => Ok(plans.to_vec()),
            _ => {
                let reason = format!(
                    "given {given} times for {models} augmenting models; give it once for all, \
                     or once for each in their order"
                );
                Err(Failure::flag("--connections", reason))
            }
        }
    }
}

/// The models to compose, loaded and joined.
struct Models {
    anchor: FrozenModel,
    augmenting: Vec<FrozenModel>,
    /// Where the anchor is, and the augmenting models.
    anchor_files: ModelFiles,
    augmenting_files: Vec<ModelFiles>,
    connections: Vec<Vec<Connection>>,
    parts: FrozenParts,
    heads: usize,
}

impl Models {
    fn load(args: &ComposeArgs, device: &Device, quiet: bool) -> Result<Self, Failure> {
        let plans = args.plans()?;
        let anchor_files = fetch(&args.anchor, &[], quiet)?;
        let sources = args.augmenting.iter();
        let augmenting_files = sources
            .map(|source| fetch(source, &[], quiet))
            .collect::<Result<Vec<_>, Failure>>()?;
        let anchor = load_checkpoint(&anchor_files.directory, device)?;
        let anchor_blocks = anchor.decoder.block_count();
        let mut augmenting = Vec::new();
        let mut connections = Vec::new();
        for (files, plan) in augmenting_files.iter().zip(&plans) {
            let model = load_checkpoint(&files.directory, device)?;
            connections.push(plan.resolve(model.decoder.block_count(), anchor_blocks)?);
            augmenting.push(model);
        }
        let joined = augmenting.iter().zip(connections.iter().cloned());
        let parts = FrozenParts::join(&anchor, joined)?;
        let heads = args.bridges.heads.unwrap_or(anchor.config().heads);
        Ok(Self {
            anchor,
            augmenting,
            anchor_files,
            augmenting_files,
            connections,
            parts,
            heads,
        })
    }

    /// The longest text that all of them can read.
    fn context_length(&self) -> usize {
        let models = std::iter::once(&self.anchor).chain(&self.augmenting);
        let lengths = models.map(|model| model.config().context_length);
        lengths.min().unwrap_or(0)
    }

    /// The description of their composition, without what training will add to it.
    fn describe(&self, options: BridgeOptions) -> Result<CompositionFile, Failure> {
        let augmenting = self
            .augmenting_files
            .iter()
            .zip(&self.augmenting)
            .map(|(files, model)| reference(files, model))
            .collect::<Result<_, Failure>>()?;
        let mut file = CompositionFile::new(
            reference(&self.anchor_files, &self.anchor)?,
            augmenting,
            self.connections.clone(),
            self.heads,
            json!(null),
        );
        file.options = options;
        Ok(file)
    }
}

pub(super) fn run(args: &ComposeArgs, common: &Common) -> Result<Report, Failure> {
    if !(0.0..=10.0).contains(&args.noise) {
        return Err(Failure::flag("--noise", "it may be from 0 to 10"));
    }
    let training = args.training.check(&args.out, common)?;
    let device = common.device()?;
    let models = Models::load(args, &device, common.quiet)?;
    let (tokenizer, special) = (&models.anchor.tokenizer, &models.anchor.special);
    let end_of_text = end_of_text(special, &models.anchor_files.directory)?;
    let options = args.bridges.options();
    let sets = models.parts.bridge_sets_with(models.heads, options);
    let bridges = Bridges::init(&sets, common.seed, &device.clone().autodiff())?;
    let data = training.read_data(tokenizer, special, end_of_text, models.context_length())?;
    let bridges = calibrate(&models.parts, bridges, &data.first_batch());

    let mut file = models.describe(options)?;
    let added = json!({
        "stored": bridges.parameter_count(),
        "paper": bridges.paper_parameter_count(),
    });
    let objective = Noisy {
        parts: &models.parts,
        noise: args.noise,
    };
    let what = identity(&file, args.noise);
    let trained = training.run("compose", &objective, bridges, &data, &what)?;
    file.training = trained.provenance;
    file.training["device"] = json!(format!("{device:?}"));
    file.training["added_parameters"] = added;
    file.training["noise"] = json!(args.noise);
    file.write(&args.out, &trained.parameters.valid())?;
    Ok(report(&args.out, &file))
}

/// What makes a run another run, besides data and settings. Where the models lie does not.
fn identity(file: &CompositionFile, noise: f64) -> Value {
    let augmenting = file.augmenting.iter().map(|model| &model.weights_sha256);
    json!({
        "composed": {
            "anchor_sha256": file.anchor.weights_sha256,
            "augmenting_sha256": augmenting.collect::<Vec<_>>(),
            "connections": file.connections,
            "heads": file.heads,
            "options": file.options,
            "noise": noise,
        },
    })
}

fn report(out: &Path, file: &CompositionFile) -> Report {
    let training = &file.training;
    let added = &training["added_parameters"];
    let text = table(&[
        ("written to", out.display().to_string()),
        ("connections", json!(file.connections).to_string()),
        (
            "added parameters",
            format!(
                "{}, {} by the paper's count",
                added["stored"], added["paper"]
            ),
        ),
        ("final loss", training["final_loss"].to_string()),
        ("seconds", training["seconds"].to_string()),
    ]);
    let json = json!({
        "out": out,
        "connections": file.connections,
        "heads": file.heads,
        "options": file.options,
        "training": training,
    });
    Report::new(text, json)
}
