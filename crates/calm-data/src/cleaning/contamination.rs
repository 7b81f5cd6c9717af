//! Texts of benchmarks, to keep corpora free of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use super::Words;

/// Words of a part of a text that is looked for as a whole, such as a sentence of a question.
const LEAST_PART: usize = 5;

/// Texts of benchmarks, by hashes of 64 bits: whole ones, their sentences of five words and more, and
/// all their n-grams that are not numbers alone. They are compared as [`Words`], so without case, punctuation and white space.
///
/// In scripts without spaces two letters count as one word: 24 of them are as good as 12 words.
///
/// ```
/// use calm_data::cleaning::Contamination;
///
/// let mut benchmarks = Contamination::new(4);
/// benchmarks.add("questions", "How many apples are left in the bag?");
/// assert_eq!(benchmarks.find("MANY apples are left!"), Some("questions"));
/// assert_eq!(benchmarks.find("apples are left"), None);
/// ```
#[derive(Debug, Clone)]
pub struct Contamination {
    /// Words of an n-gram.
    words: usize,
    /// By whole texts and sentences, the benchmark that has them.
    wholes: Index,
    grams: Index,
    names: Vec<String>,
}

type Index = HashMap<u64, u32, BuildHasherDefault<Same>>;

impl Contamination {
    /// No benchmark yet. `words` is the length of the n-grams.
    pub fn new(words: usize) -> Self {
        Self {
            words: words.max(1),
            wholes: Index::default(),
            grams: Index::default(),
            names: Vec::new(),
        }
    }

    /// Adds a text of a benchmark.
    pub fn add(&mut self, benchmark: &str, text: &str) {
        let number = self.names.iter().position(|name| name == benchmark);
        let number = number.unwrap_or_else(|| {
            self.names.push(benchmark.to_owned());
            self.names.len() - 1
        }) as u32;
        let whole = Words::of(text);
        if whole.is_empty() {
            return;
        }
        self.wholes.entry(hash(whole.text())).or_insert(number);
        // Runs of numbers alone, as in tests of programs, are in much code and say nothing.
        let grams = whole.grams(self.words);
        for gram in grams.filter(|gram| gram.contains(char::is_alphabetic)) {
            self.grams.entry(hash(gram)).or_insert(number);
        }
        for part in text.split(ends_sentence) {
            let part = Words::of(part);
            if part.has(LEAST_PART) {
                self.wholes.entry(hash(part.text())).or_insert(number);
            }
        }
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.wholes.is_empty()
    }

    /// The benchmark that a text, or an n-gram of it, is in.
    pub fn find(&self, text: &str) -> Option<&str> {
        let words = Words::of(text);
        let whole = self.wholes.get(&hash(words.text()));
        let mut grams = words.grams(self.words);
        let found = whole.or_else(|| grams.find_map(|gram| self.grams.get(&hash(gram))));
        found.map(|number| self.names[*number as usize].as_str())
    }
}

fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

/// Whether a character stands between sentences, in any script.
fn ends_sentence(c: char) -> bool {
    const MARKS: &str = ".!?\n…।॥。！？؟۔።။៕།";
    MARKS.contains(c)
}

/// Takes a number that is a hash as its own hash.
#[derive(Debug, Clone, Copy, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUESTION: &str = "Ada has 12 red pens and gives 5 of them to her brother Ben. \
                            How many red pens has she now?";

    #[test]
    fn a_text_or_its_sentence_or_a_run_of_words_is_found() {
        let mut benchmarks = Contamination::new(12);
        assert!(benchmarks.is_empty());
        benchmarks.add("gsm8k", QUESTION);
        benchmarks.add("flores-200", "Short one.");
        benchmarks.add(
            "flores-200",
            "彼は昨日、東京の大学で新しい研究の結果について長い講演を行った。",
        );
        benchmarks.add("other", "short one");
        benchmarks.add("other", " ... ");
        let gsm8k = Some("gsm8k");
        for (text, expected) in [
            (QUESTION, gsm8k),
            ("how many red pens has she now", gsm8k),
            ("red pens has she", None),
            (
                "Then ADA has 12 red pens, and gives 5 of them to her aunt",
                gsm8k,
            ),
            ("Then Ada has 12 red pens and gives 5 of them to him", None),
            ("SHORT, one", Some("flores-200")),
            ("a short one", None),
            ("", None),
            ("!", None),
            (
                "東京の大学で新しい研究の結果について長い講演を行いました",
                Some("flores-200"),
            ),
            ("東京の大学で新しい研究", None),
        ] {
            assert_eq!(benchmarks.find(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_alone_are_no_part_of_a_benchmark() {
        let mut benchmarks = Contamination::new(4);
        benchmarks.add("humaneval", "assert candidate([1, 2, 3, 4, 5, 6, 7]) == 28");
        assert_eq!(benchmarks.find("x = [1, 2, 3, 4, 5]"), None);
        assert_eq!(
            benchmarks.find("the candidate (1, 2, 3)"),
            Some("humaneval")
        );
    }

    proptest! {
        #[test]
        fn every_run_of_twelve_words_is_found_however_it_is_written(
            start in 0..10_usize,
            before in "[a-z ]{0,20}",
        ) {
            let mut benchmarks = Contamination::new(12);
            benchmarks.add("gsm8k", QUESTION);
            let words: Vec<&str> = QUESTION.split(' ').skip(start).take(12).collect();
            let text = format!("{before} {}", words.join(", ").to_uppercase());
            prop_assert_eq!(benchmarks.find(&text), Some("gsm8k"));
            let shorter = words[..11].join(" ");
            prop_assert_eq!(benchmarks.find(&shorter), None);
        }
    }
}
