//! Kernels cut into tasks, over several threads where that pays.
//!
//! A loop is compiled once for each instruction set. Work is cut at places that depend on its size
//! alone: results are the same bit for bit on any number of threads.

use std::iter::{repeat_n, zip};

use macerator::{AutoArch, WithSimd};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::awake;

/// Elements of one task, roughly: its input and output stay in the second-level cache.
pub(crate) const TASK_ELEMENTS: usize = 1 << 13;

/// Fewest elements that are worth waking other threads for.
const PARALLEL_ELEMENTS: usize = 1 << 16;

/// Calls `kernel` for every task, with the widest vector instructions of this processor.
///
/// Mark the closure `#[inline(always)]`: only what is inlined gets those instructions. For the same
/// reason kernels have `for` loops rather than `for_each`.
pub(crate) fn run<T: Send>(
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

/// Compiles a loop for each instruction set, and runs the widest that this processor has.
pub(crate) fn dispatch<F: WithSimd>(f: F) -> F::Output {
    #[cfg(test)]
    if let Some(arch) = tests::ARCH.get() {
        #[expect(unsafe_code, reason = "tests name instruction sets")]
        // SAFETY: Tests only name sets that the processor has (`instruction_sets`).
        return unsafe { arch.dispatch(f) };
    }
    AutoArch::new().dispatch(f)
}

/// Calls `kernel` for every task, on all threads if there are enough elements.
pub(crate) fn each<T: Send>(
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

/// `count` numbers, `task` of them from each input. `kernel` gets them as zeros: each task clears
/// its own part, in its cache, rather than one thread all of the memory beforehand.
///
/// # Panics
///
/// If there is not an input for each task.
pub(crate) fn fill<T: Send>(
    count: usize,
    task: usize,
    mut inputs: impl ExactSizeIterator<Item = T>,
    kernel: impl Fn(&mut [f32], T) + Send + Sync,
) -> Vec<f32> {
    let task = task.max(1);
    assert_eq!(inputs.len(), count.div_ceil(task), "an input for each task");
    let mut output = Vec::with_capacity(count);
    let places = output.spare_capacity_mut()[..count].chunks_mut(task);
    // No place is left out, even if the iterator reports a wrong length.
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
            // SAFETY: The loop above has written every element.
            let place = unsafe { place.assume_init_mut() };
            kernel(place, input);
        },
    );
    #[expect(unsafe_code, reason = "what is overwritten need not be cleared")]
    // SAFETY: The places cover the first `count` elements, which lie within the capacity. Each had
    // an input, so a task has written it.
    unsafe {
        output.set_len(count);
    }
    output
}

/// Zeros, cleared by all threads: for outputs that are added to or written out of order.
pub(crate) fn zeros(count: usize) -> Vec<f32> {
    let tasks = count.div_ceil(TASK_ELEMENTS);
    fill(count, TASK_ELEMENTS, repeat_n((), tasks), |_, ()| ())
}

/// Elements of a task of whole rows.
pub(crate) fn task_of_rows(width: usize) -> usize {
    (TASK_ELEMENTS / width.max(1)).max(1) * width.max(1)
}

/// Sums `add` over the rows of both matrices: within each task, then over the tasks.
pub(crate) fn sum_of_rows(
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

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use macerator::Arch;

    use super::*;

    thread_local! {
        /// The instruction set of kernels on this thread, if not the widest.
        pub(crate) static ARCH: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// Every instruction set that this processor has, the narrowest first.
    pub(crate) fn instruction_sets() -> Vec<Arch> {
        let widest = Arch::detect();
        #[cfg(target_arch = "x86_64")]
        // Each set contains all that stand before it.
        return [Arch::Scalar, Arch::V2, Arch::V3, widest]
            .into_iter()
            .filter(|arch| *arch as u8 <= widest as u8)
            .collect();
        #[cfg(not(target_arch = "x86_64"))]
        vec![Arch::Scalar, widest]
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
}
