//! What a composed model remembers of the tokens so far.

use calm_models::{Cache, KvCache, PaddingMask};

use crate::FrozenParts;

/// The state of decoding: one cache for every model, and one for every set of bridges.
///
/// The models share nothing. A bridge keeps its keys and values of all augmenting positions, so
/// that a new anchor position reads the same as in a full pass.
#[derive(Debug, Clone)]
pub struct ComposedCache {
    anchor: KvCache,
    augmenting: Vec<AugmentingCache>,
}

/// What is kept for one augmenting model.
#[derive(Debug, Clone)]
pub(crate) struct AugmentingCache {
    /// Its own past.
    pub(crate) model: KvCache,
    /// Projected keys and values, one slot per bridge.
    pub(crate) bridges: KvCache,
}

impl ComposedCache {
    /// An empty cache for a batch of so many rows.
    pub fn new(parts: &FrozenParts, batch: usize) -> Self {
        let augmenting = parts.augmenting.iter().map(|augmenting| AugmentingCache {
            model: KvCache::new(augmenting.decoder.block_count(), batch),
            bridges: KvCache::new(augmenting.connections.len(), batch),
        });
        Self {
            anchor: KvCache::new(parts.anchor.block_count(), batch),
            augmenting: augmenting.collect(),
        }
    }

    pub(crate) fn split(&mut self) -> (&mut KvCache, &mut [AugmentingCache]) {
        (&mut self.anchor, &mut self.augmenting)
    }

    fn all(&self) -> impl Iterator<Item = &KvCache> {
        let augmenting = self
            .augmenting
            .iter()
            .flat_map(|cache| [&cache.model, &cache.bridges]);
        std::iter::once(&self.anchor).chain(augmenting)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut KvCache> {
        let augmenting = self
            .augmenting
            .iter_mut()
            .flat_map(|cache| [&mut cache.model, &mut cache.bridges]);
        std::iter::once(&mut self.anchor).chain(augmenting)
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
        self.all_mut().for_each(|cache| cache.truncate(len));
    }

    fn select_rows(&mut self, rows: &[usize]) {
        self.all_mut().for_each(|cache| cache.select_rows(rows));
    }

    fn bytes(&self) -> usize {
        self.all().map(KvCache::bytes).sum()
    }
}
