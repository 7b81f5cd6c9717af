//! Benchmarks from the command line: tasks, runs that go on, scores again, comparisons.

use std::fs;

use crate::common::Workshop;
use serde_json::Value;

/// A task in the letters that the checkpoints read.
const TASK: &str = r#"
layout = 1
name = "letters"
version = 1
about = "Letters after letters"
prompt = "{{ given }}x"

[data]
format = "tsv"
file = "letters_{language}.tsv"
columns = ["given", "next"]

[shots]
count = 1
template = "{{ given }}x{{ next }}z"
data = { format = "tsv", file = "shots.tsv", columns = ["given", "next"] }

[generation]
max_new_tokens = 4
stop_texts = ["z"]

[score]
metric = "chrf1"
reference = "{{ next }}"

[groups]
both = ["aa", "bb"]
"#;

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("letters.toml", TASK);
    fs::create_dir(workshop.path("data")).unwrap();
    workshop.write("data/letters_aa.tsv", "AB\tCD\nKLM\tN\nQ\tRST\nFG\tH\n");
    workshop.write("data/letters_bb.tsv", "ab\tcd\nk\tl\n");
    workshop.write("data/shots.tsv", "UV\tW\n");
    workshop
}

const EVAL: &str = "eval anchor --task letters.toml --data data --batch 2 --quiet";

