//! Rows of token ids.

use crate::TokenizedExample;

/// Rows of token ids, right-padded to one length. A row is an example, or several that know nothing
/// of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `[rows, length]`, row-major.
    pub ids: Vec<u32>,
    /// `[rows, length]`, `false` at padding.
    pub real: Vec<bool>,
    /// Number of rows.
    pub rows: usize,
    /// Tokens in a row, padding included.
    pub length: usize,
    /// Positions of the flattened `[rows * length]` whose next token carries loss.
    pub loss_positions: Vec<u32>,
    /// That next token, for each of them.
    pub targets: Vec<u32>,
    /// Numbers of the examples, row by row.
    pub examples: Vec<usize>,
    /// Positions of the flattened `[rows * length]` at which a further example of a row begins, in
    /// ascending order.
    pub starts: Vec<u32>,
    /// Ids that the anchor of a composition reads, `[rows, length]`, row-major; none if it reads
    /// [`Batch::ids`]. See [`Masking`](crate::Masking).
    pub anchor_ids: Option<Vec<u32>>,
    /// The same of the augmenting models.
    pub augmenting_ids: Option<Vec<u32>>,
}

impl Batch {
    /// Collates examples, each with its number and in a row of its own.
    ///
    /// The last token of an example is only ever a target, so a row has one position fewer than its
    /// example has tokens. If a target begins an example, nothing predicts its first token, which
    /// then carries no loss.
    pub fn collate<'a>(
        examples: impl IntoIterator<Item = (usize, &'a TokenizedExample)>,
        padding: u32,
    ) -> Self {
        let rows: Vec<_> = examples.into_iter().map(|example| [example]).collect();
        Self::collate_rows(&rows, padding)
    }

    /// Collates rows of examples, each with its number, one behind the other.
    pub fn collate_rows<'a>(
        rows: &[impl AsRef<[(usize, &'a TokenizedExample)]>],
        padding: u32,
    ) -> Self {
        let inputs = |row: &[(usize, &TokenizedExample)]| -> usize {
            row.iter().map(|(_, example)| example.inputs().len()).sum()
        };
        let rows = || rows.iter().map(AsRef::as_ref);
        let length = rows().map(inputs).max().unwrap_or(0);
        let mut batch = Self {
            ids: Vec::with_capacity(rows().len() * length),
            real: Vec::with_capacity(rows().len() * length),
            rows: rows().len(),
            length,
            loss_positions: Vec::new(),
            targets: Vec::new(),
            examples: Vec::new(),
            starts: Vec::new(),
            anchor_ids: None,
            augmenting_ids: None,
        };
        for (number, row) in rows().enumerate() {
            for (place, example) in row.iter().enumerate() {
                if place > 0 {
                    batch.starts.push(batch.ids.len() as u32);
                }
                batch.push(*example);
            }
            batch.real.resize(batch.ids.len(), true);
            batch.ids.resize((number + 1) * length, padding);
            batch.real.resize((number + 1) * length, false);
        }
        batch
    }

    /// Adds an example to the last row.
    fn push(&mut self, (number, example): (usize, &TokenizedExample)) {
        let start = self.ids.len();
        self.examples.push(number);
        self.ids.extend(example.inputs());
        for target in example.target_start.max(1)..example.ids.len() {
            self.loss_positions.push((start + target - 1) as u32);
            self.targets.push(example.ids[target]);
        }
    }

    /// The real ids of every row.
    pub fn texts(&self) -> impl Iterator<Item = &[u32]> {
        self.real_of(&self.ids)
    }

    /// The same as the anchor of a composition reads them.
    pub fn anchor_texts(&self) -> impl Iterator<Item = &[u32]> {
        self.real_of(self.anchor_ids.as_ref().unwrap_or(&self.ids))
    }

    /// The same as the augmenting models of a composition read them.
    pub fn augmenting_texts(&self) -> impl Iterator<Item = &[u32]> {
        self.real_of(self.augmenting_ids.as_ref().unwrap_or(&self.ids))
    }

    fn real_of<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
        (0..self.rows).map(move |row| {
            let places = row * self.length..(row + 1) * self.length;
            let real = self.real[places.clone()].iter().filter(|real| **real);
            &ids[places.start..places.start + real.count()]
        })
    }

    /// Tokens of every row's prompt: those up to the first position whose next token carries loss,
    /// or all.
    pub fn prompts(&self) -> impl Iterator<Item = usize> {
        let mut ends: Vec<usize> = self.texts().map(<[u32]>::len).collect();
        for position in self.loss_positions.iter().rev() {
            let position = *position as usize;
            ends[position / self.length] = position % self.length + 1;
        }
        ends.into_iter()
    }

    /// Share of the positions that is padding, from 0 to 1.
    pub fn padding_share(&self) -> f64 {
        let padding = self.real.iter().filter(|&&real| !real).count();
        padding as f64 / self.real.len().max(1) as f64
    }

    /// Number of tokens that carry loss.
    pub fn target_tokens(&self) -> usize {
        self.targets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(length: u32) -> TokenizedExample {
        TokenizedExample::new((10..10 + length).collect(), 2)
    }

    #[test]
    fn rows_are_padded_on_the_right() {
        let batch = Batch::collate([(5, &example(3)), (7, &example(4))], 0);
        assert_eq!(batch.ids, [10, 11, 0, 10, 11, 12]);
        assert_eq!(batch.real, [true, true, false, true, true, true]);
        assert_eq!(batch.loss_positions, [1, 4, 5]);
        assert_eq!(batch.targets, [12, 12, 13]);
        assert_eq!(batch.examples, [5, 7]);
        assert_eq!(batch.padding_share(), 1.0 / 6.0);
    }

    #[test]
    fn a_row_may_hold_several_examples() {
        let [a, b, c] = [3, 2, 4].map(example);
        let rows = [vec![(7, &a), (2, &b)], vec![(4, &c)]];
        let batch = Batch::collate_rows(&rows, 0);
        assert_eq!((batch.rows, batch.length), (2, 3));
        assert_eq!(batch.ids, [10, 11, 10, 10, 11, 12]);
        assert_eq!(batch.loss_positions, [1, 4, 5]);
        assert_eq!(batch.targets, [12, 12, 13]);
        assert_eq!((batch.examples, batch.starts), (vec![7, 2, 4], vec![2]));
    }

    #[test]
    fn a_first_token_that_nothing_predicts_carries_no_loss() {
        let example = TokenizedExample::new(vec![7, 8, 9], 0);
        let batch = Batch::collate([(0, &example)], 0);
        assert_eq!(
            (batch.loss_positions, batch.targets),
            (vec![0, 1], vec![8, 9])
        );
        let nothing = TokenizedExample::new(vec![], 0);
        assert_eq!(Batch::collate([(0, &nothing)], 0).padding_share(), 0.0);
    }
}
