//! Settings of the key-value dataset.

use serde::{Deserialize, Serialize};

use super::Operator;
use crate::DataError;

/// Settings that fix a key-value dataset. The default is the paper's.
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
    /// Number of the held-in part, from 0, among the equal parts that `held_in_share` cuts the keys
    /// into. With another part, a composition can be studied without looking at the first.
    pub fold: usize,
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
            fold: 0,
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
        wanted.min(self.pairs.saturating_sub(1)).max(1)
    }

    /// Checks every setting against its range and against the others.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first setting out of range, its value and its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let [shortest, longest] = self.key_length;
        let [fewest, most] = self.operands;
        let pairs = self.pairs;
        let expected = "2 or more, so that one can be held out";
        check("pairs", &pairs, pairs >= 2, expected)?;
        let holds = 2 <= shortest && shortest <= longest && longest <= 6;
        let expected = "from 2 to 6 letters, the shorter length first";
        check(
            "key_length",
            &format!("{:?}", self.key_length),
            holds,
            expected,
        )?;
        let keys = keys_of_length(shortest, longest);
        let expected = format!("up to {}, half of the keys of these lengths", keys / 2);
        // Random drawing gets slow when nearly all strings are taken.
        check("pairs", &pairs, pairs as u128 * 2 <= keys, expected)?;
        let (largest, holds) = (self.largest_value, self.largest_value as usize >= pairs);
        let expected = format!("{pairs} or more, since each pair has a value of its own");
        check("largest_value", &largest, holds, expected)?;
        let expected = "up to 1000000, since every number is a token";
        check("largest_value", &largest, largest <= 1_000_000, expected)?;
        let (share, holds) = (
            self.held_in_share,
            0.0 < self.held_in_share && self.held_in_share < 1.0,
        );
        check("held_in_share", &share, holds, "between 0 and 1")?;
        // Parts of held-in keys that the keys can be cut into.
        let folds = pairs / self.held_in();
        let expected = format!("from 0 to {}", folds.saturating_sub(1));
        check("fold", &self.fold, self.fold < folds, expected)?;
        let holds = 1 <= fewest && fewest <= most && most <= 6;
        let expected = "from 1 to 6, the smaller number first";
        check("operands", &format!("{:?}", self.operands), holds, expected)?;
        let holds = !self.operators.is_empty();
        check("operators", &"empty", holds, "one or more of +, - and ×")
    }
}

fn check(
    field: &'static str,
    found: &impl ToString,
    holds: bool,
    expected: impl Into<String>,
) -> Result<(), DataError> {
    if holds {
        return Ok(());
    }
    Err(DataError::setting(
        "key-value",
        field,
        found.to_string(),
        expected,
    ))
}

fn keys_of_length(shortest: usize, longest: usize) -> u128 {
    (shortest..=longest.min(6))
        .map(|letters| 26u128.pow(letters as u32))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid() {
        assert!(KvConfig::default().validate().is_ok());
        assert!(KvConfig::laptop().validate().is_ok());
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_what_it_may_be() {
        for (json, message) in [
            (r#"{"pairs": 1}"#, "`pairs` is 1; it may be 2 or more"),
            (
                r#"{"pairs": 400, "key_length": [2, 2]}"#,
                "`pairs` is 400; it may be up to 338",
            ),
            (r#"{"key_length": [5, 3]}"#, "`key_length` is [5, 3]"),
            (r#"{"key_length": [2, 7]}"#, "`key_length` is [2, 7]"),
            (
                r#"{"largest_value": 9}"#,
                "`largest_value` is 9; it may be 25000 or more",
            ),
            (
                r#"{"largest_value": 4000000000}"#,
                "it may be up to 1000000",
            ),
            (r#"{"operands": [0, 3]}"#, "`operands` is [0, 3]"),
            (r#"{"operands": [3, 7]}"#, "`operands` is [3, 7]"),
            (r#"{"operators": []}"#, "`operators` is empty"),
            (r#"{"held_in_share": 1.0}"#, "`held_in_share` is 1"),
            (r#"{"fold": 5}"#, "`fold` is 5; it may be from 0 to 4"),
        ] {
            let config: KvConfig = serde_json::from_str(json).unwrap();
            let found = config.validate().unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
        let nan = KvConfig {
            held_in_share: f64::NAN,
            ..KvConfig::default()
        };
        assert!(nan.validate().is_err());
    }

    #[test]
    fn a_setting_that_does_not_exist_is_refused() {
        assert!(serde_json::from_str::<KvConfig>(r#"{"pair": 3}"#).is_err());
    }

    #[test]
    fn both_sides_of_the_split_have_a_key() {
        let of = |pairs, held_in_share| {
            KvConfig {
                pairs,
                held_in_share,
                ..KvConfig::default()
            }
            .held_in()
        };
        assert_eq!((of(25_000, 0.2), of(2, 0.99), of(100, 0.001)), (5000, 1, 1));
    }
}
