//! Names of models, as users write them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::HubError;
use crate::ModelError;

/// Beginning of the name of a model of the Hub.
const SCHEME: &str = "hf:";
pub(super) const MAIN: &str = "main";

/// Forms of a name, for messages.
const FORMS: &str = "write hf:owner/name or hf:owner/name/file.gguf, and @revision behind it for another than \
                     main";

/// A model as the user names it: a path, `hf:owner/name@revision`, or `hf:owner/name/file.gguf@revision`.
///
/// ```
/// use calm_models::ModelSource;
///
/// let source: ModelSource = "hf:owner/name@refs/pr/3".parse()?;
/// assert_eq!(source.to_string(), "hf:owner/name@refs/pr/3");
/// let source: ModelSource = "models/anchor".parse()?;
/// assert_eq!(source, ModelSource::Path("models/anchor".into()));
/// # Ok::<(), calm_models::SourceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A directory in the Hugging Face layout, or a GGUF file.
    Path(PathBuf),
    /// A repository of the Hub.
    Hub(HubModel),
}

/// A model of the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    repository: String,
    /// The GGUF file, perhaps in a folder, of a repository that has such.
    file: Option<String>,
    revision: String,
}

/// A name that begins with `hf:` and is none of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' names no model of the Hub: {reason}")]
pub struct SourceError {
    pub(super) given: String,
    pub(super) reason: &'static str,
}

/// A model's files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The directory that they are in, or the GGUF file.
    pub path: PathBuf,
    /// Name by which the same files can be found again: at a commit, not a branch.
    pub source: ModelSource,
}

impl FromStr for ModelSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.strip_prefix(SCHEME) {
            Some(name) => HubModel::parse(name)
                .map(Self::Hub)
                .map_err(|reason| SourceError {
                    given: text.to_owned(),
                    reason,
                }),
            None => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Hub(model) => model.fmt(f),
        }
    }
}

impl HubModel {
    /// Parses the text after `hf:`.
    fn parse(name: &str) -> Result<Self, &'static str> {
        let (path, revision) = name.split_once('@').unwrap_or((name, MAIN));
        let mut parts = path.splitn(3, '/');
        let (Some(owner), Some(name), file) = (parts.next(), parts.next(), parts.next()) else {
            return Err(FORMS);
        };
        if ![owner, name].into_iter().all(is_name) {
            return Err("owner and name are made of letters, digits, '-', '_' and '.'");
        }
        if file.is_some_and(|file| !is_gguf(file)) {
            return Err(FORMS);
        }
        if file.is_some_and(|file| !file.split('/').all(is_name)) {
            return Err("the name of a file is made of letters, digits, '-', '_' and '.'");
        }
        if is_gguf(revision) {
            return Err("write the name of a file before that of the revision");
        }
        // It becomes a path below `refs/`, and a part of addresses.
        if !revision.split('/').all(is_name) {
            return Err(
                "a revision is a branch, a tag or a commit, of letters, digits, '-', '_', '.' and \
                 '/'; for a branch with other characters, give the commit",
            );
        }
        Ok(Self {
            repository: format!("{owner}/{name}"),
            file: file.map(str::to_owned),
            revision: revision.to_owned(),
        })
    }

    /// The repository, as `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The GGUF file in it, if the model is one.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The revision, if it is one that always means the same.
    pub fn commit(&self) -> Option<&str> {
        is_commit(&self.revision).then_some(&*self.revision)
    }

    /// The same model at a commit.
    #[cfg(feature = "hub")]
    pub(super) fn at(&self, commit: &str) -> Self {
        Self {
            revision: commit.to_owned(),
            ..self.clone()
        }
    }

    pub(super) fn error(&self, source: HubError) -> ModelError {
        ModelError::Hub {
            model: self.clone(),
            source: Box::new(source),
        }
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repository)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        write!(f, "@{}", self.revision)
    }
}

/// Whether it is a plain part of a path, an address and a name of git.
pub(super) fn is_name(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    part.bytes().all(is_plain) && !part.is_empty() && !part.starts_with('.') && !part.contains("..")
}

/// Whether a name is that of a GGUF file.
pub(super) fn is_gguf(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

/// Whether it is a whole hash of git.
pub(super) fn is_commit(revision: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    revision.len() == 40 && revision.bytes().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub_model(text: &str) -> HubModel {
        match text.parse() {
            Ok(ModelSource::Hub(model)) => model,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn names_of_the_hub() {
        let model = hub_model("hf:owner/a-Model_1.5");
        assert_eq!(
            (model.repository(), model.revision()),
            ("owner/a-Model_1.5", "main")
        );
        assert_eq!(model.commit(), None);
        assert_eq!(model.to_string(), "hf:owner/a-Model_1.5@main");
        assert_eq!(hub_model("hf:o/n@feature/x").revision(), "feature/x");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(
            hub_model(&format!("hf:o/n@{commit}")).commit(),
            Some(commit)
        );
    }

    #[test]
    fn files_of_the_hub() {
        let model = hub_model("hf:owner/name-GGUF/Q4_K_M/m.Q4_K_M-00001-of-00002.gguf@v1");
        assert_eq!(model.repository(), "owner/name-GGUF");
        assert_eq!(model.file(), Some("Q4_K_M/m.Q4_K_M-00001-of-00002.gguf"));
        assert_eq!(model.revision(), "v1");
        assert_eq!(hub_model(&model.to_string()), model);
        assert_eq!(hub_model("hf:o/n/m.GGUF").revision(), "main");
        for (name, reason) in [
            ("hf:o/n/model.safetensors", "write hf:owner/name"),
            ("hf:o/n/folder", "write hf:owner/name"),
            ("hf:o/n/../m.gguf", "the name of a file"),
            ("hf:o/n//m.gguf", "the name of a file"),
            ("hf:o/n/a b.gguf", "the name of a file"),
            ("hf:o/n@main/m.gguf", "before that of the revision"),
        ] {
            let error = name.parse::<ModelSource>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn names_that_leave_the_cache_or_the_address() {
        let names = [
            "",
            "name",
            "/name",
            "owner/",
            "a/b/c",
            "../b",
            "a/..",
            "a b/c",
            "a/b?c",
            "a/b@",
            "a/b@../../x",
            "a/b@/x",
            "a/b@x/",
            "a/b@x//y",
            "a/b@x\\y",
            "a/b@.git/x",
            "a/b@x#y",
            "a/b@x%2e",
            "a/b@c@d",
        ];
        for name in names {
            let error = format!("hf:{name}").parse::<ModelSource>().unwrap_err();
            assert!(
                error.to_string().contains("names no model of the Hub"),
                "{error}"
            );
        }
    }

    #[test]
    fn all_else_is_a_path() {
        for text in ["hf", "./hf:a/b", "/models/anchor", "a@b", ""] {
            assert_eq!(text.parse(), Ok(ModelSource::Path(text.into())));
        }
    }
}
