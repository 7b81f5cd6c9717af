//! Loss of examples one by one, as training has it.

use calm_compose::{ComposedModel, PromptTexts, RowTokens};
use calm_data::{Batch, DataError, Fitted, Record, TokenizedExample, Tokenizing};

use crate::reading::{PromptedExample, read, readers};
use crate::{BridgeTraining, ChatTokenizer, TrainError};

/// Positions that are computed together, about.
const POSITIONS: usize = 2048;

/// Loss of an example.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExampleLoss {
    /// Negative logarithm of the probability of its target, in nats.
    pub nats: f64,
    /// Tokens of the target, the end of text included; of a plain text, all but the first.
    pub tokens: usize,
}

/// Loss of every example under a composed model, which may read no other. `observe` is told how many
/// rows are done, of how many.
///
/// # Errors
///
/// [`DataError`](calm_data::DataError) if an example cannot be tokenised or does not fit, and
/// [`ModelError`](calm_models::ModelError) if an augmenting model cannot read it.
pub fn example_losses(
    model: &ComposedModel,
    tokenizing: &Tokenizing<'_>,
    chat: &ChatTokenizer,
    records: &[Record],
    mut observe: impl FnMut(usize, usize),
) -> Result<Vec<ExampleLoss>, TrainError> {
    let rows = rows(tokenizing, chat, records)?;
    let (of, rows): (Vec<usize>, Vec<PromptedExample>) = rows.into_iter().unzip();
    let own = readers(
        &model.parts,
        &rows.iter().map(|row| &row.texts).collect::<Vec<_>>(),
    );
    let tokens = match own.iter().all(Option::is_none) {
        true => None,
        false => Some(read(&model.parts, &rows, &own)?),
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows[*row].example.ids.len());
    let mut losses = vec![ExampleLoss::default(); records.len()];
    let mut done = 0;
    while done < order.len() {
        let length = rows[order[done]].example.inputs().len().max(1);
        let end = order.len().min(done + (POSITIONS / length).max(1));
        let part = &order[done..end];
        for (row, loss) in part
            .iter()
            .zip(part_losses(model, &rows, tokens.as_deref(), part))
        {
            let example = &rows[*row].example;
            let sum = &mut losses[of[*row]];
            sum.nats += loss;
            sum.tokens += example.ids.len() - example.target_start.max(1);
        }
        done = end;
        observe(done, order.len());
    }
    Ok(losses)
}

/// Rows of every example, each with the number of the example: one, or several pieces of a text.
fn rows(
    tokenizing: &Tokenizing<'_>,
    chat: &ChatTokenizer,
    records: &[Record],
) -> Result<Vec<(usize, PromptedExample)>, DataError> {
    let mut rows = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let examples: Vec<TokenizedExample> = match tokenizing.example(number, record)? {
            Fitted::Whole(example) | Fitted::Truncated(example) => vec![example],
            Fitted::Pieces(pieces) => pieces,
            Fitted::Skipped => Vec::new(),
        };
        for example in examples {
            let texts = match record {
                Record::Chat(turn) => chat.texts(number, turn, example.target_start)?,
                _ => PromptTexts::new(),
            };
            rows.push((number, PromptedExample { example, texts }));
        }
    }
    Ok(rows)
}

/// Losses of some rows.
fn part_losses(
    model: &ComposedModel,
    rows: &[PromptedExample],
    tokens: Option<&[RowTokens]>,
    part: &[usize],
) -> Vec<f64> {
    // Padding is never seen, so any token will do.
    let batch = Batch::collate(part.iter().map(|row| (*row, &rows[*row].example)), 0);
    let objective = BridgeTraining::new(&model.parts);
    let objective = match tokens {
        Some(tokens) => objective.with_tokens(tokens),
        None => objective,
    };
    objective.row_losses(&model.bridges, &batch)
}
