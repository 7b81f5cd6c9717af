//! Data sets of the Hub, as users write them, and their files.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::model::{MAIN, is_commit, is_name};
use super::{HubError, SourceError};
use crate::ModelError;

/// Beginning of the name of a data set of the Hub.
const SCHEME: &str = "hf:datasets/";

/// Files of a data set of the Hub: `hf:datasets/owner/name@revision/path`.
///
/// The path names a file, or what the names of several begin with, such as `main/train` of
/// `main/train-00000-of-00002.parquet`.
///
/// ```
/// use calm_models::HubDataset;
///
/// let data: HubDataset = "hf:datasets/owner/name/main/train".parse()?;
/// assert_eq!(data.to_string(), "hf:datasets/owner/name@main/main/train");
/// # Ok::<(), calm_models::SourceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubDataset {
    repository: String,
    revision: String,
    path: String,
}

/// Files of a data set on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFiles {
    /// The file, or what the names of the files begin with.
    pub path: PathBuf,
    /// Name by which the same files can be found again: at a commit.
    pub source: HubDataset,
}

impl HubDataset {
    /// Whether a text has the form of a name of a data set of the Hub.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The repository, as `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The file in the repository, or the beginning of the names of several; empty for all.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The revision, if it is one that always means the same.
    pub fn commit(&self) -> Option<&str> {
        is_commit(&self.revision).then_some(&*self.revision)
    }

    /// The same data at a commit.
    #[cfg(feature = "hub")]
    pub(super) fn at(&self, commit: &str) -> Self {
        Self {
            revision: commit.to_owned(),
            ..self.clone()
        }
    }

    /// Whether a file of the repository is one of these.
    #[cfg(feature = "hub")]
    pub(super) fn holds(&self, file: &str) -> bool {
        let Some(rest) = file.strip_prefix(&*self.path) else {
            return false;
        };
        let is_whole = rest.is_empty() || self.path.is_empty();
        is_whole || rest.starts_with(['/', '-', '.', '_'])
    }

    pub(super) fn error(&self, source: HubError) -> ModelError {
        ModelError::HubData {
            data: Box::new(self.clone()),
            source: Box::new(source),
        }
    }
}

impl FromStr for HubDataset {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let parsed = text.strip_prefix(SCHEME).and_then(parse);
        parsed.ok_or_else(|| SourceError {
            given: text.to_owned(),
            reason: "write hf:datasets/owner/name, hf:datasets/owner/name@revision or \
                     hf:datasets/owner/name@revision/path",
        })
    }
}

/// Parses the text after the scheme.
fn parse(text: &str) -> Option<HubDataset> {
    let (owner, rest) = text.split_once('/')?;
    let end = rest.find(['/', '@']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let (revision, path) = match rest.strip_prefix('@') {
        None => (MAIN.to_owned(), rest.trim_start_matches('/')),
        Some(rest) => {
            let mut parts = rest.splitn(4, '/');
            let first = parts.next()?;
            // Revisions of pull requests and of converted files have three parts.
            if first == "refs" {
                let revision = format!("refs/{}/{}", parts.next()?, parts.next()?);
                (revision, parts.next().unwrap_or_default())
            } else {
                (
                    first.to_owned(),
                    rest[first.len()..].trim_start_matches('/'),
                )
            }
        }
    };
    let path = path.trim_end_matches('/');
    let are_names = |path: &str| path.split('/').all(is_name);
    let is_sound = is_name(owner) && is_name(name) && are_names(&revision);
    (is_sound && (path.is_empty() || are_names(path))).then(|| HubDataset {
        repository: format!("{owner}/{name}"),
        revision,
        path: path.to_owned(),
    })
}

impl fmt::Display for HubDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}", self.repository, self.revision)?;
        match self.path.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_sets() {
        for (text, repository, revision, path) in [
            ("o/n", "o/n", "main", ""),
            ("o/n/main/train", "o/n", "main", "main/train"),
            ("o/n@v1", "o/n", "v1", ""),
            ("o/n@v1/data/x.jsonl", "o/n", "v1", "data/x.jsonl"),
            (
                "o/n@refs/convert/parquet/d/train",
                "o/n",
                "refs/convert/parquet",
                "d/train",
            ),
        ] {
            let data: HubDataset = format!("hf:datasets/{text}").parse().unwrap();
            assert_eq!(
                (data.repository(), data.revision(), data.path()),
                (repository, revision, path)
            );
            assert_eq!(data.to_string().parse(), Ok(data));
        }
        for text in [
            "",
            "o",
            "o/",
            "o/n@",
            "o/../x",
            "o/n/../x",
            "o/n@x/../y",
            "o/n@refs/pr",
            "a b/c",
        ] {
            let error = format!("hf:datasets/{text}")
                .parse::<HubDataset>()
                .unwrap_err();
            assert!(
                error.to_string().contains("hf:datasets/owner/name"),
                "{error}"
            );
        }
    }
}
