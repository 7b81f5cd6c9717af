//! Numbers stored in blocks, a few bits each, with the scales that they share.
//!
//! The formats are those of GGML. A block is expanded by the same operations in the same order as in
//! `gguf.quants.dequantize` of the `gguf` Python package, so that every number is the same to the bit.

use half::f16;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

/// Numbers of the larger kind of block, and of the smaller.
const LARGE: usize = 256;
const SMALL: usize = 32;

/// Formats of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl BlockType {
    pub(crate) const ALL: [Self; 10] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// GGML's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Numbers in a block.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => SMALL,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => LARGE,
        }
    }

    /// Bytes of a block.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + SMALL / 2,
            Self::Q4_1 => 4 + SMALL / 2,
            Self::Q5_0 => 6 + SMALL / 2,
            Self::Q5_1 => 8 + SMALL / 2,
            Self::Q8_0 => 2 + SMALL,
            Self::Q2K => LARGE / 16 + LARGE / 4 + 4,
            Self::Q3K => LARGE / 8 + LARGE / 4 + 12 + 2,
            Self::Q4K => 4 + 12 + LARGE / 2,
            Self::Q5K => 4 + 12 + LARGE / 8 + LARGE / 2,
            Self::Q6K => LARGE / 2 + LARGE / 4 + LARGE / 16 + 2,
        }
    }

    /// The numbers of whole blocks.
    pub(crate) fn expand(self, blocks: &[u8]) -> Vec<f32> {
        self.expand_as(blocks, std::convert::identity)
    }

    /// The same as little-endian bytes.
    pub(crate) fn expand_to_bytes(self, blocks: &[u8]) -> Vec<u8> {
        self.expand_as(blocks, f32::to_le_bytes).into_flattened()
    }

    fn expand_as<T: Copy + Default + Send>(
        self,
        blocks: &[u8],
        write: impl Fn(f32) -> T + Sync,
    ) -> Vec<T> {
        /// Blocks that a thread expands at a time.
        const AT_ONCE: usize = 64;
        let mut written = vec![T::default(); blocks.len() / self.bytes() * self.numbers()];
        let pieces = written.par_chunks_mut(AT_ONCE * self.numbers());
        let pieces = pieces.zip(blocks.par_chunks(AT_ONCE * self.bytes()));
        pieces.for_each(|(written, blocks)| {
            let mut numbers = [0.0; LARGE];
            let numbers = &mut numbers[..self.numbers()];
            let blocks = blocks.chunks_exact(self.bytes());
            for (written, block) in written.chunks_exact_mut(self.numbers()).zip(blocks) {
                self.expand_block(block, numbers);
                for (written, number) in written.iter_mut().zip(&*numbers) {
                    *written = write(*number);
                }
            }
        });
        written
    }

    fn expand_block(self, block: &[u8], numbers: &mut [f32]) {
        match self {
            Self::Q4_0 => q4_0(block, numbers),
            Self::Q4_1 => q4_1(block, numbers),
            Self::Q5_0 => q5_0(block, numbers),
            Self::Q5_1 => q5_1(block, numbers),
            Self::Q8_0 => q8_0(block, numbers),
            Self::Q2K => q2_k(block, numbers),
            Self::Q3K => q3_k(block, numbers),
            Self::Q4K => q4_k(block, numbers),
            Self::Q5K => q5_k(block, numbers),
            Self::Q6K => q6_k(block, numbers),
        }
    }
}

/// A half at the beginning of some bytes, and the rest.
fn half(bytes: &[u8]) -> (f32, &[u8]) {
    let (number, rest) = bytes.split_at(2);
    (f16::from_le_bytes([number[0], number[1]]).to_f32(), rest)
}

/// The four low bits of all bytes, then the four high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let low = bytes.iter().map(|byte| byte & 15);
    low.chain(bytes.iter().map(|byte| byte >> 4))
}

/// Numbers of four bits and a fifth, of 32 in `high`.
fn five_bits(high: &[u8], low: &[u8]) -> impl Iterator<Item = u8> {
    let high = high
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
    nibbles(low).zip(high).map(|(low, high)| low | high << 4)
}

fn q4_0(block: &[u8], numbers: &mut [f32]) {
    let (scale, quants) = half(block);
    for (number, quant) in numbers.iter_mut().zip(nibbles(quants)) {
        *number = scale * (f32::from(quant) - 8.0);
    }
}

fn q4_1(block: &[u8], numbers: &mut [f32]) {
    let (scale, rest) = half(block);
    let (least, quants) = half(rest);
    for (number, quant) in numbers.iter_mut().zip(nibbles(quants)) {
        *number = scale * f32::from(quant) + least;
    }
}

fn q5_0(block: &[u8], numbers: &mut [f32]) {
    let (scale, rest) = half(block);
    let (high, low) = rest.split_at(4);
    for (number, quant) in numbers.iter_mut().zip(five_bits(high, low)) {
        *number = scale * (f32::from(quant) - 16.0);
    }
}

fn q5_1(block: &[u8], numbers: &mut [f32]) {
    let (scale, rest) = half(block);
    let (least, rest) = half(rest);
    let (high, low) = rest.split_at(4);
    for (number, quant) in numbers.iter_mut().zip(five_bits(high, low)) {
        *number = scale * f32::from(quant) + least;
    }
}

fn q8_0(block: &[u8], numbers: &mut [f32]) {
    let (scale, quants) = half(block);
    for (number, quant) in numbers.iter_mut().zip(quants) {
        *number = scale * f32::from(quant.cast_signed());
    }
}

