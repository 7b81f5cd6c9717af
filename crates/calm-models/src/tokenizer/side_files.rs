//! The files beside a `tokenizer.json`: tokens that it lacks, and names of special tokens.
//!
//! Read as `transformers` 5 does (`tokenization_utils_base.py`):
//!
//! * `tokenizer_config.json` names special tokens (`bos_token`, `image_token`) and more of them
//!   (`extra_special_tokens`, formerly `additional_special_tokens`), and lists added tokens
//!   (`added_tokens_decoder`).
//! * Without `added_tokens_decoder`, `special_tokens_map.json` goes over those names, and
//!   `added_tokens.json` lists added tokens; beside it, neither is read.
//! * A token that the vocabulary lacks gets the next id, whatever id a file gives it.
//! * `add_bos_token` and `add_eos_token` mean nothing beside a `tokenizer.json`, which says itself
//!   what is put around a text.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::class;
use super::token_lists::{
    ADDITIONAL, DECODER, EXTRA, NAMES, Names, listed, merge_map, named, tokens,
};
use crate::files::{CONFIG, TOKENIZER, from_json, is_there, read_text};
use crate::{ModelError, warn};

pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";

/// Vocabularies of a few hundred thousand tokens take tens of megabytes.
pub(super) const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

/// Lists of added tokens are a few hundred kilobytes.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// The files beside the `tokenizer.json` of a checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct SideFiles {
    config: Map<String, Value>,
    /// Tokens by the ids that the files give them.
    added: BTreeMap<u32, AddedToken>,
    /// Whether those of `tokenizer.json` come among them.
    with_own: bool,
    named: Vec<(String, AddedToken)>,
    extra: Vec<AddedToken>,
    /// The file that lists `added`, for messages.
    path: PathBuf,
    config_path: PathBuf,
    class: Option<String>,
}

