//! Conversion of stored numbers into the compute type, and of rows into columns.
//!
//! PyTorch stores the matrix of a projection as `[d_output, d_input]`, Burn multiplies by
//! `[d_input, d_output]`.

use std::ops::{Deref, Range};

use burn::tensor::{DType, Device, Element, FloatDType, Tensor, TensorData};
use calm_backend::{FloatType, MappedFile, takes_mapped};
use half::{bf16, f16};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::blocks::BlockType;
use super::source::{PIECE_BYTES, TensorFile};
use crate::ModelError;
use crate::ranges::Ranges;

/// Side of the squares in which matrices are transposed: two of them fit the first-level cache.
const TILE: usize = 32;

/// Tensors of the processor from this size on keep the order in which they are stored, which its
/// products take, and stay in their file where they need no other type. A map takes whole pages, and
/// small products are faster in Burn's order.
const LARGE_BYTES: usize = 1 << 20;

/// Type that numbers are stored in. The type that they are computed in is [`FloatType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageType {
    F32,
    F16,
    Bf16,
    /// Computed in at most `f32`.
    F64,
    /// Expanded to `f32` while they are read.
    Blocks(BlockType),
}

/// Part of a stored matrix; a vector is one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatrixSlice {
    pub(crate) rows: Ranges,
    pub(crate) columns: Range<usize>,
    /// Columns of the whole matrix.
    pub(crate) width: usize,
}

impl MatrixSlice {
    /// A whole vector.
    pub(crate) fn column(length: usize) -> Self {
        Self {
            rows: (0..length).into(),
            columns: 0..1,
            width: 1,
        }
    }

    /// Numbers of the part.
    fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// Part of a matrix or vector as stored, on its way to a device.
pub(crate) struct StoredTensor<'a> {
    pub(crate) tensor: TensorFile<'a>,
    pub(crate) stored: StorageType,
    pub(crate) part: MatrixSlice,
}

/// A tensor on a device, and whether all its numbers are finite there.
pub(crate) struct Loaded<const D: usize> {
    pub(crate) tensor: Tensor<D>,
    pub(crate) is_finite: bool,
}

impl StorageType {
    /// From the name in a header, if weights can be stored so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::Bf16),
            "F64" => Some(Self::F64),
            name => BlockType::from_name(name).map(Self::Blocks),
        }
    }

    /// Every number as `f32`.
    pub(crate) fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => numbers::<f32>(bytes).collect(),
            Self::F16 => numbers::<f16>(bytes).map(f16::to_f32).collect(),
            Self::Bf16 => numbers::<bf16>(bytes).map(bf16::to_f32).collect(),
            Self::F64 => numbers::<f64>(bytes).map(Number::to_f32).collect(),
            Self::Blocks(kind) => kind.expand(bytes),
        }
    }
}

impl From<StorageType> for FloatType {
    fn from(stored: StorageType) -> Self {
        match stored {
            StorageType::F32 | StorageType::Blocks(_) => Self::F32,
            StorageType::F16 => Self::F16,
            StorageType::Bf16 => Self::BF16,
            StorageType::F64 => Self::F32,
        }
    }
}

impl From<FloatType> for StorageType {
    fn from(dtype: FloatType) -> Self {
        match dtype {
            FloatType::F32 => Self::F32,
            FloatType::F16 => Self::F16,
            FloatType::BF16 => Self::Bf16,
        }
    }
}

