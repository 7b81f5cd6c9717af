//! Saved models can be loaded again, here and elsewhere.

use std::fs;

use crate::common::{FIXTURES, ids, load, values};
use burn::module::Module;
use calm_backend::FloatType;
use calm_models::{
    DecoderConfig, FrozenModel, LoadOptions, PaddingMask, PositionEncoding, RopeConfig, RopeScaling,
};

fn logits(model: &FrozenModel) -> Vec<f32> {
    let text = ids(&[[1, 30, 12, 55, 7], [3, 4, 5, 6, 7]]);
    values(model.decoder.forward(text, &PaddingMask::left(&[3, 5])))
}

#[test]
fn saved_and_loaded_computes_the_same_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    for name in FIXTURES {
        let path = dir.path().join(name);
        let model = load(name);
        model.save(&path, FloatType::F32).unwrap();
        let again = FrozenModel::load(&path, &LoadOptions::default()).unwrap();
        assert_eq!(logits(&again), logits(&model));
        assert_eq!(again.config(), model.config());
        assert_eq!(again.special, model.special);
        assert_eq!(again.tokenizer.json(), model.tokenizer.json());
    }
}

#[test]
fn half_precision_is_kept_as_stored() {
    let dir = tempfile::tempdir().unwrap();
    let model = load("llama3-scaled-tied"); // Stored as bf16.
    model.save(dir.path(), FloatType::BF16).unwrap();
    let again = FrozenModel::load(dir.path(), &LoadOptions::default()).unwrap();
    assert_eq!(logits(&again), logits(&model));
    let bytes = fs::metadata(dir.path().join("model.safetensors"))
        .unwrap()
        .len() as usize;
    assert!(
        bytes < model.decoder.num_params() * 2 + 8192,
        "{bytes} bytes"
    );
}

#[test]
fn saving_replaces_a_checkpoint_and_leaves_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("model");
    let model = load("llama");
    model.save(&path, FloatType::F32).unwrap();
    model
        .random_init_like(1)
        .save(&path, FloatType::F32)
        .unwrap();
    let again = FrozenModel::load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(logits(&again), logits(&model.random_init_like(1)));
    let files = |dir| fs::read_dir(dir).unwrap().count();
    assert_eq!((files(parent.path()), files(&path)), (1, 5));
}

#[test]
fn what_lies_beside_the_tokenizer_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    load("llama").save(&first, FloatType::F32).unwrap();
    let settings = fs::read_to_string(first.join("tokenizer_config.json")).unwrap();
    assert!(settings.contains("\"eos_token\": \"</s>\""), "{settings}");
    fs::write(first.join("chat_template.jinja"), "{{ messages }}").unwrap();
    fs::write(first.join("tokenizer_config.json"), "{}").unwrap();
    let more = "additional_chat_templates/tool_use.jinja";
    fs::create_dir(first.join("additional_chat_templates")).unwrap();
    fs::write(first.join(more), "{{ tools }}").unwrap();
    let model = FrozenModel::load(&first, &LoadOptions::default()).unwrap();
    let read = |name| fs::read_to_string(second.join(name)).unwrap();
    // Into a new directory, and again into the one that is there then.
    for _ in 0..2 {
        model.save(&second, FloatType::F32).unwrap();
        assert_eq!(read("chat_template.jinja"), "{{ messages }}");
        assert_eq!(read("tokenizer_config.json"), "{}");
        assert_eq!(read(more), "{{ tools }}");
        fs::remove_dir_all(second.join("additional_chat_templates")).unwrap();
    }
}

#[test]
fn a_saved_model_has_the_hash_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let model = load("llama").random_init_like(3);
    model.save(dir.path(), FloatType::F32).unwrap();
    let again = FrozenModel::load(dir.path(), &LoadOptions::default()).unwrap();
    assert_eq!(
        again.weights_sha256().unwrap(),
        model.weights_sha256().unwrap()
    );
    assert_ne!(
        model.weights_sha256().unwrap(),
        load("llama").random_init_like(4).weights_sha256().unwrap()
    );
    // What `sha256sum` prints for the file.
    assert_eq!(
        load("llama").weights_sha256().unwrap(),
        "cdaedbdc8c371fa4b042f85a556c5505285990e6ede51673a551ae19ef344222"
    );
}

#[test]
fn every_setting_survives() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = load("llama").tokenizer;
    let mut config = DecoderConfig::llama(96, 24, 2, 3).with_blocks(|block| {
        block.attention.encoding = PositionEncoding::Rope(RopeConfig {
            scaling: RopeScaling::Linear { factor: 2.5 },
            ..RopeConfig::plain(7e5)
        });
        block.norm.epsilon = 3e-6;
        block.attention.kv_heads = 1;
        block.attention.qkv_bias = true;
        block.attention.output_bias = true;
        block.feed_forward.d_ff = 50;
    });
    config.final_norm.epsilon = 3e-6;
    config.head.tied = false;
    config.context_length = 99;
    config.special.eos = vec![2, 95];
    let decoder = calm_testing::decoder(&config, 0);
    FrozenModel::new(decoder, tokenizer)
        .save(dir.path(), FloatType::F32)
        .unwrap();
    let again = FrozenModel::load(dir.path(), &LoadOptions::default()).unwrap();
    assert_eq!(again.config(), &config);
    assert_eq!(again.special, config.special);
}

#[test]
fn untrained_weights_depend_on_the_seed_alone() {
    let twin = |seed| logits(&load("llama").random_init_like(seed));
    assert_eq!(twin(5), twin(5));
    assert_ne!(twin(5), twin(6));
}
