//! Order in which the small frozen models of Table 1 learn: kinds of texts, step by step.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{EOS_ID, ExampleKind, KeyPool, KvDataset, KvTask, PAD_ID};
use crate::{Batch, DataError, Tokenize, tokenize, weighted};

/// Context of the small models, in tokens.
pub const CONTEXT: usize = 64;

/// One kind of text, and how often it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lesson {
    weight: f64,
    task: KvTask,
    operands: usize,
    round: bool,
}

impl Lesson {
    fn new(weight: f64, task: KvTask, operands: usize) -> Self {
        Self {
            weight,
            task,
            operands,
            round: false,
        }
    }

    /// The digits of one number: what a number token stands for.
    fn digits(weight: f64) -> Self {
        Self::new(weight, KvTask::NumericArithmetic, 1)
    }

    /// A task with 1 to `most` operands, equally often.
    fn each(weight: f64, task: KvTask, most: usize) -> impl Iterator<Item = Self> {
        (1..=most).map(move |operands| Self::new(weight / most as f64, task, operands))
    }

    /// Arithmetic with two operands, three, and so on, by these weights.
    fn sums(weights: Vec<f64>, round: bool) -> impl Iterator<Item = Self> {
        (2..).zip(weights).map(move |(operands, weight)| Self {
            round,
            ..Self::new(weight, KvTask::NumericArithmetic, operands)
        })
    }
}

/// Lessons of a model, with the step at which each set of them begins. The first begins at step 0.
/// docs/table1.md tells how they were found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Curriculum(Vec<(usize, Vec<Lesson>)>);

impl Curriculum {
    /// m_B of a dataset with these operands: numeric arithmetic, and copying numbers. First digits,
    /// then sums of round numbers, then all sums.
    pub fn anchor(operands: [usize; 2]) -> Self {
        let most = operands[1];
        let basics =
            |copies| Lesson::each(copies, KvTask::NumericCopy, most).chain([Lesson::digits(0.06)]);
        let round = |weight: f64| {
            let weights = [0.3 * weight, 0.35 * weight, 0.35 * weight];
            Lesson::sums(spread(most, weights), true)
        };
        let all = |weights| Lesson::sums(spread(most, weights), false);
        Self(vec![
            (0, vec![Lesson::digits(1.0)]),
            (60, basics(0.1).chain(round(0.84)).collect()),
            (
                500,
                basics(0.1)
                    .chain(round(0.14))
                    .chain(all([0.2, 0.25, 0.25]))
                    .collect(),
            ),
            (
                2000,
                basics(0.08)
                    .chain(round(0.06))
                    .chain(all([0.15, 0.28, 0.37]))
                    .collect(),
            ),
        ])
    }

    /// m_A of a dataset with these operands: numbers first, then the value of every key.
    pub fn augmenting(operands: [usize; 2]) -> Self {
        let most = operands[1];
        let copies = |weight| Lesson::each(weight, KvTask::NumericCopy, most);
        let keys = Lesson::each(0.7, KvTask::KvSubstitution, most);
        Self(vec![
            (0, vec![Lesson::digits(1.0)]),
            (60, copies(0.7).chain([Lesson::digits(0.3)]).collect()),
            (
                250,
                keys.chain(copies(0.15))
                    .chain([Lesson::digits(0.15)])
                    .collect(),
            ),
        ])
    }

    /// Batch `number` of about `tokens` tokens: texts of one kind and length, so that nothing is
    /// padded.
    ///
    /// # Errors
    ///
    /// [`DataError`] if the tokenizer is not the dataset's.
    pub fn batch(
        &self,
        dataset: &KvDataset,
        tokenizer: &dyn Tokenize,
        tokens: usize,
        seed: u64,
        number: usize,
    ) -> Result<Batch, DataError> {
        let lesson = self.lesson(seed, number);
        let kind = ExampleKind {
            task: lesson.task,
            pool: KeyPool::All,
            operands: [lesson.operands; 2],
            operators: dataset.config().operators.clone(),
            round: lesson.round,
        };
        // The prompt has two tokens an operand; the answer is about as long as a number.
        let rows = tokens / (2 * lesson.operands + 5);
        let examples = (0..rows).map(|row| {
            let index = (number * rows + row) as u64;
            let text = dataset.draw(&kind, 1 + seed, index);
            tokenize(tokenizer, row, &text.prompt, &text.target, EOS_ID, CONTEXT)
        });
        let examples = examples.collect::<Result<Vec<_>, DataError>>()?;
        Ok(Batch::collate(examples.iter().enumerate(), PAD_ID))
    }

    /// The lesson of batch `number`.
    fn lesson(&self, seed: u64, number: usize) -> &Lesson {
        let mut begun = self.0.iter().rev().filter(|(begin, _)| *begin <= number);
        let (_, lessons) = begun.next().expect("the first lesson begins at step 0");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number as u64);
        weighted(lessons, |lesson| lesson.weight, &mut rng)
    }
}

/// Weights of sums of two operands, three, and so on. Those of up to four operands were found for
/// the small scale; they are spread evenly where there are more.
fn spread(most: usize, weights: [f64; 3]) -> Vec<f64> {
    match most {
        ..=4 => weights.to_vec(),
        _ => vec![weights.iter().sum::<f64>() / 5.0; 5],
    }
}
