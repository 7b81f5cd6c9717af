//! Unicode's normal form, white space, and characters that nobody sees.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use crate::cleaning::words::is_without_spaces;
use crate::corpus::{CorpusRecord, Step, Verdict};

/// Brings texts to NFC and white space to single spaces, and takes out control and format characters;
/// see [`clean`]. Drops texts that were decoded wrongly: those with a replacement character, or one
/// that Unicode never assigns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unicode;

impl Step for Unicode {
    fn name(&self) -> &'static str {
        "unicode"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let keep_lines = record.target.is_none();
        let mut verdict = Verdict::Keep;
        for side in record.sides_mut() {
            if side.text.contains(is_broken) {
                return Verdict::Drop("a character that was decoded wrongly".into());
            }
            if let Cow::Owned(clean) = clean(&side.text, keep_lines) {
                side.text = clean;
                verdict = Verdict::Changed;
            }
        }
        verdict
    }
}

/// A text in NFC, without white space at its ends, with single spaces within, and without control and
/// format characters, marks of direction and of byte order among them. With `keep_lines` line breaks
/// stay, at most two together; otherwise they become spaces.
///
/// What changes the meaning or the look of a word stays: joiners and non-joiners in scripts whose
/// letters join or stack and in emoji, and spaces without width in scripts that put no others between
/// words.
///
/// ```
/// use calm_data::cleaning::steps::clean;
///
/// assert_eq!(clean("\u{feff}cafe\u{301}\u{a0} au\tlait\n", false), "café au lait");
/// assert_eq!(clean("one\r\n\n\n two", true), "one\n\ntwo");
/// assert_eq!(clean("می\u{200c}خواهم", false), "می\u{200c}خواهم");
/// ```
pub fn clean(text: &str, keep_lines: bool) -> Cow<'_, str> {
    if is_clean_ascii(text) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = Cleaned {
        text: String::with_capacity(text.len()),
        keep_lines,
        lines: 0,
        has_space: false,
        script: Script::Common,
        last: ' ',
    };
    // Two characters are one line break.
    let text_of_lines: Cow<str> = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    };
    // Characters that go may stand between those that NFC joins: it comes last.
    text_of_lines.chars().for_each(|c| cleaned.add(c));
    let mut clean = cleaned.text;
    if is_nfc_quick(clean.chars()) != IsNormalized::Yes {
        clean = clean.nfc().collect();
    }
    match clean == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(clean),
    }
}

/// Whether a text is of visible characters of ASCII with single spaces between.
fn is_clean_ascii(text: &str) -> bool {
    let mut before = b' ';
    let is_clean = text.bytes().all(|byte| {
        let is_clean = byte.is_ascii_graphic() || (byte == b' ' && before != b' ');
        before = byte;
        is_clean
    });
    is_clean && (before != b' ' || text.is_empty())
}

/// Whether a character shows that a text was decoded wrongly.
fn is_broken(c: char) -> bool {
    matches!(c, '\u{fffd}' | '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

struct Cleaned {
    text: String,
    keep_lines: bool,
    /// Line breaks and white space before the next character.
    lines: usize,
    has_space: bool,
    /// Script of the last letter.
    script: Script,
    /// Last character that was kept.
    last: char,
}

impl Cleaned {
    fn add(&mut self, c: char) {
        if c.is_whitespace() {
            self.has_space = true;
            self.lines += usize::from(is_line_break(c));
            return;
        }
        if !c.is_ascii_graphic() && !self.keeps(c) {
            return;
        }
        if self.has_space && !self.text.is_empty() {
            match (self.keep_lines, self.lines) {
                (false, _) | (true, 0) => self.text.push(' '),
                (true, 1) => self.text.push('\n'),
                (true, _) => self.text.push_str("\n\n"),
            }
        }
        (self.has_space, self.lines) = (false, 0);
        match c.script() {
            Script::Inherited => {}
            Script::Common if !c.is_alphabetic() => {}
            script => self.script = script,
        }
        self.text.push(c);
        self.last = c;
    }

    /// Whether a character that is not white space stays.
    fn keeps(&self, c: char) -> bool {
        let is_first = self.has_space || self.text.is_empty();
        match c {
            '\u{200c}' | '\u{200d}' if is_first || self.last == c => false,
            '\u{200c}' => self.is_in_joining_word(),
            '\u{200d}' => self.is_in_joining_word() || self.is_behind_emoji(),
            '\u{200b}' => !is_first && self.last != c && is_without_spaces(self.script),
            // Signs that enclose the number behind them.
            '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' => {
                true
            }
            c => !matches!(
                c.general_category(),
                GeneralCategory::Control | GeneralCategory::Format
            ),
        }
    }

    /// Whether the last character is of a word in a script whose letters join or stack.
    fn is_in_joining_word(&self) -> bool {
        let category = self.last.general_category();
        let is_mark = matches!(
            category,
            GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark
        );
        let joins = !matches!(
            self.script,
            Script::Latin
                | Script::Greek
                | Script::Cyrillic
                | Script::Armenian
                | Script::Georgian
                | Script::Hebrew
                | Script::Ethiopic
                | Script::Cherokee
                | Script::Canadian_Aboriginal
                | Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Hangul
                | Script::Bopomofo
                | Script::Thai
                | Script::Lao
                | Script::Yi
                | Script::Common
        );
        joins && (is_mark || self.last.is_alphabetic())
    }

    fn is_behind_emoji(&self) -> bool {
        self.last == '\u{fe0f}'
            || matches!(
                self.last.general_category(),
                GeneralCategory::OtherSymbol | GeneralCategory::ModifierSymbol
            )
    }
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nobody_sees_goes() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("", ""),
            (" \u{3000}\t ", ""),
            (" a  b ", "a b"),
            ("a\u{0}b\u{7f}\u{9f}", "ab"),
            ("soft\u{ad}hyphen\u{200b}s", "softhyphens"),
            ("\u{200e}a\u{202b} b\u{2069}", "a b"),
            ("a\u{200d}b\u{200c}c", "abc"),
            ("e\u{200b}\u{301}", "é"),
            ("a\u{2028}b", "a b"),
            ("한국\u{1112}\u{1161}\u{11ab}", "한국한"),
        ] {
            assert_eq!(clean(text, false), expected, "{text:?}");
        }
    }

    #[test]
    fn what_scripts_need_stays() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "ന്\u{200d}",
            "ক্\u{200c}ষ",
            "ශ්\u{200d}රී",
            "ខ្ញុំ\u{200b}ទៅ",
            "👩\u{200d}💻 👨🏽\u{200d}⚕\u{fe0f}",
            "\u{600}١٢",
        ] {
            assert!(matches!(clean(text, false), Cow::Borrowed(_)), "{text:?}");
        }
        assert_eq!(clean("می\u{200c}\u{200c} \u{200c}خ", false), "می\u{200c} خ");
        assert_eq!(clean("中\u{200d}文", false), "中文");
    }

    #[test]
    fn lines_stay_where_they_are_wanted() {
        assert_eq!(clean("a \r\n b\rc\n\n\n\nd\n", true), "a\nb\nc\n\nd");
        assert_eq!(clean("a\r\nb", false), "a b");
    }

    proptest! {
        #[test]
        fn a_clean_text_stays_as_it_is(text in "\\PC{0,20}|[a\u{200d}\u{301}\u{915}\u{94d}\u{200c}\n\r \u{200b}\u{e01}]{0,20}") {
            for keep_lines in [false, true] {
                let once = clean(&text, keep_lines).into_owned();
                prop_assert_eq!(clean(&once, keep_lines), once.as_str());
            }
        }
    }
}
