//! Training data, and the cache of its tokens.

use std::fs;

use crate::common::{Workshop, example};
use serde_json::{Value, json};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --connections every:2 \
                       --rows 4 --steps 6 --seed 5 --json";

fn training(workshop: &Workshop, flags: &str) -> Value {
    workshop.calm(&format!("{COMPOSE} {flags}")).json()["training"].take()
}

/// Names of the files in a cache, without its lock.
fn cached(workshop: &Workshop, cache: &str) -> Vec<String> {
    let entries = fs::read_dir(workshop.path(cache)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

#[test]
fn tokens_that_are_kept_serve_other_runs_and_change_nothing() {
    let workshop = Workshop::new();
    let kept = "--train data.jsonl --data-cache tokens --out";
    training(&workshop, "--train data.jsonl --out without");
    assert!(!workshop.path("without/run/tokens").exists());
    training(&workshop, &format!("{kept} first"));
    let [name] = &cached(&workshop, "tokens")[..] else {
        panic!("one file is kept");
    };
    let path = workshop.path("tokens").join(name);
    let (whole, written) = (
        fs::read(&path).unwrap(),
        path.metadata().unwrap().modified(),
    );
    training(&workshop, &format!("{kept} second"));
    assert_eq!(
        path.metadata().unwrap().modified().unwrap(),
        written.unwrap()
    );

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let run = workshop.calm(&format!("{COMPOSE} {kept} third --quiet"));
    assert!(
        run.stderr.starts_with("warning: ") && run.stderr.contains("tokenised anew"),
        "{run:#?}"
    );
    run.done();
    assert!(fs::read(&path).unwrap() == whole);
    for out in ["first", "second", "third"] {
        assert!(workshop.bridges(out) == workshop.bridges("without"));
    }
}

#[test]
fn tokens_of_a_large_file_are_kept_with_the_run() {
    let workshop = Workshop::new();
    let line = example(&"A".repeat(100), &"B".repeat(20));
    let lines = line.repeat((16 << 20) / line.len() + 1);
    workshop.write("large.jsonl", &lines);
    let run = workshop.calm(&format!("{COMPOSE} --train large.jsonl --out c"));
    assert!(run.stderr.starts_with("tokenising: "), "{}", run.stderr);
    run.done();
    assert_eq!(cached(&workshop, "c/run/tokens").len(), 1);

    workshop.write("large.jsonl", &(lines + "{}\n"));
    let run = workshop.calm(&format!("{COMPOSE} --train large.jsonl --out new --quiet"));
    run.refused(&["large.jsonl, line ", "`prompt` and `target`", "`text`"]);
    assert!(!workshop.path("new").exists());
}

#[test]
fn examples_that_do_not_fit_are_refused_cut_or_left_out_as_asked() {
    let workshop = Workshop::new();
    let good = [
        example("ABC", "DE"),
        example("A", "BC"),
        example("KLM", "a"),
    ]
    .concat();
    let long = example(&"A".repeat(200), "B");
    workshop.write("data.jsonl", &(good.clone() + &long));
    let refused = format!("{COMPOSE} --train data.jsonl --out c");
    workshop
        .calm(&refused)
        .refused(&["data.jsonl: example 3", "context of 128", "--too-long"]);
    for (policy, examples, counts) in [("truncate", 4, [1, 0]), ("skip", 3, [0, 1])] {
        let flags = format!("--train data.jsonl --too-long {policy} --out {policy}");
        let data = training(&workshop, &flags)["data"].take();
        let found = ["examples", "truncated", "skipped", "too_long"].map(|name| &data[name]);
        let expected = json!([examples, counts[0], counts[1], policy]);
        assert_eq!(json!(found), expected);
        assert!(data["padding_share"].as_f64().unwrap() > 0.0);
    }
    let run = workshop.calm(&format!(
        "{COMPOSE} --train data.jsonl --too-long truncate --out again"
    ));
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("data.jsonl: 4 examples, "), "{first}");
    assert!(first.ends_with("% padding, 1 truncated"), "{first}");

    // A run goes on with the policy that it was begun with.
    let other =
        format!("{COMPOSE} --train data.jsonl --too-long skip --out again --resume --quiet");
    workshop.calm(&other).refused(&["too_long"]);

    workshop.write("data.jsonl", &long.repeat(3));
    let nothing = format!("{COMPOSE} --train data.jsonl --too-long skip --out none --quiet");
    workshop
        .calm(&nothing)
        .refused(&["data.jsonl: none of its 3 examples fits the context of 128"]);
}

#[test]
fn plain_texts_are_learnt_from_their_second_token_on() {
    let workshop = Workshop::new();
    let line = format!("{}\n", json!({ "text": "ABCDE" }));
    workshop.write("texts.jsonl", &line.repeat(4));
    training(&workshop, "--train texts.jsonl --out texts");
    let metrics = workshop.text("texts/run/metrics.jsonl");
    let step: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    // Whether or not the tokenizer begins a text with a token of its own, each row has one token
    // that nothing predicts, and the end of text.
    let tokens = training(&workshop, "--train texts.jsonl --out more")["data"]["tokens"].as_u64();
    assert_eq!(
        step["target_tokens"].as_u64(),
        tokens.map(|tokens| tokens - 4)
    );
}
