//! Texts of others on the page.

use std::fmt::Write as _;

use minijinja::value::Value;
use minijinja::{Error, HtmlEscape, Output, State, escape_formatter};
use serde::Serialize;

use super::super::numbers::count;
use super::super::visible;

/// More letters of a text, and of a prompt, are in the raw JSON only.
const LETTERS: usize = 2000;
const OF_PROMPT: usize = 800;

/// A text that may be too long to be shown whole.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Shown<'a> {
    /// Number of letters that are left out before it.
    before: Option<String>,
    text: &'a str,
    /// Number of letters that are left out behind it.
    behind: Option<String>,
}

impl<'a> Shown<'a> {
    /// The beginning of a text.
    pub(super) fn of(text: &'a str) -> Self {
        let end = text.char_indices().nth(LETTERS);
        let (text, rest) = text.split_at(end.map_or(text.len(), |(end, _)| end));
        Self {
            before: None,
            text,
            behind: letters(rest),
        }
    }

    /// The end of a prompt, where the question is.
    pub(super) fn of_prompt(text: &'a str) -> Self {
        let begin = text.char_indices().nth_back(OF_PROMPT - 1);
        let (rest, text) = text.split_at(begin.map_or(0, |(begin, _)| begin));
        Self {
            before: letters(rest),
            text,
            behind: None,
        }
    }
}

/// Their number, if there are any.
fn letters(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| count(text.chars().count() as u64))
}

/// Writes every value: a text escaped, its steering characters written out.
pub(super) fn format(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(visible(text).as_ref()))
        }
        _ => escape_formatter(out, state, value),
    }
}

/// A text in a direction of its own, its `m_A` and `D_C` as in the paper: the letters below the line.
pub(super) fn symbol(text: &str) -> Value {
    let text = visible(text);
    let mut shown = String::from("<bdi>");
    let mut rest: &str = &text;
    let mut is_inside = false;
    while let Some(at) = rest.find('_') {
        let (left, right) = (&rest[..at], &rest[at + 1..]);
        let letter = left.strip_suffix(['m', 'D']);
        let is_letter = letter.is_some_and(|before| match before.chars().next_back() {
            Some(letter) => !is_of_word(letter),
            None => !is_inside,
        });
        let index = if is_letter { index_of(right) } else { 0 };
        let _ = match index {
            0 => write!(shown, "{}_", HtmlEscape(left)),
            _ => write!(
                shown,
                "{}<sub>{}</sub>",
                HtmlEscape(left),
                HtmlEscape(&right[..index])
            ),
        };
        is_inside = true;
        rest = &right[index..];
    }
    let _ = write!(shown, "{}</bdi>", HtmlEscape(rest));
    Value::from_safe_string(shown)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Bytes of names of models, such as `A`, `A1` or `A⊕B`, that are not the beginning of a word.
fn index_of(text: &str) -> usize {
    let mut end = 0;
    loop {
        let name = &text[end..];
        let is_name = name.starts_with(|letter: char| letter.is_ascii_uppercase());
        let rest = name.trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit());
        if !is_name || rest.starts_with(is_of_word) {
            return 0;
        }
        end = text.len() - rest.len();
        let next = rest.strip_prefix(['⊕', ',']);
        match next {
            Some(next) if next.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
                end = text.len() - next.len();
            }
            _ => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_the_paper_have_their_letters_below_the_line() {
        let html = |text| symbol(text).to_string();
        assert_eq!(html("m_A⊕B"), "<bdi>m<sub>A⊕B</sub></bdi>");
        assert_eq!(
            html("LoRA on m_B, m_A1"),
            "<bdi>LoRA on m<sub>B</sub>, m<sub>A1</sub></bdi>"
        );
        assert_eq!(html("item_A m_a m_ m_Bx"), "<bdi>item_A m_a m_ m_Bx</bdi>");
        assert_eq!(html("D_A D_B"), "<bdi>D<sub>A</sub> D<sub>B</sub></bdi>");
        assert_eq!(
            html("<b>m_A</b>\u{202e}"),
            "<bdi>&lt;b&gt;m<sub>A</sub>&lt;&#x2f;b&gt;\\u{202e}</bdi>"
        );
        assert_eq!(html("m_A⊕b m_m_A"), "<bdi>m<sub>A</sub>⊕b m_m_A</bdi>");
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        let text = "é".repeat(LETTERS + 5);
        let shown = Shown::of(&text);
        assert_eq!(shown.text.chars().count(), LETTERS);
        assert_eq!(shown.behind.as_deref(), Some("5"));
        let shown = Shown::of_prompt(&text);
        assert_eq!(shown.text.chars().count(), OF_PROMPT);
        assert_eq!(shown.before.as_deref(), Some("1205"));
        for shown in [Shown::of("ab"), Shown::of_prompt("ab")] {
            assert_eq!((shown.before, shown.text, shown.behind), (None, "ab", None));
        }
    }
}
