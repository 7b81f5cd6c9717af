//! What the fused kernels are made of: loops for the vector unit, over several threads where that
//! pays.
//!
//! Loops are plain and free of branches, so that the compiler vectorises them, and are compiled
//! once for each instruction set. Sums keep to a fixed order, and the work is cut at fixed places:
//! results are the same bit for bit on any number of threads.

use std::iter::{repeat_n, zip};

use burn::tensor::TensorData;
use macerator::{AutoArch, WithSimd};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::awake;
use super::processor::FlexTensor;

/// About how many elements one task takes: input and output stay in the second-level cache.
pub(super) const TASK_ELEMENTS: usize = 1 << 13;

/// Below this many elements the work is done before other threads have woken up.
const PARALLEL_ELEMENTS: usize = 1 << 16;

/// Calls `kernel` for every task, with the widest vector instructions of this processor.
///
/// Mark the closure `#[inline(always)]`: only what is inlined gets those instructions. For the same
/// reason kernels have `for` loops rather than `for_each`.
pub(super) fn run<T: Send>(
    elements: usize,
    tasks: impl Iterator<Item = T>,
    kernel: impl Fn(T) + Send + Sync,
) {
    each(elements, tasks, |task| {
        dispatch(
            #[inline(always)]
            || kernel(task),
        );
    });
}

/// Has a loop compiled for each instruction set, and takes the widest that this processor has.
pub(super) fn dispatch<F: WithSimd>(f: F) -> F::Output {
    #[cfg(test)]
    if let Some(arch) = tests::ARCH.get() {
        #[expect(unsafe_code, reason = "tests name instruction sets")]
        // SAFETY: They ask first whether the processor has it.
        return unsafe { arch.dispatch(f) };
    }
    AutoArch::new().dispatch(f)
}

/// Calls `kernel` for every task, on all threads where there are enough elements.
pub(super) fn each<T: Send>(
    elements: usize,
    tasks: impl Iterator<Item = T>,
    kernel: impl Fn(T) + Send + Sync,
) {
    if elements < PARALLEL_ELEMENTS || rayon::current_num_threads() == 1 {
        tasks.for_each(kernel);
    } else {
        let tasks: Vec<T> = tasks.collect();
        awake::keep_awake();
        tasks.into_par_iter().for_each(kernel);
    }
}

/// `count` numbers, `task` of them from each input: `kernel` is handed them as zeros, in the cache,
/// where the system would clear all of them beforehand, in memory and on one thread.
///
/// # Panics
///
/// If there is not an input for each task.
pub(super) fn fill<T: Send>(
    count: usize,
    task: usize,
    mut inputs: impl ExactSizeIterator<Item = T>,
    kernel: impl Fn(&mut [f32], T) + Send + Sync,
) -> Vec<f32> {
    let task = task.max(1);
    assert_eq!(inputs.len(), count.div_ceil(task), "an input for each task");
    let mut output = Vec::with_capacity(count);
    let places = output.spare_capacity_mut()[..count].chunks_mut(task);
    // No place is left out, whatever the iterator says of its length.
    let tasks = places.map(|place| (place, inputs.next().expect("an input for each task")));
    run(
        count,
        tasks,
        #[inline(always)]
        |(place, input)| {
            for number in &mut *place {
                number.write(0.0);
            }
            #[expect(unsafe_code, reason = "zeros are written where nothing was")]
            // SAFETY: All of them have just been written.
            let place = unsafe { place.assume_init_mut() };
            kernel(place, input);
        },
    );
    #[expect(unsafe_code, reason = "what is overwritten need not be cleared")]
    // SAFETY: The places are all of the first `count`, which there is room for. Each had an input,
    // and so was written.
    unsafe {
        output.set_len(count);
    }
    output
}

/// Cleared by all threads, for what is added to or written out of order.
pub(super) fn zeros(count: usize) -> Vec<f32> {
    let tasks = count.div_ceil(TASK_ELEMENTS);
    fill(count, TASK_ELEMENTS, repeat_n((), tasks), |_, ()| ())
}

/// Elements of a task that consists of whole rows.
pub(super) fn task_of_rows(width: usize) -> usize {
    (TASK_ELEMENTS / width.max(1)).max(1) * width.max(1)
}

