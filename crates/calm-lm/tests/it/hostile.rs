//! Checkpoints that are damaged or made to harm: one of each kind is refused in one line, with exit
//! code 2. The library's own tests (`damaged` in `calm-models`) have all of them.

use std::fs;

use crate::common::Workshop;
use calm_testing::Checkpoint;
use serde_json::json;

/// A name, a damage to a checkpoint, and words of the one line that it is refused with.
type Row = (&'static str, fn(&Checkpoint), &'static [&'static str]);

/// Rows are damaged copies of one checkpoint, which serves before it is damaged.
fn assert_refused_by(line: &str, rows: &[Row]) {
    let workshop = Workshop::new();
    let original = workshop.path("anchor");
    let checkpoint = Checkpoint::at(workshop.path("checkpoint"));
    for (name, damage, words) in rows {
        workshop.copy(&original, "checkpoint");
        damage(&checkpoint);
        let mut run = workshop.calm(line);
        run.line = format!("{line}, {name}");
        run.refused(&[&["error: checkpoint"], *words].concat());
        fs::remove_dir_all(checkpoint.dir()).unwrap();
    }
    workshop.copy(&original, "checkpoint");
    checkpoint.write("chat_template.jinja", "{{ messages[0].content }}");
    workshop.calm(line).done();
}

#[test]
fn files_of_all_kinds() {
    assert_refused_by(
        "generate checkpoint --prompt A --max-new-tokens 2",
        &[
            (
                "weights that are cut off",
                |c| c.bytes("model.safetensors", |file| file.truncate(3000)),
                &["model.safetensors: "],
            ),
            (
                "many tensors missing",
                |c| c.config("num_hidden_layers", json!(4096)),
                &[
                    "layers.3.self_attn.q_proj.weight is missing",
                    "more problems",
                ],
            ),
            (
                "an index that names any file",
                |c| {
                    fs::remove_file(c.path("model.safetensors")).unwrap();
                    let index = json!({ "weight_map": { "lm_head.weight": "/dev/zero" } });
                    c.write("model.safetensors.index.json", index.to_string());
                },
                &[
                    "index.json: it names the file \"/dev/zero\"",
                    "same directory",
                ],
            ),
            (
                "settings that cannot be",
                |c| c.config("hidden_size", json!(-16)),
                &["config.json: hidden_size: ", "-16"],
            ),
            (
                "settings that are deep",
                |c| c.write("config.json", "{\"a\":".repeat(1 << 19)),
                &["config.json: recursion limit exceeded"],
            ),
            (
                "settings that are huge",
                |c| c.write("config.json", format!("[{}0]", "0,".repeat(4 << 20))),
                &["config.json: longer than the 4194304 bytes"],
            ),
            // The tokenizer library panics at both.
            (
                "pieces of no length",
                |c| {
                    let part = json!({ "type": "FixedLength", "length": 0 });
                    c.tokenizer("pre_tokenizer", part);
                },
                &["tokenizer.json: ", "chunk size must be non-zero"],
            ),
            (
                "a second text where there is one",
                |c| {
                    let second = json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
                    let part = json!({
                        "type": "TemplateProcessing", "single": second, "pair": [],
                        "special_tokens": {},
                    });
                    c.tokenizer("post_processor", part);
                },
                &["tokenizer.json: ", "index out of bounds"],
            ),
        ],
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to() {
    let pipe = |c: &Checkpoint| {
        fs::remove_file(c.path("tokenizer.json")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(c.path("tokenizer.json"))
            .status();
        assert!(pipe.unwrap().success());
    };
    assert_refused_by(
        "generate checkpoint --prompt A --max-new-tokens 2",
        &[("a pipe", pipe, &["tokenizer.json: not a regular file"])],
    );
}

#[test]
fn chat_templates() {
    assert_refused_by(
        "generate checkpoint --chat --prompt A --max-new-tokens 2",
        &[
            (
                "is none",
                |_| (),
                &["checkpoint: has no chat template", "chat_template.jinja"],
            ),
            (
                "never ends",
                |c| {
                    let nested = "{% for a in range(99999) %}".repeat(4);
                    let ends = "{% endfor %}".repeat(4);
                    c.write("chat_template.jinja", nested + &ends);
                },
                &["chat_template.jinja: ", "may never end"],
            ),
            (
                "has deep blocks",
                |c| c.write("chat_template.jinja", "{% if 1 %}".repeat(13_000)),
                &["chat_template.jinja: "],
            ),
            (
                "refuses",
                |c| c.write("chat_template.jinja", "{{ raise_exception('No\nchat!') }}"),
                &["chat_template.jinja: ", "No chat!"],
            ),
            (
                "steers the terminal",
                |c| {
                    c.write(
                        "chat_template.jinja",
                        "{{ raise_exception('\u{1b}]0;a\u{7}b') }}",
                    )
                },
                &["chat_template.jinja: ", r"\u{1b}]0;a\u{7}b"],
            ),
        ],
    );
}

#[test]
fn what_a_description_says() {
    assert_refused_by(
        "inspect checkpoint",
        &[(
            "another model's weights",
            |c| c.config("num_hidden_layers", json!(2)),
            &["tensor model.layers.2.input_layernorm.weight is not part of this model"],
        )],
    );
}
