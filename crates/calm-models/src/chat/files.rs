//! Where a checkpoint keeps its chat templates.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{DEFAULT, MORE_TEMPLATES, PROCESSOR_FILE, TEMPLATE_FILE, read_object};
use crate::ModelError;
use crate::files::{is_there, read_text};
use crate::tokenizer::side_files::{MAX_BYTES, TOKENIZER_CONFIG};

/// A file, and the names and texts of the templates that it holds.
type Sources = (PathBuf, Vec<(String, String)>);

/// Names and texts of templates, from the first of these that holds any, and that file: templates in
/// files of their own, `tokenizer_config.json`, whose object this is, and the file of processors.
pub(super) fn sources(
    dir: &Path,
    config: &Map<String, Value>,
) -> Result<Option<Sources>, ModelError> {
    let path = dir.join(TEMPLATE_FILE);
    let mut sources = Vec::new();
    if is_there(&path) {
        sources.push((DEFAULT.to_owned(), read_text(&path, MAX_BYTES)?));
    }
    for path in more_templates(dir) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        sources.push((name.into_owned(), read_text(&path, MAX_BYTES)?));
    }
    if !sources.is_empty() {
        return Ok(Some((path, sources)));
    }
    let path = dir.join(TOKENIZER_CONFIG);
    if let Some(sources) = config.get("chat_template").and_then(named) {
        return Ok(Some((path, sources)));
    }
    let path = dir.join(PROCESSOR_FILE);
    let sources = read_object(&path)?.get("chat_template").and_then(named);
    Ok(sources.map(|sources| (path, sources)))
}

/// Files of templates besides the default one.
pub(crate) fn more_templates(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join(MORE_TEMPLATES));
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let is_template = |path: &PathBuf| path.extension().is_some_and(|end| end == "jinja");
    let mut paths: Vec<PathBuf> = paths.filter(is_template).collect();
    paths.sort();
    paths
}

/// One template, a list of them with their names, or an object of them by their names.
fn named(value: &Value) -> Option<Vec<(String, String)>> {
    let sources: Vec<(String, String)> = match value {
        Value::String(source) => vec![(DEFAULT.to_owned(), source.clone())],
        Value::Array(templates) => templates
            .iter()
            .filter_map(|template| {
                let (name, source) = (&template["name"], &template["template"]);
                Some((name.as_str()?.to_owned(), source.as_str()?.to_owned()))
            })
            .collect(),
        Value::Object(templates) => templates
            .iter()
            .filter_map(|(name, source)| Some((name.clone(), source.as_str()?.to_owned())))
            .collect(),
        _ => Vec::new(),
    };
    (!sources.is_empty()).then_some(sources)
}
