//! Numbers in texts, such as the answers of word problems.
//!
//! [`strict_number`] reads the line `#### N` that answers of GSM8K end in; [`last_number`] reads the
//! last number of any text, [`all_numbers`] every one. Numbers are compared by value, digit for digit: `1,234.50`, `$1 234.5`,
//! `1{,}234.5`, `1.2345 \times 10^3` and `१२३४.५` are one [`Number`].

mod plain;
mod scan;

use std::fmt;
use std::str::FromStr;

use plain::plain;
use scan::{is_currency, numbers};

/// Mark before the answer of GSM8K.
const MARK: &str = "####";

/// A number in canonical form: a decimal without leading or trailing zeros, or, for fractions of LaTeX
/// that have no end as a decimal, two whole numbers without a common factor, such as `1/3`.
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

    /// The number with its decimal point moved to the right, or to the left if `places` is negative.
    fn shifted(is_negative: bool, whole: &str, fraction: &str, places: i32) -> Self {
        let zeros = "0".repeat(places.unsigned_abs() as usize);
        let digits = match places < 0 {
            true => format!("{zeros}{whole}{fraction}"),
            false => format!("{whole}{fraction}{zeros}"),
        };
        let point = match places < 0 {
            true => whole.len(),
            false => whole.len() + zeros.len(),
        };
        Self::new(is_negative, &digits[..point], &digits[point..])
    }

    fn negated(&self) -> Self {
        match self.0.strip_prefix('-') {
            Some(positive) => Self(positive.to_owned()),
            None if self.0 == "0" => self.clone(),
            None => Self(format!("-{}", self.0)),
        }
    }

    /// The quotient of two numbers of at most 15 digits each.
    fn quotient(&self, divisor: &Self) -> Option<Self> {
        let [(above, down), (below, up)] = [self.integer()?, divisor.integer()?];
        let (above, below) = (above * 10_i128.pow(up), below * 10_i128.pow(down));
        let common = gcd(above.unsigned_abs(), below.unsigned_abs());
        if below == 0 || common == 0 {
            return (below != 0).then(|| Self::new(false, "0", ""));
        }
        let is_negative = (above < 0) != (below < 0);
        let (above, below) = (above.unsigned_abs() / common, below.unsigned_abs() / common);
        // A denominator of twos and fives divides a power of ten.
        for places in 0..=45_usize {
            let Some(scaled) = 10_u128
                .checked_pow(places as u32)
                .and_then(|by| above.checked_mul(by))
            else {
                break;
            };
            if scaled % below == 0 {
                let digits = format!("{:0>width$}", scaled / below, width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                return Some(Self::new(is_negative, whole, fraction));
            }
        }
        let sign = ["", "-"][usize::from(is_negative)];
        Some(Self(format!("{sign}{above}/{below}")))
    }

    /// A whole number, and how many of its last digits are decimals. `None` if it has more than 15 digits.
    fn integer(&self) -> Option<(i128, u32)> {
        let digits = self.0.replace('.', "");
        let decimals = self
            .0
            .split_once('.')
            .map_or(0, |(_, fraction)| fraction.len());
        let is_short = digits.trim_start_matches('-').len() <= 15;
        let integer = digits.parse().ok().filter(|_| is_short)?;
        Some((integer, decimals as u32))
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
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

    /// Parses a text that is one number, besides spaces, braces, signs of currencies and `%`.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let letters = plain(text);
        let found = numbers(&letters);
        let [(start, end, number)] = &found[..] else {
            return Err(NotANumber);
        };
        let is_beside =
            |c: &char| c.is_whitespace() || matches!(c, '%' | '{' | '}') || is_currency(*c);
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
/// Commas, points (if there are several), apostrophes, underscores and single spaces may separate
/// groups of thousands, also as in India (`1,00,000`). A single point separates decimals, and so does a
/// comma that is not followed by three digits, or that follows a 0. Digits of every script count. A
/// minus sign counts if neither a digit nor a letter stands before it: `10-5` ends with 5, `-$5` with
/// -5. Signs of currencies and of percent do not change the number.
///
/// Formulas are read as what they mean: `4{,}500` and `4\,500` are 4500, `1.5 \times 10^{3}` and
/// `1.5e3` are 1500, `2^3` is 8, `\frac{3}{4}` is 0.75, and `25 \text{ cm}^2` ends with 25.
///
/// ```
/// use calm_data::corpus::number::last_number;
///
/// let last = |text| last_number(text).map(|number| number.to_string());
/// assert_eq!(last("Of 12, he sold half: \u{2212}$1,006.50."), Some("-1006.5".to_owned()));
/// assert_eq!(last("None."), None);
/// ```
pub fn last_number(text: &str) -> Option<Number> {
    numbers(&plain(text)).pop().map(|(_, _, number)| number)
}

/// All numbers of a text in their order, each as [`last_number`] reads it.
///
/// ```
/// use calm_data::corpus::number::all_numbers;
///
/// let numbers = all_numbers("1,250 of 3.50 or -7");
/// assert_eq!(numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1250", "3.5", "-7"]);
/// ```
pub fn all_numbers(text: &str) -> Vec<Number> {
    // Most texts have none.
    match text.contains(char::is_numeric) {
        true => numbers(&plain(text))
            .into_iter()
            .map(|(_, _, number)| number)
            .collect(),
        false => Vec::new(),
    }
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
            ("1.234,50", "1234.5"),
            ("1.5,2.5", "2.5"),
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
            ("1 000", "1000"),
            ("2 000 000 km", "2000000"),
            ("1 000,50", "1000.5"),
            ("12 34", "34"),
            ("555 123 4567", "4567"),
            ("in 2020 100 came", "100"),
            ("0,500", "0.5"),
            ("0 500", "500"),
            ("1_000_000", "1000000"),
            ("1\u{2bc}000", "1000"),
            ("1\u{2007}000", "1000"),
            ("1\u{200b},250", "1250"),
            ("\u{200f}\u{2212}7", "-7"),
            ("１，２３４．５", "1234.5"),
            ("۱٬۲۳۴٫۵", "1234.5"),
            ("100~200", "200"),
        ] {
            assert_eq!(last(text), expected, "{text:?}");
        }
    }

    #[test]
    fn formulas_are_read_as_what_they_mean() {
        for (text, expected) in [
            (r"\boxed{$8{,}250}", "8250"),
            (r"\boxed{\text{7{,}000}}.", "7000"),
            (r"\[ 3 \times 1{,}500 = 4{,}500 \]", "4500"),
            (r"\(\$1\,250\)", "1250"),
            (r"$1\!,\!250$", "1250"),
            (r"$2\;000\:000$ m", "2000000"),
            (r"\(12~500\)", "12500"),
            (r"$1~250$", "1250"),
            (r"1{\,}000", "1000"),
            (r"1\text{,}000", "1000"),
            (r"1\ 000\,\text{kg}", "1000"),
            (r"1{,}00{,}000", "100000"),
            (r"3{,}5", "3.5"),
            (r"-\$5{,}000", "-5000"),
            (r"12\%", "12"),
            (r"5\quad 100", "100"),
            (r"25 \text{ cm}^2", "25"),
            (r"25\,\mathrm{m}^{2}", "25"),
            ("9 m^2", "9"),
            ("1e5", "100000"),
            ("1.5E+3", "1500"),
            ("2.5e-3.", "0.0025"),
            ("3e8f", "8"),
            ("1.5×10^3", "1500"),
            ("1.5 x 10^3", "1500"),
            (r"1.5 \times 10^{3}", "1500"),
            (r"-2 \cdot 10^{-2}", "-0.02"),
            ("6·10²", "600"),
            ("7×10⁻¹", "0.7"),
            ("3 × 10", "10"),
            ("10^6", "1000000"),
            (r"10^{3}", "1000"),
            ("2^10", "1024"),
            ("2^-1", "2"),
            ("10^99999", "10"),
            (r"\frac{3}{4}", "0.75"),
            (r"\dfrac{-1}{3}", "-1/3"),
            (r"-\frac{2}{6}", "-1/3"),
            (r"\frac{1{,}000}{8}", "125"),
            (r"2\frac{1}{2}", "2.5"),
            (r"-2\frac{1}{2}", "-2.5"),
            (r"\frac{x}{4}", "4"),
            (r"\frac{1}{0}", "0"),
            (r"\frac12", "12"),
        ] {
            assert_eq!(last(text), expected, "{text:?}");
        }
        let strict = |text| strict_number(text).map(|number| number.to_string());
        assert_eq!(strict(r"#### \boxed{1{,}250}"), Some("1250".to_owned()));
        assert_eq!(strict(r"#### \(\$1\,250\)."), Some("1250".to_owned()));
        assert_eq!(strict("#### 1 250"), Some("1250".to_owned()));
    }

    #[test]
    fn hostile_texts_take_no_time() {
        for part in [
            r"\frac{",
            "1 ",
            "{,}",
            "9^",
            "1e",
            r"\frac{1}{",
            "1,000,",
            "(10^{",
        ] {
            let text = part.repeat(200_000 / part.len());
            let _ = last_number(&text);
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
