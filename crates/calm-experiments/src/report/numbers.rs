//! Numbers for people, the same in every form of a report.

use calm_eval::tasks::TaskMetric;

use crate::table::Score;

/// Between thousands, and between a number and its unit: no line ends there.
const NARROW: char = '\u{202f}';
const MINUS: char = '\u{2212}';

/// A score or a difference with one digit after its point.
pub(super) fn points(value: f64) -> String {
    // No "-0.0".
    let text = format!("{value:.1}");
    match text.as_str() {
        "-0.0" => "0.0".to_owned(),
        _ => text.replace('-', &MINUS.to_string()),
    }
}

/// A difference with its sign.
pub(super) fn signed(value: f64) -> String {
    let text = points(value);
    match text.starts_with(MINUS) || text == "0.0" || value.is_nan() {
        true => text,
        false => format!("+{text}"),
    }
}

/// `93.5 ± 0.9`, or the mean of one seed alone.
pub(super) fn mean(score: &Score) -> String {
    let mean = points(score.spread.mean);
    match score.spread.seeds {
        0 | 1 => mean,
        _ => format!("{mean} ± {:.1}", score.spread.deviation),
    }
}

/// `[92.6, 94.3]`
pub(super) fn interval([low, high]: [f64; 2]) -> String {
    format!("[{}, {}]", points(low), points(high))
}

/// `93.5 ± 0.9 [92.6, 94.3]`, or a dash for a system that was not evaluated.
pub(super) fn score(score: Option<&Score>) -> String {
    let Some(score) = score else {
        return "–".to_owned();
    };
    match score.interval_95 {
        Some(bounds) => format!("{} {}", mean(score), interval(bounds)),
        None => mean(score),
    }
}

/// `22 (17)`: languages won, and won beyond chance; or a dash where nothing was compared.
pub(super) fn wins(wins: Option<[usize; 2]>) -> String {
    wins.map_or_else(
        || "–".to_owned(),
        |[won, beyond]| format!("{won} ({beyond})"),
    )
}

/// A mark and a word for what was reached.
pub(super) fn reached(is_reached: Option<bool>) -> [&'static str; 2] {
    match is_reached {
        Some(true) => ["✓", "reached"],
        Some(false) => ["✗", "not reached"],
        None => ["–", "not measured"],
    }
}

/// An interval of a difference.
pub(super) fn signed_interval([low, high]: [f64; 2]) -> String {
    format!("[{}, {}]", signed(low), signed(high))
}

/// A p-value with two digits that count.
pub(super) fn p_value(p: f64) -> String {
    match p {
        ..0.0001 => "< 0.0001".to_owned(),
        ..0.001 => format!("{p:.4}"),
        ..0.1 => format!("{p:.3}"),
        _ => format!("{p:.2}"),
    }
}

/// A whole number, its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(NARROW);
        }
        text.push(digit);
    }
    text
}

/// `1.31 × 10¹⁵`
pub(super) fn power(value: f64) -> String {
    if !value.is_finite() || value <= 0.0 {
        return value.to_string();
    }
    let text = format!("{value:.2e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let raised = exponent.chars().map(|digit| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    });
    let raised: String = raised.collect();
    format!("{digits} × 10{raised}")
}

/// `7.4 s`, `3 min 42 s`, `2 h 05 min`
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value < 9.95 {
        return format!("{value:.1}{NARROW}s");
    }
    let whole = value.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{NARROW}s"),
        (0, _) => format!("{minutes}{NARROW}min {seconds:02}{NARROW}s"),
        _ => format!("{}{NARROW}h {minutes:02}{NARROW}min", count(hours)),
    }
}

/// `393 MiB`
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match (unit, value) {
        (0, _) => 0,
        (_, ..9.995) => 2,
        (_, ..99.95) => 1,
        _ => 0,
    };
    format!("{value:.digits$}{NARROW}{}", UNITS[unit])
}

/// Name of a metric.
pub(super) fn metric(metric: TaskMetric) -> &'static str {
    match metric {
        TaskMetric::ExactMatch => "Exact match",
        TaskMetric::Chrf1 => "chrF1",
        TaskMetric::Chrf2 => "chrF2",
        TaskMetric::ChrfPlusPlus => "chrF++",
        TaskMetric::Bleu => "BLEU",
        TaskMetric::PassAt1 => "pass@1",
    }
}

/// The first letters of a hash, enough to tell two apart.
pub(super) fn hash(text: &str) -> String {
    text.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use calm_eval::Spread;

    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(points(-0.04), "0.0");
        assert_eq!(points(-1.25), "\u{2212}1.2");
        assert_eq!(
            (signed(93.44), signed(0.01)),
            ("+93.4".into(), "0.0".into())
        );
        assert_eq!(signed_interval([-1.0, 2.0]), "[\u{2212}1.0, +2.0]");
        assert_eq!(
            [0.0, 0.00056, 0.0123, 0.7].map(p_value),
            ["< 0.0001", "0.0006", "0.012", "0.70"]
        );
        assert_eq!(
            [0, 9999, 10_000, 329_216, 1_000_000].map(count),
            [
                "0",
                "9999",
                "10\u{202f}000",
                "329\u{202f}216",
                "1\u{202f}000\u{202f}000"
            ]
        );
        assert_eq!(power(1.314e15), "1.31 × 10¹⁵");
        assert_eq!(
            [7.42, 59.6, 222.0, 7500.0].map(seconds),
            [
                "7.4\u{202f}s",
                "1\u{202f}min 00\u{202f}s",
                "3\u{202f}min 42\u{202f}s",
                "2\u{202f}h 05\u{202f}min"
            ]
        );
        assert_eq!(
            [5, 1 << 20, 412_000_000].map(bytes),
            ["5\u{202f}B", "1.00\u{202f}MiB", "393\u{202f}MiB"]
        );
    }

    #[test]
    fn one_seed_has_no_deviation() {
        let score = |figures: &[f64]| Score {
            spread: Spread::of(figures).unwrap(),
            interval_95: None,
            n: 10,
        };
        assert_eq!(mean(&score(&[50.0])), "50.0");
        assert_eq!(mean(&score(&[50.0, 52.0])), "51.0 ± 1.4");
    }
}
