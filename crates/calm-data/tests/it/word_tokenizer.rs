//! The tokenizer of a key-value dataset, read by the library.

use calm_data::kv::{EOS_ID, KvConfig, KvDataset, UNKNOWN};
use calm_data::{EncodedText, Tokenize, TokenizeError, Tokenizing, TooLong};
use tokenizers::Tokenizer;

#[derive(Debug)]
pub(crate) struct WordTokenizer {
    pub(crate) library: Tokenizer,
    pub(crate) json: String,
}

impl WordTokenizer {
    pub(crate) fn laptop() -> Self {
        let json = KvDataset::new(KvConfig::laptop()).unwrap().tokenizer_json();
        Self {
            library: Tokenizer::from_bytes(&json).unwrap(),
            json,
        }
    }

    pub(crate) fn with(&self, context: usize, too_long: TooLong) -> Tokenizing<'_> {
        Tokenizing {
            tokenizer: self,
            end_of_text: EOS_ID,
            context,
            too_long,
            cut_texts: false,
            chat: None,
            finds_words: false,
        }
    }
}

impl Tokenize for WordTokenizer {
    fn encode(&self, text: &str, with_special: bool) -> Result<EncodedText, TokenizeError> {
        let encoding = self.library.encode(text, with_special)?;
        let mask = encoding.get_special_tokens_mask().iter();
        let unknown = self.library.token_to_id(UNKNOWN);
        let unknown = encoding
            .get_ids()
            .iter()
            .position(|id| Some(*id) == unknown);
        Ok(EncodedText {
            ids: encoding.get_ids().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
            special: mask.take_while(|special| **special == 1).count(),
            unknown_word: unknown.map(|at| {
                let (start, end) = encoding.get_offsets()[at];
                text[start..end].to_owned()
            }),
        })
    }

    fn is_special(&self, id: u32) -> bool {
        let token = self.library.id_to_token(id);
        token.is_some_and(|token| self.library.get_added_vocabulary().is_special_token(&token))
    }

    fn json(&self) -> &str {
        &self.json
    }
}
