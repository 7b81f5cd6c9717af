//! Bad settings, data and run directories of training get one line and exit code 2, and nothing is
//! overwritten.

use crate::common::{Workshop, example};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections every:2";

/// So small that it is done at once.
const SMALL: &str = "--steps 8 --checkpoint-steps 2";

#[test]
fn settings_out_of_range() {
    let line = format!("{COMPOSE} --out new");
    let cases: &[(&str, &[&str])] = &[
        ("--seed -1", &["'-1' for '--seed <N>'"]),
        (
            "--seed 99999999999999999999",
            &["'--seed <N>'", "too large"],
        ),
        ("--steps 0", &["`steps`", "at least 1"]),
        ("--steps many", &["'many' for '--steps <N>'"]),
        (
            "--schedule wavy",
            &["'wavy' for '--schedule <NAME>'", "cosine"],
        ),
        (
            "--steps 8 --warmup-steps 9",
            &["`warmup_steps`", "fit into the steps"],
        ),
        (
            "--steps 8 --warmup-steps 9 --schedule constant",
            &["`warmup_steps`"],
        ),
        ("--decay-share 1.5", &["`decay_share`", "[0, 1]"]),
        ("--decay-share -0.5", &["`decay_share`"]),
        ("--decay-share nan", &["`decay_share`"]),
        ("--learning-rate 0", &["`learning_rate`", "(0, 1]"]),
        ("--learning-rate 7", &["`learning_rate`", "(0, 1]"]),
        ("--learning-rate -1", &["`learning_rate`", "(0, 1]"]),
        ("--clip-norm big", &["--clip-norm", "'big'"]),
        ("--rows 0", &["--rows"]),
        ("--device tpu", &["no device is called 'tpu'", "cuda:0"]),
        (
            "--conections [[1,1]]",
            &["--conections; did you mean --connections?"],
        ),
        ("--beta1 1", &["`beta1`", "[0, 1)"]),
        ("--beta2 -0.1", &["`beta2`"]),
        ("--accumulation 0", &["`accumulation`", "from 1 to"]),
        ("--accumulation 99999999999", &["`accumulation`"]),
        (
            "--checkpoint-steps 0",
            &["`checkpoint_steps`", "at least 1"],
        ),
        (
            "--keep-checkpoints 0",
            &["`keep_checkpoints`", "at least 1"],
        ),
        ("--skip-not-finite=some", &["'some' for '--skip-not-finite"]),
        ("--patience 3", &["--validation"]),
        ("--validation-steps 3", &["--validation"]),
        ("--validation-metric exact", &["--validation"]),
        (
            "--validation data.jsonl --validation-steps 0",
            &["`validation_steps`"],
        ),
        (
            "--validation data.jsonl --patience 0",
            &["`patience`", "at least 1"],
        ),
        (
            "--validation data.jsonl --validation-metric luck",
            &["'luck'", "exact"],
        ),
        (
            "--validation data.jsonl --validation-metric exact --validation-examples 0",
            &["--validation-examples"],
        ),
        (
            "--validation data.jsonl --validation-examples 3",
            &["--validation-metric"],
        ),
    ];
    Workshop::new().refuses(&line, cases);
}

/// A workshop with files that nothing can be learnt from.
fn with_bad_data() -> Workshop {
    let workshop = Workshop::new();
    let good = example("ABC", "DE");
    workshop.write("empty.jsonl", "");
    workshop.write("blank.jsonl", "\n \n");
    workshop.write("no-target.jsonl", &format!("{good}{}", example("ABC", "")));
    workshop.write(
        "long.jsonl",
        &format!("{good}{}", example(&"A".repeat(200), "B")),
    );
    workshop.write("cut.jsonl", &good[..good.len() - 5]);
    workshop.write("not-json.jsonl", &format!("{good}prompt: ABC\n"));
    let no_key = format!("{good}{good}{{\"prompt\": \"A\"}}\n");
    workshop.write("no-key.jsonl", &no_key);
    workshop
}

