//! UTF-8 with what is invalid marked.

use std::io::{self, BufRead};

use super::pieces::Pieces;

/// Stands in the place of bytes that are not UTF-8. XML has no such character.
pub(super) const INVALID: char = '\u{ffff}';

/// Text of a file in which [`INVALID`] stands for bytes that are not UTF-8, for parsers that end at
/// the first of them.
pub(super) struct MarkedText<R> {
    inner: R,
    /// Beginning of a character that the next bytes may complete.
    rest: Vec<u8>,
}

impl<R: BufRead> MarkedText<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            rest: Vec::new(),
        }
    }
}

impl<R: BufRead> Pieces for MarkedText<R> {
    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let available = self.inner.fill_buf()?;
        let read = available.len();
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(available);
        self.inner.consume(read);
        let mut text = Vec::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.extend_from_slice(chunk.valid().as_bytes());
            let invalid = chunk.invalid();
            if read > 0 && chunks.peek().is_none() && is_beginning(invalid) {
                self.rest = invalid.to_vec();
            } else if !invalid.is_empty() {
                let mark = INVALID.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
                text.extend(mark);
            }
        }
        let has_more = read > 0 || !text.is_empty();
        Ok(has_more.then_some(text))
    }
}

/// Whether more bytes may make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;
    use crate::corpus::reading::pieces::PieceReader;

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
                let mut reader = PieceReader::new(MarkedText::new(inner));
                reader.read_to_string(&mut text).unwrap();
                assert_eq!(text, expected, "{capacity}");
            }
        }
    }
}
