//! `calm compose`: trains the bridges of a composition.

use std::iter;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::compose::{
    BridgeOptions, Bridges, Composition, CompositionFile, Connection, ConnectionPlan, FrozenParts,
    LoadedModel, LocatedComposition, Mode, TrainingRecord,
};
use calm_lm::models::{FrozenModel, ModelFiles, ModelSource};
use calm_lm::train::{ActivationCache, BridgeTraining, calibrate};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::activations::ActivationArgs;
use super::baseline::{Baseline, Plan};
use super::bridges::BridgeArgs;
use super::model::{Located, ModelArgs, augmenting_device, end_of_text, fetch, load_checkpoint_as};
use super::training::{Helpers, TrainingArgs};
use super::workers::{self, WorkerArgs};
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

  A further specialist for a composition, whose bridges stay as they are:
    calm compose --extend composition --augmenting law --connections every:2 \
        --train law.jsonl --out both

  The controls of the paper: a specialist that reads the prompt only, one with untrained
  weights, and the anchor alone with adapters or with all its weights:
    calm compose --anchor anchor --augmenting specialist --mode encoder \
        --train data.jsonl --out encoder
    calm compose --anchor anchor --augmenting specialist --random-augmenting 1 \
        --train data.jsonl --out random
    calm compose --anchor anchor --augmenting specialist --baseline lora \
        --train data.jsonl --out lora
    calm compose --anchor anchor --augmenting specialist --baseline finetune \
        --train data.jsonl --out finetuned

  See first what the run will be, and keep its flags in a file:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition --dry-run > composition.toml
    calm compose --config composition.toml --tui

  Go on with a run that was interrupted, with the flags that it was started with:
    calm compose --anchor anchor --augmenting specialist \
        --train data.jsonl --out composition --resume

  Two GPUs of this machine and those of another one, which has the same models and data, and
  where the first of these commands is given:
    calm compose --config composition.toml --worker-token token \
        --listen 0.0.0.0:4100 --devices cuda:0,cuda:1
    calm compose --config composition.toml --worker-token token \
        --workers gpu2:4100 --devices cuda:0,cuda:1 --accumulation 4

DIR gets composition.json and bridge.safetensors; the models stay where and what they
are. The run itself (settings, metrics of every step, checkpoints) is kept in DIR/run,
which may be deleted once it is done. On the processor, a run that was killed and
resumed ends with the same bytes as one that was not.";

#[derive(Debug, Args)]
pub(crate) struct ComposeArgs {
    /// Checkpoint of the model that is to learn to read others, m_B: a directory, or
    /// hf:owner/name@revision
    #[arg(
        long,
        value_name = "MODEL",
        required_unless_present = "extend",
        conflicts_with = "extend"
    )]
    anchor: Option<ModelSource>,
    /// Composition to start from: its anchor learns to read further models, and its own bridges
    /// stay as they are
    #[arg(long, value_name = "COMPOSITION", conflicts_with = "heads")]
    extend: Option<PathBuf>,
    /// Checkpoint of a model that it reads, m_A; may be given several times
    #[arg(long, value_name = "MODEL", required = true)]
    augmenting: Vec<ModelSource>,
    /// Device of the models that are read, if not that of the anchor
    #[arg(long, value_name = "NAME")]
    augmenting_device: Option<String>,
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
    /// What the augmenting models read of a text: all of it, or its prompt only (a control of the
    /// paper); with --extend, as in the composition
    #[arg(long, value_name = "MODE", value_enum, default_value_t = ModeName::Iterative)]
    mode: ModeName,
    /// Train no bridges, but for comparison the anchor alone, on the same data by the same loop; DIR
    /// gets a checkpoint. Flags of bridges and augmenting models say how many parameters there are
    /// to match
    #[arg(long, value_name = "KIND", value_enum, conflicts_with = "extend")]
    baseline: Option<Baseline>,
    /// Read models of the same kinds with untrained weights, drawn from this seed, the next for the
    /// second and so on (a control of the paper)
    #[arg(long, value_name = "SEED")]
    random_augmenting: Option<u64>,
    /// What the frozen models compute in, f32, f16 or bf16; bridges are trained in f32
    #[arg(long, value_name = "TYPE", default_value_t)]
    dtype: FloatType,
    #[command(flatten)]
    bridges: BridgeArgs,
    #[command(flatten)]
    activations: ActivationArgs,
    /// Hold the graph of one anchor block at a time, and compute every block twice: takes less
    /// memory and more time
    #[arg(long, conflicts_with = "baseline")]
    gradient_checkpointing: bool,
    #[command(flatten)]
    workers: WorkerArgs,
    #[command(flatten)]
    training: TrainingArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    /// All: every decoded token moves both models forward
    Iterative,
    /// The prompt only: the augmenting models do not run while the answer is decoded
    Encoder,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Iterative => Self::Iterative,
            ModeName::Encoder => Self::Encoder,
        }
    }
}

