//! The text of a sequence, which ends before its stop texts.

use std::ops::Range;

use super::text::TextStream;
use crate::{ModelError, Tokenizer};

/// The text of one sequence, which ends before any of its stop texts.
///
/// A stop text may hold special tokens, which are looked for in their places, though they are never
/// shown.
#[derive(Debug)]
pub(super) struct TextOutput {
    tokenizer: Tokenizer,
    stream: TextStream,
    stop_texts: Vec<String>,
    /// Text that may be the beginning of a stop text.
    held: String,
    /// The special tokens in it.
    special: Vec<Range<usize>>,
}

impl TextOutput {
    /// The text behind these tokens.
    pub(super) fn after(
        tokenizer: &Tokenizer,
        prompt: &[u32],
        stop_texts: Vec<String>,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            tokenizer: tokenizer.clone(),
            stream: TextStream::after(tokenizer, prompt)?,
            stop_texts,
            held: String::new(),
            special: Vec::new(),
        })
    }

    /// The text that can be shown after this token, and whether a stop text follows it.
    pub(super) fn push(&mut self, id: u32) -> Result<(String, bool), ModelError> {
        let text = self.stream.push(id)?;
        self.held.push_str(&text);
        if self.tokenizer.is_special(id) {
            self.push_special(&self.tokenizer.token(id).unwrap_or_default());
        }
        Ok(self.take_settled())
    }

    /// The text that was held back, and whether a stop text follows it.
    pub(super) fn finish(&mut self) -> Result<(String, bool), ModelError> {
        self.held += &self.stream.finish()?;
        let (mut text, is_over) = self.take_settled();
        if !is_over {
            text += &self.take(self.held.len());
        }
        Ok((text, is_over))
    }

    /// A special token matters to the stop texts that hold it.
    fn push_special(&mut self, token: &str) {
        if self.stop_texts.iter().any(|stop| stop.contains(token)) {
            let start = self.held.len();
            self.held.push_str(token);
            self.special.push(start..self.held.len());
        }
    }

    /// The text before a stop text, or before what may be one.
    fn take_settled(&mut self) -> (String, bool) {
        let stop_texts = self.stop_texts.iter();
        if let Some(end) = stop_texts.filter_map(|stop| self.find(stop)).min() {
            let text = self.take(end);
            self.held.clear();
            self.special.clear();
            return (text, true);
        }
        let begun = self.stop_texts.iter().map(|stop| begun(&self.held, stop));
        let held = begun.max().unwrap_or(0);
        (self.take(self.held.len() - held), false)
    }

    /// Where a stop text begins. It is not part of a special token.
    fn find(&self, stop: &str) -> Option<usize> {
        let cuts = |at: usize| {
            self.special
                .iter()
                .any(|token| token.start < at && at < token.end)
        };
        let mut found = self.held.match_indices(stop).map(|(at, _)| at);
        found.find(|at| !cuts(*at) && !cuts(*at + stop.len()))
    }

    /// Takes the held text up to here, without the special tokens.
    fn take(&mut self, end: usize) -> String {
        let rest = self.held.split_off(end);
        let mut text = std::mem::replace(&mut self.held, rest);
        let behind = self.special.partition_point(|token| token.start < end);
        for token in self.special.drain(..behind).rev() {
            text.replace_range(token.start..token.end.min(end), "");
        }
        for token in &mut self.special {
            *token = token.start - end..token.end - end;
        }
        text
    }
}

/// Number of bytes at the end of `text` that a `stop` text begins with, short of all of it.
fn begun(text: &str, stop: &str) -> usize {
    let mut beginnings = stop.char_indices().map(|(end, _)| end).rev();
    let longest = beginnings.find(|end| text.ends_with(&stop[..*end]));
    longest.unwrap_or(0)
}
