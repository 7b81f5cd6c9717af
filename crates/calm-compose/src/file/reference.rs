//! References from a composition to its frozen models, and the hashes that they are known by.

use std::path::{Path, PathBuf};

use calm_models::{HubModel, ModelSource};
use serde::{Deserialize, Serialize};

use super::DESCRIPTION;
use crate::ComposeError;

/// A frozen model of a composition, by its place and its hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelReference {
    /// The directory it was read from, as the user gave it, or `hf:owner/name@commit`.
    pub path: PathBuf,
    /// The same from the root. [`CompositionFile::write`](super::CompositionFile::write) sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_path: Option<PathBuf>,
    /// The same from the composition's own directory: still right where a composition was moved or
    /// copied together with its models. [`CompositionFile::write`](super::CompositionFile::write)
    /// sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_path: Option<PathBuf>,
    /// SHA-256 of its weight files; of random weights, of the file that they would be saved in, see [`FrozenModel::weights_sha256`](calm_models::FrozenModel::weights_sha256).
    pub weights_sha256: String,
    /// Seed of its weights, if they are random and not those of the directory:
    /// [`LoadedModel::random_init_like`](crate::LoadedModel::random_init_like).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrained_seed: Option<u64>,
    /// SHA-256 of its vocabulary, [`Tokenizer::sha256`](calm_models::Tokenizer::sha256); none if
    /// the composition was made before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
}

/// Hashes of a model at hand, to be compared with a [`ModelReference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelHashes<'a> {
    /// SHA-256 of its weight files.
    pub weights: &'a str,
    /// SHA-256 of its vocabulary.
    pub tokenizer: &'a str,
}

impl ModelReference {
    /// The model of the Hub that it names, if it names one.
    pub(crate) fn hub_model(&self) -> Option<HubModel> {
        match self.path.to_str()?.parse() {
            Ok(ModelSource::Hub(model)) => Some(model),
            _ => None,
        }
    }

    /// Where its files may be, the likeliest first, for a composition in this directory: the way from
    /// there, the way from the root, and the path as it was given, from the current directory or
    /// else from the composition's, which is all that older files have.
    pub(crate) fn places(&self, composition: &Path) -> Vec<PathBuf> {
        let relative = self.relative_path.iter().map(|path| composition.join(path));
        let given = [self.path.clone(), composition.join(&self.path)];
        let mut places: Vec<PathBuf> = Vec::new();
        for place in relative.chain(self.absolute_path.clone()).chain(given) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The same for a file in this directory: with the ways to it from there and from the root, if
    /// it is on this machine.
    pub(super) fn kept_in(&self, directory: &Path) -> Self {
        let mut kept = self.clone();
        kept.relative_path = None;
        if self.hub_model().is_some() {
            return kept;
        }
        let known = self.absolute_path.as_deref().unwrap_or(&self.path);
        if let Some(place) = physical(known).filter(|place| place.to_str().is_some()) {
            kept.relative_path = way(directory, &place);
            kept.absolute_path = Some(place);
        }
        kept
    }

    /// The same, as a file in this directory names it, by the way from the root to where it is now.
    pub(super) fn found_from(self, directory: &Path) -> Self {
        let mut places = self.places(directory).into_iter();
        let found = places.find_map(|place| physical(&place));
        let absolute_path = found.or(self.absolute_path);
        Self {
            absolute_path,
            relative_path: None,
            ..self
        }
    }

    pub(super) fn check(
        &self,
        directory: &Path,
        role: &str,
        found: ModelHashes<'_>,
    ) -> Result<(), ComposeError> {
        let (path, role) = (directory.join(DESCRIPTION), role.to_owned());
        if self.weights_sha256 != found.weights {
            let (expected, found) = (self.weights_sha256.clone(), found.weights.to_owned());
            return Err(ComposeError::OtherWeights {
                path,
                role,
                expected,
                found,
            });
        }
        match &self.tokenizer_sha256 {
            Some(expected) if expected != found.tokenizer => Err(ComposeError::OtherTokenizer {
                path,
                role,
                expected: expected.clone(),
                found: found.tokenizer.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// The path from the root of something that is there, with no link on the way to it; the last part
/// may be one.
fn physical(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path)
        .ok()
        .filter(|path| path.exists())?;
    match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(name)) => Some(parent.canonicalize().ok()?.join(name)),
        _ => whole.canonicalize().ok(),
    }
}

/// The way from a directory to a [`physical`] path, if there is one: not to another drive.
fn way(from: &Path, to: &Path) -> Option<PathBuf> {
    let from = from.canonicalize().ok()?;
    let both = from.components().zip(to.components());
    let shared = both.take_while(|(one, other)| one == other).count();
    let up = from.components().skip(shared).map(|_| "..");
    let down = to.components().skip(shared);
    let down = down.map(|part| part.as_os_str().to_str().expect("the path is text"));
    // The same on every system.
    let way = up.chain(down).collect::<Vec<_>>().join("/");
    (shared > 0).then(|| match way.as_str() {
        "" => ".".into(),
        way => way.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_leads_up_and_down_again() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir_all(root.join("models/big")).unwrap();
        let ways = |from: &str, to: &str| way(&root.join(from), &root.join(to)).unwrap();
        assert_eq!(ways("a/b", "models/big"), Path::new("../../models/big"));
        assert_eq!(ways("a", "a/b"), Path::new("b"));
        assert_eq!(ways("a", "a"), Path::new("."));
        assert_eq!(
            physical(&root.join("a/../models/big")),
            Some(root.join("models/big"))
        );
        assert_eq!(physical(&root.join("nowhere")), None);
    }
}
