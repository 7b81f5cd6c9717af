//! What can continue texts: a checkpoint, or a composition with its checkpoints.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_lm::compose::{ComposedModel, CompositionFile, ModelReference};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::eval::{Sample, exact_match};
use calm_lm::models::{
    ChatTemplate, Fetching, FrozenModel, LoadOptions, ModelError, ModelFiles, ModelSource,
    SpecialIds, TextContinuation, TextOptions, Tokenizer, generate_text,
};
use calm_lm::terminal::Progress;
use clap::Args;

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
}

/// Something that continues texts.
pub(super) struct Model {
    /// The checkpoint, or the composition's anchor: whose tokens are read and written.
    anchor: FrozenModel,
    /// Where that is.
    directory: PathBuf,
    composed: Option<ComposedModel>,
    /// What was loaded, so that it can be found again.
    pub(super) name: String,
}

impl Model {
    /// Loads the models that the arguments name.
    pub(super) fn load(args: &ModelArgs, device: &Device, quiet: bool) -> Result<Self, Failure> {
        let located = match args.locate(quiet)? {
            Located::Composition(located) => located,
            Located::Checkpoint(files) => {
                return Ok(Self {
                    anchor: load_checkpoint(&files.directory, device)?,
                    directory: files.directory,
                    composed: None,
                    name: files.source.to_string(),
                });
            }
        };
        let anchor = load_checkpoint(&located.anchor.directory, device)?;
        let augmenting = located.augmenting.iter();
        let augmenting = augmenting
            .map(|files| load_checkpoint(&files.directory, device))
            .collect::<Result<Vec<_>, Failure>>()?;
        let directory = &located.directory;
        let composed = if args.allow_other_weights {
            ComposedModel::load_over(&located.file, directory, &anchor, &augmenting)
        } else {
            ComposedModel::load(directory, &anchor, &augmenting)
        }?;
        Ok(Self {
            anchor,
            directory: located.anchor.directory,
            composed: Some(composed),
            name: located.directory.display().to_string(),
        })
    }

    /// The token that ends a text.
    pub(super) fn end_of_text(&self) -> Result<u32, Failure> {
        end_of_text(&self.anchor.special, &self.directory)
    }

    /// The composition, if it is one.
    pub(super) fn composed(&self) -> Option<&ComposedModel> {
        self.composed.as_ref()
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.anchor.tokenizer
    }

    pub(super) fn special(&self) -> &SpecialIds {
        &self.anchor.special
    }

    pub(super) fn chat_template(&self) -> Result<ChatTemplate, ModelError> {
        ChatTemplate::read(&self.directory)
    }

    /// The longest text that it can read.
    pub(super) fn context_length(&self) -> usize {
        self.anchor.config().context_length
    }

    pub(super) fn generate(
        &self,
        prompts: &[Vec<u32>],
        options: &TextOptions,
        show: impl FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<TextContinuation>, ModelError> {
        let tokenizer = self.tokenizer();
        match &self.composed {
            None => generate_text(&self.anchor.decoder, tokenizer, prompts, options, show),
            Some(composed) => generate_text(composed, tokenizer, prompts, options, show),
        }
    }

    pub(super) fn exact_match(
        &self,
        end_of_text: u32,
        examples: &[PromptTarget],
    ) -> Result<Vec<Sample>, ModelError> {
        let tokenizer = self.tokenizer();
        match &self.composed {
            None => exact_match(&self.anchor.decoder, tokenizer, end_of_text, examples),
            Some(composed) => exact_match(composed, tokenizer, end_of_text, examples),
        }
    }
}

/// What the arguments name, with all files on this machine.
pub(super) enum Located {
    Checkpoint(ModelFiles),
    Composition(Box<LocatedComposition>),
}

/// A composition, and where its models are now.
pub(super) struct LocatedComposition {
    pub(super) directory: PathBuf,
    pub(super) file: CompositionFile,
    pub(super) anchor: ModelFiles,
    pub(super) augmenting: Vec<ModelFiles>,
}

impl ModelArgs {
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
        let file = CompositionFile::read(directory)?;
        let anchor = match &self.anchor {
            Some(source) => source.clone(),
            None => find(directory, "anchor", &file.anchor)?,
        };
        let augmenting = if self.augmenting.is_empty() {
            file.augmenting
                .iter()
                .map(|reference| find(directory, "augmenting", reference))
                .collect::<Result<_, Failure>>()?
        } else {
            self.augmenting.clone()
        };
        let augmenting = augmenting.iter();
        Ok(LocatedComposition {
            directory: directory.to_owned(),
            file,
            anchor: fetch(&anchor, &[], quiet)?,
            augmenting: augmenting
                .map(|source| fetch(source, &[], quiet))
                .collect::<Result<_, Failure>>()?,
        })
    }
}

