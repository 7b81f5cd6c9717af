//! Equality with transformers, on templates of our own.

use std::fs;
use std::path::{Path, PathBuf};

use calm_template::Template;
use serde_json::{Map, Value};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The variables or conversations of a fixture, and its cases.
fn cases(name: &str) -> (Value, Vec<Value>) {
    let text = fs::read_to_string(fixtures().join(name)).unwrap();
    let mut cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    (cases.remove(0), cases)
}

fn render(source: &str, variables: &Map<String, Value>) -> Result<String, String> {
    let template = Template::new(source).map_err(|error| error.to_string())?;
    let rendered = template.render(variables);
    rendered.map_err(|error| error.to_string())
}

/// Describes a difference: refused here or there, another text, or another message of
/// `raise_exception`, which is the template's own.
fn difference(found: &Result<String, String>, case: &Value) -> Option<String> {
    let raised = case["error"] == "TemplateError";
    match (found, case["text"].as_str()) {
        (Ok(found), Some(text)) if found == text => None,
        (Err(found), None) => {
            let message = case["message"].as_str().unwrap();
            (raised && !found.contains(message)).then(|| format!("{found:?} lacks {message:?}"))
        }
        (found, Some(text)) => Some(format!("{found:?}\n  instead of {text:?}")),
        (Ok(found), None) => Some(format!("{found:?}\n  instead of {}", case["message"])),
    }
}

#[test]
fn snippets() {
    let (header, cases) = cases("snippets.json");
    let variables = header["variables"].as_object().unwrap();
    let mut differences = Vec::new();
    for case in &cases {
        let source = case["template"].as_str().unwrap();
        let found = render(source, variables);
        if let Some(difference) = difference(&found, case) {
            differences.push(format!("{source}\n  {difference}"));
        }
    }
    let count = differences.len();
    assert!(
        count == 0,
        "{count} of {}:\n{}",
        cases.len(),
        differences.join("\n")
    );
    assert!(cases.len() > 300);
}
