//! The cache of decoding with a composed model.

use calm_models::{Cache, CausalLm, KvCache, PaddingMask};

use crate::tokens::{AugmentingTokens, BatchTokens, RowStream};
use crate::visibility::{NewPositions, Visibility, token_counts};
use crate::{Augmenting, ComposedPrompt, FrozenParts};

/// Keys and values of past positions: one cache for the anchor, and per augmenting model one for the
/// model and one for its bridges.
///
/// Bridges keep keys and values of all augmenting positions, so that a new anchor position reads
/// the same as in a full pass. Blocks with a window keep what the window can show, and the last 32
/// positions can be forgotten again ([`KvCache::within_windows`]); models with tokens of their own
/// keep all.
#[derive(Debug, Clone)]
pub struct ComposedCache {
    pub(crate) anchor: KvCache,
    pub(crate) augmenting: Vec<AugmentingCache>,
    /// Tokens of every row's prompt, once they are known.
    prompts: Vec<Option<usize>>,
}

/// The caches of one augmenting model.
#[derive(Debug, Clone)]
pub(crate) struct AugmentingCache {
    /// Keys and values of the model's own blocks.
    pub(crate) model: KvCache,
    /// Keys and values of its bridges at the same positions, one slot per bridge.
    pub(crate) bridges: KvCache,
    /// The text of each row so far, if the model reads it in tokens of its own. The positions held
    /// are then the tokens of these texts.
    pub(crate) streams: Option<Vec<RowStream>>,
}

/// Memory of a [`ComposedCache`] in bytes, by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheBytes {
    /// The anchor's keys and values.
    pub anchor: usize,
    /// Per augmenting model, its own keys and values.
    pub augmenting: Vec<usize>,
    /// Per augmenting model, keys and values of its bridges.
    pub bridges: Vec<usize>,
}

impl ComposedCache {
    /// An empty cache for a batch of so many rows.
    pub fn new(parts: &FrozenParts, batch: usize) -> Self {
        let augmenting = parts.augmenting.iter();
        Self {
            anchor: KvCache::within_windows(parts.anchor.config(), batch),
            augmenting: augmenting
                .map(|augmenting| {
                    let tokens = augmenting.tokens.as_ref();
                    let streams = tokens.map(|tokens| vec![RowStream::new(tokens); batch]);
                    AugmentingCache::new(augmenting, batch, streams)
                })
                .collect(),
            prompts: vec![None; batch],
        }
    }

    /// Memory in use by its parts.
    pub fn bytes_by_part(&self) -> CacheBytes {
        let of = |part: fn(&AugmentingCache) -> &KvCache| {
            let caches = self.augmenting.iter().map(part);
            caches.map(KvCache::bytes).collect()
        };
        CacheBytes {
            anchor: self.anchor.bytes(),
            augmenting: of(|cache| &cache.model),
            bridges: of(|cache| &cache.bridges),
        }
    }

    /// Number of tokens of every row's prompt: of its first pass, unless it is known already.
    pub(crate) fn prompts(&mut self, first: &PaddingMask) -> Vec<usize> {
        let prompts = self.prompts.iter_mut().zip(token_counts(first));
        prompts
            .map(|(prompt, first)| *prompt.get_or_insert(first))
            .collect()
    }

    /// Whether models with tokens of their own can go on from what they hold, see
    /// [`CausalLm::cache_serves`].
    pub(crate) fn serves(&self, parts: &FrozenParts, rows: &[Option<BatchTokens>]) -> bool {
        let models = parts.augmenting.iter().zip(&self.augmenting).zip(rows);
        models.into_iter().all(|((augmenting, cache), rows)| {
            let longest = rows.iter().flatten().map(|row| row.longest).max();
            longest.is_none_or(|longest| {
                let before = cache.model.filled_at();
                augmenting.decoder.cache_serves(before, longest)
            })
        })
    }

    /// An empty cache of one row, which begins with this prompt.
    pub(crate) fn of_prompt(parts: &FrozenParts, prompt: &ComposedPrompt) -> Self {
        let mut cache = Self::new(parts, 1);
        let models = parts.augmenting.iter().zip(&mut cache.augmenting);
        for ((model, cache), text) in models.zip(&prompt.texts) {
            if let Some(text) = text {
                let streams = vec![RowStream::of_prompt(text)];
                *cache = AugmentingCache::new(model, 1, Some(streams));
            }
        }
        cache.prompts = vec![Some(prompt.ids.len())];
        cache
    }

