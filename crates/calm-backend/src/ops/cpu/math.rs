//! Elementary functions and reductions for the vector unit: free of branches, so that the compiler
//! vectorises the loops that call them. Sums keep to a fixed order.

use std::iter::zip;

/// eˣ, exact to 2 units in the last place; 0 where the result is below the smallest normal number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // eˣ = 2ⁿ eʳ with |r| ≤ ln 2 / 2. Adding 1.5 · 2²³ rounds to the integer n and leaves it in
    // the low bits of the sum. The high part of ln 2 has few enough bits for an exact product.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const LARGEST: f32 = 88.722_83;
    const SMALLEST: f32 = -87.336_54;

    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Coefficients of the Cephes library.
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    let y = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    // Infinity where it is too large; NaN stays NaN.
    let y = if x <= LARGEST { y } else { x + f32::INFINITY };
    if x < SMALLEST { 0.0 } else { y }
}

/// tanh x, exact to 3 units in the last place.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // The quotient loses digits near zero, where the series is exact.
    let square = x * x;
    let mut series = 62.0 / 2835.0;
    for c in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = series * square + c;
    }
    let e = exp(-2.0 * x.abs());
    let quotient = ((1.0 - e) / (1.0 + e)).copysign(x);
    if x.abs() < 0.25 { x * series } else { quotient }
}

/// Partial results that a reduction keeps side by side, so that it vectorises.
pub(crate) const LANES: usize = 16;

/// `Σ term(aᵢ, bᵢ)`.
#[inline(always)]
pub(crate) fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in zip(a_lanes, b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let mut total = fold(sums, |a, b| a + b);
    for (a, b) in zip(a_rest, b_rest) {
        total += term(*a, *b);
    }
    total
}

/// The largest value, or -∞ if there is none. NaN is skipped.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = values.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for values in lanes {
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], values[lane]);
        }
    }
    let mut largest = fold(largest, larger);
    for value in rest {
        largest = larger(largest, *value);
    }
    largest
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_units_in_the_last_place() {
        // Every 61st number between the bounds, of either sign.
        for bits in (0..88.72f32.to_bits()).step_by(61) {
            let x = f32::from_bits(bits);
            for x in [x, -x].into_iter().filter(|x| *x > -87.33) {
                let expected = f64::from(x).exp();
                let error = (f64::from(exp(x)) / expected - 1.0).abs();
                assert!(error < 2e-7, "exp({x}) = {}, off by {error:e}", exp(x));
            }
        }
    }

    #[test]
    fn tanh_is_exact_to_three_units_in_the_last_place() {
        for bits in (0..10f32.to_bits()).step_by(61) {
            let x = f32::from_bits(bits);
            for x in [x, -x] {
                let expected = f64::from(x).tanh();
                let error = (f64::from(tanh(x)) - expected).abs();
                let most = 3.5e-7 * expected.abs() + f64::from(f32::MIN_POSITIVE);
                assert!(error <= most, "tanh({x}) = {}, off by {error:e}", tanh(x));
            }
        }
        for x in [10.0, 1e30, f32::INFINITY] {
            assert_eq!([tanh(x), tanh(-x)], [1.0, -1.0]);
        }
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn exp_at_the_ends() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
        assert_eq!(exp(-87.4), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(88.73), f32::INFINITY);
        assert_eq!(exp(f32::MAX), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-f32::NAN).is_nan());
    }

    #[test]
    fn reductions_of_any_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..length).map(|i| (i % 7) as f32).collect();
            let expected: f32 = a.iter().map(|a| a * a).sum();
            assert_eq!(sum(&a, &a, |a, b| a * b), expected);
            let expected = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&a), expected);
        }
    }
}
