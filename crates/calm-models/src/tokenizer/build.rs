//! Tokenizers from vocabularies that are no `tokenizer.json`: `SentencePiece` models, and the
//! metadata of GGUF files.
//!
//! A reader fills a [`Vocabulary`], picks its [`Algorithm`] and a [`Pipeline`], and gets the text of
//! a `tokenizer.json` by [`tokenizer_json`], of which
//! [`Tokenizer::from_json`](crate::Tokenizer::from_json) makes the tokenizer. So it is checked, saved,
//! cut and compared like any other.
//!
//! | kind of file | algorithm | pipeline |
//! | --- | --- | --- |
//! | `SentencePiece`, BPE, of Llama's kind | [`Algorithm::BytePairs`], merges by [`merges_by_id`] or [`merges_by_score`] | [`Pipeline::llama`] |
//! | the same, of Gemma's kind | the same | [`Pipeline::gemma`] |
//! | `SentencePiece`, Unigram | [`Algorithm::Unigram`] | the reader's own |
//! | bytes (GPT-2, Llama 3, Qwen) | [`Algorithm::BytePairs`], merges of the file | [`Pipeline::byte_level`] |

use std::collections::HashMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// Kind of a piece, by the numbers that `SentencePiece` and GGUF share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// 1: made by training.
    Normal,
    /// 2: stands for everything that has no piece.
    Unknown,
    /// 3: special; never made of a text.
    Control,
    /// 4: always whole in a text.
    UserDefined,
    /// 5: never used.
    Unused,
    /// 6: one byte, `<0x0A>`.
    Byte,
}

impl PieceKind {
    /// The kind of a number; none if it has none.
    pub(crate) fn of(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// A piece of a vocabulary. Its place is its id.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Its text, in which `▁` stands for a space.
    pub text: String,
    /// Logarithm of its probability, or its rank among merges.
    pub score: f32,
    pub kind: PieceKind,
}

/// All pieces, by their ids, and the ids with a meaning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    pub pieces: Vec<Piece>,
    /// The piece for what has none.
    pub unknown: Option<u32>,
    /// Whether what has no piece becomes the pieces of its bytes.
    pub byte_fallback: bool,
}

/// Ids of the tokens put around every text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around {
    /// Before it.
    pub begin: Option<u32>,
    /// Behind it.
    pub end: Option<u32>,
}

/// The id of every text; of a text that pieces share, the last one's.
pub(crate) fn ids(pieces: &[Piece]) -> HashMap<&str, u32> {
    let pieces = pieces.iter().zip(0..);
    pieces.map(|(piece, id)| (&*piece.text, id)).collect()
}

impl Vocabulary {
    fn text(&self, id: u32) -> Option<&str> {
        let piece = self.pieces.get(id as usize)?;
        Some(&piece.text)
    }

    fn added_tokens(&self) -> Value {
        let added = self.pieces.iter().zip(0_u32..).filter_map(|(piece, id)| {
            let special = match piece.kind {
                PieceKind::Control | PieceKind::Unknown => true,
                PieceKind::UserDefined => false,
                PieceKind::Normal | PieceKind::Unused | PieceKind::Byte => return None,
            };
            Some(json!({
                "id": id, "content": piece.text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": special,
            }))
        });
        added.collect()
    }

    /// The step that puts tokens around every text.
    fn post_processor(&self, around: Around) -> Value {
        let token = |id: Option<u32>| Some((id?, self.text(id?)?));
        let (begin, end) = (token(around.begin), token(around.end));
        let special =
            |(_, text): (u32, &str)| json!({ "SpecialToken": { "id": text, "type_id": 0 } });
        let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
        let single = |id: &str| {
            let parts = [begin.map(special), Some(text(id)), end.map(special)];
            parts.into_iter().flatten().collect::<Vec<_>>()
        };
        let tokens = [begin, end].into_iter().flatten().map(|(id, text)| {
            (
                text.to_owned(),
                json!({ "id": text, "ids": [id], "tokens": [text] }),
            )
        });
        json!({
            "type": "TemplateProcessing",
            "single": single("A"),
            "pair": ([single("A"), single("B")].concat()),
            "special_tokens": Value::Object(tokens.collect()),
        })
    }
}

