//! The operations of a transformer block, as compositions of Burn's own.
//!
//! They are the reference that faster kernels are held against: each is a plain statement of its
//! formula, differentiable wherever Burn is.

mod attention;
mod cross_entropy;
mod gelu;
mod layer_norm;
mod norm;
mod rotary;
mod softcap;
mod swiglu;

pub use attention::attention;
pub use cross_entropy::cross_entropy_sum;
pub use gelu::{gelu, gelu_tanh};
pub use layer_norm::layer_norm;
pub use norm::rms_norm;
pub use rotary::rotary;
pub use softcap::{softcap, softcap_attention};
pub use swiglu::swiglu;
