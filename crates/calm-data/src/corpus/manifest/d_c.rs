//! The part of the corpora that a composition is trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::corpus::LanguageTag;

/// D_C: a share of each low-resource language, and some high-resource text (section 4.2 of the
/// paper).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DcConfig {
    /// Share of the pairs of each language.
    pub share: f64,
    /// Other shares of some languages.
    pub shares: BTreeMap<LanguageTag, f64>,
    /// Text of high-resource languages beside them.
    pub high_resource: Option<HighResource>,
}

impl Default for DcConfig {
    fn default() -> Self {
        Self {
            share: 0.05,
            shares: BTreeMap::new(),
            high_resource: None,
        }
    }
}

/// High-resource text in D_C.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HighResource {
    /// The languages, of which no share counts.
    pub languages: Vec<LanguageTag>,
    /// Share of the pairs and texts of D_C that is of these, as many of each language.
    pub share: f64,
}

impl DcConfig {
    /// Whether a language is a high-resource one.
    pub fn is_high_resource(&self, language: LanguageTag) -> bool {
        let high = self.high_resource.as_ref();
        high.is_some_and(|high| high.languages.contains(&language))
    }

    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let wrong = |field, found: String, expected: &str| {
            Err(DataError::setting("d_c", field, found, expected))
        };
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        if !is_share(self.share) {
            return wrong("share", self.share.to_string(), "above 0 and at most 1");
        }
        if let Some((language, share)) = self.shares.iter().find(|(_, share)| !is_share(**share)) {
            let found = format!("{share} for {language}");
            return wrong("shares", found, "above 0 and at most 1");
        }
        let Some(high) = &self.high_resource else {
            return Ok(());
        };
        if !(high.share >= 0.0 && high.share < 1.0) {
            return wrong(
                "high-resource.share",
                high.share.to_string(),
                "from 0 to below 1",
            );
        }
        if high.languages.is_empty() {
            return wrong(
                "high-resource.languages",
                "empty".to_owned(),
                "one or more languages",
            );
        }
        let shared = |language: &&LanguageTag| self.shares.contains_key(language);
        if let Some(language) = high.languages.iter().find(shared) {
            let expected = "of low-resource languages; high-resource ones have one share together";
            return wrong("shares", language.to_string(), expected);
        }
        let twice =
            |(index, language): &(usize, &LanguageTag)| high.languages[..*index].contains(language);
        match high.languages.iter().enumerate().find(twice) {
            Some((_, language)) => wrong(
                "high-resource.languages",
                format!("{language} twice"),
                "each language once",
            ),
            None => Ok(()),
        }
    }
}
