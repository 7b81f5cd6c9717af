//! Scores and differences as the page shows them.

use serde::Serialize;

use super::super::numbers;
use super::super::sheet::Outcome;
use crate::table::{Difference, Score};

/// Width of a full gauge beside a score, in pixels.
const GAUGE: f64 = 44.0;

/// A score as it is shown.
#[derive(Serialize)]
pub(super) struct ScoreView {
    mean: String,
    interval: Option<String>,
    value: f64,
    pixels: f64,
}

/// A difference as it is shown.
#[derive(Serialize)]
pub(super) struct DifferenceView {
    mark: &'static str,
    word: &'static str,
    points: String,
    interval: String,
    value: f64,
    p: String,
    p_corrected: String,
    p_value: f64,
    n: String,
}

/// Scores of all systems.
pub(super) fn views(scores: &[Option<Score>]) -> Vec<Option<ScoreView>> {
    scores
        .iter()
        .map(|score| score.as_ref().map(ScoreView::from))
        .collect()
}

impl From<&Score> for ScoreView {
    fn from(score: &Score) -> Self {
        let value = score.spread.mean;
        Self {
            mean: numbers::mean(score),
            interval: score.interval_95.map(numbers::interval),
            value,
            pixels: (value.clamp(0.0, 100.0) * GAUGE / 100.0 * 10.0).round() / 10.0,
        }
    }
}

impl From<&Difference> for DifferenceView {
    fn from(difference: &Difference) -> Self {
        let outcome = Outcome::of(difference);
        Self {
            mark: outcome.mark(),
            word: outcome.word(),
            points: numbers::signed(difference.points),
            interval: numbers::signed_interval(difference.interval_95),
            value: difference.points,
            p: numbers::p_value(difference.p),
            p_corrected: numbers::p_value(difference.p_corrected),
            p_value: difference.p_corrected,
            n: numbers::count(difference.n as u64),
        }
    }
}
