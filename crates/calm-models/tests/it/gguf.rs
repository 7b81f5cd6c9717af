//! Models in GGUF files, held against what `transformers` makes of them.

use std::fs;
use std::path::{Path, PathBuf};

use calm_models::{
    Chat, ChatTemplate, CheckpointInfo, FrozenModel, LoadOptions, ModelError, Part, RopeScaling,
    Strictness, Tokenizer, verify,
};
use serde::Deserialize;

use crate::common::gguf::{ARRAY, BOOL, F32, GgufFile, TEXT, U32, text, texts};
use crate::common::{assert_close, fixture, ids};

/// Models with a tokenizer made of a vocabulary.
const MODELS: [&str; 5] = ["llama", "qwen2", "gemma3", "phi3", "gpt2"];

/// Models with a whole tokenizer.json.
const OTHERS: [&str; 10] = [
    "gptneox",
    "starcoder2",
    "stablelm",
    "bloom",
    "falcon",
    "olmo2",
    "granite",
    "mixtral",
    "qwen2moe",
    "qwen3moe",
];

fn path_of(name: &str) -> PathBuf {
    fixture("gguf").join(name).join("model.gguf")
}

fn load(path: &Path) -> FrozenModel {
    FrozenModel::load(path, &LoadOptions::default()).unwrap()
}

/// A copy of a model, changed.
fn changed(name: &str, change: impl FnOnce(&mut GgufFile)) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let mut file = GgufFile::read(&path_of(name));
    change(&mut file);
    file.write(&path);
    (dir, path)
}