/// Adds up what `add` adds of each row of both matrices: task by task, and then over the tasks.
pub(super) fn sum_of_rows(
    matrices: [&[f32]; 2],
    width: usize,
    add: impl Fn(&mut [f32], [&[f32]; 2]) + Send + Sync,
) -> Vec<f32> {
    let task = task_of_rows(width);
    let [a, b] = matrices;
    let mut partial = vec![0.0; a.len().div_ceil(task) * width];
    let tasks = zip(
        partial.chunks_mut(width),
        zip(a.chunks(task), b.chunks(task)),
    );
    run(
        a.len(),
        tasks,
        #[inline(always)]
        |(partial, (a, b))| {
            for (a, b) in zip(a.chunks(width), b.chunks(width)) {
                add(partial, [a, b]);
            }
        },
    );
    let mut total = vec![0.0; width];
    for partial in partial.chunks(width) {
        zip(&mut total, partial).for_each(|(total, partial)| *total += partial);
    }
    total
}

/// The tensor with its elements in row-major order and nothing around them; a copy only if it was
/// anything else.
pub(super) fn contiguous(x: FlexTensor) -> FlexTensor {
    let contiguous = x.to_contiguous();
    // Or the buffer would count as shared and be copied on the first write.
    drop(x);
    contiguous
}

/// A tensor in the shape of `like`.
pub(super) fn with_shape_of(like: &FlexTensor, values: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, like.layout().shape().clone()))
}

/// eˣ, to 2 units in the last place; 0 where that is below the smallest normal number.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // eˣ = 2ⁿ eʳ with |r| ≤ ln 2 / 2. Adding 1.5 · 2²³ rounds to the integer n, and leaves it in
    // the low bits of the sum. The high part of ln 2 has so few bits that its product is exact.
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

/// tanh x, to 3 units in the last place.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    // The quotient loses digits near zero; there the series does not.
    let square = x * x;
    let mut series = 62.0 / 2835.0;
    for c in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = series * square + c;
    }
    let e = exp(-2.0 * x.abs());
    let quotient = ((1.0 - e) / (1.0 + e)).copysign(x);
    if x.abs() < 0.25 { x * series } else { quotient }
}

/// Partial results side by side, so that a reduction vectorises.
pub(super) const LANES: usize = 16;

/// `Σ term(aᵢ, bᵢ)`.
#[inline(always)]
pub(super) fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
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

/// The largest, or -∞ if there is none; NaN is passed over.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
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
pub(super) mod tests {
    use std::cell::Cell;

    use macerator::Arch;

    use super::*;

    thread_local! {
        /// The instruction set of kernels on this thread, if not the widest.
        pub(in super::super) static ARCH: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// Every instruction set that this processor has, the narrowest first.
    pub(in super::super) fn instruction_sets() -> Vec<Arch> {
        let widest = Arch::detect();
        #[cfg(target_arch = "x86_64")]
        // Each has all that are below it.
        return [Arch::Scalar, Arch::V2, Arch::V3, widest]
            .into_iter()
            .filter(|arch| *arch as u8 <= widest as u8)
            .collect();
        #[cfg(not(target_arch = "x86_64"))]
        vec![Arch::Scalar, widest]
    }

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
    fn every_task_is_handed_zeros_of_its_own() {
        for (count, task) in [(0usize, 3), (1, 3), (7, 3), (300_001, TASK_ELEMENTS)] {
            let tasks = count.div_ceil(task);
            // Memory that was written before and given back.
            drop(vec![7f32; count]);
            let filled = fill(count, task, 0..tasks, |part, index| {
                assert!(part.iter().all(|number| *number == 0.0));
                part.fill(index as f32);
            });
            let expected: Vec<f32> = (0..count).map(|index| (index / task) as f32).collect();
            assert_eq!(filled, expected);
            assert_eq!(zeros(count), vec![0.0; count]);
        }
    }

    #[test]
    #[should_panic(expected = "an input for each task")]
    fn a_task_without_an_input_is_refused() {
        fill(7, 3, 0..2, |_, _| ());
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
