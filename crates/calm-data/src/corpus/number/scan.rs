//! The numbers of a plain text.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::Number;
use super::plain::{FRACTION, THIN_SPACE};

/// Hyphen, minus sign, small hyphen-minus, full-width hyphen-minus, en dash.
const MINUS: [char; 5] = ['-', '\u{2212}', '\u{fe63}', '\u{ff0d}', '\u{2013}'];

/// Signs of a product, before a power of ten.
const TIMES: [char; 7] = ['×', '·', '⋅', '∙', '*', 'x', 'X'];

/// The Arabic decimal separator.
const ARABIC_DECIMAL: char = '\u{66b}';

/// Digits of an exponent. A number has at most a thousand.
const LONGEST_EXPONENT: usize = 3;

/// Characters of a numerator or denominator.
const LONGEST_PART: usize = 40;

/// All numbers of a plain text, with their first and their past-the-end letter.
pub(super) fn numbers(letters: &[char]) -> Vec<(usize, usize, Number)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        if letters[at] == FRACTION
            && let Some((start, end, number)) = quotient(letters, at, found.last())
        {
            if found.last().is_some_and(|&(_, end, _)| end == at) {
                found.pop();
            }
            found.push((start, end, number));
            at = end;
            continue;
        }
        if digit(letters[at]).is_none() {
            at += 1;
            continue;
        }
        if is_exponent(letters, at) {
            at = run(letters, at);
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
        let (end, number) = raised(letters, end, is_negative, &whole, &fraction);
        found.push((start, end, number));
        at = end;
    }
    found
}

/// End and value of a number with the power that follows it: `1e5`, `1.5 × 10^3`, `10^3`, `2^3`.
fn raised(
    letters: &[char],
    end: usize,
    is_negative: bool,
    whole: &str,
    fraction: &str,
) -> (usize, Number) {
    if let Some((end, places)) = exponent(letters, end).or_else(|| power_of_ten(letters, end)) {
        return (end, Number::shifted(is_negative, whole, fraction, places));
    }
    let number = Number::new(is_negative, whole, fraction);
    let Some((behind, power)) = power(letters, end).filter(|_| fraction.is_empty()) else {
        return (end, number);
    };
    let raised = match (whole, u32::try_from(power)) {
        ("10", _) => return (behind, Number::shifted(is_negative, "1", "", power)),
        (_, Ok(power)) => whole
            .parse()
            .ok()
            .and_then(|base: u128| base.checked_pow(power)),
        _ => None,
    };
    match raised {
        Some(raised) => (behind, Number::new(is_negative, &raised.to_string(), "")),
        None => (end, number),
    }
}

/// The exponent of `1e5`, right behind the digits, and its end.
fn exponent(letters: &[char], at: usize) -> Option<(usize, i32)> {
    matches!(letters.get(at), Some('e' | 'E')).then_some(())?;
    let (end, places) = signed(letters, at + 1)?;
    let is_word = letters.get(end).is_some_and(|c| c.is_alphanumeric());
    (!is_word).then_some((end, places))
}

/// The exponent of `× 10^5` behind a number, and its end.
fn power_of_ten(letters: &[char], at: usize) -> Option<(usize, i32)> {
    let times = behind_spaces(letters, at);
    TIMES.contains(letters.get(times)?).then_some(())?;
    let ten = behind_spaces(letters, times + 1);
    let end = run(letters, ten);
    (digits(&letters[ten..end]) == "10").then_some(())?;
    power(letters, end)
}

/// The exponent of `^3`, `^{3}`, `^(3)` or `³`, and its end.
fn power(letters: &[char], at: usize) -> Option<(usize, i32)> {
    let superscripts = letters.get(at..)?.iter().map_while(|&c| superscript(c));
    let raised: Vec<char> = superscripts.take(LONGEST_EXPONENT + 2).collect();
    if !raised.is_empty() {
        let (end, value) = signed(&raised, 0)?;
        return (end == raised.len()).then_some((at + end, value));
    }
    (*letters.get(at)? == '^').then_some(())?;
    let open = behind_spaces(letters, at + 1);
    let close = match letters.get(open) {
        Some('{') => '}',
        Some('(') => ')',
        _ => return signed(letters, open),
    };
    let (end, value) = signed(letters, behind_spaces(letters, open + 1))?;
    let end = behind_spaces(letters, end);
    (*letters.get(end)? == close).then_some((end + 1, value))
}

