//! `tokenizer.model`: vocabularies of `SentencePiece`, where there is no `tokenizer.json`.
//!
//! `transformers` 5 makes of one what the class of the tokenizer does (`LlamaTokenizer`,
//! `GemmaTokenizer`), or else what the file itself says (`convert_slow_tokenizer.py`,
//! `build_tokenizer_from_spm_proto`); so does this.

use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use super::build::{
    Algorithm, Around, Piece, PieceKind, Pipeline, PrefixSpace, Vocabulary, ids, merges_by_id,
    tokenizer_json,
};
use super::check::check_lengths;
use super::class;
use super::rebuilt;
use super::side_files::SideFiles;
use crate::ModelError;
use crate::files::read_bytes;

/// Vocabularies of a few hundred thousand pieces take some megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// A model of `SentencePiece` (`sentencepiece_model.proto`), as far as encoding needs it.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<ModelPiece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
struct ModelPiece {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3", default = "1")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    /// 1: Unigram, 2: BPE, 3: words, 4: characters.
    #[prost(int32, optional, tag = "3", default = "1")]
    algorithm: Option<i32>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
    #[prost(int32, optional, tag = "40", default = "0")]
    unk_id: Option<i32>,
    #[prost(int32, optional, tag = "41", default = "1")]
    bos_id: Option<i32>,
    #[prost(int32, optional, tag = "42", default = "2")]
    eos_id: Option<i32>,
    #[prost(string, optional, tag = "45", default = "<unk>")]
    unk_piece: Option<String>,
    #[prost(string, optional, tag = "46", default = "<s>")]
    bos_piece: Option<String>,
    #[prost(string, optional, tag = "47", default = "</s>")]
    eos_piece: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", optional, tag = "2")]
    replacements: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3", default = "true")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = "true")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5", default = "true")]
    escape_whitespaces: Option<bool>,
}

/// A `tokenizer.model`.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    trainer: Trainer,
    normalizer: Normalizer,
}

impl SentencePiece {
    /// Reads a `tokenizer.model`.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it is none, or its algorithm is not that of a language model.
    pub(super) fn read(path: &Path) -> Result<Self, ModelError> {
        let invalid = |reason: String| ModelError::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        let bytes = read_bytes(path, MAX_BYTES)?;
        let model = Model::decode(&*bytes).map_err(|error| {
            invalid(format!(
                "it is no model of SentencePiece: {error}; {CONVERT}"
            ))
        })?;
        if model.pieces.is_empty() {
            return Err(invalid(format!("it has no pieces; {CONVERT}")));
        }
        let pieces = model.pieces.iter().map(|piece| {
            let (text, kind) = (piece.text(), piece.kind());
            let kind = PieceKind::of(kind.into());
            let kind = kind.ok_or_else(|| format!("the piece {text:?} has an unknown kind"))?;
            Ok(Piece {
                text: text.to_owned(),
                score: piece.score(),
                kind,
            })
        });
        let pieces = pieces
            .collect::<Result<Vec<_>, String>>()
            .map_err(invalid)?;
        check_lengths(pieces.iter().map(|piece| &*piece.text)).map_err(invalid)?;
        let trainer = model.trainer.unwrap_or_default();
        if !matches!(trainer.algorithm(), UNIGRAM | BYTE_PAIRS) {
            let algorithm =
                "it splits texts into words or characters, which no language model does";
            return Err(invalid(algorithm.to_owned()));
        }
        Ok(Self {
            pieces,
            trainer,
            normalizer: model.normalizer.unwrap_or_default(),
        })
    }

    /// Names the special tokens that no file beside it names.
    pub(super) fn name_tokens(&self, side: &mut SideFiles) {
        if let Some(class) = side.class().filter(|class| class_of(class).is_some()) {
            let names = class::names(class);
            side.name(names);
            return;
        }
        let trainer = &self.trainer;
        let names = [
            ("bos_token", trainer.bos_id(), trainer.bos_piece()),
            ("eos_token", trainer.eos_id(), trainer.eos_piece()),
            ("unk_token", trainer.unk_id(), trainer.unk_piece()),
        ];
        let given = names.into_iter().filter(|(_, id, _)| *id >= 0);
        let given: Vec<_> = given.map(|(name, _, text)| (name, text)).collect();
        side.name(&given);
    }

