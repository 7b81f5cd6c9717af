//! Texts of others on a terminal.

use std::borrow::Cow;

/// The text with its control characters written out: `\u{1b}` for the one that begins an escape
/// sequence. File names, templates and models may hold some, which would steer the terminal or hide
/// what a message says. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the direction of what follows.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() && !matches!(c, '\n' | '\t')
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
        assert_eq!(visible("x\u{202e}y\r"), r"x\u{202e}y\u{d}");
        assert_eq!(visible("één\n\t🙂"), "één\n\t🙂");
    }
}
