//! A directory that can continue texts: a checkpoint, or a composition with its checkpoints.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_lm::compose::{ComposedModel, CompositionFile, ModelReference};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::eval::{Sample, exact_match};
use calm_lm::models::{
    ChatTemplate, FrozenModel, LoadOptions, ModelError, SpecialIds, TextContinuation, TextOptions,
    Tokenizer, generate_text,
};
use clap::Args;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Directory of a checkpoint in the Hugging Face layout, or of a composition
    #[arg(value_name = "MODEL")]
    pub(super) directory: PathBuf,
    /// Where the composition's anchor is, if not where it was
    #[arg(long, value_name = "DIR")]
    anchor: Option<PathBuf>,
    /// Where its augmenting model is, if not where it was; once for each of several
    #[arg(long, value_name = "DIR")]
    augmenting: Vec<PathBuf>,
}

/// Something that continues texts.
pub(super) struct Model {
    /// The checkpoint, or the composition's anchor: whose tokens are read and written.
    anchor: FrozenModel,
    /// Where it is.
    directory: PathBuf,
    composed: Option<ComposedModel>,
}

impl Model {
    /// Loads the models that the arguments name.
    pub(super) fn load(args: &ModelArgs, device: &Device) -> Result<Self, Failure> {
        let Some(located) = args.composition()? else {
            return Ok(Self {
                anchor: load_checkpoint(&args.directory, device)?,
                directory: args.directory.clone(),
                composed: None,
            });
        };
        let anchor = load_checkpoint(&located.anchor, device)?;
        let augmenting = located.augmenting.iter();
        let augmenting = augmenting
            .map(|path| load_checkpoint(path, device))
            .collect::<Result<Vec<_>, Failure>>()?;
        let composed = ComposedModel::load(&args.directory, &anchor, &augmenting)?;
        Ok(Self {
            anchor,
            directory: located.anchor,
            composed: Some(composed),
        })
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

/// A composition, and where its models are now.
pub(super) struct Located {
    pub(super) file: CompositionFile,
    pub(super) anchor: PathBuf,
    pub(super) augmenting: Vec<PathBuf>,
}

impl ModelArgs {
    /// The composition in the directory; none if it holds a checkpoint.
    pub(super) fn composition(&self) -> Result<Option<Located>, Failure> {
        let directory = &self.directory;
        if directory.join("composition.json").exists() {
            let file = CompositionFile::read(directory)?;
            return self.locate(file).map(Some);
        }
        if self.anchor.is_some() || !self.augmenting.is_empty() {
            let reason = "is no composition (there is no composition.json in it), so --anchor and \
                          --augmenting have no meaning";
            return Err(Failure::path(directory, reason));
        }
        if !directory.join("config.json").exists() {
            let reason = "is neither a checkpoint (there is no config.json in it) nor a \
                          composition (nor a composition.json); give the directory of one";
            return Err(Failure::path(directory, reason));
        }
        Ok(None)
    }

    fn locate(&self, file: CompositionFile) -> Result<Located, Failure> {
        let anchor = match &self.anchor {
            Some(path) => path.clone(),
            None => find(&self.directory, "anchor", &file.anchor)?,
        };
        let augmenting = if self.augmenting.is_empty() {
            file.augmenting
                .iter()
                .map(|reference| find(&self.directory, "augmenting", reference))
                .collect::<Result<_, Failure>>()?
        } else {
            self.augmenting.clone()
        };
        Ok(Located {
            file,
            anchor,
            augmenting,
        })
    }
}

/// A path that was given when the composition was made: as it stands, which for a relative one
/// means in the current directory, or else from the composition's own directory.
fn find(composition: &Path, role: &str, reference: &ModelReference) -> Result<PathBuf, Failure> {
    let path = &reference.path;
    let candidates = [path.clone(), composition.join(path)];
    candidates
        .into_iter()
        .find(|candidate| candidate.is_dir())
        .ok_or_else(|| {
            let reason = format!(
                "was made with the {role} model {}, which is neither there nor beside it; say \
                 where it is with --{role} DIR",
                path.display()
            );
            Failure::path(composition, reason)
        })
}

/// Loads a checkpoint to compute with it in `f32`.
pub(super) fn load_checkpoint(directory: &Path, device: &Device) -> Result<FrozenModel, Failure> {
    if !directory.join("config.json").exists() {
        let reason = "is no checkpoint (there is no config.json in it); give a directory in the \
                      Hugging Face layout";
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
