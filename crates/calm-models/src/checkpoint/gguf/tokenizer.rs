//! Tokenizers: the vocabulary in the words of `tokenizer.json`.
//!
//! There are two kinds. Those of GPT-2 are merges of characters that stand for bytes; a name says how
//! texts are cut into words. Those of Llama are `SentencePiece`'s, whose merges follow from the scores
//! of the pieces. Steps and merges are those that `transformers` makes of such a file.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::error::{GgufError, short};
use super::pre_tokenizer::PreTokenizer;
use super::{Gguf, TOKEN_TYPES, TOKENS};
use crate::tokenizer::build::{
    Algorithm, Around, Piece, PieceKind, Pipeline, PrefixSpace, Vocabulary, merges_by_score,
    tokenizer_json,
};
use crate::{Family, ModelError, Tokenizer};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
const ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
/// A whole tokenizer.json.
const WHOLE: &str = "tokenizer.huggingface.json";

/// The tokenizer of a file.
pub(super) fn read(gguf: &Gguf) -> Result<Tokenizer, ModelError> {
    if let Some(json) = gguf.checked(gguf.metadata.text(WHOLE))? {
        return Tokenizer::from_json(json.to_owned(), &gguf.path);
    }
    match gguf.checked(gguf.metadata.text(MODEL))? {
        Some("gpt2") => byte_level(gguf),
        Some("llama") => sentencepiece(gguf),
        Some(other) => {
            let reason = format!(
                "is {}; gpt2 and llama can be read. Use the checkpoint's directory with its \
                 tokenizer.json",
                json!(short(other))
            );
            Err(gguf.invalid(GgufError::key(MODEL, reason)))
        }
        None => Err(missing(gguf, MODEL)),
    }
}

fn missing(gguf: &Gguf, key: &str) -> ModelError {
    let reason = "is missing, so the file holds no tokenizer; use the checkpoint's directory with its \
                  tokenizer.json";
    gguf.invalid(GgufError::key(key, reason))
}

fn byte_level(gguf: &Gguf) -> Result<Tokenizer, ModelError> {
    let name = gguf.checked(gguf.metadata.text(PRE))?;
    if matches!(name, None | Some("default")) {
        tracing::warn!(
            "{}: the file does not name how texts are cut into words; taking GPT-2's way",
            gguf.path.display()
        );
    }
    let pre_tokenizer = PreTokenizer::named(name.unwrap_or("default")).ok_or_else(|| {
        let name = json!(short(name.unwrap_or_default()));
        let reason = format!(
            "is {name}, which is not known, so texts would be cut otherwise than the model was trained \
             on; use the checkpoint's directory with its tokenizer.json"
        );
        gguf.invalid(GgufError::key(PRE, reason))
    })?;
    let merges = gguf.checked(gguf.metadata.texts(MERGES))?;
    let merges = merges.ok_or_else(|| missing(gguf, MERGES))?;
    let merges: Option<Vec<(String, String)>> = merges
        .iter()
        .map(|merge| {
            // A space inside a piece is written as another character.
            let (left, right) = merge.split_once(' ')?;
            Some((left.to_owned(), right.to_owned()))
        })
        .collect();
    let merges = merges.ok_or_else(|| {
        gguf.invalid(GgufError::key(
            MERGES,
            "holds a merge that is no two pieces",
        ))
    })?;
    let adds_bos = gguf.checked(gguf.metadata.truth(ADD_BOS))?;
    let (mut vocabulary, around) = vocabulary(gguf, adds_bos.unwrap_or(pre_tokenizer.adds_bos))?;
    spell_as_bytes(&mut vocabulary.pieces);
    vocabulary.unknown = None;
    let mut pipeline = Pipeline::byte_level(pre_tokenizer.json);
    pipeline.model["ignore_merges"] = json!(pre_tokenizer.keeps_words);
    tokenizer(gguf, &vocabulary, merges, pipeline, around)
}

fn tokenizer(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
    merges: Vec<(String, String)>,
    pipeline: Pipeline,
    around: Around,
) -> Result<Tokenizer, ModelError> {
    let json = tokenizer_json(vocabulary, &Algorithm::BytePairs(merges), pipeline, around);
    Tokenizer::from_json(json, &gguf.path)
}

