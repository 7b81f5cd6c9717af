//! What can continue texts: a checkpoint, or a composition with its checkpoints.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use calm_lm::backend::{DeviceError, FloatType};
use calm_lm::compose::{
    ChatFormat, ComposeError, ComposedModel, ComposedPrompt, Composition, LoadedModel,
    LocatedComposition, ModelSources,
};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::eval::run::{Answering, Decoding, RunDir, RunError, Sample as Answered, Scorer};
use calm_lm::eval::tasks::{Subset, Task};
use calm_lm::eval::{Sample, exact_match};
use calm_lm::models::{
    CausalLm, CheckpointInfo, Continuation, Fetching, FrozenModel, LoadOptions, ModelError,
    ModelFiles, ModelSource, SequenceOptions, SpecialIds, Tokenizer, generate_text,
};
use calm_lm::terminal::Progress;
use clap::Args;
use serde_json::{Value, json};

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Directory of a checkpoint in the Hugging Face layout, or of a composition; or
    /// hf:owner/name@revision, a checkpoint of the Hugging Face Hub
    #[arg(value_name = "MODEL")]
    model: ModelSource,
    /// Where the composition's anchor is, if not where it was
    #[arg(long, value_name = "MODEL")]
    anchor: Option<ModelSource>,
    /// Where its augmenting model is, if not where it was; once for each of several
    #[arg(long, value_name = "MODEL")]
    augmenting: Vec<ModelSource>,
    /// Use these models though the composition was made for other weights or tokenizers
    #[arg(long)]
    pub(super) allow_other_weights: bool,
    /// Device of the augmenting models, if not that of the anchor
    #[arg(long, value_name = "NAME")]
    augmenting_device: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(super) struct ScaleArgs {
    /// Multiplies what the anchor reads of an augmenting model: 0 switches it off; once for each of
    /// several [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = scale)]
    scale: Vec<f64>,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() => Ok(scale),
        _ => Err("expected a number".to_owned()),
    }
}

/// Something that continues texts.
pub(super) struct Model {
    /// The checkpoint, or the composition's anchor: its tokens are read and written.
    anchor: LoadedModel,
    composed: Option<Composed>,
    /// What was loaded, so that it can be found again.
    pub(super) name: String,
}

/// A composition and its augmenting models.
struct Composed {
    model: ComposedModel,
    augmenting: Vec<LoadedModel>,
    bridges_sha256: String,
}

impl Model {
    /// Loads the models that the arguments name.
    pub(super) fn load(
        args: &ModelArgs,
        scales: &ScaleArgs,
        device: &Device,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let located = match args.locate(quiet)? {
            Located::Composition(located) => located,
            Located::Checkpoint(files) => {
                scales.check(0)?;
                let options = LoadOptions {
                    device: device.clone(),
                    ..LoadOptions::default()
                };
                return Ok(Self {
                    name: files.source.to_string(),
                    anchor: LoadedModel::from_files(files, &options)?,
                    composed: None,
                });
            }
        };
        let augmenting_device = augmenting_device(args.augmenting_device.as_deref(), device)?;
        let directory = located.directory.clone();
        let options = LoadOptions {
            device: device.clone(),
            ..LoadOptions::default()
        };
        let Composition {
            anchor,
            augmenting,
            model: mut composed,
            ..
        } = located.load(&options, &augmenting_device)?;
        scales.check(augmenting.len())?;
        for (part, scale) in composed.parts.augmenting.iter_mut().zip(&scales.scale) {
            part.scale = *scale;
        }
        Ok(Self {
            anchor,
            composed: Some(Composed {
                model: composed,
                augmenting,
                bridges_sha256: calm_files::sha256_file(directory.join("bridge.safetensors"))?,
            }),
            name: directory.display().to_string(),
        })
    }

    /// The token that ends a text.
    pub(super) fn end_of_text(&self) -> Result<u32, Failure> {
        end_of_text(self.special(), &self.anchor.files.directory)
    }

