//! Expected values of a composition, for another machine or a later version to be held against.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, TensorView};

use crate::verify::{Batch, Computed, MAX_EXPECTED_BYTES, NO_LOSS};
use crate::{ComposeError, ComposedModel, Composition};

/// Rows of one length, `[batch, seq]`: ids, which of them are real, and labels.
struct Rows {
    shape: [usize; 2],
    ids: Vec<i64>,
    real: Vec<i64>,
    labels: Vec<i64>,
}

impl Composition {
    /// Writes what it computes for these texts, as [`verify`](crate::verify) reads it: the ids,
    /// padded on the left, the logits, the loss over all tokens but the first of each text, and its
    /// gradient for every parameter of the bridges.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Malformed`] if a text has fewer than two tokens, or more than the models
    /// read, [`ComposeError::Io`] if the file can't be written.
    pub fn write_expected(self, texts: &[String], to: &Path) -> Result<(), ComposeError> {
        let refused = |reason: String| ComposeError::Malformed {
            path: to.to_owned(),
            reason: format!("is not written: {reason}"),
        };
        let rows = self.rows(texts).map_err(refused)?;
        let ComposedModel { parts, bridges } = self.model;
        let vocab_size = parts.anchor.config().vocab_size;
        let [ids, real, labels] = [&rows.ids, &rows.real, &rows.labels];
        let of_shape = |values: &Vec<i64>| (rows.shape, values.clone());
        let batch = Batch::new(of_shape(ids), of_shape(real), of_shape(labels), vocab_size);
        let bridges = bridges.train();
        let Computed {
            logits,
            loss,
            gradients,
        } = batch.map_err(refused)?.computed(&parts, &bridges)?;

        let shape = rows.shape.to_vec();
        let mut tensors: Vec<(String, TensorData)> = vec![
            (
                "input_ids".to_owned(),
                TensorData::new(rows.ids, shape.clone()),
            ),
            (
                "attention_mask".to_owned(),
                TensorData::new(rows.real, shape.clone()),
            ),
            ("labels".to_owned(), TensorData::new(rows.labels, shape)),
            ("logits".to_owned(), logits.into_data()),
            ("loss".to_owned(), loss),
        ];
        let gradients = gradients.into_iter();
        tensors.extend(
            gradients.map(|(name, data)| (format!("grad.{name}"), data.convert_dtype(DType::F32))),
        );
        Ok(calm_files::write(to, serialized(&tensors, texts))?)
    }

    fn rows(&self, texts: &[String]) -> Result<Rows, String> {
        let encode = |text: &String| self.tokenizer().encode(text, true);
        let encoded = texts.iter().map(encode).collect::<Result<Vec<_>, _>>();
        let encoded = encoded.map_err(|error| error.to_string())?;
        let lengths = encoded.iter().map(|encoding| encoding.ids.len());
        let (seq, room) = (lengths.clone().max().unwrap_or(0), self.context_length());
        for (number, tokens) in lengths.enumerate() {
            if !(2..=room).contains(&tokens) {
                return Err(format!(
                    "text {number} has {tokens} tokens, and may have 2 to {room}; give others with \
                     --text"
                ));
            }
        }
        let shape = [encoded.len(), seq];
        let values = (encoded.len() * seq) as u64 * self.anchor.model.config().vocab_size as u64;
        if values * size_of::<f32>() as u64 > MAX_EXPECTED_BYTES / 2 {
            return Err("the logits take more than 512 MiB; give shorter texts".to_owned());
        }
        let mut rows = Rows {
            shape,
            ids: Vec::new(),
            real: Vec::new(),
            labels: Vec::new(),
        };
        for encoding in encoded {
            let padding = seq - encoding.ids.len();
            let ids = encoding.ids.iter().map(|id| i64::from(*id));
            let padded = |value: i64| std::iter::repeat_n(value, padding);
            rows.ids.extend(padded(0).chain(ids.clone()));
            rows.real.extend(padded(0).chain(ids.clone().map(|_| 1)));
            // Nothing comes before a first token that could predict it.
            rows.labels
                .extend(padded(NO_LOSS).chain([NO_LOSS]).chain(ids.skip(1)));
        }
        Ok(rows)
    }
}

fn serialized(tensors: &[(String, TensorData)], texts: &[String]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, data)| {
        let dtype = match data.dtype() {
            DType::I64 => Dtype::I64,
            _ => Dtype::F32,
        };
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes());
        (name, view.expect("bytes and shape of one tensor agree"))
    });
    let about = [
        (
            "made_by".to_owned(),
            format!("calm {}", env!("CARGO_PKG_VERSION")),
        ),
        ("texts".to_owned(), texts.join("\n")),
    ];
    safetensors::serialize(views, Some(about.into()))
        .expect("names are distinct and tensors are whole")
}
