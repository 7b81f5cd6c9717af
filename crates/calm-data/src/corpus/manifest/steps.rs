//! Steps of cleaning, each on or off.

use serde::{Deserialize, Serialize};

use super::Switch;

/// Steps of cleaning, in the order in which they are done. Each is on unless it is `false`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StepsConfig {
    /// Leave out lines that are not UTF-8, which are otherwise an error.
    pub invalid_utf8: bool,
    /// Bring texts to NFC, white space to single spaces, and remove control characters.
    pub unicode: bool,
    /// Drop records of which a side is empty.
    pub empty: bool,
    /// Drop texts that are too short or too long, and pairs of very different lengths.
    pub length: Switch<LengthConfig>,
    /// Drop texts in another script than that of their language.
    pub script: Switch<ScriptConfig>,
    /// Drop pairs whose sides are the same.
    pub copied: bool,
    /// Drop pairs whose numbers differ.
    pub numbers: bool,
    /// Drop pairs whose URLs and addresses differ.
    pub urls: bool,
    /// Drop what is in a benchmark.
    pub decontaminate: Switch<DecontaminateConfig>,
    /// Drop exact duplicates.
    pub exact_duplicates: Switch<ExactDuplicates>,
    /// Drop near-duplicates.
    pub near_duplicates: Switch<NearDuplicatesConfig>,
}

impl Default for StepsConfig {
    fn default() -> Self {
        Self {
            invalid_utf8: false,
            unicode: true,
            empty: true,
            length: Switch::default(),
            script: Switch::default(),
            copied: true,
            numbers: true,
            urls: true,
            decontaminate: Switch::default(),
            exact_duplicates: Switch::default(),
            near_duplicates: Switch::default(),
        }
    }
}

/// Lengths of texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LengthConfig {
    /// Fewest characters of a text.
    pub min_chars: usize,
    /// Most characters of a text of a pair.
    pub max_chars: usize,
    /// Most characters of a text that has no translation.
    pub max_chars_alone: usize,
    /// Most characters of a side for each of the other.
    pub ratio: f64,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self {
            min_chars: 2,
            max_chars: 2_000,
            max_chars_alone: 1_000_000,
            ratio: 4.0,
        }
    }
}

/// Share of the expected script.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ScriptConfig {
    /// Least share of the letters of a text that are of its language's script.
    pub share: f64,
}

impl Default for ScriptConfig {
    fn default() -> Self {
        Self { share: 0.5 }
    }
}

/// What a benchmark shares with a record that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DecontaminateConfig {
    /// Words of an n-gram that a benchmark has too.
    pub n: usize,
}

impl Default for DecontaminateConfig {
    fn default() -> Self {
        Self { n: 12 }
    }
}

/// What makes two records duplicates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExactDuplicates {
    /// Either side of a pair is enough, not only both.
    pub either_side: bool,
}

/// MinHash over n-grams of characters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NearDuplicatesConfig {
    /// Characters of an n-gram.
    pub n: usize,
    /// Similarity (Jaccard) from which two texts are alike, about.
    pub similarity: f64,
}

impl Default for NearDuplicatesConfig {
    fn default() -> Self {
        Self {
            n: 5,
            similarity: 0.8,
        }
    }
}
