//! TOML files that are part of the program, and others like them.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

/// Files by name; what they do not hold is looked for as a path.
pub(crate) struct Bundle(pub(crate) &'static [(&'static str, &'static str)]);

/// Why there is no file of a name.
pub(crate) enum NotFound {
    /// Neither in the bundle nor on the disk.
    Unknown {
        /// The name that is most like it.
        nearest: &'static str,
    },
    /// It can't be read.
    Io(io::Error),
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// 1-based, if it is about one.
    pub(crate) line: Option<usize>,
    /// What is wrong, and what would mend it.
    pub(crate) reason: String,
}

impl Bundle {
    /// The text of a file by its name, or else that of this path.
    pub(crate) fn text(&self, name: &str) -> Result<Cow<'static, str>, NotFound> {
        if let Some((_, text)) = self.0.iter().find(|(known, _)| *known == name) {
            return Ok(Cow::Borrowed(text));
        }
        let path = Path::new(name);
        if !path.exists() {
            let names: Vec<&str> = self.0.iter().map(|(known, _)| *known).collect();
            let nearest = nearest(name, &names);
            return Err(NotFound::Unknown { nearest });
        }
        fs::read_to_string(path)
            .map(Cow::Owned)
            .map_err(NotFound::Io)
    }
}

/// Reads a file. Of a mistyped key, the one that it is most like is told.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let message = error.message().lines().next().unwrap_or_default();
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let reason = match quoted.split_first() {
            Some((found, known)) if message.starts_with("unknown") && !known.is_empty() => {
                format!(
                    "unknown key or value '{found}'; did you mean '{}'?",
                    nearest(found, known)
                )
            }
            _ => message.to_owned(),
        };
        Mistake {
            line: error.span().map(|span| line(span.start)),
            reason,
        }
    })
}

/// The name that is most like this one.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let likeness = |known: &&&str| strsim::jaro_winkler(name, known);
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.copied().unwrap_or_default()
}
