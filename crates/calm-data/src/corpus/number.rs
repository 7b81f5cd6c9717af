//! Numbers in texts, such as the answers of word problems.
//!
//! [`strict_number`] reads the line `#### N` that answers of GSM8K end in; [`last_number`] reads the
//! last number of any text. Numbers are compared by value, digit for digit: `1,234.50`, `$1 234.5`
//! and `१२३४.५` are one [`Number`].

use std::fmt;
use std::str::FromStr;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Mark before the answer of GSM8K.
const MARK: &str = "####";

/// Hyphen, minus sign, small hyphen-minus, full-width hyphen-minus, en dash.
const MINUS: [char; 5] = ['-', '\u{2212}', '\u{fe63}', '\u{ff0d}', '\u{2013}'];

/// Separators of groups that never separate decimals: no-break, thin and narrow spaces, apostrophes,
/// the Arabic separator.
const GROUP_ONLY: [char; 7] = [
    '\u{a0}', '\u{2009}', '\u{202f}', '\'', '\u{2019}', '\u{66c}', '\u{ff0c}',
];

/// The Arabic decimal separator.
const ARABIC_DECIMAL: char = '\u{66b}';

/// A decimal number in canonical form: no leading or trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(String);

impl Number {
    fn new(is_negative: bool, whole: &str, fraction: &str) -> Self {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let sign =
            ["", "-"][usize::from(is_negative && !(whole.is_empty() && fraction.is_empty()))];
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = ["", "."][usize::from(!fraction.is_empty())];
        Self(format!("{sign}{whole}{point}{fraction}"))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no number")]
pub struct NotANumber;

impl FromStr for Number {
    type Err = NotANumber;

    /// Parses a text that is one number, besides spaces, signs of currencies and `%`.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let letters: Vec<char> = text.chars().collect();
        let found = numbers(&letters);
        let [(start, end, number)] = &found[..] else {
            return Err(NotANumber);
        };
        let is_beside = |c: &char| c.is_whitespace() || *c == '%' || is_currency(*c);
        let beside = letters[..*start].iter().chain(&letters[*end..]);
        match beside.copied().all(|c| is_beside(&c)) {
            true => Ok(number.clone()),
            false => Err(NotANumber),
        }
    }
}

/// The number behind the first `####` of a text, up to the end of its line. `None` without such a
/// line, or if it holds anything else.
///
/// ```
/// use calm_data::corpus::number::strict_number;
///
/// let number = strict_number("3 * 4 = <<3*4=12>>12\n#### 1,012").expect("it has a mark");
/// assert_eq!(number.to_string(), "1012");
/// assert_eq!(strict_number("It is 12."), None);
/// ```
pub fn strict_number(text: &str) -> Option<Number> {
    let (_, behind) = text.split_once(MARK)?;
    let line = behind.split('\n').next()?;
    line.trim().trim_end_matches('.').parse().ok()
}

/// The last number of a text.
///
/// Commas, points (if there are several), apostrophes and no-break spaces may separate groups of
/// thousands, also as in India (`1,00,000`). A single point separates decimals, and so does a comma
/// that is not followed by three digits. Digits of every script count. A minus sign counts if neither
/// a digit nor a letter stands before it: `10-5` ends with 5, `-$5` with -5. Signs of currencies and
/// of percent do not change the number.
///
/// ```
/// use calm_data::corpus::number::last_number;
///
/// let last = |text| last_number(text).map(|number| number.to_string());
/// assert_eq!(last("Of 12, he sold half: \u{2212}$1,006.50."), Some("-1006.5".to_owned()));
/// assert_eq!(last("None."), None);
/// ```
pub fn last_number(text: &str) -> Option<Number> {
    let letters: Vec<char> = text.chars().collect();
    numbers(&letters).pop().map(|(_, _, number)| number)
}

/// All numbers, with their first and their past-the-end letter.
fn numbers(letters: &[char]) -> Vec<(usize, usize, Number)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        if digit(letters[at]).is_none() {
            at += 1;
            continue;
        }
        // `.5`, but not the second part of `1..5` or a version.
        let is_fraction = at > 0
            && letters[at - 1] == '.'
            && !letters[..at - 1]
                .last()
                .is_some_and(|&c| digit(c).is_some() || c == '.');
        let (end, whole, fraction) = match is_fraction {
            true => {
                let end = run(letters, at);
                (end, String::new(), digits(&letters[at..end]))
            }
            false => digits_with_marks(letters, at),
        };
        let start = at - usize::from(is_fraction);
        let (start, is_negative) = sign(letters, start);
        found.push((start, end, Number::new(is_negative, &whole, &fraction)));
        at = end;
    }
    found
}

/// Start of a number with its sign, and whether it is negative.
fn sign(letters: &[char], start: usize) -> (usize, bool) {
    let mut at = start;
    // `-$5`, and `$-5` has its minus next to the digits.
    if at > 0 && is_currency(letters[at - 1]) {
        at -= 1;
    }
    match at.checked_sub(1) {
        Some(before) if MINUS.contains(&letters[before]) => {
            let is_operator = letters[..before]
                .last()
                .is_some_and(|c| c.is_alphanumeric() || *c == ')');
            if is_operator {
                (start, false)
            } else {
                (before, true)
            }
        }
        Some(before) if letters[before] == '+' => (before, false),
        _ => (start, false),
    }
}

