//! chrF (Popović, WMT 2015) and chrF++ (Popović, WMT 2017): F-scores of n-grams of characters, and
//! of words.

use std::cell::RefCell;
use std::collections::HashMap;

use super::metric::{Metric, ScoreError};
use super::text::{case_name, cased, is_space, words};

/// Largest order of n-grams.
const LARGEST_ORDER: usize = 64;

/// Counts for each order: n-grams of the hypothesis, of the reference, and of both.
const COUNTS: usize = 3;

/// chrF with its settings. Precisions and recalls are averaged over those orders that both texts
/// have n-grams of, as in sacreBLEU (`eff:yes`).
#[derive(Debug, Clone, PartialEq)]
pub struct Chrf {
    char_order: usize,
    word_order: usize,
    beta: f64,
    lowercase: bool,
}

impl Chrf {
    /// N-grams of up to `char_order` characters and up to `word_order` words, and recall `beta`
    /// times as important as precision.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Setting`] unless there is an order, none is above 64, and `beta` is a positive
    /// number.
    pub fn new(char_order: usize, word_order: usize, beta: f64) -> Result<Self, ScoreError> {
        let setting = |setting, found: String, expected| {
            Err(ScoreError::Setting {
                setting,
                found,
                expected,
            })
        };
        if !(1..=LARGEST_ORDER).contains(&char_order) {
            return setting("char-order", char_order.to_string(), "1 to 64");
        }
        if word_order > LARGEST_ORDER {
            return setting("word-order", word_order.to_string(), "0 to 64");
        }
        if !(beta > 0.0 && beta <= 1e6) {
            return setting("beta", beta.to_string(), "a positive number up to 1000000");
        }
        Ok(Self {
            char_order,
            word_order,
            beta,
            lowercase: false,
        })
    }

    /// chrF1, the paper's score of translations: six characters, precision and recall alike.
    pub fn chrf1() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 1.0,
            lowercase: false,
        }
    }

    /// chrF2, which much software calls chrF: recall counts twice.
    pub fn chrf2() -> Self {
        Self {
            beta: 2.0,
            ..Self::chrf1()
        }
    }

    /// chrF++: chrF2 with pairs of words.
    pub fn chrf_plus_plus() -> Self {
        Self {
            word_order: 2,
            ..Self::chrf2()
        }
    }

    /// The same metric of texts in lower case.
    #[must_use]
    pub fn with_lowercase(self, lowercase: bool) -> Self {
        Self { lowercase, ..self }
    }

    /// Counts against one reference.
    fn count_one(&self, hypothesis: &str, reference: &str, statistics: &mut [u64]) {
        let (of_chars, of_words) = statistics.split_at_mut(COUNTS * self.char_order);
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.read_chars(hypothesis, reference);
            scratch.count(self.char_order, of_chars);
            if self.word_order > 0 {
                scratch.read_words(hypothesis, reference);
                scratch.count(self.word_order, of_words);
            }
        });
    }
}

impl Metric for Chrf {
    fn name(&self) -> String {
        format!("chrF{}{}", self.beta, "+".repeat(self.word_order))
    }

    fn signature(&self, references: usize) -> String {
        format!(
            "nrefs:{references}|case:{}|eff:yes|nc:{}|nw:{}|beta:{}|space:no|version:{}",
            case_name(self.lowercase),
            self.char_order,
            self.word_order,
            self.beta,
            super::VERSION
        )
    }

    fn width(&self) -> usize {
        COUNTS * (self.char_order + self.word_order)
    }

    /// Of several references, the one with the best score counts.
    fn count(&self, hypothesis: &str, references: &[&str], statistics: &mut [u64]) {
        let hypothesis = cased(hypothesis, self.lowercase);
        if let [reference] = references {
            return self.count_one(&hypothesis, &cased(reference, self.lowercase), statistics);
        }
        let mut best = f64::NEG_INFINITY;
        let mut counted = vec![0; statistics.len()];
        for reference in references {
            counted.fill(0);
            self.count_one(&hypothesis, &cased(reference, self.lowercase), &mut counted);
            let score = self.score(&counted);
            if score > best {
                best = score;
                statistics.copy_from_slice(&counted);
            }
        }
    }