/// 16 groups of 16 numbers of two bits, each with a scale and an offset of four.
fn q2_k(block: &[u8], numbers: &mut [f32]) {
    let (scales, rest) = block.split_at(16);
    let (quants, rest) = rest.split_at(LARGE / 4);
    let (scale, rest) = half(rest);
    let (offset, _) = half(rest);
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let (scale, offset) = (
            scale * f32::from(scales[group] & 15),
            offset * f32::from(scales[group] >> 4),
        );
        for (number, quant) in numbers.iter_mut().zip(two_bits(quants, group)) {
            *number = scale * f32::from(quant) - offset;
        }
    }
}

/// A group of 16 numbers of two bits: 32 bytes hold four times 32.
fn two_bits(bytes: &[u8], group: usize) -> impl Iterator<Item = u8> {
    let (half, shift) = (group / 8, group / 2 % 4 * 2);
    let first = half * 32 + group % 2 * 16;
    let bytes = bytes[first..first + 16].iter();
    bytes.map(move |byte| byte >> shift & 3)
}

/// 16 groups of 16 numbers of three bits, each with a scale of six.
fn q3_k(block: &[u8], numbers: &mut [f32]) {
    let (mask, rest) = block.split_at(LARGE / 8);
    let (quants, rest) = rest.split_at(LARGE / 4);
    let (scales, rest) = rest.split_at(12);
    let (scale, _) = half(rest);
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let low = scales[group % 8] >> (group / 8 * 4) & 15;
        let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = scale * (f32::from(low | high << 4) - 32.0);
        let mask = &mask[group % 2 * 16..];
        let places = numbers.iter_mut().zip(two_bits(quants, group)).zip(mask);
        for ((number, quant), mask) in places {
            // The bit says that four need not be taken off.
            let off = 4.0 * f32::from(mask >> (group / 2) & 1 ^ 1);
            *number = scale * (f32::from(quant) - off);
        }
    }
}

/// Scale and offset, of six bits each, of one of the eight groups of a block.
fn scale_and_offset(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, offset) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let (scale_high, offset_high) = (packed[group - 4] >> 6, packed[group] >> 6);
        let low = packed[group + 4];
        (low & 15 | scale_high << 4, low >> 4 | offset_high << 4)
    };
    (f32::from(scale), f32::from(offset))
}

/// A group of 32 numbers of four bits: 32 bytes hold two of them.
fn four_bits(bytes: &[u8], group: usize) -> impl Iterator<Item = u8> {
    let (first, shift) = (group / 2 * 32, group % 2 * 4);
    let bytes = bytes[first..first + 32].iter();
    bytes.map(move |byte| byte >> shift & 15)
}

/// Eight groups of 32 numbers of four bits, each with a scale and an offset of six.
fn q4_k(block: &[u8], numbers: &mut [f32]) {
    let (scale, rest) = half(block);
    let (offset, rest) = half(rest);
    let (scales, quants) = rest.split_at(12);
    for (group, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        let (group_scale, group_offset) = scale_and_offset(scales, group);
        let (scale, offset) = (scale * group_scale, offset * group_offset);
        for (number, quant) in numbers.iter_mut().zip(four_bits(quants, group)) {
            *number = scale * f32::from(quant) - offset;
        }
    }
}

/// As [`q4_k`], with a fifth bit for each number.
fn q5_k(block: &[u8], numbers: &mut [f32]) {
    let (scale, rest) = half(block);
    let (offset, rest) = half(rest);
    let (scales, rest) = rest.split_at(12);
    let (high, quants) = rest.split_at(LARGE / 8);
    for (group, numbers) in numbers.chunks_exact_mut(32).enumerate() {
        let (group_scale, group_offset) = scale_and_offset(scales, group);
        let (scale, offset) = (scale * group_scale, offset * group_offset);
        let places = numbers.iter_mut().zip(four_bits(quants, group)).zip(high);
        for ((number, low), high) in places {
            let quant = low | (high >> group & 1) << 4;
            *number = scale * f32::from(quant) - offset;
        }
    }
}

/// 16 groups of 16 numbers of six bits, each with a scale of eight.
fn q6_k(block: &[u8], numbers: &mut [f32]) {
    let (low, rest) = block.split_at(LARGE / 2);
    let (high, rest) = rest.split_at(LARGE / 4);
    let (scales, rest) = rest.split_at(LARGE / 16);
    let (scale, _) = half(rest);
    for (group, numbers) in numbers.chunks_exact_mut(16).enumerate() {
        let scale = scale * f32::from(scales[group].cast_signed());
        // 64 bytes hold the low bits of twice 64 numbers.
        let (first, shift) = (group / 8 * 64 + group % 4 * 16, group / 4 % 2 * 4);
        let low = low[first..first + 16].iter().map(|byte| byte >> shift & 15);
        let places = numbers.iter_mut().zip(low).zip(two_bits(high, group));
        for ((number, low), high) in places {
            *number = scale * (f32::from(low | high << 4) - 32.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn every_number_is_that_of_the_gguf_package_to_the_bit() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/gguf/blocks.safetensors"
        );
        let file = std::fs::read(file).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        for kind in BlockType::ALL {
            let tensor = |what| tensors.tensor(&format!("{}.{what}", kind.name())).unwrap();
            let (blocks, expected) = (tensor("blocks"), tensor("numbers"));
            assert_eq!(blocks.shape()[1], kind.bytes(), "{kind:?}");
            assert!(blocks.shape()[0] > 1);
            let found = kind.expand_to_bytes(blocks.data());
            assert_eq!(found, expected.data(), "{kind:?}");
            let numbers = kind.expand(blocks.data());
            assert_eq!(numbers.len(), blocks.shape()[0] * kind.numbers());
        }
    }

    #[test]
    fn types_are_found_by_their_names() {
        for kind in BlockType::ALL {
            assert_eq!(BlockType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(BlockType::from_name("Q8_1"), None);
    }
}