/// A model that was given when the composition was made. A path is taken as it stands, which for a
/// relative one means in the current directory, or else from the composition's own directory.
fn find(
    composition: &Path,
    role: &str,
    reference: &ModelReference,
) -> Result<ModelSource, Failure> {
    let path = &reference.path;
    let named = path.to_str().and_then(|text| text.parse().ok());
    if let Some(ModelSource::Hub(model)) = named {
        return Ok(ModelSource::Hub(model));
    }
    let candidates = [path.clone(), composition.join(path)];
    let found = candidates.into_iter().find(|candidate| candidate.is_dir());
    found.map(ModelSource::Directory).ok_or_else(|| {
        let reason = format!(
            "was made with the {role} model {}, which is neither there nor beside it; say where \
             it is with --{role} MODEL",
            path.display()
        );
        Failure::path(composition, reason)
    })
}

/// The files of a model, and the files `also` of it, which are fetched if they are not here. Unless
/// `quiet`, progress is shown.
pub(super) fn fetch(
    source: &ModelSource,
    also: &[&str],
    quiet: bool,
) -> Result<ModelFiles, Failure> {
    let mut shown: Option<(String, Progress)> = None;
    let mut show = |fetching: Fetching<'_>| {
        let (bytes, total) = (fetching.bytes as usize, fetching.total_bytes as usize);
        let progress = match shown.take() {
            Some((file, progress)) if file == fetching.file => progress,
            _ => Progress::of_bytes(&format!("fetching {}", fetching.file), total, bytes),
        };
        let (_, progress) = shown.insert((fetching.file.to_owned(), progress));
        progress.advance(bytes, "");
    };
    let files = match quiet {
        true => source.resolve(also, &mut |_| {}),
        false => source.resolve(also, &mut show),
    };
    Ok(files?)
}

/// How a composition names a model: by its directory, or by its commit on the Hub.
pub(super) fn reference(
    files: &ModelFiles,
    model: &FrozenModel,
) -> Result<ModelReference, Failure> {
    let path = match &files.source {
        ModelSource::Directory(directory) => directory.clone(),
        ModelSource::Hub(model) => model.to_string().into(),
    };
    Ok(ModelReference::new(&path, model)?)
}

/// Loads a checkpoint to compute with it in `f32`.
pub(super) fn load_checkpoint(directory: &Path, device: &Device) -> Result<FrozenModel, Failure> {
    if !directory.join("config.json").exists() {
        let reason = "is no checkpoint (there is no config.json in it); give a directory in the \
                      Hugging Face layout, or hf:owner/name";
        return Err(Failure::path(directory, reason));
    }
    let options = LoadOptions {
        device: device.clone(),
        ..LoadOptions::default()
    };
    Ok(FrozenModel::load(directory, &options)?)
}

/// The token that ends a text; of several, the first.
pub(super) fn end_of_text(special: &SpecialIds, directory: &Path) -> Result<u32, Failure> {
    special.eos.first().copied().ok_or_else(|| {
        let reason = "neither generation_config.json nor config.json names an eos_token_id, so \
                      nothing tells where an answer ends; add one";
        Failure::path(directory, reason)
    })
}
