//! What all blocks of one forward pass share: positions and visibility.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use super::cache::KvCache;
use super::rope;
use crate::{Decoder, PaddingMask};

/// Positions and visibility of one forward pass, worked out once for all blocks.
///
/// Positions count real tokens only, so that padding on either side changes nothing; attention is
/// causal and never sees padding.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cosines of the rotary angles, `[batch or 1, 1, seq, d_head / 2]`.
    pub(crate) cos: Tensor<4>,
    /// Sines of the rotary angles, `[batch or 1, 1, seq, d_head / 2]`.
    pub(crate) sin: Tensor<4>,
    /// `[batch or 1, 1, seq, keys]`, `true` = masked; none where every query sees every key.
    pub(crate) masked: Option<Tensor<4, Bool>>,
    /// Positions that the cache held before this pass.
    pub(crate) past: usize,
}

impl Context {
    /// The context of a pass over the positions of `padding`.
    ///
    /// With a cache they follow those that it holds, and room for them is reserved: the pass must
    /// then run with that same cache.
    ///
    /// # Panics
    ///
    /// If the cache was made for another number of rows.
    pub fn new(decoder: &Decoder, padding: &PaddingMask, cache: Option<&mut KvCache>) -> Self {
        let device = decoder.device().without_autodiff();
        let (all, past, capacity) = match cache {
            None => (padding.clone(), 0, padding.seq()),
            Some(cache) => {
                assert_eq!(
                    cache.batch(),
                    padding.batch(),
                    "rows of the cache and of the batch"
                );
                let past = cache.reserve(padding);
                // A first pass attends over its own keys, a later one over the cache's storage.
                let keys = if past == 0 {
                    padding.seq()
                } else {
                    cache.capacity()
                };
                (cache.positions().clone(), past, keys)
            }
        };
        let (cos, sin) = rotary_table(decoder, &all, past, &device);
        Self {
            cos,
            sin,
            masked: attention_mask(&all, past, capacity, &device),
            past,
        }
    }

    /// The same pass, but rows for which `narrow(row)` holds see only the last `window` positions,
    /// their own included.
    ///
    /// For training with windows of changing width; not for a pass that continues a cache.
    ///
    /// # Panics
    ///
    /// If the pass continues a cache.
    pub fn with_window(&self, window: usize, narrow: impl Fn(usize) -> bool, batch: usize) -> Self {
        assert_eq!(self.past, 0, "a window cannot be put over a cache");
        let (device, seq) = (self.cos.device(), self.cos.dims()[2]);
        let outside: Vec<bool> = (0..batch * seq * seq)
            .map(|entry| {
                let (row, query, key) = (entry / (seq * seq), entry / seq % seq, entry % seq);
                narrow(row) && key + window <= query
            })
            .collect();
        let shape = [batch, 1, seq, seq];
        let outside = Tensor::<4, Bool>::from_data(TensorData::new(outside, shape), &device);
        let masked = match self.masked() {
            Some(masked) => outside.bool_or(masked.expand(shape)),
            None => outside,
        };
        Self {
            masked: Some(masked),
            ..self.clone()
        }
    }

    /// What queries may not see: `[batch or 1, 1, seq, keys]`, `true` = masked; none where every
    /// query sees every key. A cache that is filled alongside the decoder's has the same keys.
    pub fn masked(&self) -> Option<Tensor<4, Bool>> {
        self.masked.clone()
    }
}

/// The position of each of a row's entries: the number of real tokens before it.
fn positions(row: &[bool]) -> impl Iterator<Item = usize> {
    row.iter().scan(0, |real_before, real| {
        let position = *real_before;
        *real_before += usize::from(*real);
        Some(position)
    })
}

fn rotary_table(
    decoder: &Decoder,
    all: &PaddingMask,
    past: usize,
    device: &Device,
) -> (Tensor<4>, Tensor<4>) {
    let seq = all.seq() - past;
    let rows: Vec<Vec<usize>> = (0..all.batch())
        .map(|row| positions(all.row(row)).skip(past).collect())
        .collect();
    // Mostly all rows are at the same positions and can share one table.
    let rows = if rows.windows(2).all(|pair| pair[0] == pair[1]) {
        rows.into_iter().take(1).collect()
    } else {
        rows
    };
    let first = rows.iter().flatten().copied().min().unwrap_or(0);
    let end = rows
        .iter()
        .flatten()
        .copied()
        .max()
        .map_or(0, |last| last + 1);

    let frequencies = decoder.rotary_frequencies();
    let half = frequencies.len();
    let (cos, sin) = rope::table(frequencies, first..end);
    let indices: Vec<i64> = rows
        .iter()
        .flatten()
        .map(|position| (position - first) as i64)
        .collect();
    let count = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), device);
    let gather = |table: Vec<f32>| {
        let table = TensorData::new(table, [end - first, half]);
        Tensor::<2>::from_data(table, (device, decoder.dtype()))
            .select(0, indices.clone())
            .reshape([rows.len(), 1, seq, half])
    };
    (gather(cos), gather(sin))
}

/// `true` where query `past + q` may not see key `k`: later keys, padding, and unused room.
fn attention_mask(
    all: &PaddingMask,
    past: usize,
    keys: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    let seq = all.seq() - past;
    if seq == 1 && all.is_full() && keys == all.seq() {
        return None;
    }
    let later =
        Tensor::<2, Bool>::tril_mask([seq, keys], past as i64, device).unsqueeze_dims(&[0, 1]);
    if all.is_full() {
        return Some(later);
    }
    let padding = PaddingMask::new(all.batch(), keys, |row, key| {
        all.row(row).get(key).is_none_or(|real| !real)
    });
    let padding = padding.to_tensor(device).reshape([all.batch(), 1, 1, keys]);
    let shape = [all.batch(), 1, seq, keys];
    Some(later.expand(shape).bool_or(padding.expand(shape)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_real_tokens() {
        let left: Vec<usize> = positions(&[false, false, true, true, true]).collect();
        assert_eq!(left, [0, 0, 0, 1, 2]);
        let right: Vec<usize> = positions(&[true, true, false, false]).collect();
        assert_eq!(right, [0, 1, 2, 2]);
    }

    #[test]
    fn the_mask_hides_later_keys_padding_and_unused_room() {
        let all = PaddingMask::left(&[4, 3]);
        let mask = attention_mask(&all, 2, 5, &Device::default()).unwrap();
        let masked: Vec<bool> = mask.into_data().try_to_vec().unwrap();
        let rows: Vec<String> = masked
            .chunks(5)
            .map(|row| row.iter().map(|m| if *m { 'x' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, ["...xx", "....x", "x..xx", "x...x"]);
    }

    #[test]
    fn a_single_new_token_without_padding_needs_no_mask() {
        assert!(attention_mask(&PaddingMask::none(2, 32), 31, 32, &Device::default()).is_none());
        assert!(attention_mask(&PaddingMask::none(2, 31), 30, 32, &Device::default()).is_some());
    }
}
