//! Bad usage and bad input get one line, exit code 2, and leave nothing behind.

use std::fs;
use std::sync::LazyLock;

use crate::common::{Contents, Workshop, example};

const COMPOSE: &str = "compose --augmenting specialist --out new --steps 4";
const GOOD: &str = "--anchor anchor --train data.jsonl --connections every:2";

/// All kinds of bad input, a dataset and a composition, made once for all tests.
static INPUTS: LazyLock<Contents> = LazyLock::new(|| {
    let workshop = Workshop::new();
    workshop.write("long.jsonl", &example(&"A".repeat(200), "B"));
    workshop.write("zebra.jsonl", &example("1 + zebra =", "3"));
    workshop.write("sums.jsonl", &example("1 + 2 =", "3 0"));

    workshop.copy(&workshop.path("anchor"), "foreign");
    replace(&workshop, "foreign/config.json", "\"llama\"", "\"mamba2\"");
    workshop.copy(&workshop.path("anchor"), "odd");
    let words = calm_testing::words_json(&["one"], "?");
    workshop.write("odd/tokenizer.json", &words);
    workshop.copy(&workshop.path("anchor"), "cut");
    let weights = workshop.bytes("cut/model.safetensors");
    fs::write(
        workshop.path("cut/model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();

    let data = "data kv --pairs 4 --largest-value 9 --all 3 --held-in 3 --held-out 3 --out kv";
    workshop.calm(data).done();
    let compose = format!("{COMPOSE} {GOOD}").replace("--out new", "--out composition");
    workshop.calm(&compose).done();
    workshop.contents()
});

fn replace(workshop: &Workshop, file: &str, old: &str, new: &str) {
    let text = workshop.text(file);
    assert!(text.contains(old), "{file}");
    workshop.write(file, &text.replacen(old, new, 1));
}

/// Lines that begin alike, each refused with these words.
fn assert_refused(beginning: &str, cases: &[(&str, &[&str])]) {
    Workshop::with(&INPUTS).refuses(beginning, cases);
}

#[test]
fn models_that_cannot_be_composed() {
    assert_refused(
        &format!("{COMPOSE} --train data.jsonl"),
        &[
            (
                "--anchor nowhere",
                &["nowhere: is no checkpoint", "config.json"],
            ),
            (
                "--anchor foreign",
                &[
                    "foreign/config.json",
                    "family 'mamba2'",
                    "supported are: llama",
                ],
            ),
            (
                "--anchor anchor --augmenting odd --connections every:3",
                &["data.jsonl: the tokenizer failed"],
            ),
            ("--anchor cut", &["cut/model.safetensors", "bytes"]),
            ("", &["required", "--anchor"]),
        ],
    );
}

#[test]
fn connections_that_cannot_be_made() {
    assert_refused(
        &format!("{COMPOSE} --anchor anchor --train data.jsonl"),
        &[
            (
                "--connections [[9,1]]",
                &["[9, 1] is out of range", "1 to 4", "1 to 3"],
            ),
            ("--connections [[1,1],[1,1]]", &["[1, 1] is listed twice"]),
            ("--connections []", &["at least one"]),
            (
                "--connections 2:3",
                &["--connections", "every:4", "pairs such as [[1,1],[2,3]]"],
            ),
            (
                "--connections every:9",
                &["every 9th of 4", "spacing of 2 to 4"],
            ),
            (
                "--connections middle:4",
                &["middle:4 does not fit 4", "middle:1 to middle:3"],
            ),
            ("--connections even:0", &["choose even:1 to even:3"]),
            ("--heads 3", &["3 heads do not divide", "16"]),
            ("--heads 0", &["0 heads do not divide"]),
            ("--d-inner 18", &["4 heads do not divide the width 18"]),
            ("--d-inner 0", &["heads do not divide the width 0"]),
            ("--norm-epsilon -1", &["`norm_epsilon` is -1"]),
            ("--gate ajar", &["--gate", "'ajar'", "scalar"]),
            ("--bridge-dtype int8", &["--bridge-dtype", "'int8'", "bf16"]),
        ],
    );
}

#[test]
fn models_that_cannot_be_made() {
    assert_refused(
        "pretrain --d-model 16 --steps 4 --out new --tokenizer kv/tokenizer.json",
        &[
            (
                "--train zebra.jsonl",
                &["zebra.jsonl: example 0", "\"zebra\" is not one token"],
            ),
            (
                "--train sums.jsonl --eos STOP",
                &["kv/tokenizer.json", "'STOP'", "--eos"],
            ),
            (
                "--train sums.jsonl --heads 3",
                &["--heads: 3 heads do not divide the width 16"],
            ),
            (
                "--train sums.jsonl --heads 16",
                &["heads of even width, not 1"],
            ),
            ("--train sums.jsonl --blocks 0", &["number of blocks is 0"]),
            (
                "--train sums.jsonl --dtype int8",
                &["--dtype", "'int8'", "bf16"],
            ),
            (
                "--train sums.jsonl --context 4",
                &["sums.jsonl: example 0", "context of 4"],
            ),
        ],
    );
    let not_a_tokenizer = "pretrain --train sums.jsonl --out new --tokenizer sums.jsonl";
    assert_refused("", &[(not_a_tokenizer, &["sums.jsonl: "])]);
}

#[test]
fn datasets_that_cannot_be_built() {
    assert_refused(
        "",
        &[
            (
                "data kv --pairs 1 --out new",
                &["`pairs` is 1", "2 or more"],
            ),
            (
                "data kv --laptop --largest-value 9 --out new",
                &["`largest_value` is 9"],
            ),
            (
                "data kv --operands 6 3 --out new",
                &["`operands` is [6, 3]"],
            ),
            (
                "data kv --operators +% --out new",
                &["--operators", "'%' is no operator"],
            ),
            (
                "data kv --key-length 2..x --out new",
                &["--key-length", "2..6"],
            ),
            ("data kv", &["--out <DIR>"]),
            ("data nlt", &["no verb nlt"]),
            ("data ntl", &["--out <DIR> <MANIFEST>"]),
        ],
    );
}

#[test]
fn directories_that_are_taken() {
    assert_refused(
        &format!("{COMPOSE} {GOOD}").replace("--out new", ""),
        &[
            ("--out kv", &["kv: is not empty", "another directory"]),
            ("--out kv --resume", &["kv: is not empty"]),
            ("--out data.jsonl", &["data.jsonl: "]),
            (
                "--out composition",
                &["composition: holds a run", "--resume"],
            ),
        ],
    );
}

#[test]
fn things_that_cannot_be_used() {
    assert_refused(
        "",
        &[
            (
                "generate nowhere --prompt A",
                &["nowhere: is neither a checkpoint", "composition.json"],
            ),
            ("generate anchor", &["--prompt: there is none"]),
            (
                "generate anchor --prompt é",
                &["--prompt: example 0: the prompt has no token"],
            ),
            (
                "generate anchor --anchor anchor --prompt A",
                &["anchor: is no composition"],
            ),
            ("eval anchor --data absent.jsonl", &["absent.jsonl: "]),
            (
                "eval anchor --data data.jsonl --samples no/such/file",
                &["no/such: "],
            ),
            (
                "eval anchor --data long.jsonl",
                &["long.jsonl: example 0", "context of 128"],
            ),
            ("inspect kv", &["kv: is neither a checkpoint"]),
            ("inspect cut", &["cut/model.safetensors", "bytes"]),
            ("inspect foreign", &["family 'mamba2'"]),
            ("verify anchor", &["anchor/expected.safetensors: "]),
            ("verify anchor --tolerance -1", &["--tolerance"]),
            ("verify --composition composition", &["--checkpoints"]),
            ("verify", &["MODEL"]),
        ],
    );
}

#[test]
fn ways_to_generate_that_make_no_sense() {
    assert_refused(
        "generate anchor --prompt A",
        &[
            (
                "--temperature -1",
                &["temperature is -1; it must be at least 0"],
            ),
            ("--top-k warm", &["--top-k", "invalid"]),
            ("--do-sample=perhaps", &["--do-sample", "invalid"]),
            (
                "--max-length 1",
                &["--max-length: the prompt alone has 1 tokens"],
            ),
            ("--temperature 1 --top-p 2", &["top_p is 2"]),
            ("--temperature 1 --min-p nan", &["min_p is NaN"]),
            ("--temperature warm", &["--temperature", "invalid"]),
            ("--repetition-penalty=-1", &["repetition_penalty is -1"]),
            ("--stop=", &["stop text 0 is empty"]),
            ("--system S", &["--chat"]),
            ("--stream --json", &["--stream: ", "leave out --json"]),
            ("--stream --prompt B", &["--stream: ", "one prompt"]),
        ],
    );
}

#[test]
fn compositions_of_something_else() {
    assert_refused(
        "",
        &[
            (
                "generate composition --anchor specialist --prompt A",
                &[
                    "composition/composition.json",
                    "made for anchor weights",
                    "trained with",
                ],
            ),
            (
                "eval composition --augmenting anchor --data data.jsonl",
                &["made for augmenting model 0 weights"],
            ),
            (
                "inspect composition --augmenting specialist --augmenting anchor",
                &["joins 1 augmenting models, 2 were given"],
            ),
            (
                "inspect composition --anchor nowhere",
                &["nowhere/config.json"],
            ),
        ],
    );
}

#[test]
fn compositions_that_are_damaged() {
    let workshop = Workshop::with(&INPUTS);
    let bridges = workshop.path("composition/bridge.safetensors");
    let bytes = workshop.bytes("composition/bridge.safetensors");
    let generate = || workshop.calm("generate composition --prompt A");
    fs::write(&bridges, &bytes[..bytes.len() - 9]).unwrap();
    generate().refused(&["composition/bridge.safetensors: not a safetensors file"]);
    fs::remove_file(&bridges).unwrap();
    generate().refused(&["composition/bridge.safetensors: "]);
    replace(
        &workshop,
        "composition/composition.json",
        "\"format_version\": 4",
        "\"format_version\": 9",
    );
    generate().refused(&[
        "composition/composition.json: format_version is 9",
        "reads 1 to 4",
    ]);
    workshop.write("composition/composition.json", "{");
    generate().refused(&["composition/composition.json: not JSON"]);
}
