//! Keys and values of past positions.

use burn::tensor::{Int, Tensor, TensorData};

use crate::PaddingMask;

/// Storage grows by this many positions at a time: a step of decoding copies the past only once
/// in so many tokens, and attends over at most one position less than this in vain.
const GROWTH: usize = 32;

/// What a model remembers of the positions so far, so that decoding need not compute them again.
pub trait Cache {
    /// Positions held, padding included.
    fn len(&self) -> usize;

    /// Whether nothing is held yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens the longest row had in the pass that filled it last; 0 if nothing is held.
    fn filled_at(&self) -> usize;

    /// How many tokens the longest row will have after a pass over these positions.
    fn longest_row_with(&self, next: &PaddingMask) -> usize;

    /// Forgets all positions from `len` on.
    fn truncate(&mut self, len: usize);

    /// Keeps these rows, in this order.
    ///
    /// # Panics
    ///
    /// If a row is out of range.
    fn select_rows(&mut self, rows: &[usize]);

    /// Memory in use, in bytes.
    fn bytes(&self) -> usize;
}

/// Keys and values that the blocks of one decoder have computed for the positions so far.
///
/// [`Context::new`](crate::Context::new) reserves room for the positions about to be computed,
/// [`Decoder::run`](crate::Decoder::run) fills it block by block. Blocks that are never run take
/// no memory.
#[derive(Debug, Clone)]
pub struct KvCache {
    /// One slot per block.
    blocks: Vec<Option<KeysValues>>,
    /// The positions so far.
    past: PaddingMask,
    filled_at: usize,
}

#[derive(Debug, Clone)]
struct KeysValues {
    /// `[batch, kv_heads, capacity, d_head]`.
    keys: Tensor<4>,
    /// `[batch, kv_heads, capacity, d_head]`.
    values: Tensor<4>,
}

impl KvCache {
    /// An empty cache for a batch, for a decoder of so many blocks.
    pub fn new(block_count: usize, batch: usize) -> Self {
        Self {
            blocks: vec![None; block_count],
            past: PaddingMask::none(batch, 0),
            filled_at: 0,
        }
    }

    /// Rows of the batch.
    pub fn batch(&self) -> usize {
        self.past.batch()
    }

    /// The positions held: which are real, and which padding.
    pub fn positions(&self) -> &PaddingMask {
        &self.past
    }

    /// Makes room for these positions. Returns how many were there before.
    ///
    /// Part of [`Context::new`](crate::Context::new); public for layers beside a decoder that
    /// keep keys and values of their own.
    pub fn reserve(&mut self, next: &PaddingMask) -> usize {
        let past = self.len();
        self.filled_at = self.longest_row_with(next);
        self.past = self.past.followed_by(next);
        past
    }

    /// The length that keys and values are stored with: [`KvCache::len`] rounded up.
    pub(crate) fn capacity(&self) -> usize {
        self.len().next_multiple_of(GROWTH)
    }

    /// Stores what `block` computed for positions `past..`, and returns all that it holds:
    /// `[batch, kv_heads, capacity, d_head]` with zeros or forgotten positions past the end, which
    /// the context's mask hides, or the new ones alone if there were none before.
    ///
    /// # Panics
    ///
    /// If there is no such block, or the shapes are not those of the positions reserved.
    pub fn append(
        &mut self,
        block: usize,
        past: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let capacity = self.capacity();
        let held = self.blocks[block].take();
        let (old_keys, old_values) = held.map(|held| (held.keys, held.values)).unzip();
        let stored = KeysValues {
            keys: store(old_keys, keys.clone(), past, capacity),
            values: store(old_values, values.clone(), past, capacity),
        };
        let all = if past == 0 {
            (keys, values)
        } else {
            (stored.keys.clone(), stored.values.clone())
        };
        self.blocks[block] = Some(stored);
        all
    }
}

impl Cache for KvCache {
    fn len(&self) -> usize {
        self.past.seq()
    }

    fn filled_at(&self) -> usize {
        self.filled_at
    }

    fn longest_row_with(&self, next: &PaddingMask) -> usize {
        let rows = 0..self.batch();
        let lengths = rows.map(|row| self.past.tokens(row) + next.tokens(row));
        lengths.max().unwrap_or(0)
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let rows: Vec<usize> = (0..self.batch()).collect();
            self.past = self.past.select(&rows, len);
        }
    }

    fn select_rows(&mut self, rows: &[usize]) {
        self.past = self.past.select(rows, self.len());
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        for held in self.blocks.iter_mut().flatten() {
            let data = TensorData::new(indices.clone(), [indices.len()]);
            let indices = Tensor::<1, Int>::from_data(data, &held.keys.device());
            held.keys = held.keys.clone().select(0, indices.clone());
            held.values = held.values.clone().select(0, indices);
        }
    }

    fn bytes(&self) -> usize {
        let tensors = self
            .blocks
            .iter()
            .flatten()
            .flat_map(|held| [&held.keys, &held.values]);
        tensors
            .map(|tensor| tensor.shape().num_elements() * tensor.dtype().size())
            .sum()
    }
}

/// `new` written at `past..` into `old`, which grows to `capacity` if it is shorter.
fn store(old: Option<Tensor<4>>, new: Tensor<4>, past: usize, capacity: usize) -> Tensor<4> {
    let [batch, kv_heads, seq, d_head] = new.dims();
    let room = |old: Option<Tensor<4>>| {
        let zeros = Tensor::zeros(
            [batch, kv_heads, capacity, d_head],
            (&new.device(), new.dtype()),
        );
        match old {
            Some(old) if past > 0 => {
                let old = old.narrow(2, 0, past);
                zeros.slice_assign([0..batch, 0..kv_heads, 0..past, 0..d_head], old)
            }
            _ => zeros,
        }
    };
    let storage = match old {
        Some(old) if old.dims()[2] >= capacity => old,
        old => room(old),
    };
    storage.slice_assign([0..batch, 0..kv_heads, past..past + seq, 0..d_head], new)
}
