//! Text to token ids and back.

pub(crate) mod build;
mod check;
mod class;
mod clean_up;
mod growing;
mod open;
mod rebuilt;
mod sentence_piece;
pub(crate) mod side_files;
mod token_lists;

use std::sync::{Arc, OnceLock};

use calm_backend::guard;
use calm_files::{Digest, Sha256, hex};
use tokenizers::ModelWrapper;

use self::clean_up::CleanUp;
use self::growing::Cut;
pub use self::growing::GrowingText;
pub(crate) use self::open::special_tokens;
use crate::ModelError;

/// A tokenizer, as Hugging Face's library reads it from a `tokenizer.json` and the files beside it.
///
/// Truncation and padding that the file may ask for are switched off: what a text becomes depends
/// on the text alone.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    json: Arc<str>,
    largest_id: Option<u32>,
    /// Number of embeddings of its model, if it has one: no text may hold a token beyond.
    embeddings: Option<usize>,
    /// Number of tokens that it puts behind every text.
    behind: usize,
    clean_up: CleanUp,
    /// Worked out when it is asked for: that reads the whole file once more.
    cut: Arc<OnceLock<Option<Cut>>>,
    sha256: Arc<OnceLock<String>>,
}

/// A text's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Each token's bytes in the text, start and end, which are between characters: tokens that
    /// share a character share its bytes. Empty for tokens that stand for no text.
    pub offsets: Vec<(usize, usize)>,
    /// Number of tokens at the beginning that the tokenizer puts before every text.
    pub special: usize,
}

impl Tokenizer {
    /// The same for a model with so many embeddings: a text that holds a token beyond them is an
    /// error.
    #[must_use]
    pub fn for_embeddings(mut self, embeddings: usize) -> Self {
        self.embeddings = Some(embeddings);
        self
    }

    /// The text of a `tokenizer.json`: as it was read, or with the tokens of the files beside it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Name of the algorithm that makes tokens of words.
    pub fn kind(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// The special tokens, by their ids.
    pub fn special_tokens(&self) -> Vec<(u32, String)> {
        let added = self.inner.get_added_tokens_decoder().into_iter();
        let mut special: Vec<(u32, String)> = added
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (id, token.content))
            .collect();
        special.sort();
        special
    }

    /// Id of every word outside the vocabulary, if the tokens are words.
    pub fn unknown_word_id(&self) -> Option<u32> {
        match self.inner.get_model() {
            ModelWrapper::WordLevel(words) => self.inner.token_to_id(&words.unk_token),
            _ => None,
        }
    }

    /// Encodes a text; `with_special` adds what the tokenizer puts around every text, such as a
    /// token for its beginning.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer has no token for part of the text,
    /// [`ModelError::NoEmbedding`] if its model has none for one of them.
    pub fn encode(&self, text: &str, with_special: bool) -> Result<Encoded, ModelError> {
        let encoding = run(|| self.inner.encode(text, with_special))?;
        // A token may be one byte of a character; its text is then all of it.
        let offsets = encoding.get_offsets().iter().map(|(start, end)| {
            let start = text.floor_char_boundary(*start);
            (start, text.ceil_char_boundary(*end).max(start))
        });
        let special = encoding.get_special_tokens_mask().iter();
        Ok(Encoded {
            ids: self.embedded(encoding.get_ids())?,
            offsets: offsets.collect(),
            special: special.take_while(|special| **special == 1).count(),
        })
    }

    /// The ids of a text that may go on: with what the tokenizer puts before every text, without
    /// what it puts behind it.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::encode`].
    pub fn encode_unfinished(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = run(|| self.inner.encode_fast(text, true))?;
        let mut ids = self.embedded(encoding.get_ids())?;
        ids.truncate(ids.len().saturating_sub(self.behind));
        Ok(ids)
    }

    /// The ids of a text alone.
    pub(crate) fn encode_bare(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = run(|| self.inner.encode_fast(text, false))?;
        self.embedded(encoding.get_ids())
    }

    /// Ids of a text, each of which has an embedding.
    fn embedded(&self, ids: &[u32]) -> Result<Vec<u32>, ModelError> {
        let embeddings = self.embeddings.unwrap_or(usize::MAX);
        match ids.iter().find(|id| **id as usize >= embeddings) {
            Some(id) => Err(ModelError::NoEmbedding {
                token: self.token(*id).unwrap_or_default(),
                id: *id,
                vocab_size: embeddings,
            }),
            None => Ok(ids.to_vec()),
        }
    }

    pub(crate) fn cut(&self) -> Option<&Cut> {
        self.cut.get_or_init(|| Cut::of(&self.json)).as_ref()
    }

