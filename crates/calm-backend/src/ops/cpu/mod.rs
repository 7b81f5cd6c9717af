//! The parts that kernels of the processor are made of.

mod awake;
mod columns;
mod math;
pub(super) mod matmul;
pub(super) mod tasks;
mod tensor;

pub(super) use columns::Columns;
pub(super) use math::{LANES, exp, max, sum, tanh};
pub(super) use tasks::{
    TASK_ELEMENTS, dispatch, each, fill, run, sum_of_rows, task_of_rows, zeros,
};
pub(super) use tensor::{FlexTensor, contiguous, with_shape_of};