/// A short whole number with or without its sign, and its end.
fn signed(letters: &[char], at: usize) -> Option<(usize, i32)> {
    let first = letters.get(at)?;
    let is_negative = MINUS.contains(first);
    let start = at + usize::from(is_negative || *first == '+');
    let end = run(letters, start);
    (1..=LONGEST_EXPONENT)
        .contains(&(end - start))
        .then_some(())?;
    let value: i32 = digits(&letters[start..end]).parse().ok()?;
    Some((end, if is_negative { -value } else { value }))
}

/// Whether these digits are the exponent of something that is no number: of a unit or a variable.
fn is_exponent(letters: &[char], at: usize) -> bool {
    let before = letters[..at].iter().rev();
    let mut before = before.skip_while(|c| matches!(c, '{' | '(' | ' ') || MINUS.contains(c));
    before.next() == Some(&'^')
}

/// A fraction of LaTeX as its value, with its first and its past-the-end letter. A whole number right
/// before it belongs to it.
fn quotient(
    letters: &[char],
    at: usize,
    before: Option<&(usize, usize, Number)>,
) -> Option<(usize, usize, Number)> {
    let (middle, above) = braced(letters, at + 1)?;
    let (end, below) = braced(letters, middle)?;
    let part = above.quotient(&below)?;
    if let Some((start, last, whole)) = before
        && *last == at
    {
        // -2 1/2 is -(2 + 1/2): the decimals of the one stand behind the other.
        let is_proper = part.0.starts_with("0.") && !whole.0.contains(['.', '/']);
        let mixed = || Number(format!("{}{}", whole.0, &part.0[1..]));
        return is_proper.then(|| (*start, end, mixed()));
    }
    let (start, is_negative) = sign(letters, at);
    let part = if is_negative { part.negated() } else { part };
    Some((start, end, part))
}

/// The number in the braces that begin here, and the end of the braces.
fn braced(letters: &[char], at: usize) -> Option<(usize, Number)> {
    let at = behind_spaces(letters, at);
    (*letters.get(at)? == '{').then_some(())?;
    let within = letters[at + 1..].iter().take(LONGEST_PART);
    let length = within
        .clone()
        .position(|&c| matches!(c, '}' | '{' | FRACTION))?;
    let end = at + 1 + length;
    (letters[end] == '}').then_some(())?;
    let found = numbers(&letters[at + 1..end]);
    let [(start, stop, number)] = &found[..] else {
        return None;
    };
    let is_all = behind_spaces(letters, at + 1) == at + 1 + start
        && behind_spaces(letters, at + 1 + stop) == end;
    is_all.then(|| (end + 1, number.clone()))
}

fn behind_spaces(letters: &[char], at: usize) -> usize {
    let rest = letters.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|c| matches!(**c, ' ' | THIN_SPACE))
        .count()
}

/// A superscript digit or sign as the plain one.
fn superscript(c: char) -> Option<char> {
    let at = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻".chars().position(|known| known == c)?;
    "0123456789+-".chars().nth(at)
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
    let groups = 1 + groups(&marks, &parts, digit(letters[start]) == Some(0));
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
fn groups(marks: &[char], parts: &[std::ops::Range<usize>], starts_with_zero: bool) -> usize {
    let Some(&mark) = marks.first() else { return 0 };
    let is_group_mark = mark == ',' || mark == '.' || is_group_only(mark);
    if !is_group_mark || parts[0].len() > 3 || starts_with_zero {
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
        // A single point separates decimals, unless a comma does that behind it.
        Some(1) if mark == '.' && marks.get(1) != Some(&',') => 0,
        // Numbers may follow each other behind spaces: all of them must fit.
        Some(count) if mark == ' ' && count < same => 0,
        Some(count) => count,
        None => 0,
    }
}

/// A separator and the digits right behind it.
fn next_part(letters: &[char], at: usize) -> Option<(char, std::ops::Range<usize>)> {
    let mark = *letters.get(at)?;
    let is_mark = matches!(mark, '.' | ',' | ARABIC_DECIMAL) || is_group_only(mark);
    let end = run(letters, at + 1);
    (is_mark && end > at + 1).then_some((mark, at + 1..end))
}

/// Whether this separates groups, and never decimals: spaces of one kind, apostrophes, underscores, and
/// the separators of the Arabic and of full-width scripts.
fn is_group_only(c: char) -> bool {
    let is_space = matches!(
        c,
        ' ' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}'
    );
    let is_apostrophe = matches!(c, '\'' | '\u{2019}' | '\u{2bc}' | '\u{ff07}');
    is_space || is_apostrophe || matches!(c, '_' | '\u{66c}' | '\u{60c}' | '\u{ff0c}')
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

pub(super) fn is_currency(c: char) -> bool {
    c.general_category() == GeneralCategory::CurrencySymbol
}
