//! The manifest of corpora: a TOML file that says what is read, cleaned and written.

mod benchmark;
mod corpus;
mod d_c;
mod output;
mod steps;
mod switch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use benchmark::{BenchmarkFormat, BenchmarkSpec};
pub use corpus::{CorpusFormat, CorpusSpec, Direction};
pub use d_c::{DcConfig, HighResource};
pub use output::OutputConfig;
pub use steps::{
    CopiedConfig, DecontaminateConfig, ExactDuplicatesConfig, IdentifyConfig, LengthConfig,
    NumbersConfig, ScriptConfig, StepsConfig,
};
pub use switch::Switch;

use crate::DataError;
use crate::bundle::parse;
use crate::corpus::LanguageTag;

/// Version of the layout of manifests.
pub const LAYOUT: u32 = 1;

/// Corpora, and what becomes of them.
///
/// ```
/// use calm_data::corpus::CorporaManifest;
///
/// let manifest = CorporaManifest::parse(
///     "corpora.toml".as_ref(),
///     r#"
/// layout = 1
///
/// [[corpora]]
/// format = "moses"
/// files = ["bible.nya.gz", "bible.eng.gz"]
/// languages = ["nya_Latn", "eng_Latn"]
/// licence = "public domain"
///
/// [[benchmarks]]
/// format = "flores-200"
/// path = "flores200"
///
/// [steps]
/// length = { ratio = 3.0 }
/// numbers = false
/// "#,
/// )?;
/// assert_eq!(manifest.corpora[0].name, "bible.nya");
/// # Ok::<(), calm_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CorporaManifest {
    /// [`LAYOUT`].
    pub layout: u32,
    /// Number that fixes all chance: which records D_C holds, and the order of rows.
    #[serde(default)]
    pub seed: u64,
    /// Corpora, in the order in which they are read. Of duplicates the first stays.
    pub corpora: Vec<CorpusSpec>,
    /// Benchmarks that will be evaluated, of which no sentence may be learnt.
    #[serde(default)]
    pub benchmarks: Vec<BenchmarkSpec>,
    /// Steps of cleaning.
    #[serde(default)]
    pub steps: StepsConfig,
    /// The part that a composition is trained on.
    #[serde(default, rename = "d_c")]
    pub d_c: DcConfig,
    /// The form of what comes out.
    #[serde(default)]
    pub output: OutputConfig,
}

