//! Rotary position encoding on the processor.

use std::iter::zip;

use burn::backend::Flex;

use crate::ops::cpu::{FlexTensor, contiguous, fill, task_of_rows, with_shape_of};
use crate::ops::operation::BackwardState;

/// Cosines and sines. A rotation is linear: its gradient does not depend on the input.
#[derive(Debug, Clone)]
struct Angles {
    cos: FlexTensor,
    sin: FlexTensor,
}

pub(crate) fn forward(
    x: FlexTensor,
    cos: FlexTensor,
    sin: FlexTensor,
    _: [bool; 1],
) -> (FlexTensor, impl BackwardState<Flex, 1>) {
    let angles = Angles {
        cos: contiguous(cos),
        sin: contiguous(sin),
    };
    (angles.turn(x, 1.0), angles)
}

impl BackwardState<Flex, 1> for Angles {
    fn backward(self, gradient: FlexTensor, [needs_x]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [needs_x.then(|| self.turn(gradient, -1.0))]
    }
}

impl Angles {
    /// Rotates forwards (`direction` 1) or back (-1). Heads that were split off by a swap of axes
    /// keep that order in memory: nothing is copied, here or when the axes are swapped back.
    fn turn(&self, x: FlexTensor, direction: f32) -> FlexTensor {
        let swapped = x.layout().transpose(1, 2);
        if x.is_contiguous() || !swapped.is_contiguous() {
            return self.turn_rows(&contiguous(x), Order::HeadsOutside, direction);
        }
        let turned = self.turn_rows(
            &contiguous(x.with_layout(swapped)),
            Order::HeadsInside,
            direction,
        );
        let layout = turned.layout().transpose(1, 2);
        turned.with_layout(layout)
    }

    fn turn_rows(&self, x: &FlexTensor, order: Order, direction: f32) -> FlexTensor {
        let [_, outer, inner, width] = x.layout().shape().dims();
        let [batches, _, positions, half] = self.cos.layout().shape().dims();
        assert_eq!(half * 2, width, "one angle for each pair");
        let (cos, sin): (&[f32], &[f32]) = (self.cos.storage(), self.sin.storage());
        let values: &[f32] = x.storage();
        let (part, task) = (inner * width, task_of_rows(inner * width));
        let output = fill(
            values.len(),
            task,
            values.chunks(task).enumerate(),
            #[inline(always)]
            |output, (index, x)| {
                let parts = zip(output.chunks_mut(part), x.chunks(part));
                for (offset, (output, x)) in parts.enumerate() {
                    let at = index * (task / part) + offset;
                    let start = (at / outer) % batches * positions * half;
                    let (cos, sin) = (&cos[start..], &sin[start..]);
                    let (first, step) = match order {
                        Order::HeadsOutside => (0, half),
                        Order::HeadsInside => (at % outer * half, 0),
                    };
                    let angles = (&cos[first..], &sin[first..], step);
                    // Heads are narrow: a loop of constant length has no remainder.
                    match half {
                        8 => turn_part(output, x, angles, 8, direction),
                        16 => turn_part(output, x, angles, 16, direction),
                        32 => turn_part(output, x, angles, 32, direction),
                        64 => turn_part(output, x, angles, 64, direction),
                        _ => turn_part(output, x, angles, half, direction),
                    }
                }
            },
        );
        with_shape_of(x, output)
    }
}

/// Order in memory of the rows of heads.
#[derive(Clone, Copy)]
enum Order {
    /// `[batch, heads, seq, d_head]`.
    HeadsOutside,
    /// `[batch, seq, heads, d_head]`.
    HeadsInside,
}

/// Rotates the rows of one head or of one position. The angles of a row begin `step` after those of
/// the row before.
#[inline(always)]
fn turn_part(
    output: &mut [f32],
    x: &[f32],
    (cos, sin, step): (&[f32], &[f32], usize),
    half: usize,
    direction: f32,
) {
    let rows = zip(output.chunks_exact_mut(2 * half), x.chunks_exact(2 * half));
    for (row, (output, x)) in rows.enumerate() {
        let (cos, sin) = (&cos[row * step..][..half], &sin[row * step..][..half]);
        let ((first, second), pair) = (x.split_at(half), output.split_at_mut(half));
        for i in 0..half {
            pair.0[i] = first[i] * cos[i] - direction * second[i] * sin[i];
            pair.1[i] = second[i] * cos[i] + direction * first[i] * sin[i];
        }
    }
}
