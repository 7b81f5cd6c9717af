//! Lengths of texts, and their ratio.

use unicode_script::{Script, UnicodeScript};

use crate::cleaning::words::has_no_spaces;
use crate::corpus::{CorpusRecord, LengthConfig, Step, Verdict};

/// Drops texts that are too short or too long, and pairs whose lengths are too different.
#[derive(Debug, Clone, Copy)]
pub struct Length(pub LengthConfig);

/// Length of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextLength {
    /// Characters.
    pub chars: usize,
    /// Characters, of which those of scripts that write a syllable or a word with each count for as
    /// many letters as their translations take.
    pub letters: usize,
    /// Words, between white space. `None` if most letters are of a script without spaces.
    pub words: Option<usize>,
}

impl TextLength {
    /// The length of a text.
    pub fn of(text: &str) -> Self {
        let chars = text.chars().count();
        let words = || text.split_whitespace().count();
        if text.is_ascii() {
            return Self {
                chars,
                letters: chars,
                words: Some(words()),
            };
        }
        let is_letter = |c: &char| c.is_alphabetic();
        let alphabetic = text.chars().filter(is_letter).count();
        let without_spaces = text
            .chars()
            .filter(is_letter)
            .filter(|&c| has_no_spaces(c))
            .count();
        Self {
            chars,
            letters: text.chars().map(letters).sum(),
            words: (2 * without_spaces <= alphabetic).then(words),
        }
    }

    /// How many times the one of two lengths is the other, by words, or by letters if one of them has
    /// no words.
    pub fn ratio(self, other: Self) -> f64 {
        let (a, b) = match (self.words, other.words) {
            (Some(a), Some(b)) => (a, b),
            _ => (self.letters, other.letters),
        };
        a.max(b) as f64 / a.min(b).max(1) as f64
    }
}

/// Letters that a character counts for. Sentences of FLORES-200 have a third of the characters of the
/// English ones in Han, and half of them in Japanese and Korean.
fn letters(c: char) -> usize {
    if c < '\u{1100}' {
        return 1;
    }
    match c.script() {
        Script::Han => 3,
        Script::Hiragana | Script::Katakana | Script::Hangul | Script::Yi => 2,
        _ => 1,
    }
}

impl Step for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let Self(config) = self;
        let drop = |reason: &'static str| Verdict::Drop(reason.into());
        let source = TextLength::of(&record.source.text);
        let target = record
            .target
            .as_ref()
            .map(|target| TextLength::of(&target.text));
        let most_chars = [config.max_chars_alone, config.max_chars][usize::from(target.is_some())];
        for length in [Some(source), target].into_iter().flatten() {
            if length.chars < config.min_chars {
                return drop("too few characters");
            }
            if length.chars > most_chars {
                return drop("too many characters");
            }
            let Some(words) = length.words else { continue };
            if words < config.min_words {
                return drop("too few words");
            }
            if words > config.max_words && target.is_some() {
                return drop("too many words");
            }
        }
        match target {
            Some(target) if source.ratio(target) > config.ratio => drop("lengths too different"),
            _ => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_without_spaces_are_measured_in_characters() {
        let english = TextLength::of("He goes to the university in Tokyo every day.");
        let chinese = TextLength::of("他每天都去东京的大学。");
        assert_eq!((english.words, english.letters), (Some(9), 45));
        assert_eq!((chinese.words, chinese.chars), (None, 11));
        assert!(english.ratio(chinese) < 1.5);
        let thai = TextLength::of("เขาไปมหาวิทยาลัยในโตเกียวทุกวัน");
        assert!(thai.words.is_none() && english.ratio(thai) < 1.5);
        // A name in another script does not make a sentence one without spaces.
        assert_eq!(TextLength::of("Tokyo is written 東京").words, Some(4));
        let [one, four] = ["a", "b c d e"].map(TextLength::of);
        assert_eq!([one.ratio(four), four.ratio(one)], [4.0, 4.0]);
        assert_eq!(one.ratio(TextLength::of("")), 1.0);
    }
}
