//! Addresses and hashes of the files of published datasets. Nothing is fetched here.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::bundle::{Bundle, parse};

/// Bundled datasets, by name.
const BUILTIN: Bundle = Bundle {
    kind: "dataset",
    list: "calm data fetch --list",
    files: &[
        ("codexglue", include_str!("pinned/codexglue.toml")),
        ("flores-v1", include_str!("pinned/flores-v1.toml")),
        ("flores200", include_str!("pinned/flores200.toml")),
        ("gsm8k", include_str!("pinned/gsm8k.toml")),
        ("humaneval", include_str!("pinned/humaneval.toml")),
        ("mbpp", include_str!("pinned/mbpp.toml")),
        ("mgsm", include_str!("pinned/mgsm.toml")),
    ],
};

/// Layout version of these files.
const LAYOUT: u32 = 1;

/// Files of a published dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Version of the layout; 1.
    pub layout: u32,
    /// Its name.
    pub name: String,
    /// Its content, in one line.
    pub about: String,
    /// Its licence.
    pub licence: String,
    /// Page of its publisher.
    pub page: String,
    /// Scheme and host of the files.
    #[serde(default)]
    pub host: String,
    /// Common part of their paths: in a repository, that of a commit.
    #[serde(default)]
    pub base: String,
    /// Files that can be fetched.
    #[serde(default)]
    pub files: Vec<PublishedFile>,
    /// How to get the other files.
    #[serde(default)]
    pub by_hand: String,
}

/// A file of a published dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFile {
    /// Its name.
    pub name: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Directory of the wanted files, if this is an archive.
    #[serde(default)]
    pub unpack: Option<String>,
}

impl Published {
    /// All bundled datasets.
    ///
    /// # Panics
    ///
    /// If one of them is invalid, which a test rules out.
    pub fn builtin() -> Vec<Self> {
        let read = |(name, text): &(&str, &str)| {
            Self::parse(Path::new(name), text).expect("a test reads every bundled dataset")
        };
        BUILTIN.files.iter().map(read).collect()
    }

    /// A bundled dataset by its name, or else a file of that path.
    ///
    /// # Errors
    ///
    /// [`DataError`] if there is neither, or if the file is invalid.
    pub fn named(name: &str) -> Result<Self, DataError> {
        Self::parse(Path::new(name), &BUILTIN.text(name)?)
    }

    /// Address of a file, on its own host or on a mirror with the same paths.
    pub fn url(&self, file: &PublishedFile, mirror: Option<&str>) -> String {
        let host = mirror.unwrap_or(&self.host).trim_end_matches('/');
        format!("{host}/{}/{}", self.base, file.name)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DataError> {
        let dataset: Self = parse(path, text)?;
        match dataset.mistake() {
            Some(mistake) => Err(DataError::file(path, mistake)),
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
        for (dataset, (name, _)) in datasets.iter().zip(BUILTIN.files) {
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
        let (_, text) = BUILTIN.files[3];
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
