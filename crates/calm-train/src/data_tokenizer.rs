//! The tokenizer of a frozen model, for data.

use calm_data::{EncodedText, Tokenize, TokenizeError};
use calm_models::Tokenizer;

/// Tokenises data with the tokenizer of a frozen model, whose library runs behind
/// [`guard`](calm_backend::guard).
///
/// calm-data knows no models, so it reads texts through the trait [`Tokenize`].
#[derive(Debug, Clone, Copy)]
pub struct DataTokenizer<'a>(pub &'a Tokenizer);

impl Tokenize for DataTokenizer<'_> {
    fn encode(&self, text: &str, with_special: bool) -> Result<EncodedText, TokenizeError> {
        let encoded = self.0.encode(text, with_special)?;
        let unknown = self.0.unknown_word_id();
        let unknown = encoded.ids.iter().position(|id| Some(*id) == unknown);
        let word = |position| {
            let (start, end) = encoded.offsets[position];
            text[start..end].to_owned()
        };
        Ok(EncodedText {
            unknown_word: unknown.map(word),
            special: encoded.special,
            ids: encoded.ids,
            offsets: encoded.offsets,
        })
    }

    fn is_special(&self, id: u32) -> bool {
        self.0.is_special(id)
    }

    fn json(&self) -> &str {
        self.0.json()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use calm_data::encode_prompt;
    use calm_data::kv::{KvConfig, KvDataset};

    use super::*;

    #[test]
    fn words_and_their_special_tokens_are_those_of_the_model() {
        let json = KvDataset::new(KvConfig::laptop()).unwrap().tokenizer_json();
        let model = Tokenizer::from_json(json, Path::new("tokenizer.json")).unwrap();
        let tokenizer = DataTokenizer(&model);
        let encoded = tokenizer.encode("1 + </s>", true).unwrap();
        assert_eq!((encoded.special, encoded.ids.len()), (1, 4));
        assert_eq!(encoded.unknown_word, None);
        let error = encode_prompt(&tokenizer, 3, "1 + zzzzzzz =").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("example 3: \"zzzzzzz\" is not one token")
        );
    }
}
