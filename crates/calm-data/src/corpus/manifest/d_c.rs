//! The part of the corpora that a composition is trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::corpus::LanguageTag;

/// D_C: a share of each low-resource language, and some high-resource text (section 4.2 of the
/// paper).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DcConfig {
    /// Share of the records of each language.
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
    /// Share of all rows of D_C that is of these.
    pub share: f64,
}
