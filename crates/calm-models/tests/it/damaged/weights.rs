//! Files of weights, and the tensors in them.

use calm_models::{FrozenModel, HeaderError, LoadOptions, ModelError, WeightProblem};
use calm_testing::{Checkpoint, joined, offsets};
use serde_json::json;

use super::{
    HEAD, NORM, assert_all_refused, error, header_error, problems, with_config, with_weight_bytes,
    with_weights,
};

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
            |c| c.header(|h, _| h[NORM]["data_offsets"] = json!([0, 128])),
            &[
                "model.safetensors: tensor ",
                "begins at byte 0",
                "ends at 128",
            ],
        ),
        (
            "beyond the end",
            |c| {
                c.header(|h, data| {
                    let end = data.len();
                    h[NORM]["data_offsets"] = json!([end, end + 128]);
                });
            },
            &["model.safetensors: "],
        ),
        (
            "reversed offsets",
            |c| c.header(|h, _| h[HEAD]["data_offsets"] = json!([10240, 0])),
            &["tensor lm_head.weight", "bytes 10240 to 0", "needs 10240"],
        ),
        (
            "negative offsets",
            |c| c.header(|h, _| h[HEAD]["data_offsets"] = json!([-10240, 0])),
            &["model.safetensors: the header", "integer `-10240`"],
        ),
        (
            "offsets of 2^64",
            |c| c.header_text("[0,10240]", "[0,18446744073709551616]"),
            &["model.safetensors: the header"],
        ),
        (
            "a size that overflows",
            |c| c.header(|h, _| h[HEAD]["shape"] = json!([u64::MAX, u64::MAX])),
            &["tensor lm_head.weight", "too large to exist"],
        ),
        (
            "a shape of 1e400",
            |c| c.header_text("\"shape\":[80,32]", "\"shape\":[1e400,32]"),
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
            |c| c.header(|h, _| h[NORM]["shape"] = json!([4, 8])),
            &["tensor model.norm.weight has shape [4, 8]", "[32]"],
        ),
        (
            "turned round",
            |c| {
                c.header(|h, _| {
                    h["model.layers.1.mlp.up_proj.weight"]["shape"] = json!([32, 40]);
                });
            },
            &["layers.1.mlp.up_proj.weight has shape [32, 40]", "[40, 32]"],
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
fn weight_files_that_are_cut_off_or_no_weight_files() {
    for length in [0, 7] {
        let error = header_error(with_weight_bytes(|file| file.truncate(length)));
        assert!(matches!(error, HeaderError::TooShort { .. }), "{error}");
    }
    let error = header_error(with_weight_bytes(|file| file.truncate(100)));
    assert!(matches!(error, HeaderError::HeaderLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| file.truncate(file.len() - 1)));
    assert!(matches!(error, HeaderError::DataLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| {
        file[..8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    }));
    assert!(matches!(error, HeaderError::HeaderLength { .. }), "{error}");
    let error = header_error(with_weight_bytes(|file| file[8] = b'x'));
    assert!(matches!(error, HeaderError::Json { .. }), "{error}");
}

#[test]
fn tensors_that_overlap() {
    let error = header_error(with_weights(|header, _| {
        header["lm_head.weight"]["data_offsets"] =
            header["model.embed_tokens.weight"]["data_offsets"].clone();
    }));
    assert!(matches!(error, HeaderError::Offset { .. }), "{error}");
}

#[test]
fn tensors_of_another_type_or_shape() {
    let error = with_weights(|header, _| header["model.norm.weight"]["dtype"] = json!("I32"));
    let name = "model.norm.weight".to_owned();
    assert_eq!(
        problems(error),
        [WeightProblem::Type {
            name: name.clone(),
            found: "I32".into()
        }]
    );
    let error = with_weights(|header, _| header["model.norm.weight"]["shape"] = json!([2, 16]));
    let (expected, found) = (vec![32], vec![2, 16]);
    assert_eq!(
        problems(error),
        [WeightProblem::Shape {
            name,
            expected,
            found
        }]
    );
}

#[test]
fn everything_missing_and_left_over_is_listed() {
    let renamed = "model.layers.1.mlp.up_proj.weight";
    let other = "layers.1.mlp.up_proj.weight";
    let error = with_weights(|header, data| {
        let tensor = header.shift_remove(renamed).unwrap();
        header.insert(other.to_owned(), tensor);
        let end = data.len();
        data.extend([0; 4]);
        let extra = json!({ "dtype": "F32", "shape": [1], "data_offsets": [end, end + 4] });
        header.insert("extra".to_owned(), extra);
    });
    let message = error.to_string();
    assert!(
        message.contains(&format!("{renamed} is missing (there is a {other})")),
        "{message}"
    );
    let expected = [
        WeightProblem::Missing {
            name: renamed.to_owned(),
            near_miss: Some(other.to_owned()),
        },
        WeightProblem::Surplus {
            name: "extra".to_owned(),
        },
        WeightProblem::Surplus {
            name: other.to_owned(),
        },
    ];
    assert_eq!(problems(error), expected);
}

#[test]
fn more_blocks_than_the_file_has() {
    let error = with_config(|config| config["num_hidden_layers"] = json!(4));
    let problems = problems(error);
    assert_eq!(problems.len(), 9);
    assert!(problems.iter().all(|problem| matches!(
        problem,
        WeightProblem::Missing { name, .. } if name.starts_with("model.layers.3.")
    )));
}

#[test]
fn messages_stay_short() {
    let error = with_config(|config| config["num_hidden_layers"] = json!(4096));
    let message = error.to_string();
    assert!(message.len() < 10_000, "{}", message.len());
    assert!(message.contains("and 36737 more problems"), "{message}");
    assert_eq!(problems(error).len(), 4093 * 9);
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let error = with_weights(|header, data| {
        let start = offsets(&header[NORM]).start;
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let problems = problems(error);
    assert!(
        matches!(&problems[..], [WeightProblem::NotFinite { name, .. }] if name == "model.norm.weight"),
        "{problems:?}"
    );
}

#[test]
fn numbers_that_are_not_finite_can_be_allowed() {
    let checkpoint = Checkpoint::new();
    checkpoint.bytes("model.safetensors", |file| {
        let end = file.len();
        file[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    });
    assert!(matches!(error(&checkpoint), ModelError::Weights { .. }));
    let options = LoadOptions {
        allow_not_finite: true,
        ..LoadOptions::default()
    };
    assert!(FrozenModel::load(checkpoint.dir(), &options).is_ok());
}

#[test]
fn a_head_beside_a_tied_embedding_counts_if_it_differs() {
    let checkpoint = Checkpoint::new();
    let is_tied = || checkpoint.load().unwrap().config().head.tied;
    let (old, new) = (
        "\"tie_word_embeddings\": false",
        "\"tie_word_embeddings\": true",
    );
    checkpoint.text("config.json", old, new);
    assert!(!is_tied());
    checkpoint.header(|header, data| {
        let [embedding, head] =
            ["model.embed_tokens.weight", HEAD].map(|name| offsets(&header[name]));
        data.copy_within(embedding, head.start);
    });
    assert!(is_tied());
}
