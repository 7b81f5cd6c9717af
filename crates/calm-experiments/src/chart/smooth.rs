//! Fewer and calmer points of curves that have one for every step.

/// The moving mean is over this share of a run's steps.
pub const WINDOW_SHARE: f64 = 0.04;

/// Points (x, y).
type Points = Vec<(f64, f64)>;

/// Steps before one, and as many after it, whose losses are in its mean.
pub fn half_window(steps: usize) -> usize {
    (WINDOW_SHARE * steps as f64 / 2.0) as usize
}

/// Every loss as the mean of as many before it as after it, so that the mean does not lag. At the
/// beginning, where losses fall fast, these are at most half of the steps before; at the end,
/// where they hardly do, those after it are what is left.
pub fn moving_mean(points: &[(f64, f64)]) -> Points {
    let mut sums = vec![0.0];
    sums.extend(points.iter().scan(0.0, |sum, (_, loss)| {
        *sum += loss;
        Some(*sum)
    }));
    let half = half_window(points.len());
    let means = points.iter().enumerate().map(|(place, (step, _))| {
        let half = half.min(place / 2);
        let (first, end) = (place - half, (place + half + 1).min(points.len()));
        (*step, (sums[end] - sums[first]) / (end - first) as f64)
    });
    means.collect()
}

/// At most so many points that look the same: the least and the most of as many in a row as it takes.
pub fn thin(points: &[(f64, f64)], most: usize) -> Points {
    let together = points.len().div_ceil((most / 2).max(1));
    if together <= 2 {
        return points.to_vec();
    }
    let by_loss = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
    let pairs = points.chunks(together).flat_map(|chunk| {
        let least = chunk.iter().min_by(by_loss).copied();
        let most = chunk.iter().max_by(by_loss).copied();
        let mut pair: Points = least.into_iter().chain(most).collect();
        pair.sort_by(|one, other| one.0.total_cmp(&other.0));
        pair
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(loss: impl Fn(usize) -> f64) -> Points {
        (0..1000).map(|step| (step as f64, loss(step))).collect()
    }

    #[test]
    fn a_mean_is_smooth_and_does_not_lag() {
        let means = moving_mean(&points(|step| if step % 2 == 0 { 1.0 } else { 3.0 }));
        assert_eq!(means[0], (0.0, 1.0));
        assert!(
            means[50..]
                .iter()
                .all(|(_, mean)| (mean - 2.0).abs() < 0.06)
        );
        // A straight line is its own mean, but for the last steps.
        let line = points(|step| step as f64);
        assert_eq!(moving_mean(&line)[..980], line[..980]);
        let last = moving_mean(&line)[999].1;
        assert_eq!(last, 989.0, "of the last 21");
        // A short run is not smoothed away.
        assert_eq!(moving_mean(&line[..20]), line[..20]);
    }

    const MOST: usize = 1000;

    #[test]
    fn peaks_survive_thinning() {
        let mut points: Points = (0..50_000).map(|step| (f64::from(step), 1.0)).collect();
        points[31_415].1 = 9.0;
        let thinned = thin(&points, MOST);
        assert!(thinned.len() <= MOST, "{}", thinned.len());
        assert!(thinned.contains(&(31_415.0, 9.0)));
        assert!(thinned.is_sorted_by(|one, other| one.0 <= other.0));
        assert_eq!(thin(&points[..100], MOST), points[..100]);
    }
}