impl SideFiles {
    /// Reads those that there are.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if one is damaged.
    pub(super) fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(TOKENIZER_CONFIG);
        let config = read_object(&path)?;
        let invalid = |reason: String| invalid(&path, reason);
        let mut values = config.clone();
        let decoder = values.shift_remove(DECODER);
        let mut own_names = Names::take(&mut values).map_err(invalid)?;
        let mut files = Self {
            class: class_of(dir, &config)?,
            config,
            with_own: decoder.is_none(),
            path: path.clone(),
            config_path: path.clone(),
            ..Self::default()
        };
        match decoder {
            Some(decoder) => files.added = listed(&decoder).map_err(invalid)?,
            None => {
                let map = dir.join(SPECIAL_TOKENS_MAP);
                merge_map(&mut values, read_object(&map)?);
                own_names
                    .take_object(&mut values)
                    .map_err(|reason| self::invalid(&map, reason))?;
            }
        }
        let additional = values.shift_remove(ADDITIONAL);
        let extra = values.shift_remove(EXTRA);
        files.named = named(&values, own_names).map_err(invalid)?;
        files.extra = tokens(extra.as_ref()).map_err(invalid)?;
        if files.with_own {
            files.path = dir.join(ADDED_TOKENS);
            files.added = files.read_added()?;
        }
        if extra.is_none() {
            // Those of special_tokens_map.json, which come too late to make added tokens special.
            files.extra = tokens(additional.as_ref()).map_err(invalid)?;
        }
        Ok(files)
    }

    /// A setting of `tokenizer_config.json` that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.config.get(name)?.as_bool()
    }

    /// The tokens that the files list, by the ids that they give them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (usize, &str)> {
        let listed = self.added.iter();
        listed.map(|(id, token)| (*id as usize, &*token.content))
    }

    /// The text of a special token by its name, such as `bos_token`.
    pub(super) fn special_token(&self, name: &str) -> Option<&str> {
        let mut named = self.named.iter();
        let (_, token) = named.find(|(known, _)| known == name)?;
        Some(&token.content)
    }

    /// The texts of all special tokens by their names.
    pub(super) fn special_tokens(&self) -> Map<String, Value> {
        let named = self.named.iter();
        let named = named.map(|(name, token)| (name.clone(), token.content.as_str().into()));
        named.collect()
    }

    /// The class of the tokenizer; none if it is the general one.
    pub(super) fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// Names special tokens that the files do not name.
    pub(super) fn name(&mut self, names: &[(&str, &str)]) {
        for (name, text) in names {
            if !self.config.contains_key(*name) && self.special_token(name).is_none() {
                let token = AddedToken::from(*text, true);
                self.named.push(((*name).to_owned(), token));
            }
        }
    }

    /// Finds added tokens in a text before it is normalised.
    pub(super) fn find_unnormalized(&mut self) {
        for token in self.added.values_mut() {
            token.normalized = false;
        }
    }

    /// The tokens to be added to a tokenizer, those that it has included, in this order; none if that
    /// changes nothing.
    pub(super) fn tokens_for(&self, tokenizer: &tokenizers::Tokenizer) -> Vec<AddedToken> {
        let own = tokenizer.get_added_tokens_decoder();
        let mut added = self.added.clone();
        if self.with_own {
            added.extend(own.iter().map(|(id, token)| (*id, token.clone())));
        }
        let mut tokens: Vec<AddedToken> = added.into_values().collect();
        let own: HashMap<&str, &AddedToken> =
            own.values().map(|token| (&*token.content, token)).collect();
        let listed: Vec<String> = tokens.iter().map(|token| token.content.clone()).collect();
        let is_known = |token: &AddedToken| {
            own.contains_key(&*token.content) || listed.contains(&token.content)
        };
        let named = self.named.iter().map(|(_, token)| token);
        for token in named.chain(&self.extra) {
            if !is_known(token) && !tokens.contains(token) {
                tokens.push(token.clone());
            }
        }
        for token in &mut tokens {
            let mut named = self.named.iter();
            token.special |= named.any(|(_, named)| named.content == token.content);
        }
        let is_new = |token: &AddedToken| own.get(&*token.content).is_none_or(|own| *own != token);
        tokens.retain(|token| !token.content.is_empty());
        match tokens.iter().any(is_new) {
            true => tokens,
            false => Vec::new(),
        }
    }

    /// Names what the files say otherwise than the tokenizer that came of them.
    pub(super) fn warn_of_contradictions(&self, tokenizer: &tokenizers::Tokenizer) {
        let moved = self.added.iter().filter_map(|(id, token)| {
            let found = tokenizer.token_to_id(&token.content)?;
            (found != *id).then_some((id, &token.content, found))
        });
        let moved: Vec<_> = moved.collect();
        if let Some((id, content, found)) = moved.first() {
            let (path, count) = (self.path.display(), moved.len());
            warn::once(format!(
                "{path}: {count} tokens do not get the ids that it gives them, as in transformers; the \
                 first is {content:?}, {found} instead of {id}"
            ));
        }
        let around = tokenizer.encode("", true);
        let around = around.map_or_else(|_| Vec::new(), |text| text.get_tokens().to_vec());
        for (setting, name) in [
            ("add_bos_token", "bos_token"),
            ("add_eos_token", "eos_token"),
        ] {
            let named = self.named.iter().find(|(known, _)| known == name);
            let (Some(asked), Some((_, token))) = (self.flag(setting), named) else {
                continue;
            };
            if asked != around.contains(&token.content) {
                let does = if asked {
                    "does not add it"
                } else {
                    "adds it all the same"
                };
                warn::once(format!(
                    "{}: {setting} is {asked}, but the tokenizer.json beside it {does} and counts, as in \
                     transformers",
                    self.config_path.display()
                ));
            }
        }
    }

    /// `added_tokens.json`: the ids of tokens, which are special if a special token has their text.
    fn read_added(&self) -> Result<BTreeMap<u32, AddedToken>, ModelError> {
        let listed = read_object(&self.path)?;
        let standard = self
            .named
            .iter()
            .filter(|(name, _)| NAMES.contains(&&**name));
        let special = standard.map(|(_, token)| token).chain(&self.extra);
        let special: Vec<&str> = special.map(|token| &*token.content).collect();
        let added = listed.into_iter().map(|(content, id)| {
            let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let reason = || format!("{content:?} has the id {id}, which is no token id");
            let id = number.ok_or_else(|| invalid(&self.path, reason()))?;
            let is_special = special.contains(&&*content);
            Ok((id, AddedToken::from(content, is_special)))
        });
        added.collect()
    }
}

/// The class for which a tokenizer is read. Files of pairs of bytes that name `LlamaTokenizer` mean
/// none.
fn class_of(dir: &Path, config: &Map<String, Value>) -> Result<Option<String>, ModelError> {
    let class = class(config, &read_object(&dir.join(CONFIG))?);
    let path = dir.join(TOKENIZER);
    let is_llama = class.as_deref() == Some("LlamaTokenizer") && is_there(&path);
    if is_llama && read_text(&path, MAX_TOKENIZER_BYTES)?.contains("\"ByteLevel\"") {
        return Ok(None);
    }
    Ok(class)
}

fn invalid(path: &Path, reason: String) -> ModelError {
    ModelError::Tokenizer {
        path: path.to_owned(),
        reason,
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    if !is_there(path) {
        return Ok(Map::new());
    }
    from_json(&read_text(path, MAX_BYTES)?, path)
}
