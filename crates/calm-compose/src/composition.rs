//! A composition as a whole: frozen models, bridges, and the directory that they are saved in.

use std::path::Path;

use burn::tensor::Device;
use calm_models::{
    FrozenModel, LoadOptions, ModelFiles, ModelSource, OtherWeights, Session, Tokenizer,
};
use serde::{Deserialize, Serialize};

use crate::{
    BridgeOptions, Bridges, ChatFormat, ComposeError, ComposedModel, CompositionFile, Connection,
    ConnectionPlan, FrozenParts, Imported, Mode, ModelHashes, ModelReference, TrainingRecord,
};

/// Settings of a composition, besides its models and their connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompositionConfig {
    /// Attention heads of the bridges, N_H. Default: as many as the anchor has.
    pub heads: Option<usize>,
    /// Options of the bridges.
    pub options: BridgeOptions,
    /// The part of a text that augmenting models read.
    pub mode: Mode,
}

/// A frozen model, and how a composition names it.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// The model.
    pub model: FrozenModel,
    /// Its files, and where they come from.
    pub files: ModelFiles,
    /// The seed of its weights, if they are random and only architecture and tokenizer are those
    /// of the files.
    pub untrained_seed: Option<u64>,
}

/// Frozen models and the bridges between them, with all that is needed to save them.
#[derive(Debug, Clone)]
pub struct Composition {
    /// m_B: its tokens are read and written.
    pub anchor: LoadedModel,
    /// Every m_A.
    pub augmenting: Vec<LoadedModel>,
    /// The models joined by bridges, ready to generate.
    pub model: ComposedModel,
    /// Attention heads of the bridges.
    pub heads: usize,
    /// Options of the bridges.
    pub options: BridgeOptions,
    /// The part of a text that augmenting models read.
    pub mode: Mode,
    /// Record of the training.
    pub training: TrainingRecord,
}

impl LoadedModel {
    /// Loads a model by its name. Files of the Hub are fetched if they are not here.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if it can't be fetched or loaded, [`ComposeError::NoCheckpoint`] if
    /// there is none.
    pub fn load(source: &ModelSource, options: &LoadOptions) -> Result<Self, ComposeError> {
        Self::from_files(source.resolve(&[], &mut |_| {})?, options)
    }

    /// Loads a model whose files are here.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if it can't be loaded, [`ComposeError::NoCheckpoint`] if the path is
    /// neither a file nor a directory that holds one.
    pub fn from_files(files: ModelFiles, options: &LoadOptions) -> Result<Self, ComposeError> {
        let path = &files.path;
        let has_config = path.is_file() || path.join("config.json").exists();
        if !has_config && OtherWeights::without_config(path).is_none() {
            return Err(ComposeError::NoCheckpoint { path: path.clone() });
        }
        Ok(Self {
            model: FrozenModel::load(path, options)?,
            files,
            untrained_seed: None,
        })
    }

    /// The same architecture and tokenizer with random weights: the control of section 4.4.
    #[must_use]
    pub fn random_init_like(&self, seed: u64) -> Self {
        Self {
            model: self.model.random_init_like(seed),
            files: self.files.clone(),
            untrained_seed: Some(seed),
        }
    }

    /// A short name for people: the last part of its path, or `owner/name` on the Hub.
    pub fn name(&self) -> String {
        match &self.files.source {
            ModelSource::Hub(model) => model.repository().to_owned(),
            ModelSource::Path(path) => {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let name = whole.file_name().map(Path::new).unwrap_or(path);
                name.display().to_string()
            }
        }
    }

    /// The reference by which a composition finds the model again.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if its files can't be read any more.
    pub fn reference(&self) -> Result<ModelReference, ComposeError> {
        let hashes = self.hashes()?;
        Ok(ModelReference {
            path: match &self.files.source {
                ModelSource::Path(path) => path.clone(),
                ModelSource::Hub(model) => model.to_string().into(),
            },
            absolute_path: None,
            relative_path: None,
            weights_sha256: hashes.weights.to_owned(),
            untrained_seed: self.untrained_seed,
            tokenizer_sha256: Some(hashes.tokenizer.to_owned()),
        })
    }

