//! XML as tokens of TMX.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use quick_xml::encoding::EncodingError;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::{Error as XmlError, Reader};

use crate::DataError;
use crate::corpus::reading::bytes::without_mark;
use crate::corpus::reading::lines::{InvalidUtf8, not_utf8};
use crate::corpus::reading::marked::MarkedText;
use crate::corpus::reading::metered::Metered;
use crate::corpus::reading::pieces::PieceReader;
use crate::corpus::reading::source::{Tap, Text, open_text};
use crate::corpus::reading::utf16::Utf16Text;

/// Deepest nesting of elements; that of TMX is far below.
const DEEPEST: usize = 64;

/// Elements that matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// `tmx`.
    Tmx,
    /// `tu`.
    Unit,
    /// `tuv`, with the code of its language.
    Variant(String),
    /// `seg`.
    Segment,
    /// `bpt`, `ept`, `it`, `ph` and `ut`, which hold codes of the document that was translated.
    Code,
    /// Any other, such as `hi`.
    Other,
}

/// A piece of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Start(Element),
    End,
    /// Text, which [`Tokens::text`] holds.
    Text,
    /// A reference to an entity that only a DTD could declare; [`Tokens::text`] holds its name. DTDs
    /// are not read.
    Entity,
    Eof,
}

/// Tokens of a file.
pub(super) struct Tokens {
    path: PathBuf,
    tap: Tap,
    xml: Reader<Metered<Box<dyn BufRead + Send>>>,
    buffer: Vec<u8>,
    text: String,
    depth: usize,
    /// Line of the last token's beginning.
    line: u64,
    is_utf16: bool,
}

