//! Models of the Hub on the command line, from a server on this machine.

use std::fs;
use std::process::Stdio;

use crate::common::{Run, Workshop, fixtures};
use crate::hub_server::{Behaviour, COMMIT, HubServer, files};

/// Variables that a child process must not inherit.
const VARIABLES: [&str; 7] = [
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "XDG_CACHE_HOME",
];

/// A workshop whose anchor is on a server as well.
struct Bench {
    workshop: Workshop,
    server: HubServer,
}

impl Bench {
    fn new() -> Self {
        let workshop = Workshop::new();
        let server = HubServer::start(files(&workshop.path("anchor")));
        Self { workshop, server }
    }

    fn calm(&self, line: &str) -> Run {
        self.calm_with(line, &[])
    }

    /// `calm` with a cache of its own, and these variables.
    fn calm_with(&self, line: &str, variables: &[(&str, &str)]) -> Run {
        let mut command = self.workshop.command(line);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", &self.server.endpoint);
        command.env("HF_HOME", self.workshop.path("home"));
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        Run::new(line, command.output().unwrap())
    }
}

#[test]
fn a_model_of_the_hub_is_as_good_as_a_directory() {
    let bench = Bench::new();
    let name = format!("hf:owner/name@{COMMIT}");
    let here = bench.calm("generate anchor --prompt ABC --json").json();
    let there = bench
        .calm("generate hf:owner/name --prompt ABC --json --quiet")
        .json();
    assert_eq!(there["continuations"], here["continuations"]);
    assert_eq!(there["model"], *name);

    bench.server.requests();
    let info = bench.calm(&format!("inspect {name}"));
    assert_eq!(info.stderr, "");
    let info = info.done();
    let hash = bench.calm("inspect anchor --json").json()["weights_sha256"].clone();
    assert!(
        info.contains(&name) && info.contains(hash.as_str().unwrap()),
        "{info}"
    );
    assert!(bench.server.requests().is_empty());

    let eval = bench
        .calm("eval hf:owner/name --data data.jsonl --quiet --json")
        .json();
    assert_eq!(eval["model"], *name);
}

#[test]
fn fetching_is_shown_unless_quiet() {
    let bench = Bench::new();
    let shown = bench.calm("inspect hf:owner/name").stderr;
    let weights = shown
        .lines()
        .find(|line| line.contains("model.safetensors"));
    let weights = weights.unwrap_or_else(|| panic!("{shown}"));
    assert!(
        weights.starts_with("fetching model.safetensors: "),
        "{shown}"
    );
    assert!(
        weights.ends_with(" left") && weights.contains("KiB of"),
        "{shown}"
    );

    let bench = Bench::new();
    assert_eq!(bench.calm("inspect hf:owner/name --quiet").stderr, "");
}

#[test]
fn verify_fetches_what_it_compares_with() {
    let bench = Bench::new();
    bench
        .calm("verify hf:owner/name --quiet")
        .refused(&["no expected.safetensors"]);
    let fixture = files(&fixtures("calm-models").join("llama"));
    bench.server.change(|files| *files = fixture);
    bench.calm("verify hf:owner/name --quiet").done();
}

#[test]
fn a_composition_names_the_commit() {
    let bench = Bench::new();
    bench
        .calm(
            "compose --anchor hf:owner/name --augmenting specialist --connections every:2 --steps 2 \
             --train data.jsonl --out composition --quiet",
        )
        .done();
    let text = bench.workshop.text("composition/composition.json");
    assert!(
        text.contains(&format!("\"hf:owner/name@{COMMIT}\"")),
        "{text}"
    );
    bench.server.requests();
    bench.calm("generate composition --prompt ABC").done();
    bench.calm("inspect composition").done();
    assert!(bench.server.requests().is_empty());
    // Another machine has no cache.
    fs::remove_dir_all(bench.workshop.path("home")).unwrap();
    bench
        .calm("generate composition --prompt ABC --quiet")
        .done();
    bench
        .calm("generate composition --anchor hf:owner/name --prompt ABC --quiet")
        .done();

    // The same name, with other weights.
    let other = files(&fixtures("calm-compose").join("checkpoints/llama3-scaled-tied"));
    bench.server.change(|files| *files = other);
    fs::remove_dir_all(bench.workshop.path("home")).unwrap();
    bench
        .calm("generate composition --prompt ABC --quiet")
        .refused(&["composition", "weights"]);
}

