//! Continuations as text: shown while they are written, and ended by texts.

use std::ops::ControlFlow;

use crate::generate::{CausalLm, GenerateOptions, SharedPrefix, generate_after};
use crate::{ModelError, Tokenizer};

/// After so many tokens, none of which ends with a whole character, what they make is given out as
/// it is: a character has four bytes at most, so these are bytes of none.
const MAX_HELD_BACK: usize = 64;

/// What a decoder writes for bytes that are no character, or not yet.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Decodes tokens one by one, and gives out whole characters only.
///
/// Some tokens hold part of a character, such as a byte of an emoji; they are held back until the
/// rest has come. What is given out adds up to what [`Tokenizer::decode`] makes of all tokens, as
/// long as they make characters at all. Special tokens stand for no text.
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
    /// How many of the window's tokens are all given out.
    done: usize,
    /// How many bytes of the window's text are.
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

    /// The text that is whole now that this token has come.
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

    /// What is still held back, of which no more will come.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer cannot decode it.
    pub fn finish(&mut self) -> Result<String, ModelError> {
        let text = self.tokenizer.decode(&self.window, false)?;
        Ok(self.give(&text, text.len()))
    }

    /// The window's text from what was given out up to `end`.
    fn give(&mut self, text: &str, end: usize) -> String {
        if end <= self.sent {
            return String::new();
        }
        // What was given out reads differently if bytes after it have spoilt it.
        let start = text.ceil_char_boundary(self.sent);
        self.sent = end;
        text[start..end].to_owned()
    }

    /// Leaves the tokens that were just given out as what the next ones are decoded after.
    fn advance(&mut self) -> Result<(), ModelError> {
        self.window.drain(..self.done);
        self.done = self.window.len();
        self.sent = self.tokenizer.decode(&self.window, false)?.len();
        Ok(())
    }
}

/// Looks for the texts that end a continuation.
#[derive(Debug)]
struct StopTexts<'a> {
    stop: &'a [String],
    /// What has come and may be the beginning of a stop text.
    held: String,
}

impl StopTexts<'_> {
    /// What can be shown now that `text` has come, and whether that is all.
    fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self.stop.iter().filter_map(|stop| self.held.find(stop));
        if let Some(end) = found.min() {
            self.held.truncate(end);
            return (std::mem::take(&mut self.held), true);
        }
        let begun = self.stop.iter().map(|stop| begun(&self.held, stop)).max();
        let held = self.held.split_off(self.held.len() - begun.unwrap_or(0));
        (std::mem::replace(&mut self.held, held), false)
    }
}

/// The bytes at the end of `text` that `stop` begins with, short of all of it.
fn begun(text: &str, stop: &str) -> usize {
    let mut beginnings = stop.char_indices().map(|(end, _)| end).rev();
    let longest = beginnings.find(|end| text.ends_with(&stop[..*end]));
    longest.unwrap_or(0)
}

/// [`GenerateOptions`], and texts that end a continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct TextOptions {
    /// How tokens are chosen, and which end a continuation.
    pub tokens: GenerateOptions,
    /// Any of these ends a continuation, which is cut before it.
    pub stop_texts: Vec<String>,
}

/// One prompt's continuation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextContinuation {
    /// What was shown, without the stop text.
    pub text: String,
    /// The new tokens, those of a stop text included.
    pub ids: Vec<u32>,
    /// Whether a stop token or a stop text came, or whoever was shown the text had enough.
    pub stopped: bool,
}

/// Continues every prompt, and shows each row's text to `show` while it is written, in pieces of
/// whole characters. `show` may end the row.
///
/// # Errors
///
/// As [`generate`](crate::generate); [`ModelError::EmptyStopText`]; [`ModelError::Tokenize`] if the
/// tokenizer cannot decode what the model writes.
pub fn generate_text<M: CausalLm>(
    model: &M,
    tokenizer: &Tokenizer,
    prompts: &[Vec<u32>],
    options: &TextOptions,
    show: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<TextContinuation>, ModelError> {
    generate_text_after(model, tokenizer, None, prompts, options, show)
}

/// [`generate_text`], where the prefix is not computed again for prompts that all begin with it.
///
/// # Errors
///
/// As [`generate_text`].
pub fn generate_text_after<M: CausalLm>(
    model: &M,
    tokenizer: &Tokenizer,
    prefix: Option<&SharedPrefix<M>>,
    prompts: &[Vec<u32>],
    options: &TextOptions,
    mut show: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Vec<TextContinuation>, ModelError> {
    if let Some(index) = options.stop_texts.iter().position(String::is_empty) {
        return Err(ModelError::EmptyStopText { index });
    }
    let row = |_| Row::new(tokenizer, &options.stop_texts);
    let mut rows: Vec<Row> = prompts.iter().map(row).collect();
    let continuations = generate_after(model, prefix, prompts, &options.tokens, |index, id| {
        let row = &mut rows[index];
        let piece = row.stream.push(id)?;
        Ok(row.receive(&piece, |text| show(index, text)))
    })?;
    let rows = rows.into_iter().zip(continuations).enumerate();
    rows.map(|(index, (row, continuation))| {
        let (text, is_cut) = row.finish(|text| show(index, text))?;
        Ok(TextContinuation {
            text,
            ids: continuation.ids,
            stopped: continuation.stopped || is_cut,
        })
    })
    .collect()
}

/// A continuation in the making.
struct Row<'a> {
    stream: TextStream,
    stop: StopTexts<'a>,
    text: String,
    is_over: bool,
}

impl<'a> Row<'a> {
    fn new(tokenizer: &Tokenizer, stop: &'a [String]) -> Self {
        Self {
            stream: TextStream::new(tokenizer),
            stop: StopTexts {
                stop,
                held: String::new(),
            },
            text: String::new(),
            is_over: false,
        }
    }

    fn receive(
        &mut self,
        piece: &str,
        show: impl FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (text, is_over) = self.stop.push(piece);
        self.is_over = is_over;
        let wanted = self.show(&text, show);
        if is_over {
            ControlFlow::Break(())
        } else {
            wanted
        }
    }

    fn show(
        &mut self,
        text: &str,
        mut show: impl FnMut(&str) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        self.text.push_str(text);
        let wanted = show(text);
        self.is_over |= wanted.is_break();
        wanted
    }

    /// Shows what was held back. Returns the whole text, and whether something cut it.
    fn finish(
        mut self,
        mut show: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(String, bool), ModelError> {
        if !self.is_over {
            let rest = self.stream.finish()?;
            let _ = self.receive(&rest, &mut show);
        }
        if !self.is_over {
            let rest = std::mem::take(&mut self.stop.held);
            let _ = self.show(&rest, &mut show);
        }
        Ok((self.text, self.is_over))
    }
}