impl CorporaManifest {
    /// Reads a manifest. Its paths become relative to the directory that it is in.
    ///
    /// # Errors
    ///
    /// [`DataError`] with the line that is wrong, and what mends it.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = calm_files::read_text(path).map_err(DataError::io(path))?;
        let mut manifest = Self::parse(path, &text)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        for path in manifest.paths_mut() {
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
        let manifest: Self = parse(path, text)?;
        if manifest.layout != LAYOUT {
            let (found, reads) = (manifest.layout, LAYOUT);
            let reason = format!("layout is {found}; this version reads layout {reads}");
            return Err(DataError::file(path, reason));
        }
        if manifest.corpora.is_empty() {
            return Err(DataError::file(path, "names no `[[corpora]]`"));
        }
        let checked = manifest
            .steps
            .validate()
            .and_then(|()| manifest.d_c.validate())
            .and_then(|()| manifest.output.validate());
        checked.map_err(|error| DataError::file(path, error.to_string()))?;
        let names = manifest.corpora.iter().map(|corpus| &corpus.name);
        let mut names: Vec<&String> = names.collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = format!(
                "two corpora are called '{}'; give one of them another `name`",
                pair[0]
            );
            return Err(DataError::file(path, reason));
        }
        Ok(manifest)
    }

    /// All languages of its corpora.
    pub fn languages(&self) -> BTreeSet<LanguageTag> {
        let of = |corpus: &CorpusSpec| -> Vec<LanguageTag> {
            corpus
                .languages
                .iter()
                .chain(corpus.tags.values())
                .copied()
                .collect()
        };
        self.corpora.iter().flat_map(of).collect()
    }

    /// Files and directories that it names.
    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let corpora = self.corpora.iter_mut().flat_map(|corpus| &mut corpus.files);
        let benchmarks = self.benchmarks.iter_mut();
        let benchmarks = benchmarks.map(|benchmark| &mut benchmark.path);
        let model = self.steps.identify.iter_mut();
        let model = model.map(|identify| &mut identify.model);
        corpora.chain(benchmarks).chain(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOSES: &str = r#"
layout = 1

[[corpora]]
format = "moses"
files = ["bible.nya.gz", "bible.eng"]
languages = ["nya_Latn", "eng_Latn"]
licence = "public domain"
"#;

    fn parse(text: &str) -> Result<CorporaManifest, String> {
        CorporaManifest::parse(Path::new("corpora.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_step_is_off_or_on_or_on_with_settings() {
        let with =
            |steps: &str| parse(&format!("{MOSES}\n[steps]\n{steps}")).map(|read| read.steps);
        let default = StepsConfig::default();
        assert_eq!(with("").unwrap(), default);
        assert_eq!(with("length = true").unwrap(), default);
        assert_eq!(with("length = false").unwrap().length, Switch::Off);
        let settings = with("length = { ratio = 3.0 }").unwrap();
        assert_eq!(settings.length.on().unwrap().ratio, 3.0);
        assert_eq!(settings.length.on().unwrap().min_chars, 2);
        let error = with("length = { ration = 3.0 }").unwrap_err();
        let expected =
            "corpora.toml, line 11: unknown key or value 'ration'; did you mean 'ratio'?";
        assert_eq!(error, expected);
        let error = with("length = 3").unwrap_err();
        assert!(
            error.contains("line 11") && error.contains("true, false or a table"),
            "{error}"
        );
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let manifest = parse(MOSES).unwrap();
        let text = toml::to_string(&manifest).unwrap();
        assert_eq!(parse(&text).unwrap(), manifest);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let with = |old: &str, new: &str| parse(&MOSES.replace(old, new)).unwrap_err();
        for (old, new, line, part) in [
            ("licence", "license", 8, "did you mean 'licence'?"),
            ("\"moses\"", "\"mosses\"", 5, "did you mean 'moses'?"),
            ("nya_Latn", "ny", 7, "'ny' is no language: "),
            ("nya_Latn", "eng_Latn", 4, "both `languages` are eng_Latn"),
            (", \"bible.eng\"", "", 4, "`moses` are two `files`"),
            (
                "\"moses\"",
                "\"text\"",
                4,
                "`text` is in one of `languages`; found 2",
            ),
            ("\"moses\"", "\"tmx\"", 4, "tags = { nya = \"nya_Latn\" }"),
            ("\"moses\"", "\"tsv\"", 4, "`fields` names 0 of a row"),
            (
                "licence = \"public domain\"",
                "",
                4,
                "missing field `licence`",
            ),
            (
                "licence",
                "weight = 0\nlicence",
                4,
                "`weight` is 0; it may be",
            ),
            (
                "licence",
                "weight = nan\nlicence",
                4,
                "`weight` is NaN; it may be",
            ),
            (
                "licence",
                "quoting = true\nlicence",
                4,
                "are for `tsv` alone",
            ),
        ] {
            let error = with(old, new);
            assert!(
                error.starts_with(&format!("corpora.toml, line {line}: ")),
                "{error}"
            );
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        assert!(with("layout = 1", "layout = 2").contains("this version reads layout 1"));
        let twice = format!("{MOSES}{}", MOSES.replace("layout = 1", ""));
        assert!(
            parse(&twice)
                .unwrap_err()
                .contains("two corpora are called 'bible.nya'")
        );
    }

    #[test]
    fn paths_are_relative_to_the_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("corpora.toml");
        std::fs::write(&path, MOSES).unwrap();
        let manifest = CorporaManifest::read(&path).unwrap();
        let expected = directory.path().join("bible.eng");
        assert_eq!(manifest.corpora[0].files[1], expected);
    }
}
