//! The tokens of a text that grows, without tokenising all of it over and over.

use serde_json::Value;

use crate::{ModelError, Tokenizer};

/// Places at which a text can be cut: the tokens of both sides together are those of the whole,
/// whatever is on either side.
///
/// A place is in front of a space that has a character other than a space before it, and one that is
/// neither a space nor a sign for one behind it. Tokenizers of these kinds can be cut there, if no
/// added token has a space in it or reaches beyond its own text, and none may begin or has just ended
/// at the place:
///
/// * A pattern splits the text into pieces, none of which has a space behind another character
///   (byte-level ones of GPT-2, Llama 3, Qwen and GPT-4, and words), and each piece is tokenised by
///   itself. The other side keeps its space.
/// * A space is written as `▁`, and so is one put before every text, as in SentencePiece. Then the
///   space itself becomes the one that is put before the other side. Either the text is split at
///   every `▁`, or it is merged as a whole, and no token of the vocabulary has a `▁` behind another
///   character, so that no merge reaches across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Whether the other side begins behind the space, rather than with it.
    behind_space: bool,
    /// The first characters of added tokens.
    added: Vec<char>,
}

/// Patterns of byte-level tokenizers: GPT-2 (and what is short for it), GPT-4 and Llama 3, Qwen 2.
const PATTERNS: [&str; 3] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
];

const SPACE_SIGN: char = '▁';

impl Cut {
    /// The places of a tokenizer with this `tokenizer.json`, if it is known to have any.
    pub(crate) fn of(json: &str) -> Option<Self> {
        let file: Value = serde_json::from_str(json).ok()?;
        let added = file["added_tokens"].as_array()?;
        let model = &file["model"];
        if !added.iter().all(keeps_to_itself) || !model["dropout"].is_null() {
            return None;
        }
        let normalizers = parts(&file["normalizer"], "normalizers");
        let pieces = parts(&file["pre_tokenizer"], "pretokenizers");
        let behind_space = match (&*normalizers, &*pieces) {
            // None of these puts together, or takes apart, a character and a space after it.
            ([], pieces) if splits_before_spaces(pieces) => false,
            ([form], pieces) if is_normal_form(form) && splits_before_spaces(pieces) => false,
            ([prepend, replace], [])
                if prepend["type"] == "Prepend"
                    && prepend["prepend"] == "▁"
                    && replace["type"] == "Replace"
                    && replace["pattern"]["String"] == " "
                    && replace["content"] == "▁"
                    && merges_before_signs(model) =>
            {
                true
            }
            ([], [metaspace]) if splits_at_signs(metaspace) => true,
            _ => return None,
        };
        let contents = added.iter().filter_map(|token| token["content"].as_str());
        Some(Self {
            behind_space,
            added: contents
                .filter_map(|content| content.chars().next())
                .collect(),
        })
    }

    /// The last place in `text`, behind its first character, where it can be cut.
    fn last_in(&self, text: &str) -> Option<usize> {
        let mut spaces = text.rmatch_indices(' ').map(|(at, _)| at);
        spaces.find(|at| {
            let is_other = |c: char| !c.is_whitespace() && c != SPACE_SIGN;
            let before = text[..*at].chars().next_back();
            let behind = text[*at + 1..].chars().next();
            let begins_added = |c| self.added.contains(&c);
            before.is_some_and(is_other) && behind.is_some_and(|c| is_other(c) && !begins_added(c))
        })
    }
}

/// A step of the pipeline, or the steps of a sequence.
fn parts<'a>(step: &'a Value, of: &str) -> Vec<&'a Value> {
    match step {
        Value::Null => Vec::new(),
        step if step["type"] == "Sequence" => step[of].as_array().into_iter().flatten().collect(),
        step => vec![step],
    }
}

/// Whether an added token is found wherever its text is, and takes nothing around it.
fn keeps_to_itself(token: &Value) -> bool {
    let content = token["content"].as_str().unwrap_or(" ");
    let reaches = ["single_word", "lstrip", "rstrip"].map(|key| token[key] != false);
    !content.contains([' ', SPACE_SIGN]) && reaches == [false; 3]
}

fn is_normal_form(step: &Value) -> bool {
    matches!(step["type"].as_str(), Some("NFC" | "NFD" | "NFKC" | "NFKD"))
}

