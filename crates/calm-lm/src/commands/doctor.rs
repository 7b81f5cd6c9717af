//! `calm doctor`: what this build and this machine can do.

use std::fs;

use burn::tensor::Device;
use calm_lm::backend::{Backend, FloatType};
use serde_json::{Value, json};

use super::version;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  What --device can be here, and why not more:
    calm doctor

  For the report of a problem:
    calm doctor --json";

pub(super) fn run() -> Report {
    let backends = Backend::ALL.map(Finding::of);
    let memory = Memory::read();
    let threads = calm_lm::backend::threads();
    let mut rows = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (
            "commit".to_owned(),
            version::commit().unwrap_or("unknown").to_owned(),
        ),
        ("threads".to_owned(), threads.to_string()),
        ("memory".to_owned(), memory.text()),
    ];
    rows.extend(backends.iter().flat_map(Finding::rows));
    let json = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": version::commit(),
        "threads": threads,
        "memory_bytes": memory.json(),
        "backends": backends.iter().map(Finding::json).collect::<Vec<_>>(),
    });
    Report::new(table(&rows), json)
}

/// What became of looking for the devices of a backend.
struct Finding {
    backend: Backend,
    devices: Result<Vec<Device>, String>,
}

impl Finding {
    fn of(backend: Backend) -> Self {
        let devices = if backend.is_compiled() {
            look_for_devices(backend)
        } else {
            let feature = backend.feature();
            Err(format!(
                "not in this build; build it with --features {feature}"
            ))
        };
        Self { backend, devices }
    }

    fn rows(&self) -> Vec<(String, String)> {
        match &self.devices {
            Err(reason) => vec![(self.backend.to_string(), reason.clone())],
            Ok(devices) => {
                let rows = devices.iter().enumerate();
                rows.map(|(index, device)| {
                    let types = types(device).join(", ");
                    (self.name(index), format!("computes in {types}"))
                })
                .collect()
            }
        }
    }

    fn json(&self) -> Value {
        let devices = self.devices.iter().flatten().enumerate();
        let devices = devices
            .map(|(index, device)| json!({ "name": self.name(index), "dtypes": types(device) }));
        json!({
            "backend": self.backend.name(),
            "compiled": self.backend.is_compiled(),
            "devices": devices.collect::<Vec<_>>(),
            "problem": self.devices.as_ref().err(),
        })
    }

    /// What `--device` calls it.
    fn name(&self, index: usize) -> String {
        match self.backend {
            Backend::Cpu => self.backend.to_string(),
            gpu => format!("{gpu}:{index}"),
        }
    }
}

/// The devices, or why there are none.
fn look_for_devices(backend: Backend) -> Result<Vec<Device>, String> {
    match backend.devices() {
        Ok(devices) if devices.is_empty() => {
            Err("no device found; is there one, and is its driver installed?".to_owned())
        }
        Ok(devices) => Ok(devices),
        Err(error) => Err(error.to_string()),
    }
}

fn types(device: &Device) -> Vec<&'static str> {
    let types = FloatType::ALL.into_iter();
    types
        .filter(|float| float.is_supported_by(device))
        .map(FloatType::name)
        .collect()
}

/// Memory of the machine in bytes, where the system tells.
struct Memory {
    total: Option<u64>,
    available: Option<u64>,
}

impl Memory {
    fn read() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            total: field(&text, "MemTotal:"),
            available: field(&text, "MemAvailable:"),
        }
    }

    fn text(&self) -> String {
        match (self.total, self.available) {
            (Some(total), Some(available)) => {
                format!(
                    "{} MiB, {} MiB of it available",
                    total >> 20,
                    available >> 20
                )
            }
            _ => "unknown".to_owned(),
        }
    }

    fn json(&self) -> Value {
        json!({ "total": self.total, "available": self.available })
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       2048 kB\nMemFree: 1 kB\n";
        assert_eq!(field(text, "MemTotal:"), Some(2 << 20));
        assert_eq!(field(text, "MemAvailable:"), None);
    }

    #[test]
    fn every_backend_has_devices_or_a_reason() {
        for finding in Backend::ALL.map(Finding::of) {
            assert!(!finding.rows().is_empty(), "{}", finding.backend);
        }
    }
}
