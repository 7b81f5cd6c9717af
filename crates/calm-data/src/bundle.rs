//! TOML files that are part of the program, and others like them.

use std::borrow::Cow;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::DataError;

/// Files of one kind by name. Any other name is taken as the path of such a file.
#[derive(Debug)]
pub struct Bundle {
    /// Kind of these files, in a word.
    pub kind: &'static str,
    /// Command that lists them.
    pub list: &'static str,
    /// Name and text of each.
    pub files: &'static [(&'static str, &'static str)],
}

impl Bundle {
    /// Text of the file of this name, or else of this path.
    ///
    /// # Errors
    ///
    /// [`DataError::Unknown`] with the nearest name, [`DataError::Io`].
    pub fn text(&self, name: &str) -> Result<Cow<'static, str>, DataError> {
        if let Some((_, text)) = self.files.iter().find(|(known, _)| *known == name) {
            return Ok(Cow::Borrowed(text));
        }
        let path = Path::new(name);
        if !path.exists() {
            let names: Vec<&str> = self.files.iter().map(|(known, _)| *known).collect();
            return Err(DataError::Unknown {
                kind: self.kind,
                name: name.to_owned(),
                nearest: nearest(name, &names).to_owned(),
                list: self.list,
            });
        }
        let text = calm_files::read_text(path).map_err(DataError::io(path))?;
        Ok(Cow::Owned(text))
    }
}

/// Reads a TOML text; `path` is for messages. An error about a mistyped key names the nearest one.
///
/// # Errors
///
/// [`DataError::Line`], or [`DataError::File`] if it is about no line.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, DataError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let reason = mistyped(error.message());
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        match error.span() {
            Some(span) => DataError::line(path, line(span.start), reason),
            None => DataError::file(path, reason),
        }
    })
}

/// The message of serde's error about a value; that about a mistyped key or value names the nearest
/// one.
pub fn mistyped(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((found, known)) if message.starts_with("unknown") && !known.is_empty() => {
            let nearest = nearest(found, known);
            format!("unknown key or value '{found}'; did you mean '{nearest}'?")
        }
        _ => message.to_owned(),
    }
}

/// The known name that is most like this one.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let likeness = |known: &&&str| strsim::jaro_winkler(name, known);
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.copied().unwrap_or_default()
}

/// Most characters of names that a message lists.
const LISTED: usize = 200;

/// What is said of a name that is not there.
pub(crate) fn no_such_name(kind: &str, name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("has no {kind} '{name}', and no other");
    }
    let list: String = known.join(", ").escape_debug().take(LISTED).collect();
    format!(
        "has no {kind} '{name}'; did you mean '{}'? It has {list}",
        nearest(name, known)
    )
}
