//! Models of the command line: a checkpoint, or a composition with its checkpoints.

use std::path::{Path, PathBuf};

use calm_lm::backend::{DeviceError, FloatType};
use calm_lm::compose::{
    ComposedModel, Composition, CompositionConfig, LoadedModel, LocatedComposition, ModelSources,
};
use calm_lm::data::{Record, RowSet};
use calm_lm::eval::run::{Answering, Decoding};
use calm_lm::models::{
    CheckpointInfo, Fetching, LoadOptions, ModelFiles, ModelSource, OtherWeights, Strictness,
    Tokenizer,
};
use calm_lm::terminal::FileProgress;
use calm_lm::train::runs::end_of_text;
use clap::Args;
use serde::Serialize;

use super::load::LoadArgs;
use crate::cli::Common;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// A checkpoint or a composition: a directory, a .gguf file, or hf:owner/name@revision
    ///
    /// Directories of checkpoints are as `save_pretrained` of transformers writes them.
    #[arg(value_name = "MODEL", required_unless_present = "model_flag")]
    model: Option<ModelSource>,
    /// The same, as other programs have it
    #[arg(
        id = "model_flag",
        long = "model",
        short = 'm',
        value_name = "MODEL",
        conflicts_with = "model",
        hide = true
    )]
    named: Option<ModelSource>,
    /// New place of the composition's anchor
    #[arg(long, value_name = "MODEL")]
    anchor: Option<ModelSource>,
    /// New place of the composition's augmenting model; once for each of several
    #[arg(long, value_name = "MODEL")]
    augmenting: Vec<ModelSource>,
    /// Accept other weights or tokenizers than those that the composition was made for
    #[arg(long)]
    pub(super) allow_other_weights: bool,
    /// Device of the augmenting models, if not that of the anchor
    #[arg(long, value_name = "NAME")]
    augmenting_device: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(super) struct ScaleArgs {
    /// Scale of what is read of an augmenting model: 0 switches it off [default: 1]
    ///
    /// A factor of the bridges' output; once for each of several augmenting models.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = scale)]
    scale: Vec<f64>,
}

/// A model that is opened whole, to continue texts.
#[derive(Debug, Args)]
pub(super) struct OpenArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    scales: ScaleArgs,
}

impl OpenArgs {
    /// Loads the models that the arguments name.
    pub(super) fn open(&self, common: &Common) -> Result<Model, Failure> {
        Model::load(&self.model, &self.load, &self.scales, common)
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() => Ok(scale),
        _ => Err("expected a number".to_owned()),
    }
}

/// A model that continues texts: a composition, of which a checkpoint is one that reads no other
/// model.
pub(super) struct Model {
    pub(super) composition: Composition,
    /// Name by which it can be found again.
    pub(super) name: String,
    /// Directory of the composition, if it is not a checkpoint alone.
    directory: Option<PathBuf>,
}

/// Everything that decides the texts of a model, for comparing runs.
#[derive(Serialize)]
pub(super) struct ModelIdentity<'a> {
    name: &'a str,
    weights_sha256: &'a str,
    /// Type in which the models compute; none for f32, as in runs of before there was a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    dtype: Option<String>,
    #[serde(flatten)]
    composed: Option<ComposedIdentity>,
}

#[derive(Serialize)]
struct ComposedIdentity {
    augmenting_sha256: Vec<String>,
    scales: Vec<f64>,
    bridges_sha256: String,
}

impl Model {
    /// Loads the models that the arguments name.
    pub(super) fn load(
        args: &ModelArgs,
        load: &LoadArgs,
        scales: &ScaleArgs,
        common: &Common,
    ) -> Result<Self, Failure> {
        let [options, of_augmenting] = args.load_options(load, common)?;
        let (name, directory, composition) = match args.locate(common.quiet)? {
            Located::Checkpoint(files) => {
                let name = files.source.to_string();
                let anchor = LoadedModel::from_files(files, &options)?;
                let alone = Composition::new(anchor, Vec::new(), &CompositionConfig::default(), 0)?;
                (name, None, alone)
            }
            Located::Composition(located) => {
                let directory = located.directory.clone();
                let composition = located.load(&options, &of_augmenting.device)?;
                let name = directory.display().to_string();
                (name, Some(directory), composition)
            }
        };
        let mut model = Self {
            composition,
            name,
            directory,
        };
        scales.apply(&mut model.composition)?;
        Ok(model)
    }

