//! The manifest of source code: a TOML file that says what is read, cleaned and written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CodeLanguage;
use super::licence::Allowed;
use super::steps::CodeStepsConfig;
use crate::DataError;
use crate::bundle::parse;
use crate::corpus::{BenchmarkSpec, LAYOUT};

/// Source code, and what becomes of it.
///
/// ```
/// use calm_data::corpus::CodeManifest;
///
/// let manifest = CodeManifest::parse(
///     "code.toml".as_ref(),
///     r#"
/// layout = 1
///
/// [[sources]]
/// format = "trees"
/// paths = ["crates/*"]
///
/// [steps]
/// comments = false
/// "#,
/// )?;
/// assert_eq!(manifest.d_c.share, 0.07);
/// # Ok::<(), calm_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CodeManifest {
    /// [`LAYOUT`].
    pub layout: u32,
    /// Number that fixes all chance: which files D_C holds.
    #[serde(default)]
    pub seed: u64,
    /// Sources, in the order in which they are read. Of duplicates the first stays.
    pub sources: Vec<SourceSpec>,
    /// Which licences allow the use.
    #[serde(default)]
    pub licences: LicencesConfig,
    /// Benchmarks that will be evaluated, of which nothing may be learnt.
    #[serde(default)]
    pub benchmarks: Vec<BenchmarkSpec>,
    /// Steps of cleaning.
    #[serde(default)]
    pub steps: CodeStepsConfig,
    /// The part that a composition is trained on.
    #[serde(default, rename = "d_c")]
    pub d_c: CodeDcConfig,
    /// The form of what comes out.
    #[serde(default)]
    pub output: CodeOutputConfig,
}

/// Files of source code of one form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceSpec {
    /// Its name; by default that of its first path.
    #[serde(default)]
    pub name: String,
    /// The form of it.
    pub format: SourceFormat,
    /// Directories of trees, or files of rows, packed by gzip or Zstandard or not. The last part of
    /// a path may have `*` in it.
    pub paths: Vec<PathBuf>,
    /// Columns or fields of a row.
    #[serde(default)]
    pub fields: SourceFields,
    /// The languages that are read; all that are known, if empty.
    #[serde(default)]
    pub languages: Vec<CodeLanguage>,
    /// The licence of what says none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// Forms of source code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceFormat {
    /// Directories, each the tree of a project.
    Trees,
    /// JSON Lines.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// Names of columns or fields; dots lead into objects. The Stack (arXiv 2211.15533) calls them
/// `content`, `max_stars_repo_path`, `max_stars_repo_name`, `max_stars_repo_licenses` and `lang`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SourceFields {
    /// The text.
    pub text: String,
    /// The path of the file, which tells its language unless [`Self::language`] does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The licence, or a list of them, all of which count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl Default for SourceFields {
    fn default() -> Self {
        Self {
            text: "content".to_owned(),
            path: None,
            tree: None,
            licence: None,
            language: None,
        }
    }
}

/// Which licences allow the use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LicencesConfig {
    /// Licences by their SPDX names. Of an expression one of the choices must be among them.
    pub allow: Vec<String>,
    /// Whether code without a licence may be used.
    pub unknown: bool,
}

impl Default for LicencesConfig {
    /// Licences that ask for no more than a notice.
    fn default() -> Self {
        let allow = [
            "0BSD",
            "Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSL-1.0",
            "CC0-1.0",
            "ISC",
            "MIT",
            "MIT-0",
            "PSF-2.0",
            "Python-2.0",
            "Unicode-3.0",
            "Unlicense",
            "Zlib",
        ];
        Self {
            allow: allow.map(str::to_owned).to_vec(),
            unknown: false,
        }
    }
}

/// D_C: a share of the code of each language (section 4.3 of the paper).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CodeDcConfig {
    /// Share of the files of each language.
    pub share: f64,
    /// Other shares of some languages.
    pub shares: BTreeMap<CodeLanguage, f64>,
}

impl Default for CodeDcConfig {
    fn default() -> Self {
        Self {
            share: 0.07,
            shares: BTreeMap::new(),
        }
    }
}

/// The form of what comes out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CodeOutputConfig {
    /// Some files with a part of them at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill_in_the_middle: Option<FillInTheMiddle>,
}

