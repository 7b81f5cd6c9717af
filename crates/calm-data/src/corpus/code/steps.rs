//! Steps of cleaning source code, each on or off.

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::cleaning::{GramUnit, MinHashConfig};
use crate::corpus::{DecontaminateConfig, Switch};

/// Steps of cleaning source code, in the order in which they are done. Each is on unless it is `false`.
/// The numbers are those of BigCode (arXiv 2301.03988, 2305.06161), where it has some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CodeStepsConfig {
    /// Leave out files that are too small or too large, before anything else is done with them.
    pub size: Switch<SizeConfig>,
    /// Drop files of other projects that a tree has a copy of, by the names of their directories.
    pub vendored: bool,
    /// Drop files that a program wrote, by what they are called or say.
    pub generated: bool,
    /// Drop files with long lines.
    pub lines: Switch<LinesConfig>,
    /// Drop files with few letters and digits.
    pub letters: Switch<LettersConfig>,
    /// Drop files with hardly any comments, or with little else.
    pub comments: Switch<CommentsConfig>,
    /// Drop what is in a benchmark.
    pub decontaminate: Switch<DecontaminateConfig>,
    /// Replace names, addresses, keys and passwords.
    pub personal_data: bool,
    /// Drop exact duplicates.
    pub exact_duplicates: bool,
    /// Drop near duplicates.
    pub near_duplicates: Switch<CodeDuplicatesConfig>,
}

impl Default for CodeStepsConfig {
    fn default() -> Self {
        Self {
            size: Switch::default(),
            vendored: true,
            generated: true,
            lines: Switch::default(),
            letters: Switch::default(),
            comments: Switch::default(),
            decontaminate: Switch::default(),
            personal_data: true,
            exact_duplicates: true,
            near_duplicates: Switch::default(),
        }
    }
}

/// Sizes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SizeConfig {
    /// Least bytes.
    pub min_bytes: u64,
    /// Most bytes.
    pub max_bytes: u64,
}

impl Default for SizeConfig {
    fn default() -> Self {
        Self {
            min_bytes: 1,
            max_bytes: 1 << 20,
        }
    }
}

/// Lengths of lines, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LinesConfig {
    /// The longest line may have so many.
    pub longest: usize,
    /// The mean line may have so many.
    pub mean: f64,
}

impl Default for LinesConfig {
    fn default() -> Self {
        Self {
            longest: 1000,
            mean: 100.0,
        }
    }
}

/// Share of the characters that are letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LettersConfig {
    /// At least this share, from 0 to 1.
    pub share: f64,
}

impl Default for LettersConfig {
    fn default() -> Self {
        Self { share: 0.25 }
    }
}

/// Share of the characters, without white space, that are in comments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CommentsConfig {
    /// At least this share.
    pub least: f64,
    /// At most this share.
    pub most: f64,
}

impl Default for CommentsConfig {
    fn default() -> Self {
        Self {
            least: 0.01,
            most: 0.8,
        }
    }
}

/// Near duplicates of code: as [`MinHashConfig`] of words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CodeDuplicatesConfig {
    /// Words of an n-gram.
    pub n: usize,
    /// Numbers of a signature.
    pub permutations: usize,
    /// Parts of a signature.
    pub bands: usize,
    /// Jaccard similarity from which files are duplicates.
    pub similarity: f64,
}

impl Default for CodeDuplicatesConfig {
    /// Files of similarity 0.7 are compared with a probability of 0.9997.
    fn default() -> Self {
        Self {
            n: 5,
            permutations: 120,
            bands: 30,
            similarity: 0.7,
        }
    }
}

impl From<CodeDuplicatesConfig> for MinHashConfig {
    fn from(config: CodeDuplicatesConfig) -> Self {
        Self {
            unit: GramUnit::Words,
            n: config.n,
            permutations: config.permutations,
            bands: config.bands,
            similarity: config.similarity,
        }
    }
}

impl CodeStepsConfig {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let wrong = |builder, field, found: String, expected: &str| {
            Err(DataError::setting(builder, field, found, expected))
        };
        if let Some(size) = self.size.on()
            && size.min_bytes > size.max_bytes
        {
            let expected = format!("at most `max-bytes`, {}", size.max_bytes);
            return wrong("size", "min-bytes", size.min_bytes.to_string(), &expected);
        }
        if let Some(lines) = self.lines.on()
            && (lines.mean.is_nan() || lines.mean <= 0.0)
        {
            return wrong("lines", "mean", lines.mean.to_string(), "above 0");
        }
        if let Some(letters) = self.letters.on()
            && !(0.0..=1.0).contains(&letters.share)
        {
            return wrong("letters", "share", letters.share.to_string(), "from 0 to 1");
        }
        if let Some(comments) = self.comments.on()
            && !(0.0 <= comments.least && comments.least <= comments.most)
        {
            let expected = format!("from 0 to `most`, {}", comments.most);
            return wrong("comments", "least", comments.least.to_string(), &expected);
        }
        if let Some(DecontaminateConfig { n: 0 }) = self.decontaminate.on() {
            return wrong("decontaminate", "n", "0".to_owned(), "1 or more");
        }
        let duplicates = self.near_duplicates.on().copied().map(MinHashConfig::from);
        duplicates.map_or(Ok(()), |config| config.validate())
    }
}
