//! Examples as people have them: files of several formats, whose rows are of several forms.
//!
//! ```json
//! {"prompt": "10 + 22 - 24 =", "target": "8 0 0 0"}
//! {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
//! {"text": "Once upon a time"}
//! ```
//!
//! [`ExampleReader`] reads JSON Lines, a JSON array, CSV, TSV and Parquet, packed by gzip or Zstandard or not, and
//! [`ExampleForm`] makes [`Record`]s of their rows.

mod conversation;
mod form;
mod parquet;
mod parts;
mod reader;
mod rows;
mod table;

pub use conversation::{ChatTurn, Conversation};
pub use form::{ExampleForm, Fields};
pub use reader::ExampleReader;

use crate::corpus::Text;
use crate::jsonl::PromptTarget;

/// An example, before it is tokenised.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The target carries the loss.
    PromptTarget(PromptTarget),
    /// All of the text carries it.
    Text(String),
    /// An answer of a conversation carries it.
    Chat(ChatTurn),
}

impl Record {
    /// Bytes of its texts, about.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::PromptTarget(pair) => pair.prompt.len() + pair.target.len(),
            Self::Text(text) => text.len(),
            Self::Chat(turn) => turn.key().iter().map(String::len).sum(),
        };
        bytes as u64
    }

    /// Texts by which the same example is known again, in whatever form it stands: the prompt and the
    /// target, without space around them.
    pub fn key(&self) -> [String; 2] {
        let trimmed = |text: &str| text.trim().to_owned();
        match self {
            Self::PromptTarget(pair) => [trimmed(&pair.prompt), trimmed(&pair.target)],
            Self::Text(text) => [String::new(), trimmed(text)],
            Self::Chat(turn) => turn.key(),
        }
    }
}
