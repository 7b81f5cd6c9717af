//! Steps of cleaning, each on or off.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Switch;
use crate::DataError;
use crate::cleaning::MinHashConfig;
use crate::corpus::LanguageTag;

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
    /// Drop texts that a model finds in another language. Off, unless a model is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identify: Option<IdentifyConfig>,
    /// Drop pairs whose sides are the same.
    pub copied: Switch<CopiedConfig>,
    /// Drop pairs whose numbers differ.
    pub numbers: Switch<NumbersConfig>,
    /// Drop pairs whose URLs and addresses differ.
    pub urls: bool,
    /// Drop what is in a benchmark.
    pub decontaminate: Switch<DecontaminateConfig>,
    /// Drop exact duplicates.
    pub exact_duplicates: Switch<ExactDuplicatesConfig>,
    /// Drop near-duplicates.
    pub near_duplicates: Switch<MinHashConfig>,
}

impl Default for StepsConfig {
    fn default() -> Self {
        Self {
            invalid_utf8: false,
            unicode: true,
            empty: true,
            length: Switch::default(),
            script: Switch::default(),
            identify: None,
            copied: Switch::default(),
            numbers: Switch::default(),
            urls: true,
            decontaminate: Switch::default(),
            exact_duplicates: Switch::default(),
            near_duplicates: Switch::default(),
        }
    }
}

impl StepsConfig {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let wrong = |builder, field, found: String, expected: &str| {
            Err(DataError::setting(builder, field, found, expected))
        };
        let share = |builder, field, share: f64| match (0.0..=1.0).contains(&share) {
            true => Ok(()),
            false => wrong(builder, field, share.to_string(), "from 0 to 1"),
        };
        if let Some(length) = self.length.on() {
            length.validate()?;
        }
        if let Some(script) = self.script.on() {
            share("script", "share", script.share)?;
        }
        if let Some(identify) = &self.identify {
            share("identify", "probability", f64::from(identify.probability))?;
        }
        if let Some(copied) = self.copied.on() {
            share("copied", "overlap", copied.overlap)?;
        }
        if let Some(numbers) = self.numbers.on() {
            share("numbers", "agreement", numbers.agreement)?;
        }
        if let Some(DecontaminateConfig { n: 0 }) = self.decontaminate.on() {
            return wrong("decontaminate", "n", "0".to_owned(), "1 or more");
        }
        self.near_duplicates
            .on()
            .map_or(Ok(()), MinHashConfig::validate)
    }
}

/// Lengths of texts. The upper limits of words are for pairs alone, whose sides are sentences.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LengthConfig {
    /// Fewest characters of a text.
    pub min_chars: usize,
    /// Most characters of a text of a pair.
    pub max_chars: usize,
    /// Most characters of a text that has no translation.
    pub max_chars_alone: usize,
    /// Fewest words of a text, unless its script puts no spaces between them.
    pub min_words: usize,
    /// Most words of a text of a pair, likewise.
    pub max_words: usize,
    /// Most words of a side for each of the other; most letters, if a script puts no spaces between
    /// words, where a character in Han counts for three letters and one of kana or Hangul for two.
    pub ratio: f64,
}

impl Default for LengthConfig {
    fn default() -> Self {
        Self {
            min_chars: 2,
            max_chars: 2_000,
            max_chars_alone: 1_000_000,
            min_words: 1,
            max_words: 250,
            ratio: 4.0,
        }
    }
}

impl LengthConfig {
    fn validate(&self) -> Result<(), DataError> {
        let wrong = |field, found: String, expected: String| {
            Err(DataError::setting("length", field, found, expected))
        };
        let least = |least: &str, value: usize| format!("no less than `{least}`, {value}");
        for (field, most) in [
            ("max-chars", self.max_chars),
            ("max-chars-alone", self.max_chars_alone),
        ] {
            if most < self.min_chars {
                return wrong(field, most.to_string(), least("min-chars", self.min_chars));
            }
        }
        if self.max_words < self.min_words {
            return wrong(
                "max-words",
                self.max_words.to_string(),
                least("min-words", self.min_words),
            );
        }
        match self.ratio >= 1.0 {
            true => Ok(()),
            false => wrong("ratio", self.ratio.to_string(), "1 or more".to_owned()),
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

/// Identification of languages by a model of fastText.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdentifyConfig {
    /// The model's file, `.bin` or `.ftz`.
    pub model: PathBuf,
    /// Least probability of the language.
    #[serde(default = "default_probability")]
    pub probability: f32,
    /// Labels of languages that the model has under other names than their tags or codes; none, if
    /// it does not know the language, whose texts are then not judged.
    #[serde(default)]
    pub labels: BTreeMap<LanguageTag, Vec<String>>,
}

fn default_probability() -> f32 {
    0.5
}

/// Sides that are copies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CopiedConfig {
    /// Share of the words that are on both sides from which a pair goes (Dice's coefficient).
    pub overlap: f64,
}

impl Default for CopiedConfig {
    fn default() -> Self {
        Self { overlap: 0.8 }
    }
}

/// Numbers on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NumbersConfig {
    /// Least share of the numbers that are on both sides.
    pub agreement: f64,
}

impl Default for NumbersConfig {
    fn default() -> Self {
        Self { agreement: 1.0 }
    }
}

/// What a benchmark shares with a record that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DecontaminateConfig {
    /// Words of an n-gram that a benchmark has too. In scripts that put no space between words two
    /// letters count as one.
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
pub struct ExactDuplicatesConfig {
    /// Either side of a pair is enough, not only both.
    pub either_side: bool,
    /// Compare without case, punctuation and white space.
    pub normalised: bool,
}
