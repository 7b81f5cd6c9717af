//! Tokenizers of BLEU.

use std::fmt;
use std::str::FromStr;

use unicode_properties::{GeneralCategoryGroup as Group, UnicodeGeneralCategory};

use super::metric::ScoreError;
use super::text::{is_space, words};

/// Splits a text into words. These are the tokenizers of sacreBLEU that need no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BleuTokenizer {
    /// NIST's `mteval-v13a`, for ASCII punctuation.
    #[default]
    Mteval13a,
    /// `mteval-v14` in its international mode, by Unicode's categories.
    International,
    /// Every character is a word.
    Char,
    /// Words are separated by white space.
    None,
}

impl BleuTokenizer {
    const ALL: [Self; 4] = [Self::Mteval13a, Self::International, Self::Char, Self::None];

    /// Its name in sacreBLEU.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::International => "intl",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    /// Words of a text, separated by white space.
    pub(super) fn spaced(self, text: &str) -> String {
        let text = text.trim_end_matches(is_space);
        match self {
            Self::Mteval13a => mteval_13a(text),
            Self::International => international(text),
            Self::Char => text.chars().flat_map(|c| [c, ' ']).collect(),
            Self::None => text.to_owned(),
        }
    }

    /// Words of a text.
    pub fn words(self, text: &str) -> Vec<String> {
        words(&self.spaced(text)).map(str::to_owned).collect()
    }
}

impl fmt::Display for BleuTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BleuTokenizer {
    type Err = ScoreError;

    fn from_str(name: &str) -> Result<Self, ScoreError> {
        let known = Self::ALL
            .into_iter()
            .find(|tokenizer| tokenizer.name() == name);
        known.ok_or_else(|| ScoreError::Setting {
            setting: "tokenize",
            found: name.to_owned(),
            expected: "13a, intl, char or none",
        })
    }
}

fn mteval_13a(text: &str) -> String {
    let mut text = text.replace("<skipped>", "");
    for (entity, sign) in [
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        if text.contains('&') {
            text = text.replace(entity, sign);
        }
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| c == '.' || c == ',';
    // ASCII punctuation that is never part of a word or a number.
    let is_mark =
        |c: char| (c == ' ' || c.is_ascii_punctuation()) && !matches!(c, '.' | ',' | '-' | '\'');
    let text = apart(&format!(" {text} "), is_mark);
    let text = pairs(&text, |c| !is_digit(c), is_point, false);
    let text = pairs(&text, is_point, |c| !is_digit(c), true);
    pairs(&text, is_digit, |c| c == '-', false)
}

fn international(text: &str) -> String {
    let is = |group: Group| move |c: char| c.general_category_group() == group;
    let is_number = is(Group::Number);
    let text = pairs(text, |c| !is_number(c), is(Group::Punctuation), false);
    let text = pairs(&text, is(Group::Punctuation), |c| !is_number(c), true);
    apart(&text, is(Group::Symbol))
}

/// Puts spaces around each of these characters.
fn apart(text: &str, is_apart: impl Fn(char) -> bool) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match is_apart(c) {
            true => spaced.extend([' ', c, ' ']),
            false => spaced.push(c),
        }
    }
    spaced
}

/// Puts spaces around the punctuation of each matching pair of adjacent characters: before the first
/// and between them, or between them and behind the second. Pairs do not overlap.
fn pairs(
    text: &str,
    is_first: impl Fn(char) -> bool,
    is_second: impl Fn(char) -> bool,
    before: bool,
) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        let second = rest.clone().next().filter(|&c| is_second(c));
        match second.filter(|_| is_first(first)) {
            Some(second) => {
                rest.next();
                match before {
                    true => spaced.extend([' ', first, ' ', second]),
                    false => spaced.extend([first, ' ', second, ' ']),
                }
            }
            None => spaced.push(first),
        }
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(tokenizer: BleuTokenizer, text: &str) -> String {
        tokenizer.words(text).join(" ")
    }

    #[test]
    fn mteval() {
        let split = |text| joined(BleuTokenizer::Mteval13a, text);
        assert_eq!(
            split("Don't pay 1,000.50, (or) 7-8!"),
            "Don't pay 1,000.50 , ( or ) 7 - 8 !"
        );
        assert_eq!(
            split("&quot;a&quot; &amp;lt; b <skipped>c"),
            "\" a \" < b c"
        );
        assert_eq!(split("end.. a-b"), "end . . a-b");
        assert_eq!(split("“x”、y"), "“x”、y");
    }

    #[test]
    fn by_categories() {
        let split = |text| joined(BleuTokenizer::International, text);
        assert_eq!(
            split("“x”、y 1,000 €5 don't"),
            "“ x ” 、 y 1,000 € 5 don ' t"
        );
        assert_eq!(split("😀ok 5.्"), "😀 ok 5 . ्");
    }

    #[test]
    fn names_are_those_of_sacrebleu() {
        for tokenizer in BleuTokenizer::ALL {
            assert_eq!(tokenizer.name().parse(), Ok(tokenizer));
        }
        let error = "zh".parse::<BleuTokenizer>().unwrap_err().to_string();
        assert_eq!(error, "tokenize is zh; it must be 13a, intl, char or none");
    }
}
