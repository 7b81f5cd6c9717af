//! The parts that kernels of GPUs are made of, in CubeCL: compiled at run time for the device at
//! hand.
//!
//! With kernel fusion an operation is recorded first and runs later. So each launch is an operation
//! of its own, a method of the trait `Kernels` of its folder, which declares the shape of its
//! output. All kernels compute in `f32`, whatever type they read and write.

use burn::backend::Cube;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// A tensor of the GPU backend, as operations see it: with kernel fusion it may not be computed yet.
/// Launches work on [`CubeTensor`].
pub(super) type GpuTensor = FloatTensor<Cube>;

/// All axes but the last as one, and the last.
pub(super) fn rows_and_width(shape: &Shape) -> [usize; 2] {
    let width = shape[shape.num_dims() - 1];
    [shape.num_elements() / width, width]
}

/// Threads of a cube. Every device supports as many; a sum over them takes eight steps.
pub(super) const UNITS: u32 = 256;

/// Most cubes along one axis that every device supports.
pub(super) const MOST_CUBES: usize = 65535;

/// At least `count` cubes. Kernels skip those that rounding adds.
pub(super) fn cubes(count: usize) -> CubeCount {
    let along_x = count.min(MOST_CUBES);
    CubeCount::new_2d(along_x as u32, count.div_ceil(along_x) as u32)
}

/// Cubes with a thread for each element.
pub(super) fn cubes_of_elements(count: usize) -> CubeCount {
    cubes(count.div_ceil(UNITS as usize))
}

/// An uninitialised tensor in row-major order.
pub(super) fn empty(like: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape, dtype)
}

/// An uninitialised tensor of the same shape and type.
pub(super) fn like(x: &CubeTensor) -> CubeTensor {
    empty(x, x.meta.shape().clone(), x.dtype)
}

pub(super) fn storage(x: &CubeTensor) -> ElemType {
    dtype_to_storage_type(x.dtype)
}

/// The combination of one number of each thread of a cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reduction {
    Sum,
    Max,
}

/// The sum or the largest over all threads of a cube. All threads have to call it, and all get the
/// result.
#[cube]
pub(super) fn over_cube(value: f32, #[comptime] reduction: Reduction) -> f32 {
    let mut parts = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    parts[unit] = value;
    sync_cube();
    let mut width = comptime!(UNITS as usize / 2).runtime();
    while width > 0 {
        if unit < width {
            let other = parts[unit + width];
            if comptime!(reduction == Reduction::Sum) {
                parts[unit] += other;
            } else if other > parts[unit] {
                parts[unit] = other;
            }
        }
        sync_cube();
        width /= 2;
    }
    let of_all = parts[0];
    // The next reduction must not overwrite parts that others still read.
    sync_cube();
    of_all
}