    /// The composition, if it is not a checkpoint alone.
    pub(super) fn composed(&self) -> Option<&ComposedModel> {
        self.directory.as_ref().map(|_| &self.composition.model)
    }

    /// Type in which the models compute; of each in turn if they differ.
    pub(super) fn compute_type(&self) -> String {
        FloatType::names(self.composition.model.parts.compute_types())
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        self.composition.tokenizer()
    }

    /// Ids that end a text.
    pub(super) fn eos(&self) -> &[u32] {
        &self.composition.anchor.model.special.eos
    }

    /// The token that ends a text.
    pub(super) fn end_of_text(&self) -> Result<u32, Failure> {
        let anchor = &self.composition.anchor;
        Ok(end_of_text(&anchor.model, &anchor.files.path)?)
    }

    pub(super) fn identity(&self) -> Result<ModelIdentity<'_>, Failure> {
        let composition = &self.composition;
        let composed = self.directory.as_ref().map(|directory| {
            let hash = |model: &LoadedModel| -> Result<String, Failure> {
                // The model is loaded, so that its settings were judged.
                let info = CheckpointInfo::read(&model.files.path, Strictness::Lenient)?;
                Ok(info.weights_sha256)
            };
            let augmenting = composition.augmenting.iter().map(hash);
            let parts = composition.model.parts.augmenting.iter();
            Ok::<_, Failure>(ComposedIdentity {
                augmenting_sha256: augmenting.collect::<Result<_, _>>()?,
                scales: parts.map(|part| part.scale).collect(),
                bridges_sha256: calm_files::sha256_file(directory.join("bridge.safetensors"))?,
            })
        });
        let dtype = self.compute_type();
        Ok(ModelIdentity {
            name: &self.name,
            dtype: (dtype != FloatType::F32.name()).then_some(dtype),
            weights_sha256: composition.anchor.model.weights_sha256()?,
            composed: composed.transpose()?,
        })
    }

    /// Warns of examples that the model, or its anchor, was trained on, as far as its files tell.
    /// `data` names them.
    pub(super) fn warn_of_learnt(&self, data: &str, records: &[Record]) {
        let anchor = self.composition.anchor.files.path.as_path();
        let directories = self.directory.as_deref().into_iter().chain([anchor]);
        for directory in directories {
            let rows = RowSet::read(&directory.join(RowSet::FILE));
            let learnt = rows.map_or(0, |rows| rows.count(records));
            if learnt > 0 {
                tracing::warn!(
                    "{data}: {learnt} of {} examples are among those that {} was trained on; the \
                     score says too little about others",
                    records.len(),
                    directory.display()
                );
            }
        }
    }

    /// The model as it answers the prompts of a task.
    pub(super) fn answering(&self, decoding: Decoding) -> Answering<'_, ComposedModel> {
        Answering {
            model: &self.composition.model,
            tokenizer: self.tokenizer(),
            end_of_text: self.eos(),
            decoding,
        }
    }
}

/// Files that the arguments name, all on this machine.
pub(super) enum Located {
    Checkpoint(ModelFiles),
    Composition(Box<LocatedComposition>),
}

impl ScaleArgs {
    /// Whether none is given.
    pub(super) fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// There must be one for every augmenting model, or none.
    fn apply(&self, composition: &mut Composition) -> Result<(), Failure> {
        let augmenting = &mut composition.model.parts.augmenting;
        let (given, models) = (self.scale.len(), augmenting.len());
        if given != 0 && given != models {
            let reason = format!(
                "given {given} times for {models} augmenting models; give it once for each, in \
                 the order of composition.json"
            );
            return Err(Failure::flag("--scale", reason));
        }
        for (part, scale) in augmenting.iter_mut().zip(&self.scale) {
            part.scale = *scale;
        }
        Ok(())
    }
}

