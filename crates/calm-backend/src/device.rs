//! Devices by name, among the backends that were compiled in.
//!
//! No other module of the workspace names a backend in code.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};

use crate::guard;

/// A backend that the workspace can be compiled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Nvidia GPUs.
    Cuda,
    /// AMD GPUs.
    Rocm,
    /// Apple GPUs.
    Metal,
    /// GPUs through Vulkan.
    Vulkan,
    /// GPUs through whichever graphics interface the system offers.
    Wgpu,
    /// The processor: pure Rust, with SIMD and threads.
    Cpu,
}

impl Backend {
    /// Every backend, in the order of preference of `auto`.
    pub const ALL: [Self; 6] = [
        Self::Cuda,
        Self::Rocm,
        Self::Metal,
        Self::Vulkan,
        Self::Wgpu,
        Self::Cpu,
    ];

    /// The name that users give.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::Cpu => "cpu",
        }
    }

    /// The Cargo feature that compiles it in.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            gpu => gpu.name(),
        }
    }

    /// Whether this build has it.
    pub fn is_compiled(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cpu => cfg!(feature = "flex"),
        }
    }

    /// Its devices on this machine; none if it was not compiled in.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Driver`] if the driver is missing or broken.
    pub fn devices(self) -> Result<Vec<Device>, DeviceError> {
        if self == Self::Cpu {
            return Ok(self.enumerate());
        }
        guard(|| self.enumerate()).map_err(|reason| DeviceError::Driver {
            backend: self,
            reason,
        })
    }

    fn enumerate(self) -> Vec<Device> {
        use burn::tensor::DeviceType;

        let kind = match self {
            #[cfg(feature = "cuda")]
            Self::Cuda => DeviceType::Cuda,
            #[cfg(feature = "rocm")]
            Self::Rocm => DeviceType::Rocm,
            #[cfg(feature = "metal")]
            Self::Metal => DeviceType::Metal,
            #[cfg(feature = "vulkan")]
            Self::Vulkan => DeviceType::Vulkan,
            #[cfg(feature = "wgpu")]
            Self::Wgpu => DeviceType::Wgpu,
            #[cfg(feature = "flex")]
            Self::Cpu => DeviceType::Flex,
            // Backends that were left out; a build with all of them has none.
            #[allow(unreachable_patterns)]
            _ => return Vec::new(),
        };
        Device::enumerate(kind).into_iter().collect()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| DeviceError::UnknownName {
                name: name.to_owned(),
            })
    }
}

/// Why a device cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error(
        "no device is called '{name}'; use auto, cpu, cuda, rocm, metal, vulkan or wgpu, a GPU \
         optionally with its number as in cuda:0"
    )]
    UnknownName {
        /// The name asked for.
        name: String,
    },
    /// The backend exists, but this build lacks it.
    #[error(
        "this build has no {backend} backend (it has: {}); build it with --features {}",
        names(compiled()),
        backend.feature()
    )]
    NotCompiled {
        /// The backend asked for.
        backend: Backend,
    },
    /// The backend is there, the device is not.
    #[error(
        "{backend} finds {found} device(s) on this machine, so there is no number {index}; \
         `auto` picks what is there"
    )]
    NotFound {
        /// The backend asked.
        backend: Backend,
        /// The 0-based device number asked for.
        index: usize,
        /// How many devices the backend sees.
        found: usize,
    },
    /// The driver could not list devices.
    #[error("{backend}: the driver failed: {reason}")]
    Driver {
        /// The backend asked.
        backend: Backend,
        /// The message of the driver.
        reason: String,
    },
    /// The number of threads was set too late.
    #[error("{count} threads are at work already; ask for another number before all else")]
    ThreadsStarted {
        /// The number of threads at work.
        count: usize,
    },
    /// The library was built without any backend.
    #[error("this build has no backend at all; build it with --features flex")]
    NoBackend,
}

/// The backends of this build, in the order of preference of `auto`.
pub fn compiled() -> impl Iterator<Item = Backend> {
    Backend::ALL
        .into_iter()
        .filter(|backend| backend.is_compiled())
}

/// Each backend of this build, with the number of its devices on this machine.
pub fn probe() -> Vec<(Backend, usize)> {
    let count = |backend: Backend| backend.devices().map_or(0, |devices| devices.len());
    compiled()
        .map(|backend| (backend, count(backend)))
        .collect()
}

/// Whether a device is the processor, with autodiff or without.
pub fn is_processor(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    Backend::Cpu.enumerate().contains(&device)
}

/// The public name of a device, with autodiff or without, as [`device`] takes it: `cpu`, or the
/// backend of a GPU and its number, as `cuda:0`.
pub fn device_name(device: &Device) -> String {
    if is_processor(device) {
        return Backend::Cpu.name().to_owned();
    }
    let device = device.clone().without_autodiff();
    let numbered = compiled().find_map(|backend| {
        let devices = backend.devices().ok()?;
        let index = devices.iter().position(|listed| *listed == device)?;
        Some(format!("{backend}:{index}"))
    });
    // Burn's default GPU is not enumerated; a name without a number stands for it.
    numbered.unwrap_or_else(|| {
        compiled()
            .map(Backend::name)
            .next()
            .unwrap_or_default()
            .into()
    })
}