/// The algorithm that makes pieces of a text.
#[derive(Debug, Clone)]
pub(crate) enum Algorithm {
    /// The likeliest pieces, by the sum of their scores.
    Unigram,
    /// Pairs of pieces become one, by the order of these merges.
    BytePairs(Vec<(String, String)>),
}

/// Merges in the order of the pieces that they make, of each of them the one with the shortest left
/// side first: what `transformers` makes of a `SentencePiece` model.
pub(crate) fn merges_by_id(pieces: &[Piece]) -> Vec<(String, String)> {
    let mut merges = splits(pieces);
    merges.sort_by_key(|split| (split.whole, split.lengths, split.parts));
    texts(pieces, &merges)
}

/// Merges in the order of the scores of the pieces that they make, the highest first, of each of them
/// the one with the longest left side first: what `transformers` makes of a GGUF file. `score` gives
/// that of an id.
pub(crate) fn merges_by_score(
    pieces: &[Piece],
    score: impl Fn(u32) -> f64,
) -> Vec<(String, String)> {
    let mut merges = splits(pieces);
    merges.sort_by_key(|split| (split.whole, split.parts));
    merges.sort_by(|a, b| {
        let by_score = score(b.whole).total_cmp(&score(a.whole));
        by_score.then(b.lengths.cmp(&a.lengths))
    });
    texts(pieces, &merges)
}

/// Two pieces that are a third together.
struct Split {
    whole: u32,
    parts: (u32, u32),
    /// In characters.
    lengths: (usize, usize),
}

fn splits(pieces: &[Piece]) -> Vec<Split> {
    let ids = ids(pieces);
    let mut splits = Vec::new();
    for (piece, whole) in pieces.iter().zip(0..) {
        let length = piece.text.chars().count();
        let cuts = piece.text.char_indices().map(|(at, _)| at).enumerate();
        splits.extend(cuts.skip(1).filter_map(|(left, at)| {
            let (first, second) = piece.text.split_at(at);
            Some(Split {
                whole,
                parts: (*ids.get(first)?, *ids.get(second)?),
                lengths: (left, length - left),
            })
        }));
    }
    splits
}

fn texts(pieces: &[Piece], merges: &[Split]) -> Vec<(String, String)> {
    let text = |id: u32| pieces[id as usize].text.clone();
    let merges = merges
        .iter()
        .map(|split| (text(split.parts.0), text(split.parts.1)));
    merges.collect()
}

/// Where a space is put before a text, so that its first word is the same as in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrefixSpace {
    /// Nowhere.
    Never,
    /// Before the whole text.
    First,
    /// Before every part between added tokens.
    Always,
}

impl PrefixSpace {
    fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::First => "first",
            Self::Always => "always",
        }
    }

    /// The step that writes spaces as `▁` and puts one before a text; it may split the text at each.
    pub(crate) fn metaspace(self, split: bool) -> Value {
        json!({
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": self.name(), "split": split,
        })
    }
}

/// The steps around the algorithm, in the form of `tokenizer.json`.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    pub decoder: Value,
    /// Settings of the algorithm, over those that [`tokenizer_json`] sets.
    pub model: Value,
}

