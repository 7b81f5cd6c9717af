//! The floating-point types that models are stored and computed in.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device, FloatDType};
use serde::{Deserialize, Serialize};

use crate::is_processor;

/// A floating-point type by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// 32 bits.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `f32`: its range, with less precision.
    BF16,
}

impl FloatType {
    /// Every type, widest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::BF16];

    /// The name that users give: `f32`, `f16`, `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
        }
    }

    /// Names that PyTorch and its trainers have for it.
    fn names_of_others(self) -> &'static [&'static str] {
        match self {
            Self::F32 => &["float32", "float", "fp32"],
            Self::F16 => &["float16", "half", "fp16"],
            Self::BF16 => &["bfloat16"],
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// Whether a device computes in it. A device that does not may return wrong numbers without an
    /// error.
    pub fn is_supported_by(self, device: &Device) -> bool {
        device.supports_dtype(FloatDType::from(self))
    }

    /// Whether a device computes in it at least as fast as in `f32`. Processors have no kernels of
    /// their own for the halves: they widen them for every product.
    pub fn is_fast_on(self, device: &Device) -> bool {
        self == Self::F32 || (self.is_supported_by(device) && !is_processor(device))
    }

    /// Name of the type that several models have; of each in turn if they differ.
    pub fn names(types: impl IntoIterator<Item = Self>) -> String {
        let mut names: Vec<&str> = types.into_iter().map(Self::name).collect();
        if names.iter().all(|name| *name == names[0]) {
            names.truncate(1);
        }
        names.join(", ")
    }

    /// The type of a model's tensors, which have one of these.
    pub fn of(dtype: DType) -> Self {
        match dtype {
            DType::F16 => Self::F16,
            DType::BF16 => Self::BF16,
            _ => Self::F32,
        }
    }
}

/// The type that a model computes in, as it is asked for: `auto`, or a type by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum ComputeType {
    /// As the model is stored where the device is [at least as fast](FloatType::is_fast_on) in that
    /// type as in `f32`, else `f32`.
    #[default]
    Auto,
    /// This type, however the model is stored.
    Fixed(FloatType),
}

impl ComputeType {
    /// The name that users give: `auto`, `f32`, `f16`, `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fixed(float) => float.name(),
        }
    }

    /// The type in which a device computes with weights that are stored as `stored`.
    pub fn resolve(self, stored: FloatType, device: &Device) -> FloatType {
        match self {
            Self::Fixed(float) => float,
            Self::Auto if stored.is_fast_on(device) => stored,
            Self::Auto => FloatType::F32,
        }
    }
}

impl From<FloatType> for ComputeType {
    fn from(float: FloatType) -> Self {
        Self::Fixed(float)
    }
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<ComputeType> for &'static str {
    fn from(compute: ComputeType) -> Self {
        compute.name()
    }
}

/// No type to compute in has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is no type to compute in; use auto, f32, f16 or bf16")]
pub struct UnknownComputeType {
    /// The name asked for.
    pub name: String,
}

impl FromStr for ComputeType {
    type Err = UnknownComputeType;

    fn from_str(name: &str) -> Result<Self, UnknownComputeType> {
        if name == Self::Auto.name() {
            return Ok(Self::Auto);
        }
        let float = FloatType::from_str(name);
        float
            .map(Self::Fixed)
            .map_err(|unknown| UnknownComputeType { name: unknown.name })
    }
}

impl TryFrom<String> for ComputeType {
    type Error = UnknownComputeType;

    fn try_from(name: String) -> Result<Self, UnknownComputeType> {
        name.parse()
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No floating-point type of models has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is no floating-point type; use f32, f16 or bf16")]
pub struct UnknownFloatType {
    /// The name asked for.
    pub name: String,
}

impl FromStr for FloatType {
    type Err = UnknownFloatType;

    /// By the name here, or by PyTorch's, as `bfloat16` or `torch.bfloat16`.
    fn from_str(name: &str) -> Result<Self, UnknownFloatType> {
        let plain = name.strip_prefix("torch.").unwrap_or(name);
        Self::ALL
            .into_iter()
            .find(|float| float.name() == name || float.names_of_others().contains(&plain))
            .ok_or_else(|| UnknownFloatType {
                name: name.to_owned(),
            })
    }
}

impl From<FloatType> for FloatDType {
    fn from(float: FloatType) -> Self {
        match float {
            FloatType::F32 => Self::F32,
            FloatType::F16 => Self::F16,
            FloatType::BF16 => Self::BF16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for float in FloatType::ALL {
            assert_eq!(float.to_string().parse(), Ok(float));
        }
        for (name, float) in [
            ("float32", FloatType::F32),
            ("torch.float16", FloatType::F16),
            ("half", FloatType::F16),
            ("bfloat16", FloatType::BF16),
        ] {
            assert_eq!(name.parse(), Ok(float), "{name}");
        }
        for name in ["float64", "torch.", "torch.f8", "F32", ""] {
            assert!(name.parse::<FloatType>().is_err(), "{name}");
        }
        assert_eq!(FloatType::names([FloatType::BF16; 3]), "bf16");
        let differ = [FloatType::F16, FloatType::F32, FloatType::F16];
        assert_eq!(FloatType::names(differ), "f16, f32, f16");
        for compute in [ComputeType::Auto, FloatType::BF16.into()] {
            assert_eq!(compute.to_string().parse(), Ok(compute));
        }
        let error = "double".parse::<ComputeType>().unwrap_err().to_string();
        assert!(error.contains("use auto, f32"), "{error}");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_processor_computes_in_all() {
        let processor = Device::flex();
        assert!(
            FloatType::ALL
                .iter()
                .all(|float| float.is_supported_by(&processor))
        );
    }

    #[cfg(feature = "flex")]
    #[test]
    fn auto_is_the_stored_type_where_that_is_fast() {
        let processor = Device::flex();
        for stored in FloatType::ALL {
            let auto = ComputeType::Auto.resolve(stored, &processor);
            assert_eq!(auto, FloatType::F32);
            for asked in FloatType::ALL {
                assert_eq!(ComputeType::from(asked).resolve(stored, &processor), asked);
            }
        }
    }
}
