//! URLs and e-mail addresses that both sides of a pair should have.

use std::sync::LazyLock;

use regex::Regex;

use crate::corpus::{CorpusRecord, Step, Verdict};

/// A URL with its scheme or `www.`, up to white space or a mark that no URL ends with.
static URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>"“”«»|।。，、]+"#));

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[\p{L}\p{N}_.+-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"));

#[expect(
    clippy::expect_used,
    reason = "both patterns are constants that a test uses"
)]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is one")
}

/// Drops pairs of which one side has a URL or an e-mail address that the other has not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses;

/// Whether every URL and e-mail address of each text is in the other, in any case, and with or without
/// `https://`, `www.` and the last `/`.
///
/// ```
/// use calm_data::cleaning::steps::same_addresses;
///
/// assert!(same_addresses("See https://www.example.org/.", "EXAMPLE.org पढ्नुहोस्"));
/// assert!(!same_addresses("Write to ada@example.org", "Write to ben@example.org"));
/// ```
pub fn same_addresses(one: &str, other: &str) -> bool {
    let has_all = |text: &str, of: &str| {
        let addresses = addresses(of);
        let mut missing = addresses.iter();
        addresses.is_empty() || {
            let text = text.to_lowercase();
            missing.all(|address| text.contains(address.as_str()))
        }
    };
    has_all(one, other) && has_all(other, one)
}

/// The addresses of a text, in lower case, without what differs between spellings of one.
fn addresses(text: &str) -> Vec<String> {
    let has_url = text.contains("://") || text.contains("www.") || text.contains("WWW.");
    let mut found = Vec::new();
    if has_url {
        found.extend(URL.find_iter(text).map(|url| plain(url.as_str())));
    }
    if text.contains('@') {
        found.extend(EMAIL.find_iter(text).map(|email| plain(email.as_str())));
    }
    found
}

fn plain(address: &str) -> String {
    let lower = address.to_lowercase();
    let host = lower.split_once("://").map_or(&*lower, |(_, host)| host);
    let host = host.strip_prefix("www.").unwrap_or(host);
    let is_outside = |c: char| c == '/' || (c.is_ascii_punctuation() && c != '_');
    host.trim_end_matches(is_outside).to_owned()
}

impl Step for Addresses {
    fn name(&self) -> &'static str {
        "urls"
    }

    fn apply(&self, record: &mut CorpusRecord) -> Verdict {
        let Some(target) = &record.target else {
            return Verdict::Keep;
        };
        match same_addresses(&record.source.text, &target.text) {
            true => Verdict::Keep,
            false => Verdict::Drop("URLs or e-mail addresses differ".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_what_differs_between_spellings() {
        for (one, other, expected) in [
            ("no address", "aucune adresse", true),
            ("http://a.org/x", "(https://www.a.org/x/)", true),
            ("http://a.org/x", "https://a.org/y", false),
            ("http://a.org/x", "", false),
            ("see www.a.org.", "voir a.org", true),
            ("ada@a.org, ben@a.org", "ben@a.org et ada@a.org", true),
            ("ada@a.org", "personne", false),
            ("@ada wrote", "@ada a écrit", true),
            ("http://a.org।", "HTTP://A.ORG", true),
        ] {
            assert_eq!(same_addresses(one, other), expected, "{one:?} {other:?}");
            assert_eq!(same_addresses(other, one), expected, "{other:?} {one:?}");
        }
    }
}
