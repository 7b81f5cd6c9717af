//! The files of a repository that loading reads.

use std::collections::BTreeSet;

use super::model::{is_gguf, is_name};
use super::{HubError, HubModel};
use crate::chat::{MORE_TEMPLATES, PROCESSOR_FILE, TEMPLATE_FILE};
use crate::checkpoint::{INDEX, SINGLE, parts_of_gguf};
use crate::files::{CONFIG, SENTENCE_PIECE, TOKENIZER};
use crate::stored::GENERATION_CONFIG;
use crate::tokenizer::side_files::{ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};

/// Files of a model in the Hugging Face layout that are read if they are there.
const OPTIONAL: [&str; 6] = [
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS_MAP,
    ADDED_TOKENS,
    TEMPLATE_FILE,
    PROCESSOR_FILE,
];

/// Endings of the names of weights in other formats.
const OTHER_WEIGHTS: [&str; 5] = [".bin", ".h5", ".msgpack", ".onnx", ".pth"];

/// GGUF files that are listed where one is to be chosen.
const SHOWN: usize = 12;

/// Files that loading needs, besides safetensors, where there are such files. The files `also` lie
/// beside the model.
pub(super) fn required(
    model: &HubModel,
    also: &[&str],
    is_there: impl Fn(&str) -> bool,
) -> Vec<String> {
    let also = also.iter();
    if let Some(file) = model.file() {
        let folder = file.rfind('/').map_or("", |end| &file[..=end]);
        let also = also.map(|name| format!("{folder}{name}"));
        return also.chain(parts_of_gguf(file)).collect();
    }
    let tokenizer = match !is_there(TOKENIZER) && is_there(SENTENCE_PIECE) {
        true => SENTENCE_PIECE,
        false => TOKENIZER,
    };
    let names = [CONFIG, tokenizer].into_iter().chain(also.copied());
    names.map(str::to_owned).collect()
}

/// Files that loading reads if they are there. A GGUF file holds all of it.
pub(super) fn optional(model: &HubModel) -> &'static [&'static str] {
    match model.file() {
        Some(_) => &[],
        None => &OPTIONAL,
    }
}

/// Chat templates besides the default one.
pub(super) fn more_templates<'a>(
    model: &HubModel,
    listed: &BTreeSet<&'a str>,
) -> impl Iterator<Item = &'a str> {
    let is_whole = model.file().is_none();
    listed.iter().copied().filter(move |name| {
        let inner = name.strip_prefix(MORE_TEMPLATES);
        let name = inner.and_then(|inner| inner.strip_prefix('/'));
        is_whole && name.is_some_and(|name| is_name(name) && name.ends_with(".jinja"))
    })
}

/// Whether a repository with these files holds the model.
pub(super) fn check(
    model: &HubModel,
    listed: &BTreeSet<&str>,
    also: &[&str],
) -> Result<(), HubError> {
    let mut required = required(model, also, |name| listed.contains(name)).into_iter();
    let missing = required.find(|name| !listed.contains(&**name));
    let has_weights = model.file().is_some() || listed.contains(SINGLE) || listed.contains(INDEX);
    match missing {
        Some(file) if is_gguf(&file) => Err(HubError::NoGguf {
            file,
            found: gguf_files(model, listed),
        }),
        Some(file) if has_weights => Err(HubError::NoFile { file }),
        None if has_weights => Ok(()),
        _ => Err(no_weights(model, listed, missing)),
    }
}

fn no_weights(model: &HubModel, listed: &BTreeSet<&str>, missing: Option<String>) -> HubError {
    let found = gguf_files(model, listed);
    if !found.is_empty() {
        return HubError::OnlyGguf { found };
    }
    match missing {
        Some(file) if file == CONFIG => HubError::NoFile { file },
        _ => {
            let is_other = |name: &&&str| OTHER_WEIGHTS.iter().any(|end| name.ends_with(end));
            let found = listed.iter().find(is_other);
            HubError::NoSafetensors {
                found: found.map(|name| (*name).to_owned()),
            }
        }
    }
}

/// Names of the models in GGUF files, as they are given to this program; of a model in several files,
/// that of the first.
fn gguf_files(model: &HubModel, listed: &BTreeSet<&str>) -> String {
    let is_first = |name: &str| {
        parts_of_gguf(name)
            .next()
            .is_some_and(|first| first == name)
    };
    let files = listed.iter().filter(|name| is_gguf(name) && is_first(name));
    let mut names: Vec<String> = files
        .map(|name| format!("hf:{}/{name}", model.repository()))
        .collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let names = names.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}