fn lines(workshop: &Workshop, run: &str) -> Vec<String> {
    let text = workshop.text(&format!("{run}/samples.jsonl"));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_run_goes_on_where_it_was() {
    let workshop = workshop();
    let whole = workshop.calm(&format!("{EVAL} --out whole --json")).json();
    assert_eq!(whole["tasks"][0]["n"], 6);
    assert_eq!(whole["tasks"][0]["groups"][0]["languages"], 2);
    let samples = lines(&workshop, "whole");
    assert_eq!(samples.len(), 6);
    let first: Value = serde_json::from_str(&samples[0]).unwrap();
    assert!(first["prompt"].as_str().unwrap().starts_with("UVxWz"));

    // Half of the samples, and half a line, as a process that is killed leaves them.
    fs::create_dir(workshop.path("killed")).unwrap();
    let run = workshop.bytes("whole/run.json");
    fs::write(workshop.path("killed/run.json"), run).unwrap();
    let half = format!("{}\n{}\n{}", samples[0], samples[1], &samples[2][..40]);
    workshop.write("killed/samples.jsonl", &half);
    let resumed = workshop.calm(&format!("{EVAL} --out killed --json")).json();
    assert_eq!(resumed, whole);
    assert_eq!(lines(&workshop, "killed"), samples);

    // Nothing is left to be done.
    let again = workshop.calm(&format!("{EVAL} --out whole --json")).json();
    assert_eq!(again, whole);
    assert_eq!(lines(&workshop, "whole"), samples);
}

#[test]
fn another_run_is_refused() {
    let workshop = workshop();
    workshop.calm(&format!("{EVAL} --out run")).done();
    let with = |more: &str| workshop.calm(&format!("{EVAL} --out run {more}"));
    with("--limit 1").refused(&["run.json: holds a run whose --limit differs"]);
    with("--shots 0").refused(&["definition of the task 'letters' differs"]);
    let other = EVAL.replace("eval anchor", "eval specialist");
    workshop
        .calm(&format!("{other} --out run"))
        .refused(&["whose model differs"]);
    workshop.write("data/letters_bb.tsv", "ab\tcd\nk\tm\n");
    with("").refused(&["data of the task 'letters' differs"]);
    // A run that was ended before its first sample has nothing to lose.
    workshop.write("run/samples.jsonl", "{\"task");
    with("--limit 1").done();
    assert_eq!(lines(&workshop, "run").len(), 2);
}

#[test]
fn a_run_is_of_one_process() {
    let workshop = workshop();
    workshop.calm(&format!("{EVAL} --out run")).done();
    let samples = fs::File::open(workshop.path("run/samples.jsonl")).unwrap();
    samples.lock().unwrap();
    let again = workshop.calm(&format!("{EVAL} --out run"));
    again.refused(&["run: another process goes on with this run"]);
}

/// The model reads 128 tokens, one for each letter up to `s`, and an answer may have four.
#[test]
fn prompts_that_are_too_long_are_refused_or_cut() {
    let workshop = workshop();
    let letters: String = ('A'..='Z').cycle().take(300).collect();
    workshop.write("data/letters_aa.tsv", &format!("{letters}\tN\nKLM\tN\n"));
    let of_aa = format!("{EVAL} --language aa --shots 0");
    workshop.calm(&format!("{of_aa} --out run")).refused(&[
        "example 0",
        "300 tokens",
        "reads 128",
        "--too-long truncate",
    ]);
    let truncated = format!("{of_aa} --too-long truncate");
    let found = workshop
        .calm(&format!("{truncated} --out run --json"))
        .json();
    assert_eq!(found["tasks"][0]["languages"][0]["truncated"], 1);
    let told = workshop.calm(&format!("{truncated} --out run")).done();
    assert!(told.contains("prompts cut: 1"), "{told}");
    let sample = |run: &str| -> Value { serde_json::from_str(&lines(&workshop, run)[0]).unwrap() };
    let cut = sample("run");
    assert_eq!(cut["cut_tokens"], 300 - 124);

    // The model reads what it reads of a text without that beginning.
    let short = &letters[300 - 124..];
    workshop.write("data/letters_aa.tsv", &format!("{short}\tN\nKLM\tN\n"));
    workshop.calm(&format!("{of_aa} --out short")).done();
    assert_eq!(sample("short")["output"], cut["output"]);
    assert_eq!(sample("short")["cut_tokens"], 0);
    workshop
        .calm(&format!("{truncated} --out short"))
        .refused(&["whose --too-long differs"]);
}

#[test]
fn samples_are_scored_again_without_a_model() {
    let workshop = workshop();
    let results = workshop.calm(&format!("{EVAL} --out run --json")).json();
    let again = workshop
        .calm("score --samples run/samples.jsonl --json")
        .json();
    assert_eq!(again["tasks"], results["tasks"]);
}

#[test]
fn runs_are_compared_language_by_language() {
    let workshop = workshop();
    workshop.calm(&format!("{EVAL} --out first")).done();
    let other = EVAL.replace("eval anchor", "eval specialist");
    workshop.calm(&format!("{other} --out second")).done();
    let found = workshop.calm("eval --compare first second --json").json();
    assert_eq!(found["languages"].as_array().unwrap().len(), 2);
    assert_eq!(found["languages"][0]["n"], 4);
    let same = workshop.calm("eval --compare first first").done();
    assert!(same.contains("better           0 of 2"), "{same}");
    workshop
        .calm("eval --compare first nowhere")
        .refused(&["nowhere/run.json: is not there"]);
    fs::remove_file(workshop.path("second/results.json")).unwrap();
    workshop
        .calm("eval --compare first second")
        .refused(&["second: this run was ended before its end"]);
    workshop
        .calm("score --samples data.jsonl")
        .refused(&["run.json: is not there"]);
}

#[test]
fn tasks_are_listed_and_shown() {
    let workshop = workshop();
    let listed = workshop.calm("eval --list").done();
    for name in [
        "flores200",
        "gsm8k",
        "mgsm",
        "humaneval",
        "mbpp",
        "codexglue",
    ] {
        assert!(listed.contains(&format!("{name} ")), "{listed}");
    }
    let shown = workshop.calm("eval --show letters.toml --data data").done();
    assert_eq!(shown, "UVxWzABx\n");
    let listed = workshop.calm("eval --list --json").json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 9);
    // The text of a task is a task file.
    let shown = workshop.calm("eval --show mgsm").done();
    workshop.write("shown.toml", &shown);
    assert_eq!(workshop.calm("eval --show shown.toml").done(), shown);
    let shown = workshop.calm("eval --show humaneval --json").json();
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let workshop = workshop();
    let calm = |line: &str| workshop.calm(line);
    calm("eval anchor").refused(&["--data"]);
    calm("eval --data data.jsonl").refused(&["MODEL"]);
    calm("eval anchor --data data").refused(&["data", "--task"]);
    calm("eval anchor --task gsm9k --data data").refused(&["did you mean 'gsm8k'?"]);
    calm("eval anchor --task gsm8k --data data").refused(&["test.jsonl", "not there"]);
    calm(&format!("{EVAL} --language cc")).refused(&["no language 'cc'", "aa, bb"]);
    calm(&format!("{EVAL} --limit 0")).refused(&["--limit"]);
    workshop.write("data/test.jsonl", "{}\n");
    calm("eval anchor --task gsm8k --data data --language cc").refused(&["knows no languages"]);
    workshop.write("letters.toml", &TASK.replace("stop_texts", "stop_text"));
    calm(EVAL).refused(&["letters.toml, line 20", "did you mean 'stop_texts'?"]);
    workshop.write("letters.toml", &TASK.replace("shots.tsv", "no.tsv"));
    calm(EVAL).refused(&["data/no.tsv: the task 'letters' takes 1 worked examples"]);
    workshop.write(
        "letters.toml",
        &TASK.replace("{{ given }}x\"", "{{ givn }}x\""),
    );
    calm(EVAL).refused(&["there is no field 'givn'; did you mean 'given'?"]);
}

