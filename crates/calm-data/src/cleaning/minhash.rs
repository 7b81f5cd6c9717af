//! MinHash: the similarity of texts from short signatures.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Words;
use crate::DataError;

/// Seed of the permutations. A constant, since another choice finds the same duplicates but for chance.
const SEED: u64 = 0x004d_696e_4861_7368;

/// What n-grams are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GramUnit {
    /// Characters of the words, without anything between them.
    #[default]
    Characters,
    /// Words. In scripts without spaces two letters count as one.
    Words,
}

/// How texts are compared: the Jaccard similarity of the sets of their n-grams, estimated by MinHash
/// (Broder 1997), for candidates that locality-sensitive hashing finds (Leskovec et al., Mining of
/// Massive Datasets, section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MinHashConfig {
    /// What n-grams are made of.
    pub unit: GramUnit,
    /// Length of an n-gram.
    pub n: usize,
    /// Numbers of a signature. The estimate's standard error is `sqrt(s (1 - s) / permutations)`.
    pub permutations: usize,
    /// Parts of a signature. Texts are compared if one of these is the same.
    pub bands: usize,
    /// Similarity from which texts are duplicates.
    pub similarity: f64,
}

impl Default for MinHashConfig {
    /// Texts of similarity 0.8 are compared with a probability of 0.998, of 0.5 with one of 0.27.
    fn default() -> Self {
        Self {
            unit: GramUnit::default(),
            n: 5,
            permutations: 120,
            bands: 20,
            similarity: 0.8,
        }
    }
}

impl MinHashConfig {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let setting = |field, found: String, expected: &str| {
            DataError::setting("near-duplicates", field, found, expected)
        };
        if self.n == 0 {
            return Err(setting("n", self.n.to_string(), "1 or more"));
        }
        if !(1..=1024).contains(&self.permutations) {
            let found = self.permutations.to_string();
            return Err(setting("permutations", found, "1 to 1024"));
        }
        if self.bands == 0 || !self.permutations.is_multiple_of(self.bands) {
            let expected = format!("a divisor of `permutations`, {}", self.permutations);
            return Err(setting("bands", self.bands.to_string(), &expected));
        }
        if !(self.similarity > 0.0 && self.similarity <= 1.0) {
            let found = self.similarity.to_string();
            return Err(setting("similarity", found, "above 0 and at most 1"));
        }
        Ok(())
    }
}

/// What is kept of a text: the minima of its n-grams under each permutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// A key for each band. Texts with the same key are candidates.
    pub bands: Vec<u64>,
    /// The low halves of the minima, from which [`similarity`] estimates: those of two different
    /// minima are the same once in 65,536 times (b-bit minwise hashing, Li and König 2010).
    pub signature: Vec<u16>,
}

/// The estimated Jaccard similarity of two texts: the share of numbers that their signatures have in
/// common.
pub fn similarity(one: &[u16], other: &[u16]) -> f64 {
    let same = one.iter().zip(other).filter(|(a, b)| a == b).count();
    same as f64 / one.len().max(1) as f64
}

/// Computes sketches.
#[derive(Debug, Clone)]
pub struct MinHash {
    config: MinHashConfig,
    /// A factor and a summand for each permutation.
    permutations: Vec<(u64, u64)>,
}

impl MinHash {
    /// # Errors
    ///
    /// As [`MinHashConfig::validate`].
    pub fn new(config: MinHashConfig) -> Result<Self, DataError> {
        config.validate()?;
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let permutation = |_| (rng.random::<u64>() | 1, rng.random());
        Ok(Self {
            config,
            permutations: (0..config.permutations).map(permutation).collect(),
        })
    }

    /// Its settings.
    pub fn config(&self) -> &MinHashConfig {
        &self.config
    }

    /// The sketch of one or several texts that are compared as one, such as the sides of a pair. No
    /// n-gram reaches from one into the next, and n-grams of the first are never those of the second.
    /// A text that is shorter than an n-gram is one. Texts in different scopes are no candidates.
    /// `None` if there is no word at all.
    pub fn sketch<'a>(
        &self,
        scope: &str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Option<Sketch> {
        let mut minima = vec![u32::MAX; self.permutations.len()];
        let mut is_empty = true;
        for (place, text) in (0..).zip(texts) {
            let words = Words::of(text);
            is_empty &= words.is_empty();
            self.grams(&words, |gram| {
                let hash = xxh3_64_with_seed(gram.as_bytes(), place);
                for (minimum, (factor, summand)) in minima.iter_mut().zip(&self.permutations) {
                    let value = hash.wrapping_mul(*factor).wrapping_add(*summand);
                    *minimum = (*minimum).min((value >> 32) as u32);
                }
            });
        }
        let scope = xxh3_64(scope.as_bytes());
        let bands = minima.chunks_exact(self.config.permutations / self.config.bands);
        let key = |band: &[u32]| {
            let bytes: Vec<u8> = band
                .iter()
                .flat_map(|minimum| minimum.to_le_bytes())
                .collect();
            xxh3_64_with_seed(&bytes, scope)
        };
        (!is_empty).then(|| Sketch {
            bands: bands.map(key).collect(),
            signature: minima.iter().map(|minimum| *minimum as u16).collect(),
        })
    }

