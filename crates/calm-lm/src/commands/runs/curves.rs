//! Losses as pictures.

use calm_lm::chart::{Axis, Chart, Curve, Style};

use super::run::Run;

/// The running mean forgets over this share of a run, and at its beginning, where losses fall fast,
/// over this share of the steps so far.
const MEMORY_SHARE: f64 = 0.02;
const EARLY_MEMORY_SHARE: f64 = 0.2;
/// More points than this are not told apart, and only make the file large.
const POINTS: usize = 1000;
/// Losses that differ by more are drawn over a logarithmic axis.
const WIDE: f64 = 4.0;

/// The losses of these runs over their steps.
pub(super) fn losses(runs: &[Run]) -> Chart {
    let mut curves = Vec::new();
    for (color, run) in runs.iter().enumerate() {
        let raw: Vec<(f64, f64)> = run
            .log
            .steps
            .iter()
            .map(|step| (step.step as f64, f64::from(step.loss)))
            .filter(|(_, loss)| loss.is_finite())
            .collect();
        let smooth = running_mean(&raw);
        let validations = run.log.validations.iter();
        let validations = validations.map(|one| (one.step as f64, one.loss));
        let validations: Vec<(f64, f64)> =
            validations.filter(|(_, loss)| loss.is_finite()).collect();
        let mut add = |name: String, style, points: Vec<(f64, f64)>| {
            if !points.is_empty() {
                let points = thin(&points);
                curves.push(Curve {
                    name,
                    color,
                    style,
                    points,
                });
            }
        };
        add(String::new(), Style::Faint, raw);
        add(run.name.clone(), Style::Line, smooth);
        add(
            format!("{}, validation", run.name),
            Style::Marks,
            validations,
        );
    }
    let losses = || {
        curves
            .iter()
            .flat_map(|curve| &curve.points)
            .map(|point| point.1)
    };
    let (least, most) = losses().fold((f64::MAX, 0.0_f64), |(least, most), loss| {
        (least.min(loss), most.max(loss))
    });
    let is_wide = least > 0.0 && most > WIDE * least;
    Chart {
        x: Axis::new("step", false),
        y: Axis::new("loss in nats per token", is_wide),
        curves,
    }
}

/// Every loss as the mean of those up to it, older ones counting less.
fn running_mean(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let whole = MEMORY_SHARE * points.len() as f64;
    let (mut sum, mut weight) = (0.0, 0.0);
    let means = points.iter().enumerate().map(|(before, (step, loss))| {
        let memory = whole.min(EARLY_MEMORY_SHARE * before as f64).max(1.0);
        let keep = 1.0 - 1.0 / memory;
        sum = keep * sum + loss;
        weight = keep * weight + 1.0;
        (*step, sum / weight)
    });
    means.collect()
}

/// Fewer points that look the same: the least and the most of as many in a row as one pixel shows.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS / 2);
    if together <= 2 {
        return points.to_vec();
    }
    let by_loss = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
    let pairs = points.chunks(together).flat_map(|chunk| {
        let least = chunk.iter().min_by(by_loss).copied();
        let most = chunk.iter().max_by(by_loss).copied();
        let mut pair: Vec<(f64, f64)> = least.into_iter().chain(most).collect();
        pair.sort_by(|one, other| one.0.total_cmp(&other.0));
        pair
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_lies_between_the_losses_and_follows_them() {
        let points: Vec<(f64, f64)> = (0..1000)
            .map(|step| (f64::from(step), if step % 2 == 0 { 1.0 } else { 3.0 }))
            .collect();
        let means = running_mean(&points);
        assert_eq!(means[0], (0.0, 1.0));
        assert!((means[999].1 - 2.0).abs() < 0.06, "{:?}", means[999]);
        // A short run is not smoothed away.
        assert_eq!(running_mean(&points[..20]), points[..20]);
    }

    #[test]
    fn peaks_survive_thinning() {
        let mut points: Vec<(f64, f64)> = (0..50_000).map(|step| (f64::from(step), 1.0)).collect();
        points[31_415].1 = 9.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= POINTS, "{}", thinned.len());
        assert!(thinned.contains(&(31_415.0, 9.0)));
        assert!(thinned.is_sorted_by(|one, other| one.0 <= other.0));
        assert_eq!(thin(&points[..100]), points[..100]);
    }
}