/// A device by name: `auto`, `cpu`, or a GPU backend with an optional number, as `cuda:1`.
///
/// `auto` is the first GPU that was compiled in, is found and computes, else the processor, which a
/// build for GPUs logs with the reason.
///
/// # Errors
///
/// [`DeviceError`] if the name is unknown, the backend was not compiled in, or the machine has no
/// such device.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    if name == "auto" {
        return auto();
    }
    let (backend, index) = parse(name)?;
    if !backend.is_compiled() {
        return Err(DeviceError::NotCompiled { backend });
    }
    let mut devices = backend.devices()?;
    if index >= devices.len() {
        return Err(DeviceError::NotFound {
            backend,
            index,
            found: devices.len(),
        });
    }
    Ok(devices.swap_remove(index))
}

fn auto() -> Result<Device, DeviceError> {
    let mut reasons = Vec::new();
    for backend in compiled().filter(|backend| *backend != Backend::Cpu) {
        match first_that_computes(backend) {
            Ok(device) => return Ok(device),
            Err(reason) => reasons.push(reason),
        }
    }
    let processor = Backend::Cpu.enumerate().pop();
    if processor.is_some() && !reasons.is_empty() {
        tracing::warn!(
            "no GPU can be used ({}); computing on the processor",
            reasons.join("; ")
        );
    }
    processor.ok_or(DeviceError::NoBackend)
}

/// The first device of a backend that returns a sum, else the reason why there is none. GPUs that a
/// graphics driver emulates are skipped: they are slower than the processor's own backend.
fn first_that_computes(backend: Backend) -> Result<Device, String> {
    let devices = backend.devices().map_err(|error| error.to_string())?;
    let device = devices.into_iter().find(|device| !is_emulated(device));
    let device = device.ok_or_else(|| format!("{backend}: no device"))?;
    let sum = guard(|| Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>());
    match sum {
        Ok(2.0) => Ok(device),
        Ok(wrong) => Err(format!("{backend}: 1 + 1 is {wrong}")),
        Err(reason) => Err(format!("{backend}: {reason}")),
    }
}

/// Whether a GPU is emulated by the processor.
fn is_emulated(device: &Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
    {
        use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};

        if let DispatchDevice::Cube(CubeDevice::Wgpu(device)) = device.as_dispatch() {
            return device.kind == WgpuDeviceKind::Cpu;
        }
    }
    let _ = device;
    false
}

fn parse(name: &str) -> Result<(Backend, usize), DeviceError> {
    let unknown = || DeviceError::UnknownName {
        name: name.to_owned(),
    };
    let Some((backend, index)) = name.split_once(':') else {
        return Ok((name.parse()?, 0));
    };
    let backend = backend.parse().map_err(|_| unknown())?;
    let index = index.parse().map_err(|_| unknown())?;
    Ok((backend, index))
}

fn names(backends: impl Iterator<Item = Backend>) -> String {
    backends.map(Backend::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_numbers() {
        assert_eq!(parse("cpu"), Ok((Backend::Cpu, 0)));
        assert_eq!(parse("cuda:3"), Ok((Backend::Cuda, 3)));
        for name in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0:0", "CPU"] {
            let error = DeviceError::UnknownName {
                name: name.to_owned(),
            };
            assert_eq!(parse(name), Err(error), "{name}");
        }
    }

    #[test]
    fn every_compiled_backend_is_named_and_the_others_say_how_to_get_them() {
        for backend in Backend::ALL {
            if backend.is_compiled() {
                assert!(probe().iter().any(|(found, _)| *found == backend));
            } else {
                let error = device(backend.name()).unwrap_err();
                assert_eq!(error, DeviceError::NotCompiled { backend });
                let feature = format!("--features {}", backend.feature());
                assert!(error.to_string().ends_with(&feature), "{error}");
            }
        }
    }

    #[test]
    fn the_name_of_a_device_gives_the_device() {
        for device in compiled().flat_map(|backend| backend.devices().unwrap_or_default()) {
            assert_eq!(super::device(&device_name(&device)), Ok(device));
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_processor_is_always_there_and_is_one_device() {
        assert!(device("cpu").is_ok());
        assert!(device("auto").is_ok());
        let cpu = device("cpu").unwrap();
        assert!(is_processor(&cpu) && is_processor(&cpu.clone().autodiff()));
        assert_eq!(device_name(&cpu), "cpu");
        assert_eq!(device_name(&cpu.autodiff()), "cpu");
        let error = DeviceError::NotFound {
            backend: Backend::Cpu,
            index: 1,
            found: 1,
        };
        assert_eq!(device("cpu:1").unwrap_err(), error);
    }
}
