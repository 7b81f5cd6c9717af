//! Expected values of a checkpoint, for another machine or a later version to be held against.

use std::path::Path;

use burn::tensor::DType;
use safetensors::tensor::{Dtype, TensorView};

use crate::verify::{Batch, continue_cached, hidden_states_and_logits};
use crate::{CausalLm, FrozenModel, LoadOptions, ModelError, PaddingMask};

/// Tokens of the continuation.
const GREEDY: usize = 12;

/// Expected values are kept of short texts.
const MAX_BYTES: usize = 1 << 30;

/// A tensor of the file: its name, type, shape and bytes.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Writes what the checkpoint at `path` computes for these texts, as [`verify`](crate::verify) reads
/// it: the texts' ids, padded on the left, the output of every block, the logits, and the greedy
/// continuation of the first text.
///
/// # Errors
///
/// [`ModelError`] if the checkpoint can't be loaded, the file can't be written, or a text has no
/// tokens or more than the model reads.
pub fn write_expected(
    path: &Path,
    texts: &[String],
    to: &Path,
    options: &LoadOptions,
) -> Result<(), ModelError> {
    let model = FrozenModel::load(path, options)?;
    let decoder = &model.decoder;
    let refused = |reason: String| ModelError::Fixture {
        path: to.to_owned(),
        reason: format!("is not written: {reason}"),
    };
    let encode = |text: &String| Ok(model.tokenizer.encode(text, true)?.ids);
    let rows = texts.iter().map(encode);
    let rows: Vec<Vec<u32>> = rows.collect::<Result<_, ModelError>>()?;
    let seq = rows.iter().map(Vec::len).max().unwrap_or(0);
    let room = decoder.context_length().saturating_sub(GREEDY);
    if let Some(number) = rows
        .iter()
        .position(|row| row.is_empty() || row.len() > room)
    {
        let tokens = rows[number].len();
        return Err(refused(format!(
            "text {number} has {tokens} tokens, and may have 1 to {room}; give others with --text"
        )));
    }
    let config = decoder.config();
    let width = config.vocab_size + (config.block_count() + 1) * config.d_model;
    if rows.len() * seq * width * size_of::<f32>() > MAX_BYTES {
        return Err(refused(
            "the values take more than 1 GiB; give shorter texts".to_owned(),
        ));
    }
    let batch = left_padded(&rows, seq);
    let mut tensors = vec![
        ids(
            "input_ids",
            [rows.len(), seq],
            batch.ids.iter().map(|id| i64::from(*id)),
        ),
        ids(
            "attention_mask",
            [rows.len(), seq],
            mask(&batch.padding).into_iter(),
        ),
    ];
    for (name, values) in hidden_states_and_logits(decoder, &batch, &options.device) {
        let shape = values.dims().to_vec();
        let values = values.cast(DType::F32).try_into_vec_as::<f32>();
        let values = values.map_err(|source| ModelError::Device { source })?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        tensors.push(Stored {
            name,
            dtype: Dtype::F32,
            shape,
            bytes: bytes.collect(),
        });
    }
    let greedy = continue_cached(decoder, &batch.prompt(), GREEDY)?;
    let greedy = greedy.into_iter().map(i64::from).collect::<Vec<_>>();
    tensors.push(ids("greedy", [1, greedy.len()], greedy.into_iter()));
    write(to, &tensors, texts)
}

fn left_padded(rows: &[Vec<u32>], seq: usize) -> Batch {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let padded = rows.iter().flat_map(|row| {
        let padding = std::iter::repeat_n(0, seq - row.len());
        padding.chain(row.iter().copied())
    });
    Batch {
        ids: padded.collect(),
        padding: PaddingMask::left(&lengths),
    }
}

fn mask(padding: &PaddingMask) -> Vec<i64> {
    let rows = (0..padding.batch()).flat_map(|row| padding.row(row));
    rows.map(|real| i64::from(*real)).collect()
}

fn ids(name: &str, shape: [usize; 2], ids: impl Iterator<Item = i64>) -> Stored {
    Stored {
        name: name.to_owned(),
        dtype: Dtype::I64,
        shape: shape.to_vec(),
        bytes: ids.flat_map(i64::to_le_bytes).collect(),
    }
}

fn write(to: &Path, tensors: &[Stored], texts: &[String]) -> Result<(), ModelError> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (
            &tensor.name,
            view.expect("bytes and shape of one tensor agree"),
        )
    });
    let about = [
        (
            "made_by".to_owned(),
            format!("calm {}", env!("CARGO_PKG_VERSION")),
        ),
        ("texts".to_owned(), texts.join("\n")),
    ];
    let bytes = safetensors::serialize(views, Some(about.into()))
        .expect("names are distinct and tensors are whole");
    Ok(calm_files::write(to, bytes)?)
}
