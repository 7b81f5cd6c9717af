//! Templates of prompts, answers and programs.

use std::sync::OnceLock;

use calm_data::bundle::nearest;
use calm_data::corpus::number::last_number;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::read::Fields;

/// A text with fields, in the language of Jinja.
///
/// Besides Jinja's filters it knows `first_line`, `before(text)`, `after(text)`, `label` (up to the
/// first colon) and `last_number`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

/// How a record and an answer become a [`Program`](calm_sandbox::Program).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramTemplates {
    /// Program to run; the template knows `answer`.
    pub code: Template,
    /// Code that the tests need besides.
    #[serde(default)]
    pub setup: Template,
    /// The tests.
    pub tests: Template,
    /// Names of the program that the tests can use, one on each line.
    #[serde(default)]
    pub names: Template,
    /// A correct program, whose names the tests can use.
    #[serde(default)]
    pub reference: Template,
}

impl Template {
    pub(super) fn output() -> Self {
        Self("{{ output }}".to_owned())
    }

    /// Fills in the fields.
    pub(super) fn render(&self, fields: &Fields) -> Result<String, String> {
        let environment = environment();
        let template = environment.template_from_str(&self.0).map_err(one_line)?;
        let wanted = template.undeclared_variables(false);
        known(wanted.iter(), fields)?;
        template.render(value_of_record(fields)).map_err(one_line)
    }
}

/// Checks that there is a field, or something of the language, of each of these names.
pub(super) fn known<'a>(
    names: impl Iterator<Item = &'a String>,
    fields: &Fields,
) -> Result<(), String> {
    let is_known = |name: &&String| fields.contains_key(*name) || is_global(name);
    let Some(missing) = names.filter(|name| !is_known(name)).min() else {
        return Ok(());
    };
    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
    Err(format!(
        "there is no field '{missing}'; did you mean '{}'? There are: {}",
        nearest(missing, &known),
        known.join(", ")
    ))
}

pub(super) fn value_of_record(record: &Fields) -> Value {
    let fields = record.iter();
    Value::from_pairs(fields.map(|(name, value)| (name.as_str(), value_of(value))))
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, float) => Value::from(float.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value_of).collect(),
        Json::Object(record) => value_of_record(record),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that map_err takes it")]
pub(super) fn one_line(error: minijinja::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn is_global(name: &str) -> bool {
    environment().globals().any(|(global, _)| global == name)
}

/// Keeps the line ends of a template, which are part of the prompt.
fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    syntax.build().expect("no delimiter is changed")
}

pub(super) fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        environment.set_fuel(Some(1_000_000));
        environment.add_filter("last_number", |text: &str| {
            last_number(text).map_or_else(String::new, |number| number.to_string())
        });
        environment.add_filter("first_line", |text: &str| {
            text.trim_start()
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned()
        });
        environment.add_filter("before", |text: &str, end: &str| {
            text.split(end).next().unwrap_or_default().to_owned()
        });
        environment.add_filter("after", |text: &str, begin: &str| {
            text.split_once(begin)
                .map_or(text, |(_, rest)| rest)
                .to_owned()
        });
        environment.add_filter("label", |text: &str| {
            text.split_inclusive([':', '\u{ff1a}'])
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        environment
    })
}
