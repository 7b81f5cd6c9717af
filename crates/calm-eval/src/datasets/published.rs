//! Where publishers have their files.
//!
//! Nothing is fetched here: a [`Published`] says what is to be fetched, and what it should be.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::DatasetError;
use crate::bundle::{Bundle, NotFound, parse};

/// The datasets that are part of the program, by name.
const BUILTIN: Bundle = Bundle(&[
    ("codexglue", include_str!("published/codexglue.toml")),
    ("flores-v1", include_str!("published/flores-v1.toml")),
    ("flores200", include_str!("published/flores200.toml")),
    ("gsm8k", include_str!("published/gsm8k.toml")),
    ("humaneval", include_str!("published/humaneval.toml")),
    ("mbpp", include_str!("published/mbpp.toml")),
    ("mgsm", include_str!("published/mgsm.toml")),
]);

/// The layout of these files that is read.
const LAYOUT: u32 = 1;

/// A dataset as its publisher gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Version of the layout; 1.
    pub layout: u32,
    /// What it is called.
    pub name: String,
    /// What it is, in one line.
    pub about: String,
    /// Under which terms it is given.
    pub licence: String,
    /// Where its publisher writes of it.
    pub page: String,
    /// Scheme and host of the files.
    #[serde(default)]
    pub host: String,
    /// The path that all of them have in common: for a repository, of a commit.
    #[serde(default)]
    pub base: String,
    /// Those that can be fetched.
    #[serde(default)]
    pub files: Vec<PublishedFile>,
    /// How to come by what can't be.
    #[serde(default)]
    pub by_hand: String,
}

/// A file of a publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFile {
    /// Its name.
    pub name: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// It is a packed archive, and the files of this directory in it are what is wanted.
    #[serde(default)]
    pub unpack: Option<String>,
}

impl Published {
    /// The datasets that are part of the program.
    ///
    /// # Panics
    ///
    /// If one of them is none, which a test rules out.
    pub fn builtin() -> Vec<Self> {
        let read = |(name, text): &(&str, &str)| {
            Self::parse(Path::new(name), text).expect("a test reads every dataset of the program")
        };
        BUILTIN.0.iter().map(read).collect()
    }

    /// A dataset of the program by its name, or else the file of that path.
    ///
    /// # Errors
    ///
    /// [`DatasetError`] if there is neither, or if the file describes no dataset.
    pub fn named(name: &str) -> Result<Self, DatasetError> {
        let path = Path::new(name);
        let text = BUILTIN.text(name).map_err(|error| match error {
            NotFound::Unknown { nearest } => DatasetError::Unknown {
                name: name.to_owned(),
                nearest: nearest.to_owned(),
            },
            NotFound::Io(source) => DatasetError::io(path, source),
        })?;
        Self::parse(path, &text)
    }

    /// Where a file is: on its own host, or on one that has the same paths.
    pub fn url(&self, file: &PublishedFile, mirror: Option<&str>) -> String {
        let host = mirror.unwrap_or(&self.host).trim_end_matches('/');
        format!("{host}/{}/{}", self.base, file.name)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DatasetError> {
        let dataset: Self = parse(text).map_err(|mistake| match mistake.line {
            Some(line) => DatasetError::line(path, line, mistake.reason),
            None => DatasetError::file(path, mistake.reason),
        })?;
        match dataset.mistake() {
            Some(mistake) => Err(DatasetError::file(path, mistake)),
            None => Ok(dataset),
        }
    }

    fn mistake(&self) -> Option<String> {
        if self.layout != LAYOUT {
            let found = self.layout;
            return Some(format!(
                "layout is {found}; this version reads layout {LAYOUT}"
            ));
        }
        if self.files.is_empty() && self.by_hand.is_empty() {
            return Some("names no file; give `files`, or say `by_hand` what to do".to_owned());
        }
        let is_name = |name: &str| !name.is_empty() && !name.contains(['/', '\\', ':']);
        let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        self.files.iter().find_map(|file| {
            let (name, hash) = (&file.name, &file.sha256);
            if !is_name(name) || name == ".." {
                return Some(format!("'{name}' is no name of a file"));
            }
            (!is_hash(hash)).then(|| format!("'{hash}', of {name}, is no SHA-256 in hexadecimal"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataset_of_the_program_is_one() {
        let datasets = Published::builtin();
        for (dataset, (name, _)) in datasets.iter().zip(BUILTIN.0) {
            assert_eq!(dataset.name, *name);
            assert!(!dataset.licence.is_empty() && dataset.page.starts_with("https://"));
        }
        let gsm8k = Published::named("gsm8k").unwrap();
        assert_eq!(
            gsm8k.url(&gsm8k.files[0], None),
            "https://raw.githubusercontent.com/openai/grade-school-math/\
             3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data/test.jsonl"
        );
        let mirrored = gsm8k.url(&gsm8k.files[0], Some("http://mirror:1/raw/"));
        assert!(mirrored.starts_with("http://mirror:1/raw/openai/"));
    }

    #[test]
    fn mistakes_are_named() {
        let (_, text) = BUILTIN.0[3];
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from));
            let changed = text.replacen(from, to, 1);
            let error = Published::parse(Path::new("x.toml"), &changed).unwrap_err();
            error.to_string()
        };
        assert!(refused("licence", "license").contains("did you mean 'licence'?"));
        assert!(refused("test.jsonl", "../test.jsonl").contains("is no name of a file"));
        assert!(refused("sha256 = \"3730", "sha256 = \"xyz0").contains("of test.jsonl, is no"));
        assert!(refused("layout = 1", "layout = 2").contains("reads layout 1"));
        let error = Published::named("gsm9k").unwrap_err().to_string();
        assert!(error.contains("did you mean 'gsm8k'?"), "{error}");
    }
}
