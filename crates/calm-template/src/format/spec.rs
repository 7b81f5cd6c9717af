//! Values in a width, with a precision: `>8.3f`.

use crate::budget::Budget;
use crate::error::{Outcome, fail};
use crate::repr;
use crate::value::Value;

/// A double has no more digits behind its point.
const MOST_DECIMALS: usize = 1100;

#[derive(Debug, Clone, Default)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    pub(super) align: Option<char>,
    /// `+`, `-` or a space.
    pub(super) sign: Option<char>,
    /// `#`
    pub(super) is_alternate: bool,
    /// Zeros behind the sign.
    pub(super) has_zeros: bool,
    pub(super) width: usize,
    /// `,` or `_` between groups of digits.
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

impl Spec {
    /// Reads `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let letters: Vec<char> = text.chars().collect();
        let mut spec = Self::default();
        let is_align = |at: usize| {
            letters
                .get(at)
                .is_some_and(|c| matches!(c, '<' | '>' | '=' | '^'))
        };
        let mut at = 0;
        if is_align(1) {
            (spec.fill, spec.align) = (Some(letters[0]), Some(letters[1]));
            at = 2;
        } else if is_align(0) {
            spec.align = Some(letters[0]);
            at = 1;
        }
        let mut take = |wanted: &[char]| {
            let found = letters.get(at).copied().filter(|c| wanted.contains(c));
            at += usize::from(found.is_some());
            found
        };
        spec.sign = take(&['+', '-', ' ']);
        take(&['z']);
        spec.is_alternate = take(&['#']).is_some();
        spec.has_zeros = take(&['0']).is_some();
        spec.width = number(&letters, &mut at).unwrap_or(0);
        let mut take = |wanted: &[char]| {
            let found = letters.get(at).copied().filter(|c| wanted.contains(c));
            at += usize::from(found.is_some());
            found
        };
        spec.grouping = take(&[',', '_']);
        if take(&['.']).is_some() {
            spec.precision = number(&letters, &mut at);
            if spec.precision.is_none() {
                return fail("Format specifier missing precision");
            }
        }
        spec.kind = letters.get(at).copied();
        match letters.len() > at + 1 {
            true => fail(format!("Invalid format specifier '{text}'")),
            false => Ok(spec),
        }
    }

    /// `format(value, spec)`
    pub(super) fn apply(&self, value: &Value, budget: &Budget) -> Outcome<String> {
        budget.text(self.width)?;
        match value {
            Value::Str(text) => self.text(text, budget),
            Value::Float(number) => self.float(*number, budget),
            Value::Bool(_) if self.kind.is_none() && self.width == 0 => repr::text(value, budget),
            _ => match value.as_int() {
                Some(whole) => self.whole(whole, budget),
                None => fail(format!(
                    "unsupported format string passed to {}.__format__",
                    value.type_name()
                )),
            },
        }
    }

    fn unknown<T>(&self, of: &str) -> Outcome<T> {
        let kind = self.kind.unwrap_or_default();
        fail(format!(
            "Unknown format code '{kind}' for object of type '{of}'"
        ))
    }

    fn text(&self, text: &str, budget: &Budget) -> Outcome<String> {
        budget.text(text.len())?;
        if !matches!(self.kind, None | Some('s')) {
            return self.unknown("str");
        }
        if let Some(mark) = self.grouping {
            return fail(format!("Cannot specify '{mark}' with 's'."));
        }
        if self.align == Some('=') {
            return fail("'=' alignment not allowed in string format specifier");
        }
        let cut = self.precision.unwrap_or(usize::MAX);
        let text: String = text.chars().take(cut).collect();
        let fill = self.fill.unwrap_or(if self.has_zeros { '0' } else { ' ' });
        Ok(padded(&text, self.width, fill, self.align.unwrap_or('<')))
    }

    pub(super) fn whole(&self, value: i128, budget: &Budget) -> Outcome<String> {
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match self.kind {
            None | Some('d' | 'n') => ("", magnitude.to_string()),
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('c') => {
                let c = u32::try_from(value).ok().and_then(char::from_u32);
                let Some(c) = c else {
                    return fail("%c arg not in range(0x110000)");
                };
                let fill = self.fill.unwrap_or(' ');
                return Ok(padded(
                    &c.to_string(),
                    self.width,
                    fill,
                    self.align.unwrap_or('<'),
                ));
            }
            Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => {
                return self.float(value as f64, budget);
            }
            Some(_) => return self.unknown("int"),
        };
        if self.precision.is_some() {
            return fail("Precision not allowed in integer format specifier");
        }
        let group = if matches!(self.kind, None | Some('d' | 'n')) {
            3
        } else {
            4
        };
        let prefix = if self.is_alternate { prefix } else { "" };
        Ok(self.signed(value < 0, prefix, &digits, "", group))
    }

    pub(super) fn float(&self, value: f64, budget: &Budget) -> Outcome<String> {
        let precision = self.precision.unwrap_or(6);
        budget.text(precision)?;
        let magnitude = value.abs();
        let is_negative = value.is_sign_negative() && !value.is_nan();
        let text = match self.kind {
            _ if !value.is_finite() => repr::float(magnitude),
            Some('f' | 'F') => fixed(magnitude, precision),
            Some('%') => fixed(magnitude * 100.0, precision) + "%",
            Some('e' | 'E') => scientific(magnitude, precision),
            Some('g' | 'G' | 'n') => general(magnitude, precision, self.is_alternate),
            None => match self.precision {
                None => repr::float(magnitude),
                Some(precision) => shortest(magnitude, precision),
            },
            Some(_) => return self.unknown("float"),
        };
        let is_upper = self.kind.is_some_and(|kind| kind.is_ascii_uppercase());
        let text = if is_upper { text.to_uppercase() } else { text };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (whole, rest) = text.split_at(digits);
        Ok(self.signed(is_negative, "", whole, rest, 3))
    }

    /// A number in its width: sign, prefix, digits in groups, and what follows them.
    fn signed(
        &self,
        is_negative: bool,
        prefix: &str,
        digits: &str,
        rest: &str,
        group: usize,
    ) -> String {
        let sign = match (is_negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let is_filled = self.has_zeros && self.align.is_none() || self.align == Some('=');
        let fill = self.fill.unwrap_or(if self.has_zeros { '0' } else { ' ' });
        let outer = sign.len() + prefix.len() + rest.chars().count();
        let wanted = self.width.saturating_sub(outer);
        let mut digits = digits.to_owned();
        if let Some(mark) = self.grouping {
            if is_filled && fill == '0' {
                // Zeros are digits of groups, too.
                while grouped(&format!("0{digits}"), mark, group).chars().count() <= wanted {
                    digits.insert(0, '0');
                }
            }
            digits = grouped(&digits, mark, group);
        }
        if is_filled {
            let missing = wanted.saturating_sub(digits.chars().count());
            let filling: String = std::iter::repeat_n(fill, missing).collect();
            return format!("{sign}{prefix}{filling}{digits}{rest}");
        }
        let text = format!("{sign}{prefix}{digits}{rest}");
        padded(&text, self.width, fill, self.align.unwrap_or('>'))
    }
}

