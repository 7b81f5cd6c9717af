//! Reading numbers and texts one after another, none beyond the end.

use super::error::{GgufError, short};

/// Bytes of a file, and how far they are read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The part of the file that is being read, for messages.
    inside: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            inside: "the header".to_owned(),
        }
    }

    /// Says which part of the file comes next.
    pub(super) fn enter(&mut self, kind: &str, name: &str) {
        self.inside = format!("{kind} {}", short(name));
    }

    /// Bytes that are read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], GgufError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| GgufError::CutOff {
            bytes: self.bytes.len(),
            inside: self.inside.clone(),
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things that take at least so many bytes each: the rest of the file must have room
    /// for them, so that no memory is asked for on the word of a damaged file.
    pub(super) fn count(&mut self, things: &str, least_bytes: usize) -> Result<usize, GgufError> {
        let count = self.u64()?;
        let room = (self.bytes.len() - self.at) / least_bytes;
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(GgufError::Count {
                count,
                things: format!("{things} in {}", self.inside),
                bytes: self.bytes.len(),
            }),
        }
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self) -> Result<&'a str, GgufError> {
        let length = self.count("bytes of text", 1)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| GgufError::Text {
            what: format!("a text in {}", self.inside),
            reason: "is not valid UTF-8; the file is damaged",
        })
    }
}
