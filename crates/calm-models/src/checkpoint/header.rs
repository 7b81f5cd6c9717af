//! The header of a safetensors file, with every number checked before it is used.
//!
//! The `safetensors` crate checks as much, but its errors do not say which tensor, size or offset
//! was wrong.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// A header is a few hundred bytes per tensor; the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Beginning of the file that stands for a large one in a repository of Git LFS.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Faults of a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file is too short for the length of the header.
    #[error(
        "the file has {bytes} bytes, a safetensors file has at least 8; it is empty or cut off"
    )]
    TooShort {
        /// The file's size.
        bytes: u64,
    },
    /// Git LFS has left a pointer instead of the file.
    #[error("this is a pointer of Git LFS; fetch the file with 'git lfs pull'")]
    LfsPointer,
    /// The length of the header is impossible.
    #[error(
        "the header claims {header_bytes} bytes, but the file has {bytes} and headers have at most \
         {MAX_HEADER_BYTES}; the file is cut off or no safetensors file"
    )]
    HeaderLength {
        /// The length at offset 0.
        header_bytes: u64,
        /// The file's size.
        bytes: u64,
    },
    /// The header is no JSON object of tensors.
    #[error("the header (at byte 8) is damaged: {source}")]
    Json {
        /// Position and fault.
        source: serde_json::Error,
    },
    /// A tensor has a type that the format does not know.
    #[error("tensor {name} has the unknown type {dtype}")]
    UnknownType {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor's place in the file disagrees with its shape.
    #[error(
        "tensor {name} of shape {shape:?} and type {dtype} is given bytes {} to {}, {}",
        offsets[0], offsets[1], size_hint(expected_bytes)
    )]
    Size {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its type.
        dtype: String,
        /// Its byte range, counted from the end of the header.
        offsets: [u64; 2],
        /// Bytes that it needs; none if the number overflows.
        expected_bytes: Option<u64>,
    },
    /// Tensors overlap, or leave a hole.
    #[error(
        "tensor {name} begins at byte {found} of the data, the one before it ends at {expected}"
    )]
    Offset {
        /// The tensor.
        name: String,
        /// Expected start.
        expected: u64,
        /// Actual start.
        found: u64,
    },
    /// The tensors do not fill the file.
    #[error(
        "the tensors take {expected} bytes after the header, the file has {found}; it is cut off \
         or damaged"
    )]
    DataLength {
        /// End of the last tensor.
        expected: u64,
        /// Bytes after the header.
        found: u64,
    },
}

fn size_hint(expected_bytes: &Option<u64>) -> String {
    match expected_bytes {
        Some(bytes) => format!("but needs {bytes}"),
        None => "but is too large to exist".to_owned(),
    }
}

/// A tensor's type, shape and place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    /// The type's name, one that the format knows.
    pub(crate) dtype: String,
    /// The shape as stored.
    pub(crate) shape: Vec<usize>,
    /// Bytes of the file.
    pub(crate) bytes: Range<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The header's object: a name may occur once, `__metadata__` holds strings, or is `null`.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<Option<BTreeMap<String, String>>>()?;
                        continue;
                    }
                    match entries.entry(name) {
                        Vacant(place) => {
                            place.insert(map.next_value()?);
                        }
                        Occupied(place) => {
                            let name = place.key();
                            return Err(A::Error::custom(format_args!(
                                "tensor {name} occurs twice"
                            )));
                        }
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// Reads the header of a whole file.
pub(crate) fn read(file: &[u8]) -> Result<BTreeMap<String, TensorInfo>, HeaderError> {
    let bytes = file.len() as u64;
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(HeaderError::TooShort { bytes });
    };
    if file.starts_with(LFS_POINTER) {
        return Err(HeaderError::LfsPointer);
    }
    let header_bytes = u64::from_le_bytes(*length);
    if header_bytes > MAX_HEADER_BYTES || header_bytes > rest.len() as u64 {
        return Err(HeaderError::HeaderLength {
            header_bytes,
            bytes,
        });
    }
    let (header, data) = rest.split_at(header_bytes as usize);
    let Entries(entries) =
        serde_json::from_slice(header).map_err(|source| HeaderError::Json { source })?;
    for (name, entry) in &entries {
        check_size(name, entry)?;
    }
    check_tiling(&entries, data.len() as u64)?;
    let data_start = 8 + header.len();
    Ok(entries
        .into_iter()
        .map(|(name, entry)| (name, locate(entry, data_start)))
        .collect())
}

/// Bytes per element, for every type of the format that fills whole bytes.
fn type_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => Some(1),
        "I16" | "U16" | "F16" | "BF16" => Some(2),
        "I32" | "U32" | "F32" => Some(4),
        "I64" | "U64" | "F64" | "C64" => Some(8),
        _ => None,
    }
}

