//! The base of the workspace: devices by name, floating-point types, and the operations of a
//! transformer block with fused kernels.
//!
//! Cargo features choose the backends: `flex`, the processor, by default; `cuda`, `rocm`, `metal`,
//! `vulkan`, `wgpu`. One build may hold several. No other crate names one: they take a
//! [`Device`](burn::tensor::Device).
//!
//! | purpose | central items |
//! | --- | --- |
//! | devices by name, and their names | [`device`], [`device_name`], [`Backend`], [`DeviceError`] |
//! | operations, fused and [`plain`](ops::plain) | [`ops`] |
//! | types of weights | [`FloatType`] |
//! | seeded initial weights | [`SeededInit`] |
//! | tensors in mapped files | [`MappedFile`], [`takes_mapped`] |
//! | threads and memory of the process | [`use_threads`], [`threads`], [`peak_memory`] |
//! | panics of libraries as errors | [`guard`](guard()) |
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
mod init;
mod mapped;
mod memory;
pub mod ops;
mod threads;

#[cfg(feature = "allocator")]
pub use allocator::{Allocator, keep_freed_memory};
pub use calm_files::guard;
pub use device::{Backend, DeviceError, compiled, device, device_name, is_processor, probe};
pub use dtype::{ComputeType, FloatType, UnknownComputeType, UnknownFloatType};
pub use init::SeededInit;
pub use mapped::{MappedFile, takes_mapped};
pub use memory::{available_memory, peak_memory};
pub use threads::{threads, use_threads};
