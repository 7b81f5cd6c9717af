//! Examples as questions: a prompt, and the tokens of the right answer.

use calm_compose::ComposedPrompt;
use calm_data::{DataError, Record, TokenizedExample, Tokenizing};
use calm_models::Question;

use crate::ChatTokenizer;

/// An example that a model answers.
#[derive(Debug, Clone)]
pub struct AskedExample {
    /// Tokens of prompt and answer.
    pub question: Question<ComposedPrompt>,
    /// Text of the prompt.
    pub prompt: String,
    /// Text of the answer.
    pub target: String,
}

/// Makes questions of examples, in the tokens that training reads of them.
#[derive(Debug, Clone, Copy)]
pub struct Questions<'a> {
    /// How texts become tokens.
    pub tokenizing: Tokenizing<'a>,
    /// Chat templates, for conversations.
    pub chat: Option<&'a ChatTokenizer>,
}

impl Questions<'_> {
    /// Example number `number` as a question. It may be longer than any model can read.
    ///
    /// # Errors
    ///
    /// As [`Tokenizing::whole`]; [`DataError::NoQuestion`] for a plain text.
    pub fn of(&self, number: usize, record: &Record) -> Result<AskedExample, DataError> {
        let TokenizedExample {
            ids, target_start, ..
        } = self.tokenizing.whole(number, record)?;
        let (prompt_ids, target) = ids.split_at(target_start);
        let (_, target_ids) = target.split_last().unwrap_or((&0, &[]));
        let (prompt, prompt_text, target) = match record {
            Record::PromptTarget(pair) => {
                let prompt = ComposedPrompt::from(prompt_ids.to_vec());
                (prompt, pair.prompt.clone(), pair.target.clone())
            }
            Record::Chat(turn) => {
                let refused = |source| DataError::Tokenizer {
                    example: number,
                    source,
                };
                let chat = self.chat.ok_or(DataError::NoChat { example: number })?;
                let text = chat.prompt_text(turn).map_err(refused)?;
                (chat.prompt(turn).map_err(refused)?, text, turn.answer())
            }
            Record::Text(_) => return Err(DataError::NoQuestion { example: number }),
        };
        Ok(AskedExample {
            question: Question {
                prompt,
                target: target_ids.to_vec(),
            },
            prompt: prompt_text,
            target,
        })
    }

    /// Tokens that end answers to these examples: the end of text, and for conversations all that
    /// end a turn.
    pub fn stop_ids(&self, records: &[Record]) -> Vec<u32> {
        let mut records = records.iter();
        let has_chat = records.any(|record| matches!(record, Record::Chat(_)));
        match self.chat.filter(|_| has_chat) {
            Some(chat) => chat.stop_ids().to_vec(),
            None => vec![self.tokenizing.end_of_text],
        }
    }
}
