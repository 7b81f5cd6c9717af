//! What "white space" and "lower case" mean to the metrics: what they mean in Python, in which the
//! field's scores are computed.

use std::borrow::Cow;

/// White space of Python: that of Unicode, and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The words between white space.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The text in lower case, if that is asked for.
pub(crate) fn cased(text: &str, lowercase: bool) -> Cow<'_, str> {
    match lowercase {
        true => Cow::Owned(text.to_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// How signatures tell it.
pub(crate) fn case_name(lowercase: bool) -> &'static str {
    if lowercase { "lc" } else { "mixed" }
}
