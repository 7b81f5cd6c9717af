//! Data as people have it, in every verb that reads examples.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Workshop, example};

const TEMPLATE: &str = "{% for m in messages %}{{ m.content }}X{% endfor %}";

/// The prompts and targets of the workshop, in another form.
fn rewritten(workshop: &Workshop, row: impl Fn(&str, &str) -> Value) -> String {
    let text = workshop.text("data.jsonl");
    let rows = text.lines().map(|line| {
        let pair: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| pair[field].as_str().unwrap().to_owned();
        format!("{}\n", row(&text("prompt"), &text("target")))
    });
    rows.collect()
}

const COMPOSE: &str =
    "compose --anchor anchor --augmenting specialist --connections every:2 --steps 2 --quiet";

#[test]
fn forms_of_the_same_examples_train_the_same_bridges() {
    let workshop = Workshop::new();
    workshop
        .calm(&format!("{COMPOSE} --train data.jsonl --out a"))
        .done();
    let rows = rewritten(
        &workshop,
        |prompt, target| json!({ "question": prompt, "answer": target, "id": 1 }),
    );
    workshop.write("qa.jsonl", &rows);
    let lines: Vec<&str> = rows.lines().collect();
    workshop.write("qa.json", &format!("[{}]", lines.join(",\n")));
    let rows = rewritten(
        &workshop,
        |prompt, target| json!({ "ask": prompt, "reply": { "text": target } }),
    );
    workshop.write("named.jsonl", &rows);
    let mut table = "prompt,completion\n".to_owned();
    rewritten(&workshop, |prompt, target| {
        Value::String(format!("{prompt},{target}"))
    })
    .lines()
    .for_each(|line| table += &format!("{}\n", line.trim_matches('"')));
    workshop.write("table.csv", &table);
    for (number, data) in [
        "qa.jsonl",
        "qa.json",
        "table.csv",
        "named.jsonl --prompt-field ask --target-field reply.text",
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("b{number}");
        workshop
            .calm(&format!("{COMPOSE} --train {data} --out {out}"))
            .done();
        assert_eq!(workshop.bridges(&out), workshop.bridges("a"), "{data}");
    }
    let eval = |data: &str| {
        workshop
            .calm(&format!("eval anchor --data {data} --json --quiet"))
            .json()["hits"]
            .clone()
    };
    assert_eq!(eval("table.csv"), eval("data.jsonl"));
    workshop
        .calm(&format!("{COMPOSE} --train named.jsonl --out c"))
        .refused(&[
            "named.jsonl, line 1",
            "`ask`, `reply`",
            "--prompt-field",
            "--target-field",
        ]);
    workshop
        .calm("eval anchor --data named.jsonl")
        .refused(&["named.jsonl, line 1", "`ask`, `reply`"]);
    workshop
        .calm(&format!(
            "{COMPOSE} --train data.jsonl --validation named.jsonl --out c"
        ))
        .refused(&["named.jsonl, line 1"]);
}

#[test]
fn conversations_are_read_as_chat_generates() {
    let workshop = Workshop::new();
    let rows = rewritten(&workshop, |prompt, target| {
        json!({ "messages": [
            { "role": "user", "content": prompt }, { "role": "assistant", "content": target },
        ]})
    });
    workshop.write("chat.jsonl", &rows);
    workshop
        .calm(&format!("{COMPOSE} --train chat.jsonl --out none"))
        .refused(&["chat.jsonl", "example 0", "has no chat template"]);
    fs::write(workshop.path("anchor/chat_template.jinja"), TEMPLATE).unwrap();
    workshop
        .calm(&format!(
            "{COMPOSE} --train chat.jsonl --out a --validation chat.jsonl --validation-metric exact"
        ))
        .done();
    workshop
        .calm(&format!("{COMPOSE} --train data.jsonl --chat --out b"))
        .done();
    assert_eq!(workshop.bridges("a"), workshop.bridges("b"));
    // The same answer, token for token, as in a chat.
    workshop.write("one.jsonl", &example("ABCDE", "FG"));
    workshop
        .calm("eval a --data one.jsonl --chat --metric chrf1 --max-new-tokens 6 --samples s.jsonl --quiet")
        .done();
    let sample: Value = serde_json::from_str(&workshop.text("s.jsonl")).unwrap();
    assert_eq!(sample["prompt"], "ABCDEX");
    let said = workshop
        .calm("generate a --chat --prompt ABCDE --max-new-tokens 6 --json --quiet")
        .json();
    assert_eq!(said["continuations"][0]["output"], sample["output"]);
    // A model alone goes on with them, too.
    workshop
        .calm("pretrain --from anchor --train chat.jsonl --steps 1 --rows 2 --out more --quiet")
        .done();
    let eval = workshop
        .calm("eval more --data chat.jsonl --metric perplexity --json --quiet")
        .json();
    assert_eq!(eval["n"], 24);
    assert!(eval["nats_per_token"].as_f64().unwrap() > 0.0);
}

#[test]
fn examples_that_were_learnt_are_told_of() {
    let workshop = Workshop::new();
    workshop
        .calm(&format!("{COMPOSE} --train data.jsonl --out a"))
        .done();
    workshop.write("test.csv", "question,answer\nABCDE,FG\nKLM,m\n");
    let eval = workshop.calm("eval a --data test.csv");
    assert!(
        eval.stderr
            .contains("test.csv: 1 of 2 examples are among those that a was trained on"),
        "{eval:?}"
    );
    workshop.write("new.csv", "question,answer\nABC,FG\n");
    let eval = workshop.calm("eval a --data new.csv --quiet");
    assert_eq!(eval.stderr, "");
    eval.done();
    let compose = workshop.calm(&format!(
        "{COMPOSE} --train data.jsonl --validation test.csv --out b"
    ));
    assert!(
        compose
            .stderr
            .contains("test.csv: 1 of 2 examples are also in data.jsonl"),
        "{compose:?}"
    );
    // So are rows of a benchmark.
    workshop.write(
        "test.jsonl",
        "{\"question\": \"ABCDE\", \"answer\": \"FG\"}\n",
    );
    let task = workshop.text("data.jsonl");
    assert!(!task.is_empty());
    let eval = workshop.calm("eval a --task gsm8k --test-file test.jsonl --shots 0 --max-new-tokens 2 --too-long truncate");
    assert!(
        eval.stderr
            .contains("task 'gsm8k': 1 of 1 examples are among"),
        "{eval:?}"
    );
}
