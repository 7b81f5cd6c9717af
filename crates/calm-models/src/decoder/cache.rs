//! Keys and values of past positions.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use crate::{DecoderConfig, PaddingMask, TokenTrees};

/// Storage grows by this many positions at a time: a step of decoding copies the past only once
/// in so many tokens, and attends over at most one position less than this in vain.
const GROWTH: usize = 32;

/// So many positions can always be forgotten again.
pub(crate) const UNDONE: usize = 32;

/// State of the positions that a model has computed, so that decoding need not compute them again.
pub trait Cache {
    /// Positions held, padding included.
    fn len(&self) -> usize;

    /// Whether nothing is held yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of the longest row in the pass that filled it last; 0 if nothing is held.
    fn filled_at(&self) -> usize;

    /// Tokens of the longest row after a pass over these positions.
    fn longest_row_with(&self, next: &PaddingMask) -> usize;

    /// Forgets all positions from `len` on.
    ///
    /// # Panics
    ///
    /// If positions were dropped that the next one would see: see [`KvCache::within_windows`].
    fn truncate(&mut self, len: usize);

    /// Keeps these rows, in this order.
    ///
    /// # Panics
    ///
    /// If a row is out of range.
    fn select_rows(&mut self, rows: &[usize]);

    /// Adds the rows of another cache of the same model behind those of this one, which must both
    /// serve the longest row of the two. Both end at the same position then: the shorter one is padded
    /// on the left, and leading positions that are padding in all rows are dropped.
    fn append_rows(&mut self, other: Self)
    where
        Self: Sized;

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
    /// One id per block.
    blocks: Vec<Option<KeysValues>>,
    /// The windows of blocks whose positions are dropped once their window is past them.
    windows: Vec<Option<usize>>,
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
    /// The position that the storage begins with.
    first: usize,
}

impl KvCache {
    /// An empty cache for a batch, for a decoder of so many blocks. It keeps every position.
    pub fn new(block_count: usize, batch: usize) -> Self {
        Self {
            blocks: vec![None; block_count],
            windows: vec![None; block_count],
            past: PaddingMask::none(batch, 0),
            filled_at: 0,
        }
    }

