//! Flags from a file, and runs that are only described.

use std::fs;

use crate::common::Workshop;
use serde_json::Value;

const FLAGS: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                     --connections [[2,1],[4,3]] --rows 4 --steps 6 --learning-rate 2e-3 \
                     --anchor-norm --seed 5";

/// The same as [`FLAGS`].
const FILE: &str = r#"
anchor = "anchor"
augmenting = ["specialist"] # one of several
train = "data.jsonl"
connections = ["[[2,1],[4,3]]"]
rows = 4
steps = 6
learning-rate = 2e-3
anchor-norm = true
output-norm = false
seed = 0x5
"#;

fn is_trained_alike(workshop: &Workshop, outs: [&str; 2]) -> bool {
    let [one, other] = outs.map(|out| workshop.bridges(out));
    one == other
}

#[test]
fn a_file_says_what_flags_say() {
    let workshop = Workshop::new();
    workshop.write("run.toml", FILE);
    workshop.calm(&format!("{FLAGS} --out flags")).done();
    workshop.calm("compose --config run.toml --out file").done();
    assert!(is_trained_alike(&workshop, ["flags", "file"]));

    // Flags win, of those that may be repeated all together.
    workshop.write(
        "two.toml",
        &FILE.replace(r#"["specialist"]"#, r#"["nowhere", "nobody"]"#),
    );
    let line = "compose --seed 6 --config two.toml --augmenting specialist --steps 4 --out both";
    let both = workshop.calm(&format!("{line} --json")).json();
    assert_eq!(both["training"]["settings"]["steps"], 4);
    assert_eq!(both["training"]["settings"]["seed"], 6);
    assert_eq!(both["connections"].as_array().unwrap().len(), 1);
    assert!(!is_trained_alike(&workshop, ["flags", "both"]));
}

#[test]
fn paths_of_a_file_begin_where_it_is() {
    let workshop = Workshop::new();
    fs::create_dir_all(workshop.path("experiments/first")).unwrap();
    let text = FILE
        .replace(r#""anchor""#, r#""../../anchor""#)
        .replace(r#""specialist""#, r#""../../specialist""#)
        .replace("data.jsonl", "../../data.jsonl");
    workshop.write(
        "experiments/first/run.toml",
        &format!("out = 'result'\n{text}"),
    );
    workshop
        .calm("compose --config experiments/first/run.toml")
        .done();
    workshop.calm(&format!("{FLAGS} --out flags")).done();
    assert!(is_trained_alike(
        &workshop,
        ["flags", "experiments/first/result"]
    ));
    // Those of the command line begin where it is typed.
    workshop
        .calm("compose --config experiments/first/run.toml --out here")
        .done();
    assert!(is_trained_alike(&workshop, ["flags", "here"]));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let workshop = Workshop::new();
    let before = workshop.names();
    let refused = |text: &str, words: &[&str]| {
        workshop.write("bad.toml", &format!("{FILE}{text}"));
        let run = workshop.calm("compose --config bad.toml --out out");
        run.refused(&[&["error: bad.toml, line 12: "], words].concat());
    };
    refused("step = 7", &["unknown key 'step'; did you mean 'steps'?"]);
    refused("lerning-rate = 1", &["did you mean 'learning-rate'?"]);
    refused(
        "zebra = 1",
        &["unknown key 'zebra'; keys are flags of calm compose"],
    );
    refused(
        "train_batch_size = 4",
        &["'train_batch_size' is 'rows', which line 6 has"],
    );
    refused("config = 'other.toml'", &["unknown key 'config'"]);
    refused("[training]", &["unknown key 'training'"]);
    refused(
        "accumulation = '2'",
        &["'accumulation': invalid type: string"],
    );
    refused(
        "accumulation = 2.5",
        &["'accumulation': invalid type: float"],
    );
    refused("noise = true", &["'noise': invalid type: boolean"]);
    refused(
        "bridge-bias = 1",
        &["'bridge-bias': invalid type: integer `1`, expected a boolean"],
    );
    refused("gate = 3", &["'gate': ", "integer"]);
    refused("gate = ['scalar']", &["'gate': "]);
    refused(
        "gate = 'scala'",
        &["'gate': unknown variant `scala`", "scalar"],
    );
    refused("heads = -1", &["'heads': invalid value: integer `-1`"]);
    refused("noise = 11", &["--noise", "from 0 to 10"]);
    refused("weight-decay = 2", &["`weight_decay` must be in [0, 1]"]);
    refused("steps = 7", &["duplicate key"]);
    refused("gate = 'scalar", &["invalid"]);
    workshop.write("bad.toml", &format!("{FILE}extend = 'x'"));
    workshop
        .calm("compose --config bad.toml --out out")
        .refused(&[
            "bad.toml, line 2: ",
            "--anchor: cannot be used with --extend",
        ]);
    fs::remove_file(workshop.path("bad.toml")).unwrap();
    assert_eq!(workshop.names(), before, "nothing is written");

    workshop.write("nested.toml", "connections = [[2,1],[4,3]]");
    let nested = workshop.calm("compose --config nested.toml --out out");
    nested.refused(&[
        "nested.toml, line 1: 'connections': ",
        "a text in quotes, or a list",
    ]);
    workshop.write("rates.toml", "# too high\nlearning-rate = 2.0\n");
    let line = format!("{} --out out", FLAGS.replace("--learning-rate 2e-3", ""));
    workshop
        .calm(&format!("{line} --config rates.toml"))
        .refused(&["rates.toml, line 2: ", "`learning_rate` must be in (0, 1]"]);
    // Of a flag it is not said where it is.
    workshop
        .calm(&format!("{line} --config rates.toml --learning-rate 3"))
        .refused(&["error: training setting `learning_rate`"]);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let workshop = Workshop::new();
    let refused = |words: &[&str]| {
        let run = workshop.calm("compose --config it.toml --out out");
        run.refused(&[&["it.toml: "], words].concat());
    };
    refused(&["No such file"]);
    fs::write(workshop.path("it.toml"), [b'a', 0xff]).unwrap();
    refused(&["UTF-8"]);
    workshop.write("it.toml", &"#\n".repeat(1 << 20));
    refused(&["longer than 1 MiB"]);
    workshop.write("it.toml", "steps = 3");
    // Flags that are in neither are missing.
    workshop
        .calm("compose --config it.toml --out out")
        .refused(&["required", "--train", "--anchor"]);
    workshop.calm("compose --config it.toml --help").done();
}

/// The keys of a dry run's text.
fn keys(text: &str) -> Vec<&str> {
    let keys = text.lines().filter_map(|line| line.split_once(" = "));
    keys.map(|(key, _)| key).collect()
}

#[test]
fn a_dry_run_tells_all_and_writes_nothing() {
    let workshop = Workshop::new();
    let before = workshop.names();
    let text = workshop
        .calm(&format!("{FLAGS} --out out --dry-run"))
        .done();
    let json = workshop
        .calm(&format!("{FLAGS} --out out --dry-run --json"))
        .json();
    assert_eq!(workshop.names(), before);
    for key in [
        "out",
        "steps",
        "warmup-steps",
        "connections",
        "heads",
        "gate",
        "device",
    ] {
        assert!(keys(&text).contains(&key), "{key} is not in {text}");
    }
    for key in ["dry-run", "json", "quiet", "tui", "config"] {
        assert!(!keys(&text).contains(&key), "{key} is in {text}");
    }
    assert_eq!(json["config"]["learning-rate"], 2e-3);
    let trained = workshop.calm(&format!("{FLAGS} --out out --json")).json();
    let added = &trained["training"]["added_parameters"]["stored"];
    assert_eq!(&json["parameters"]["trained"], added);
    assert_eq!(json["data"]["examples"], 24);
    assert_eq!(json["data"]["batches_per_epoch"], 6);
    assert_eq!(json["data"]["epochs"], 1.0);
    // Per six of the four texts: targets with their ends; all that is read, and the last end.
    assert_eq!(json["data"]["target_tokens"], 6 * (2 + 3 + 1 + 1 + 4));
    assert_eq!(json["data"]["tokens"], 6 * (8 + 7 + 8 + 5));
    let of = |value: &Value| value.as_f64().unwrap();
    assert!((0.0..1.0).contains(&of(&json["data"]["padding_share"])));
    let estimate = &json["memory_bytes"]["estimate"];
    let parts = [
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "activation_cache",
    ];
    let sum: f64 = parts.iter().map(|part| of(&estimate[part])).sum();
    assert_eq!(sum, of(&estimate["total"]));
    assert_eq!(of(&estimate["gradients"]), 4.0 * of(added));
    assert!(of(&json["time"]["seconds"]) > 0.0);
    assert_eq!(json["time"]["measured_steps"], 3);
}

#[test]
fn what_a_dry_run_prints_is_a_file_of_flags() {
    let workshop = Workshop::new();
    let text = workshop
        .calm(&format!("{FLAGS} --out out --dry-run"))
        .done();
    fs::create_dir(workshop.path("elsewhere")).unwrap();
    workshop.write("elsewhere/run.toml", &text);
    let again = workshop
        .calm("compose --config elsewhere/run.toml --dry-run")
        .done();
    let config = |text: &str| text.split("\n#").next().unwrap().to_owned();
    assert_eq!(config(&again), config(&text));
    workshop.calm("compose --config elsewhere/run.toml").done();
    workshop.calm(&format!("{FLAGS} --out flags")).done();
    assert!(is_trained_alike(&workshop, ["flags", "out"]));
}

#[test]
fn every_kind_of_run_can_be_described() {
    let workshop = Workshop::new();
    let before = workshop.names();
    let sizes = |line: &str| {
        let parameters = workshop.calm(&format!("{line} --dry-run --json")).json();
        let parameters = &parameters["parameters"];
        [&parameters["frozen"], &parameters["trained"]].map(|count| count.as_u64().unwrap())
    };
    let [anchor, none] = sizes(&format!("{FLAGS} --out out --baseline finetune"));
    let (anchor, frozen) = (none, anchor);
    assert_eq!(frozen, 0);
    let [frozen, adapters] = sizes(&format!("{FLAGS} --out out --baseline lora"));
    assert_eq!(frozen, anchor);
    assert!(adapters < anchor);
    let pretrain = "pretrain --train data.jsonl --tokenizer anchor/tokenizer.json --blocks 2 \
                    --d-model 16 --heads 2 --rows 4 --steps 1 --out out";
    let [frozen, trained] = sizes(pretrain);
    assert!(frozen == 0 && trained > 0);
    assert_eq!(workshop.names(), before);
    // It is refused what the run would be.
    workshop.write("taken", "");
    workshop
        .calm(&format!("{FLAGS} --out taken --dry-run"))
        .refused(&["taken"]);
    workshop
        .calm(&format!("{FLAGS} --out out --rows 0 --dry-run"))
        .refused(&["--rows"]);
}