impl StoredTensor<'_> {
    /// On a device.
    pub(crate) fn load<const D: usize>(
        &self,
        shape: [usize; D],
        transposed: bool,
        dtype: FloatType,
        device: &Device,
    ) -> Result<Loaded<D>, ModelError> {
        let is_large = self.part.len() * dtype.bytes() >= LARGE_BYTES && takes_mapped(device);
        if !is_large {
            return self.copy(shape, transposed, dtype, device);
        }
        let mut stored = shape;
        if transposed {
            stored.swap(0, 1);
        }
        let Loaded { tensor, is_finite } = match self.map(stored, dtype, device)? {
            Some(mapped) => mapped,
            None => self.copy(stored, false, dtype, device)?,
        };
        let tensor = match transposed {
            true => tensor.swap_dims(0, 1),
            false => tensor,
        };
        Ok(Loaded { tensor, is_finite })
    }

    /// A tensor over the mapped file, so that nothing is copied; none if the bytes cannot be used so.
    fn map<const D: usize>(
        &self,
        shape: [usize; D],
        dtype: FloatType,
        device: &Device,
    ) -> Result<Option<Loaded<D>>, ModelError> {
        let MatrixSlice {
            rows,
            columns,
            width,
        } = &self.part;
        let Some(rows) = rows.as_one() else {
            return Ok(None);
        };
        if self.stored != dtype.into() || columns.len() != *width {
            return Ok(None);
        }
        let [start, end] = [rows.start, rows.end].map(|row| row * width * dtype.bytes());
        let map = self.tensor.map(start..end)?;
        let is_finite = match dtype {
            FloatType::F32 => are_finite::<f32>(&map),
            FloatType::F16 => are_finite::<f16>(&map),
            FloatType::BF16 => are_finite::<bf16>(&map),
        };
        let dtype = DType::from(FloatDType::from(dtype));
        let Some(data) = map.into_tensor_data(shape, dtype) else {
            return Ok(None);
        };
        let tensor = Tensor::from_data(data, (device, dtype));
        Ok(Some(Loaded { tensor, is_finite }))
    }

    fn copy<const D: usize>(
        &self,
        shape: [usize; D],
        transposed: bool,
        dtype: FloatType,
        device: &Device,
    ) -> Result<Loaded<D>, ModelError> {
        let (data, is_finite) = match dtype {
            FloatType::F32 => self.data::<f32, D>(shape, transposed)?,
            FloatType::F16 => self.data::<f16, D>(shape, transposed)?,
            FloatType::BF16 => self.data::<bf16, D>(shape, transposed)?,
        };
        let dtype = DType::from(FloatDType::from(dtype));
        let tensor = Tensor::from_data(data, (device, dtype));
        Ok(Loaded { tensor, is_finite })
    }

    fn data<To: Number, const D: usize>(
        &self,
        shape: [usize; D],
        transposed: bool,
    ) -> Result<(TensorData, bool), ModelError> {
        let (numbers, is_finite) = match self.stored {
            StorageType::F32 | StorageType::Blocks(_) => self.convert::<f32, To>(transposed)?,
            StorageType::F16 => self.convert::<f16, To>(transposed)?,
            StorageType::Bf16 => self.convert::<bf16, To>(transposed)?,
            StorageType::F64 => self.convert::<f64, To>(transposed)?,
        };
        Ok((TensorData::new(numbers, shape), is_finite))
    }

    fn convert<From: Number, To: Number>(
        &self,
        transposed: bool,
    ) -> Result<(Vec<To>, bool), ModelError> {
        let row_bytes = self.part.width * size_of::<From>();
        let mut conversion = Conversion::new(&self.part, transposed);
        let rows_per_piece = (PIECE_BYTES / row_bytes.max(1)).max(1);
        for piece in self.part.rows.pieces(rows_per_piece) {
            let bytes = self.rows(piece.span.clone())?;
            for rows in piece.ranges {
                let start = (rows.start - piece.span.start) * row_bytes;
                let end = (rows.end - piece.span.start) * row_bytes;
                conversion.add::<From>(&bytes[start..end], rows.len());
            }
        }
        Ok((conversion.numbers, conversion.is_finite))
    }

    /// Bytes of some rows, as [`StorageType::Blocks`] says.
    fn rows(&self, rows: Range<usize>) -> Result<Rows, ModelError> {
        let [start, end] = [rows.start, rows.end].map(|row| row * self.part.width);
        let size = match self.stored {
            StorageType::F32 => size_of::<f32>(),
            StorageType::F16 | StorageType::Bf16 => size_of::<f16>(),
            StorageType::F64 => size_of::<f64>(),
            StorageType::Blocks(kind) => {
                // Numbers of a vector may begin within a block.
                let blocks = start / kind.numbers()..end.div_ceil(kind.numbers());
                let bytes = blocks.start * kind.bytes()..blocks.end * kind.bytes();
                let mut expanded = kind.expand_to_bytes(&self.tensor.map(bytes)?);
                let before = start - blocks.start * kind.numbers();
                expanded.drain(..before * size_of::<f32>());
                return Ok(Rows::Expanded(expanded));
            }
        };
        Ok(Rows::Mapped(self.tensor.map(start * size..end * size)?))
    }
}