    fn hashes(&self) -> Result<ModelHashes<'_>, ComposeError> {
        Ok(ModelHashes {
            weights: self.model.weights_sha256()?,
            tokenizer: self.model.tokenizer.sha256(),
        })
    }

    /// The model that a composition names by these files: with the weights of the checkpoint, or
    /// with random ones.
    fn resolve(self, reference: &ModelReference) -> Self {
        match reference.untrained_seed {
            Some(seed) => self.random_init_like(seed),
            None => self,
        }
    }
}

impl Composition {
    /// An anchor and the models that it is to read, with fresh bridges on the anchor's device.
    /// Their parameters follow from `seed`.
    ///
    /// # Errors
    ///
    /// Those of [`ConnectionPlan::resolve`] and [`Bridges::init`].
    pub fn new(
        anchor: LoadedModel,
        augmenting: Vec<(LoadedModel, ConnectionPlan)>,
        config: &CompositionConfig,
        seed: u64,
    ) -> Result<Self, ComposeError> {
        let alone = Self {
            model: ComposedModel {
                parts: FrozenParts::join(&anchor.model, [])?,
                bridges: Bridges { of: Vec::new() },
            },
            heads: config.heads.unwrap_or(anchor.model.config().heads()),
            anchor,
            augmenting: Vec::new(),
            options: config.options,
            mode: config.mode,
            training: TrainingRecord::default(),
        };
        alone.extend(augmenting, seed)
    }

    /// The same, and further models that the anchor is to read, with fresh bridges like those that
    /// are there. Models and bridges that are there stay as they are, and first.
    ///
    /// # Errors
    ///
    /// Those of [`Composition::new`].
    pub fn extend(
        mut self,
        augmenting: Vec<(LoadedModel, ConnectionPlan)>,
        seed: u64,
    ) -> Result<Self, ComposeError> {
        let anchor_blocks = self.model.parts.anchor.block_count();
        let connections = augmenting.iter().map(|(augmenting, plan)| {
            plan.resolve(augmenting.model.decoder.block_count(), anchor_blocks)
        });
        let connections = connections.collect::<Result<Vec<_>, _>>()?;
        let augmenting: Vec<LoadedModel> = augmenting.into_iter().map(|(model, _)| model).collect();
        let parts = join(&self.anchor, &augmenting, connections, self.mode)?;
        let sets = parts.bridge_sets_with(self.heads, self.options);
        let bridges = Bridges::init(&sets, seed, &parts.anchor.device())?;
        self.augmenting.extend(augmenting);
        self.model.parts.augmenting.extend(parts.augmenting);
        self.model.bridges = self.model.bridges.followed_by(bridges);
        Ok(self)
    }

    /// Opens a composition over models that are loaded already.
    ///
    /// # Errors
    ///
    /// [`ComposeError::AugmentingCount`], [`ComposeError::OtherWeights`] or
    /// [`ComposeError::OtherTokenizer`] if these are not the models that it was made for,
    /// [`ComposeError::Malformed`] or [`ComposeError::Io`] if a file is damaged or missing.
    pub fn open_over(
        directory: &Path,
        anchor: LoadedModel,
        augmenting: Vec<LoadedModel>,
    ) -> Result<Self, ComposeError> {
        let file = CompositionFile::read(directory)?;
        Self::of_file(file, directory, anchor, augmenting, true)
    }