fn check_size(name: &str, entry: &Entry) -> Result<(), HeaderError> {
    let Entry {
        dtype,
        shape,
        data_offsets: [start, end],
    } = entry;
    let element = type_bytes(dtype).ok_or_else(|| HeaderError::UnknownType {
        name: name.to_owned(),
        dtype: dtype.clone(),
    })?;
    let expected = shape
        .iter()
        .try_fold(element, |bytes, dim| bytes.checked_mul(*dim));
    if expected.is_none() || end.checked_sub(*start) != expected {
        return Err(HeaderError::Size {
            name: name.to_owned(),
            shape: shape.clone(),
            dtype: dtype.clone(),
            offsets: [*start, *end],
            expected_bytes: expected,
        });
    }
    Ok(())
}

/// Tensors must follow one another without holes and fill the data.
fn check_tiling(entries: &BTreeMap<String, Entry>, data_bytes: u64) -> Result<(), HeaderError> {
    let mut in_order: Vec<_> = entries.iter().collect();
    in_order.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    for (name, Entry { data_offsets, .. }) in in_order {
        if data_offsets[0] != end {
            let name = name.clone();
            return Err(HeaderError::Offset {
                name,
                expected: end,
                found: data_offsets[0],
            });
        }
        end = data_offsets[1];
    }
    if end != data_bytes {
        return Err(HeaderError::DataLength {
            expected: end,
            found: data_bytes,
        });
    }
    Ok(())
}

/// All numbers have been checked against the file's size, so they fit.
fn locate(entry: Entry, data_start: usize) -> TensorInfo {
    let [start, end] = entry
        .data_offsets
        .map(|offset| data_start + offset as usize);
    TensorInfo {
        dtype: entry.dtype,
        shape: entry.shape.into_iter().map(|dim| dim as usize).collect(),
        bytes: start..end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data_bytes: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + data_bytes, 0);
        file
    }

    fn error(header: &str, data_bytes: usize) -> String {
        read(&file(header, data_bytes)).unwrap_err().to_string()
    }

    #[test]
    fn tensors_are_located_behind_the_header() {
        let header = r#"{"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},
            "__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
        let tensors = read(&file(header, 14)).unwrap();
        let start = 8 + header.len();
        assert_eq!(tensors.len(), 2);
        assert_eq!(tensors["a"].bytes, start..start + 8);
        assert_eq!(tensors["b"].bytes, start + 8..start + 14);
        assert_eq!(tensors["a"].shape, [2, 1]);
    }

    #[test]
    fn metadata_is_strings_or_nothing() {
        for metadata in ["null", "{}", r#"{"format":"pt"}"#] {
            let header = format!(r#"{{"__metadata__":{metadata}}}"#);
            assert!(read(&file(&header, 0)).unwrap().is_empty(), "{metadata}");
        }
        for metadata in ["1", "[]", r#"{"format":1}"#, r#"{"a":{"b":"c"}}"#] {
            let header = format!(r#"{{"__metadata__":{metadata}}}"#);
            assert!(error(&header, 0).contains("damaged"), "{metadata}");
        }
    }

    #[test]
    fn impossible_lengths() {
        assert!(matches!(
            read(&[1, 2]),
            Err(HeaderError::TooShort { bytes: 2 })
        ));
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
        assert!(matches!(read(pointer), Err(HeaderError::LfsPointer)));
        for length in [1u64, 1 << 63, u64::MAX] {
            let error = read(&length.to_le_bytes()).unwrap_err();
            assert!(matches!(error, HeaderError::HeaderLength { .. }), "{error}");
        }
    }

    #[test]
    fn damaged_headers_say_where() {
        assert!(error(r#"{"a":{"dtype":"F32""#, 0).contains("damaged"));
        assert!(error(r#"[]"#, 0).contains("an object of tensors by name"));
        assert!(error(&"[".repeat(4096), 0).contains("damaged"));
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
            "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
        assert!(error(twice, 2).contains("tensor a occurs twice"));
        let key = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":0}}"#;
        assert!(error(key, 1).contains("unknown field `x`"));
    }

    #[test]
    fn tensors_must_fit_their_bytes_and_tile_the_data() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(error(&one("F32", "[2]", "[0,4]"), 4).contains("but needs 8"));
        assert!(error(&one("F32", "[2]", "[8,0]"), 8).contains("but needs 8"));
        assert!(error(&one("F31", "[2]", "[0,8]"), 8).contains("unknown type F31"));
        let huge = format!("[{0},{0}]", u64::MAX);
        assert!(error(&one("F32", &huge, "[0,8]"), 8).contains("too large to exist"));
        assert!(error(&one("F32", "[2]", "[4,12]"), 12).contains("begins at byte 4"));
        assert!(error(&one("F32", "[2]", "[0,8]"), 9).contains("the file has 9"));
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        assert!(
            error(overlap, 8)
                .contains("tensor b begins at byte 4 of the data, the one before it ends at 8")
        );
    }
}
