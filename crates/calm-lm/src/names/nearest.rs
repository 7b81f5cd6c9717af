//! The name that was meant by one with a slip of the pen.

use strsim::damerau_levenshtein;

/// The known name that is a slip away from this one: a letter in eight may be wrong, missing, too
/// many or swapped with its neighbour, and one always. Beginnings of a single name count, too.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = plain(name);
    let known: Vec<&str> = known.into_iter().collect();
    let slips = |other: &&str| damerau_levenshtein(&name, &plain(other));
    let most = 1 + name.chars().count() / 8;
    // A name of two letters is a slip away from every other.
    let is_near = |other: &&str| slips(other) <= most && name.chars().count() > 2;
    let near = known.iter().copied().filter(|other| is_near(other));
    near.min_by_key(slips).or_else(|| begun(&name, &known))
}

/// The only name that begins like this, and others that go on from it; or the one that has these
/// words in another order.
fn begun<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = |is_it: &dyn Fn(&str) -> bool| {
        let found = known.iter().copied().filter(|other| is_it(&plain(other)));
        let found: Vec<&str> = found.collect();
        let first = found.iter().copied().min_by_key(|other| other.len())?;
        found
            .iter()
            .all(|other| other.starts_with(first))
            .then_some(first)
    };
    let is_long = name.chars().count() > 2;
    let begins = alike(&|other| is_long && other.starts_with(name));
    begins.or_else(|| alike(&|other| words(other) == words(name)))
}

/// Words in the order of the alphabet.
fn words(name: &str) -> Vec<&str> {
    let mut words: Vec<&str> = name.split('-').collect();
    words.sort_unstable();
    words
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = [
        "augmenting-device",
        "augmenting",
        "seed",
        "steps",
        "warmup-steps",
        "validation-steps",
        "learning-rate",
        "out",
    ];

    #[test]
    fn slips_are_seen_through() {
        for (name, meant) in [
            ("sed", "seed"),
            ("step", "steps"),
            ("learnign-rate", "learning-rate"),
            ("Learning_Rate", "learning-rate"),
            ("learn", "learning-rate"),
            ("augment", "augmenting"),
            ("steps-warmup", "warmup-steps"),
            ("validation-step", "validation-steps"),
        ] {
            assert_eq!(nearest(name, KNOWN), Some(meant), "{name}");
        }
    }

    #[test]
    fn nothing_is_made_up() {
        for name in ["batch", "ot", "x", "", "temperature", "validate", "rate"] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
    }
}
