//! What is trained of a composition, and what comes of it.

use std::path::Path;

use calm_lm::compose::{Bridges, ComposedModel, RowTokens};
use calm_lm::data::TokenizedExample;
use calm_lm::train::{Noisy, read_examples};

use super::compose::Models;
use crate::failure::Failure;

impl Models {
    /// What the augmenting models read of the examples of a file.
    pub(super) fn read(
        &self,
        path: &Path,
        examples: &[TokenizedExample],
    ) -> Result<Vec<RowTokens>, Failure> {
        read_examples(&self.parts, examples).map_err(|error| Failure::path(path, error.to_string()))
    }

    /// Training of the new bridges, through so much noise, on examples that are read like this.
    pub(super) fn objective<'a>(&'a self, noise: f64, rows: &'a [RowTokens]) -> Noisy<'a> {
        let objective = Noisy::new(&self.parts, noise).reading(rows);
        match &self.extended {
            Some(extended) => objective.beside(&extended.bridges),
            None => objective,
        }
    }

    /// The composition by new bridges, behind those that there are already.
    pub(super) fn compose(&self, new: Bridges) -> ComposedModel {
        let bridges = match &self.extended {
            Some(extended) => extended.bridges.clone().followed_by(new),
            None => new,
        };
        let parts = self.parts.clone();
        ComposedModel { parts, bridges }
    }
}
