//! What is trained of a composition, and what comes of it.

use calm_lm::compose::{Bridges, ComposedModel, RowTokens};
use calm_lm::train::BridgeTraining;

use super::compose::Models;

impl Models {
    /// Training of the new bridges on examples of which this is read.
    pub(super) fn objective<'a>(&'a self, rows: Option<&'a [RowTokens]>) -> BridgeTraining<'a> {
        let mut objective = BridgeTraining::new(&self.parts);
        if let Some(rows) = rows {
            objective = objective.reading(rows);
        }
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
