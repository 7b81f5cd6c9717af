//! Texts of others, on a terminal and on a page.

use std::borrow::Cow;

/// Characters that steer what shows them, first and last of each range: control characters, those
/// that change the direction of what follows, line ends that only some programs know, annotations,
/// byte order marks, and letters that nothing shows. Others that have no width stay, since scripts
/// need them.
pub(super) const STEERING: [(char, char); 9] = [
    ('\0', '\u{8}'),
    ('\u{b}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2066}', '\u{2069}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// The text with the characters written out that would steer a terminal or hide what a text says:
/// `\u{1b}` for the one that begins an escape sequence. File names, templates and models may hold
/// some. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_steering(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

fn is_steering(c: char) -> bool {
    STEERING
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_written_out() {
        assert_eq!(
            visible("a\u{1b}]0;x\u{7}b\u{9b}1m"),
            r"a\u{1b}]0;x\u{7}b\u{9b}1m"
        );
        assert_eq!(visible("x\u{202e}y\r\0"), r"x\u{202e}y\u{d}\u{0}");
        assert_eq!(
            visible("\u{feff}a\u{2028}\u{e0041}"),
            r"\u{feff}a\u{2028}\u{e0041}"
        );
        assert_eq!(visible("één\n\t🙂"), "één\n\t🙂");
    }

    #[test]
    fn every_control_character_but_line_ends_and_tabs_steers() {
        let controls = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        let left = controls.filter(|c| c.is_control() && !is_steering(*c));
        assert_eq!(left.collect::<String>(), "\t\n");
    }

    #[test]
    fn joiners_and_marks_of_direction_that_scripts_need_stay() {
        let persian = "می\u{200c}خواهم";
        assert_eq!(visible(persian), persian);
        assert_eq!(visible("ab\u{200f}"), "ab\u{200f}");
    }
}
