//! Checkpoints that are damaged or made to harm: each is refused in one line that says which file
//! is wrong, and how, with exit code 2.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Workshop;
use serde_json::{Map, Value, json};

/// A name, a damage to a checkpoint, and words of the one line that it is refused with.
type Row = (&'static str, fn(&Checkpoint), &'static [&'static str]);

/// A checkpoint to be damaged: a Llama of 3 blocks of width 16 with 48 tokens.
struct Checkpoint(PathBuf);

impl Checkpoint {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn bytes(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn text(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "{name}");
        fs::write(self.path(name), text.replacen(old, new, 1)).unwrap();
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    fn config(&self, key: &str, value: Value) {
        self.json("config.json", |config| config[key] = value);
    }

    /// Another value for a part of the tokenizer.
    fn tokenizer(&self, part: &str, value: Value) {
        self.json("tokenizer.json", |tokenizer| tokenizer[part] = value);
    }

    /// Changes the header's object and the data of the weights.
    fn header(&self, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        self.bytes("model.safetensors", |file| {
            let (mut header, mut data) = split(file);
            change(&mut header, &mut data);
            *file = joined(&Value::Object(header).to_string(), &data);
        });
    }

    /// Replaces text of the header by other text.
    fn header_text(&self, old: &str, new: &str) {
        self.bytes("model.safetensors", |file| {
            let (header, data) = split(file);
            let text = Value::Object(header).to_string();
            assert!(text.contains(old), "{old}");
            *file = joined(&text.replacen(old, new, 1), &data);
        });
    }

    /// Two shards, the first with the head alone, and an index with these files.
    fn shards(&self, index: impl Fn(&str) -> &str) {
        let (header, data) = split(&fs::read(self.path("model.safetensors")).unwrap());
        let (first, second): (Map<_, _>, Map<_, _>) =
            header.into_iter().partition(|(name, _)| name == HEAD);
        let mut files = Map::new();
        for (shard, tensors) in [("one.safetensors", first), ("two.safetensors", second)] {
            let mut header = Map::new();
            let mut bytes = Vec::new();
            for (name, mut tensor) in tensors {
                files.insert(name.clone(), json!(index(shard)));
                let start = bytes.len();
                bytes.extend(&data[offsets(&tensor)]);
                tensor["data_offsets"] = json!([start, bytes.len()]);
                header.insert(name, tensor);
            }
            self.write(shard, joined(&Value::Object(header).to_string(), &bytes));
        }
        fs::remove_file(self.path("model.safetensors")).unwrap();
        let index = json!({ "weight_map": files });
        self.write("model.safetensors.index.json", index.to_string());
    }

    /// Replaces a file by a directory.
    fn directory(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        fs::create_dir(self.path(name)).unwrap();
    }

    /// Replaces a file by a link.
    #[cfg(unix)]
    fn link(&self, name: &str, target: &str) {
        let _ = fs::remove_file(self.path(name));
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }
}

const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";

fn split(file: &[u8]) -> (Map<String, Value>, Vec<u8>) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    header.shift_remove("__metadata__");
    (header, data.to_vec())
}

fn joined(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}

fn offsets(tensor: &Value) -> std::ops::Range<usize> {
    let [start, end] = [0, 1].map(|end| tensor["data_offsets"][end].as_u64().unwrap() as usize);
    start..end
}

/// Rows are damaged copies of one checkpoint, which serves before it is damaged.
fn assert_all_refused(rows: &[Row]) {
    assert_refused_by("generate checkpoint --prompt A --max-new-tokens 2", rows);
}

fn assert_refused_by(line: &str, rows: &[Row]) {
    let workshop = Workshop::new();
    let original = workshop.path("anchor");
    let checkpoint = Checkpoint(workshop.path("checkpoint"));
    for (name, damage, words) in rows {
        workshop.copy(&original, "checkpoint");
        damage(&checkpoint);
        let mut run = workshop.calm(line);
        run.line = format!("{line}, {name}");
        run.refused(&[&["error: checkpoint"], *words].concat());
        remove(&checkpoint.0);
    }
    workshop.copy(&original, "checkpoint");
    checkpoint.write("chat_template.jinja", "{{ messages[0].content }}");
    workshop.calm(line).done();
    checkpoint.shards(|shard| shard);
    workshop.calm(line).done();
}

fn remove(directory: &Path) {
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn weight_files() {
    assert_all_refused(&[
        (
            "empty",
            |c| c.write("model.safetensors", ""),
            &["model.safetensors: ", "has 0 bytes", "at least 8"],
        ),
        (
            "cut off in the header",
            |c| c.bytes("model.safetensors", |file| file.truncate(100)),
            &["model.safetensors: the header claims", "the file has 100"],
        ),
        (
            "cut off in the data",
            |c| c.bytes("model.safetensors", |file| file.truncate(file.len() - 3)),
            &["model.safetensors: the tensors take", "cut off"],
        ),
        (
            "longer than its tensors",
            |c| c.bytes("model.safetensors", |file| file.push(0)),
            &["model.safetensors: the tensors take"],
        ),
        (
            "a header of 2^63 bytes",
            |c| {
                c.bytes("model.safetensors", |file| {
                    file[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
                });
            },
            &["model.safetensors: the header claims 9223372036854775808 bytes"],
        ),
        (
            "overlap",
            |c| c.header(|h, _| h[NORM]["data_offsets"] = json!([0, 64])),
            &[
                "model.safetensors: tensor ",
                "begins at byte 0",
                "ends at 64",
            ],
        ),
        (
            "beyond the end",
            |c| {
                c.header(|h, data| {
                    let end = data.len();
                    h[NORM]["data_offsets"] = json!([end, end + 64]);
                });
            },
            &["model.safetensors: "],
        ),
        (
            "reversed offsets",
            |c| c.header(|h, _| h[HEAD]["data_offsets"] = json!([3072, 0])),
            &["tensor lm_head.weight", "bytes 3072 to 0", "needs 3072"],
        ),
        (
            "negative offsets",
            |c| c.header(|h, _| h[HEAD]["data_offsets"] = json!([-3072, 0])),
            &["model.safetensors: the header", "integer `-3072`"],
        ),
        (
            "offsets of 2^64",
            |c| c.header_text("[0,3072]", "[0,18446744073709551616]"),
            &["model.safetensors: the header"],
        ),
        (
            "a size that overflows",
            |c| c.header(|h, _| h[HEAD]["shape"] = json!([u64::MAX, u64::MAX])),
            &["tensor lm_head.weight", "too large to exist"],
        ),
        (
            "a shape of 1e400",
            |c| c.header_text("\"shape\":[48,16]", "\"shape\":[1e400,16]"),
            &["model.safetensors: the header", "out of range"],
        ),
        (
            "a tensor twice",
            |c| c.header_text("\"model.norm.weight\"", "\"lm_head.weight\""),
            &["model.safetensors: ", "tensor lm_head.weight occurs twice"],
        ),
        (
            "a type that does not exist",
            |c| c.header(|h, _| h[NORM]["dtype"] = json!("F31")),
            &["tensor model.norm.weight has the unknown type F31"],
        ),
        (
            "a header that is deep",
            |c| {
                let deep = "[".repeat(1 << 20);
                c.write("model.safetensors", joined(&deep, &[]));
            },
            &["model.safetensors: the header (at byte 8) is damaged"],
        ),
        (
            "a header that is no JSON",
            |c| c.write("model.safetensors", joined("tensors", &[])),
            &["model.safetensors: the header (at byte 8) is damaged"],
        ),
    ]);
}

#[test]
fn tensors() {
    assert_all_refused(&[
        (
            "of another type",
            |c| c.header(|h, _| h[NORM]["dtype"] = json!("I32")),
            &["tensor model.norm.weight is stored as I32"],
        ),
        (
            "of another shape",
            |c| c.header(|h, _| h[NORM]["shape"] = json!([4, 4])),
            &["tensor model.norm.weight has shape [4, 4]", "[16]"],
        ),
        (
            "turned round",
            |c| {
                c.header(|h, _| {
                    h["model.layers.1.mlp.up_proj.weight"]["shape"] = json!([16, 24]);
                });
            },
            &["layers.1.mlp.up_proj.weight has shape [16, 24]", "[24, 16]"],
        ),
        (
            "of a wrapped model",
            |c| c.header_text("\"model.norm.weight\"", "\"model.model.norm.weight\""),
            &["model.norm.weight is missing (there is a model.model.norm.weight)"],
        ),
        (
            "left over",
            |c| {
                c.header(|h, data| {
                    let end = data.len();
                    data.extend([0; 4]);
                    let tensor = json!({
                        "dtype": "F32", "shape": [1], "data_offsets": [end, end + 4],
                    });
                    h.insert("model.extra".to_owned(), tensor);
                });
            },
            &["tensor model.extra is not part of this model"],
        ),
        (
            "not a number",
            |c| {
                c.header(|h, data| {
                    let start = offsets(&h[NORM]).start;
                    data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
                });
            },
            &["tensor model.norm.weight holds a number that is not finite in f32"],
        ),
    ]);
}

#[test]
fn shards() {
    assert_all_refused(&[
        (
            "missing from the index",
            |c| {
                c.shards(|shard| shard);
                c.json("model.safetensors.index.json", |index| {
                    let files = index["weight_map"].as_object_mut().unwrap();
                    files.retain(|_, file| file == "two.safetensors");
                });
            },
            &["tensor lm_head.weight is missing"],
        ),
        (
            "missing from the directory",
            |c| {
                c.shards(|shard| shard);
                fs::remove_file(c.path("one.safetensors")).unwrap();
            },
            &["one.safetensors: No such file"],
        ),
        (
            "in the directory above",
            |c| c.shards(|_| "../anchor/model.safetensors"),
            &["index.json: it names the file \"../anchor/model.safetensors\""],
        ),
        (
            "anywhere",
            |c| c.shards(|_| "/dev/zero"),
            &[
                "index.json: it names the file \"/dev/zero\"",
                "same directory",
            ],
        ),
        (
            "an index of nothing",
            |c| {
                c.shards(|shard| shard);
                c.write("model.safetensors.index.json", "{\"weight_map\": {}}");
            },
            &["model.safetensors.index.json: its weight_map is empty"],
        ),
        (
            "an index that names a tensor twice",
            |c| {
                c.shards(|shard| shard);
                let twice = r#"{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}"#;
                c.write("model.safetensors.index.json", twice);
            },
            &["model.safetensors.index.json: key 'a' occurs twice"],
        ),
        (
            "an index that is no index",
            |c| {
                c.shards(|shard| shard);
                c.write("model.safetensors.index.json", "[".repeat(1 << 20));
            },
            &["model.safetensors.index.json: recursion limit exceeded"],
        ),
        (
            "the same tensors twice",
            |c| {
                c.shards(|shard| shard);
                fs::copy(c.path("two.safetensors"), c.path("one.safetensors")).unwrap();
            },
            &["tensor model.norm.weight is in two files"],
        ),
    ]);
}

#[cfg(unix)]
#[test]
fn files_that_are_no_files() {
    assert_all_refused(&[
        (
            "a directory of settings",
            |c| c.directory("config.json"),
            &["config.json: not a regular file"],
        ),
        (
            "a directory of weights",
            |c| c.directory("model.safetensors"),
            &["model.safetensors: not a regular file"],
        ),
        (
            "a directory of tokens",
            |c| c.directory("tokenizer.json"),
            &["tokenizer.json: not a regular file"],
        ),
        (
            "a shard that is a directory",
            |c| {
                c.shards(|shard| shard);
                c.directory("one.safetensors");
            },
            &["one.safetensors: not a regular file"],
        ),
        (
            "weights that are a device",
            |c| c.link("model.safetensors", "/dev/zero"),
            &["model.safetensors: not a regular file"],
        ),
        (
            "settings that never end",
            |c| c.link("generation_config.json", "/dev/zero"),
            &["generation_config.json: not a regular file"],
        ),
        (
            "a pipe that nobody writes to",
            |c| {
                fs::remove_file(c.path("tokenizer.json")).unwrap();
                let pipe = std::process::Command::new("mkfifo")
                    .arg(c.path("tokenizer.json"))
                    .status();
                assert!(pipe.unwrap().success());
            },
            &["tokenizer.json: not a regular file"],
        ),
        (
            "weights that are a link to themselves",
            |c| c.link("model.safetensors", "model.safetensors"),
            &["model.safetensors: ", "symbolic links"],
        ),
        (
            "a tokenizer in a circle",
            |c| {
                c.link("tokenizer.json", "other");
                c.link("other", "tokenizer.json");
            },
            &["tokenizer.json: ", "symbolic links"],
        ),
        (
            "an index that leads nowhere",
            |c| {
                fs::remove_file(c.path("model.safetensors")).unwrap();
                c.link("model.safetensors.index.json", "absent");
            },
            &["model.safetensors.index.json: No such file"],
        ),
    ]);
}

#[test]
fn settings() {
    assert_all_refused(&[
        (
            "no heads",
            |c| c.config("num_attention_heads", json!(0)),
            &["config.json: the number of attention heads is 0"],
        ),
        (
            "no heads, nor a width",
            |c| {
                c.config("head_dim", Value::Null);
                c.config("num_attention_heads", json!(0));
            },
            &["config.json: 0 attention heads do not divide the hidden size 16"],
        ),
        (
            "no key-value heads",
            |c| c.config("num_key_value_heads", json!(0)),
            &["config.json: the number of key-value heads is 0"],
        ),
        (
            "heads that do not divide",
            |c| {
                c.config("head_dim", Value::Null);
                c.config("num_attention_heads", json!(5));
            },
            &["config.json: 5 attention heads do not divide the hidden size 16"],
        ),
        (
            "a billion blocks",
            |c| c.config("num_hidden_layers", json!(1_000_000_000)),
            &["config.json: the number of blocks is 1000000000"],
        ),
        (
            "more blocks than the weights",
            |c| c.config("num_hidden_layers", json!(4096)),
            &[
                "layers.3.self_attn.q_proj.weight is missing",
                "more problems",
            ],
        ),
        (
            "a wide vocabulary",
            |c| c.config("vocab_size", json!(u64::MAX)),
            &["config.json: the vocabulary size is 18446744073709551615"],
        ),
        (
            "a width of 2^64",
            |c| c.text("config.json", ": 16,", ": 18446744073709551616,"),
            &["config.json: hidden_size: ", "1.8446744073709552e+19"],
        ),
        (
            "an epsilon of 1e400",
            |c| c.text("config.json", "1e-06", "1e400"),
            &["config.json: number out of range"],
        ),
        (
            "a negative width",
            |c| c.config("hidden_size", json!(-16)),
            &["config.json: hidden_size: ", "-16"],
        ),
        (
            "a key twice",
            |c| c.text("config.json", "{", "{\"hidden_size\": 32,"),
            &["config.json: key 'hidden_size' occurs twice"],
        ),
        (
            "a key twice in a section",
            |c| {
                c.text(
                    "config.json",
                    "\"rope_theta\"",
                    "\"rope_type\": 1, \"rope_theta\"",
                );
            },
            &["config.json: key 'rope_type' occurs twice"],
        ),
        (
            "deep",
            |c| c.write("config.json", "{\"a\":".repeat(1 << 19)),
            &["config.json: recursion limit exceeded"],
        ),
        (
            "huge",
            |c| c.write("config.json", format!("[{}0]", "0,".repeat(4 << 20))),
            &["config.json: longer than the 4194304 bytes"],
        ),
        (
            "an empty file",
            |c| c.write("config.json", ""),
            &["config.json: EOF"],
        ),
        (
            "no text",
            |c| c.write("config.json", [0xfe, 0xfd]),
            &["config.json: is not UTF-8 at byte 1 of line 1"],
        ),
        (
            "text of two bytes a character",
            |c| c.write("config.json", [0xff, 0xfe]),
            &["config.json: is UTF-16"],
        ),
        (
            "an end of text twice",
            |c| c.text("generation_config.json", "{", "{\"eos_token_id\": 3,"),
            &["generation_config.json: key 'eos_token_id' occurs twice"],
        ),
    ]);
}

#[test]
fn tokenizers() {
    assert_all_refused(&[
        (
            "cut off",
            |c| c.bytes("tokenizer.json", |text| text.truncate(1000)),
            &["tokenizer.json: EOF"],
        ),
        (
            "no model",
            |c| c.write("tokenizer.json", "{}"),
            &["tokenizer.json: "],
        ),
        (
            "a table that leads nowhere",
            |c| {
                // Four units, the first of which has children far away.
                let table = "EAAAAAAAgAAAAAAAAAAAAAAAAAA=";
                let part = json!({ "type": "Precompiled", "precompiled_charsmap": table });
                c.tokenizer("normalizer", part);
            },
            &["tokenizer.json: its normalizer: its table of replacements leads to place"],
        ),
        (
            "a table that claims gigabytes",
            |c| {
                let part = json!({ "type": "Precompiled", "precompiled_charsmap": "/////wAAAAA=" });
                let sequence = json!({ "type": "Sequence", "normalizers": [part] });
                c.tokenizer("normalizer", sequence);
            },
            &["tokenizer.json: its normalizer: its table of replacements is cut off"],
        ),
        (
            "a text that doubles again and again",
            |c| {
                let pattern = json!({ "String": "A" });
                let twice = json!({ "type": "Replace", "pattern": pattern, "content": "AA" });
                let sequence = json!({ "type": "Sequence", "normalizers": vec![twice; 60] });
                c.tokenizer("normalizer", sequence);
            },
            &["tokenizer.json: its normalizer may make a text more than"],
        ),
        (
            "pieces of no length",
            |c| {
                c.tokenizer(
                    "pre_tokenizer",
                    json!({ "type": "FixedLength", "length": 0 }),
                )
            },
            &["tokenizer.json: ", "chunk size must be non-zero"],
        ),
        (
            "a second text where there is one",
            |c| {
                let second = json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
                c.tokenizer(
                    "post_processor",
                    json!({
                        "type": "TemplateProcessing", "single": second, "pair": [],
                        "special_tokens": {},
                    }),
                );
            },
            &["tokenizer.json: ", "index out of bounds"],
        ),
        (
            "a pattern that is deep",
            |c| {
                let pattern = json!({ "Regex": "(".repeat(1 << 20) });
                let split = json!({
                    "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false,
                });
                c.tokenizer("pre_tokenizer", split);
            },
            &["tokenizer.json: ", "too deeply nested"],
        ),
        (
            "a decoder that is deep",
            |c| {
                let deep = r#"{"type":"Sequence","decoders":["#.repeat(1 << 16);
                c.text(
                    "tokenizer.json",
                    "\"decoder\": ",
                    &format!("\"decoder\": {deep}"),
                );
            },
            &["tokenizer.json: recursion limit exceeded"],
        ),
    ]);
}

#[test]
fn chat_templates() {
    let line = "generate checkpoint --chat --prompt A --max-new-tokens 2";
    assert_refused_by(
        line,
        &[
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
                "calls itself",
                |c| {
                    let source = "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: "],
            ),
            (
                "is none",
                |_| (),
                &["checkpoint: has no chat template", "chat_template.jinja"],
            ),
            (
                "is cut off",
                |c| c.write("chat_template.jinja", "one\ntwo {% if %}"),
                &["chat_template.jinja: ", "syntax error"],
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
            (
                "doubles a text",
                |c| {
                    let source = "{% set n = namespace(x='ab') %}{% for a in range(99) %}\
                                  {% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "makes too much text"],
            ),
            (
                "doubles a list",
                |c| {
                    let source = "{% set n = namespace(x=[1]) %}{% for a in range(99) %}\
                                  {% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x ~ 'many' }}";
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "may never end"],
            ),
            (
                "asks for a field of nothing",
                |c| c.write("chat_template.jinja", "{{ messages.role.name }}"),
                &["chat_template.jinja: ", "chat_template:1"],
            ),
            (
                "has damaged settings",
                |c| {
                    c.write("chat_template.jinja", "{{ messages[0].content }}");
                    c.write("tokenizer_config.json", "{");
                },
                &["tokenizer_config.json: "],
            ),
            (
                "calls for a file",
                |c| c.write("chat_template.jinja", "{% include '/etc/hostname' %}"),
                &["chat_template.jinja: ", "unknown statement include"],
            ),
            (
                "extends a file",
                |c| c.write("chat_template.jinja", "{% extends '../config.json' %}"),
                &["chat_template.jinja: ", "unknown statement extends"],
            ),
            (
                "opens a file",
                |c| c.write("chat_template.jinja", "{{ open('/etc/hostname') }}"),
                &["chat_template.jinja: ", "open"],
            ),
            (
                "is deep",
                |c| {
                    c.write(
                        "chat_template.jinja",
                        "{{ ".to_owned() + &"(".repeat(1 << 20),
                    )
                },
                &["chat_template.jinja: "],
            ),
            (
                "has deep blocks",
                |c| c.write("chat_template.jinja", "{% if 1 %}".repeat(13_000)),
                &["chat_template.jinja: "],
            ),
            (
                "is a long chain",
                |c| {
                    let chain = "+1".repeat(60_000);
                    let source = format!("{{{{ 1{chain} }}}}{{{{ raise_exception('a sum') }}}}");
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: ", "a sum"],
            ),
            (
                "negates itself",
                |c| {
                    c.write(
                        "chat_template.jinja",
                        format!("{{{{ {}x.y }}}}", "not ".repeat(30_000)),
                    )
                },
                &["chat_template.jinja: "],
            ),
            (
                "is a long list of attributes",
                |c| {
                    let source = format!("{{{{ messages{} }}}}", ".a".repeat(60_000));
                    c.write("chat_template.jinja", source);
                },
                &["chat_template.jinja: "],
            ),
            (
                "is huge",
                |c| c.write("chat_template.jinja", "a".repeat(300_000)),
                &["chat_template.jinja: the chat template has 300000 bytes"],
            ),
            (
                "is there twice",
                |c| {
                    let text = r#"{"chat_template": "a", "chat_template": "b"}"#;
                    c.write("tokenizer_config.json", text);
                },
                &["tokenizer_config.json: key 'chat_template' occurs twice"],
            ),
        ],
    );
}

#[test]
fn what_a_description_says() {
    assert_refused_by(
        "inspect checkpoint",
        &[
            (
                "a billion blocks",
                |c| c.config("num_hidden_layers", json!(1_000_000_000)),
                &["config.json: the number of blocks is 1000000000"],
            ),
            (
                "cut off",
                |c| c.bytes("model.safetensors", |file| file.truncate(3000)),
                &["model.safetensors: "],
            ),
            (
                "another model's weights",
                |c| c.config("num_hidden_layers", json!(2)),
                &["tensor model.layers.2.input_layernorm.weight is not part of this model"],
            ),
        ],
    );
}