/// The command is the launcher of its own sandbox.
#[test]
fn generated_programs_are_judged_in_a_sandbox() {
    let workshop = workshop();
    let (kept, _) = TASK.split_once("[score]").unwrap();
    let score = r#"
[score]
metric = "pass@1"

[score.program]
code = "def f(): return 'CD'"
tests = "assert f() == '{{ next }}'"
names = "f"
"#;
    workshop.write("letters.toml", &format!("{kept}{score}"));
    let run = workshop.calm(&format!("{EVAL} --language aa --out run --json"));
    if run.code == Some(2) {
        // Neither Python nor a sandbox is needed to build and test this workspace.
        assert!(run.stderr.contains("--python") || run.stderr.contains("--unsafe-run-code"));
        return;
    }
    let results = run.json();
    assert_eq!(results["tasks"][0]["score"], 25.0);
    let signature = results["tasks"][0]["signature"].as_str().unwrap();
    assert!(signature.starts_with("pass@1|n:1|estimator:unbiased|version:"));
    assert_eq!(results["cage"]["seccomp"], true);
    let passed = lines(&workshop, "run");
    let passed = passed
        .iter()
        .filter(|line| line.contains(r#""outcome":"passed""#));
    assert_eq!(passed.count(), 1);
}

/// Every flag is used or refused, whatever is asked for.
#[test]
fn no_flag_is_accepted_and_ignored() {
    let workshop = workshop();
    let calm = |line: &str| workshop.calm(line);
    for (flag, lines) in [
        (
            "--limit 3",
            &[
                "eval --list",
                "eval --show letters.toml --data data",
                "eval --compare a b",
            ][..],
        ),
        ("--shots 1", &["eval --list", "eval --compare a b"]),
        ("--scale 1", &["eval --list", "eval --show letters.toml"]),
        ("--data data", &["eval --list", "eval --compare a b"]),
        (
            "--out run",
            &["eval anchor --data data.jsonl", "eval --list"],
        ),
        (
            "--language aa",
            &["eval anchor --data data.jsonl", "eval --show letters.toml"],
        ),
        (
            "--too-long truncate",
            &["eval anchor --data data.jsonl", "eval --show letters.toml"],
        ),
        ("--batch 2", &["eval --show letters.toml"]),
        ("--test-file x", &["eval anchor --data data.jsonl"]),
        ("--python x", &["eval anchor --data data.jsonl", EVAL]),
        ("--unsafe-run-code", &["eval --list", EVAL]),
        ("--metric exact", &[EVAL, "eval --list"]),
        ("--samples s.jsonl", &[EVAL]),
        ("--chat", &[EVAL]),
        ("--prompt-field x", &[EVAL]),
        (
            "--max-new-tokens 3",
            &[
                "eval anchor --data data.jsonl --metric perplexity",
                "eval --list",
            ],
        ),
        (
            "--shots-file data/shots.tsv",
            &["eval anchor --data data.jsonl"],
        ),
        ("--lenient", &["eval --list"]),
        ("--dtype bf16", &["eval --compare a b"]),
        ("--show letters.toml", &["eval --list", EVAL]),
    ] {
        for line in lines {
            let name = flag.split(' ').next().unwrap();
            calm(&format!("{line} {flag}")).refused(&[name]);
        }
    }
    calm("eval anchor --list").refused(&["MODEL"]);
    workshop.write("data/humaneval", "");
    calm("eval anchor --task humaneval --data data --shots 2")
        .refused(&["'humaneval' takes no worked examples"]);
    assert!(!workshop.names().contains(&"runs".to_owned()));
}

#[test]
fn examples_are_limited_and_scored_by_any_metric() {
    let workshop = Workshop::new();
    let eval = |more: &str| {
        workshop
            .calm(&format!(
                "eval anchor --data data.jsonl --json --quiet {more}"
            ))
            .json()
    };
    let all = eval("");
    assert_eq!(
        (&all["n"], &all["metric"]),
        (&24.into(), &"exact-match".into())
    );
    let some = eval("--limit 3 --samples s.jsonl");
    assert_eq!(some["n"], 3);
    assert_eq!(workshop.text("s.jsonl").lines().count(), 3);
    // The interval is Wilson's, also at 0 %.
    assert_eq!(some["percent"], 0.0);
    let high = some["interval_95"][1].as_f64().unwrap();
    assert!((high - 56.15).abs() < 0.01, "{high}");
    let told = workshop
        .calm("eval anchor --data data.jsonl --limit 3 --quiet")
        .done();
    assert_eq!(
        told,
        "0.0 % exact match (0 of 3), 95 % interval 0.0 to 56.1 %\n"
    );
    for (metric, name) in [
        ("chrf1", "chrF1"),
        ("chrf++", "chrF2++"),
        ("bleu", "BLEU"),
        ("number", "number"),
    ] {
        let found = eval(&format!("--metric {metric} --max-new-tokens 3 --batch 5"));
        assert_eq!(found["metric"], name);
        assert!(
            found["signature"].as_str().unwrap().contains("version:"),
            "{found}"
        );
    }
    // What the text says is what a metric says of the file.
    let found = eval("--metric chrf1 --max-new-tokens 3 --samples s.jsonl");
    let lines: Vec<Value> = workshop
        .text("s.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let texts = |field: &str| -> String {
        lines
            .iter()
            .map(|line| format!("{}\n", line[field].as_str().unwrap()))
            .collect()
    };
    workshop.write("hyp.txt", &texts("output"));
    workshop.write("ref.txt", &texts("target"));
    let scored = workshop
        .calm("score --metric chrf1 --hyp hyp.txt --ref ref.txt --json")
        .json();
    assert_eq!(found["score"], scored["score"]);
    let loss = eval("--metric perplexity");
    let [nats, score] = ["nats_per_token", "score"].map(|field| loss[field].as_f64().unwrap());
    assert!((nats.exp() / score - 1.0).abs() < 1e-4, "{loss}");
    assert_eq!(loss["tokens"], 6 * (3 + 4 + 2 + 2));
    // It is the loss that training has.
    workshop.calm("pretrain --from anchor --train data.jsonl --validation data.jsonl --validation-steps 1 --steps 1 --learning-rate 1e-12 --out p --quiet").done();
    let line = workshop.text("p/run/validation.jsonl");
    let trained: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert!(
        (trained["loss"].as_f64().unwrap() - nats).abs() < 1e-4,
        "{trained} {loss}"
    );
}

#[test]
fn worked_examples_stand_before_examples() {
    let workshop = Workshop::new();
    let eval = |more: &str| {
        workshop.calm(&format!(
            "eval anchor --data data.jsonl --quiet --samples s.jsonl {more}"
        ))
    };
    // Without spaces and line ends, of which the model has no tokens.
    let refused = eval("--shots 30");
    refused.refused(&["data.jsonl: holds too few rows for --shots 30"]);
    workshop.write("shots.jsonl", "{\"prompt\": \"a\", \"target\": \"b\"}\n");
    eval("--shots 2 --shots-file shots.jsonl").refused(&["shots.jsonl: holds too few rows"]);
    fs::write(
        workshop.path("anchor/chat_template.jinja"),
        "{% for m in messages %}{{ m.content }}X{% endfor %}",
    )
    .unwrap();
    eval("--chat --shots 1 --shots-file shots.jsonl --limit 2").done();
    let first = |name: &str| -> Value {
        serde_json::from_str(workshop.text(name).lines().next().unwrap()).unwrap()
    };
    assert_eq!(first("s.jsonl")["prompt"], "aXbXABCDEX");
    // The first row is then no example.
    let found = workshop
        .calm("eval anchor --data data.jsonl --chat --shots 1 --samples s.jsonl --json --quiet")
        .json();
    assert_eq!((&found["n"], &found["shots"]), (&23.into(), &1.into()));
    assert_eq!(first("s.jsonl")["prompt"], "ABCDEXFGXKLMX");
}

#[test]
fn files_of_a_benchmark_may_have_any_name() {
    let workshop = workshop();
    workshop.write("elsewhere.txt", "QQ\tRR\n");
    workshop.write("worked.txt", "S\tT\n");
    let show = "eval --show letters.toml --test-file elsewhere.txt --shots-file worked.txt";
    workshop.calm(show).refused(&["--test-file", "--language"]);
    assert_eq!(
        workshop.calm(&format!("{show} --language cc")).done(),
        "SxTzQQx\n"
    );
    let line = "eval anchor --task letters.toml --test-file elsewhere.txt --shots-file worked.txt --language cc --quiet --json";
    let found = workshop.calm(line).json();
    assert_eq!(found["tasks"][0]["languages"][0]["language"], "cc");
    // Records may be of another format than the task's own.
    workshop.write("qa.csv", "question,answer\nABC,#### 7\n");
    let shown = workshop
        .calm("eval --show gsm8k --test-file qa.csv --shots 0")
        .done();
    assert_eq!(shown, "Question: ABC\nAnswer:\n");
    workshop
        .calm("eval anchor --task gsm8k --task mgsm --test-file qa.csv")
        .refused(&["--test-file", "one task"]);
}

#[test]
fn a_run_is_kept_where_model_and_task_say() {
    let workshop = workshop();
    let told = workshop.calm(EVAL).done();
    assert!(
        told.contains("kept in") && told.contains("runs/eval/anchor/letters\n"),
        "{told}"
    );
    assert!(told.contains("[ ] is the 95 % interval"), "{told}");
    workshop
        .calm(&EVAL.replace("eval anchor", "eval specialist"))
        .done();
    workshop.calm(&format!("{EVAL} --limit 1 --shots 0")).done();
    for run in [
        "anchor/letters",
        "specialist/letters",
        "anchor/letters-limit-1-shots-0",
    ] {
        assert!(
            workshop
                .path(&format!("runs/eval/{run}/results.json"))
                .is_file(),
            "{run}"
        );
    }
    let before = workshop.contents();
    // Another model of the same name is refused, and nothing of the first is lost.
    fs::remove_dir_all(workshop.path("anchor")).unwrap();
    fs::rename(workshop.path("specialist"), workshop.path("anchor")).unwrap();
    workshop
        .calm(EVAL)
        .refused(&["runs/eval/anchor/letters/run.json", "--out"]);
    let run = std::path::Path::new("runs/eval/anchor/letters/results.json");
    assert_eq!(workshop.contents()[run], before[run]);
}
