//! Where `calm compose` keeps the hidden states that no bridge changes.

use std::path::PathBuf;

use calm_lm::backend::FloatType;
use calm_lm::compose::{CompositionFile, FrozenParts, RowTokens};
use calm_lm::train::{ActivationCache, ActivationPlace, ActivationPlan};
use clap::Args;
use serde_json::{Value, json};

use super::training_data::TrainingData;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Activations")]
pub(super) struct ActivationArgs {
    /// Where hidden states that no bridge changes are kept for the epochs to come: memory, off, or a
    /// directory, where further runs over the same models, connections and data find them
    #[arg(long, value_name = "PLACE", default_value = "memory")]
    activation_cache: Place,
    /// Mebibytes of them that are kept; the others are computed in every epoch
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    activation_budget: u64,
    /// What they are kept as. In f32 the run is the same to the last bit as one that keeps none; the
    /// halves take half the room
    #[arg(long, value_name = "TYPE", default_value_t = FloatType::F32)]
    activation_type: FloatType,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Off,
    At(ActivationPlace),
}

impl From<&str> for Place {
    fn from(place: &str) -> Self {
        match place {
            "off" => Self::Off,
            "memory" => Self::At(ActivationPlace::Memory),
            directory => Self::At(ActivationPlace::Directory(PathBuf::from(directory))),
        }
    }
}

impl ActivationArgs {
    /// The cache for a run over so many epochs; none if it would not be read from. A dry run leaves
    /// no file behind.
    pub(super) fn open(
        &self,
        parts: &FrozenParts,
        file: &CompositionFile,
        data: &TrainingData,
        rows: Option<&[RowTokens]>,
        epochs: f64,
        is_dry: bool,
    ) -> Result<Option<ActivationCache>, Failure> {
        let place = match &self.activation_cache {
            Place::Off => return Ok(None),
            Place::At(ActivationPlace::Memory) if epochs <= 1.0 => return Ok(None),
            Place::At(_) if is_dry => &ActivationPlace::Memory,
            Place::At(place) => place,
        };
        let mut plan = ActivationPlan::new(parts, &models(file), self.activation_type);
        for (number, example) in data.batches().examples().iter().enumerate() {
            plan.add_example(&example?, rows.map(|rows| &rows[number]));
        }
        let budget = self.activation_budget.saturating_mul(1 << 20);
        Ok(Some(plan.open(place, budget)?))
    }

    /// Bytes of memory that a cache takes once it is full; a file is memory that the system can have
    /// back.
    pub(super) fn memory_bytes(&self, cache: Option<&ActivationCache>) -> usize {
        let is_in_memory = self.activation_cache == Place::At(ActivationPlace::Memory);
        let cache = cache.filter(|_| is_in_memory);
        cache.map_or(0, |cache| cache.statistics().kept_bytes as usize)
    }

    /// What of it changes the outcome of a run; none where nothing does.
    pub(super) fn identity(&self) -> Option<Value> {
        let is_kept = self.activation_cache != Place::Off;
        let is_rounded = self.activation_type != FloatType::F32;
        (is_kept && is_rounded).then(|| json!(self.activation_type.name()))
    }
}

/// What states depend on besides connections and examples.
fn models(file: &CompositionFile) -> Value {
    let all = std::iter::once(&file.anchor).chain(&file.augmenting);
    all.map(|model| json!([model.weights_sha256, model.tokenizer_sha256]))
        .collect()
}
