//! Personal data and secrets, which are replaced.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::{Captures, Regex, Replacer};

use crate::corpus::{SourceFile, Step, Verdict};

/// Replaces names, e-mail addresses, IP addresses, keys and passwords by `<NAME>`, `<EMAIL>`, `<IP>`,
/// `<KEY>` and `<PASSWORD>`.
#[derive(Debug, Clone, Copy)]
pub struct PersonalData;

impl Step<SourceFile> for PersonalData {
    fn name(&self) -> &'static str {
        "personal-data"
    }

    fn apply(&self, file: &mut SourceFile) -> Verdict {
        match without_personal_data(&file.text) {
            Some(text) => {
                file.text = text;
                Verdict::Changed
            }
            None => Verdict::Keep,
        }
    }
}

/// What is looked for, and what is said of a match.
struct Pattern {
    regex: Regex,
    /// What takes the place of the group `it`, or of the whole match; `None` leaves it.
    replacement: fn(&str) -> Option<&'static str>,
}

fn pattern(regex: &str, replacement: fn(&str) -> Option<&'static str>) -> Pattern {
    Pattern {
        #[allow(clippy::expect_used, reason = "a constant, which a test reads")]
        regex: Regex::new(regex).expect("a pattern of this file"),
        replacement,
    }
}

/// In the order in which they are looked for: an address with a password in it is none of a mailbox.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    vec![
        pattern(
            r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?P<it>.{16,}?)-----END",
            |_| Some("\n<KEY>\n"),
        ),
        // Forms that the issuers of keys have chosen so that they are found.
        pattern(
            r"\b(?:AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,}|glpat-[0-9A-Za-z_-]{20,}|xox[abprs]-[0-9A-Za-z-]{10,}|[rs]k_live_[0-9A-Za-z]{16,}|SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}|eyJ[0-9A-Za-z_-]{16,}\.eyJ[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,})",
            |_| Some("<KEY>"),
        ),
        pattern(
            r#"(?i)\b[a-z0-9_]*(?:api|access|auth|client|private|secret)[_-]?(?:key|token|secret)\b["']?\s*(?::|=>?|:=)\s*["'](?P<it>[0-9A-Za-z+/_=.-]{16,})["']"#,
            |found| is_random(found).then_some("<KEY>"),
        ),
        pattern(
            r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:(?P<it>[^\s/@]+)@",
            |found| is_secret(found).then_some("<PASSWORD>"),
        ),
        pattern(
            r#"(?i)\b[a-z0-9_]*(?:password|passwd|passphrase|pwd)["']?\s*(?:=>?|:=?)\s*["'](?P<it>[^"'\s]{4,})["']"#,
            |found| is_secret(found).then_some("<PASSWORD>"),
        ),
        pattern(
            r"[0-9A-Za-z][0-9A-Za-z._%+-]*@(?:[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?\.)+[A-Za-z]{2,24}\b",
            |found| is_mailbox(found).then_some("<EMAIL>"),
        ),
        pattern(
            r"(?i)(?:\bversion\W{0,4}|\bv|[\w.-])?\b\d{1,3}(?:\.\d{1,3}){3}\b(?:\.\w+)*",
            |found| is_public_v4(found).then_some("<IP>"),
        ),
        pattern(r"(?i)\b[0-9a-f]{1,4}(?:::?[0-9a-f]{1,4}){4,7}\b", |found| {
            is_public_v6(found).then_some("<IP>")
        }),
        pattern(
            r"(?:@author:?|\b[Aa]uthors?\s*[:=]|\bWritten by:?|Copyright(?:\s*(?:\([cC]\)|©))?(?:\s*[\d,–-]+)*(?:\s+by)?)[ \t]+(?P<it>\p{Lu}[\p{L}'’-]+(?:[ \t]+\p{Lu}(?:\.|[\p{L}'’-]+)){1,3})",
            |found| is_person(found).then_some("<NAME>"),
        ),
    ]
});

/// The text with all of it replaced; none if there is nothing of it.
pub fn without_personal_data(text: &str) -> Option<String> {
    let mut changed: Option<String> = None;
    for Pattern { regex, replacement } in PATTERNS.iter() {
        let replaced = regex.replace_all(changed.as_deref().unwrap_or(text), Within(replacement));
        if let std::borrow::Cow::Owned(replaced) = replaced {
            changed = Some(replaced);
        }
    }
    changed.filter(|changed| changed != text)
}

/// Replaces the group `it` of a match, or all of it.
struct Within<'a>(&'a fn(&str) -> Option<&'static str>);