#[test]
fn what_cannot_be_had_is_told_in_one_line() {
    let bench = Bench::new();
    let generate = |model: &str| format!("generate {model} --prompt ABC --quiet");
    let name = "hf:owner/name";
    bench
        .calm(&generate("hf:name"))
        .refused(&["'hf:name'", "hf:owner/name", "@revision"]);
    bench
        .calm(&generate("hf:owner/../x"))
        .refused(&["names no model"]);
    bench
        .calm(&generate("hf:owner/other"))
        .refused(&["hf:owner/other@main: ", "no such model"]);
    bench
        .calm(&generate("hf:owner/name@x/y"))
        .refused(&["no revision 'x/y'"]);
    let offline = [("HF_HUB_OFFLINE", "1")];
    bench
        .calm_with(&generate(name), &offline)
        .refused(&["config.json", "HF_HUB_OFFLINE"]);
    let nowhere = [("HF_ENDPOINT", "http://127.0.0.1:1")];
    bench
        .calm_with(&generate(name), &nowhere)
        .refused(&["http://127.0.0.1:1 cannot be reached", "give a directory"]);
    let wrong = [("HF_ENDPOINT", "huggingface.co")];
    bench
        .calm_with(&generate(name), &wrong)
        .refused(&["HF_ENDPOINT is \"huggingface.co\""]);
    // Directories do not care.
    bench.calm_with(&generate("anchor"), &wrong).done();

    bench.server.behave(Behaviour {
        token: Some("hf_secret"),
        ..Behaviour::default()
    });
    bench
        .calm(&generate(name))
        .refused(&["401", "set HF_TOKEN"]);
    bench
        .calm_with(&generate(name), &[("HF_TOKEN", "hf_wrong")])
        .refused(&["401 to the token"]);
    fs::create_dir_all(bench.workshop.path("home")).unwrap();
    bench.workshop.write("home/token", "hf_secret\n");
    bench.calm(&generate(name)).done();
}

#[test]
fn a_run_that_was_cut_goes_on() {
    let bench = Bench::new();
    let line = "inspect hf:owner/name --quiet";
    bench.server.behave(Behaviour {
        cut: Some((10, 0)),
        ..Behaviour::default()
    });
    bench.calm(line).refused(&[
        "model.safetensors: the connection ended after 0 of",
        "goes on",
    ]);
    bench.server.behave(Behaviour::default());
    bench.calm(line).done();
}

#[test]
fn data_of_the_hub_is_as_good_as_a_file() {
    let bench = Bench::new();
    let data = bench.workshop.bytes("data.jsonl");
    let lines: Vec<&[u8]> = data.split_inclusive(|byte| *byte == b'\n').collect();
    let (first, rest) = lines.split_at(10);
    bench.server.change(|files| {
        files.insert("main/train-00000-of-00002.jsonl".to_owned(), first.concat());
        files.insert("main/train-00001-of-00002.jsonl".to_owned(), rest.concat());
        files.insert("main/test.jsonl".to_owned(), first.concat());
        files.insert("README.md".to_owned(), b"about".to_vec());
    });
    let compose = |data: &str, out: &str| {
        format!(
            "compose --anchor anchor --augmenting specialist --connections every:2 --steps 2 \
             --train {data} --out {out} --quiet"
        )
    };
    bench.calm(&compose("data.jsonl", "here")).done();
    bench
        .calm(&compose("hf:datasets/owner/name/main/train", "there"))
        .done();
    assert_eq!(
        bench.workshop.bridges("here"),
        bench.workshop.bridges("there")
    );
    let text = bench.workshop.text("there/composition.json");
    assert!(
        text.contains(&format!("hf:datasets/owner/name@{COMMIT}/main/train")),
        "{text}"
    );

    let asked = bench.server.requests();
    let names = ["README", "test.jsonl"];
    let is_other =
        |line: &str| line.contains("/resolve") && names.iter().any(|name| line.contains(name));
    assert!(
        !asked.iter().any(|request| is_other(&request.line)),
        "{asked:?}"
    );
    // A commit that is in the cache needs no network, and a branch none that is forbidden.
    let pinned = format!("hf:datasets/owner/name@{COMMIT}/main/train");
    bench
        .calm(&format!("eval anchor --data {pinned} --limit 2 --quiet"))
        .done();
    let offline = [("HF_HUB_OFFLINE", "1")];
    let line = "eval anchor --data hf:datasets/owner/name/main/train --limit 2 --json --quiet";
    let found = bench.calm_with(line, &offline).json();
    assert_eq!(found["data"], *pinned);
    assert!(bench.server.requests().is_empty());

    let eval = |data: &str| bench.calm(&format!("eval anchor --data {data} --quiet"));
    eval("hf:datasets/owner/name").refused(&["several splits", "main/test, main/train"]);
    eval("hf:datasets/owner/name/dev").refused(&["no file of examples at 'dev'", "main/test"]);
    eval("hf:datasets/owner/other").refused(&["has no such data set"]);
    eval("hf:datasets/owner").refused(&["hf:datasets/owner/name@revision/path"]);
    eval("hf:datasets/owner/name@x/main/test").refused(&["no revision 'x'"]);
    bench
        .calm_with(
            "eval anchor --data hf:datasets/owner/name/main/test --quiet",
            &offline,
        )
        .refused(&["main/test is not in the cache", "HF_HUB_OFFLINE"]);
}
