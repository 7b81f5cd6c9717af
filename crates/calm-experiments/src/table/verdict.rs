//! Sentences that follow from a test.

use super::Difference;

/// A p-value below it is significant.
pub(super) const LEVEL: f64 = 0.05;

/// The outcome of the test of a system against another, in one sentence. `place`: the group of
/// languages, or nothing for all; `family`: number of comparisons that the p-value is corrected for.
pub(super) fn verdict(
    titles: &[String; 2],
    found: &Difference,
    (place, family): (&str, usize),
) -> String {
    let [system, against] = titles;
    let place = match place {
        "" => String::new(),
        group => format!("On {group}, "),
    };
    let after = match family {
        1 => "",
        _ => " after Holm's correction",
    };
    let (p, [low, high]) = (p_value(found.p_corrected), found.interval_95);
    if !found.is_significant() {
        let found = match found.points >= 0.05 {
            true => format!("+{:.1}", found.points),
            false => points(found.points),
        };
        let [low, high] = [low, high].map(points);
        let no = match place.is_empty() {
            true => "No",
            false => "no",
        };
        return format!(
            "{place}{no} difference between {system} and {against} is shown ({found} points, 95 % {low} \
             to {high}, p = {p}{after})."
        );
    }
    let (direction, [least, most]) = match found.points > 0.0 {
        true => ("better", [low, high]),
        false => ("worse", [-high, -low]),
    };
    let [by, least, most] = [found.points.abs(), least, most].map(points);
    format!(
        "{place}{system} is {direction} than {against} by {by} points (95 % {least} to {most}, p = \
         {p}{after})."
    )
}

/// With one digit, and no sign of a zero.
pub(super) fn points(points: f64) -> String {
    let text = format!("{points:.1}");
    match text.as_str() {
        "-0.0" => "0.0".to_owned(),
        _ => text,
    }
}

/// With two significant digits.
fn p_value(p: f64) -> String {
    let digits = 1 - p.max(1e-12).log10().floor() as i32;
    let digits = usize::try_from(digits).unwrap_or(0);
    let text = format!("{p:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(points: f64, interval_95: [f64; 2], p_corrected: f64, family: usize) -> String {
        let titles = ["m_A⊕B".to_owned(), "m_B".to_owned()];
        let found = Difference {
            points,
            interval_95,
            p: p_corrected,
            p_corrected,
            n: 10,
        };
        verdict(&titles, &found, ("", family))
    }

    #[test]
    fn every_outcome_has_its_sentence() {
        assert_eq!(
            sentence(93.4, [91.84, 94.86], 0.0003, 4),
            "m_A⊕B is better than m_B by 93.4 points (95 % 91.8 to 94.9, p = 0.0003 after Holm's \
             correction)."
        );
        assert_eq!(
            sentence(-3.24, [-4.52, -1.91], 0.012, 1),
            "m_A⊕B is worse than m_B by 3.2 points (95 % 1.9 to 4.5, p = 0.012)."
        );
        assert_eq!(
            sentence(0.3, [-0.5, 1.1], 0.52, 1),
            "No difference between m_A⊕B and m_B is shown (+0.3 points, 95 % -0.5 to 1.1, p = \
             0.52)."
        );
        assert_eq!(
            sentence(-0.01, [-0.5, 0.5], 1.0, 3),
            "No difference between m_A⊕B and m_B is shown (0.0 points, 95 % -0.5 to 0.5, p = 1 \
             after Holm's correction)."
        );
    }

    #[test]
    fn p_values_have_two_digits() {
        let written = [1.0, 0.523, 0.05, 0.0499, 9.999e-5, 0.000_399_96].map(p_value);
        assert_eq!(written, ["1", "0.52", "0.05", "0.05", "0.0001", "0.0004"]);
    }
}
