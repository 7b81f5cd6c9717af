//! Whole vectors from and to memory.

use macerator::{Simd, Vector, vload_unaligned, vstore_unaligned};

#[inline(always)]
pub(super) fn zero<S: Simd>() -> Vector<S, f32> {
    S::typed(S::splat_f32(0.0))
}

/// The numbers from `at` on, as many as a vector has.
#[inline(always)]
pub(super) fn load<S: Simd>(numbers: &[f32], at: usize) -> Vector<S, f32> {
    let numbers = &numbers[at..at + S::lanes32()];
    #[expect(unsafe_code, reason = "vectors are loaded through pointers")]
    // SAFETY: So many numbers are there.
    unsafe {
        vload_unaligned(numbers.as_ptr())
    }
}

/// Overwrites the numbers from `at` on.
#[inline(always)]
pub(super) fn store<S: Simd>(numbers: &mut [f32], at: usize, vector: Vector<S, f32>) {
    let numbers = &mut numbers[at..at + S::lanes32()];
    #[expect(unsafe_code, reason = "vectors are stored through pointers")]
    // SAFETY: So many numbers are there.
    unsafe {
        vstore_unaligned(numbers.as_mut_ptr(), vector);
    }
}
