//! Texts as Python sees them.

use unicode_properties::{
    GeneralCategory as Category, GeneralCategoryGroup, UnicodeGeneralCategory,
};

/// Python's white space: Unicode's, and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

pub(crate) fn is_decimal(c: char) -> bool {
    c.general_category() == Category::DecimalNumber
}

pub(crate) fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(c,
            '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨' | '⑴'..='⑼' | '⒈'..='⒐'
            | '⓪' | '⓵'..='⓽' | '⓿' | '❶'..='❾' | '➀'..='➈' | '➊'..='➒' | '፩'..='፱')
}

pub(crate) fn is_numeric(c: char) -> bool {
    const HAN: &str = "〇一二三四五六七八九十百千万萬億亿兆零壹贰叁肆伍陆柒捌玖拾佰仟两";
    c.is_numeric() || HAN.contains(c)
}

pub(crate) fn is_alpha(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Letter
}

pub(crate) fn is_alnum(c: char) -> bool {
    is_alpha(c) || is_digit(c) || is_numeric(c)
}

/// Whether `repr` writes the character itself.
pub(crate) fn is_printable(c: char) -> bool {
    let hidden = matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator
    );
    c == ' ' || !hidden
}

fn is_title(c: char) -> bool {
    c.general_category() == Category::TitlecaseLetter
}

fn is_cased(c: char) -> bool {
    c.is_uppercase() || c.is_lowercase() || is_title(c)
}

/// Whether there are letters with case, all of which fit.
pub(crate) fn all_cased(text: &str, fits: impl Fn(char) -> bool) -> bool {
    let mut cased = text.chars().filter(|&c| is_cased(c)).peekable();
    cased.peek().is_some() && cased.all(fits)
}

pub(crate) fn is_titled(text: &str) -> bool {
    let (mut is_inside, mut has_word) = (false, false);
    for c in text.chars() {
        let is_start = c.is_uppercase() || is_title(c);
        if is_cased(c) && is_start == is_inside {
            return false;
        }
        is_inside = is_cased(c);
        has_word |= is_inside;
    }
    has_word
}

/// First letters of words in upper case, all others in lower case.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    for c in text.chars() {
        match is_inside {
            true => out.extend(c.to_lowercase()),
            false => out.push_str(&first_upper(c)),
        }
        is_inside = is_cased(c);
    }
    out
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map_or_else(String::new, first_upper);
    first + &letters.as_str().to_lowercase()
}

/// A letter at the beginning of a word. Of several letters, the others stay small: `ß` is `Ss`.
fn first_upper(c: char) -> String {
    // Letters of two characters have a form of their own for titles.
    if let Some(at) = "ǄǅǆǇǈǉǊǋǌǱǲǳ".chars().position(|known| known == c) {
        return "ǅǈǋǲ".chars().skip(at / 3).take(1).collect();
    }
    let mut upper = c.to_uppercase();
    let first = upper.next().into_iter();
    first.chain(upper.flat_map(char::to_lowercase)).collect()
}

pub(crate) fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_uppercase() => out.extend(c.to_lowercase()),
            c if c.is_lowercase() => out.extend(c.to_uppercase()),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn casefold(text: &str) -> String {
    text.replace(['ß', 'ẞ'], "ss")
        .to_lowercase()
        .replace('ς', "σ")
}

/// Lines with their ends, at all that Python takes for a line end.
pub(crate) fn lines(text: &str) -> Vec<(&str, &str)> {
    let mut lines = Vec::new();
    let mut rest = text;
    let is_end = |c: char| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let width = match rest[end..].starts_with("\r\n") {
            true => 2,
            false => rest[end..].chars().next().map_or(0, char::len_utf8),
        };
        lines.push((&rest[..end], &rest[end..end + width]));
        rest = &rest[end + width..];
    }
    lines
}

/// The five characters that HTML reserves, as `markupsafe` writes them.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}