/// Whether pieces never have a space behind another character.
fn splits_before_spaces(steps: &[&Value]) -> bool {
    let is_plain = |step: &Value, regex: bool| {
        step["type"] == "ByteLevel"
            && step["add_prefix_space"] == false
            && (step["use_regex"] != false) == regex
    };
    match steps {
        [step] if is_plain(step, true) => true,
        [step] => matches!(
            step["type"].as_str(),
            Some("Whitespace" | "WhitespaceSplit")
        ),
        [split, bytes] => {
            let pattern = split["pattern"]["Regex"].as_str();
            split["type"] == "Split"
                && split["behavior"] == "Isolated"
                && split["invert"] == false
                && pattern.is_some_and(|pattern| PATTERNS.contains(&pattern))
                && is_plain(bytes, false)
        }
        _ => false,
    }
}

fn splits_at_signs(step: &Value) -> bool {
    step["type"] == "Metaspace"
        && step["replacement"] == "▁"
        && step["prepend_scheme"] == "always"
        && step["split"] == true
}

/// Whether no merge makes a token in which the sign for a space is behind another character.
fn merges_before_signs(model: &Value) -> bool {
    let is_plain = ["continuing_subword_prefix", "end_of_word_suffix"]
        .iter()
        .all(|key| matches!(&model[*key], Value::Null) || model[*key] == "");
    let reaches = |token: &String| token.trim_start_matches(SPACE_SIGN).contains(SPACE_SIGN);
    let vocabulary = model["vocab"].as_object();
    model["type"] == "BPE"
        && model["ignore_merges"] != true
        && is_plain
        && vocabulary.is_some_and(|vocab| vocab.contains_key("▁") && !vocab.keys().any(reaches))
}

/// Tokenises a text again and again while it grows.
///
/// The result is exactly [`Tokenizer::encode_unfinished`] of the whole text, or its tokens alone.
/// Where the tokenizer is known to allow it, text far from the end is not tokenised again.
#[derive(Debug, Clone)]
pub struct GrowingText {
    tokenizer: Tokenizer,
    /// Whether the tokens begin with those that the tokenizer puts before a text.
    with_start: bool,
    /// The text up to here will have these tokens for good.
    settled: usize,
    ids: Vec<u32>,
}

/// A cut is looked for when so many bytes are not settled: about a dozen words.
const UNSETTLED_BYTES: usize = 64;

impl GrowingText {
    /// A text that is empty so far. `with_start` begins with the tokens that the
    /// tokenizer puts before a text.
    pub fn new(tokenizer: &Tokenizer, with_start: bool) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            with_start,
            settled: 0,
            ids: Vec::new(),
        }
    }

    /// The tokens of `text`, which begins with the text of the last call.
    ///
    /// # Errors
    ///
    /// [`ModelError::Tokenize`] if the tokenizer has no token for part of the text.
    ///
    /// # Panics
    ///
    /// May panic if it begins otherwise.
    pub fn encode(&mut self, text: &str) -> Result<Vec<u32>, ModelError> {
        if text.len() > self.settled + UNSETTLED_BYTES {
            self.settle(text)?;
        }
        let mut ids = self.ids.clone();
        ids.extend(self.encode_from_settled(text)?);
        Ok(ids)
    }

    /// Forgets the text, so that another one may come.
    pub fn start_over(&mut self) {
        self.settled = 0;
        self.ids.clear();
    }

    /// Settles all that can be.
    fn settle(&mut self, text: &str) -> Result<(), ModelError> {
        // A place right after the last cut is none: there is nothing between.
        let rest = &text[self.settled + usize::from(self.settled > 0)..];
        let cut = self.tokenizer.cut().and_then(|cut| cut.last_in(rest));
        let Some(cut) = cut else {
            return Ok(());
        };
        let cut = cut + text.len() - rest.len();
        let ids = self.encode_from_settled(&text[..cut])?;
        // After an added token, a text begins anew.
        if ids.last().is_some_and(|id| self.tokenizer.is_added(*id)) {
            return Ok(());
        }
        self.ids.extend(ids);
        self.settled = cut;
        Ok(())
    }

    fn encode_from_settled(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let behind_space = self.tokenizer.cut().is_some_and(|cut| cut.behind_space);
        match (self.settled, self.with_start) {
            (0, true) => self.tokenizer.encode_unfinished(text),
            (0, false) => self.tokenizer.encode_bare(text),
            (cut, _) => self
                .tokenizer
                .encode_bare(&text[cut + usize::from(behind_space)..]),
        }
    }
}
