//! Whether a file can be a model of fastText.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use crate::DataError;

/// Begins a model of fastText.
const MAGIC: i32 = 793_712_314;

/// Checks that the sizes that a file gives are not beyond its own, so that none is allocated in vain.
pub(super) fn check(path: &Path) -> Result<(), DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let size = file.metadata().map_err(DataError::io(path))?.len();
    let mut model = ModelFile {
        file: BufReader::new(file),
        size,
    };
    model.check().map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "is cut short; fetch it again",
            io::ErrorKind::InvalidData => "is no model of fastText",
            _ => return DataError::io(path)(error),
        };
        DataError::file(path, reason)
    })
}

struct ModelFile {
    file: BufReader<File>,
    size: u64,
}

impl ModelFile {
    fn check(&mut self) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        if self.size < 8 || self.i32()? != MAGIC {
            return Err(invalid());
        }
        self.i32()?;
        let width = self.i32()?;
        self.skip(52)?;
        let [all, words, labels] = [self.i32()?, self.i32()?, self.i32()?];
        self.skip(8)?;
        let pruned = self.i64()?;
        // A word has at least its end, its count and its kind.
        self.fits(i64::from(all), 10)?;
        if i64::from(words) + i64::from(labels) != i64::from(all) || words < 0 {
            return Err(invalid());
        }
        for _ in 0..all {
            while self.byte()? != 0 {}
            self.skip(9)?;
        }
        if pruned > 0 {
            self.fits(pruned, 8)?;
            self.skip(pruned as u64 * 8)?;
        }
        let is_quantised = self.byte()? != 0;
        self.matrix(is_quantised, i64::from(width))?;
        let is_output_quantised = self.byte()? != 0;
        let rows = self.matrix(is_quantised && is_output_quantised, i64::from(width))?;
        match rows == i64::from(labels) && labels > 0 {
            true => Ok(()),
            false => Err(invalid()),
        }
    }

    /// Goes over a matrix that has `width` columns, and returns its rows.
    fn matrix(&mut self, is_quantised: bool, width: i64) -> io::Result<i64> {
        let has_norms = is_quantised && self.byte()? != 0;
        let [rows, columns] = [self.i64()?, self.i64()?];
        if columns != width {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !is_quantised {
            self.fits(rows, columns.saturating_mul(4))?;
            self.skip((rows * columns * 4) as u64)?;
            return Ok(rows);
        }
        let codes = self.i32()?;
        self.fits(i64::from(codes), 1)?;
        self.skip(codes as u64)?;
        self.quantiser()?;
        if has_norms {
            self.fits(rows, 1)?;
            self.skip(rows as u64)?;
            self.quantiser()?;
        }
        Ok(rows)
    }

    fn quantiser(&mut self) -> io::Result<()> {
        let width = self.i32()?;
        self.skip(12)?;
        self.fits(i64::from(width), 256 * 4)?;
        self.skip(width as u64 * 256 * 4)
    }

    /// Checks that so many things of so many bytes fit in the file.
    fn fits(&self, count: i64, bytes: i64) -> io::Result<()> {
        let all = count
            .checked_mul(bytes)
            .filter(|_| count >= 0 && bytes >= 0);
        match all.is_some_and(|all| all as u64 <= self.size) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        // Beyond the end nothing can be read any more.
        self.file.seek_relative(bytes as i64)?;
        match self.file.stream_position()? <= self.size {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn i32(&mut self) -> io::Result<i32> {
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    }

    fn i64(&mut self) -> io::Result<i64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        Ok(i64::from_le_bytes(bytes))
    }
}
