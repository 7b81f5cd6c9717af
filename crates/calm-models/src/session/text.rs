//! Tokens as text: decoded one by one, each in its place behind the prompt.

use crate::{ModelError, Tokenizer};

/// After so many tokens, none of which ends with a whole character, their text is given out as it
/// is: a character has four bytes at most, so these are bytes of none.
const MAX_HELD_BACK: usize = 64;

/// Tokens of a context at least: those that decide how the next ones are decoded. One would do for
/// nearly all decoders.
const MIN_CONTEXT: usize = 4;

/// Tokens of a context at most, if no shorter one has any text of its own.
const MAX_CONTEXT: usize = 64;

/// Stands for bytes that are no character, or not yet.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Decodes tokens one by one, in their place, and gives out whole characters only.
///
/// The text of a token depends on those before it: some decoders drop the first space of a text,
/// others put spaces between tokens. So the text of a continuation is that of the prompt and the
/// continuation, decoded together, less that of the prompt. A stream gives it out piece by piece; the
/// pieces add up to it as long as the tokens make characters at all. Only a few tokens before each one
/// are decoded with it, however long the text is.
///
/// Some tokens hold part of a character, such as a byte of an emoji; they are held back until the
/// rest has come. A character that the prompt breaks off belongs to the continuation. Special tokens
/// stand for no text.
///
/// ```
/// # use std::path::Path;
/// # use calm_models::{TextStream, Tokenizer};
/// # let path = Path::new("tests/fixtures/text/byte-fallback.json");
/// let tokenizer = Tokenizer::load(path)?;
/// let ids = tokenizer.encode("naïve naïve 👩‍🚀", true)?.ids;
/// let (prompt, continuation) = ids.split_at(6);
/// let mut stream = TextStream::after(&tokenizer, prompt)?;
/// let mut text = tokenizer.decode(prompt, true)?;
/// for id in continuation {
///     text += &stream.push(*id)?; // empty amid a character
/// }
/// assert_eq!(text + &stream.finish()?, "naïve naïve 👩‍🚀");
/// # Ok::<(), calm_models::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextStream {
    tokenizer: Tokenizer,
    /// Tokens whose text is all given out or the prompt's, which decide how the next ones are decoded;
    /// and those after them.
    window: Vec<u32>,
    /// Number of the window's tokens whose text is all given out.
    done: usize,
    /// The window's text that is given out, or the prompt's. The tokens behind it may change its end.
    given: String,
}

impl TextStream {
    /// A stream at the beginning of a text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            window: Vec::new(),
            done: 0,
            given: String::new(),
        }
    }

    /// A stream behind these tokens.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer cannot decode them.
    pub fn after(tokenizer: &Tokenizer, prompt: &[u32]) -> Result<Self, ModelError> {
        let mut stream = Self::new(tokenizer);
        let is_text = |id: &&u32| !tokenizer.is_special(**id);
        let last = prompt.iter().rev().filter(is_text).take(MAX_CONTEXT);
        stream.window = last.copied().collect();
        stream.window.reverse();
        stream.advance()?;
        Ok(stream)
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
        let end = match is_too_much {
            true => text.len(),
            false => self.settled(&text),
        };
        let piece = self.give(&text, end);
        if end == text.len() && (is_too_much || !piece.is_empty()) {
            self.advance()?;
        }
        Ok(piece)
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

    /// The window's text up to `end`, behind the part that was given out.
    fn give(&mut self, text: &str, end: usize) -> String {
        let mut start = common_beginning(&self.given, text);
        if start < self.settled(&self.given) {
            // Bytes that are no characters have changed what was given out, which stays.
            start = text.ceil_char_boundary(self.given.len());
        }
        if end <= start {
            return String::new();
        }
        text[..end].clone_into(&mut self.given);
        text[start..end].to_owned()
    }

    /// Length of the part of a text that the next tokens do not change.
    fn settled(&self, text: &str) -> usize {
        let whole = text.trim_end_matches(REPLACEMENT);
        whole.len() - self.tokenizer.unsettled(whole)
    }

    /// Keeps of the window the last tokens whose text decides how the next ones are decoded: all its
    /// text is given out.
    fn advance(&mut self) -> Result<(), ModelError> {
        let mut len = MIN_CONTEXT;
        loop {
            let start = self.window.len().saturating_sub(len);
            let text = self.tokenizer.decode(&self.window[start..], false)?;
            if start == 0 || is_context(&text) {
                self.window.drain(..start);
                self.done = self.window.len();
                self.given = text;
                return Ok(());
            }
            len *= 2;
        }
    }
}

/// Whether a decoder that changes the beginning of a text has no more of it to change: it begins with
/// a whole character, and is more than spaces.
fn is_context(text: &str) -> bool {
    !text.starts_with(REPLACEMENT) && !text.trim().is_empty()
}

/// Length of the characters that both texts begin with.
fn common_beginning(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// The text of a token amid others, where it may begin with a space; its name in the vocabulary if it
/// is special, or a part of a character.
pub fn token_text(tokenizer: &Tokenizer, id: u32) -> String {
    let name = tokenizer.token(id).unwrap_or_default();
    // Some decoders put spaces between words, which are part of none.
    if tokenizer
        .decode(&[id], false)
        .is_ok_and(|text| text == name)
    {
        return name;
    }
    let amid = TextStream::after(tokenizer, &[id]).and_then(|mut stream| {
        let text = stream.push(id)?;
        let rest = stream.finish()?;
        let is_whole = rest.is_empty() && !text.is_empty() && !text.contains(REPLACEMENT);
        Ok(is_whole.then_some(text))
    });
    amid.ok().flatten().unwrap_or(name)
}