    /// Calls `take` with each n-gram of a text.
    fn grams(&self, words: &Words, mut take: impl FnMut(&str)) {
        let mut is_short = true;
        let mut take_gram = |gram: &str| {
            is_short = false;
            take(gram);
        };
        match self.config.unit {
            GramUnit::Words => words.grams(self.config.n).for_each(take_gram),
            GramUnit::Characters => {
                let text = words.text();
                let starts = || text.char_indices().map(|(index, _)| index);
                let ends = starts().chain([text.len()]).skip(self.config.n);
                starts()
                    .zip(ends)
                    .for_each(|(start, end)| take_gram(&text[start..end]));
            }
        }
        if is_short && !words.is_empty() {
            take(words.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn low(minhash: &MinHash, text: &str) -> Vec<u16> {
        minhash.sketch("", [text]).unwrap().signature
    }

    /// The true similarity, by sets.
    fn jaccard(minhash: &MinHash, one: &str, other: &str) -> f64 {
        let [one, other] = [one, other].map(|text| {
            let mut grams = HashSet::new();
            minhash.grams(&Words::of(text), |gram| {
                grams.insert(gram.to_owned());
            });
            grams
        });
        one.intersection(&other).count() as f64 / one.union(&other).count() as f64
    }

    /// A text of `words` words, of which the first `shared` are the same for all `number`s.
    fn text(words: usize, shared: usize, number: usize) -> String {
        let word = |index| match index < shared {
            true => format!("common{index} "),
            false => format!("own{index}of{number} "),
        };
        (0..words).map(word).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn an_estimate_is_within_five_standard_errors(
            words in 1..60_usize,
            shared in 0..60_usize,
            number in 1..1_000_usize,
        ) {
            for unit in [GramUnit::Words, GramUnit::Characters] {
                let config = MinHashConfig { unit, n: 3, permutations: 256, bands: 32, ..Default::default() };
                let minhash = MinHash::new(config).unwrap();
                let [a, b] = [text(words, shared, 0), text(words, shared, number)];
                let truth = jaccard(&minhash, &a, &b);
                let estimate = similarity(&low(&minhash, &a), &low(&minhash, &b));
                let error = (truth * (1.0 - truth) / 256.0).sqrt();
                prop_assert!((estimate - truth).abs() <= 5.0 * error + 2.0 / 256.0, "{estimate} {truth}");
            }
        }
    }

    #[test]
    fn estimates_are_right_on_average() {
        let config = MinHashConfig {
            unit: GramUnit::Words,
            n: 1,
            ..Default::default()
        };
        let minhash = MinHash::new(config).unwrap();
        let trials = 300_usize;
        let one = |number| {
            let make = |side: usize| {
                text(30, 20, 2 * number + side).replace("common", &format!("c{number}x"))
            };
            let [a, b] = [make(0), make(1)];
            assert!((jaccard(&minhash, &a, &b) - 0.5).abs() < 1e-9);
            similarity(&low(&minhash, &a), &low(&minhash, &b))
        };
        let mean = (0..trials).map(one).sum::<f64>() / trials as f64;
        // The standard error of this mean is 0.0026.
        assert!((mean - 0.5).abs() < 0.011, "{mean}");
    }

    #[test]
    fn sides_are_compared_side_by_side() {
        let minhash = MinHash::new(MinHashConfig::default()).unwrap();
        let sketch = |texts: &[&str]| minhash.sketch("", texts.iter().copied());
        let [a, b] = [
            "a first sentence of some length",
            "a second one, quite another",
        ];
        assert_eq!(sketch(&[a, b]), sketch(&[a, b]));
        assert_ne!(sketch(&[a, b]), sketch(&[b, a]));
        assert_eq!(sketch(&["", " .,"]), None);
        // Shorter than an n-gram.
        assert_eq!(sketch(&["Yes."]), sketch(&["yes"]));
        assert_ne!(sketch(&["yes"]), sketch(&["no"]));
        let [one, other] = ["x", "y"].map(|scope| minhash.sketch(scope, [a]).unwrap());
        assert_eq!(one.signature, other.signature);
        assert!(one.bands.iter().all(|key| !other.bands.contains(key)));
    }

    #[test]
    fn settings_are_checked() {
        let wrong = |config: MinHashConfig| MinHash::new(config).unwrap_err().to_string();
        let default = MinHashConfig::default();
        let bands = wrong(MinHashConfig {
            bands: 7,
            ..default
        });
        assert!(
            bands.contains("`bands` is 7; it may be a divisor of `permutations`, 120"),
            "{bands}"
        );
        for config in [
            MinHashConfig { n: 0, ..default },
            MinHashConfig {
                permutations: 0,
                ..default
            },
            MinHashConfig {
                permutations: 2_000,
                bands: 2,
                ..default
            },
            MinHashConfig {
                bands: 0,
                ..default
            },
            MinHashConfig {
                similarity: 0.0,
                ..default
            },
            MinHashConfig {
                similarity: f64::NAN,
                ..default
            },
        ] {
            assert!(
                wrong(config).starts_with("near-duplicates setting"),
                "{config:?}"
            );
        }
    }
}
