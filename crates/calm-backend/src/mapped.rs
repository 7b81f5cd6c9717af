//! Files mapped into memory, and tensors in them.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};

use burn::tensor::{DType, Device, Shape, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use memmap2::{MmapMut, MmapOptions};

/// Part of a file mapped into memory: its pages are read when they are needed, and writes never
/// reach the file.
#[derive(Debug)]
pub struct MappedFile(MmapMut);

impl MappedFile {
    /// Maps the bytes of a file.
    ///
    /// Truncating the file afterwards ends this process, as with every reader of mapped files.
    /// Replacing it by a rename, as this project does, is safe.
    ///
    /// # Errors
    ///
    /// If the file cannot be mapped.
    pub fn new(file: &File, bytes: Range<usize>) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(bytes.start as u64).len(bytes.len());
        // Almost none of it is written to.
        options.no_reserve_swap();
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        // SAFETY: Any byte is valid, also as part of a number. Like every reader of mapped files
        // this relies on nobody else writing to the file.
        let map = unsafe { options.map_copy(file) };
        map.map(Self)
    }

    /// The numbers of a tensor, in place; `None` if their first byte is not aligned for `dtype`.
    ///
    /// # Panics
    ///
    /// If the map is not as long as a tensor of this shape.
    pub fn into_tensor_data(self, shape: impl Into<Shape>, dtype: DType) -> Option<TensorData> {
        let (shape, bytes, size) = (shape.into(), self.len(), dtype.size());
        assert_eq!(bytes, shape.num_elements() * size, "bytes of the tensor");
        if !self.as_ptr().addr().is_multiple_of(size) {
            return None;
        }
        let numbers = Box::new(MappedNumbers { map: self.0, size });
        #[expect(unsafe_code, reason = "Burn asks it of foreign memory")]
        // SAFETY: The map has `bytes` bytes, and the file initialises all of them.
        let bytes = unsafe { Bytes::from_controller(numbers, bytes) };
        Some(TensorData::from_bytes(bytes, shape, dtype))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether tensors of this device can lie in mapped files: those of the processor can.
pub fn takes_mapped(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    // Checkpoints are little-endian.
    return cfg!(target_endian = "little") && *device == Device::flex();
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// Mapped memory, managed by Burn.
struct MappedNumbers {
    map: MmapMut,
    /// Bytes of a number.
    size: usize,
}

impl AllocationController for MappedNumbers {
    fn alloc_align(&self) -> usize {
        self.size
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[expect(unsafe_code, reason = "the trait has it so")]
    unsafe fn memory_mut(
        &mut self,
        _policy: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let (start, length) = (self.map.as_mut_ptr(), self.map.len());
        // SAFETY: The same memory for the same borrow; the caller only writes initialised bytes.
        Ok(unsafe { std::slice::from_raw_parts_mut(start.cast(), length) })
    }

    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let (start, length) = (self.map.as_ptr(), self.map.len());
        #[expect(unsafe_code, reason = "there is no safe cast to `MaybeUninit`")]
        // SAFETY: The same memory for the same borrow; an initialised byte is a valid
        // `MaybeUninit`.
        Ok(unsafe { std::slice::from_raw_parts(start.cast(), length) })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::io::Write;

    use burn::tensor::Tensor;

    use super::*;

    fn file_of(numbers: &[f32]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for number in numbers {
            file.write_all(&number.to_le_bytes()).unwrap();
        }
        file
    }

    #[cfg(feature = "flex")]
    #[test]
    fn writing_to_a_tensor_leaves_its_file_alone() {
        let device = Device::flex();
        let file = file_of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let read = || {
            let map = MappedFile::new(&file, 0..24).unwrap();
            let data = map.into_tensor_data([2, 3], DType::F32).unwrap();
            Tensor::<2>::from_data(data, &device)
        };
        assert!(takes_mapped(&device));
        let written = read() * 2.0;
        let square = read().transpose().matmul(written);
        let square: Vec<f32> = square.into_data().try_to_vec().unwrap();
        assert_eq!(square[..3], [34.0, 44.0, 54.0]);
        let again: Vec<f32> = read().into_data().try_to_vec().unwrap();
        assert_eq!(again, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn misaligned_numbers_are_refused() {
        let file = file_of(&[1.0, 2.0]);
        let map = MappedFile::new(&file, 2..6).unwrap();
        assert!(map.into_tensor_data([1], DType::F32).is_none());
    }
}