    /// The composition, if it is one.
    pub(super) fn composed(&self) -> Option<&ComposedModel> {
        self.composed.as_ref().map(|composed| &composed.model)
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.anchor.model.tokenizer
    }

    /// Those of the composition's augmenting models.
    pub(super) fn augmenting_tokenizers(&self) -> impl Iterator<Item = &Tokenizer> {
        let augmenting = self.augmenting().iter();
        augmenting.map(|model| &model.model.tokenizer)
    }

    fn augmenting(&self) -> &[LoadedModel] {
        let composed = self.composed.as_ref();
        composed.map_or(&[], |composed| &composed.augmenting)
    }

    pub(super) fn special(&self) -> &SpecialIds {
        &self.anchor.model.special
    }

    /// The chat templates of all its models.
    pub(super) fn chat_format(&self) -> Result<ChatFormat, ComposeError> {
        ChatFormat::read(&self.anchor, self.augmenting())
    }

    /// The longest text that it can read.
    pub(super) fn context_length(&self) -> usize {
        self.anchor.model.config().context_length
    }

    /// Continues prompts, and shows the text of each while it is written.
    pub(super) fn generate(
        &self,
        prompts: &[ComposedPrompt],
        options: &SequenceOptions,
        show: impl FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Continuation>, ModelError> {
        let tokenizer = self.tokenizer();
        match &self.composed {
            None => {
                let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
                generate_text(&self.anchor.model.decoder, tokenizer, &ids, options, show)
            }
            Some(composed) => generate_text(&composed.model, tokenizer, prompts, options, show),
        }
    }

    /// All that decides what it writes, for whoever compares runs: names, hashes and scales.
    pub(super) fn identity(&self) -> Result<Value, Failure> {
        let mut identity = json!({
            "name": self.name,
            "weights_sha256": self.anchor.model.weights_sha256()?,
        });
        if let Some(composed) = &self.composed {
            let augmenting = composed.augmenting.iter();
            let augmenting = augmenting
                .map(|model| Ok(CheckpointInfo::read(&model.files.directory)?.weights_sha256))
                .collect::<Result<Vec<_>, ModelError>>()?;
            let models = composed.model.parts.augmenting.iter();
            identity["augmenting_sha256"] = json!(augmenting);
            identity["scales"] = models.map(|model| model.scale).collect();
            identity["bridges_sha256"] = json!(composed.bridges_sha256);
        }
        Ok(identity)
    }

    /// Whether it can read all prompts of a task.
    pub(super) fn check(
        &self,
        decoding: Decoding,
        task: &Task,
        subset: &Subset,
    ) -> Result<(), RunError> {
        match &self.composed {
            None => self
                .answering(&self.anchor.model.decoder, decoding)
                .check(task, subset),
            Some(composed) => self
                .answering(&composed.model, decoding)
                .check(task, subset),
        }
    }

    /// Answers the examples of a task, as [`Answering::answer`] does.
    pub(super) fn answer(
        &self,
        decoding: Decoding,
        task: &Task,
        subset: &Subset,
        scorer: &Scorer<'_>,
        run: &mut RunDir,
        watch: impl FnMut(&[Answered]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, RunError> {
        match &self.composed {
            None => self
                .answering(&self.anchor.model.decoder, decoding)
                .answer(task, subset, scorer, run, watch),
            Some(composed) => self
                .answering(&composed.model, decoding)
                .answer(task, subset, scorer, run, watch),
        }
    }

    fn answering<'a, M: CausalLm>(&'a self, model: &'a M, decoding: Decoding) -> Answering<'a, M> {
        Answering {
            model,
            tokenizer: self.tokenizer(),
            end_of_text: &self.special().eos,
            decoding,
        }
    }

    pub(super) fn exact_match(
        &self,
        end_of_text: u32,
        examples: &[PromptTarget],
    ) -> Result<Vec<Sample>, ModelError> {
        let tokenizer = self.tokenizer();
        match &self.composed {
            None => exact_match(&self.anchor.model.decoder, tokenizer, end_of_text, examples),
            Some(composed) => exact_match(&composed.model, tokenizer, end_of_text, examples),
        }
    }
}

/// What the arguments name, with all files on this machine.
pub(super) enum Located {
    Checkpoint(ModelFiles),
    Composition(Box<LocatedComposition>),
}

impl ScaleArgs {
    /// There must be one for every augmenting model, or none.
    fn check(&self, models: usize) -> Result<(), Failure> {
        let given = self.scale.len();
        if given == 0 || given == models {
            return Ok(());
        }
        let reason = format!(
            "given {given} times for {models} augmenting models; give it once for each, in the \
             order of composition.json"
        );
        Err(Failure::flag("--scale", reason))
    }
}

impl ModelArgs {
    /// A directory, and nothing said of its models.
    pub(super) fn of(directory: &Path) -> Self {
        Self {
            model: ModelSource::Directory(directory.to_owned()),
            anchor: None,
            augmenting: Vec::new(),
            allow_other_weights: false,
            augmenting_device: None,
        }
    }

    /// Finds out what they name, and fetches what is not here.
    pub(super) fn locate(&self, quiet: bool) -> Result<Located, Failure> {
        if let ModelSource::Directory(directory) = &self.model {
            if directory.join("composition.json").exists() {
                let located = self.locate_composition(directory, quiet)?;
                return Ok(Located::Composition(Box::new(located)));
            }
            if !directory.join("config.json").exists() && !self.overrides_models() {
                let reason = "is neither a checkpoint (there is no config.json in it) nor a \
                              composition (nor a composition.json); give the directory of one, or \
                              hf:owner/name";
                return Err(Failure::path(directory, reason));
            }
        }
        if self.overrides_models() {
            let reason = "is no composition (there is no composition.json in it), so --anchor, \
                          --augmenting and --allow-other-weights have no meaning";
            return Err(Failure::path(self.model.to_string(), reason));
        }
        fetch(&self.model, &[], quiet).map(Located::Checkpoint)
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

/// Lets something be fetched and, unless `quiet`, shows how much of it is there.
pub(super) fn show_fetching<T>(
    quiet: bool,
    fetch: impl FnOnce(&mut dyn FnMut(Fetching<'_>)) -> T,
) -> T {
    if quiet {
        return fetch(&mut |_| {});
    }
    let mut shown: Option<(String, Progress)> = None;
    fetch(&mut |fetching| {
        let (bytes, total) = (fetching.bytes as usize, fetching.total_bytes as usize);
        let progress = match shown.take() {
            Some((file, progress)) if file == fetching.file => progress,
            _ => Progress::of_bytes(&format!("fetching {}", fetching.file), total, bytes),
        };
        let (_, progress) = shown.insert((fetching.file.to_owned(), progress));
        progress.advance(bytes, "");
    })
}

/// Where the augmenting models are to be: on the device of this name, or with the anchor. Their
/// hidden states are moved to where a bridge reads them.
pub(super) fn augmenting_device(
    name: Option<&str>,
    anchor: &Device,
) -> Result<Device, DeviceError> {
    name.map_or_else(|| Ok(anchor.clone()), calm_lm::backend::device)
}

/// Loads a checkpoint to compute with it in this type.
pub(super) fn load_checkpoint_as(
    directory: &Path,
    dtype: FloatType,
    device: &Device,
) -> Result<FrozenModel, Failure> {
    let options = LoadOptions {
        device: device.clone(),
        dtype,
        ..LoadOptions::default()
    };
    let files = ModelFiles {
        directory: directory.to_owned(),
        source: ModelSource::Directory(directory.to_owned()),
    };
    Ok(LoadedModel::from_files(files, &options)?.model)
}

/// The token that ends a text; of several, the first.
pub(super) fn end_of_text(special: &SpecialIds, directory: &Path) -> Result<u32, Failure> {
    special.eos.first().copied().ok_or_else(|| {
        let reason = "neither generation_config.json nor config.json names an eos_token_id, so \
                      nothing tells where an answer ends; add one";
        Failure::path(directory, reason)
    })
}