/// Bytes of some rows of a tensor.
enum Rows {
    Mapped(MappedFile),
    Expanded(Vec<u8>),
}

impl Deref for Rows {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Expanded(bytes) => bytes,
        }
    }
}

/// A floating-point type that is stored or computed in. Between any two, numbers are `f32`.
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
impl_number!(f64, f64::from, |value| value as f32);

fn numbers<N: Number>(bytes: &[u8]) -> impl Iterator<Item = N> {
    bytes.chunks_exact(size_of::<N>()).map(N::read)
}

fn are_finite<N: Number>(bytes: &[u8]) -> bool {
    let pieces = bytes.par_chunks(1 << 16);
    let finite = pieces.map(|piece| {
        numbers::<N>(piece).fold(true, |finite, number| finite & number.to_f32().is_finite())
    });
    finite.reduce(|| true, |a, b| a & b)
}

/// Rows on their way into another type, and perhaps into columns.
struct Conversion<'a, To> {
    part: &'a MatrixSlice,
    transposed: bool,
    numbers: Vec<To>,
    /// Rows that are done.
    rows: usize,
    is_finite: bool,
}

impl<'a, To: Number> Conversion<'a, To> {
    fn new(part: &'a MatrixSlice, transposed: bool) -> Self {
        Self {
            part,
            transposed,
            numbers: vec![To::from_f32(0.0); part.len()],
            rows: 0,
            is_finite: true,
        }
    }

    /// The next `rows` rows, of which `piece` is the whole width.
    fn add<From: Number>(&mut self, piece: &[u8], rows: usize) {
        let piece = Piece {
            bytes: piece,
            rows,
            part: self.part,
        };
        let (height, count) = (self.part.rows.len(), self.part.columns.len());
        let are_finite = if self.transposed {
            let done = self.rows;
            let bands = self.numbers.par_chunks_mut((height * TILE).max(1));
            let bands = bands.enumerate().map(|(band, numbers)| {
                let first = band * TILE;
                let columns = numbers
                    .chunks_mut(height.max(1))
                    .map(|column| &mut column[done..]);
                piece.columns::<From, To>(first, columns.collect())
            });
            bands.reduce(|| true, |a, b| a & b)
        } else {
            let numbers = &mut self.numbers[self.rows * count..(self.rows + rows) * count];
            let lines = numbers.par_chunks_mut(count.max(1)).enumerate();
            let lines = lines.map(|(row, numbers)| piece.row::<From, To>(row, numbers));
            lines.reduce(|| true, |a, b| a & b)
        };
        self.is_finite &= are_finite;
        self.rows += rows;
    }
}

/// Some rows of a matrix as stored.
struct Piece<'a> {
    bytes: &'a [u8],
    rows: usize,
    part: &'a MatrixSlice,
}

impl Piece<'_> {
    /// Converts a row. Returns whether all its numbers are finite.
    fn row<From: Number, To: Number>(&self, row: usize, numbers: &mut [To]) -> bool {
        let (mut is_finite, size) = (true, size_of::<From>());
        let start = (row * self.part.width + self.part.columns.start) * size;
        let stored = &self.bytes[start..start + numbers.len() * size];
        for (to, from) in numbers.iter_mut().zip(stored.chunks_exact(size)) {
            *to = convert(From::read(from), &mut is_finite);
        }
        is_finite
    }

    /// Converts columns from `first` on, each into numbers of its own, in squares.
    fn columns<From: Number, To: Number>(&self, first: usize, mut columns: Vec<&mut [To]>) -> bool {
        let (mut is_finite, size) = (true, size_of::<From>());
        let first = self.part.columns.start + first;
        for first_row in (0..self.rows).step_by(TILE) {
            let rows = first_row..self.rows.min(first_row + TILE);
            for (column, numbers) in columns.iter_mut().enumerate() {
                for (to, row) in numbers[rows.clone()].iter_mut().zip(rows.clone()) {
                    let start = (row * self.part.width + first + column) * size;
                    let from = From::read(&self.bytes[start..start + size]);
                    *to = convert(from, &mut is_finite);
                }
            }
        }
        is_finite
    }
}

