//! Forms of weights: other names, other files, other types. What `transformers` reads of these, with
//! the same numbers, is read; what it does not is read or refused with a way out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{fixture, ids, values};
use calm_models::{
    CausalLm, CheckpointInfo, FrozenModel, LoadOptions, ModelError, OtherWeights, PaddingMask,
    Strictness, WeightProblem,
};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::{Value, json};

/// A tensor as stored: type, shape, bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);
type Tensors = BTreeMap<String, Stored>;

const TIED: &str = "llama3-scaled-tied";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

fn tensors(name: &str) -> Tensors {
    let file = fs::read(fixture(name).join(SINGLE)).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let stored = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    let tensors = tensors.tensors().into_iter();
    tensors.map(|(name, view)| (name, stored(view))).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let view = |(dtype, shape, data): &'_ Stored| (*dtype, shape.clone(), data.clone());
    let stored: Vec<(&String, Stored)> = tensors
        .iter()
        .map(|(name, tensor)| (name, view(tensor)))
        .collect();
    let views = stored.iter().map(|(name, (dtype, shape, data))| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serialize(views, None).unwrap()).unwrap();
}

/// A copy of a fixture without its weights.
fn without_weights(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(fixture(name).join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// A copy of a fixture with other tensors.
fn with_tensors(name: &str, change: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let dir = without_weights(name);
    let mut tensors = tensors(name);
    change(&mut tensors);
    write(&dir.path().join(SINGLE), &tensors);
    dir
}

fn rename(tensors: &mut Tensors, name: impl Fn(&str) -> String) {
    let old = std::mem::take(tensors);
    tensors.extend(old.into_iter().map(|(old, tensor)| (name(&old), tensor)));
}

fn load(dir: &Path) -> Result<FrozenModel, ModelError> {
    FrozenModel::load(dir, &LoadOptions::default())
}

fn logits(dir: &Path) -> Vec<f32> {
    let model = load(dir).unwrap_or_else(|error| panic!("{error}"));
    let (decoder, padding) = (&model.decoder, PaddingMask::none(1, 6));
    let text = ids(&[[5, 6, 7, 8, 9, 3]]);
    let hidden = decoder.hidden_states(text, &padding, None).unwrap();
    values(decoder.finish(hidden))
}

#[track_caller]
fn assert_same_model(dir: &Path, name: &str) {
    assert_eq!(logits(dir), logits(&fixture(name)));
    CheckpointInfo::read(dir, Strictness::Strict).unwrap_or_else(|error| panic!("{error}"));
}

/// The message, which must be one line that begins with the directory.
#[track_caller]
fn refused(dir: &Path) -> (ModelError, String) {
    let error = load(dir).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    assert!(message.starts_with(&*dir.to_string_lossy()), "{message}");
    (error, message)
}

#[test]
fn a_tied_embedding_may_be_stored_as_the_head() {
    for (name, embedding) in [(TIED, EMBEDDING), ("gpt2", "transformer.wte.weight")] {
        let dir = with_tensors(name, |tensors| {
            tensors.remove(HEAD);
            let table = tensors.remove(embedding).unwrap();
            tensors.insert(HEAD.to_owned(), table);
        });
        assert_same_model(dir.path(), name);
    }
    let bare = with_tensors(TIED, |tensors| {
        let table = tensors.remove(EMBEDDING).unwrap();
        rename(tensors, |name| name.trim_start_matches("model.").to_owned());
        tensors.insert(HEAD.to_owned(), table);
    });
    assert_same_model(bare.path(), TIED);
    // A head of its own is none that could stand for the embedding.
    let dir = with_tensors("llama", |tensors| drop(tensors.remove(EMBEDDING)));
    assert!(
        refused(dir.path())
            .1
            .contains("model.embed_tokens.weight is missing")
    );
}

#[test]
fn a_copy_of_a_tied_embedding_is_passed_over() {
    let dir = with_tensors(TIED, |tensors| {
        tensors.insert(HEAD.to_owned(), tensors[EMBEDDING].clone());
    });
    assert_same_model(dir.path(), TIED);
}

#[test]
fn names_may_have_wrappers_in_front() {
    for name in ["llama", TIED, "gpt2", "gemma3"] {
        for outer in [
            "model.",
            "module.",
            "_orig_mod.",
            "base_model.model.",
            "language_model.",
        ] {
            let dir = with_tensors(name, |tensors| {
                rename(tensors, |name| format!("{outer}{name}"));
            });
            assert_same_model(dir.path(), name);
        }
    }
    // Wrappers of the body alone.
    for inner in ["model.model.", "model.language_model.", "language_model."] {
        let dir = with_tensors("llama", |tensors| {
            rename(tensors, |name| name.replace("model.", inner));
        });
        assert_same_model(dir.path(), "llama");
    }
}

#[test]
fn of_two_models_in_one_file_the_usual_names_count() {
    let twice = |outer: &'static str| {
        with_tensors("llama", |tensors| {
            let mut other = tensors.clone();
            rename(&mut other, |name| format!("{outer}{name}"));
            tensors.extend(other);
        })
    };
    let message = refused(twice("draft.").path()).1;
    assert!(
        message.contains("tensor draft.lm_head.weight is not part of this model"),
        "{message}"
    );
    assert!(!message.contains("is missing"), "{message}");
}

/// Half of the tensors in each of two files.
fn halves(name: &str) -> [(String, Tensors); 2] {
    let (mut first, mut second) = (tensors(name), Tensors::new());
    for name in first.keys().skip(7).cloned().collect::<Vec<_>>() {
        second.extend(first.remove_entry(&name));
    }
    [(1, first), (2, second)]
        .map(|(number, half)| (format!("model-{number:05}-of-00002.safetensors"), half))
}

fn index(files: &[(String, Tensors)]) -> Value {
    let map = files
        .iter()
        .flat_map(|(file, tensors)| tensors.keys().map(move |name| (name.clone(), json!(file))));
    json!({ "metadata": { "total_size": 0 }, "weight_map": map.collect::<serde_json::Map<_, _>>() })
}

#[test]
fn shards_may_lie_in_folders() {
    let dir = without_weights("llama");
    let files = halves("llama").map(|(name, half)| (format!("weights/{name}"), half));
    for (name, half) in &files {
        write(&dir.path().join(name), half);
    }
    fs::write(dir.path().join(INDEX), index(&files).to_string()).unwrap();
    assert_same_model(dir.path(), "llama");
}

#[test]
fn shards_need_no_index_if_they_are_complete() {
    let dir = without_weights("llama");
    let [(first, _), (second, _)] = halves("llama");
    for (name, half) in halves("llama") {
        write(&dir.path().join(name), &half);
    }
    assert_same_model(dir.path(), "llama");
    fs::remove_file(dir.path().join(&first)).unwrap();
    let (error, message) = refused(dir.path());
    let found = Some(OtherWeights::Shards {
        missing: first.clone(),
    });
    assert!(
        matches!(&error, ModelError::NoWeights { found: f, .. } if *f == found),
        "{error}"
    );
    assert!(
        message.contains(&first) && !message.contains(&second),
        "{message}"
    );
}

/// The same numbers, doubled: whoever reads them computes something else.
fn doubled(mut tensors: Tensors) -> Tensors {
    for (_, _, data) in tensors.values_mut() {
        for number in data.chunks_exact_mut(4) {
            let value = f32::from_le_bytes(number.try_into().unwrap());
            number.copy_from_slice(&(2.0 * value).to_le_bytes());
        }
    }
    tensors
}

#[test]
fn of_several_copies_that_of_transformers_counts() {
    // The single file before the shards.
    let dir = with_tensors("llama", |_| ());
    let shard = "model-00001-of-00001.safetensors".to_owned();
    let files = [(shard, doubled(tensors("llama")))];
    write(&dir.path().join(&files[0].0), &files[0].1);
    fs::write(dir.path().join(INDEX), index(&files).to_string()).unwrap();
    assert_same_model(dir.path(), "llama");
    // The shards of the index before everything beside them.
    let dir = without_weights("llama");
    let files = halves("llama");
    for (name, half) in &files {
        write(&dir.path().join(name), half);
    }
    fs::write(dir.path().join(INDEX), index(&files).to_string()).unwrap();
    for other in [
        "consolidated.safetensors",
        "model-00001-of-00003.safetensors",
    ] {
        write(&dir.path().join(other), &doubled(tensors("llama")));
    }
    assert_same_model(dir.path(), "llama");
}

#[test]
fn double_precision_is_read() {
    let dir = with_tensors("llama", |tensors| {
        for (dtype, _, data) in tensors.values_mut() {
            let numbers = data.chunks_exact(4);
            let wide = numbers.map(|number| f32::from_le_bytes(number.try_into().unwrap()));
            *data = wide
                .flat_map(|value| f64::from(value).to_le_bytes())
                .collect();
            *dtype = Dtype::F64;
        }
    });
    assert_same_model(dir.path(), "llama");
}

#[test]
fn weights_of_few_bits_have_a_way_out() {
    let norm = "model.norm.weight";
    for (dtype, word) in [
        (Dtype::F8_E4M3, "8 bits with scales"),
        (Dtype::F8_E5M2, "8 bits with scales"),
        (Dtype::I8, "whole numbers"),
        (Dtype::U8, "whole numbers"),
    ] {
        let dir = with_tensors("llama", |tensors| {
            tensors.insert(norm.to_owned(), (dtype, vec![32], vec![0; 32]));
        });
        let (error, message) = refused(dir.path());
        assert!(
            matches!(&error, ModelError::Weights { problems, .. }
                if matches!(&problems[..], [WeightProblem::Type { .. }])),
            "{error}"
        );
        assert!(message.contains(word), "{message}");
    }
    let packed = "model.layers.1.mlp.up_proj.qweight";
    let dir = with_tensors("llama", |tensors| {
        tensors.remove("model.layers.1.mlp.up_proj.weight");
        tensors.insert(packed.to_owned(), (Dtype::I32, vec![1], vec![0; 4]));
    });
    let error = refused(dir.path()).0;
    assert!(
        matches!(&error, ModelError::Quantised { tensor, .. } if tensor == packed),
        "{error}"
    );
}

#[test]
fn adapters_are_no_models() {
    let settings = json!({ "peft_type": "LORA", "base_model_name_or_path": "owner/base" });
    let base = Some("owner/base".to_owned());
    // With and without the settings of a model beside it.
    for config in [true, false] {
        let dir = without_weights("llama");
        if !config {
            fs::remove_file(dir.path().join("config.json")).unwrap();
        }
        fs::write(dir.path().join("adapter_config.json"), settings.to_string()).unwrap();
        write(
            &dir.path().join("adapter_model.safetensors"),
            &Tensors::new(),
        );
        let (error, message) = refused(dir.path());
        let adapter = match &error {
            ModelError::NoWeights {
                found: Some(found), ..
            } if config => found,
            ModelError::NoModel { found, .. } if !config => found,
            other => panic!("{other}"),
        };
        assert_eq!(*adapter, OtherWeights::Adapter { base: base.clone() });
        assert!(message.contains("an adapter of owner/base"), "{message}");
    }
    let dir = with_tensors("llama", |tensors| {
        let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight";
        tensors.insert(name.to_owned(), (Dtype::F32, vec![1], vec![0; 4]));
    });
    assert!(matches!(refused(dir.path()).0, ModelError::NoModel { .. }));
}

#[test]
fn other_files_than_weights_are_named() {
    let message = |name: &str| {
        let dir = without_weights("llama");
        fs::write(dir.path().join(name), "").unwrap();
        refused(dir.path()).1
    };
    assert!(message("pytorch_model.bin").contains("but pytorch_model.bin; convert it"));
    assert!(message("consolidated.safetensors").contains("Mistral's own layout"));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("params.json"), "{}").unwrap();
    assert!(
        refused(dir.path())
            .1
            .contains("this is a model in Mistral's own layout")
    );
    assert!(message("model.fp16.safetensors").contains("call it model.safetensors"));
    let nothing = without_weights("llama");
    assert!(
        refused(nothing.path())
            .1
            .contains("give a directory in the Hugging Face layout")
    );
}

