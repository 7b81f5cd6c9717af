//! Stored numbers into the type that is computed in, and rows into columns.
//!
//! PyTorch stores the matrix of a projection as `[d_output, d_input]`, Burn multiplies by
//! `[d_input, d_output]`.

use burn::tensor::{DType, Device, Element, FloatDType, Tensor, TensorData};
use calm_backend::FloatType;
use half::{bf16, f16};

/// Side of the squares in which matrices are transposed: two of them fit the first-level cache.
const TILE: usize = 32;

/// The type that a tensor's numbers are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored(pub(crate) FloatType);

/// A matrix or vector as stored, on its way to a device.
pub(crate) struct StoredTensor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) stored: Stored,
    /// Rows and columns; a vector is one row.
    pub(crate) shape: [usize; 2],
}

impl Stored {
    /// From the name in a header, if weights can be stored so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self(FloatType::F32)),
            "F16" => Some(Self(FloatType::F16)),
            "BF16" => Some(Self(FloatType::BF16)),
            _ => None,
        }
    }
}

impl StoredTensor<'_> {
    /// On a device, or none if a number is not finite in `dtype`.
    pub(crate) fn load<const D: usize>(
        &self,
        shape: [usize; D],
        transposed: bool,
        dtype: FloatType,
        device: &Device,
    ) -> Option<Tensor<D>> {
        let data = match dtype {
            FloatType::F32 => TensorData::new(self.convert::<f32>(transposed)?, shape),
            FloatType::F16 => TensorData::new(self.convert::<f16>(transposed)?, shape),
            FloatType::BF16 => TensorData::new(self.convert::<bf16>(transposed)?, shape),
        };
        let dtype = DType::from(FloatDType::from(dtype));
        Some(Tensor::from_data(data, (device, dtype)))
    }

    /// Every number as `f32`, whether finite or not.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        match self.stored.0 {
            FloatType::F32 => numbers::<f32>(self.bytes).collect(),
            FloatType::F16 => numbers::<f16>(self.bytes).map(f16::to_f32).collect(),
            FloatType::BF16 => numbers::<bf16>(self.bytes).map(bf16::to_f32).collect(),
        }
    }

    fn convert<To: Number>(&self, transposed: bool) -> Option<Vec<To>> {
        match self.stored.0 {
            FloatType::F32 => convert::<f32, To>(self.bytes, self.shape, transposed),
            FloatType::F16 => convert::<f16, To>(self.bytes, self.shape, transposed),
            FloatType::BF16 => convert::<bf16, To>(self.bytes, self.shape, transposed),
        }
    }
}

/// A floating-point type that is stored or computed in.
pub(super) trait Number: Element {
    /// From little-endian bytes, as many as the type has.
    fn read(bytes: &[u8]) -> Self;
    fn from_f32(value: f32) -> Self;
    fn to_f32(self) -> f32;
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! impl_number {
    ($type:ty, $from_f32:expr, $to_f32:expr) => {
        impl Number for $type {
            fn read(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$type>()];
                array.copy_from_slice(bytes);
                <$type>::from_le_bytes(array)
            }

            fn from_f32(value: f32) -> Self {
                $from_f32(value)
            }

            fn to_f32(self) -> f32 {
                $to_f32(self)
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    };
}

impl_number!(f32, std::convert::identity, std::convert::identity);
impl_number!(f16, f16::from_f32, f16::to_f32);
impl_number!(bf16, bf16::from_f32, bf16::to_f32);

fn numbers<N: Number>(bytes: &[u8]) -> impl Iterator<Item = N> {
    bytes.chunks_exact(size_of::<N>()).map(N::read)
}

/// The numbers in another type, or none if one is not finite in it.
fn convert<From: Number, To: Number>(
    bytes: &[u8],
    [rows, columns]: [usize; 2],
    transposed: bool,
) -> Option<Vec<To>> {
    let mut is_finite = true;
    let mut convert = |number: From| {
        let number = To::from_f32(number.to_f32());
        is_finite &= number.to_f32().is_finite();
        number
    };
    let converted = if transposed {
        let width = size_of::<From>();
        let at = |row: usize, column: usize| {
            let start = (row * columns + column) * width;
            From::read(&bytes[start..start + width])
        };
        let mut converted = vec![To::from_f32(0.0); rows * columns];
        for_each_tile(rows, columns, |row, column| {
            converted[column * rows + row] = convert(at(row, column));
        });
        converted
    } else {
        numbers(bytes).map(convert).collect()
    };
    is_finite.then_some(converted)
}

fn for_each_tile(rows: usize, columns: usize, mut visit: impl FnMut(usize, usize)) {
    for first_row in (0..rows).step_by(TILE) {
        for first_column in (0..columns).step_by(TILE) {
            for column in first_column..columns.min(first_column + TILE) {
                for row in first_row..rows.min(first_row + TILE) {
                    visit(row, column);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored<N: Number>(values: &[f32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        values
            .iter()
            .for_each(|value| N::from_f32(*value).write(&mut bytes));
        bytes
    }

    #[test]
    fn transposes_matrices_larger_than_a_tile() {
        let (rows, columns) = (TILE + 3, 2 * TILE + 5);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let transposed: Vec<f32> =
            convert::<f32, f32>(&stored::<f32>(&values), [rows, columns], true).unwrap();
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(
                    transposed[column * rows + row],
                    values[row * columns + column]
                );
            }
        }
    }

    #[test]
    fn every_type_becomes_every_type() {
        let values = [1.5, -0.25, 0.0];
        let all = [
            (FloatType::F32, stored::<f32>(&values)),
            (FloatType::F16, stored::<f16>(&values)),
            (FloatType::BF16, stored::<bf16>(&values)),
        ];
        for (float, bytes) in &all {
            let tensor = StoredTensor {
                bytes,
                stored: Stored(*float),
                shape: [1, 3],
            };
            assert_eq!(tensor.convert::<f32>(false).unwrap(), values);
            assert_eq!(
                tensor.convert::<f16>(false).unwrap(),
                values.map(f16::from_f32)
            );
            assert_eq!(
                tensor.convert::<bf16>(false).unwrap(),
                values.map(bf16::from_f32)
            );
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_found() {
        for value in [f32::NAN, f32::INFINITY] {
            assert!(convert::<f32, f32>(&stored::<f32>(&[0.0, value]), [1, 2], false).is_none());
        }
        // Beyond the range of half precision, within that of the others.
        let large = stored::<f32>(&[1e6]);
        assert!(convert::<f32, f16>(&large, [1, 1], false).is_none());
        assert!(convert::<f32, bf16>(&large, [1, 1], false).is_some());
    }
}