fn convert<From: Number, To: Number>(number: From, is_finite: &mut bool) -> To {
    let number = To::from_f32(number.to_f32());
    *is_finite &= number.to_f32().is_finite();
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole matrix, in pieces of some rows.
    fn convert<From: Number, To: Number>(
        bytes: &[u8],
        [rows, width]: [usize; 2],
        transposed: bool,
        rows_per_piece: usize,
    ) -> (Vec<To>, bool) {
        let part = MatrixSlice {
            rows: (0..rows).into(),
            columns: 0..width,
            width,
        };
        let mut conversion = Conversion::new(&part, transposed);
        for piece in bytes.chunks(rows_per_piece * width * size_of::<From>()) {
            conversion.add::<From>(piece, piece.len() / (width * size_of::<From>()));
        }
        (conversion.numbers, conversion.is_finite)
    }

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
        let (transposed, _) =
            convert::<f32, f32>(&stored::<f32>(&values), [rows, columns], true, 7);
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
            assert_eq!(converted::<f32>(*float, bytes), values);
            assert_eq!(converted::<f16>(*float, bytes), values.map(f16::from_f32));
            assert_eq!(converted::<bf16>(*float, bytes), values.map(bf16::from_f32));
        }
    }

    #[test]
    fn double_precision_becomes_the_nearest_number() {
        let values = [0.1f64, -2.0, 1e-30, 1.0 + f64::EPSILON];
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let (single, is_finite) = convert::<f64, f32>(&bytes, [2, 2], false, 1);
        assert!(is_finite);
        assert_eq!(single, [0.1f32, -2.0, 1e-30, 1.0]);
        assert_eq!(StorageType::F64.to_f32(&bytes), single);
        let too_large = 1e300f64.to_le_bytes();
        assert!(!convert::<f64, f32>(&too_large, [1, 1], false, 1).1);
    }

    fn converted<To: Number>(float: FloatType, bytes: &[u8]) -> Vec<To> {
        match float {
            FloatType::F32 => convert::<f32, To>(bytes, [1, 3], false, 1).0,
            FloatType::F16 => convert::<f16, To>(bytes, [1, 3], false, 1).0,
            FloatType::BF16 => convert::<bf16, To>(bytes, [1, 3], false, 1).0,
        }
    }

    #[test]
    fn some_columns_of_a_matrix() {
        let bytes = stored::<f32>(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let part = MatrixSlice {
            rows: (0..2).into(),
            columns: 1..3,
            width: 3,
        };
        for (transposed, expected) in [(false, [1.0, 2.0, 4.0, 5.0]), (true, [1.0, 4.0, 2.0, 5.0])]
        {
            let mut conversion = Conversion::<f32>::new(&part, transposed);
            conversion.add::<f32>(&bytes[..12], 1);
            conversion.add::<f32>(&bytes[12..], 1);
            assert_eq!(conversion.numbers, expected);
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_found() {
        for value in [f32::NAN, f32::INFINITY] {
            let (_, is_finite) =
                convert::<f32, f32>(&stored::<f32>(&[0.0, value]), [1, 2], false, 1);
            assert!(!is_finite);
        }
        // Beyond the range of half precision, within that of the others.
        let large = stored::<f32>(&[1e6]);
        assert!(!convert::<f32, f16>(&large, [1, 1], false, 1).1);
        assert!(convert::<f32, bf16>(&large, [1, 1], false, 1).1);
    }
}
