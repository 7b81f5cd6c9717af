//! Hidden states of sentences.

use burn::tensor::{DType, Int, Tensor, TensorData};
use calm_lm::models::{Context, FrozenModel, PaddingMask};
use miette::{IntoDiagnostic, Result, miette};

use super::matrix::Matrix;
use super::texts::{Text, Texts};

/// Sentences of a batch.
const ROWS: usize = 64;

/// Mean states of the tokens of each sentence, of the embedding and behind every block.
pub(super) struct States {
    /// By block; `[sentences, width]`.
    blocks: Vec<Matrix>,
}

/// Tokens of a prompt, and which of them are of the sentence.
struct Tokens {
    ids: Vec<u32>,
    is_own: Vec<bool>,
}

impl States {
    /// States of all texts in a model.
    pub(super) fn of(model: &FrozenModel, texts: &Texts) -> Result<Self> {
        let tokens: Result<Vec<Tokens>> = texts
            .all
            .iter()
            .map(|text| Tokens::of(model, text))
            .collect();
        let tokens = tokens?;
        // Sentences of about one length share a batch.
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|place| tokens[*place].ids.len());
        let width = model.decoder.config().d_model;
        let count = model.decoder.block_count() + 1;
        let empty = || Matrix::zeros(tokens.len(), width);
        let mut blocks: Vec<Matrix> = (0..count).map(|_| empty()).collect();
        for places in order.chunks(ROWS) {
            let rows: Vec<&Tokens> = places.iter().map(|place| &tokens[*place]).collect();
            for (block, means) in blocks.iter_mut().zip(means(model, &rows)?) {
                let means = means.chunks_exact(width);
                places
                    .iter()
                    .zip(means)
                    .for_each(|(place, mean)| block.row_mut(*place).copy_from_slice(mean));
            }
        }
        Ok(Self { blocks })
    }

    /// Number of blocks, and one for the embedding.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// States of some sentences behind a block.
    pub(super) fn rows(&self, block: usize, places: &[usize]) -> Matrix {
        self.blocks[block].rows(places)
    }
}

impl Tokens {
    fn of(model: &FrozenModel, text: &Text) -> Result<Self> {
        let whole = format!("{}{}", text.before, text.sentence);
        let encoded = model.tokenizer.encode(&whole, true).into_diagnostic()?;
        // A token may begin with the space before the sentence.
        let begin = text.before.len();
        let is_own: Vec<bool> = encoded
            .offsets
            .iter()
            .map(|(start, end)| start < end && *end > begin)
            .collect();
        if !is_own.contains(&true) {
            return Err(miette!(
                "the tokenizer finds no token in the sentence '{}'",
                text.sentence
            ));
        }
        Ok(Self {
            ids: encoded.ids,
            is_own,
        })
    }
}

/// Mean states of the sentences of a batch, by block, row by row.
fn means(model: &FrozenModel, rows: &[&Tokens]) -> Result<Vec<Vec<f32>>> {
    let decoder = &model.decoder;
    let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
    let padding = PaddingMask::right(&lengths);
    let (batch, seq) = (padding.batch(), padding.seq());
    let mut ids = vec![0_i32; batch * seq];
    let mut weights = vec![0_f32; batch * seq];
    for (row, tokens) in rows.iter().enumerate() {
        let own = tokens.is_own.iter().filter(|is_own| **is_own).count();
        for (place, id) in tokens.ids.iter().enumerate() {
            ids[row * seq + place] = i32::try_from(*id).into_diagnostic()?;
            weights[row * seq + place] = f32::from(u8::from(tokens.is_own[place])) / own as f32;
        }
    }
    let device = decoder.device();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [batch, seq]), &device);
    let weights = Tensor::<3>::from_data(TensorData::new(weights, [batch, 1, seq]), &device);
    let context = Context::new(decoder, &padding, None);
    let mut hidden = decoder.embed(ids, &context);
    let mut means = Vec::new();
    for block in 0..=decoder.block_count() {
        if block > 0 {
            hidden = decoder.run(block - 1..block, hidden, &context, None);
        }
        let mean = weights.clone().matmul(hidden.clone().cast(DType::F32));
        means.push(mean.into_data().try_to_vec::<f32>().into_diagnostic()?);
    }
    Ok(means)
}
