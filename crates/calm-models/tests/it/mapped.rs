//! Models large enough that their weights stay in their file compute what they did before.

use std::fs;
use std::path::Path;

use crate::common::{assert_close, halves, ids, load};
use burn::tensor::{DType, Tensor};
use calm_backend::FloatType;
use calm_models::{
    Context, DecoderConfig, FrozenModel, LoadOptions, PaddingMask, SequenceOptions, generate,
};

/// Matrices of a mebibyte and more, in `f32` and in half precision.
const D_MODEL: usize = 768;

const TEXT: [[u32; 5]; 2] = [[1, 30, 12, 55, 7], [3, 4, 5, 6, 7]];

/// With the embedding as the head, or without.
fn large(tied_head: bool) -> FrozenModel {
    let mut config = DecoderConfig::llama(96, D_MODEL, 2, 6).with_blocks(|block| {
        block.attention.kv_heads = 3;
        block.attention.qkv_bias = true;
        block.attention.output_bias = true;
    });
    config.head.tied = tied_head;
    FrozenModel::new(calm_testing::decoder(&config, 0), load("llama").tokenizer)
}

fn loaded(dir: &Path, dtype: FloatType) -> FrozenModel {
    let options = LoadOptions {
        dtype: FloatType::into(dtype),
        ..LoadOptions::default()
    };
    FrozenModel::load(dir, &options).unwrap()
}

fn logits(model: &FrozenModel) -> Tensor<3> {
    let padding = PaddingMask::left(&[3, 5]);
    model.decoder.forward(ids(&TEXT), &padding)
}

/// A text of many rows, for which products take another way.
fn logits_of_a_long_text(model: &FrozenModel) -> Tensor<3> {
    let text: [u32; 130] = std::array::from_fn(|place| (place * 7 % 96) as u32);
    let padding = PaddingMask::none(1, 130);
    model.decoder.forward(ids(&[text]), &padding)
}

#[test]
fn logits_and_continuations_are_those_of_the_model_that_was_saved() {
    for tied_head in [true, false] {
        let (dir, model) = (tempfile::tempdir().unwrap(), large(tied_head));
        model.save(dir.path(), FloatType::F32).unwrap();
        let again = loaded(dir.path(), FloatType::F32);
        assert_close(logits(&again), logits(&model));
        assert_close(logits_of_a_long_text(&again), logits_of_a_long_text(&model));
        let continued = |model: &FrozenModel| {
            let prompts = [vec![1, 30], vec![3, 4, 5, 6, 7]];
            let options = SequenceOptions::greedy(8, vec![]);
            generate(&model.decoder, &prompts, &options).unwrap()
        };
        let ids = |model| continued(model).into_iter().map(|text| text.ids);
        assert!(ids(&again).eq(ids(&model)));
    }
}

#[test]
fn half_precision_is_used_as_stored_or_widened() {
    for dtype in halves() {
        let dir = tempfile::tempdir().unwrap();
        large(false).save(dir.path(), dtype).unwrap();
        let [half, wide] = [dtype, FloatType::F32].map(|dtype| loaded(dir.path(), dtype));
        for logits in [logits, logits_of_a_long_text] {
            let [half, wide] = [&half, &wide].map(|model| logits(model).cast(DType::F32));
            let norm = |x: Tensor<3>| x.square().sum().sqrt().into_scalar::<f32>();
            let relative = norm(half - wide.clone()) / norm(wide);
            // As far as `transformers` in bf16 is from itself in f32.
            assert!(relative < 2e-2, "relative error {relative:e}");
        }
    }
}

#[test]
fn the_gradient_of_the_hidden_states_is_the_same() {
    let (dir, model) = (tempfile::tempdir().unwrap(), large(true));
    model.save(dir.path(), FloatType::F32).unwrap();
    let again = loaded(dir.path(), FloatType::F32);
    let gradient = |model: &FrozenModel| {
        let decoder = &model.decoder;
        let context = Context::new(decoder, &PaddingMask::none(2, 5), None);
        let hidden = decoder
            .embed(ids(&TEXT), &context)
            .autodiff()
            .require_grad();
        let output = decoder.run(0..2, hidden.clone(), &context, None);
        let gradients = output.square().sum().backward();
        hidden.grad(&gradients).unwrap()
    };
    assert_close(gradient(&again), gradient(&model));
}

#[test]
fn replacing_a_checkpoint_leaves_the_loaded_model_alone() {
    let (dir, model) = (tempfile::tempdir().unwrap(), large(true));
    let path = dir.path().join("model");
    model.save(&path, FloatType::F32).unwrap();
    let again = loaded(&path, FloatType::F32);
    let bytes = fs::read(path.join("model.safetensors")).unwrap();
    model
        .random_init_like(1)
        .save(&path, FloatType::F32)
        .unwrap();
    assert_ne!(fs::read(path.join("model.safetensors")).unwrap(), bytes);
    assert_close(logits(&again), logits(&model));
}
