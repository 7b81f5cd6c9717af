//! The cache of hidden states that a run keeps from epoch to epoch.

use std::path::PathBuf;

use calm_backend::FloatType;
use calm_compose::{CompositionFile, FrozenParts, RowTokens};
use calm_data::Batches;

use super::config::ActivationConfig;
use crate::{ActivationCache, ActivationPlace, ActivationPlan, TrainError};

impl ActivationConfig {
    /// Nothing is kept.
    pub fn off() -> Self {
        Self {
            activation_cache: "off".to_owned(),
            ..Self::default()
        }
    }

    /// Whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.place().is_some()
    }

    fn place(&self) -> Option<ActivationPlace> {
        match self.activation_cache.as_str() {
            "off" => None,
            "memory" => Some(ActivationPlace::Memory),
            directory => Some(ActivationPlace::Directory(PathBuf::from(directory))),
        }
    }

    /// The cache for a run over so many epochs; none if it would not be read from. A run that is
    /// only described leaves no file behind.
    pub(super) fn open(
        &self,
        parts: &FrozenParts,
        file: &CompositionFile,
        batches: &Batches,
        rows: Option<&[RowTokens]>,
        epochs: f64,
        is_described: bool,
    ) -> Result<Option<ActivationCache>, TrainError> {
        let place = match self.place() {
            None => return Ok(None),
            Some(ActivationPlace::Memory) if epochs <= 1.0 => return Ok(None),
            Some(_) if is_described => ActivationPlace::Memory,
            Some(place) => place,
        };
        let models = std::iter::once(&file.anchor).chain(&file.augmenting);
        let hashes = models.map(|model| (&model.weights_sha256, &model.tokenizer_sha256));
        let hashes: Vec<_> = hashes.collect();
        let mut plan = ActivationPlan::new(parts, &hashes, self.activation_type);
        for (number, example) in batches.examples().iter().enumerate() {
            plan.add_example(&example?, rows.map(|rows| &rows[number]));
        }
        let budget = self.activation_budget.saturating_mul(1 << 20);
        Ok(Some(plan.open(&place, budget)?))
    }

    /// Bytes of memory that a cache takes once it is full; the system can take back those of a file.
    pub(super) fn memory_bytes(&self, cache: Option<&ActivationCache>) -> usize {
        let is_in_memory = self.place() == Some(ActivationPlace::Memory);
        let cache = cache.filter(|_| is_in_memory);
        cache.map_or(0, |cache| cache.statistics().kept_bytes as usize)
    }

    /// The type of the cache where it changes the outcome of a run.
    pub(super) fn identity(&self) -> Option<&'static str> {
        let is_rounded = self.activation_type != FloatType::F32;
        (self.is_on() && is_rounded).then(|| self.activation_type.name())
    }
}