fn number(letters: &[char], at: &mut usize) -> Option<usize> {
    let digits: String = letters[*at..]
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .collect();
    *at += digits.len();
    match digits.is_empty() {
        true => None,
        false => Some(digits.parse().unwrap_or(usize::MAX)),
    }
}

/// A text in a width, which has been paid for.
pub(crate) fn padded(text: &str, width: usize, fill: char, align: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = match align {
        '<' => 0,
        '^' => missing / 2,
        _ => missing,
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    let text = fill(left).chain(text.chars());
    text.chain(fill(missing - left)).collect()
}

fn grouped(digits: &str, mark: char, group: usize) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(group) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

pub(crate) fn fixed(value: f64, precision: usize) -> String {
    let shown = precision.min(MOST_DECIMALS);
    let text = format!("{value:.shown$}");
    let point = if shown == 0 && precision > 0 { "." } else { "" };
    text + point + &"0".repeat(precision - shown)
}

fn scientific(value: f64, precision: usize) -> String {
    let shown = precision.min(MOST_DECIMALS);
    let text = format!("{value:.shown$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    let zeros = "0".repeat(precision - shown);
    format!("{mantissa}{zeros}e{sign}{:02}", exponent.abs())
}

fn exponent_of(scientific: &str) -> i32 {
    let exponent = scientific.split_once('e').map(|(_, exponent)| exponent);
    exponent
        .and_then(|exponent| exponent.parse().ok())
        .unwrap_or_default()
}

fn without_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// So many significant digits.
fn general(value: f64, precision: usize, keeps_zeros: bool) -> String {
    let digits = precision.clamp(1, MOST_DECIMALS);
    let text = scientific(value, digits - 1);
    let exponent = exponent_of(&text);
    if exponent < -4 || exponent >= digits as i32 {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, ""));
        let mantissa = if keeps_zeros {
            mantissa
        } else {
            without_zeros(mantissa)
        };
        return format!("{mantissa}e{exponent}");
    }
    let text = fixed(value, (digits as i32 - 1 - exponent).max(0) as usize);
    if keeps_zeros {
        text
    } else {
        without_zeros(&text).to_owned()
    }
}

/// The same, but never without a point.
fn shortest(value: f64, precision: usize) -> String {
    let digits = precision.clamp(1, MOST_DECIMALS);
    let exponent = exponent_of(&scientific(value, digits - 1));
    let text = general(value, precision, false);
    if exponent == digits as i32 - 1 && !text.contains(['.', 'e']) {
        // Python keeps one digit behind the point, and has no room for it.
        let scientific = scientific(value, digits - 1);
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, ""));
        return format!("{}e{exponent}", without_zeros(mantissa));
    }
    if text.contains(['.', 'e']) {
        text
    } else {
        text + ".0"
    }
}
