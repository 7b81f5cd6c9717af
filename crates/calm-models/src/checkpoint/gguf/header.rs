//! The beginning of a GGUF file: metadata, and where the tensors are.

use std::collections::BTreeSet;
use std::ops::Range;

use super::error::{GgufError, short};
use super::metadata::{self, Metadata, Values};
use super::reader::Reader;
use super::types::TensorType;
use crate::checkpoint::header::TensorInfo;

const MAGIC: &[u8] = b"GGUF";
const VERSIONS: [u32; 2] = [2, 3];

/// Bytes that the description of a tensor takes at least.
const LEAST_TENSOR_BYTES: usize = 8 + 4 + 8 + 4 + 8;

/// GGML's limit.
const MAX_DIMENSIONS: u32 = 4;

/// Tensors begin at multiples of this, unless the metadata names another number.
const ALIGNMENT: usize = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// All before the data of the tensors.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) values: Values,
    /// Its length in bytes.
    pub(super) bytes: usize,
    /// In the order of the file. Names are different, and places do not overlap.
    pub(super) tensors: Vec<(String, TensorInfo)>,
}

/// Reads the header of a file, of which `bytes` is the whole.
pub(super) fn read(bytes: &[u8]) -> Result<Header, GgufError> {
    let mut reader = Reader::new(bytes);
    check_version(&mut reader)?;
    let tensor_count = reader.count("tensors", LEAST_TENSOR_BYTES)?;
    let value_count = reader.count("metadata keys", metadata::LEAST_BYTES)?;
    let values = metadata::read(&mut reader, value_count)?;
    let mut descriptions = Vec::new();
    for number in 1..=tensor_count {
        reader.enter(
            "the description of tensor",
            &format!("{number} of {tensor_count}"),
        );
        descriptions.push(Description::read(&mut reader)?);
    }
    let header = reader.at();
    let metadata = Metadata::new(bytes, values);
    let alignment = alignment(&metadata)?;
    let start = header.next_multiple_of(alignment).min(bytes.len());
    let place = |tensor: Description| tensor.place(&(start..bytes.len()), alignment);
    let tensors: Vec<_> = descriptions
        .into_iter()
        .map(place)
        .collect::<Result<_, _>>()?;
    check_apart(&tensors, start)?;
    Ok(Header {
        values: metadata.into_values(),
        bytes: header,
        tensors,
    })
}

fn check_version(reader: &mut Reader<'_>) -> Result<(), GgufError> {
    if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
        return Err(GgufError::Magic);
    }
    match reader.u32()? {
        version if VERSIONS.contains(&version) => Ok(()),
        version if version.swap_bytes() <= 0xffff => Err(GgufError::BigEndian),
        version => Err(GgufError::Version { version }),
    }
}

fn alignment<B: std::ops::Deref<Target = [u8]>>(
    metadata: &Metadata<B>,
) -> Result<usize, GgufError> {
    match metadata.count(ALIGNMENT_KEY)? {
        None => Ok(ALIGNMENT),
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 31 => {
            Ok(alignment as usize)
        }
        Some(alignment) => Err(GgufError::key(
            ALIGNMENT_KEY,
            format!("is {alignment}, not a power of two; the file is damaged"),
        )),
    }
}

/// A tensor as the header describes it.
struct Description {
    name: String,
    /// Outermost first, as everywhere but in the file.
    shape: Vec<usize>,
    kind: TensorType,
    /// From the beginning of the data.
    offset: u64,
    bytes: usize,
}

impl Description {
    fn read(reader: &mut Reader<'_>) -> Result<Self, GgufError> {
        let name = reader.text()?.to_owned();
        reader.enter("the description of tensor", &name);
        let failed = |reason: String| GgufError::tensor(&name, reason);
        let dimensions = reader.u32()?;
        if dimensions > MAX_DIMENSIONS {
            let reason = format!("has {dimensions} dimensions; there are at most {MAX_DIMENSIONS}");
            return Err(failed(reason));
        }
        let mut sizes = Vec::new();
        for _ in 0..dimensions {
            sizes.push(reader.u64()?);
        }
        sizes.reverse();
        let number = reader.u32()?;
        let kind = TensorType::from_number(number)
            .ok_or_else(|| failed(format!("has the unknown type {number}")))?;
        let offset = reader.u64()?;
        let bytes = size(&sizes, kind).map_err(failed)?;
        Ok(Self {
            shape: sizes.iter().map(|size| *size as usize).collect(),
            name,
            kind,
            offset,
            bytes,
        })
    }

    /// The tensor in a file, whose data begin and end at these bytes.
    fn place(
        self,
        data: &Range<usize>,
        alignment: usize,
    ) -> Result<(String, TensorInfo), GgufError> {
        let offset = usize::try_from(self.offset).ok();
        let start = offset.and_then(|offset| data.start.checked_add(offset));
        let end = start.and_then(|start| start.checked_add(self.bytes));
        let failed = |reason| Err(GgufError::tensor(&self.name, reason));
        if !self.offset.is_multiple_of(alignment as u64) {
            return failed(format!(
                "begins at byte {} of the data, which is no multiple of {alignment}",
                self.offset
            ));
        }
        match start.zip(end) {
            Some((start, end)) if end <= data.end => {
                let info = TensorInfo {
                    dtype: self.kind.name.to_owned(),
                    shape: self.shape,
                    bytes: start..end,
                };
                Ok((self.name, info))
            }
            _ => failed(format!(
                "of {} bytes begins at byte {} of the data, which have {}; the file is cut off or \
                 damaged",
                self.bytes,
                self.offset,
                data.len()
            )),
        }
    }
}

/// Bytes of a tensor with dimensions of these sizes, outermost first.
fn size(sizes: &[u64], kind: TensorType) -> Result<usize, String> {
    let Some((numbers, bytes)) = kind.block else {
        return Err(format!(
            "is stored as {}; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K can be \
             read, so take or make a file of one of these",
            kind.name
        ));
    };
    let row = sizes.last().copied().unwrap_or(1);
    if !row.is_multiple_of(numbers as u64) {
        return Err(format!(
            "has rows of {row} numbers, but {} stores {numbers} at a time",
            kind.name
        ));
    }
    let all = sizes
        .iter()
        .try_fold(1u64, |all, size| all.checked_mul(*size));
    let total = all.map(|all| all / numbers as u64).and_then(|blocks| {
        let bytes = blocks.checked_mul(bytes as u64)?;
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= isize::MAX as usize)
    });
    match total {
        Some(0) => Err(format!("of shape {sizes:?} is empty")),
        Some(total) => Ok(total),
        None => Err(format!("of shape {sizes:?} is too large to exist")),
    }
}

/// Checks that no name occurs twice, and that no two tensors share a byte.
fn check_apart(tensors: &[(String, TensorInfo)], data: usize) -> Result<(), GgufError> {
    let mut names = BTreeSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(name)) {
        return Err(GgufError::Duplicate {
            what: "tensor",
            name: short(name),
        });
    }
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(_, info)| info.bytes.start);
    let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
    match pairs.find(|((_, before), (_, info))| info.bytes.start < before.bytes.end) {
        None => Ok(()),
        Some(((other, _), (name, info))) => {
            let (at, other) = (info.bytes.start - data, short(other));
            let reason = format!(
                "begins at byte {at} of the data, within tensor {other}; the file is damaged"
            );
            Err(GgufError::tensor(name, reason))
        }
    }
}
