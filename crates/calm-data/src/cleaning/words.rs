//! Texts as their words, for comparisons.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// The words of a text without what texts are not compared by: in NFKC and lower case, without
/// punctuation, symbols, white space and characters that nobody sees.
///
/// A word is a run of letters, marks and digits. In scripts that put no space between words, each
/// letter with its marks is a word of its own, and counts as half of one.
///
/// ```
/// use calm_data::cleaning::Words;
///
/// let words = Words::of("Don’t  PANIC: 42!");
/// assert_eq!(words.iter().collect::<Vec<_>>(), ["dont", "panic", "42"]);
/// assert_eq!(words.text(), "dontpanic42");
/// assert_eq!(Words::of("東京 Tower").iter().count(), 3);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    start: usize,
    /// Half words that it counts as.
    halves: usize,
}

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Self {
        let mut words = Self {
            text: String::with_capacity(text.len()),
            words: Vec::with_capacity(text.len() / 6 + 1),
        };
        let mut is_open = false;
        if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
            text.chars().for_each(|c| words.add(c, &mut is_open));
        } else {
            text.nfkc().for_each(|c| words.add(c, &mut is_open));
        }
        words
    }

    /// All words as one text, without anything between them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether it has at least `count` words.
    pub fn has(&self, count: usize) -> bool {
        self.words.iter().map(|word| word.halves).sum::<usize>() >= 2 * count
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.words.len()).map(|index| &self.text[self.range(index, index)])
    }

    /// Runs of at least `count` words, as short as may be, one from each word on: as texts without
    /// anything between the words. None if the text has fewer words.
    pub fn grams(&self, count: usize) -> impl Iterator<Item = &str> {
        let least = 2 * count.max(1);
        let (mut last, mut halves) = (0, 0);
        (0..self.words.len()).map_while(move |first| {
            while halves < least {
                halves += self.words.get(last)?.halves;
                last += 1;
            }
            halves -= self.words[first].halves;
            Some(&self.text[self.range(first, last - 1)])
        })
    }

    /// Where words stand in the text.
    fn range(&self, first: usize, last: usize) -> Range<usize> {
        let end = self
            .words
            .get(last + 1)
            .map_or(self.text.len(), |next| next.start);
        self.words[first].start..end
    }

    /// Adds a character. `is_open` says whether letters belong to the word before them.
    fn add(&mut self, c: char, is_open: &mut bool) {
        if c.is_ascii() {
            match (c.is_ascii_alphanumeric(), c) {
                (true, c) => self.add_letter(c.to_ascii_lowercase(), 2, is_open),
                (false, '\'') => {}
                _ => *is_open = false,
            }
            return;
        }
        match Class::of(c) {
            Class::Letter => c
                .to_lowercase()
                .for_each(|c| self.add_letter(c, 2, is_open)),
            Class::Word => {
                *is_open = false;
                self.add_letter(c, 1, is_open);
                *is_open = false;
            }
            Class::Mark if !self.words.is_empty() => self.text.push(c),
            Class::Unseen => {}
            Class::Mark | Class::Between => *is_open = false,
        }
    }

    fn add_letter(&mut self, c: char, halves: usize, is_open: &mut bool) {
        if !*is_open {
            let start = self.text.len();
            self.words.push(Word { start, halves });
        }
        *is_open = true;
        // At the end of a word in lower case, and not of one in capitals.
        self.text.push(if c == 'ς' { 'σ' } else { c });
    }
}

/// What a character is to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter or a digit.
    Letter,
    /// A letter of a script that puts no space between words.
    Word,
    /// A mark on the letter before it.
    Mark,
    /// Nothing that is seen, or an apostrophe.
    Unseen,
    /// What stands between words.
    Between,
}

/// Classes of the characters of the first plane, which are looked up for every character of a corpus.
static CLASSES: LazyLock<Vec<Class>> = LazyLock::new(|| {
    let class = |code| char::from_u32(code).map_or(Class::Between, Class::find);
    (0..0x1_0000).map(class).collect()
});

impl Class {
    fn of(c: char) -> Self {
        CLASSES
            .get(c as usize)
            .copied()
            .unwrap_or_else(|| Self::find(c))
    }

    fn find(c: char) -> Self {
        match c.general_category_group() {
            // Apostrophes, of which this one is a letter.
            _ if matches!(c, '\u{2bc}' | '\u{2019}') => Self::Unseen,
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number if has_no_spaces(c) => {
                Self::Word
            }
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => Self::Letter,
            GeneralCategoryGroup::Mark => Self::Mark,
            // Joiners, and marks of direction.
            GeneralCategoryGroup::Other if !c.is_control() => Self::Unseen,
            _ => Self::Between,
        }
    }
}

/// Whether a letter is of a script that puts no space between words.
pub(super) fn has_no_spaces(c: char) -> bool {
    // Thai is the first of them.
    c >= '\u{e00}' && is_without_spaces(c.script())
        // Common to Hiragana and Katakana.
        || c == 'ー'
}

/// Whether a script puts no space between words.
pub(super) fn is_without_spaces(script: Script) -> bool {
    matches!(
        script,
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Bopomofo
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Balinese
            | Script::Javanese
            | Script::Tai_Le
            | Script::New_Tai_Lue
            | Script::Tai_Tham
            | Script::Tai_Viet
            | Script::Yi
            | Script::Nushu
            | Script::Tangut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Words::of(text).iter().map(str::to_owned).collect()
    }

    #[test]
    fn words_of_many_scripts() {
        for (text, expected) in [
            ("", &[][..]),
            (" ,.!", &[]),
            ("A well-known café.", &["a", "well", "known", "café"]),
            ("ﬁne ＡＢＣ", &["fine", "abc"]),
            ("ΟΔΟΣ οδός", &["οδοσ", "οδόσ"]),
            ("क्‍ष नेपाली।", &["क्ष", "नेपाली"]),
            ("می‌خواهم", &["میخواهم"]),
            ("東京tower", &["東", "京", "tower"]),
            ("ไม่ดี", &["ไ", "ม่", "ดี"]),
            ("コーヒー", &["コ", "ー", "ヒ", "ー"]),
            ("l'eau l’eau", &["leau", "leau"]),
            ("3,5 ٣", &["3", "5", "٣"]),
            ("\u{301}a", &["a"]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn grams_count_letters_of_scripts_without_spaces_as_half_words() {
        let grams = |text, count| {
            let words = Words::of(text);
            words.grams(count).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(grams("a b c d", 2), ["ab", "bc", "cd"]);
        assert_eq!(grams("a b", 2), ["ab"]);
        assert!(grams("a", 2).is_empty() && grams("", 2).is_empty());
        assert_eq!(grams("東京都庁前", 2), ["東京都庁", "京都庁前"]);
        assert_eq!(grams("東 x 京 y", 2), ["東x京", "x京y"]);
        assert_eq!(grams("a b c", 1), ["a", "b", "c"]);
    }

    #[test]
    fn a_run_does_not_depend_on_what_stands_before_it() {
        let quote = "one 東京 two three 駅";
        let within = format!("before 前 {quote} after");
        let [quote, within] = [quote, &within].map(Words::of);
        for gram in quote.grams(3) {
            assert!(within.grams(3).any(|other| other == gram), "{gram}");
        }
    }
}
