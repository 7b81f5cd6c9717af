//! Finding the models that a composition names.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_models::{CheckpointInfo, Fetching, LoadOptions, ModelFiles, ModelSource, Strictness};

use crate::{ComposeError, Composition, CompositionFile, LoadedModel, ModelReference};

/// Sources of a composition's models, if they are not where it names them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSources {
    /// The anchor.
    pub anchor: Option<ModelSource>,
    /// The augmenting models; none if all are where the composition names them.
    pub augmenting: Vec<ModelSource>,
    /// Allows models with other weights or tokenizers than those it was made for.
    pub allow_other_weights: bool,
}

/// A composition whose description is read, and the files of whose models are here.
#[derive(Debug, Clone)]
pub struct LocatedComposition {
    /// The composition's own directory.
    pub directory: PathBuf,
    /// Its description.
    pub file: CompositionFile,
    /// The anchor.
    pub anchor: ModelFiles,
    /// The augmenting models.
    pub augmenting: Vec<ModelFiles>,
    /// [`ModelSources::allow_other_weights`].
    pub allow_other_weights: bool,
}

impl LocatedComposition {
    /// Reads a composition's description, finds its models, and fetches those of the Hub that are
    /// not here.
    ///
    /// # Errors
    ///
    /// Those of [`CompositionFile::read`], [`ComposeError::ModelNotFound`] if a directory is not
    /// where it was, [`ComposeError::Model`] if a model of the Hub cannot be had.
    pub fn find(
        directory: &Path,
        sources: &ModelSources,
        progress: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<Self, ComposeError> {
        let file = CompositionFile::read(directory)?;
        let anchor = match &sources.anchor {
            Some(source) => source.clone(),
            None => file.anchor.find(directory, "anchor")?,
        };
        let augmenting = if sources.augmenting.is_empty() {
            let named = file.augmenting.iter();
            let found = named.map(|reference| reference.find(directory, "augmenting"));
            found.collect::<Result<_, _>>()?
        } else {
            sources.augmenting.clone()
        };
        let mut fetch = |source: &ModelSource| source.resolve(&[], progress);
        Ok(Self {
            directory: directory.to_owned(),
            file,
            anchor: fetch(&anchor)?,
            augmenting: augmenting.iter().map(fetch).collect::<Result<_, _>>()?,
            allow_other_weights: sources.allow_other_weights,
        })
    }

    /// Loads models and bridges, the augmenting models to a device of their own. Their hidden
    /// states are moved to the anchor's, where bridges read them.
    ///
    /// # Errors
    ///
    /// Those of [`LoadedModel::from_files`] and [`Composition::open_over`].
    pub fn load(
        self,
        options: &LoadOptions,
        augmenting_device: &Device,
    ) -> Result<Composition, ComposeError> {
        let anchor = LoadedModel::from_files(self.anchor, options)?;
        let options = LoadOptions {
            device: augmenting_device.clone(),
            ..options.clone()
        };
        let augmenting = self.augmenting.into_iter();
        let augmenting = augmenting.map(|files| LoadedModel::from_files(files, &options));
        Composition::of_file(
            self.file,
            &self.directory,
            anchor,
            augmenting.collect::<Result<_, _>>()?,
            !self.allow_other_weights,
        )
    }
}

impl Composition {
    /// Opens a composition with the models that it names, which must still be the same. Those of
    /// the Hub are fetched if they are not here. Models that are elsewhere now, or not the same, or
    /// on several devices: [`LocatedComposition`].
    ///
    /// # Errors
    ///
    /// Those of [`LocatedComposition::find`] and [`LocatedComposition::load`].
    pub fn open(directory: &Path, options: &LoadOptions) -> Result<Self, ComposeError> {
        let sources = ModelSources::default();
        LocatedComposition::find(directory, &sources, &mut |_| {})?.load(options, &options.device)
    }
}

impl ModelReference {
    /// The source of a model that was given when the composition was made: the first of its
    /// places where something is. Where several different things are, it is the first that has its weights.
    fn find(&self, composition: &Path, role: &'static str) -> Result<ModelSource, ComposeError> {
        if let Some(model) = self.hub_model() {
            return Ok(ModelSource::Hub(model));
        }
        let places = self.places(composition);
        let mut there: Vec<PathBuf> = Vec::new();
        for place in places.iter().filter_map(|place| place.canonicalize().ok()) {
            if !there.contains(&place) {
                there.push(place);
            }
        }
        let right = match there.as_slice() {
            [] | [_] => there.first(),
            several => {
                let right = several.iter().find(|place| self.has_weights_of(place));
                right.or(several.first())
            }
        };
        // By the name that the user gave it, where that still means the same.
        let found = right.map(|found| {
            let is_given = self.path.canonicalize().is_ok_and(|given| given == *found);
            ModelSource::Path(if is_given { &self.path } else { found }.clone())
        });
        found.ok_or_else(|| ComposeError::ModelNotFound {
            composition: composition.to_owned(),
            role,
            model: self.path.clone(),
            places,
        })
    }

    /// Whether a checkpoint has the weights that the composition was made for. One that cannot be read has
    /// not.
    fn has_weights_of(&self, place: &Path) -> bool {
        let info = CheckpointInfo::read(place, Strictness::default());
        info.is_ok_and(|info| info.weights_sha256 == self.weights_sha256)
    }
}