fn error(name: &str, change: impl FnOnce(&mut GgufFile)) -> String {
    let (_dir, path) = changed(name, change);
    let error = FrozenModel::load(&path, &LoadOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn every_file_computes_what_transformers_computes() {
    for name in MODELS.into_iter().chain(OTHERS) {
        let found = verify(&path_of(name), &LoadOptions::default()).unwrap();
        assert!(found.is_within(1e-5), "{name}: {found:?}");
    }
}

#[test]
fn texts_have_the_ids_of_transformers() {
    #[derive(Deserialize)]
    struct Text {
        text: String,
        ids: Vec<u32>,
    }
    for name in MODELS {
        let tokenizer = Tokenizer::find(&path_of(name)).unwrap().unwrap();
        let texts = fs::read_to_string(fixture("gguf").join(name).join("texts.json")).unwrap();
        let texts: Vec<Text> = serde_json::from_str(&texts).unwrap();
        assert!(!texts.is_empty());
        for Text { text, ids } in texts {
            let found = tokenizer.encode(&text, true).unwrap().ids;
            assert_eq!(found, ids, "{name}: {text:?}");
        }
    }
}

#[test]
fn what_is_saved_is_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    for name in MODELS.into_iter().chain(OTHERS) {
        let model = load(&path_of(name));
        let path = dir.path().join(name);
        model.save(&path, Default::default()).unwrap();
        let again = load(&path);
        assert_eq!(again.config(), model.config(), "{name}");
        assert_eq!(again.special, model.special, "{name}");
        let text = "the cat <s>then</s> 123  4";
        let encode = |model: &FrozenModel| model.tokenizer.encode(text, true).unwrap().ids;
        assert_eq!(encode(&again), encode(&model), "{name}");
        let logits = |model: &FrozenModel| {
            let ids = ids(&[[5, 9, 3, 70, 7]]);
            model
                .decoder
                .forward(ids, &calm_models::PaddingMask::none(1, 5))
        };
        assert_close(logits(&again), logits(&model));
    }
    let template = fs::read_to_string(dir.path().join("llama/chat_template.jinja")).unwrap();
    assert!(template.contains("bos_token"), "{template}");
}

#[test]
fn frequencies_that_were_divided_by_the_rule_of_llama_3_say_so() {
    let scaling = |model: &FrozenModel| {
        let rope = model.config().first_block().attention.rope().cloned();
        rope.unwrap().scaling
    };
    let expected = RopeScaling::Llama3 {
        factor: 8.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_context: 8192,
    };
    assert_eq!(scaling(&load(&path_of("llama"))), expected);
    let (_dir, path) = changed("llama", |file| {
        let divisors = [1.0_f32, 2.0, 3.0, 4.5];
        let divisors = divisors.iter().flat_map(|number| number.to_le_bytes());
        file.tensor("rope_freqs.weight").data = divisors.collect();
    });
    match scaling(&load(&path)) {
        RopeScaling::LongRope {
            short_factors,
            long_factors,
            attention_factor,
            ..
        } => {
            assert_eq!(*short_factors, [1.0, 2.0, 3.0, 4.5]);
            assert_eq!((long_factors, attention_factor), (short_factors, 1.0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_is_described_without_loading_it() {
    let info = CheckpointInfo::read(&path_of("llama"), Strictness::default()).unwrap();
    assert_eq!(
        info.stored_as(None),
        ["BF16", "F16", "F32", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
    );
    let config = info.config.clone();
    assert_eq!(info.parameters(), config.parameter_count());
    assert_eq!(info.parameters_of(Part::Embedding), 320 * 32);
    let embedding = info
        .tensors
        .iter()
        .find(|tensor| tensor.name == "token_embd.weight");
    assert_eq!(embedding.unwrap().shape, [320, 32]);
    assert_eq!(info.special.bos, Some(0));
    assert_eq!(
        info.special.eos,
        [1, 2],
        "</s> as the file says, and <|im_end|>"
    );
    let file = fs::read(path_of("llama")).unwrap();
    assert_eq!(info.weights_sha256, calm_files::sha256(&file));
    assert_eq!(info.weight_bytes(), file.len() as u64);
    let divisors = info
        .tensors
        .iter()
        .find(|tensor| tensor.name == "rope_freqs.weight");
    assert_eq!(divisors.unwrap().part, None);
}

#[test]
fn chat_templates_are_in_the_metadata() {
    let template = ChatTemplate::read(&path_of("llama")).unwrap();
    let prompt = template.render(&Chat::question(None, "Why?")).unwrap();
    assert_eq!(prompt, "<s>user: Why?\n");
    assert!(ChatTemplate::find(&path_of("qwen2")).unwrap().is_none());
    let message = ChatTemplate::read(&path_of("qwen2"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("has no chat template"), "{message}");
    let (_dir, path) = changed("qwen2", |file| {
        file.set("tokenizer.chat_template.tool_use", TEXT, text("no"));
        file.set(
            "tokenizer.chat_template.default",
            TEXT,
            text("{{ eos_token }}"),
        );
    });
    let template = ChatTemplate::read(&path).unwrap();
    assert_eq!(template.render(&Chat::default()).unwrap(), "</s>");
}

#[test]
fn version_2_is_read_as_version_3() {
    let (_dir, path) = changed("gpt2", |file| file.version = 2);
    assert_eq!(load(&path).config(), load(&path_of("gpt2")).config());
    assert!(error("gpt2", |file| file.version = 1).contains("version 1"));
    assert!(error("gpt2", |file| file.version = 4).contains("version 4"));
    let big_endian = error("gpt2", |file| file.version = 3_u32.swap_bytes());
    assert!(big_endian.contains("big-endian"), "{big_endian}");
}

fn split(name: &str, dir: &Path, count: usize) -> Vec<PathBuf> {
    GgufFile::read(&path_of(name)).split(dir, count)
}

#[test]
fn any_file_of_a_model_in_several_stands_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let expected = fixture("gguf/llama/expected.safetensors");
    fs::copy(expected, dir.path().join("expected.safetensors")).unwrap();
    let parts = split("llama", dir.path(), 3);
    let lines: String = parts
        .iter()
        .map(|part| {
            let name = part.file_name().unwrap().to_str().unwrap();
            format!("{}  {name}\n", calm_files::sha256_file(part).unwrap())
        })
        .collect();
    for part in &parts {
        let found = verify(part, &LoadOptions::default()).unwrap();
        assert!(found.is_within(1e-5), "{found:?}");
        let info = CheckpointInfo::read(part, Strictness::default()).unwrap();
        assert_eq!(info.files.len(), 3);
        assert_eq!(info.weights_sha256, calm_files::sha256(&lines));
    }
}

#[test]
fn files_of_a_model_must_be_all_there_and_of_one_model() {
    let message = |change: fn(&[PathBuf])| {
        let dir = tempfile::tempdir().unwrap();
        let parts = split("gpt2", dir.path(), 3);
        change(&parts);
        let error = FrozenModel::load(&parts[0], &LoadOptions::default()).unwrap_err();
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    };
    let gone = message(|parts| fs::remove_file(&parts[1]).unwrap());
    assert!(
        gone.contains("m-00002-of-00003.gguf: No such file"),
        "{gone}"
    );
    let twice = message(|parts| {
        fs::copy(&parts[1], &parts[2]).unwrap();
    });
    assert!(
        twice.contains("m-00003-of-00003.gguf: says that it is another"),
        "{twice}"
    );
    let doubled = message(|parts| {
        let mut file = GgufFile::read(&parts[2]);
        file.tensors[0] = GgufFile::read(&parts[1]).tensors[0].clone();
        file.write(&parts[2]);
    });
    assert!(doubled.contains("is in two files"), "{doubled}");
    let fewer = message(|parts| {
        let mut file = GgufFile::read(&parts[2]);
        file.tensors.pop();
        file.write(&parts[2]);
    });
    assert!(fewer.contains("but they have"), "{fewer}");
    let dir = tempfile::tempdir().unwrap();
    let parts = split("gpt2", dir.path(), 2);
    let alone = dir.path().join("alone.gguf");
    fs::copy(&parts[1], &alone).unwrap();
    let message = FrozenModel::load(&alone, &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("must end in -00002-of-00002.gguf"),
        "{message}"
    );
}

#[test]
fn what_begins_and_ends_texts_is_as_the_file_says() {
    let encode = |change: fn(&mut GgufFile)| {
        let (_dir, path) = changed("qwen2", change);
        let tokenizer = Tokenizer::find(&path).unwrap().unwrap();
        tokenizer.encode("the", true).unwrap().ids
    };
    let plain = encode(|_| {});
    assert_eq!(plain.len(), 1);
    let both = encode(|file| {
        file.set("tokenizer.ggml.add_bos_token", BOOL, [1]);
        file.set("tokenizer.ggml.add_eos_token", BOOL, [1]);
    });
    assert_eq!(both, [0, plain[0], 1]);
    // Vocabularies made for tiktoken begin texts where the file does not say.
    let (_dir, path) = changed("llama", |file| file.remove("tokenizer.ggml.add_bos_token"));
    let tokenizer = Tokenizer::find(&path).unwrap().unwrap();
    assert_eq!(tokenizer.encode("the", true).unwrap().ids[0], 0);
}

#[test]
fn spaces_before_texts_are_as_the_file_says() {
    let ids = |adds_space: bool| {
        let (_dir, path) = changed("phi3", |file| {
            file.set("general.architecture", TEXT, text("llama"));
            let prefix = |key: &str| key.replace("phi3.", "llama.");
            for (key, ..) in &mut file.values {
                *key = prefix(key);
            }
            file.set(
                "tokenizer.ggml.add_space_prefix",
                BOOL,
                [u8::from(adds_space)],
            );
        });
        let tokenizer = Tokenizer::find(&path).unwrap().unwrap();
        let ids = tokenizer.encode("the", false).unwrap().ids;
        let tokens: String = ids.iter().map(|id| tokenizer.token(*id).unwrap()).collect();
        (tokens, tokenizer.decode(&ids, false).unwrap())
    };
    assert_eq!(ids(true), ("▁the".to_owned(), "the".to_owned()));
    assert_eq!(ids(false), ("the".to_owned(), "the".to_owned()));
}

#[test]
fn pre_tokenizers_have_names_that_are_known() {
    for name in [
        "gpt-2",
        "llama-bpe",
        "llama3",
        "qwen2",
        "smollm",
        "starcoder",
        "falcon",
        "command-r",
        "tekken",
        "deepseek-llm",
        "deepseek-coder",
        "deepseek-v3",
        "dbrx",
        "refact",
        "bloom",
        "viking",
        "gpt-4o",
        "stablelm2",
        "olmo",
        "phi-2",
        "default",
        "qwen35",
    ] {
        let change = |file: &mut GgufFile| file.set("tokenizer.ggml.pre", TEXT, text(name));
        let (_dir, path) = changed("qwen2", change);
        let tokenizer = Tokenizer::find(&path).unwrap().unwrap();
        let text = "I've 12345 words,\n\n  don't!! 漢字 ½٣ x_y";
        let ids = tokenizer.encode(text, false).unwrap().ids;
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text, "{name}");
    }
    let unknown = |file: &mut GgufFile| file.set("tokenizer.ggml.pre", TEXT, text("a\nb"));
    let message = error("qwen2", unknown);
    assert!(
        message.contains(r#"tokenizer.ggml.pre is "a\\nb", which is not known"#),
        "{message}"
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let set = |key: &'static str, kind: u32, value: Vec<u8>| {
        error("llama", |file| file.set(key, kind, value))
    };
    let cases = [
        (
            set("general.architecture", TEXT, text("mamba")),
            "general.architecture is \"mamba\", which is not supported; supported are: bloom",
        ),
        (
            set("tokenizer.ggml.model", TEXT, text("bert")),
            "tokenizer.ggml.model is \"bert\"; gpt2 and llama can be read",
        ),
        (
            set("llama.block_count", TEXT, text("two")),
            "llama.block_count is \"two\", not a whole number",
        ),
        (
            set(
                "llama.attention.value_length",
                U32,
                4_u32.to_le_bytes().to_vec(),
            ),
            "llama.attention.value_length is 4, but keys have 8 numbers",
        ),
        (
            set("llama.expert_count", U32, 8_u32.to_le_bytes().to_vec()),
            "llama.expert_used_count is missing",
        ),
        (
            set("llama.attention.scale", F32, 0.5_f32.to_le_bytes().to_vec()),
            "'llama.attention.scale' is not supported",
        ),
        (
            set(
                "llama.attention.layer_norm_rms_epsilon",
                F32,
                f32::NAN.to_le_bytes().to_vec(),
            ),
            "layer_norm_rms_epsilon is not a finite number",
        ),
        (
            error("llama", |file| file.remove("llama.embedding_length")),
            "llama.embedding_length is missing",
        ),
        (
            error("llama", |file| file.remove("tokenizer.ggml.merges")),
            "tokenizer.ggml.merges is missing, so the file holds no tokenizer",
        ),
        (
            error("llama", |file| file.tensor("blk.0.ffn_up.weight").kind = 20),
            "tensor blk.0.ffn_up.weight is stored as IQ4_NL; F32,",
        ),
        (
            error("llama", |file| file.tensor("blk.0.ffn_up.weight").kind = 77),
            "tensor blk.0.ffn_up.weight has the unknown type 77",
        ),
        (
            error("llama", |file| {
                file.tensors
                    .retain(|tensor| tensor.name != "blk.1.attn_k.weight");
            }),
            "tensor blk.1.attn_k.weight is missing",
        ),
        (
            error("llama", |file| {
                file.tensors[3].name = "blk.0.extra.weight".to_owned()
            }),
            "tensor blk.0.extra.weight is not part of this model",
        ),
        (
            error("qwen2", |file| {
                file.set("qwen2.rope.scaling.type", TEXT, text("none of these"));
            }),
            "rope.scaling.type is \"none of these\"",
        ),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{message}\n{words}");
        assert!(message.contains("model.gguf"), "{message}");
    }
}

#[test]
fn other_files_are_no_models() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    fs::write(&path, "nothing").unwrap();
    let error = FrozenModel::load(&path, &LoadOptions::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not begin with the letters GGUF"),
        "{error}"
    );
    let path = dir.path().join("gone.gguf");
    let error = FrozenModel::load(&path, &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, ModelError::Io { .. }), "{error}");
}

#[test]
fn a_whole_tokenizer_in_the_metadata_is_the_tokenizer() {
    let json = fs::read_to_string(fixture("gpt2").join("tokenizer.json")).unwrap();
    let (_dir, path) = changed("llama", |file| {
        file.set("tokenizer.huggingface.json", TEXT, text(&json));
        file.set("tokenizer.ggml.tokens", ARRAY, texts(&["a", "b"]));
        file.remove("tokenizer.ggml.token_type");
    });
    let tokenizer = Tokenizer::find(&path).unwrap().unwrap();
    assert_eq!(tokenizer.json(), json);
}