    /// The text of the `tokenizer.json` that says the same. The files beside it get the names of the
    /// special tokens, where they have none.
    pub(super) fn tokenizer_json(&self, side: &mut SideFiles) -> String {
        self.name_tokens(side);
        let class = side.class().and_then(class_of);
        let (algorithm, pipeline, pieces) = match class {
            Some(Class::Llama) => {
                let pipeline = rebuilt::llama(side);
                (
                    Algorithm::BytePairs(merges_by_id(&self.pieces)),
                    pipeline,
                    self.pieces.clone(),
                )
            }
            Some(Class::Gemma) => {
                let merges = merges_by_id(&self.pieces);
                (
                    Algorithm::BytePairs(merges),
                    Pipeline::gemma(),
                    self.pieces.clone(),
                )
            }
            None => self.as_it_says(side),
        };
        let asked = |setting, name| {
            let text = side
                .flag(setting)
                .unwrap_or(false)
                .then(|| side.special_token(name))?;
            ids(&pieces).get(text?).copied()
        };
        let around = Around {
            begin: asked("add_bos_token", "bos_token"),
            end: asked("add_eos_token", "eos_token"),
        };
        let vocabulary = Vocabulary {
            unknown: u32::try_from(self.trainer.unk_id()).ok(),
            byte_fallback: self.trainer.byte_fallback(),
            pieces,
        };
        let json = tokenizer_json(&vocabulary, &algorithm, pipeline, around);
        if class.is_none() && self.normalizer.add_dummy_prefix() {
            // Each part between added tokens then gets its own first space.
            side.find_unnormalized();
        }
        json
    }

    /// Encodes as `SentencePiece` itself does.
    fn as_it_says(&self, side: &SideFiles) -> (Algorithm, Pipeline, Vec<Piece>) {
        let mut pieces = self.pieces.clone();
        let is_bpe = self.trainer.algorithm() == BYTE_PAIRS;
        if is_bpe {
            rename(&mut pieces, side);
        }
        let user_defined: Vec<&str> = of_kind(&pieces, PieceKind::UserDefined).collect();
        let has_user_defined = !user_defined.is_empty();
        let pipeline = Pipeline {
            normalizer: self.normalizing(side),
            pre_tokenizer: self.splitting(user_defined, side),
            decoder: self.decoding(),
            model: match is_bpe {
                true => json!({ "fuse_unk": true, "ignore_merges": has_user_defined }),
                false => Value::Null,
            },
        };
        let algorithm = match is_bpe {
            true => Algorithm::BytePairs(merges_of_normal(&pieces)),
            false => Algorithm::Unigram,
        };
        // They are split off in their places, so that they need not be added.
        for piece in &mut pieces {
            if piece.kind == PieceKind::UserDefined {
                piece.kind = PieceKind::Normal;
            }
        }
        (algorithm, pipeline, pieces)
    }

    fn normalizing(&self, side: &SideFiles) -> Value {
        let mut steps = Vec::new();
        let replacements = self.normalizer.replacements();
        if !replacements.is_empty() {
            let table = base64::encode(replacements);
            steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": table }));
        }
        if self.normalizer.remove_extra_whitespaces() {
            steps.push(replace(&json!({ "Regex": r"\A +| +\z" }), ""));
            steps.push(replace(&json!({ "Regex": " {2,}" }), " "));
        }
        if self.normalizer.escape_whitespaces() {
            steps.push(replace(&json!({ "String": " " }), "▁"));
        }
        if self.normalizer.add_dummy_prefix() && is_legacy(side) {
            // Metaspace puts none before a text that begins with one.
            steps.push(replace(&json!({ "Regex": r"\A▁" }), "▁▁"));
        }
        json!({ "type": "Sequence", "normalizers": steps })
    }

