//! JSON Lines: an object per line, of which named fields are read.

use std::fmt;
use std::path::Path;

use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;

use super::lines::{InvalidUtf8, LineReader};
use super::rows::{BETWEEN, RowFields};
use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::bundle::no_such_name;

/// Objects of a file, one in a line; blank lines are none.
pub(super) struct JsonReader<F> {
    lines: LineReader,
    fields: F,
    invalid: InvalidUtf8,
}

impl<F: RowFields> JsonReader<F> {
    pub(super) fn open(path: &Path, fields: F, invalid: InvalidUtf8) -> Result<Self, DataError> {
        Ok(Self {
            lines: LineReader::open(path, invalid)?,
            fields,
            invalid,
        })
    }
}

impl<F: RowFields> RecordReader<F::Content> for JsonReader<F> {
    fn next(&mut self) -> Result<Option<Found<F::Content>>, DataError> {
        loop {
            let found = match self.lines.next()? {
                None => return Ok(None),
                Some(Some(line)) if line.trim().is_empty() => continue,
                Some(None) => Ok(Err(Skip::InvalidUtf8)),
                Some(Some(line)) => match pick(line, self.fields.paths(), self.fields.list()) {
                    Err(reason)
                        if self.invalid == InvalidUtf8::Skip && is_about_surrogates(&reason) =>
                    {
                        Ok(Err(Skip::InvalidUtf8))
                    }
                    picked => picked.map(|values| self.fields.content(values)),
                },
            };
            let content = found.map_err(|reason| self.lines.wrong(reason))?;
            let place = self.lines.line();
            return Ok(Some(Found { place, content }));
        }
    }

    fn taken(&self) -> u64 {
        self.lines.tap().taken()
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        Ok(vec![InputFile::read(self.lines.path(), self.lines.tap())?])
    }
}

/// Whether an error is about half of a pair of surrogates, which is no character.
fn is_about_surrogates(reason: &str) -> bool {
    reason.contains("surrogate") || reason.contains("end of hex escape")
}

/// The texts at these paths of a JSON object; that of `null` is empty. At the path of this index there may be
/// a list of them.
fn pick(line: &str, paths: &[Vec<String>], list: Option<usize>) -> Result<Vec<String>, String> {
    let mut texts = vec![None; paths.len()];
    let picker = Picker {
        paths: paths.iter().map(Vec::as_slice).enumerate().collect(),
        texts: &mut texts,
        list,
    };
    let mut json = serde_json::Deserializer::from_str(line);
    let read = picker.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| {
        let message = error.to_string();
        // Its line number counts within this line.
        let what = message.split(" at line ").next().unwrap_or(&message);
        format!(
            "{what} at column {}; expected one JSON object per line",
            error.column()
        )
    })?;
    let found = texts.into_iter().zip(paths);
    found
        .map(|(text, path)| text.ok_or_else(|| missing(line, path)))
        .collect()
}

/// Says which name of a path an object lacks.
fn missing(line: &str, path: &[String]) -> String {
    let whole: Value = serde_json::from_str(line).unwrap_or_default();
    let mut value = &whole;
    for name in path {
        match value.get(name) {
            Some(inner) => value = inner,
            None => {
                let known = value.as_object().map(|object| object.keys());
                let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
                return no_such_name("field", name, &known);
            }
        }
    }
    format!("its field `{}` is no text", path.join("."))
}

/// Reads the texts at some paths of a value, and passes over all else of it.
struct Picker<'a> {
    /// The rest of each path, with its place among the texts.
    paths: Vec<(usize, &'a [String])>,
    texts: &'a mut [Option<String>],
    list: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for Picker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.paths.iter().any(|(_, path)| path.is_empty()) {
            true => deserializer.deserialize_any(self),
            false => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Picker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.paths.iter().any(|(_, path)| path.is_empty()) {
            true => f.write_str("a text or null"),
            false => f.write_str("an object"),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        for (place, path) in &self.paths {
            match path.is_empty() {
                true => self.texts[*place] = Some(text.to_owned()),
                false => return Err(E::custom("expected an object")),
            }
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_str("")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self
            .paths
            .iter()
            .any(|(place, _)| Some(*place) != self.list)
        {
            let found = Unexpected::Seq;
            return Err(serde::de::Error::invalid_type(found, &self));
        }
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        self.visit_str(&texts.join(BETWEEN))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.paths.iter().any(|(_, path)| path.is_empty()) {
            return Err(serde::de::Error::custom("expected a text, found an object"));
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let below: Vec<(usize, &[String])> = self
                .paths
                .iter()
                .filter_map(|(place, path)| {
                    let (first, rest) = path.split_first()?;
                    (*first == *key).then_some((*place, rest))
                })
                .collect();
            match below.is_empty() {
                true => {
                    map.next_value::<IgnoredAny>()?;
                }
                false => map.next_value_seed(Picker {
                    paths: below,
                    texts: self.texts,
                    list: self.list,
                })?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::reading::sides::names;

    fn read(line: &str, fields: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<_> = fields.iter().map(|field| names(field)).collect();
        let list = fields.iter().position(|field| field.ends_with("list"));
        pick(line, &paths, list)
    }

    #[test]
    fn fields_are_found_at_any_depth() {
        let line = r#"{"id": [1, {"ny": 2}], "translation": {"ny": "moni\n", "en": null, "x": {}}, "lang": "ny"}"#;
        let fields = ["translation.en", "translation.ny", "lang"];
        assert_eq!(read(line, &fields).unwrap(), ["", "moni\n", "ny"]);
    }

    #[test]
    fn a_list_is_read_where_there_may_be_one() {
        let line = r#"{"text": "a", "list": ["MIT", "ISC"]}"#;
        assert_eq!(read(line, &["text", "list"]).unwrap(), ["a", "MIT AND ISC"]);
        assert_eq!(read(r#"{"list": []}"#, &["list"]).unwrap(), [""]);
        let error = read(r#"{"text": ["a"], "list": "MIT"}"#, &["text", "list"]).unwrap_err();
        assert!(error.contains("expected a text or null"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_such_object_is_explained() {
        for (line, part) in [
            (
                r#"{"txet": "a"}"#,
                "has no field 'text'; did you mean 'txet'? It has txet",
            ),
            ("{}", "has no field 'text', and no other"),
            (
                r#"{"text": 3}"#,
                "invalid type: integer `3`, expected a text or null at column",
            ),
            (r#"{"text": ["a"]}"#, "expected a text or null"),
            (
                r#"{"text": {"a": "b"}}"#,
                "expected a text, found an object",
            ),
            (r#"["text"]"#, "expected an object"),
            (
                r#"{"text": "a""#,
                "EOF while parsing an object at column 12",
            ),
            (r#"{"text": "a"} {"#, "trailing characters"),
            (r#"{"text": "\ud800"}"#, "hex escape"),
        ] {
            let error = read(line, &["text"]).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        let error = read(r#"{"translation": {"ny": ""}}"#, &["translation.en"]).unwrap_err();
        assert!(
            error.contains("has no field 'en'; did you mean 'ny'?"),
            "{error}"
        );
        let error = read(r#"{"translation": "ny"}"#, &["translation.en"]).unwrap_err();
        assert!(error.contains("expected an object"), "{error}");
    }
}
