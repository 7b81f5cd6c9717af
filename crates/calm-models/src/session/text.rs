//! Tokens as text: decoded one by one, and ended by stop texts.

use crate::{ModelError, Tokenizer};

/// After so many tokens, none of which ends with a whole character, their text is given out as it
/// is: a character has four bytes at most, so these are bytes of none.
const MAX_HELD_BACK: usize = 64;

/// Stands for bytes that are no character, or not yet.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Decodes tokens one by one, and gives out whole characters only.
///
/// Some tokens hold part of a character, such as a byte of an emoji; they are held back until the
/// rest has come. The pieces add up to what [`Tokenizer::decode`] makes of all tokens, as long as
/// they make characters at all. Special tokens stand for no text. A token costs the decoding of a
/// few tokens before it, however long the text is.
///
/// ```
/// # use std::path::Path;
/// # use calm_models::{TextStream, Tokenizer};
/// # let path = Path::new("tests/fixtures/text/byte-level.json");
/// let tokenizer = Tokenizer::load(path)?;
/// let mut stream = TextStream::new(&tokenizer);
/// let mut text = String::new();
/// for id in tokenizer.encode("naïve 👩‍🚀", false)?.ids {
///     text += &stream.push(id)?; // empty amid a character
/// }
/// assert_eq!(text + &stream.finish()?, "naïve 👩‍🚀");
/// # Ok::<(), calm_models::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextStream {
    tokenizer: Tokenizer,
    /// The tokens of the last text given out, which decide how the next ones are decoded (some
    /// tokenizers drop a leading space), and those after them.
    window: Vec<u32>,
    /// Number of the window's tokens whose text is all given out.
    done: usize,
    /// Bytes of the window's text that are given out.
    sent: usize,
}

impl TextStream {
    /// A stream before its first token.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            window: Vec::new(),
            done: 0,
            sent: 0,
        }
    }

    /// The text that has become whole with this token.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer cannot decode it.
    pub fn push(&mut self, id: u32) -> Result<String, ModelError> {
        if self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        self.window.push(id);
        let text = self.tokenizer.decode(&self.window, false)?;
        let is_too_much = self.window.len() - self.done >= MAX_HELD_BACK;
        if text.ends_with(REPLACEMENT) && !is_too_much {
            return Ok(self.give(&text, text.trim_end_matches(REPLACEMENT).len()));
        }
        let given = self.give(&text, text.len());
        if is_too_much || !given.is_empty() {
            self.advance()?;
        }
        Ok(given)
    }

    /// The text that is still held back; no token may come after it.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer cannot decode it.
    pub fn finish(&mut self) -> Result<String, ModelError> {
        let text = self.tokenizer.decode(&self.window, false)?;
        Ok(self.give(&text, text.len()))
    }

    /// The window's text behind the part that was given out, up to `end`.
    fn give(&mut self, text: &str, end: usize) -> String {
        if end <= self.sent {
            return String::new();
        }
        // Bytes may have changed the text before them that was given out.
        let start = text.ceil_char_boundary(self.sent);
        self.sent = end;
        text[start..end].to_owned()
    }

    /// Keeps of the window the tokens that were just given out; the next ones are decoded after them.
    fn advance(&mut self) -> Result<(), ModelError> {
        self.window.drain(..self.done);
        self.done = self.window.len();
        self.sent = self.tokenizer.decode(&self.window, false)?.len();
        Ok(())
    }
}

/// The text of one sequence, which ends before any of its stop texts.
#[derive(Debug)]
pub(super) struct TextOutput {
    stream: TextStream,
    stop_texts: Vec<String>,
    /// Text that may be the beginning of a stop text.
    held: String,
}

impl TextOutput {
    pub(super) fn new(tokenizer: &Tokenizer, stop_texts: Vec<String>) -> Self {
        Self {
            stream: TextStream::new(tokenizer),
            stop_texts,
            held: String::new(),
        }
    }

    /// The text that can be shown after this token, and whether a stop text follows it.
    pub(super) fn push(&mut self, id: u32) -> Result<(String, bool), ModelError> {
        let text = self.stream.push(id)?;
        Ok(self.receive(&text))
    }

    /// The text that was held back, and whether a stop text follows it.
    pub(super) fn finish(&mut self) -> Result<(String, bool), ModelError> {
        let rest = self.stream.finish()?;
        let (mut text, is_over) = self.receive(&rest);
        if !is_over {
            text += &std::mem::take(&mut self.held);
        }
        Ok((text, is_over))
    }

    fn receive(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self
            .stop_texts
            .iter()
            .filter_map(|stop| self.held.find(stop));
        if let Some(end) = found.min() {
            self.held.truncate(end);
            return (std::mem::take(&mut self.held), true);
        }
        let begun = self.stop_texts.iter().map(|stop| begun(&self.held, stop));
        let held = begun.max().unwrap_or(0);
        let held = self.held.split_off(self.held.len() - held);
        (std::mem::replace(&mut self.held, held), false)
    }
}

/// Number of bytes at the end of `text` that a `stop` text begins with, short of all of it.
fn begun(text: &str, stop: &str) -> usize {
    let mut beginnings = stop.char_indices().map(|(end, _)| end).rev();
    let longest = beginnings.find(|end| text.ends_with(&stop[..*end]));
    longest.unwrap_or(0)
}