    fn splitting(&self, mut user_defined: Vec<&str>, side: &SideFiles) -> Value {
        let mut steps = Vec::new();
        if self.normalizer.add_dummy_prefix() {
            let prefix = match is_legacy(side) {
                true => PrefixSpace::Always,
                false => PrefixSpace::First,
            };
            steps.push(prefix.metaspace(false));
        }
        if !user_defined.is_empty() {
            user_defined.sort_by_key(|text| std::cmp::Reverse(text.chars().count()));
            let escaped: Vec<String> = user_defined.into_iter().map(escaped).collect();
            steps.push(json!({
                "type": "Split", "pattern": { "Regex": escaped.join("|") },
                "behavior": "Isolated", "invert": false,
            }));
        }
        match steps.is_empty() {
            true => Value::Null,
            false => json!({ "type": "Sequence", "pretokenizers": steps }),
        }
    }

    fn decoding(&self) -> Value {
        let mut steps = vec![replace(&json!({ "String": "▁" }), " ")];
        let byte_fallback = self.trainer.byte_fallback();
        if byte_fallback {
            steps.push(json!({ "type": "ByteFallback" }));
        }
        if byte_fallback || self.normalizer.add_dummy_prefix() {
            steps.push(json!({ "type": "Fuse" }));
        }
        if self.normalizer.add_dummy_prefix() {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        json!({ "type": "Sequence", "decoders": steps })
    }
}

/// A class of tokenizers that does as it does, whatever the file says.
enum Class {
    Llama,
    Gemma,
}

fn class_of(name: &str) -> Option<Class> {
    match name {
        "LlamaTokenizer" => Some(Class::Llama),
        "GemmaTokenizer" => Some(Class::Gemma),
        _ => None,
    }
}

const UNIGRAM: i32 = 1;
const BYTE_PAIRS: i32 = 2;

/// How a file becomes a `tokenizer.json` that is not read here.
pub(super) const CONVERT: &str = "transformers converts it: \
    AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) writes a tokenizer.json";

/// Whether every part between added tokens begins with a space, rather than the text alone.
fn is_legacy(side: &SideFiles) -> bool {
    side.flag("legacy").unwrap_or(true)
}

fn replace(pattern: &Value, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": pattern, "content": content })
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn of_kind(pieces: &[Piece], kind: PieceKind) -> impl Iterator<Item = &str> {
    let pieces = pieces.iter().filter(move |piece| piece.kind == kind);
    pieces.map(|piece| &*piece.text)
}

/// Pieces that stand for tokens which `added_tokens_decoder` gives a name.
fn rename(pieces: &mut [Piece], side: &SideFiles) {
    let names: Vec<(usize, &str)> = side.listed().collect();
    let is_named = |id: usize| names.iter().any(|(named, _)| *named == id);
    let kept: Vec<String> = pieces
        .iter()
        .enumerate()
        .filter(|(id, _)| !is_named(*id))
        .map(|(_, piece)| piece.text.clone())
        .collect();
    for (id, name) in names {
        if let Some(piece) = pieces
            .get_mut(id)
            .filter(|_| !kept.iter().any(|text| text == name))
        {
            piece.text = name.to_owned();
        }
    }
}

/// Merges of the pieces that training made, in the order of the scores of what they make.
fn merges_of_normal(pieces: &[Piece]) -> Vec<(String, String)> {
    let mut ranked: Vec<(f32, usize, &str, &str)> = Vec::new();
    let normal: std::collections::HashSet<&str> = of_kind(pieces, PieceKind::Normal).collect();
    for (id, piece) in pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| piece.kind == PieceKind::Normal)
    {
        let cuts = piece
            .text
            .char_indices()
            .skip(1)
            .map(|(at, _)| piece.text.split_at(at));
        let merges = cuts.filter(|(left, right)| normal.contains(left) && normal.contains(right));
        ranked.extend(merges.map(|(left, right)| (piece.score, id, left, right)));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(b.2)));
    let merges = ranked.into_iter();
    merges
        .map(|(_, _, left, right)| (left.to_owned(), right.to_owned()))
        .collect()
}
