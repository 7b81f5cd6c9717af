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
use crate::ModelError;
use crate::files::{CONFIG, TOKENIZER, from_json, is_there, read_text};

pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";

/// Vocabularies of a few hundred thousand tokens take tens of megabytes.
pub(super) const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

/// Lists of added tokens are a few hundred kilobytes.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

/// Special tokens that every tokenizer may name, in the order in which they are added.
const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

const EXTRA: &str = "extra_special_tokens";
const ADDITIONAL: &str = "additional_special_tokens";
const DECODER: &str = "added_tokens_decoder";

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
        let path = self.path.display();
        for (id, token) in &self.added {
            let found = tokenizer.token_to_id(&token.content);
            if let Some(found) = found.filter(|found| found != id) {
                let content = &token.content;
                tracing::warn!(
                    "{path}: the token {content:?} is to have the id {id}, but the vocabulary makes it \
                     {found}, as in transformers"
                );
            }
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
                tracing::warn!(
                    "{TOKENIZER_CONFIG}: {setting} is {asked}, but the tokenizer.json beside it {does} \
                     and counts, as in transformers"
                );
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

/// Special tokens with names that not every tokenizer has, such as `image_token`.
#[derive(Debug, Default)]
struct Names(Vec<(String, AddedToken)>);

impl Names {
    /// Takes them out of `tokenizer_config.json`, where they stand by themselves or in
    /// `extra_special_tokens`, and lets `additional_special_tokens` stand for a list of the latter.
    fn take(values: &mut Map<String, Value>) -> Result<Self, String> {
        if !values.get(EXTRA).is_some_and(is_given)
            && let Some(additional) = values.shift_remove(ADDITIONAL)
        {
            values.insert(EXTRA.to_owned(), additional);
        }
        let is_own = |(name, value): &(&String, &Value)| {
            name.ends_with("_token") && !NAMES.contains(&name.as_str()) && value.is_string()
        };
        let own: Vec<String> = values
            .iter()
            .filter(is_own)
            .map(|(name, _)| name.clone())
            .collect();
        let mut names = Self::default();
        for name in own {
            let value = values.shift_remove(&name).unwrap_or_default();
            names.insert(name, &value)?;
        }
        names.take_object(values)?;
        Ok(names)
    }

    /// Takes those of `extra_special_tokens`, where it is an object.
    fn take_object(&mut self, values: &mut Map<String, Value>) -> Result<(), String> {
        if values.get(EXTRA).is_some_and(Value::is_object)
            && let Some(Value::Object(named)) = values.shift_remove(EXTRA)
        {
            for (name, value) in named {
                self.insert(name, &value)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: String, value: &Value) -> Result<(), String> {
        let token = special(&name, value)?;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = token,
            None => self.0.push((name, token)),
        }
        Ok(())
    }
}

/// Whether Python takes a value for true.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `special_tokens_map.json` goes over `tokenizer_config.json`; the extra tokens of both count.
fn merge_map(values: &mut Map<String, Value>, map: Map<String, Value>) {
    for (name, value) in map {
        let known = values.get_mut(&name).and_then(Value::as_array_mut);
        match (known, value) {
            (Some(known), Value::Array(more)) if name == EXTRA => {
                let new: Vec<Value> = more
                    .into_iter()
                    .filter(|token| !known.contains(token))
                    .collect();
                known.extend(new);
            }
            (_, value) => {
                values.insert(name, value);
            }
        }
    }
}

/// The special tokens without a name.
fn tokens(list: Option<&Value>) -> Result<Vec<AddedToken>, String> {
    match list {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(tokens)) => tokens.iter().map(|token| special(EXTRA, token)).collect(),
        Some(other) => Err(format!(
            "{EXTRA} is {other}; it must be a list or an object of tokens"
        )),
    }
}

/// The special tokens with a name: those that every tokenizer may have, and the others.
fn named(values: &Map<String, Value>, own: Names) -> Result<Vec<(String, AddedToken)>, String> {
    let is_own = |(name, value): &(&String, &Value)| {
        let is_token = value.is_string() || value["content"].is_string();
        name.ends_with("_token") && !NAMES.contains(&name.as_str()) && is_token
    };
    let standard = NAMES
        .iter()
        .filter_map(|name| Some((*name, values.get(*name)?)));
    let standard = standard.filter(|(_, value)| !value.is_null());
    let late = values
        .iter()
        .filter(is_own)
        .map(|(name, value)| (name.as_str(), value));
    let found = standard.chain(late);
    let found = found.map(|(name, value)| Ok((name.to_owned(), special(name, value)?)));
    let mut named = found.collect::<Result<Vec<_>, String>>()?;
    for (name, token) in own.0 {
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = token,
            None => named.push((name, token)),
        }
    }
    Ok(named)
}

/// `added_tokens_decoder`: tokens by their ids.
fn listed(decoder: &Value) -> Result<BTreeMap<u32, AddedToken>, String> {
    let Some(decoder) = decoder.as_object() else {
        return Err(format!(
            "{DECODER} must be an object of tokens by their ids"
        ));
    };
    let tokens = decoder.iter().map(|(id, value)| {
        let number = id.trim().parse::<u32>();
        let id =
            number.map_err(|_| format!("{DECODER} has the id {id:?}, which is no token id"))?;
        if !value.is_object() {
            return Err(format!(
                "{DECODER}: {id} is {value}; it must be an object with a content"
            ));
        }
        Ok((id, token(DECODER, value, false)?))
    });
    tokens.collect()
}

/// A special token that stands as its text, or with how it is matched.
fn special(name: &str, value: &Value) -> Result<AddedToken, String> {
    token(name, value, true)
}

fn token(name: &str, value: &Value, special: bool) -> Result<AddedToken, String> {
    let content = value.as_str().or_else(|| value["content"].as_str());
    let content =
        content.ok_or_else(|| format!("{name} is {value}; it must be the text of a token"))?;
    let flag = |key: &str| value[key].as_bool();
    let special = special || flag("special").unwrap_or(false);
    let plain = AddedToken::from(content, special);
    let normalized = flag("normalized").unwrap_or(plain.normalized);
    Ok(plain
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(normalized))
}