impl Tokens {
    pub(super) fn open(path: &Path, invalid: InvalidUtf8) -> Result<Self, DataError> {
        let (mut text, tap) = open_text(path)?;
        let begin = text.fill_buf().map_err(DataError::io(path))?;
        let unit = Utf16Text::<Text>::unit_of(begin);
        let text: Box<dyn BufRead + Send> = match unit {
            Some(unit) => Box::new(BufReader::new(PieceReader::new(Utf16Text::new(text, unit)))),
            None => {
                without_mark(path, &mut text)?;
                match invalid {
                    InvalidUtf8::Error => Box::new(text),
                    InvalidUtf8::Skip => {
                        Box::new(BufReader::new(PieceReader::new(MarkedText::new(text))))
                    }
                }
            }
        };
        let mut xml = Reader::from_reader(Metered::new(text));
        xml.config_mut().expand_empty_elements = true;
        Ok(Self {
            path: path.to_owned(),
            tap,
            xml,
            buffer: Vec::new(),
            text: String::new(),
            depth: 0,
            line: 1,
            is_utf16: unit.is_some(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// What the last token holds.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Grants the next unit its bytes.
    pub(super) fn begin_record(&mut self) {
        self.xml.get_mut().begin_record();
    }

    /// The next token that is no text.
    pub(super) fn next(&mut self) -> Result<Token, DataError> {
        loop {
            match self.next_text()? {
                Token::Text | Token::Entity => {}
                token => return Ok(token),
            }
        }
    }

    /// Reads to the end of an element whose start was read.
    pub(super) fn skip_element(&mut self) -> Result<(), DataError> {
        let mut depth = 1;
        while depth > 0 {
            match self.next_text()? {
                Token::Start(_) => depth += 1,
                Token::End => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// The next token.
    pub(super) fn next_text(&mut self) -> Result<Token, DataError> {
        loop {
            self.line = self.xml.get_ref().line();
            let begin = self.xml.buffer_position();
            self.buffer.clear();
            self.text.clear();
            let token = match self.xml.read_event_into(&mut self.buffer) {
                Ok(event) => token(event, &mut self.text, self.is_utf16),
                Err(XmlError::Encoding(EncodingError::Utf8(error))) => {
                    return Err(self.not_utf8(begin + error.valid_up_to() as u64 + 1));
                }
                Err(error) => Err(explain(&error)),
            };
            let token = token.map_err(|reason| self.wrong(reason))?;
            match token {
                Some(Token::Start(_)) => self.depth += 1,
                Some(Token::End) => self.depth = self.depth.saturating_sub(1),
                Some(Token::Eof) if self.depth > 0 => {
                    let open = self.depth;
                    let reason =
                        format!("is cut short: {open} elements are not closed; fetch it again");
                    return Err(self.wrong(reason));
                }
                _ => {}
            }
            if self.depth > DEEPEST {
                return Err(self.wrong("is nested too deep for TMX"));
            }
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    /// The error about the last token.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> DataError {
        let byte = self.xml.buffer_position();
        let reason = format!("{} (before byte {byte})", reason.into());
        DataError::line(&self.path, self.line as usize, reason)
    }

    /// The error about text that is not UTF-8 from this byte of the file on.
    fn not_utf8(&self, byte: u64) -> DataError {
        DataError::line(&self.path, self.line as usize, not_utf8(byte))
    }

    pub(super) fn unknown_entity(&self) -> DataError {
        let name = self.text.escape_debug().take(40).collect::<String>();
        self.wrong(format!(
            "has the entity &{name};, which only a DTD could explain, and DTDs are not read; \
             write the text itself in its place"
        ))
    }
}

/// The token of an event, unless it is nothing of ours.
fn token(event: Event<'_>, text: &mut String, is_utf16: bool) -> Result<Option<Token>, String> {
    Ok(Some(match event {
        Event::Start(tag) | Event::Empty(tag) => Token::Start(element(&tag)?),
        Event::End(_) => Token::End,
        Event::Text(found) => {
            text.push_str(&found.xml10_content());
            Token::Text
        }
        Event::CData(found) => {
            text.push_str(&found.xml10_content());
            Token::Text
        }
        Event::GeneralRef(reference) => resolve(&reference, text)?,
        Event::Eof => Token::Eof,
        Event::Decl(declaration) => {
            check_encoding(&declaration, is_utf16)?;
            return Ok(None);
        }
        Event::Comment(_) | Event::PI(_) | Event::DocType(_) => return Ok(None),
    }))
}

fn element(tag: &BytesStart<'_>) -> Result<Element, String> {
    Ok(match tag.local_name().as_ref() {
        "tmx" => Element::Tmx,
        "tu" => Element::Unit,
        "tuv" => Element::Variant(language(tag)?),
        "seg" => Element::Segment,
        "bpt" | "ept" | "it" | "ph" | "ut" => Element::Code,
        _ => Element::Other,
    })
}

/// The code of a variant's language: `xml:lang`, or `lang` as version 1.1 has it.
fn language(tag: &BytesStart<'_>) -> Result<String, String> {
    for name in ["xml:lang", "lang"] {
        let found = tag.try_get_attribute(name);
        let found = found.map_err(|error| format!("is no XML: {error}"))?;
        if let Some(attribute) = found {
            return Ok(attribute.value.trim().to_owned());
        }
    }
    Err("has a <tuv> without `xml:lang`".to_owned())
}

/// The character that a reference stands for: one of the five entities of XML, or a number.
fn resolve(reference: &BytesRef<'_>, text: &mut String) -> Result<Token, String> {
    let number = reference.resolve_char_ref();
    let number = number.map_err(|error| format!("is no XML: {error}"))?;
    let name = reference.clone().into_inner();
    let character = number.or(match &*name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    });
    Ok(match character {
        Some(character) => {
            text.push(character);
            Token::Text
        }
        None => {
            text.push_str(&name);
            Token::Entity
        }
    })
}

fn check_encoding(declaration: &BytesDecl<'_>, is_utf16: bool) -> Result<(), String> {
    let Some(Ok(encoding)) = declaration.encoding() else {
        return Ok(());
    };
    let known = ["utf-8", "utf8", "us-ascii", "ascii", "iso646-us"];
    let lower = encoding.to_ascii_lowercase();
    match known.contains(&&*lower) || (is_utf16 && lower.starts_with("utf-16")) {
        true => Ok(()),
        false => {
            let encoding: String = encoding.escape_debug().take(40).collect();
            Err(format!(
                "says that it is in {encoding}; convert it to UTF-8, and its declaration too"
            ))
        }
    }
}

fn explain(error: &XmlError) -> String {
    match error {
        XmlError::Io(error) => error.to_string(),
        other => format!("is no XML: {other}"),
    }
}
