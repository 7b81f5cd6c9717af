//! The vocabulary that all small models share: every key and every number is one token.

use serde_json::{Value, json};

use super::KvDataset;

/// Padding.
pub const PAD: &str = "<pad>";
/// Id of [`PAD`].
pub const PAD_ID: u32 = 0;
/// Beginning of text, which the tokenizer puts before every prompt.
pub const BOS: &str = "<s>";
/// Id of [`BOS`].
pub const BOS_ID: u32 = 1;
/// End of text.
pub const EOS: &str = "</s>";
/// Id of [`EOS`].
pub const EOS_ID: u32 = 2;
/// Any word that is not in the vocabulary, token 3. Data that becomes it is refused.
pub const UNKNOWN: &str = "<unk>";

impl KvDataset {
    /// A word-level `tokenizer.json` in the format of Hugging Face's tokenizers library.
    ///
    /// After the special tokens come the operators and signs, the numbers from 0 to the largest
    /// value, and the keys. Digits of answers are the tokens of the numbers 0 to 9.
    pub fn tokenizer_json(&self) -> String {
        let specials = [PAD, BOS, EOS, UNKNOWN];
        let words = specials
            .into_iter()
            .chain(["+", "-", "×", "=", ":"])
            .map(str::to_owned);
        let numbers = (0..=self.config().largest_value.max(9)).map(|number| number.to_string());
        let keys = self.pairs().map(|(key, _)| key.to_owned());
        let vocabulary: serde_json::Map<String, Value> = words
            .chain(numbers)
            .chain(keys)
            .enumerate()
            .map(|(id, word)| (word, json!(id)))
            .collect();
        let added: Vec<Value> = specials
            .into_iter()
            .enumerate()
            .map(special_token)
            .collect();
        let bos = json!({"SpecialToken": {"id": BOS, "type_id": 0}});
        let first = json!({"Sequence": {"id": "A", "type_id": 0}});
        let second = json!({"Sequence": {"id": "B", "type_id": 1}});
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [bos, first],
                "pair": [bos, first, second],
                "special_tokens": {BOS: {"id": BOS, "ids": [1], "tokens": [BOS]}},
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN},
        });
        format!("{tokenizer:#}")
    }
}

fn special_token((id, content): (usize, &str)) -> Value {
    json!({
        "id": id,
        "content": content,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": true,
    })
}

#[cfg(test)]
mod tests {
    use tokenizers::Tokenizer;

    use super::super::{KeyPool, KvConfig, KvTask};
    use super::*;

    #[test]
    fn every_word_of_the_dataset_is_one_token() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let tokenizer = Tokenizer::from_bytes(dataset.tokenizer_json()).unwrap();
        let unknown = tokenizer.token_to_id(UNKNOWN).unwrap();
        for index in 0..100 {
            for task in KvTask::TABLE {
                let example = dataset.example(task, KeyPool::All, index);
                let text = format!("{} {}", example.prompt, example.target);
                let encoding = tokenizer.encode(text.as_str(), true).unwrap();
                assert_eq!(encoding.get_ids()[0], 1, "text begins with {BOS}");
                assert_eq!(encoding.len(), 1 + text.split(' ').count(), "{text}");
                assert!(!encoding.get_ids().contains(&unknown), "{text}");
                assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), text);
            }
        }
    }

    #[test]
    fn no_key_is_another_word_of_the_vocabulary() {
        let dataset = KvDataset::new(KvConfig::laptop()).unwrap();
        let tokenizer = Tokenizer::from_bytes(dataset.tokenizer_json()).unwrap();
        let (specials, operators, numbers, keys) = (4, 5, 1001, 1000);
        assert_eq!(
            tokenizer.get_vocab_size(true),
            specials + operators + numbers + keys
        );
        let first_key = specials + operators + numbers;
        for (position, (key, _)) in dataset.pairs().enumerate() {
            let id = tokenizer.token_to_id(key).unwrap();
            assert_eq!(id as usize, first_key + position, "{key}");
        }
    }
}
