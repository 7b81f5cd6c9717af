//! Description of a composition, without loading the weights of its models.

use std::path::PathBuf;

use burn::tensor::Device;
use calm_backend::FloatType;
use calm_models::{CheckpointInfo, Decoder, FrozenModel, ModelFiles, Strictness, Tokenizer};

use crate::{
    BridgeConfig, Bridges, ComposeError, CompositionFile, Connection, LocatedComposition,
    ModelHashes, ModelReference, Overhead, Project, check_export,
};

/// A composition's description, and those of the checkpoints that it joins.
#[derive(Debug, Clone)]
pub struct CompositionInfo {
    /// Directory of the composition.
    pub directory: PathBuf,
    /// Its description.
    pub file: CompositionFile,
    /// m_B.
    pub anchor: CheckpointInfo,
    /// Every m_A.
    pub augmenting: Vec<CheckpointInfo>,
}

impl CompositionInfo {
    /// Reads settings and headers of all models, and checks that they are those that the
    /// composition was made for, unless others are allowed.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Model`] if a checkpoint is damaged, [`ComposeError::AugmentingCount`],
    /// [`ComposeError::OtherWeights`] or [`ComposeError::OtherTokenizer`] if there are other models.
    pub fn read(located: LocatedComposition, strictness: Strictness) -> Result<Self, ComposeError> {
        let read = |files: &ModelFiles| CheckpointInfo::read(&files.path, strictness);
        let augmenting = located.augmenting.iter().map(read);
        let info = Self {
            anchor: read(&located.anchor)?,
            augmenting: augmenting.collect::<Result<_, _>>()?,
            directory: located.directory,
            file: located.file,
        };
        info.file.check_count(info.augmenting.len())?;
        if !located.allow_other_weights {
            info.check_models(&located.anchor, &located.augmenting)?;
        }
        Ok(info)
    }

    fn check_models(
        &self,
        anchor: &ModelFiles,
        augmenting: &[ModelFiles],
    ) -> Result<(), ComposeError> {
        let anchor = hashes(&self.file.anchor, anchor, &self.anchor)?;
        let references = self.file.augmenting.iter();
        let augmenting = references.zip(augmenting).zip(&self.augmenting);
        let augmenting = augmenting
            .map(|((reference, files), info)| hashes(reference, files, info))
            .collect::<Result<Vec<_>, _>>()?;
        let augmenting: Vec<ModelHashes<'_>> = augmenting.iter().map(borrowed).collect();
        self.file
            .check_models(&self.directory, borrowed(&anchor), &augmenting)
    }

    /// Parameters of all bridges.
    pub fn parameter_count(&self) -> usize {
        self.count(BridgeConfig::parameter_count)
    }

    /// Parameters of all bridges as section 3.1 counts them, n (D_A D_B + 3 D_B²).
    pub fn paper_parameter_count(&self) -> usize {
        self.count(BridgeConfig::paper_parameter_count)
    }

    fn count(&self, of: impl Fn(&BridgeConfig) -> usize) -> usize {
        let counts = self.bridges();
        counts
            .map(|(_, connections, bridge)| connections.len() * of(&bridge))
            .sum()
    }

    /// Reads the bridges. The models are not needed.
    ///
    /// # Errors
    ///
    /// As [`CompositionFile::read_bridges`].
    pub fn read_bridges(&self, device: &Device) -> Result<Bridges, ComposeError> {
        let sets = self.bridges();
        let sets: Vec<_> = sets
            .map(|(_, connections, bridge)| (bridge, connections.to_vec()))
            .collect();
        self.file.read_sets(&self.directory, &sets, device)
    }

    /// Checks by their options whether the bridges can be written as another project's.
    ///
    /// # Errors
    ///
    /// As [`check_export`].
    pub fn check_export(&self, to: Project) -> Result<(), ComposeError> {
        let mut bridges = self.bridges();
        bridges.try_for_each(|(_, _, bridge)| check_export(&bridge, self.augmenting.len(), to))
    }

    /// Cost of a token after `context` tokens, where the anchor and each augmenting model compute in
    /// these types.
    pub fn overhead(
        &self,
        context: usize,
        anchor: FloatType,
        augmenting: &[FloatType],
    ) -> Overhead {
        let models = self.bridges().zip(augmenting);
        let models = models.map(|((model, connections, bridge), dtype)| {
            ((&model.config, *dtype), connections, bridge)
        });
        Overhead::new((&self.anchor.config, anchor), models, context)
    }

    /// Every augmenting model with its connections and the sizes of their bridges.
    fn bridges(&self) -> impl Iterator<Item = (&CheckpointInfo, &[Connection], BridgeConfig)> {
        let models = self.augmenting.iter().zip(&self.file.connections);
        models.map(|(augmenting, connections)| {
            let bridge = BridgeConfig {
                d_augmenting: augmenting.config.d_model,
                d_anchor: self.anchor.config.d_model,
                heads: self.file.heads,
                options: self.file.options,
            };
            (augmenting, connections.as_slice(), bridge)
        })
    }
}

/// SHA-256 of a model's weights and of its tokenizer.
fn hashes(
    reference: &ModelReference,
    files: &ModelFiles,
    info: &CheckpointInfo,
) -> Result<[String; 2], ComposeError> {
    let tokenizer = Tokenizer::of_checkpoint(&files.path)?;
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

fn borrowed([weights, tokenizer]: &[String; 2]) -> ModelHashes<'_> {
    ModelHashes { weights, tokenizer }
}
