//! Tokens as the files beside a tokenizer write them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

/// Special tokens that every tokenizer may name, in the order in which they are added.
pub(super) const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

pub(super) const EXTRA: &str = "extra_special_tokens";
pub(super) const ADDITIONAL: &str = "additional_special_tokens";
pub(super) const DECODER: &str = "added_tokens_decoder";

/// Special tokens with names that not every tokenizer has, such as `image_token`.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(String, AddedToken)>);

impl Names {
    /// Takes them out of `tokenizer_config.json`, where they stand by themselves or in
    /// `extra_special_tokens`, and lets `additional_special_tokens` stand for a list of the latter.
    pub(super) fn take(values: &mut Map<String, Value>) -> Result<Self, String> {
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
    pub(super) fn take_object(&mut self, values: &mut Map<String, Value>) -> Result<(), String> {
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
pub(super) fn merge_map(values: &mut Map<String, Value>, map: Map<String, Value>) {
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
pub(super) fn tokens(list: Option<&Value>) -> Result<Vec<AddedToken>, String> {
    match list {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(tokens)) => tokens.iter().map(|token| special(EXTRA, token)).collect(),
        Some(other) => Err(format!(
            "{EXTRA} is {other}; it must be a list or an object of tokens"
        )),
    }
}

/// The special tokens with a name: those that every tokenizer may have, and the others.
pub(super) fn named(
    values: &Map<String, Value>,
    own: Names,
) -> Result<Vec<(String, AddedToken)>, String> {
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
pub(super) fn listed(decoder: &Value) -> Result<BTreeMap<u32, AddedToken>, String> {
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
