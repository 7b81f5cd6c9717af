//! Settings of a world.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Settings of a generated world of languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WorldConfig {
    /// Fixes languages and corpora, and so what frozen models know.
    pub seed: u64,
    /// Which part of a corpus is D_C, and which sentences are tests. Settings are chosen on other
    /// folds than results are reported on.
    pub fold: u64,
    /// Exponent of the Zipf law by which words are drawn.
    pub zipf: f64,
    /// Pairs of sentences of the smallest and of the largest low-resource corpus.
    pub pairs: [usize; 2],
    /// Share of every low-resource corpus that is in D_C.
    pub d_c_share: f64,
    /// Pairs of each high-resource language in D_C.
    pub d_c_high_resource: usize,
    /// Word problems in each high-resource language, and in English, in D_C.
    pub d_c_problems: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            fold: 0,
            zipf: 0.8,
            pairs: [1000, 10_000],
            d_c_share: 0.05,
            d_c_high_resource: 2000,
            d_c_problems: 250,
        }
    }
}

impl WorldConfig {
    pub(super) fn check(&self) -> Result<(), DataError> {
        let [fewest, most] = self.pairs;
        let problem = if !(0.0..=3.0).contains(&self.zipf) {
            ("zipf", self.zipf.to_string(), "0 to 3")
        } else if fewest == 0 || most < fewest || most > 10_000_000 {
            let found = format!("[{fewest}, {most}]");
            ("pairs", found, "[fewest, most] from 1 to 10000000")
        } else if !(self.d_c_share > 0.0 && self.d_c_share <= 1.0) {
            let found = self.d_c_share.to_string();
            ("d-c-share", found, "above 0 and at most 1")
        } else {
            return Ok(());
        };
        let (field, found, expected) = problem;
        Err(DataError::setting("ntl", field, found, expected))
    }
}

/// How much of each file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WorldSizes {
    /// Rows for `small`; 0: none.
    pub small: usize,
    /// Rows for the anchor; 0: none.
    pub anchor: usize,
    /// Whether D_NTL, the texts of m_A, is written.
    pub ntl: bool,
    /// Whether a tokenizer is trained.
    pub tokenizer: bool,
    /// Test sentences, the same in all languages.
    pub sentences: usize,
    /// Test sentences of words that D_C never showed, for each low-resource language.
    pub unseen: usize,
    /// Word problems, the same in all languages.
    pub problems: usize,
}

impl Default for WorldSizes {
    fn default() -> Self {
        Self {
            small: 100_000,
            anchor: 200_000,
            ntl: true,
            tokenizer: true,
            sentences: 100,
            unseen: 50,
            problems: 100,
        }
    }
}