    /// Whether an id is that of a token beside the model's own vocabulary.
    pub(crate) fn is_added(&self, id: u32) -> bool {
        let added = self.inner.get_added_vocabulary();
        added.get_added_tokens_decoder().contains_key(&id)
    }

    /// The text of these ids; `skip_special` leaves out tokens that stand for no text.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer cannot decode them.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, ModelError> {
        let is_text = |id: &u32| !(skip_special && self.is_special(*id));
        if !ids.iter().any(is_text) {
            // The library panics at no tokens with some decoders.
            return Ok(String::new());
        }
        let text = run(|| self.inner.decode(ids, skip_special))?;
        Ok(self.clean_up.apply(text))
    }

    /// Bytes at the end of a text that the next tokens may change.
    pub(crate) fn unsettled(&self, text: &str) -> usize {
        self.clean_up.unsettled(text)
    }

    /// Whether an id is that of a special token, which stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.inner.get_added_vocabulary();
        let token = added.get_added_tokens_decoder().get(&id);
        token.is_some_and(|token| added.is_special_token(&token.content))
    }

    /// The id of a token, if there is such a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, if there is one.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Size of the vocabulary: one more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.largest_id.map_or(0, |id| id as usize + 1)
    }

    /// Whether its model, if it has one, has an embedding for every token.
    pub fn is_embedded(&self) -> bool {
        let beyond = |embeddings| self.largest_id.is_some_and(|id| id as usize >= embeddings);
        !self.embeddings.is_some_and(beyond)
    }

    /// SHA-256 of the vocabulary: for every token by ascending id, id (four bytes) and length of the
    /// token (eight bytes), both little-endian, and its UTF-8.
    ///
    /// Of the vocabulary and not of the file: libraries write the same tokenizer in different ways,
    /// and what a model was trained on is which token has which id.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| {
            let mut tokens: Vec<(u32, String)> = self
                .inner
                .get_vocab(true)
                .into_iter()
                .map(|(token, id)| (id, token))
                .collect();
            tokens.sort_unstable();
            let mut hash = Sha256::new();
            for (id, token) in tokens {
                hash.update(id.to_le_bytes());
                hash.update((token.len() as u64).to_le_bytes());
                hash.update(token);
            }
            hex(hash.finalize())
        })
    }

    /// Whether every token has the same id in both, so that two models read the same tokens.
    pub fn has_same_ids(&self, other: &Self) -> bool {
        self.json == other.json || self.inner.get_vocab(true) == other.inner.get_vocab(true)
    }
}

/// The library believes the files it reads: what it panics at becomes an error.
fn guarded<T>(library: impl FnOnce() -> T) -> Result<T, String> {
    guard(library)
        .map_err(|reason| format!("it is damaged, the tokenizer library gave up: {reason}"))
}