#[test]
fn names_without_a_prefix_and_buffers() {
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "gpt_neox",
            "gpt_neox.",
            &[
                "layers.0.attention.bias",
                "layers.0.attention.masked_bias",
                "layers.0.attention.rotary_emb.inv_freq",
            ],
        ),
        ("starcoder2", "model.", &[]),
        (
            "stablelm-head-norms",
            "model.",
            &["layers.1.self_attn.rotary_emb.inv_freq"],
        ),
        ("bloom", "transformer.", &[]),
        (
            "falcon-grouped",
            "transformer.",
            &[
                "h.0.self_attention.rotary_emb.inv_freq",
                "h.1.self_attention.maybe_rotary.inv_freq",
            ],
        ),
        ("xglm", "model.", &["embed_positions.weights"]),
    ];
    for (name, prefix, buffers) in cases {
        let whole = with_tensors(name, |tensors| add_buffers(tensors, prefix, buffers));
        assert_same_model(whole.path(), name);
        let bare = with_tensors(name, |tensors| {
            rename(tensors, |old| {
                old.strip_prefix(prefix).unwrap_or(old).to_owned()
            });
            add_buffers(tensors, "", buffers);
        });
        assert_same_model(bare.path(), name);
    }
}

fn add_buffers(tensors: &mut Tensors, prefix: &str, buffers: &[&str]) {
    let buffer = |name| (format!("{prefix}{name}"), (Dtype::F32, vec![1], vec![0; 4]));
    tensors.extend(buffers.iter().map(buffer));
}

#[test]
fn the_head_of_gpt_neox_has_two_names() {
    let dir = with_tensors("gpt_neox", |tensors| {
        let head = tensors.remove("embed_out.weight").unwrap();
        tensors.insert(HEAD.to_owned(), head);
    });
    assert_same_model(dir.path(), "gpt_neox");
}
