//! TMX, Translation Memory eXchange (versions 1.1 to 1.4b).

mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use super::lines::InvalidUtf8;
use super::marked::INVALID;
use super::sides::Tags;
use super::{Found, InputFile, RecordReader, Sides, Skip};
use crate::DataError;
use crate::corpus::{CorpusSpec, LanguageTag, Segment};
use tokens::{Element, Token, Tokens};

/// Different codes of languages that are remembered for a message.
const MOST_CODES: usize = 20;

/// Translation units of a file, one in memory at a time.
pub(super) struct TmxReader {
    tokens: Tokens,
    tags: Tags,
    languages: Vec<LanguageTag>,
    invalid: InvalidUtf8,
    /// Units so far, and those with all languages.
    units: u64,
    complete: u64,
    /// Codes of languages so far.
    codes: BTreeMap<String, u64>,
}

impl TmxReader {
    pub(super) fn open(
        path: &Path,
        corpus: &CorpusSpec,
        invalid: InvalidUtf8,
    ) -> Result<Self, DataError> {
        let mut tokens = Tokens::open(path, invalid)?;
        match tokens.next()? {
            Token::Start(Element::Tmx) => {}
            Token::Start(_) => {
                return Err(tokens.wrong("is no TMX: its first element is not <tmx>"));
            }
            _ => return Err(tokens.wrong("is no TMX: it has no element")),
        }
        Ok(Self {
            tokens,
            tags: Tags::new(&corpus.tags),
            languages: corpus.languages.clone(),
            invalid,
            units: 0,
            complete: 0,
            codes: BTreeMap::new(),
        })
    }

    /// Reads the rest of a unit.
    fn unit(&mut self) -> Result<Result<Sides, Skip>, DataError> {
        self.units += 1;
        let mut texts: Vec<Option<String>> = vec![None; self.languages.len()];
        let mut is_valid = true;
        loop {
            match self.tokens.next()? {
                Token::Start(Element::Variant(code)) => {
                    let text = self.variant()?;
                    if let Some(place) = self.place(&code)
                        && texts[place].is_none()
                    {
                        is_valid &= text.is_some();
                        texts[place] = Some(text.unwrap_or_default());
                    }
                }
                Token::Start(_) => self.tokens.skip_element()?,
                Token::End => break,
                _ => {}
            }
        }
        if !is_valid {
            return Ok(Err(Skip::InvalidUtf8));
        }
        let sides = texts.into_iter().zip(&self.languages);
        let sides: Option<Vec<Segment>> = sides
            .map(|(text, language)| {
                let language = *language;
                text.map(|text| Segment { language, text })
            })
            .collect();
        let mut sides = sides.into_iter().flatten();
        let Some(source) = sides.next() else {
            return Ok(Err(Skip::OtherLanguage));
        };
        self.complete += 1;
        Ok(Ok((source, sides.next())))
    }

    /// Which side a text of this code is.
    fn place(&mut self, code: &str) -> Option<usize> {
        if let Some(count) = self.codes.get_mut(code) {
            *count += 1;
        } else if self.codes.len() < MOST_CODES {
            self.codes.insert(code.to_owned(), 1);
        }
        let language = self.tags.language(code)?;
        self.languages.iter().position(|wanted| *wanted == language)
    }

    /// Reads the rest of a variant of a unit: the text of its segment, if that is UTF-8.
    fn variant(&mut self) -> Result<Option<String>, DataError> {
        let mut text = Some(String::new());
        loop {
            match self.tokens.next()? {
                Token::Start(Element::Segment) => text = self.segment()?,
                Token::Start(_) => self.tokens.skip_element()?,
                Token::End => return Ok(text),
                _ => {}
            }
        }
    }

    /// Reads the rest of a segment. Codes of other formats in it are no text; what is highlighted is.
    fn segment(&mut self) -> Result<Option<String>, DataError> {
        let mut text = Some(String::new());
        let mut depth = 0;
        loop {
            match self.tokens.next_text()? {
                Token::Start(Element::Code) => self.tokens.skip_element()?,
                Token::Start(_) => depth += 1,
                Token::End if depth == 0 => return Ok(text),
                Token::End => depth -= 1,
                Token::Text if self.is_marked(self.tokens.text()) => text = None,
                Token::Text => {
                    if let Some(text) = &mut text {
                        text.push_str(self.tokens.text());
                    }
                }
                Token::Entity => return Err(self.tokens.unknown_entity()),
                Token::Eof => {}
            }
        }
    }

    /// Whether a text has bytes in it that were not UTF-8.
    fn is_marked(&self, text: &str) -> bool {
        self.invalid == InvalidUtf8::Skip && text.contains(INVALID)
    }

    /// What is said of a file of which nothing is of use.
    fn nothing(&self) -> DataError {
        let codes = self
            .codes
            .iter()
            .map(|(code, count)| format!("{code} ({count})"));
        let codes: Vec<String> = codes.collect();
        let wanted: Vec<&str> = self.languages.iter().map(LanguageTag::as_str).collect();
        let reason = format!(
            "none of its {} units has a text in {}, by the `tags` of the manifest; it has {}",
            self.units,
            wanted.join(" and one in "),
            codes.join(", "),
        );
        DataError::file(self.tokens.path(), reason)
    }
}

impl RecordReader for TmxReader {
    fn next(&mut self) -> Result<Option<Found>, DataError> {
        loop {
            self.tokens.begin_record();
            match self.tokens.next()? {
                Token::Start(Element::Unit) => {
                    let content = self.unit()?;
                    let place = self.units;
                    return Ok(Some(Found { place, content }));
                }
                Token::Eof if self.units > 0 && self.complete == 0 => return Err(self.nothing()),
                Token::Eof => return Ok(None),
                _ => {}
            }
        }
    }

    fn taken(&self) -> u64 {
        self.tokens.tap().taken()
    }

    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError> {
        Ok(vec![InputFile::read(
            self.tokens.path(),
            self.tokens.tap(),
        )?])
    }
}