    /// The anchor's tokens of every row, if a model reads in tokens of its own.
    pub(crate) fn texts(&self) -> Vec<&[u32]> {
        let streams = self.augmenting.iter().filter_map(|c| c.streams.as_ref());
        // A model with scale 0 has read nothing.
        let mut streams = streams.filter(|rows| rows.iter().any(|row| !row.ids().is_empty()));
        let rows = streams.next().into_iter().flatten();
        rows.map(RowStream::ids).collect()
    }
}

impl AugmentingCache {
    fn new(augmenting: &Augmenting, batch: usize, streams: Option<Vec<RowStream>>) -> Self {
        let decoder = &augmenting.decoder;
        Self {
            // A token may change how the text before it is tokenised, so that any number of own tokens
            // is rolled back, row by row. That takes a cache that keeps all positions.
            model: match streams {
                Some(_) => KvCache::new(decoder.block_count(), batch),
                None => KvCache::within_windows(decoder.config(), batch),
            },
            bridges: KvCache::new(augmenting.connections.len(), batch),
            streams,
        }
    }

    /// Rolls every row back to the last token that the new ones follow.
    pub(crate) fn roll_back(&mut self, rows: &[AugmentingTokens]) {
        // A row holds one text: its n-th real position is its n-th token.
        let held = self.model.positions();
        let places: Vec<Vec<usize>> = (0..held.batch())
            .map(|row| held.places(row).collect())
            .collect();
        self.retain(|row, position| places[row][position] < rows[row].reached);
    }

    /// Keeps of a pass over trees only the tokens of the texts that the rows end with.
    pub(crate) fn settle(&mut self, visibility: &Visibility) {
        let NewPositions::Own(trees) = visibility.new_positions() else {
            return;
        };
        self.retain(|row, position| trees.keeps(row, position));
        self.model.compact();
        self.bridges.compact();
    }

    fn retain(&mut self, keep: impl Fn(usize, usize) -> bool) {
        self.model.retain(&keep);
        self.bridges.retain(&keep);
    }

    /// Forgets anchor positions from `len` on, of which `tokens` has every row's number of tokens
    /// before.
    fn truncate(&mut self, len: usize, tokens: &[usize]) {
        let Some(streams) = &mut self.streams else {
            self.model.truncate(len);
            self.bridges.truncate(len);
            return;
        };
        // Own tokens are compared with the text when there is more of it.
        for (stream, tokens) in streams.iter_mut().zip(tokens) {
            stream.truncate(*tokens);
        }
        if len == 0 {
            streams.iter_mut().for_each(RowStream::forget);
            self.retain(|_, _| false);
        }
    }

    fn select_rows(&mut self, rows: &[usize]) {
        self.model.select_rows(rows);
        self.bridges.select_rows(rows);
        if let Some(streams) = &mut self.streams {
            *streams = rows.iter().map(|row| streams[*row].clone()).collect();
        }
    }

    /// Adds rows. Positions that are the anchor's move with those by `offsets`.
    fn append_rows(&mut self, other: Self, offsets: [isize; 2]) {
        let offsets = match (&mut self.streams, other.streams) {
            (Some(streams), Some(others)) => {
                streams.extend(others);
                [0, 0]
            }
            _ => offsets,
        };
        self.model.join(other.model, offsets);
        self.bridges.join(other.bridges, offsets);
    }
}

impl Cache for ComposedCache {
    fn len(&self) -> usize {
        self.anchor.len()
    }

    fn filled_at(&self) -> usize {
        self.anchor.filled_at()
    }

    fn longest_row_with(&self, next: &PaddingMask) -> usize {
        self.anchor.longest_row_with(next)
    }

    fn truncate(&mut self, len: usize) {
        let positions = self.anchor.positions();
        let count = |row| {
            let real = positions.row(row).iter().take(len);
            real.filter(|real| **real).count()
        };
        let tokens: Vec<usize> = (0..positions.batch()).map(count).collect();
        self.anchor.truncate(len);
        for cache in &mut self.augmenting {
            cache.truncate(len, &tokens);
        }
    }

    fn select_rows(&mut self, rows: &[usize]) {
        self.anchor.select_rows(rows);
        for cache in &mut self.augmenting {
            cache.select_rows(rows);
        }
        self.prompts = rows.iter().map(|row| self.prompts[*row]).collect();
    }

    fn append_rows(&mut self, other: Self) {
        let offsets = self.anchor.offsets_to_join(&other.anchor);
        self.anchor.join(other.anchor, offsets);
        let caches = self.augmenting.iter_mut().zip(other.augmenting);
        caches.for_each(|(cache, other)| cache.append_rows(other, offsets));
        self.prompts.extend(other.prompts);
    }

    fn bytes(&self) -> usize {
        let CacheBytes {
            anchor,
            augmenting,
            bridges,
        } = self.bytes_by_part();
        anchor + augmenting.iter().chain(&bridges).sum::<usize>()
    }
}