    /// An empty cache that keeps, for blocks with a window, at most twice what the window shows, and
    /// 64 positions more: as a text grows, they take no more memory and no more time. The last 32
    /// positions can be forgotten again, not all ([`Cache::truncate`]).
    pub fn within_windows(config: &DecoderConfig, batch: usize) -> Self {
        let windows = config.blocks.iter();
        let windows = windows.map(|block| block.attention.window).collect();
        Self {
            windows,
            ..Self::new(config.blocks.len(), batch)
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

    /// [`KvCache::reserve`] for trees of tokens. Returns how many positions were there before.
    ///
    /// # Panics
    ///
    /// If the trees do not go on from the positions held.
    pub fn reserve_trees(&mut self, trees: &TokenTrees) -> usize {
        assert_eq!(self.len(), trees.past(), "positions before the trees");
        let past = self.reserve(&trees.new_positions());
        self.filled_at = trees.longest_text();
        past
    }

    /// Forgets every position of a row for which `keep(row, position)` does not hold: it becomes
    /// padding, and is taken away if it is at the end of all rows.
    ///
    /// # Panics
    ///
    /// If the cache was made by [`KvCache::within_windows`].
    pub fn retain(&mut self, keep: impl Fn(usize, usize) -> bool) {
        self.assert_keeps_all();
        let (batch, len) = (self.batch(), self.len());
        let past = PaddingMask::new(batch, len, |row, position| {
            self.past.row(row)[position] && keep(row, position)
        });
        let is_used = |position: &usize| (0..batch).any(|row| past.row(row)[*position]);
        let end = (0..len).rev().find(is_used).map_or(0, |last| last + 1);
        self.past = past;
        self.truncate(end);
    }

    /// Moves the real positions of every row to its beginning, if so much is padding that storage
    /// would be a quarter shorter without it.
    ///
    /// # Panics
    ///
    /// If the cache was made by [`KvCache::within_windows`].
    pub fn compact(&mut self) {
        self.assert_keeps_all();
        let longest = self.past.longest_row();
        if self.len() <= longest + longest / 3 + GROWTH {
            return;
        }
        let places = |row| {
            let real = self.past.row(row).iter().enumerate();
            let real = real.filter(|(_, real)| **real);
            let mut places: Vec<i64> = real.map(|(place, _)| place as i64).collect();
            // As long as all storage is; what is beyond the positions held is never seen.
            places.resize(longest.next_multiple_of(GROWTH), 0);
            places
        };
        let rows: Vec<Vec<i64>> = (0..self.batch()).map(places).collect();
        let lengths: Vec<usize> = (0..self.batch()).map(|row| self.past.tokens(row)).collect();
        for held in self.blocks.iter_mut().flatten() {
            held.keys = select_places(&held.keys, &rows);
            held.values = select_places(&held.values, &rows);
        }
        self.past = PaddingMask::right(&lengths);
    }

    /// Offsets by which the positions of this cache and of `other` move when [`Cache::append_rows`]
    /// makes both end at the same position.
    pub fn offsets_to_join(&self, other: &Self) -> [isize; 2] {
        let end = |cache: &Self| cache.len() - cache.past.leading_padding();
        let end = end(self).max(end(other));
        [self, other].map(|cache| end as isize - cache.len() as isize)
    }

    /// [`Cache::append_rows`], where positions move by these offsets. Positions that would come before
    /// the first one must be padding.
    pub fn join(&mut self, other: Self, offsets: [isize; 2]) {
        let past = self.past.with_rows_of(&other.past, offsets);
        let blocks = self.blocks.iter_mut().zip(other.blocks);
        for (held, other_held) in blocks {
            let parts = [
                MovedRows::new(held.take(), &self.past, offsets[0]),
                MovedRows::new(other_held, &other.past, offsets[1]),
            ];
            *held = MovedRows::join(&parts, past.seq());
        }
        self.past = past;
        self.filled_at = match [self.filled_at, other.filled_at] {
            [0, filled_at] | [filled_at, 0] => filled_at,
            // Had they other frequencies, the cache would serve no pass over the longer ones.
            [ours, theirs] => ours.min(theirs),
        };
    }

    fn assert_keeps_all(&self) {
        let keeps_all = self.windows.iter().all(Option::is_none);
        assert!(keeps_all, "single positions of a cache that drops others");
    }

    /// The length of the keys that [`KvCache::append`] returns for blocks that keep all positions,
    /// if there were any before.
    pub fn key_count(&self) -> usize {
        self.keys(None, self.len()).len()
    }

    /// All that is stored of `block`, as [`KvCache::append`] returns it; none if no position is
    /// held, or the block was never run.
    pub fn stored(&self, block: usize) -> Option<(Tensor<4>, Tensor<4>)> {
        let held = self.blocks[block].as_ref().filter(|_| !self.is_empty())?;
        let whole = |x: &Tensor<4>| {
            x.clone()
                .narrow(2, 0, self.capacity(held.first, Some(held)))
        };
        Some((whole(&held.keys), whole(&held.values)))
    }

    /// The positions of the keys that [`KvCache::append`] returns in a pass after `past` positions,
    /// for blocks with this window.
    pub(crate) fn keys(&self, window: Option<usize>, past: usize) -> Range<usize> {
        // A first pass attends over its own keys, a later one over the cache's storage.
        if past == 0 {
            return 0..self.len();
        }
        let of_window = |window| {
            let alike = self.windows.iter().zip(&self.blocks);
            alike.filter(move |(other, _)| **other == window)
        };
        let held = of_window(window).filter(|_| window.is_some());
        let first = held.map(|(_, held)| self.first_kept(window, past, held.as_ref()));
        // Blocks keep all positions, whatever their window, unless they were said to drop some.
        let (window, first) = first.max().map_or((None, 0), |first| (window, first));
        let mut held = of_window(window).filter_map(|(_, held)| held.as_ref());
        first..first + self.capacity(first, held.next())
    }

    /// The first position that a block keeps for queries from `query` on, beginning with what it
    /// holds: rounded down, so that what is kept is seldom moved.
    fn first_kept(&self, window: Option<usize>, query: usize, held: Option<&KeysValues>) -> usize {
        let first = window.map_or(0, |window| {
            let first = self.first_seen(window, query).saturating_sub(UNDONE);
            first - first % window.max(GROWTH)
        });
        // Positions that were dropped do not come back when others are forgotten.
        first.max(held.map_or(0, |held| held.first))
    }

    /// The first position that a query sees in any row through a window of so many tokens.
    fn first_seen(&self, window: usize, query: usize) -> usize {
        let row = |row| {
            let row = self.past.row(row);
            let mut real = (0..query).rev().filter(|position| row[*position]);
            real.nth(window - 1).map_or(0, |hidden| hidden + 1)
        };
        (0..self.batch()).map(row).min().unwrap_or(0)
    }

    /// The length that keys and values from `first` on are stored with: that of what is `held`, if
    /// it is enough and hardly more, so that going back and forth by a few positions moves nothing.
    fn capacity(&self, first: usize, held: Option<&KeysValues>) -> usize {
        let needed = (self.len() - first).next_multiple_of(GROWTH);
        let held = held.filter(|held| held.first == first);
        held.map(|held| held.keys.dims()[2])
            .filter(|held| (needed..=needed + GROWTH).contains(held))
            .unwrap_or(needed)
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
        let query = if past == 0 { self.len() } else { past };
        let held = self.blocks[block].take().filter(|_| past > 0);
        let first = self.first_kept(self.windows[block], query, held.as_ref());
        let room = Room {
            past: past.saturating_sub(first),
            capacity: self.capacity(first, held.as_ref()),
        };
        let stored = match held {
            Some(old) => KeysValues {
                keys: room.add(old.keys, first - old.first, keys.clone()),
                values: room.add(old.values, first - old.first, values.clone()),
                first,
            },
            None => KeysValues {
                keys: room.fill(keys.clone(), first),
                values: room.fill(values.clone(), first),
                first,
            },
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
            for (window, held) in self.windows.iter().zip(&self.blocks) {
                let (Some(window), Some(held)) = (window, held) else {
                    continue;
                };
                let is_kept = len == 0 || held.first <= self.first_seen(*window, len);
                assert!(
                    is_kept,
                    "positions before {len} were dropped, and are needed"
                );
            }
            let rows: Vec<usize> = (0..self.batch()).collect();
            self.past = self.past.select(&rows, len);
        }
        if len == 0 {
            self.filled_at = 0;
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

    fn append_rows(&mut self, other: Self) {
        let offsets = self.offsets_to_join(&other);
        self.join(other, offsets);
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

/// Rows of a block whose positions move.
struct MovedRows {
    /// None if no position is held.
    held: Option<KeysValues>,
    rows: usize,
    /// Positions after moving: from the first that is held to the end.
    positions: Range<usize>,
    /// Number of held positions that are dropped at the beginning.
    dropped: usize,
}

impl MovedRows {
    fn new(held: Option<KeysValues>, past: &PaddingMask, offset: isize) -> Self {
        let held = held.filter(|held| held.first < past.seq());
        let first = held.as_ref().map_or(0, |held| held.first as isize) + offset;
        let start = first.max(0) as usize;
        Self {
            held,
            rows: past.batch(),
            positions: start..past.seq().saturating_add_signed(offset).max(start),
            dropped: (-first).max(0) as usize,
        }
    }

    /// The rows of all parts, with storage for the positions before `end`.
    fn join(parts: &[Self], end: usize) -> Option<KeysValues> {
        let held = || parts.iter().filter(|part| part.held.is_some());
        let first = held().map(|part| part.positions.start).min()?;
        Some(KeysValues {
            keys: Self::join_tensors(parts, first..end, |held| &held.keys)?,
            values: Self::join_tensors(parts, first..end, |held| &held.values)?,
            first,
        })
    }

    fn join_tensors(
        parts: &[Self],
        positions: Range<usize>,
        tensor: impl Fn(&KeysValues) -> &Tensor<4>,
    ) -> Option<Tensor<4>> {
        let like = tensor(parts.iter().find_map(|part| part.held.as_ref())?);
        let [_, kv_heads, _, d_head] = like.dims();
        let rows = parts.iter().map(|part| part.rows).sum();
        let capacity = positions.len().next_multiple_of(GROWTH);
        let shape = [rows, kv_heads, capacity, d_head];
        let mut storage = Tensor::zeros(shape, (&like.device(), like.dtype()));
        let mut row = 0;
        for part in parts {
            let rows = row..row + part.rows;
            row = rows.end;
            if let Some(held) = &part.held {
                let count = part.positions.len();
                let at = part.positions.start - positions.start;
                let moved = tensor(held).clone().narrow(2, part.dropped, count);
                storage =
                    storage.slice_assign([rows, 0..kv_heads, at..at + count, 0..d_head], moved);
            }
        }
        Some(storage)
    }
}

/// Storage to be written to.
struct Room {
    /// Positions before the new ones.
    past: usize,
    /// Positions that it can hold.
    capacity: usize,
}

impl Room {
    /// `old` without its first `dropped` positions, and `new` behind them.
    fn add(&self, old: Tensor<4>, dropped: usize, new: Tensor<4>) -> Tensor<4> {
        if dropped == 0 && old.dims()[2] == self.capacity {
            return write(old, self.past, new);
        }
        let kept = old.narrow(2, dropped, self.past);
        write(write(self.zeros(&new), 0, kept), self.past, new)
    }

    /// `new` from its position `first` on.
    fn fill(&self, new: Tensor<4>, first: usize) -> Tensor<4> {
        let seq = new.dims()[2];
        write(self.zeros(&new), 0, new.narrow(2, first, seq - first))
    }

    fn zeros(&self, like: &Tensor<4>) -> Tensor<4> {
        let [batch, kv_heads, _, d_head] = like.dims();
        let shape = [batch, kv_heads, self.capacity, d_head];
        Tensor::zeros(shape, (&like.device(), like.dtype()))
    }
}

/// Other positions for each row, of `[batch, kv_heads, capacity, d_head]`.
fn select_places(tensor: &Tensor<4>, rows: &[Vec<i64>]) -> Tensor<4> {
    let selected = rows.iter().enumerate().map(|(row, places)| {
        let places = TensorData::new(places.clone(), [places.len()]);
        let places = Tensor::<1, Int>::from_data(places, &tensor.device());
        tensor.clone().narrow(0, row, 1).select(2, places)
    });
    Tensor::cat(selected.collect(), 0)
}

/// `new` in the place of what `storage` holds from position `at` on.
fn write(storage: Tensor<4>, at: usize, new: Tensor<4>) -> Tensor<4> {
    let [batch, kv_heads, seq, d_head] = new.dims();
    let place = [0..batch, 0..kv_heads, at..at + seq, 0..d_head];
    storage.slice_assign(place, new)
}