    /// `check_models`: whether the models must be those that the file names.
    pub(crate) fn of_file(
        file: CompositionFile,
        directory: &Path,
        anchor: LoadedModel,
        augmenting: Vec<LoadedModel>,
        check_models: bool,
    ) -> Result<Self, ComposeError> {
        file.check_count(augmenting.len())?;
        let anchor = anchor.resolve(&file.anchor);
        let augmenting = augmenting.into_iter().zip(&file.augmenting);
        let augmenting: Vec<_> = augmenting
            .map(|(model, named)| model.resolve(named))
            .collect();
        if check_models {
            let hashes = augmenting.iter().map(LoadedModel::hashes);
            let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
            file.check_models(directory, anchor.hashes()?, &hashes)?;
        }
        let parts = join(&anchor, &augmenting, file.connections.clone(), file.mode)?;
        let bridges = file.read_bridges(directory, &parts, &parts.anchor.device())?;
        Ok(Self {
            anchor,
            augmenting,
            model: ComposedModel { parts, bridges },
            heads: file.heads,
            options: file.options,
            mode: file.mode,
            training: file.training,
        })
    }

    /// Writes `composition.json` and `bridge.safetensors`. The frozen models stay where they are.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] naming the file that could not be written, [`ComposeError::Model`] if
    /// the files of a model can't be read any more.
    pub fn save(&self, directory: &Path) -> Result<(), ComposeError> {
        self.file()?.write(directory, &self.model.bridges)
    }

    /// The description that [`Composition::save`] writes.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if the files of a model can't be read any more.
    pub fn file(&self) -> Result<CompositionFile, ComposeError> {
        let augmenting = self.augmenting.iter().map(LoadedModel::reference);
        let mut file = CompositionFile::new(
            self.anchor.reference()?,
            augmenting.collect::<Result<_, _>>()?,
            self.connections().map(<[_]>::to_vec).collect(),
            self.heads,
            self.training.clone(),
        );
        file.options = self.options;
        file.mode = self.mode;
        Ok(file)
    }

    /// Per augmenting model, where it is read.
    pub fn connections(&self) -> impl Iterator<Item = &[Connection]> {
        let models = self.model.parts.augmenting.iter();
        models.map(|model| model.connections.as_slice())
    }

    /// The anchor's tokenizer, in whose tokens texts are read and written.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.anchor.model.tokenizer
    }

    /// A session that decodes sequences with the composition.
    pub fn session(&self) -> Session<'_, ComposedModel> {
        Session::new(&self.model).with_tokenizer(self.tokenizer())
    }

    /// The device of anchor and bridges.
    pub fn device(&self) -> Device {
        self.model.parts.anchor.device()
    }

    /// The chat templates of its models, which make conversations prompts of sequences.
    ///
    /// # Errors
    ///
    /// As [`ChatFormat::read`].
    pub fn chat_format(&self) -> Result<ChatFormat, ComposeError> {
        ChatFormat::read(&self.anchor, &self.augmenting)
    }

    /// The longest text that the anchor and all models that read its tokens can read.
    pub fn context_length(&self) -> usize {
        let models = self.augmenting.iter().zip(&self.model.parts.augmenting);
        let models = models.filter(|(_, part)| part.tokens.is_none());
        models
            .map(|(model, _)| model.model.config().context_length)
            .fold(self.anchor.model.config().context_length, usize::min)
    }
}

impl Imported {
    /// The composition of these bridges and the frozen models that they were trained between.
    ///
    /// # Errors
    ///
    /// [`ComposeError`] if blocks or tokenizers of the models do not fit the connections.
    pub fn join(
        self,
        anchor: LoadedModel,
        augmenting: Vec<LoadedModel>,
        training: TrainingRecord,
    ) -> Result<Composition, ComposeError> {
        let mode = Mode::default();
        Ok(Composition {
            model: ComposedModel {
                parts: join(&anchor, &augmenting, self.connections, mode)?,
                bridges: self.bridges,
            },
            anchor,
            augmenting,
            heads: self.heads,
            options: self.options,
            mode,
            training,
        })
    }
}

fn join(
    anchor: &LoadedModel,
    augmenting: &[LoadedModel],
    connections: Vec<Vec<Connection>>,
    mode: Mode,
) -> Result<FrozenParts, ComposeError> {
    let augmenting = augmenting.iter().map(|augmenting| &augmenting.model);
    let parts = FrozenParts::join(&anchor.model, augmenting.zip(connections))?;
    Ok(parts.in_mode(mode))
}