impl Pipeline {
    /// Of `LlamaTokenizer`: spaces become `▁`, and nothing is split.
    pub(crate) fn llama(prefix: PrefixSpace) -> Self {
        let strip = json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 });
        let strip = (prefix != PrefixSpace::Never).then_some(strip);
        Self {
            normalizer: Value::Null,
            pre_tokenizer: prefix.metaspace(false),
            decoder: byte_fallback_decoder(strip),
            model: json!({ "fuse_unk": true, "byte_fallback": true, "unk_token": null }),
        }
    }

    /// Of `GemmaTokenizer`: spaces become `▁`, none is added.
    pub(crate) fn gemma() -> Self {
        Self {
            normalizer: json!({
                "type": "Replace", "pattern": { "String": " " }, "content": "▁",
            }),
            pre_tokenizer: json!({
                "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious",
                "invert": false,
            }),
            decoder: byte_fallback_decoder(None),
            model: json!({ "fuse_unk": true, "byte_fallback": true }),
        }
    }

    /// Of models whose pieces are bytes, each written as a character; split by `pre_tokenizer`, a step
    /// of `tokenizer.json`.
    pub(crate) fn byte_level(pre_tokenizer: Value) -> Self {
        Self {
            normalizer: Value::Null,
            pre_tokenizer,
            decoder: json!({
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
            }),
            model: json!({ "fuse_unk": false, "unk_token": null }),
        }
    }
}

fn byte_fallback_decoder(last: Option<Value>) -> Value {
    let steps = [
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    let steps: Vec<Value> = steps.into_iter().chain(last).collect();
    json!({ "type": "Sequence", "decoders": steps })
}

/// The text of the `tokenizer.json` of a vocabulary.
///
/// Control pieces and the unknown one are its special tokens; those that users have defined are added
/// tokens. A space that is put before a text comes from the pipeline.
pub(crate) fn tokenizer_json(
    vocabulary: &Vocabulary,
    algorithm: &Algorithm,
    pipeline: Pipeline,
    around: Around,
) -> String {
    let mut settings = match algorithm {
        Algorithm::Unigram => json!({
            "type": "Unigram",
            "unk_id": vocabulary.unknown,
            "byte_fallback": vocabulary.byte_fallback,
        }),
        Algorithm::BytePairs(_) => json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": vocabulary.unknown.and_then(|id| vocabulary.text(id)),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "byte_fallback": vocabulary.byte_fallback,
            "ignore_merges": false,
        }),
    };
    if let Value::Object(of_pipeline) = pipeline.model {
        for (key, value) in of_pipeline {
            settings[key] = value;
        }
    }
    let file = TokenizerFile {
        version: "1.0",
        truncation: (),
        padding: (),
        added_tokens: vocabulary.added_tokens(),
        normalizer: pipeline.normalizer,
        pre_tokenizer: pipeline.pre_tokenizer,
        post_processor: vocabulary.post_processor(around),
        decoder: pipeline.decoder,
        model: Model {
            settings,
            pieces: Pieces {
                pieces: &vocabulary.pieces,
                algorithm,
            },
        },
    };
    serde_json::to_string(&file).expect("all keys are texts")
}

/// A `tokenizer.json`. Vocabularies have hundreds of thousands of pieces and merges, which are written
/// as they stand: as values they would take several times the room.
#[derive(serde::Serialize)]
struct TokenizerFile<'a> {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Model<'a>,
}

#[derive(serde::Serialize)]
struct Model<'a> {
    #[serde(flatten)]
    settings: Value,
    #[serde(flatten)]
    pieces: Pieces<'a>,
}

/// Pieces and merges in the form of an algorithm.
struct Pieces<'a> {
    pieces: &'a [Piece],
    algorithm: &'a Algorithm,
}

impl Serialize for Pieces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.algorithm {
            Algorithm::Unigram => {
                let scored = self.pieces.iter();
                let scored = scored.map(|piece| (&*piece.text, f64::from(piece.score)));
                map.serialize_entry("vocab", &scored.collect::<Vec<_>>())?;
            }
            Algorithm::BytePairs(merges) => {
                map.serialize_entry("vocab", &InOrder(ids(self.pieces)))?;
                map.serialize_entry("merges", merges)?;
            }
        }
        map.end()
    }
}

/// Pieces and their ids, by their ids.
struct InOrder<'a>(HashMap<&'a str, u32>);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut ids: Vec<(&str, u32)> = self.0.iter().map(|(text, id)| (*text, *id)).collect();
        ids.sort_unstable_by_key(|(_, id)| *id);
        serializer.collect_map(ids)
    }
}
