//! The operations of a transformer block, one folder for each.
//!
//! The module of an operation has its public function, its plain composition out of Burn's own
//! operations, which is differentiable wherever Burn is, and the declaration of its kernels
//! (`operation!`). `cpu` and `gpu` have the kernels, one pass forward and
//! one backward; tests hold them against the plain composition.

mod adamw;
mod attention;
#[cfg(feature = "flex")]
mod cpu;
mod cross_entropy;
mod gated;
mod gelu;
#[cfg(feature = "gpu")]
mod gpu;
mod linear;
mod norm;
#[cfg(any(feature = "flex", feature = "gpu"))]
mod operation;
mod rotary;
mod softcap;
#[cfg(test)]
mod tests;

pub use adamw::{AdamWStep, adamw};
pub use attention::{attention, biased_attention, keeps_attention_weights, softcap_attention};
pub use cross_entropy::cross_entropy_sum;
pub use gated::{geglu_tanh, swiglu};
pub use gelu::{gelu, gelu_tanh};
pub use linear::{BATCH_INVARIANT_ROWS, linear};
pub use norm::{layer_norm, rms_norm};
pub use rotary::rotary;
pub use softcap::softcap;

/// The same operations without fused kernels: they run on backends that have none, and are the
/// reference for those that do.
pub mod plain {
    pub use super::adamw::plain as adamw;
    pub use super::attention::plain::{attention, biased_attention, softcap_attention};
    pub use super::cross_entropy::plain as cross_entropy_sum;
    pub use super::gated::plain::{geglu_tanh, swiglu};
    pub use super::norm::plain::{layer_norm, rms_norm};
    pub use super::rotary::plain as rotary;
}
