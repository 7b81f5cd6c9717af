//! Trained models in directories.

use std::path::Path;

use calm_compose::{CompositionFile, ModelReference};
use calm_data::DataError;
use calm_eval::run::RunError;
use calm_models::{CheckpointInfo, Strictness};
use calm_train::runs::{BridgeRecord, TuningRecord};

use super::{SystemKind, TableError, TrainedRun};

/// File that makes a directory a composition.
const COMPOSITION: &str = "composition.json";

/// A trained model.
pub(super) struct Trained {
    pub(super) kind: SystemKind,
    /// SHA-256 of its bridges, or of all its weights.
    pub(super) sha256: String,
    pub(super) run: TrainedRun,
}

impl Trained {
    /// Whether the directory is one of a trained model.
    pub(super) fn is_in(directory: &Path) -> bool {
        let files = [COMPOSITION, TuningRecord::FILE];
        files.iter().any(|file| directory.join(file).is_file())
    }

    /// The composition or the checkpoint in a directory, and its training.
    pub(super) fn read(directory: &Path) -> Result<Self, TableError> {
        match directory.join(COMPOSITION).is_file() {
            true => Self::composition(directory),
            false => Self::checkpoint(directory),
        }
    }

    fn composition(directory: &Path) -> Result<Self, TableError> {
        let file = CompositionFile::read(directory)?;
        let record: BridgeRecord = file.training.read().map_err(|error| {
            let reason = format!("training: {error}; train again with this program");
            RunError::from(DataError::file(&directory.join(COMPOSITION), reason))
        })?;
        let sha256 = calm_files::sha256_file(directory.join("bridge.safetensors"));
        let of_part =
            |part: &str, model: &ModelReference| (part.to_owned(), model.weights_sha256.clone());
        let augmenting = file.augmenting.iter().map(|model| of_part("m_A", model));
        let anchor = std::iter::once(of_part("m_B", &file.anchor));
        Ok(Self {
            kind: SystemKind::Composed,
            sha256: sha256.map_err(|error| RunError::from(DataError::from(error)))?,
            run: TrainedRun {
                weights_sha256: anchor.chain(augmenting).collect(),
                ..TrainedRun::of_bridges(&record)
            },
        })
    }

    fn checkpoint(directory: &Path) -> Result<Self, TableError> {
        let record = TuningRecord::read(directory)?;
        let info = CheckpointInfo::read(directory, Strictness::Lenient)?;
        Ok(Self {
            kind: match record.rank {
                Some(_) => SystemKind::Lora,
                None => SystemKind::Finetuned,
            },
            sha256: info.weights_sha256,
            run: TrainedRun::of_checkpoint(&record),
        })
    }
}
