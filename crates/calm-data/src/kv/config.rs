//! Settings of the key-value dataset.

use serde::{Deserialize, Serialize};

use super::Operator;
use crate::DataError;

/// All that fixes a key-value dataset. The default is the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KvConfig {
    /// Number of keys, each with a value of its own.
    pub pairs: usize,
    /// Fewest and most letters of a key.
    pub key_length: [usize; 2],
    /// Values are drawn from 1 to this number without repetition.
    pub largest_value: u32,
    /// Fewest and most operands of an expression.
    pub operands: [usize; 2],
    /// Operators to draw from.
    pub operators: Vec<Operator>,
    /// Share of the keys that the composition may be trained on.
    pub held_in_share: f64,
    /// Fixes keys, values, split and expressions.
    pub seed: u64,
}

impl Default for KvConfig {
    fn default() -> Self {
        Self {
            pairs: 25_000,
            key_length: [2, 6],
            largest_value: 25_000,
            operands: [3, 6],
            operators: vec![Operator::Plus, Operator::Minus, Operator::Times],
            held_in_share: 0.2,
            seed: 0,
        }
    }
}

impl KvConfig {
    /// The scale of the committed checkpoints: 1000 pairs, 3 or 4 operands, plus and minus.
    pub fn laptop() -> Self {
        Self {
            pairs: 1000,
            largest_value: 1000,
            operands: [3, 4],
            operators: vec![Operator::Plus, Operator::Minus],
            ..Self::default()
        }
    }

    /// Number of held-in keys: at least one, and at least one key is held out.
    pub fn held_in(&self) -> usize {
        let wanted = (self.pairs as f64 * self.held_in_share).round() as usize;
        wanted.clamp(1, self.pairs - 1)
    }

    /// Checks every setting against its range and against the others.
    ///
    /// # Errors
    ///
    /// [`DataError::Config`] naming the first setting out of range and what it may be.
    pub fn validate(&self) -> Result<(), DataError> {
        let [shortest, longest] = self.key_length;
        let keys = keys_of_length(shortest, longest);
        let [fewest, most] = self.operands;
        let rules = [
            (
                "pairs",
                self.pairs >= 2,
                "at least 2 are needed, one to hold out".to_owned(),
            ),
            (
                "key_length",
                (2..=6).contains(&shortest) && (shortest..=6).contains(&longest),
                "from 2 to 6 letters, the shorter length first".to_owned(),
            ),
            (
                "pairs",
                // Random drawing gets slow when nearly all strings are taken.
                (self.pairs as u128) * 2 <= keys,
                format!("at most half of the {keys} keys of these lengths can be used"),
            ),
            (
                "largest_value",
                self.largest_value as usize >= self.pairs,
                format!("{} pairs need as many different values", self.pairs),
            ),
            (
                "operands",
                1 <= fewest && fewest <= most && most <= 6,
                "from 1 to 6, the smaller number first".to_owned(),
            ),
            (
                "operators",
                !self.operators.is_empty(),
                "at least one is needed".to_owned(),
            ),
            (
                "held_in_share",
                0.0 < self.held_in_share && self.held_in_share < 1.0,
                "between 0 and 1".to_owned(),
            ),
            (
                "largest_value",
                self.largest_value <= 1_000_000,
                "at most 1000000, since every number is a token".to_owned(),
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((field, _, reason)) => Err(DataError::Config { field, reason }),
            None => Ok(()),
        }
    }
}

fn keys_of_length(shortest: usize, longest: usize) -> u128 {
    (shortest..=longest.min(6))
        .map(|letters| 26u128.pow(letters as u32))
        .sum()
}
