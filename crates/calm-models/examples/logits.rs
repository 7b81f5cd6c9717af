//! Writes beside a checkpoint what it computes, for other programs to be held against:
//! `logits DIR [TEXT]` makes `DIR/logits.safetensors` with `text_ids`, the ids of the text, and
//! `input_ids`, `attention_mask` and `logits` (f32) of two rows, the second padded on the left.

use std::error::Error;
use std::path::Path;

use burn::tensor::{Int, Tensor, TensorData};
use calm_models::{FrozenModel, LoadOptions, PaddingMask};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

const SEQ: usize = 24;
const PADDING: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (dir, text) = match arguments.as_slice() {
        [dir] => (dir, "the quick brown fox, 42 times"),
        [dir, text] => (dir, text.as_str()),
        _ => return Err("usage: logits DIR [TEXT]".into()),
    };
    let options = LoadOptions::default();
    let model = FrozenModel::load(Path::new(dir), &options)?;
    let vocab = model.config().vocab_size;
    // Any ids do; these go through the whole vocabulary.
    let ids: Vec<i64> = (0..2 * SEQ)
        .map(|i| ((i * i * 7 + i * 31) % vocab) as i64)
        .collect();
    let mask: Vec<i64> = (0..2 * SEQ)
        .map(|i| i64::from(!(SEQ..SEQ + PADDING).contains(&i)))
        .collect();
    let input = TensorData::new(ids.clone(), [2, SEQ]);
    let input = Tensor::<2, Int>::from_data(input, &options.device);
    let padding = PaddingMask::left(&[SEQ, SEQ - PADDING]);
    let logits: Vec<f32> = model.decoder.forward(input, &padding).try_into_vec_as()?;
    let text_ids = model.tokenizer.encode(text, true)?.ids;

    let bytes = |ids: &[i64]| {
        ids.iter()
            .flat_map(|id| id.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let text_ids: Vec<i64> = text_ids.into_iter().map(i64::from).collect();
    let (text_bytes, ids, mask) = (bytes(&text_ids), bytes(&ids), bytes(&mask));
    let logits: Vec<u8> = logits
        .iter()
        .flat_map(|logit| logit.to_le_bytes())
        .collect();
    let tensors = [
        (
            "text_ids",
            TensorView::new(Dtype::I64, vec![text_ids.len()], &text_bytes)?,
        ),
        (
            "input_ids",
            TensorView::new(Dtype::I64, vec![2, SEQ], &ids)?,
        ),
        (
            "attention_mask",
            TensorView::new(Dtype::I64, vec![2, SEQ], &mask)?,
        ),
        (
            "logits",
            TensorView::new(Dtype::F32, vec![2, SEQ, vocab], &logits)?,
        ),
    ];
    let metadata = [("text".to_owned(), text.to_owned())].into();
    serialize_to_file(
        tensors,
        Some(metadata),
        &Path::new(dir).join("logits.safetensors"),
    )?;
    Ok(())
}
