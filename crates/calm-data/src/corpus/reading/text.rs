//! Plain text, and pairs of files whose lines belong together, as Moses has them.

use std::path::Path;

use super::lines::{InvalidUtf8, LineReader};
use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::corpus::{LanguageTag, Segment};

/// A text in each line of a file; blank lines separate and are none.
pub(super) struct TextReader {
    lines: LineReader,
    language: LanguageTag,
}

impl TextReader {
    pub(super) fn open(
        path: &Path,
        language: LanguageTag,
        invalid: InvalidUtf8,
    ) -> Result<Self, DataError> {
        let lines = LineReader::open(path, invalid)?;
        Ok(Self { lines, language })
    }
}

impl RecordReader for TextReader {
    fn next(&mut self) -> Result<Option<Found>, DataError> {
        loop {
            let language = self.language;
            let content = match self.lines.next()? {
                None => return Ok(None),
                Some(Some(text)) if text.trim().is_empty() => continue,
                Some(text) => text.ok_or(Skip::InvalidUtf8).map(|text| {
                    let text = text.to_owned();
                    (Segment { language, text }, None)
                }),
            };
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

/// Two files whose lines belong together.
pub(super) struct MosesReader {
    files: [LineReader; 2],
    languages: [LanguageTag; 2],
}

impl MosesReader {
    pub(super) fn open(
        paths: [&Path; 2],
        languages: [LanguageTag; 2],
        invalid: InvalidUtf8,
    ) -> Result<Self, DataError> {
        let open = |path| LineReader::open(path, invalid);
        Ok(Self {
            files: [open(paths[0])?, open(paths[1])?],
            languages,
        })
    }

    /// The error about files of different lengths, with both.
    fn unequal(&self) -> Result<DataError, DataError> {
        let [found, expected] = [&self.files[0], &self.files[1]].map(|lines| {
            // From the beginning, so that neither count depends on where the other ended.
            LineReader::open(lines.path(), InvalidUtf8::Skip)?.count()
        });
        Ok(DataError::Counts {
            path: self.files[0].path().to_owned(),
            found: found? as usize,
            other: self.files[1].path().to_owned(),
            expected: expected? as usize,
        })
    }
}

impl RecordReader for MosesReader {
    fn next(&mut self) -> Result<Option<Found>, DataError> {
        let [source, target] = &mut self.files;
        let lines =
            [source.next()?, target.next()?].map(|line| line.map(|text| text.map(str::to_owned)));
        let [source, target] = match lines {
            [None, None] => return Ok(None),
            [Some(source), Some(target)] => [source, target],
            _ => return Err(self.unequal()?),
        };
        let segment = |language, text| Segment { language, text };
        let content = match (source, target) {
            (Some(source), Some(target)) => Ok((
                segment(self.languages[0], source),
                Some(segment(self.languages[1], target)),
            )),
            _ => Err(Skip::InvalidUtf8),
        };
        let place = self.files[0].line();
        Ok(Some(Found { place, content }))
    }

    fn taken(&self) -> u64 {
        self.files.iter().map(|lines| lines.tap().taken()).sum()
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        let files = self.files.iter();
        files
            .map(|lines| InputFile::read(lines.path(), lines.tap()))
            .collect()
    }
}
