//! Chosen positions of a batch.

use burn::tensor::kind::Basic;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// The positions of a batch at which a pass's last hidden states are wanted, such as those that
/// carry loss: [`Context::choosing`](crate::Context::choosing).
///
/// Of every row as many are computed as of the row with most of them; a row with fewer has some
/// twice.
#[derive(Debug, Clone)]
pub struct ChosenPositions {
    batch: usize,
    seq: usize,
    /// Number of positions of a row that are computed.
    count: usize,
    /// Those that are wanted, among the `[batch * count]` that are computed.
    wanted: Tensor<1, Int>,
    /// Places of the computed positions; none if all are computed.
    places: Option<Places>,
}

#[derive(Debug, Clone)]
struct Places {
    /// `[batch * count]`, among all positions `[batch * seq]`.
    in_batch: Tensor<1, Int>,
    /// `[batch * count]`, among the `[seq]` of their row; `[count]` if those of all rows are alike.
    in_row: Tensor<1, Int>,
}

impl ChosenPositions {
    /// These positions of the flattened `[batch, seq]`, in ascending order.
    ///
    /// # Panics
    ///
    /// If a position is out of range.
    pub fn new(positions: &[u32], [batch, seq]: [usize; 2], device: &Device) -> Self {
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); batch];
        for position in positions {
            let position = *position as usize;
            rows[position / seq].push(position % seq);
        }
        // Something is computed even if nothing is wanted: there are no empty tensors.
        let count = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let indices = |indices: Vec<usize>| {
            let indices: Vec<i64> = indices.into_iter().map(|index| index as i64).collect();
            let shape = [indices.len()];
            // Places are constants, whatever is trained.
            let device = device.clone().without_autodiff();
            Tensor::from_data(TensorData::new(indices, shape), &device)
        };
        let in_batch = |rows: &[Vec<usize>]| {
            let rows = rows.iter().enumerate();
            let places = rows.flat_map(|(row, places)| places.iter().map(move |at| row * seq + at));
            indices(places.collect())
        };
        if count == seq {
            return Self {
                batch,
                seq,
                count,
                wanted: in_batch(&rows),
                places: None,
            };
        }
        let wanted = rows.iter().enumerate();
        let wanted = wanted.flat_map(|(row, places)| row * count..row * count + places.len());
        let wanted = indices(wanted.collect());
        rows.iter_mut()
            .for_each(|row| row.resize(count, row.last().copied().unwrap_or(0)));
        let in_batch = in_batch(&rows);
        if rows.windows(2).all(|pair| pair[0] == pair[1]) {
            rows.truncate(1);
        }
        let in_row = indices(rows.concat());
        Self {
            batch,
            seq,
            count,
            wanted,
            places: Some(Places { in_batch, in_row }),
        }
    }

    /// Hidden states of the positions that are computed.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch, seq, d_model]`
    /// - output: `[batch, computed, d_model]`
    pub fn computed(&self, hidden: Tensor<3>) -> Tensor<3> {
        let Some(places) = &self.places else {
            return hidden;
        };
        let d_model = hidden.dims()[2];
        hidden
            .reshape([self.batch * self.seq, d_model])
            .select(0, places.in_batch.clone())
            .reshape([self.batch, self.count, d_model])
    }

    /// Of a table with a row for every query, such as a mask, the rows of the positions that are
    /// computed.
    ///
    /// # Shapes
    ///
    /// - `table`: `[batch or 1, 1, seq, n]`
    /// - output: `[batch or 1, 1, computed, n]`
    pub fn queries<K: Basic>(&self, table: Tensor<4, K>) -> Tensor<4, K> {
        let Some(places) = &self.places else {
            return table;
        };
        let [batch, _, seq, n] = table.dims();
        let indices = match batch {
            1 => &places.in_row,
            _ => &places.in_batch,
        };
        let rows = indices.dims()[0] / self.count;
        table
            .reshape([batch * seq, n])
            .select(0, indices.clone())
            .reshape([rows, 1, self.count, n])
    }

    /// Values at the wanted positions, in their order.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch, computed, d_model]`
    /// - output: `[n, d_model]`
    pub fn wanted(&self, hidden: Tensor<3>) -> Tensor<2> {
        let [batch, count, d_model] = hidden.dims();
        let flat = hidden.reshape([batch * count, d_model]);
        flat.select(0, self.wanted.clone())
    }
}