impl Replacer for Within<'_> {
    fn replace_append(&mut self, captures: &Captures<'_>, to: &mut String) {
        let Some(whole) = captures.get(0) else {
            return;
        };
        let it = captures.name("it").unwrap_or(whole);
        match (self.0)(it.as_str()) {
            Some(replacement) => {
                let text = whole.as_str();
                let (start, end) = (it.start() - whole.start(), it.end() - whole.start());
                to.push_str(&text[..start]);
                to.push_str(replacement);
                to.push_str(&text[end..]);
            }
            None => to.push_str(whole.as_str()),
        }
    }
}

/// Whether a value has letters and digits, as chance gives them and names have not.
fn is_random(value: &str) -> bool {
    let has = |is: fn(char) -> bool| value.chars().any(is);
    has(|c| c.is_ascii_digit()) && has(char::is_alphabetic) && !is_placeholder(value)
}

fn is_secret(value: &str) -> bool {
    let lower = value.to_lowercase();
    !is_placeholder(value)
        && !["password", "passwd", "secret", "string", "none", "null"].contains(&&*lower)
}

/// Whether a value only says that there is one.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_lowercase();
    value.contains(['{', '<', '$', '%', '*', '[', '('])
        || ["example", "your", "xxx", "changeme", "dummy", "placeholder"]
            .iter()
            .any(|word| lower.contains(word))
}

/// Whether this is an address of a mailbox, and neither the name of a file, such as `icon@2x.png`, nor one
/// of the domains that are for examples (RFC 2606).
fn is_mailbox(address: &str) -> bool {
    let lower = address.to_lowercase();
    let domain = lower.split('@').next_back().unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| domain.ends_with(ending));
    let files = [
        ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".py", ".js", ".so", ".h",
    ];
    let examples = [
        "example.com",
        "example.org",
        "example.net",
        ".example",
        ".test",
        ".invalid",
    ];
    !ends(&files) && !ends(&examples)
}

/// Whether this is an address of the public internet, and not the number of a version.
fn is_public_v4(found: &str) -> bool {
    let Ok(address) = found.parse::<Ipv4Addr>() else {
        // Something stands before it.
        return false;
    };
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    !(first == 0
        || is_shared
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first >= 240)
}

fn is_public_v6(found: &str) -> bool {
    found.parse::<Ipv6Addr>().is_ok_and(|address| {
        let first = address.segments()[0];
        // 2000::/3 without 2001:db8::/32, which is for documentation.
        first & 0xe000 == 0x2000 && !(first == 0x2001 && address.segments()[1] == 0xdb8)
    })
}

/// Whether a name is of a person, as far as words of companies and projects tell.
fn is_person(name: &str) -> bool {
    const OTHERS: [&str; 20] = [
        "All",
        "Authors",
        "Community",
        "Company",
        "Contributors",
        "Corp",
        "Corporation",
        "Developers",
        "Foundation",
        "Google",
        "Group",
        "Inc",
        "Institute",
        "Limited",
        "Microsoft",
        "Project",
        "Software",
        "Systems",
        "Team",
        "University",
    ];
    !name
        .split_whitespace()
        .any(|word| OTHERS.contains(&word.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_and_secrets_are_replaced_where_they_stand() {
        for (text, expected) in [
            ("mail ada.l@maths.org now", "mail <EMAIL> now"),
            (
                "# Author: Ada Lovelace <ada@maths.org>",
                "# Author: <NAME> <<EMAIL>>",
            ),
            (
                "@author Ada K. Lovelace\n * @since 1",
                "@author <NAME>\n * @since 1",
            ),
            (
                "Copyright (c) 1843, 1844 Ada Lovelace. All",
                "Copyright (c) 1843, 1844 <NAME>. All",
            ),
            ("host = '93.184.215.14'", "host = '<IP>'"),
            ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "<IP>"),
            ("key = 'AKIAABCDEFGHIJKLMNOP'", "key = '<KEY>'"),
            ("API_KEY = \"0a1b2c3d4e5f6a7b8c9d\"", "API_KEY = \"<KEY>\""),
            ("password = 'tr0ub4dor'", "password = '<PASSWORD>'"),
            ("db://ada:tr0ub4dor@host/x", "db://ada:<PASSWORD>@host/x"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN RSA PRIVATE KEY-----\n<KEY>\n-----END RSA PRIVATE KEY-----",
            ),
        ] {
            assert_eq!(
                without_personal_data(text).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for text in [
            "icon@2x.png",
            "someone@example.com",
            "127.0.0.1 and 10.0.0.1, 192.168.1.1",
            "version 1.2.3.4, v10.20.30.40",
            "oid 1.3.6.1.4.1.311",
            "a::b::c::d::e::f::g",
            "password = os.environ['PASSWORD']",
            "password: '${PASSWORD}'",
            "api_key = 'your-api-key-goes-here-1'",
            "Copyright (c) 2020 The Rust Project Developers",
            "@decorator\nclass A: pass",
        ] {
            assert_eq!(without_personal_data(text), None, "{text}");
        }
    }
}