impl ModelArgs {
    /// Names of the flags that are given, for verbs that do not always use them.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("MODEL", self.source().is_ok()),
            ("--anchor", self.anchor.is_some()),
            ("--augmenting", !self.augmenting.is_empty()),
            ("--allow-other-weights", self.allow_other_weights),
            ("--augmenting-device", self.augmenting_device.is_some()),
        ];
        let given = flags.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(flag, _)| flag).collect()
    }

    /// The model, by its place or by its flag.
    fn source(&self) -> Result<&ModelSource, Failure> {
        let given = self.model.as_ref().or(self.named.as_ref());
        given.ok_or_else(|| Failure::flag("MODEL", "give a checkpoint or a composition"))
    }

    /// Finds the models that the arguments name, and fetches files that are not here.
    pub(super) fn locate(&self, quiet: bool) -> Result<Located, Failure> {
        let model = self.source()?;
        if let ModelSource::Path(directory) = model {
            if directory.join("composition.json").exists() {
                let located = self.locate_composition(directory, quiet)?;
                return Ok(Located::Composition(Box::new(located)));
            }
            let is_other = OtherWeights::without_config(directory).is_some();
            let is_checkpoint = directory.is_file() || directory.join("config.json").exists();
            if !is_checkpoint && !is_other && !self.overrides_models() {
                let reason = "is neither a checkpoint (there is no config.json in it) nor a \
                              composition (nor a composition.json); give the directory of one, a \
                              GGUF file, or hf:owner/name";
                return Err(Failure::path(directory, reason));
            }
        }
        if self.overrides_models() {
            let reason = "is no composition (there is no composition.json in it), so --anchor, \
                          --augmenting and --allow-other-weights have no meaning";
            return Err(Failure::path(model.to_string(), reason));
        }
        fetch(model, &[], quiet).map(Located::Checkpoint)
    }

    /// Options for the anchor, or a checkpoint alone, and for augmenting models: their device is the
    /// anchor's unless they have one of their own, from which their hidden states are moved.
    pub(super) fn load_options(
        &self,
        load: &LoadArgs,
        common: &Common,
    ) -> Result<[LoadOptions; 2], DeviceError> {
        let device = common.device()?;
        let name = self.augmenting_device.as_deref();
        let augmenting = name.map_or_else(|| Ok(device.clone()), calm_lm::backend::device)?;
        Ok([device, augmenting].map(|device| load.options(device)))
    }

    fn overrides_models(&self) -> bool {
        self.anchor.is_some() || !self.augmenting.is_empty() || self.allow_other_weights
    }

    fn locate_composition(
        &self,
        directory: &Path,
        quiet: bool,
    ) -> Result<LocatedComposition, Failure> {
        let sources = ModelSources {
            anchor: self.anchor.clone(),
            augmenting: self.augmenting.clone(),
            allow_other_weights: self.allow_other_weights,
        };
        let find = |show: &mut dyn FnMut(Fetching<'_>)| {
            LocatedComposition::find(directory, &sources, show)
        };
        Ok(show_fetching(quiet, find)?)
    }
}

/// The files of a model, and the files `also` of it, which are fetched if they are not here. Unless
/// `quiet`, progress is shown.
pub(super) fn fetch(
    source: &ModelSource,
    also: &[&str],
    quiet: bool,
) -> Result<ModelFiles, Failure> {
    Ok(show_fetching(quiet, |show| source.resolve(also, show))?)
}

/// Fetches something and, unless `quiet`, shows the progress.
pub(super) fn show_fetching<T>(
    quiet: bool,
    fetch: impl FnOnce(&mut dyn FnMut(Fetching<'_>)) -> T,
) -> T {
    if quiet {
        return fetch(&mut |_| {});
    }
    let mut progress = FileProgress::default();
    fetch(&mut |fetching| progress.show_fetching(&fetching))
}