const BAD_DATA: [(&str, &[&str]); 8] = [
    ("absent.jsonl", &["absent.jsonl: No such file"]),
    ("empty.jsonl", &["empty.jsonl: holds no example"]),
    ("blank.jsonl", &["blank.jsonl: holds no example"]),
    (
        "no-target.jsonl",
        &["no-target.jsonl: example 1: the target has no token"],
    ),
    (
        "long.jsonl",
        &["long.jsonl: example 1", "context of 128", "shorten"],
    ),
    ("not-json.jsonl", &["not-json.jsonl, line 2: "]),
    ("no-key.jsonl", &["no-key.jsonl, line 3: ", "`target`"]),
    ("cut.jsonl", &["cut.jsonl, line 1: "]),
];

#[test]
fn data_that_cannot_be_learnt() {
    let line = COMPOSE.replace("data.jsonl", "");
    let line = line.replace("--train", "--out new");
    let flags = BAD_DATA.map(|(file, words)| (format!("--train {file}"), words));
    let cases: Vec<_> = flags
        .iter()
        .map(|(flag, words)| (&**flag, *words))
        .collect();
    with_bad_data().refuses(&line, &cases);
}

#[test]
fn data_that_cannot_be_validated_on() {
    let line = format!("{COMPOSE} --out new");
    let flags = BAD_DATA.map(|(file, words)| (format!("--validation {file}"), words));
    let cases: Vec<_> = flags
        .iter()
        .map(|(flag, words)| (&**flag, *words))
        .collect();
    with_bad_data().refuses(&line, &cases);
}

#[test]
fn runs_that_cannot_be_gone_on_with() {
    let workshop = Workshop::new();
    workshop.write("held-out.jsonl", &example("ABC", "DE"));
    workshop
        .calm(&format!("{COMPOSE} {SMALL} --out done"))
        .done();
    workshop.refuses(
        &format!("{COMPOSE} {SMALL}"),
        &[
            ("--out done", &["done: holds a run", "--resume"]),
            (
                "--out done --resume --seed 3",
                &["done/run: ", "train.seed: 0 there, 3 here"],
            ),
            (
                "--out done --resume --schedule cosine",
                &["train.schedule: \"linear\" there, \"cosine\" here"],
            ),
            (
                "--out done --resume --keep-checkpoints 5",
                &["train.keep_checkpoints: 2 there, 5 here"],
            ),
            (
                "--out done --resume --validation held-out.jsonl",
                &["validation: null there"],
            ),
            ("--out anchor --resume", &["anchor: is not empty"]),
            (
                "--out done --resume --baseline lora",
                &["what.composed: ", "null here"],
            ),
        ],
    );
}

#[test]
fn runs_of_other_programs() {
    let workshop = Workshop::new();
    workshop
        .calm(&format!("{COMPOSE} {SMALL} --out done"))
        .done();
    let description = workshop.text("done/run/run.json");
    let (line, resume) = (format!("{COMPOSE} {SMALL}"), "--out done --resume");
    for (old, new, words) in [
        (
            "\"format_version\": 1",
            "\"format_version\": 7",
            "run.json: format_version is 7, this program goes on with runs of version 1",
        ),
        ("\"format_version\": 1,", "", "format_version is 0"),
        ("calm ", "calm of somebody else ", "settings.program"),
        ("{", "", "run.json: not JSON"),
    ] {
        assert!(description.contains(old));
        workshop.write("done/run/run.json", &description.replacen(old, new, 1));
        let words = words.trim_start_matches("settings.");
        workshop.refuses(&line, &[(resume, &["done/run", words])]);
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_cut_begins_anew_and_says_so() {
    let workshop = Workshop::new();
    workshop
        .calm(&format!("{COMPOSE} {SMALL} --out done"))
        .done();
    let bridges = || workshop.bytes("done/bridge.safetensors");
    let before = bridges();
    for step in [6, 8] {
        let path = format!("done/run/checkpoints/{step:08}/checkpoint.json");
        workshop.write(&path, "{");
    }
    let run = workshop.calm(&format!("{COMPOSE} {SMALL} --out done --resume --quiet"));
    for step in [6, 8] {
        let warning = format!(
            "warning: the checkpoint of step {step} is damaged, so the run goes on from the beginning: "
        );
        assert!(run.stderr.contains(&warning), "{run:#?}");
    }
    run.done();
    assert!(bridges() == before);
}
