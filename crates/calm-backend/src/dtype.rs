//! The floating-point types that models are stored and computed in.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize};

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

    fn from_str(name: &str) -> Result<Self, UnknownFloatType> {
        Self::ALL
            .into_iter()
            .find(|float| float.name() == name)
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
        assert!("float32".parse::<FloatType>().is_err());
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
}
