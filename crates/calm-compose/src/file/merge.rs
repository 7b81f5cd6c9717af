//! Merging two compositions over one anchor.

use std::path::Path;

use safetensors::tensor::TensorView;
use serde::Serialize;

use super::{CompositionFile, MAX_WEIGHTS_BYTES, TrainingRecord, WEIGHTS, parse, read_bytes};
use crate::ComposeError;

impl CompositionFile {
    /// Writes to `out` a composition that reads the augmenting models of `first`, then those of
    /// `second`, through the bridges that both have. No model is loaded.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Merge`] if their anchors, heads, options or modes differ,
    /// [`ComposeError::Io`] or [`ComposeError::Malformed`] if a file is missing or damaged.
    pub fn merge(first: &Path, second: &Path, out: &Path) -> Result<Self, ComposeError> {
        let [one, two] = [first, second].map(|directory| {
            let file = Self::read(directory)?;
            let augmenting = file.augmenting.into_iter();
            let augmenting = augmenting.map(|model| model.found_from(directory));
            Ok::<_, ComposeError>(Self {
                anchor: file.anchor.found_from(directory),
                augmenting: augmenting.collect(),
                ..file
            })
        });
        let (one, two) = (one?, two?);
        let before = one.augmenting.len();
        let merged = one.followed_by(two).map_err(|reason| ComposeError::Merge {
            first: first.to_owned(),
            second: second.to_owned(),
            reason,
        })?;
        let [one, two] = [first.join(WEIGHTS), second.join(WEIGHTS)];
        let bytes = [
            read_bytes(&one, MAX_WEIGHTS_BYTES)?,
            read_bytes(&two, MAX_WEIGHTS_BYTES)?,
        ];
        let mut tensors = named(&one, &bytes[0], 0)?;
        tensors.extend(named(&two, &bytes[1], before)?);
        let weights = safetensors::serialize(tensors, None);
        let weights = weights.map_err(|error| ComposeError::Malformed {
            path: two,
            reason: error.to_string(),
        })?;
        merged.write_files(out, &weights)?;
        Ok(merged)
    }

    fn followed_by(mut self, other: Self) -> Result<Self, String> {
        if self.anchor.weights_sha256 != other.anchor.weights_sha256 {
            return Err(format!(
                "their anchors have the weights {} and {}; only compositions over one anchor can \
                 be merged",
                self.anchor.weights_sha256, other.anchor.weights_sha256
            ));
        }
        if self.heads != other.heads {
            return Err(format!(
                "their bridges have {} and {} heads; train one of them with the other's",
                self.heads, other.heads
            ));
        }
        if self.options != other.options {
            return Err(
                "their bridges have different options; train one of them with the other's"
                    .to_owned(),
            );
        }
        if self.mode != other.mode {
            return Err(
                "one of them reads whole texts and the other prompts only (`mode`); train one of \
                 them with the other's"
                    .to_owned(),
            );
        }
        self.augmenting.extend(other.augmenting);
        self.connections.extend(other.connections);
        let record = MergedRecord {
            merged: [self.training, other.training],
        };
        self.training = TrainingRecord::new(&record).expect("records are JSON");
        Ok(self)
    }
}

/// The record of bridges that were trained in two runs.
#[derive(Serialize)]
struct MergedRecord {
    merged: [TrainingRecord; 2],
}

/// The tensors of a file, with the numbers of their augmenting models raised by `later`.
fn named<'a>(
    path: &Path,
    bytes: &'a [u8],
    later: usize,
) -> Result<Vec<(String, TensorView<'a>)>, ComposeError> {
    let tensors = parse(path, bytes)?
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let renamed = name.strip_prefix('a').and_then(|name| {
                let (model, rest) = name.split_once('.')?;
                let model: usize = model.parse().ok()?;
                Some(format!("a{}.{rest}", model + later))
            });
            let renamed = renamed.ok_or_else(|| ComposeError::Malformed {
                path: path.to_owned(),
                reason: format!("{name} is not part of a composition"),
            })?;
            Ok((renamed, view))
        });
    tensors.collect()
}