/// End, whole part and fraction of the number that starts here.
fn digits_with_marks(letters: &[char], start: usize) -> (usize, String, String) {
    let first = start..run(letters, start);
    let mut parts = vec![first];
    let mut marks = Vec::new();
    while let Some((mark, part)) = next_part(letters, parts[parts.len() - 1].end) {
        marks.push(mark);
        parts.push(part);
    }
    let text = |part: &std::ops::Range<usize>| digits(&letters[part.clone()]);
    let groups = 1 + groups(&marks, &parts);
    let whole: String = parts[..groups].iter().map(text).collect();
    let decimal = marks.get(groups - 1).copied().filter(|&mark| {
        let is_next_point = groups == 1 || mark != marks[0];
        is_next_point && matches!(mark, '.' | ',' | ARABIC_DECIMAL)
    });
    match decimal {
        Some(_) => (parts[groups].end, whole, text(&parts[groups])),
        None => (parts[groups - 1].end, whole, String::new()),
    }
}

/// Number of parts after the first that are groups of thousands.
fn groups(marks: &[char], parts: &[std::ops::Range<usize>]) -> usize {
    let Some(&mark) = marks.first() else { return 0 };
    let is_group_mark = mark == ',' || mark == '.' || GROUP_ONLY.contains(&mark);
    if !is_group_mark || parts[0].len() > 3 {
        return 0;
    }
    let same = marks.iter().take_while(|&&other| other == mark).count();
    // The last group has three digits; those before have three, or two in India.
    let fits = |count: usize| {
        let inner = &parts[1..count];
        parts[count].len() == 3
            && (inner.iter().all(|part| part.len() == 3)
                || (mark == ',' && parts[0].len() <= 2 && inner.iter().all(|part| part.len() == 2)))
    };
    match (1..=same).rev().find(|&count| fits(count)) {
        // A single point separates decimals.
        Some(1) if mark == '.' => 0,
        Some(count) => count,
        None => 0,
    }
}

/// A separator and the digits right behind it.
fn next_part(letters: &[char], at: usize) -> Option<(char, std::ops::Range<usize>)> {
    let mark = *letters.get(at)?;
    let is_mark = matches!(mark, '.' | ',' | ARABIC_DECIMAL) || GROUP_ONLY.contains(&mark);
    let end = run(letters, at + 1);
    (is_mark && end > at + 1).then_some((mark, at + 1..end))
}

/// End of the digits that start here.
fn run(letters: &[char], start: usize) -> usize {
    let rest = letters.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|&&c| digit(c).is_some()).count()
}

fn digits(letters: &[char]) -> String {
    letters
        .iter()
        .filter_map(|&c| digit(c))
        .map(|value| char::from(b'0' + value))
        .collect()
}

/// Value of a digit of any script.
fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let is_digit = |code: u32| {
        let c = char::from_u32(code);
        c.is_some_and(|c| c.general_category() == GeneralCategory::DecimalNumber)
    };
    let code = u32::from(c);
    if !is_digit(code) {
        return None;
    }
    // Ten digits stand in order; mathematical digits are five such rows in a row.
    let before = (1..50)
        .take_while(|&distance| is_digit(code - distance))
        .count();
    Some((before % 10) as u8)
}

fn is_currency(c: char) -> bool {
    c.general_category() == GeneralCategory::CurrencySymbol
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str) -> String {
        last_number(text).map_or("none".to_owned(), |number| number.to_string())
    }

    #[test]
    fn the_last_number_of_a_text() {
        for (text, expected) in [
            ("", "none"),
            ("no number", "none"),
            ("7", "7"),
            ("The answer is 42.", "42"),
            ("3 apples and 4 pears", "4"),
            ("007", "7"),
            ("-0", "0"),
            ("0.50", "0.5"),
            ("costs .5", "0.5"),
            ("12,345", "12345"),
            ("12,345,678.90", "12345678.9"),
            ("1,00,000", "100000"),
            ("12,34,567", "1234567"),
            ("1.234.567", "1234567"),
            ("1.234.567,5", "1234567.5"),
            ("1.234", "1.234"),
            ("3,5", "3.5"),
            ("3,50 €", "3.5"),
            ("1, 2, 3", "3"),
            ("1'000'000", "1000000"),
            ("1\u{202f}000", "1000"),
            ("1\u{a0}234,5", "1234.5"),
            ("\u{2212}5", "-5"),
            ("is -5.", "-5"),
            ("-$5", "-5"),
            ("$-5", "-5"),
            ("10-5", "5"),
            ("(10)-5", "5"),
            ("x-5", "5"),
            ("10 - 5", "5"),
            ("= -5", "-5"),
            ("+5", "5"),
            ("50%", "50"),
            ("$1,234.50", "1234.5"),
            ("₹१,२३४", "1234"),
            ("٣٫٥", "3.5"),
            ("١٬٢٣٤", "1234"),
            ("౧౨", "12"),
            ("𝟘𝟙𝟡", "19"),
            ("１２", "12"),
            ("10:30", "30"),
            ("2/3", "3"),
        ] {
            assert_eq!(last(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_strict_form_asks_for_its_mark() {
        let strict = |text| strict_number(text).map(|number| number.to_string());
        assert_eq!(strict("a\n#### 1,234"), Some("1234".to_owned()));
        assert_eq!(strict("####-5\n\nQuestion: 6"), Some("-5".to_owned()));
        assert_eq!(strict("#### $18.00."), Some("18".to_owned()));
        assert_eq!(strict("#### 18 dollars"), None);
        assert_eq!(strict("#### \n18"), None);
        assert_eq!(strict("18"), None);
    }

    #[test]
    fn equal_values_are_equal_numbers() {
        let parse = |text: &str| text.parse::<Number>();
        assert_eq!(parse("2,125"), parse(" 2125.0 "));
        assert_eq!(parse("50 %"), parse("50"));
        for text in ["", "a", "1 2", "3-4", "5 apples"] {
            assert_eq!(parse(text), Err(NotANumber), "{text:?}");
        }
    }
}
