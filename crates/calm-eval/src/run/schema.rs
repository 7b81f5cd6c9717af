//! Tests of the schemas of a run's files against the types and real files.

use std::fs;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use calm_sandbox::SandboxOptions;
use serde::Deserialize;

use super::{Description, Results, RunTask, Sample, Scorer, Written};
use crate::tasks::{Item, Task};

/// The schema of [`calm_sandbox::Layers`], which knows none: schemas are for tests alone. `remote`
/// keeps the fields equal.
#[derive(Deserialize, JsonSchema)]
#[serde(remote = "calm_sandbox::Layers")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Layers {
    /// Version of Landlock's rules, which cover files, and signals from version 6 on; 0 without.
    landlock: i32,
    /// System calls outside a short list fail: none creates a process, thread or socket, traces
    /// another process or sends it a signal.
    seccomp: bool,
    /// A user without rights, and a network without devices.
    namespaces: bool,
    /// Limits on memory, processor time, files and their size.
    limits: bool,
}

/// The result of judging a program.
#[derive(Deserialize, JsonSchema)]
#[serde(remote = "calm_sandbox::Outcome", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Outcome {
    /// The tests ran to their end.
    Passed,
    /// A test failed, or the program exited before the tests did.
    Failed,
    /// It used too much processor or wall-clock time.
    OutOfTime,
    /// It printed too much.
    OutOfOutput,
    /// It wrote too much to files.
    OutOfDisk,
    /// The tests are invalid, or pass a value that cannot cross from one interpreter to the other.
    Unusable,
}

/// How a program was judged.
#[derive(Deserialize, JsonSchema)]
#[serde(remote = "calm_sandbox::Verdict")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Verdict {
    /// The result.
    #[serde(with = "Outcome")]
    outcome: calm_sandbox::Outcome,
    /// Reason for any result but a pass, in one line; otherwise empty.
    reason: String,
    /// The beginning of the program's output.
    printed: String,
    /// Wall-clock time.
    elapsed: std::time::Duration,
}

fn path(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    directory.join(format!("{name}.schema.json"))
}

fn schema<T: JsonSchema>(title: &str) -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// Checks that the committed schema is that of the type. `CALM_BLESS=1` writes it anew.
fn committed<T: JsonSchema>(name: &str, title: &str) -> Value {
    let expected = schema::<T>(title);
    if std::env::var_os("CALM_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
        fs::write(path(name), text).unwrap();
    }
    let found: Value = serde_json::from_slice(&fs::read(path(name)).unwrap()).unwrap();
    assert_eq!(
        found, expected,
        "CALM_BLESS=1 with this test writes it anew"
    );
    found
}

/// A run with the answer of a text and that of a program.
fn run() -> (Results, Vec<Sample>) {
    let item = |record: Value| Item {
        index: 0,
        prompt: "ne: क\nen:".to_owned(),
        reference: "a reference".to_owned(),
        record: record.as_object().unwrap().clone(),
    };
    let translation = Task::named("flores-v1").unwrap();
    let scorer = Scorer::new(&translation, &SandboxOptions::default()).unwrap();
    let record = json!({ "source": "क", "target": "a reference", "language": "ne" });
    let written = Written {
        item: item(record),
        cut_tokens: 3,
        output: " a text".to_owned(),
        stopped: true,
    };
    let mut samples = scorer.score("ne", vec![written]).unwrap();
    let program = Task::named("humaneval").unwrap();
    samples.push(Sample {
        task: "humaneval".to_owned(),
        language: String::new(),
        reference: String::new(),
        verdict: Some(calm_sandbox::Verdict {
            outcome: calm_sandbox::Outcome::OutOfTime,
            reason: "it was not done after 20 s".to_owned(),
            printed: String::new(),
            elapsed: std::time::Duration::from_millis(20_001),
        }),
        ..samples[0].clone()
    });
    let exact = Task::named("mgsm").unwrap();
    let tasks = [translation, program, exact].map(|task| RunTask::new(task, &[]));
    let model = json!({ "name": "anchor", "weights_sha256": "00" });
    let description = Description::new(tasks.into(), model, Some(1), Vec::new());
    let mut results = Results::of(&description, &samples, 7).unwrap();
    results.commit = Some("0123abc".to_owned());
    results.sandbox = Some(calm_sandbox::Layers::default());
    (results, samples)
}

#[test]
fn results_are_what_their_schema_says() {
    let schema = committed::<Results>("results", "results.json of an evaluation");
    let (results, _) = run();
    let mut value = serde_json::to_value(&results).unwrap();
    validate(&schema, &schema, &value).unwrap();
    // The schema is one that can be broken.
    value["tasks"][0]["metric"] = json!("chrf");
    assert!(validate(&schema, &schema, &value).is_err());
    value["tasks"][0]["metric"] = json!("chrf1");
    value["tasks"][0]["n"] = json!("1");
    assert!(validate(&schema, &schema, &value).is_err());
    value["tasks"][0]["n"] = json!(1);
    value.as_object_mut().unwrap().remove("seed");
    assert!(validate(&schema, &schema, &value).is_err());
}

#[test]
fn samples_are_what_their_schema_says() {
    let schema = committed::<Sample>("sample", "A line of samples.jsonl of an evaluation");
    for sample in run().1 {
        let mut value = serde_json::to_value(&sample).unwrap();
        validate(&schema, &schema, &value).unwrap();
        value["score"] = json!(null);
        assert!(validate(&schema, &schema, &value).is_err());
    }
}

/// Validates by the part of JSON Schema that these schemas use; any other keyword is an error.
fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{value} is not {what}"));
    let Value::Object(rules) = schema else {
        return if schema == &json!(true) {
            Ok(())
        } else {
            wrong("allowed")
        };
    };
    for (keyword, rule) in rules {
        let holds = match &**keyword {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                validate(root, root.pointer(pointer).unwrap(), value)?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_of_type(name, value)),
                name => is_of_type(name, value),
            },
            "properties" => {
                properties(root, rule.as_object().unwrap(), value)?;
                true
            }
            "required" => {
                let mut names = rule.as_array().unwrap().iter();
                names.all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten();
                items.try_for_each(|item| validate(root, rule, item))?;
                true
            }
            "anyOf" | "oneOf" => {
                let schemas = rule.as_array().unwrap().iter();
                let fitting = schemas.filter(|schema| validate(root, schema, value).is_ok());
                let count = fitting.count();
                count == 1 || (count > 1 && keyword == "anyOf")
            }
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|value| value >= rule.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|value| value <= rule.as_f64().unwrap()),
            "additionalProperties" if rule == &json!(true) => true,
            other => panic!("the schema says {other}, which this test does not understand"),
        };
        if !holds {
            return wrong(&format!("{keyword} {rule}"));
        }
    }
    Ok(())
}

fn properties(root: &Value, rules: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let mut fields = rules
        .iter()
        .filter_map(|(name, schema)| Some((schema, value.get(name)?)));
    fields.try_for_each(|(schema, field)| validate(root, schema, field))
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}
