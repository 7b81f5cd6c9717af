//! The operations of a transformer block.
//!
//! Each is a plain statement of its formula out of Burn's own operations, differentiable wherever
//! Burn is. On the processor and on GPUs a fused kernel takes its place, one pass forward and one
//! back, and the plain composition is what it is held against.

mod adamw;
mod attention;
#[cfg(feature = "flex")]
mod awake;
#[cfg(test)]
mod check;
#[cfg(feature = "flex")]
mod columns;
mod cross_entropy;
#[cfg(feature = "gpu")]
mod cube;
#[cfg(any(feature = "flex", feature = "gpu"))]
mod extension;
#[cfg(any(feature = "flex", feature = "gpu"))]
mod gated;
mod geglu;
mod gelu;
#[cfg(feature = "flex")]
mod kernel;
mod layer_norm;
mod linear;
#[cfg(feature = "flex")]
mod matmul;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod processor;
mod rms_norm;
mod rotary;
mod softcap;
mod swiglu;

pub use adamw::{AdamWStep, adamw};
pub use attention::{attention, keeps_attention_weights};
pub use cross_entropy::cross_entropy_sum;
pub use geglu::geglu_tanh;
pub use gelu::{gelu, gelu_tanh};
pub use layer_norm::layer_norm;
pub use linear::{ROWS_ALIKE, linear};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use softcap::{softcap, softcap_attention};
pub use swiglu::swiglu;

/// The same operations without fused kernels: what runs on backends that have none, and the
/// reference for those that do.
pub mod plain {
    pub use super::adamw::plain as adamw;
    pub use super::attention::plain as attention;
    pub use super::cross_entropy::plain as cross_entropy_sum;
    pub use super::geglu::plain as geglu_tanh;
    pub use super::layer_norm::plain as layer_norm;
    pub use super::rms_norm::plain as rms_norm;
    pub use super::rotary::plain as rotary;
    pub use super::softcap::plain as softcap_attention;
    pub use super::swiglu::plain as swiglu;
}