impl ComposeArgs {
    /// Bridges that are added to a composition are like those that it has.
    fn check_bridges(&self) -> Result<(), Failure> {
        let given = &self.bridges;
        let is_default = given.heads.is_none()
            && given.options() == BridgeOptions::default()
            && self.mode == ModeName::Iterative;
        if self.extend.is_some() && !is_default {
            let reason = "takes mode, heads and options of bridges from the composition; leave out \
                          the flags for them";
            return Err(Failure::flag("--extend", reason));
        }
        Ok(())
    }

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
pub(super) struct Models {
    pub(super) anchor: FrozenModel,
    /// Those that are read already, then those that will be.
    pub(super) augmenting: Vec<FrozenModel>,
    /// Where the anchor is, and the augmenting models.
    anchor_files: ModelFiles,
    augmenting_files: Vec<ModelFiles>,
    pub(super) connections: Vec<Vec<Connection>>,
    pub(super) parts: FrozenParts,
    pub(super) heads: usize,
    options: BridgeOptions,
    mode: Mode,
    /// Of augmenting models whose weights are drawn.
    untrained_seeds: Vec<Option<u64>>,
    pub(super) extended: Option<Extended>,
}

/// The composition that another one starts from.
pub(super) struct Extended {
    file: CompositionFile,
    /// Of its augmenting models, the first of all.
    pub(super) bridges: Bridges,
}

impl Models {
    fn load(args: &ComposeArgs, device: &Device, quiet: bool) -> Result<Self, Failure> {
        let plans = args.plans()?;
        let extend = args.extend.as_deref();
        let located = extend
            .map(|directory| locate(directory, quiet))
            .transpose()?;
        let (anchor_files, mut augmenting_files) = match (&located, &args.anchor) {
            (Some(located), _) => (located.anchor.clone(), located.augmenting.clone()),
            (None, Some(anchor)) => (fetch(anchor, &[], quiet)?, Vec::new()),
            (None, None) => unreachable!("the parser asks for one or the other"),
        };
        for source in &args.augmenting {
            augmenting_files.push(fetch(source, &[], quiet)?);
        }
        let anchor = load_checkpoint_as(&anchor_files.directory, args.dtype, device)?;
        let anchor_blocks = anchor.decoder.block_count();
        let mut connections = located
            .as_ref()
            .map(|located| located.file.connections.clone())
            .unwrap_or_default();
        let known = located.iter().flat_map(|located| &located.file.augmenting);
        let mut untrained_seeds: Vec<_> = known.map(|model| model.untrained_seed).collect();
        let new = (0..).take(args.augmenting.len());
        untrained_seeds.extend(new.map(|index| Some(args.random_augmenting?.wrapping_add(index))));
        let device = augmenting_device(args.augmenting_device.as_deref(), device)?;
        let augmenting = augmenting_files
            .iter()
            .zip(&untrained_seeds)
            .map(|(files, untrained_seed)| {
                let model = load_checkpoint_as(&files.directory, args.dtype, &device)?;
                Ok(match untrained_seed {
                    Some(seed) => model.random_init_like(*seed),
                    None => model,
                })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        for (model, plan) in augmenting[connections.len()..].iter().zip(&plans) {
            connections.push(plan.resolve(model.decoder.block_count(), anchor_blocks)?);
        }
        let joined = augmenting.iter().zip(connections.iter().cloned());
        let mode = match &located {
            Some(located) => located.file.mode,
            None => args.mode.into(),
        };
        let parts = FrozenParts::join(&anchor, joined)?.in_mode(mode);
        let heads = match &located {
            Some(located) => located.file.heads,
            None => args.bridges.heads.unwrap_or(anchor.config().heads()),
        };
        let options = match &located {
            Some(located) => located.file.options,
            None => args.bridges.options(),
        };
        let extended = match (&args.extend, located) {
            (Some(directory), Some(located)) => {
                let before = located.file.connections.len();
                let known = augmenting_files.iter().zip(&augmenting[..before]);
                let known = known.map(|(files, model)| loaded(files, model, None));
                let anchor = loaded(&anchor_files, &anchor, None);
                let composed = Composition::open_over(directory, anchor, known.collect())?;
                let bridges = composed.model.bridges;
                let file = located.file;
                Some(Extended { file, bridges })
            }
            _ => None,
        };
        Ok(Self {
            anchor,
            augmenting,
            anchor_files,
            augmenting_files,
            connections,
            parts,
            heads,
            options,
            mode,
            untrained_seeds,
            extended,
        })
    }

    /// The parts that are new, whose bridges are to be trained.
    fn new_parts(&self) -> FrozenParts {
        let before = self.extended.as_ref().map_or(0, |e| e.bridges.of.len());
        FrozenParts {
            anchor: self.parts.anchor.clone(),
            augmenting: self.parts.augmenting[before..].to_vec(),
        }
    }

    /// The longest text that all can read that read the anchor's tokens.
    fn context_length(&self) -> usize {
        let readers = self.augmenting.iter().zip(&self.parts.augmenting);
        let readers = readers.filter(|(_, part)| part.tokens.is_none());
        readers
            .map(|(model, _)| model.config().context_length)
            .fold(self.anchor.config().context_length, usize::min)
    }

    /// The description of their composition, without what training will add to it.
    fn describe(&self) -> Result<CompositionFile, Failure> {
        let augmenting = self
            .augmenting_files
            .iter()
            .zip(&self.augmenting)
            .zip(&self.untrained_seeds)
            .map(|((files, model), untrained_seed)| {
                loaded(files, model, *untrained_seed).reference()
            })
            .collect::<Result<_, _>>()?;
        let mut file = CompositionFile::new(
            loaded(&self.anchor_files, &self.anchor, None).reference()?,
            augmenting,
            self.connections.clone(),
            self.heads,
            TrainingRecord::default(),
        );
        file.options = self.options;
        file.mode = self.mode;
        Ok(file)
    }
}

pub(super) fn run(args: &ComposeArgs, common: &Common) -> Result<Report, Failure> {
    args.check_bridges()?;
    if !(0.0..=10.0).contains(&args.noise) {
        return Err(Failure::flag("--noise", "it may be from 0 to 10"));
    }
    if args.baseline.is_some() && args.noise != 0.0 {
        let reason = "is put on what bridges read, and a baseline has none; leave it out";
        return Err(Failure::flag("--noise", reason));
    }
    if args.baseline.is_some() && args.dtype != FloatType::F32 {
        let reason =
            "is for models that stay frozen, and a baseline trains its anchor; leave it out";
        return Err(Failure::flag("--dtype", reason));
    }
    let training = match args.workers.is_listening() {
        true => args.training.of_other_process(&args.out, common)?,
        false => args.training.check(&args.out, common)?,
    };
    args.workers.check(training.config().accumulation)?;
    let server = args.workers.bind()?;
    let local = args.workers.local(common)?;
    let device = local.main().clone();
    let models = Models::load(args, &device, common.quiet)?;
    let (tokenizer, special) = (&models.anchor.tokenizer, &models.anchor.special);
    let end_of_text = end_of_text(special, &models.anchor_files.directory)?;
    let new_parts = models.new_parts();
    let sets = new_parts.bridge_sets_with(models.heads, models.options);
    let bridges = Bridges::init(&sets, common.seed, &device.clone().autodiff())?;
    let data = training.read_data(tokenizer, special, end_of_text, models.context_length())?;
    if let Some(baseline) = args.baseline {
        let plan = Plan {
            baseline,
            anchor: &models.anchor,
            bridge_parameters: bridges.parameter_count(),
            seed: common.seed,
        };
        return plan.run(&training, &data, &device, &args.out);
    }
    let rows = data.read_by(&models.parts)?;
    let bridges = calibrate(&new_parts, bridges, &data.batch(0)?)?;

    let mut file = models.describe()?;
    let (epochs, rows) = (training.epochs(&data), rows.as_deref());
    let elsewhere = local.distinct[1..].iter();
    let elsewhere = elsewhere.map(|device| Models::load(args, device, common.quiet));
    let elsewhere = elsewhere.collect::<Result<Vec<_>, _>>()?;
    let everywhere: Vec<&Models> = iter::once(&models).chain(&elsewhere).collect();
    let kept = everywhere.iter().map(|models| {
        let is_dry = training.is_dry();
        args.activations
            .open(&models.parts, &file, &data, rows, epochs, is_dry)
    });
    let kept = kept.collect::<Result<Vec<_>, _>>()?;
    let objectives: Vec<BridgeTraining<'_>> = everywhere
        .iter()
        .zip(&kept)
        .map(|(models, kept)| {
            let objective = models
                .objective(rows)
                .noise(args.noise)
                .checkpointing(args.gradient_checkpointing);
            match kept {
                Some(kept) => objective.keeping(kept),
                None => objective,
            }
        })
        .collect();
    if training.is_dry() {
        let cache_bytes = args.activations.memory_bytes(kept[0].as_ref());
        let footprint = models
            .footprint(&sets, bridges.parameter_count())
            .keeping(cache_bytes);
        return training.preview(&objectives[0], bridges, &data, &footprint, models.chosen());
    }
    let mut what = identity(&file, args.noise, models.extended.as_ref());
    if args.dtype != FloatType::F32 {
        what["composed"]["dtype"] = json!(args.dtype.name());
    }
    if let Some(rounded) = args.activations.identity() {
        what["activations"] = rounded;
    }
    let settings = training.settings(&data, &what);
    if let Some(server) = &server {
        let batches = |number| Ok(data.batches().batch(number)?);
        let (own, quiet) = ((&local, objectives.as_slice()), common.quiet);
        return workers::serve(server, bridges, &settings, &batches, own, quiet);
    }
    let validation = data.validation.as_ref();
    let held_out = validation.map(|held_out| held_out.data.read_by(&models.parts));
    let held_out = held_out.transpose()?.flatten();
    let validated: BridgeTraining<'_> = models.objective(held_out.as_deref());
    let composed = |bridges: &Bridges| models.compose(bridges.clone());
    let validator = validation.map(|data| data.validator(&validated, composed));
    let validator = validator.transpose()?;
    let accumulation = training.config().accumulation;
    let crew = args
        .workers
        .crew(&local, &objectives, &settings, accumulation)?;
    let shared_among = crew.as_ref().map(|crew| json!(crew.names()));
    let helpers = Helpers { validator, crew };
    let objective = &objectives[0];
    let trained = training.run("compose", objective, bridges, &data, helpers, &settings)?;
    let bridges = models.compose(trained.parameters.valid()).bridges;
    let mut record = trained.provenance;
    record["device"] = json!(format!("{device:?}"));
    record["added_parameters"] = json!({
        "stored": bridges.parameter_count(),
        "paper": bridges.paper_parameter_count(),
    });
    record["noise"] = json!(args.noise);
    record["dtype"] = json!(args.dtype.name());
    record["activations"] = json!(kept[0].as_ref().map(ActivationCache::statistics));
    if let Some(workers) = shared_among {
        record["workers"] = workers;
    }
    if let Some(extended) = &models.extended {
        record["extended"] = json!(extended.file.training);
    }
    file.training = TrainingRecord::new(&record).expect("JSON is JSON");
    file.write(&args.out, &bridges)?;
    Ok(report(&args.out, &file, &record))
}

fn loaded(files: &ModelFiles, model: &FrozenModel, untrained_seed: Option<u64>) -> LoadedModel {
    LoadedModel {
        model: model.clone(),
        files: files.clone(),
        untrained_seed,
    }
}

/// The composition in a directory, and where its models are.
fn locate(directory: &Path, quiet: bool) -> Result<LocatedComposition, Failure> {
    match ModelArgs::of(directory).locate(quiet)? {
        Located::Composition(located) => Ok(*located),
        Located::Checkpoint(_) => {
            let reason = "is no composition (there is no composition.json in it); give the \
                          directory of one";
            Err(Failure::path(directory, reason))
        }
    }
}

/// What makes a run another run, besides data and settings. Where the models lie does not.
fn identity(file: &CompositionFile, noise: f64, extended: Option<&Extended>) -> Value {
    let augmenting = file.augmenting.iter().map(|model| &model.weights_sha256);
    let mut what = json!({
        "composed": {
            "anchor_sha256": file.anchor.weights_sha256,
            "tokenizer_sha256": file.anchor.tokenizer_sha256,
            "augmenting_sha256": augmenting.collect::<Vec<_>>(),
            "connections": file.connections,
            "heads": file.heads,
            "options": file.options,
            "mode": file.mode,
            "noise": noise,
        },
    });
    if let Some(extended) = extended {
        what["extended"] = json!(extended.file);
    }
    what
}

fn report(out: &Path, file: &CompositionFile, training: &Value) -> Report {
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
        "mode": file.mode,
        "training": training,
    });
    Report::new(text, json)
}
