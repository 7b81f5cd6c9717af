//! Metadata: values by keys, in which a GGUF file says what its model is.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};

use serde_json::{Value as Json, json};

use super::error::{GgufError, short};
use super::reader::Reader;

/// Bytes that a key takes at least, with its value.
pub(super) const LEAST_BYTES: usize = 8 + 4 + 1;

/// The format's own limit.
const MAX_KEY_BYTES: usize = 65_535;

/// Arrays are nested in no known file.
const MAX_DEPTH: usize = 4;

/// Arrays up to this length are shown in messages.
const SHOWN: usize = 64;

/// Keys and values. Texts and arrays, such as the words of a vocabulary, stay in the bytes that they
/// were read from until they are asked for.
#[derive(Debug)]
pub(super) struct Metadata<B> {
    bytes: B,
    values: Values,
}

/// Values by their keys, texts and arrays by their places.
pub(super) type Values = BTreeMap<String, Value>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Real(f64),
    Bool(bool),
    Text(Range<usize>),
    Array {
        kind: Kind,
        count: usize,
        bytes: Range<usize>,
    },
}

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    /// In the order of their numbers in the format.
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::Text,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(reader: &mut Reader<'_>, key: &str) -> Result<Self, GgufError> {
        let number = reader.u32()?;
        let kind = Self::ALL.get(number as usize).copied();
        kind.ok_or_else(|| GgufError::key(key, format!("has the unknown type {number}")))
    }

    /// Bytes of a value, at least.
    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

/// Reads `count` keys with their values.
pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Values, GgufError> {
    let mut values = Values::new();
    for number in 1..=count {
        reader.enter("metadata key", &format!("{number} of {count}"));
        let key = reader.text()?;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(GgufError::Text {
                what: format!("metadata key {number} of {count}"),
                reason: "is empty or longer than any; the file is damaged",
            });
        }
        reader.enter("metadata key", key);
        let kind = Kind::read(reader, key)?;
        let value = Value::read(reader, kind, key, 0)?;
        if values.insert(key.to_owned(), value).is_some() {
            return Err(GgufError::Duplicate {
                what: "metadata key",
                name: short(key),
            });
        }
    }
    Ok(values)
}

impl Value {
    fn read(
        reader: &mut Reader<'_>,
        kind: Kind,
        key: &str,
        depth: usize,
    ) -> Result<Self, GgufError> {
        Ok(match kind {
            Kind::Text => {
                let length = reader.text()?.len();
                Self::Text(reader.at() - length..reader.at())
            }
            Kind::Array => Self::read_array(reader, key, depth + 1)?,
            kind => {
                let bytes = reader.take(kind.bytes())?;
                Self::scalar(kind, bytes).ok_or_else(|| {
                    GgufError::key(key, "is a truth value that is neither 0 nor 1")
                })?
            }
        })
    }

    fn read_array(reader: &mut Reader<'_>, key: &str, depth: usize) -> Result<Self, GgufError> {
        if depth > MAX_DEPTH {
            return Err(GgufError::key(
                key,
                "nests arrays deeper than any model needs",
            ));
        }
        let kind = Kind::read(reader, key)?;
        let count = reader.count("values", kind.bytes())?;
        let start = reader.at();
        match kind {
            Kind::Text | Kind::Array => {
                for _ in 0..count {
                    Self::read(reader, kind, key, depth)?;
                }
            }
            kind => drop(reader.take(count * kind.bytes())?),
        }
        Ok(Self::Array {
            kind,
            count,
            bytes: start..reader.at(),
        })
    }

    /// A number or truth value of exactly its bytes; none if it is a truth value and no such.
    fn scalar(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(eight);
        // The sign is the uppermost bit of the bytes that are there.
        let above = 64 - 8 * bytes.len() as u32;
        let signed = (unsigned << above).cast_signed() >> above;
        Some(match kind {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Self::Unsigned(unsigned),
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => Self::Signed(signed),
            Kind::F32 => Self::Real(shortest(f32::from_bits(unsigned as u32))),
            Kind::F64 => Self::Real(f64::from_bits(unsigned)),
            Kind::Bool => Self::Bool(match unsigned {
                0 => false,
                1 => true,
                _ => return None,
            }),
            Kind::Text | Kind::Array => return None,
        })
    }
}