fn sentencepiece(gguf: &Gguf) -> Result<Tokenizer, ModelError> {
    let adds_bos = gguf.checked(gguf.metadata.truth(ADD_BOS))?;
    let (mut vocabulary, around) = vocabulary(gguf, adds_bos.unwrap_or(true))?;
    vocabulary.byte_fallback = true;
    let family = gguf.architecture.family;
    let is_gemma = matches!(family, Family::Gemma | Family::Gemma2 | Family::Gemma3);
    if is_gemma {
        spell_spaces(&mut vocabulary.pieces);
    }
    let pipeline = match family {
        _ if is_gemma => Pipeline::gemma(),
        family => {
            let adds_space = gguf
                .checked(gguf.metadata.truth(ADD_SPACE))?
                .unwrap_or(true);
            llama(adds_space, family == Family::Phi3)
        }
    };
    if !is_gemma {
        vocabulary.unknown = None;
    }
    let merges = match gguf.checked(gguf.metadata.texts(MERGES))? {
        Some(merges) => merges
            .iter()
            .filter_map(|merge| merge.split_once(' '))
            .map(|(left, right)| (left.to_owned(), right.to_owned()))
            .collect(),
        // Those of Gemma are in the order of its pieces, which their scores are not.
        None if is_gemma => merges_by_score(&vocabulary.pieces, |id| -f64::from(id)),
        None => {
            let scores = gguf.checked(gguf.metadata.numbers(SCORES))?;
            let scores = scores.ok_or_else(|| missing(gguf, SCORES))?;
            let score = |id: u32| {
                scores
                    .get(id as usize)
                    .copied()
                    .unwrap_or(f64::NEG_INFINITY)
            };
            merges_by_score(&vocabulary.pieces, score)
        }
    };
    tokenizer(gguf, &vocabulary, merges, pipeline, around)
}

/// The steps of Llama. Phi 3 puts the space before a text, also where the text begins with one.
fn llama(adds_space: bool, is_phi3: bool) -> Pipeline {
    if !adds_space {
        return Pipeline::llama(PrefixSpace::Never);
    }
    let mut pipeline = Pipeline::llama(PrefixSpace::First);
    if is_phi3 {
        pipeline.normalizer = json!({ "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ]});
        pipeline.pre_tokenizer = Json::Null;
    }
    pipeline
}

/// The pieces with their kinds, and the tokens around a text.
fn vocabulary(gguf: &Gguf, adds_bos: bool) -> Result<(Vocabulary, Around), ModelError> {
    let tokens = gguf.tokens()?.ok_or_else(|| missing(gguf, TOKENS))?;
    let types = gguf.token_types()?;
    let kinds = match &types {
        None => vec![PieceKind::Normal; tokens.len()],
        Some(types) if types.len() == tokens.len() => {
            let kinds = types.iter().map(|number| PieceKind::of(*number));
            kinds
                .map(|kind| kind.unwrap_or(PieceKind::Normal))
                .collect()
        }
        Some(types) => {
            let reason = format!("has {} values for {} tokens", types.len(), tokens.len());
            return Err(gguf.invalid(GgufError::key(TOKEN_TYPES, reason)));
        }
    };
    let pieces = tokens.iter().zip(kinds);
    let mut pieces: Vec<Piece> = pieces
        .map(|(text, kind)| Piece {
            text: (*text).to_owned(),
            score: 0.0,
            kind,
        })
        .collect();
    let mut special = |name| -> Result<Option<u32>, ModelError> {
        let id = gguf.token_id(name)?.and_then(|id| u32::try_from(id).ok());
        let piece = id.and_then(|id| pieces.get_mut(id as usize));
        Ok(piece.and_then(|piece| {
            piece.kind = PieceKind::Control;
            id
        }))
    };
    let (bos, eos) = (special("bos")?, special("eos")?);
    let unknown = special("unknown")?;
    special("padding")?;
    let adds_eos = gguf.checked(gguf.metadata.truth(ADD_EOS))?.unwrap_or(false);
    let vocabulary = Vocabulary {
        pieces,
        unknown,
        byte_fallback: false,
    };
    let around = Around {
        begin: bos.filter(|_| adds_bos),
        end: eos.filter(|_| adds_eos),
    };
    Ok((vocabulary, around))
}

/// Pieces of some files are written in plain characters where others have those that stand for
/// bytes.
fn spell_as_bytes(pieces: &mut [Piece]) {
    let spelling = spelling();
    let alphabet: HashMap<char, u8> = (0..=255)
        .map(|byte| (spelling[byte as usize], byte))
        .collect();
    for piece in pieces {
        let is_text = !matches!(piece.kind, PieceKind::Control | PieceKind::UserDefined);
        if is_text
            && !piece
                .text
                .chars()
                .all(|letter| alphabet.contains_key(&letter))
        {
            piece.text = piece
                .text
                .bytes()
                .map(|byte| spelling[byte as usize])
                .collect();
        }
    }
}

/// The character that stands for each byte: itself if it is visible, else one of those from U+0100 on.
fn spelling() -> Vec<char> {
    let is_visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = '\u{100}'..;
    let spell = |byte| match is_visible(byte) {
        true => char::from(byte),
        false => others.next().unwrap_or_default(),
    };
    (0..=255).map(spell).collect()
}

/// Pieces that are nothing but spaces are written with the character that stands for one.
fn spell_spaces(pieces: &mut [Piece]) {
    for piece in pieces {
        if !piece.text.is_empty() && piece.text.chars().all(|letter| letter == ' ') {
            piece.text = "▁".repeat(piece.text.len());
        }
    }
}