/// Files cut in three parts, of which the middle one comes last (arXiv 2207.14255), between tokens of the
/// model that is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FillInTheMiddle {
    /// Share of the files.
    pub share: f64,
    /// The token before the first part, such as `<fim_prefix>`.
    pub prefix: String,
    /// The token before the last part.
    pub suffix: String,
    /// The token before the middle.
    pub middle: String,
}

impl CodeManifest {
    /// Reads a manifest. Its paths become relative to the directory that it is in.
    ///
    /// # Errors
    ///
    /// [`DataError`] with the line that is wrong, and what mends it.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = calm_files::read_text(path).map_err(DataError::io(path))?;
        let mut manifest = Self::parse(path, &text)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let sources = manifest
            .sources
            .iter_mut()
            .flat_map(|source| &mut source.paths);
        let benchmarks = manifest.benchmarks.iter_mut();
        for path in sources.chain(benchmarks.map(|benchmark| &mut benchmark.path)) {
            *path = directory.join(&*path);
        }
        Ok(manifest)
    }

    /// Reads the text of a manifest; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, DataError> {
        let mut manifest: Self = parse(path, text)?;
        let wrong = |reason: String| Err(DataError::file(path, reason));
        if manifest.layout != LAYOUT {
            let found = manifest.layout;
            return wrong(format!(
                "layout is {found}; this version reads layout {LAYOUT}"
            ));
        }
        if manifest.sources.is_empty() {
            return wrong("names no `[[sources]]`".to_owned());
        }
        for source in &mut manifest.sources {
            source
                .check()
                .map_err(|reason| DataError::file(path, reason))?;
        }
        if let Err(name) = Allowed::new(&manifest.licences.allow) {
            return wrong(format!(
                "`licences.allow` names '{name}', which is no licence of SPDX, such as \"Apache-2.0\""
            ));
        }
        let checked = manifest
            .steps
            .validate()
            .and_then(|()| manifest.d_c.validate());
        let checked = checked.and_then(|()| manifest.output.validate());
        checked.map_err(|error| DataError::file(path, error.to_string()))?;
        Ok(manifest)
    }
}

impl SourceSpec {
    fn check(&mut self) -> Result<(), String> {
        let Some(first) = self.paths.first() else {
            return Err("a source's `paths` names nothing".to_owned());
        };
        if self.name.is_empty() {
            self.name = first.to_string_lossy().into_owned();
        }
        let name = &self.name;
        let fields = &self.fields;
        match self.format {
            SourceFormat::Trees if *fields != SourceFields::default() => Err(format!(
                "source '{name}': `trees` have no rows, and so no `fields`"
            )),
            SourceFormat::Jsonl | SourceFormat::Parquet
                if fields.path.is_none()
                    && fields.language.is_none()
                    && self.languages.len() != 1 =>
            {
                Err(format!(
                    "source '{name}': nothing tells the language of a row; name the `path` or the \
                     `language` in `fields`, or one of `languages`"
                ))
            }
            _ => Ok(()),
        }
    }
}

impl CodeDcConfig {
    /// Share of the files of a language.
    pub fn share_of(&self, language: CodeLanguage) -> f64 {
        self.shares.get(&language).copied().unwrap_or(self.share)
    }

    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let all = self.shares.values().chain([&self.share]);
        match all
            .into_iter()
            .find(|share| !(**share > 0.0 && **share <= 1.0))
        {
            Some(share) => Err(DataError::setting(
                "d_c",
                "share",
                share.to_string(),
                "above 0 and at most 1",
            )),
            None => Ok(()),
        }
    }
}

impl CodeOutputConfig {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let Some(fim) = &self.fill_in_the_middle else {
            return Ok(());
        };
        let wrong = |field, found: String, expected: &str| {
            Err(DataError::setting(
                "fill-in-the-middle",
                field,
                found,
                expected,
            ))
        };
        if !(0.0..=1.0).contains(&fim.share) {
            return wrong("share", fim.share.to_string(), "from 0 to 1");
        }
        match [&fim.prefix, &fim.suffix, &fim.middle]
            .iter()
            .any(|token| token.is_empty())
        {
            true => wrong(
                "prefix, suffix or middle",
                "empty".to_owned(),
                "a token of the model",
            ),
            false => Ok(()),
        }
    }
}