/// The shortest decimal number that is this one in `f32`: 1e-5, not 9.999999747378752e-6.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

impl<B: Deref<Target = [u8]>> Metadata<B> {
    /// `bytes` are those that `values` were read from.
    pub(super) fn new(bytes: B, values: Values) -> Self {
        Self { bytes, values }
    }

    /// Gives the values back.
    pub(super) fn into_values(self) -> Values {
        self.values
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// A text, if the key is there.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, "a text", |value| match value {
            Value::Text(place) => Some(self.text_at(place)),
            _ => None,
        })
    }

    /// A whole number that is not negative, if the key is there.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.typed(key, "a whole number", Value::count)
    }

    /// A number, if the key is there.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.typed(key, "a number", |value| match value {
            Value::Real(number) => Some(*number),
            value => value.count().map(|count| count as f64),
        })
    }

    /// A truth value, if the key is there.
    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// A list of texts, if the key is there.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, GgufError> {
        self.typed(key, "a list of texts", |value| match value {
            Value::Array {
                kind: Kind::Text,
                count,
                bytes,
            } => Some(self.texts_at(*count, bytes)),
            _ => None,
        })
    }

    /// A list of whole numbers, if the key is there.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, GgufError> {
        self.list(key, "a list of whole numbers", |value| match value {
            Value::Signed(number) => Some(number),
            value => value.count().and_then(|count| i64::try_from(count).ok()),
        })
    }

    /// A list of numbers, if the key is there.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, GgufError> {
        self.list(key, "a list of numbers", |value| match value {
            Value::Real(number) => Some(number),
            value => value.count().map(|count| count as f64),
        })
    }

    /// A list of truth values, if the key is there.
    pub(super) fn truths(&self, key: &str) -> Result<Option<Vec<bool>>, GgufError> {
        self.list(key, "a list of truth values", |value| match value {
            Value::Bool(truth) => Some(truth),
            _ => None,
        })
    }

    /// A value as JSON has it. Lists are given as such if they are short, and else by their length.
    pub(super) fn json(&self, key: &str) -> Json {
        self.values
            .get(key)
            .map_or(Json::Null, |value| self.json_of(value))
    }

    fn json_of(&self, value: &Value) -> Json {
        match value {
            Value::Unsigned(number) => json!(number),
            Value::Signed(number) => json!(number),
            Value::Real(number) => json!(number),
            Value::Bool(truth) => json!(truth),
            Value::Text(place) => json!(self.text_at(place)),
            Value::Array { count, .. } if *count > SHOWN => json!(format!("{count} values")),
            Value::Array { kind, count, bytes } => match kind {
                Kind::Array => json!(format!("{count} lists")),
                Kind::Text => json!(self.texts_at(*count, bytes)),
                kind => self
                    .scalars(*kind, bytes)
                    .map(|value| self.json_of(&value))
                    .collect(),
            },
        }
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, GgufError> {
        self.typed(key, expected, |value| match value {
            Value::Array { kind, bytes, .. } if !matches!(kind, Kind::Text | Kind::Array) => {
                self.scalars(*kind, bytes).map(&read).collect()
            }
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => {
                let found: String = self.json_of(value).to_string().chars().take(60).collect();
                Err(GgufError::key(key, format!("is {found}, not {expected}")))
            }
        }
    }

    fn text_at(&self, place: &Range<usize>) -> &str {
        // It was checked when it was read, and the file may have been changed since then.
        std::str::from_utf8(&self.bytes[place.clone()]).unwrap_or_default()
    }

    fn texts_at(&self, count: usize, bytes: &Range<usize>) -> Vec<&str> {
        let mut reader = Reader::new(&self.bytes[bytes.clone()]);
        let texts = (0..count).map(|_| reader.text().unwrap_or_default());
        texts.collect()
    }

    fn scalars(&self, kind: Kind, bytes: &Range<usize>) -> impl Iterator<Item = Value> {
        let bytes = self.bytes[bytes.clone()].chunks_exact(kind.bytes());
        bytes.map(move |bytes| Value::scalar(kind, bytes).unwrap_or(Value::Bool(true)))
    }
}

impl Value {
    fn count(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}
