//! What everything else in the workspace computes on: devices by name, floating-point types,
//! seeded initial weights, and the operations of a transformer block.
//!
//! The backends are chosen by Cargo feature (`flex`, the processor, by default; `cuda`, `rocm`,
//! `metal`, `vulkan`, `wgpu`), one build may hold several, and no other crate names one: the
//! others take a [`Device`](burn::tensor::Device).
//!
//! ```
//! use burn::tensor::Tensor;
//! use calm_backend::{device, ops};
//!
//! let device = device("cpu")?;
//! let x = Tensor::<2>::from_floats([[3.0, -4.0]], &device);
//! let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
//! let normed = ops::rms_norm(x, weight, 12.5);
//! assert_eq!(normed.to_data().try_to_vec::<f32>()?, [0.6, -1.6]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "allocator")]
mod allocator;
mod device;
mod dtype;
mod guard;
mod init;
mod mapped;
mod memory;
pub mod ops;
mod threads;

#[cfg(feature = "allocator")]
pub use allocator::{Allocator, keep_freed_memory};
pub use device::{Backend, DeviceError, compiled, device, device_name, is_processor, probe};
pub use dtype::{FloatType, UnknownFloatType};
pub use guard::guard;
pub use init::SeededInit;
pub use mapped::{MappedFile, takes_mapped};
pub use memory::peak_memory;
pub use threads::{threads, use_threads};
