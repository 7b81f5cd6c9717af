//! Numbers that both sides of a pair should have.

use std::collections::BTreeMap;

use crate::corpus::number::{Number, all_numbers};
use crate::corpus::{CorpusRecord, NumbersConfig, Step, Verdict};

/// Largest number that is often written as a word.
const SPELLED_OUT: u32 = 20;

/// Powers of ten that words such as thousand, lakh, million, crore and billion stand for.
const NAMED_POWERS: [i32; 6] = [3, 5, 6, 7, 9, 12];

/// Drops pairs of which too few numbers are on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Numbers(pub NumbersConfig);

/// Share of the numbers of two texts that both have; 1 if neither has any.
///
/// Numbers are compared by value, in whatever digits, without their signs. Numbers that are a named
/// power of ten apart are the same: "2 million" is "2 000 000", and the comma of one language's
/// thousands is another's point. Whole numbers up to 20 that one side has besides all of the other's
/// count for nothing, since the other may have them as words.
///
/// ```
/// use calm_data::cleaning::steps::number_agreement;
///
/// assert_eq!(number_agreement("1,234.5 km in 2019", "2019: १२३४.५ किमी"), 1.0);
/// assert_eq!(number_agreement("5 of 30", "five of 30"), 1.0);
/// assert_eq!(number_agreement("5 of 30", "6 of 30"), 0.5);
/// assert_eq!(number_agreement("10", "100"), 0.0);
/// ```
pub fn number_agreement(one: &str, other: &str) -> f64 {
    let [mut one, mut other] = [one, other].map(Counts::of);
    let mut same = one.take_common(&mut other, 0);
    for power in NAMED_POWERS {
        same += one.take_common(&mut other, power);
        same += one.take_common(&mut other, -power);
    }
    match [one.total(), other.total()] {
        [0, _] => other.drop_spelled_out(),
        [_, 0] => one.drop_spelled_out(),
        _ => {}
    }
    let differing = one.total().max(other.total());
    match same + differing {
        0 => 1.0,
        all => same as f64 / all as f64,
    }
}

/// A number without its sign: its digits from the first to the last that is not 0, and the power of
/// ten that they are multiplied with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Digits(String, i32);

impl Digits {
    fn of(number: &Number) -> Self {
        let text = number.to_string();
        let text = text.trim_start_matches('-');
        if text.contains('/') {
            return Self(text.to_owned(), 0);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}");
        let short = digits.trim_end_matches('0');
        let power = digits.len() - short.len();
        let short = short.trim_start_matches('0');
        match short {
            "" => Self(String::new(), 0),
            short => Self(short.to_owned(), power as i32 - fraction.len() as i32),
        }
    }

    fn is_spelled_out(&self) -> bool {
        let Self(digits, power) = self;
        let zeros = usize::try_from(*power).ok().filter(|zeros| *zeros < 2);
        let value = zeros.map(|zeros| format!("0{digits}{}", "0".repeat(zeros)));
        value
            .and_then(|value| value.parse::<u32>().ok())
            .is_some_and(|value| value <= SPELLED_OUT)
    }
}

/// How often each number stands in a text.
struct Counts(BTreeMap<Digits, usize>);

impl Counts {
    fn of(text: &str) -> Self {
        let mut counts = BTreeMap::new();
        for number in all_numbers(text) {
            *counts.entry(Digits::of(&number)).or_default() += 1;
        }
        Self(counts)
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Takes numbers of both texts out that are the same but for a power of ten, and counts them.
    fn take_common(&mut self, other: &mut Self, power: i32) -> usize {
        let mut taken = 0;
        for (number, count) in &mut self.0 {
            let wanted = Digits(number.0.clone(), number.1 + power);
            if let Some(others) = other.0.get_mut(&wanted) {
                let common = *count.min(others);
                *count -= common;
                *others -= common;
                taken += common;
            }
        }
        taken
    }

    fn drop_spelled_out(&mut self) {
        self.0.retain(|number, _| !number.is_spelled_out());
    }
}

impl Step for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let Some(target) = &record.target else {
            return Verdict::Keep;
        };
        match number_agreement(&record.source.text, &target.text) < self.0.agreement {
            true => Verdict::Drop("numbers differ".into()),
            false => Verdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (one, other, expected) in [
            ("", "none", 1.0),
            ("1.234,50 €", "€1,234.50", 1.0),
            ("1.234", "1,234", 1.0),
            ("1.500", "1,500", 1.0),
            ("20 lakh", "2 million", 0.0),
            ("20 lakh", "2,000,000", 1.0),
            ("in 2019", "in 2018", 0.0),
            ("12.5", "125", 0.0),
            ("-3", "minus 3", 1.0),
            ("3 men", "four men", 1.0),
            ("3 men", "4 men", 0.0),
            ("21 men", "twenty-one men", 0.0),
            ("20 men", "twenty men", 1.0),
            ("5 5", "5", 1.0),
            ("50 50", "50", 0.5),
            ("0", "zero", 1.0),
            ("\\frac{1}{3}", "\\frac{2}{6}", 1.0),
            ("٣٫٥", "3.5", 1.0),
        ] {
            assert_eq!(number_agreement(one, other), expected, "{one:?} {other:?}");
            assert_eq!(number_agreement(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn long_lists_take_no_time() {
        let list = |from: u32| {
            (from..from + 20_000)
                .map(|n| format!("{n}; "))
                .collect::<String>()
        };
        assert!(number_agreement(&list(100_000), &list(200_000)) < 0.1);
    }
}
