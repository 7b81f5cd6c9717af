//! White space and lower case as in Python, which computes the field's scores.

use std::borrow::Cow;

/// Python's white space: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Words between white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The text, in lower case if wanted.
pub(super) fn cased(text: &str, lowercase: bool) -> Cow<'_, str> {
    match lowercase {
        true => Cow::Owned(text.to_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// Name of the case in signatures.
pub(super) fn case_name(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}
