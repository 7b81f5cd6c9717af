//! Types of tensors, by their numbers in the format.

use crate::checkpoint::blocks::BlockType;

/// A type of GGML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorType {
    pub(super) name: &'static str,
    /// Numbers in a block, and its bytes; none of a type that cannot be read.
    pub(super) block: Option<(usize, usize)>,
}

/// Types by their numbers. Those without a name are no longer in use.
const NAMES: [&str; 41] = [
    "F32", "F16", "Q4_0", "Q4_1", "", "", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K",
    "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S",
    "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0", "",
    "", "", "MXFP4", "NVFP4",
];

impl TensorType {
    /// The type with this number, if it is known.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let name = *NAMES.get(number as usize).filter(|name| !name.is_empty())?;
        let block = match name {
            "F32" => Some((1, 4)),
            "F16" | "BF16" => Some((1, 2)),
            name => BlockType::from_name(name).map(|kind| (kind.numbers(), kind.bytes())),
        };
        Some(Self { name, block })
    }
}
