//! A reader that counts lines, and bounds what is read for one record.

use std::io::{self, BufRead, Read};

/// Bytes that are read for one record at most, besides those that wait in a buffer.
const MOST: usize = crate::jsonl::LONGEST_LINE;

/// Counts the lines that were read. Between two calls of [`Self::begin_record`] no more than a bounded
/// number of bytes is read: a lost quote or end tag would otherwise fill the memory.
pub(super) struct Metered<R> {
    inner: R,
    left: usize,
    lines: u64,
}

impl<R> Metered<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            left: MOST,
            lines: 0,
        }
    }

    /// Number of the current line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.lines + 1
    }

    /// Grants the next record its bytes.
    pub(super) fn begin_record(&mut self) {
        self.left = MOST;
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let available = self.inner.fill_buf()?;
        if self.left == 0 && !available.is_empty() {
            let reason = format!("is longer than {MOST} bytes; is its end lost?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(&available[..available.len().min(self.left)])
    }

    fn consume(&mut self, bytes: usize) {
        if let Ok(available) = self.inner.fill_buf() {
            let consumed = &available[..bytes.min(available.len())];
            self.lines += consumed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        self.left = self.left.saturating_sub(bytes);
        self.inner.consume(bytes);
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let bytes = available.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&available[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_an_end() {
        let mut endless = Metered::new(io::BufReader::new(io::repeat(b'\n')));
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("is its end lost?"), "{error}");
        assert_eq!(endless.line(), MOST as u64 + 1);
        endless.begin_record();
        assert_eq!(endless.read(&mut [0; 5]).unwrap(), 5);
        // As long as may be, to the end of the file.
        let mut whole = Metered::new(io::Cursor::new(vec![b'a'; MOST]));
        assert_eq!(io::copy(&mut whole, &mut io::sink()).unwrap(), MOST as u64);
    }
}