fn run<T>(library: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, ModelError> {
    let outcome = guarded(library).and_then(|outcome| outcome.map_err(|error| error.to_string()));
    outcome.map_err(|reason| ModelError::Tokenize { reason })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn from_json(json: impl Into<Arc<str>>) -> Result<Tokenizer, ModelError> {
        Tokenizer::from_json(json, Path::new("tokenizer.json"))
    }

    fn words(padding: &str) -> Tokenizer {
        let json = format!(
            r#"{{"version":"1.0","truncation":{{"direction":"Right","max_length":2,
            "strategy":"LongestFirst","stride":0}},"padding":{padding},
            "added_tokens":[{{"id":9,"content":"<s>","single_word":false,"lstrip":false,
            "rstrip":false,"normalized":false,"special":true}}],"normalizer":null,
            "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
            "model":{{"type":"WordLevel","vocab":{{"one":0,"two":1,"<s>":9}},"unk_token":"?"}}}}"#
        );
        from_json(json).unwrap()
    }

    #[test]
    fn ids_offsets_and_text() {
        let tokenizer = words("null");
        let encoded = tokenizer.encode("one two one", false).unwrap();
        assert_eq!(encoded.ids, [0, 1, 0], "truncation is off");
        assert_eq!(encoded.offsets, [(0, 3), (4, 7), (8, 11)]);
        assert_eq!(tokenizer.decode(&[9, 0, 1], true).unwrap(), "one two");
        assert_eq!(tokenizer.decode(&[9, 0, 1], false).unwrap(), "<s> one two");
        assert_eq!(
            (tokenizer.token_id("<s>"), tokenizer.token_id("six")),
            (Some(9), None)
        );
        assert_eq!(tokenizer.token(1).as_deref(), Some("two"));
        assert_eq!(tokenizer.vocab_size(), 10);
        assert!(tokenizer.is_special(9) && !tokenizer.is_special(0));
        assert_eq!(tokenizer.special_tokens(), [(9, "<s>".to_owned())]);
        assert_eq!(tokenizer.kind(), "WordLevel");
    }

    #[test]
    fn an_unfinished_text_has_what_comes_before_it_only() {
        let around = r#""post_processor":{"type":"TemplateProcessing","single":[
            {"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
            {"SpecialToken":{"id":"<s>","type_id":0}}],"pair":[],
            "special_tokens":{"<s>":{"id":"<s>","ids":[9],"tokens":["<s>"]}}}"#;
        let plain = words("null");
        let json = plain.json().replace("\"post_processor\":null", around);
        let around = from_json(json).unwrap();
        assert_eq!(around.encode("one", true).unwrap().ids, [9, 0, 9]);
        assert_eq!(around.encode_unfinished("one").unwrap(), [9, 0]);
        assert_eq!(around.encode_unfinished("").unwrap(), [9]);
        assert_eq!(plain.encode_unfinished("one <s>").unwrap(), [0, 9]);
        assert!(plain.encode_unfinished("").unwrap().is_empty());
    }

    #[test]
    fn texts_without_a_token_are_errors() {
        let error = words("null").encode("three", false).unwrap_err();
        assert!(matches!(error, ModelError::Tokenize { .. }), "{error}");
        assert!(from_json("{}").is_err());
    }

    /// The error for [`words`] with a part written otherwise.
    #[track_caller]
    fn refused(part: &str, damaged: &str) -> String {
        let json = words("null").json().to_owned();
        let start = json.find(&format!("\"{part}\":")).unwrap() + part.len() + 3;
        let end = start + json[start..].find(",\"").unwrap();
        let json = format!("{}{damaged}{}", &json[..start], &json[end..]);
        from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn what_the_library_panics_at_is_an_error() {
        let charsmap = r#"{"type":"Precompiled","precompiled_charsmap":"?"}"#;
        let sequence = format!(r#"{{"type":"Sequence","normalizers":[{charsmap}]}}"#);
        let deep = r#"{"type":"Sequence","decoders":["#.repeat(200) + &"]}".repeat(200);
        let single = r#"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],
            "pair":[],"special_tokens":{}}"#;
        for (part, damaged, words) in [
            ("decoder", "{5}", "key must be a string"),
            ("decoder", &deep, "recursion limit"),
            (
                "decoder",
                r#"{"type":"Strip","stop":1e400}"#,
                "number out of range",
            ),
            ("normalizer", charsmap, "normalizer: Invalid"),
            ("normalizer", &sequence, "normalizer: Invalid"),
            (
                "pre_tokenizer",
                r#"{"type":"FixedLength","length":0}"#,
                "chunk size must be non-zero",
            ),
            ("post_processor", single, "index out of bounds"),
        ] {
            let message = refused(part, damaged);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn texts_do_not_grow_beyond_measure() {
        let twice = r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#;
        let sequence = |steps: usize| {
            let steps = vec![twice; steps].join(",");
            format!(r#"{{"type":"Sequence","normalizers":[{steps}]}}"#)
        };
        assert!(refused("normalizer", &sequence(40)).contains("times as long"));
        let json = words("null").json().to_owned();
        let few = json.replace(
            r#""normalizer":null"#,
            &format!(r#""normalizer":{}"#, sequence(3)),
        );
        assert!(from_json(few).is_ok());
    }

    #[test]
    fn panics_while_decoding_are_errors() {
        let strip = r#""decoder":{"type":"Strip","content":"o","start":1,"stop":1}"#;
        let json = words("null").json().to_owned();
        let json = json.replace(r#""decoder":null"#, strip);
        let json = json.replace(r#""two":1"#, r#""two":1,"o":2"#);
        let tokenizer = from_json(json).unwrap();
        assert_eq!(tokenizer.decode(&[1], false).unwrap(), "tw");
        let error = tokenizer.decode(&[2], false).unwrap_err();
        assert!(matches!(error, ModelError::Tokenize { .. }), "{error}");
    }

    #[test]
    fn ids_put_around_texts_count() {
        let post = r#""post_processor":{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
            "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[77],"tokens":["<s>"]}}}"#;
        let json = words("null").json().to_owned();
        let json = json.replace(r#""post_processor":null"#, post);
        let json = json.replace(r#""unk_token":"?""#, r#""unk_token":"one""#);
        assert_eq!(from_json(json).unwrap().vocab_size(), 78);
    }

    #[test]
    fn same_ids_do_not_need_the_same_file() {
        let padding = r#"{"strategy":"BatchLongest","direction":"Right",
            "pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"<s>"}"#;
        assert!(words("null").has_same_ids(&words(padding)));
        let other = words("null").json().replace("\"two\":1", "\"two\":2");
        assert!(!words("null").has_same_ids(&from_json(other).unwrap()));
    }
}