    fn score(&self, sums: &[u64]) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for counts in sums.chunks(COUNTS) {
            if counts[0] > 0 && counts[1] > 0 {
                precision += counts[2] as f64 / counts[0] as f64;
                recall += counts[2] as f64 / counts[1] as f64;
                orders += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let weight = self.beta * self.beta;
        100.0 * (1.0 + weight) * precision * recall / (weight * precision + recall)
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Two texts as numbered symbols, and buffers for counting their n-grams.
struct Scratch {
    /// Number of each character in these texts, by code point; 0 if it is in none.
    numbers: Vec<u32>,
    /// Characters that have a number.
    alphabet: Vec<char>,
    /// Number of different symbols.
    symbols: usize,
    hypothesis: Vec<u32>,
    reference: Vec<u32>,
    hypothesis_keys: Vec<u64>,
    reference_keys: Vec<u64>,
}

impl Scratch {
    fn new() -> Self {
        Self {
            numbers: vec![0; char::MAX as usize + 1],
            alphabet: Vec::new(),
            symbols: 0,
            hypothesis: Vec::new(),
            reference: Vec::new(),
            hypothesis_keys: Vec::new(),
            reference_keys: Vec::new(),
        }
    }

    /// Reads characters, without white space, as symbols.
    fn read_chars(&mut self, hypothesis: &str, reference: &str) {
        let (numbers, alphabet) = (&mut self.numbers, &mut self.alphabet);
        for c in alphabet.drain(..) {
            numbers[c as usize] = 0;
        }
        let mut number = |c: char| {
            let number = &mut numbers[c as usize];
            if *number == 0 {
                alphabet.push(c);
                *number = alphabet.len() as u32;
            }
            *number
        };
        for (text, symbols) in [
            (hypothesis, &mut self.hypothesis),
            (reference, &mut self.reference),
        ] {
            symbols.clear();
            symbols.extend(text.chars().filter(|&c| !is_space(c)).map(&mut number));
        }
        self.symbols = alphabet.len();
    }

    /// Reads words and the punctuation at their ends as symbols.
    fn read_words(&mut self, hypothesis: &str, reference: &str) {
        let mut numbers = HashMap::new();
        for (text, symbols) in [
            (hypothesis, &mut self.hypothesis),
            (reference, &mut self.reference),
        ] {
            symbols.clear();
            for part in words(text).flat_map(without_punctuation) {
                if !part.is_empty() {
                    let next = numbers.len() as u32 + 1;
                    symbols.push(*numbers.entry(part).or_insert(next));
                }
            }
        }
        self.symbols = numbers.len();
    }

    /// Counts n-grams of all orders up to `order`.
    fn count(&mut self, order: usize, statistics: &mut [u64]) {
        let bits = (usize::BITS - self.symbols.leading_zeros()) as usize;
        match bits * order <= u64::BITS as usize {
            true => self.match_keys(order, bits, statistics),
            false => match_maps(&self.hypothesis, &self.reference, statistics),
        }
        for (index, counts) in statistics.chunks_mut(COUNTS).enumerate() {
            let grams = |symbols: &[u32]| symbols.len().saturating_sub(index) as u64;
            counts[1] = grams(&self.reference);
            // If a reference has no n-gram, sacreBLEU does not count those of the hypothesis.
            counts[0] = if counts[1] == 0 {
                0
            } else {
                grams(&self.hypothesis)
            };
        }
    }

    /// Counts with one key for each position of a text: the next `order` symbols, the first in the
    /// highest bits, zeros behind the end. Keys that are sorted once are sorted for all shorter
    /// n-grams too, which are their first symbols.
    fn match_keys(&mut self, order: usize, bits: usize, statistics: &mut [u64]) {
        fill_keys(&self.hypothesis, order, bits, &mut self.hypothesis_keys);
        fill_keys(&self.reference, order, bits, &mut self.reference_keys);
        for (index, counts) in statistics.chunks_mut(COUNTS).enumerate() {
            let shift = bits * (order - 1 - index);
            counts[2] = common(&self.hypothesis_keys, &self.reference_keys, shift, bits);
        }
    }
}

fn fill_keys(symbols: &[u32], order: usize, bits: usize, keys: &mut Vec<u64>) {
    keys.clear();
    let mut key = 0;
    let top = bits * (order - 1);
    // From the end: the last key has zeros behind its first symbol.
    keys.extend(symbols.iter().rev().map(|&symbol| {
        key = (key >> bits) | (u64::from(symbol) << top);
        key
    }));
    keys.sort_unstable();
}

/// Number of n-grams that two sorted texts have in common, with multiplicity.
fn common(a: &[u64], b: &[u64], shift: usize, bits: usize) -> u64 {
    let last = (1 << bits) - 1;
    let (mut i, mut j, mut count) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i] >> shift, b[j] >> shift);
        // A key without a last symbol reaches behind the end of the text.
        count += u64::from(x == y && x & last != 0);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    count
}

/// The same for n-grams that do not fit a key.
fn match_maps(hypothesis: &[u32], reference: &[u32], statistics: &mut [u64]) {
    for (index, counts) in statistics.chunks_mut(COUNTS).enumerate() {
        let mut left: HashMap<&[u32], u64> = HashMap::new();
        for gram in reference.windows(index + 1) {
            *left.entry(gram).or_default() += 1;
        }
        for gram in hypothesis.windows(index + 1) {
            if let Some(left) = left.get_mut(gram).filter(|left| **left > 0) {
                *left -= 1;
                counts[2] += 1;
            }
        }
    }
}

/// A word and the punctuation mark at its end, or else at its beginning, as Popović splits them; one
/// of the two may be empty.
fn without_punctuation(word: &str) -> [&str; 2] {
    let is_one_letter = word.chars().nth(1).is_none();
    if is_one_letter {
        [word, ""]
    } else if word.ends_with(|c: char| c.is_ascii_punctuation()) {
        word.split_at(word.len() - 1).into()
    } else if word.starts_with(|c: char| c.is_ascii_punctuation()) {
        word.split_at(1).into()
    } else {
        [word, ""]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(chrf: &Chrf, hypothesis: &str, references: &[&str]) -> f64 {
        let mut statistics = vec![0; chrf.width()];
        chrf.count(hypothesis, references, &mut statistics);
        chrf.score(&statistics)
    }

    #[test]
    fn a_case_by_hand() {
        // "abc" and "abd": 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples, and none of order 4.
        let chrf = Chrf::new(4, 0, 1.0).unwrap();
        let expected = 100.0 * (2.0 / 3.0 + 0.5) / 3.0;
        assert!((sentence(&chrf, "a b c", &["ab d"]) - expected).abs() < 1e-12);
    }

    #[test]
    fn punctuation_is_a_word_at_one_end() {
        assert_eq!(without_punctuation("end."), ["end", "."]);
        assert_eq!(without_punctuation("(end)."), ["(end)", "."]);
        assert_eq!(without_punctuation("(end"), ["(", "end"]);
        assert_eq!(without_punctuation("."), [".", ""]);
        assert_eq!(without_punctuation("é"), ["é", ""]);
    }

    #[test]
    fn keys_and_maps_agree() {
        let hypothesis = "mississippi river";
        let reference = "the mississippi";
        let mut scratch = Scratch::new();
        scratch.read_chars(hypothesis, reference);
        let mut by_keys = vec![0; COUNTS * 6];
        scratch.match_keys(6, 4, &mut by_keys);
        let mut by_maps = vec![0; COUNTS * 6];
        match_maps(&scratch.hypothesis, &scratch.reference, &mut by_maps);
        assert_eq!(by_keys, by_maps);
        assert!(by_keys[2] > 0);
    }

    #[test]
    fn long_n_grams_are_counted_too() {
        let chrf = Chrf::new(40, 3, 2.0).unwrap();
        let text = "every text is like itself, however long its n-grams are taken to be";
        assert!((sentence(&chrf, text, &[text]) - 100.0).abs() < 1e-12);
        assert_eq!(chrf.name(), "chrF2+++");
    }

    #[test]
    fn the_best_reference_counts() {
        let chrf = Chrf::chrf2();
        let alone = sentence(&chrf, "a cat", &["a cat sat"]);
        assert_eq!(sentence(&chrf, "a cat", &["dog", "a cat sat", "x"]), alone);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (chars, words, beta) in [
            (0, 0, 1.0),
            (65, 0, 1.0),
            (6, 65, 1.0),
            (6, 0, 0.0),
            (6, 0, f64::NAN),
        ] {
            assert!(Chrf::new(chars, words, beta).is_err());
        }
    }
}
