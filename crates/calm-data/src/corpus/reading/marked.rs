//! UTF-8 with what is invalid marked.

use std::io::{self, BufRead, Read};

/// Stands in the place of bytes that are not UTF-8. XML has no such character.
pub(super) const INVALID: char = '\u{ffff}';

/// Text of a file in which [`INVALID`] stands for bytes that are not UTF-8, for parsers that end at
/// the first of them.
pub(super) struct MarkedReader<R> {
    inner: R,
    text: Vec<u8>,
    taken: usize,
    /// Beginning of a character that the next bytes may complete.
    rest: Vec<u8>,
}

impl<R: BufRead> MarkedReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            text: Vec::new(),
            taken: 0,
            rest: Vec::new(),
        }
    }

    /// Reads some more; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let available = self.inner.fill_buf()?;
        let read = available.len();
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(available);
        self.inner.consume(read);
        self.text.clear();
        self.taken = 0;
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text.extend_from_slice(chunk.valid().as_bytes());
            let invalid = chunk.invalid();
            if read > 0 && chunks.peek().is_none() && is_beginning(invalid) {
                self.rest = invalid.to_vec();
            } else if !invalid.is_empty() {
                let mark = INVALID.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
                self.text.extend(mark);
            }
        }
        Ok(read > 0 || !self.text.is_empty())
    }
}

/// Whether more bytes may make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

impl<R: BufRead> Read for MarkedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.text.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let text = &self.text[self.taken..];
        let bytes = text.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&text[..bytes]);
        self.taken += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn bytes_are_marked_wherever_buffers_end() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (
                "moni \u{e9}\u{928}\u{1f600}".as_bytes(),
                "moni \u{e9}\u{928}\u{1f600}",
            ),
            (b"a\xffb\xe0\xa4c\xf0\x9f", "a\u{ffff}b\u{ffff}c\u{ffff}"),
        ] {
            for capacity in 1..8 {
                let mut text = String::new();
                let inner = BufReader::with_capacity(capacity, bytes);
                MarkedReader::new(inner).read_to_string(&mut text).unwrap();
                assert_eq!(text, expected, "{capacity}");
            }
        }
    }
}
