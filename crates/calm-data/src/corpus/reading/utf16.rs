//! UTF-16 as UTF-8, piece by piece.

use std::io::{self, BufRead};

use super::pieces::Pieces;

/// Text of a file in UTF-16, in which some tools export TMX.
pub(super) struct Utf16Text<R> {
    inner: R,
    unit: fn([u8; 2]) -> u16,
    /// First half of a pair that stands for one character.
    high: Option<u16>,
}

impl<R: BufRead> Utf16Text<R> {
    /// A reader behind the byte order mark, if these first bytes are one.
    pub(super) fn unit_of(begin: &[u8]) -> Option<fn([u8; 2]) -> u16> {
        match begin {
            [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
            [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
            _ => None,
        }
    }

    /// Reads what comes behind the mark.
    pub(super) fn new(mut inner: R, unit: fn([u8; 2]) -> u16) -> Self {
        inner.consume(2);
        Self {
            inner,
            unit,
            high: None,
        }
    }

    /// A unit whose bytes lie in two buffers.
    fn one_unit(&mut self, units: &mut Vec<u16>) -> io::Result<()> {
        let mut pair = [0; 2];
        match self.inner.read(&mut pair[..1])? {
            0 => Ok(()),
            _ => {
                self.inner.read_exact(&mut pair[1..])?;
                units.push((self.unit)(pair));
                Ok(())
            }
        }
    }
}

impl<R: BufRead> Pieces for Utf16Text<R> {
    fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = String::new();
        let available = self.inner.fill_buf()?;
        let whole = available.len() / 2 * 2;
        let mut units: Vec<u16> = self.high.take().into_iter().collect();
        units.extend(
            available[..whole]
                .chunks_exact(2)
                .map(|pair| (self.unit)([pair[0], pair[1]])),
        );
        self.inner.consume(whole);
        if whole == 0 {
            self.one_unit(&mut units)?;
        }
        // A half that may be completed by what comes next.
        if let Some(&last) = units.last()
            && (0xd800..0xdc00).contains(&last)
            && !self.inner.fill_buf()?.is_empty()
        {
            self.high = units.pop();
        }
        for decoded in char::decode_utf16(units) {
            let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "is no valid UTF-16");
            text.push(decoded.map_err(invalid)?);
        }
        let has_more = !text.is_empty() || self.high.is_some();
        Ok(has_more.then(|| text.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;
    use crate::corpus::reading::pieces::PieceReader;

    fn read(bytes: &[u8], capacity: usize) -> io::Result<String> {
        let mut inner = BufReader::with_capacity(capacity, bytes);
        let unit = Utf16Text::<BufReader<&[u8]>>::unit_of(inner.fill_buf()?).unwrap();
        let mut text = String::new();
        PieceReader::new(Utf16Text::new(inner, unit)).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn buffers_may_end_anywhere() {
        let text = "\u{feff}<tu> moni, a\u{1f600}b \u{1f1f2}\u{1f1fc}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for capacity in [2, 3, 4, 5, 64] {
            assert_eq!(read(&little, capacity).unwrap(), &text[3..], "{capacity}");
            assert_eq!(read(&big, capacity).unwrap(), &text[3..], "{capacity}");
        }
    }

    #[test]
    fn half_a_character_is_an_error() {
        for bytes in [
            &b"\xff\xfea\0b"[..],
            b"\xff\xfe\x3d\xd8",
            b"\xff\xfe\x3d\xd8a\0",
            b"\xff\xfe\0\xdca\0",
        ] {
            assert!(read(bytes, 64).is_err(), "{bytes:?}");
        }
        assert_eq!(read(b"\xff\xfe", 64).unwrap(), "");
    }
}
