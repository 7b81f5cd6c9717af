//! `calm doctor`: describes this build and this machine.

use std::fs;

use burn::tensor::Device;
use calm_lm::backend::{Backend, FloatType, device_name};
use calm_lm::train::runs::commit;
use serde::Serialize;

use crate::report::{Report, bytes, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  All values of --device on this machine, and why there are no others:
    calm doctor

  For the report of a problem:
    calm doctor --json";

#[derive(Serialize)]
struct Findings {
    version: &'static str,
    commit: Option<&'static str>,
    threads: usize,
    memory_bytes: Memory,
    backends: Vec<Finding>,
}

pub(super) fn run() -> Report {
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        commit: commit(),
        threads: calm_lm::backend::threads(),
        memory_bytes: Memory::read(),
        backends: Backend::ALL.map(Finding::of).into(),
    };
    let rows = [
        ("version", findings.version.to_owned()),
        ("commit", findings.commit.unwrap_or("unknown").to_owned()),
        ("threads", findings.threads.to_string()),
        ("memory", findings.memory_bytes.text()),
    ];
    let rows = rows.map(|(name, value)| (name.to_owned(), value));
    let backends = findings.backends.iter().flat_map(Finding::rows);
    let text = table(&rows.into_iter().chain(backends).collect::<Vec<_>>());
    Report::new(text, findings)
}

/// Devices of a backend, or the reason why there are none.
#[derive(Serialize)]
struct Finding {
    backend: &'static str,
    compiled: bool,
    devices: Vec<FoundDevice>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct FoundDevice {
    name: String,
    dtypes: Vec<&'static str>,
}

impl Finding {
    fn of(backend: Backend) -> Self {
        let (devices, problem) = match devices(backend) {
            Ok(devices) => (devices, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        Self {
            backend: backend.name(),
            compiled: backend.is_compiled(),
            devices: devices.iter().map(FoundDevice::of).collect(),
            problem,
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let devices = self.devices.iter().map(|device| {
            let types = device.dtypes.join(", ");
            (device.name.clone(), format!("computes in {types}"))
        });
        let problem = self.problem.clone();
        let problem = problem.map(|problem| (self.backend.to_owned(), problem));
        devices.chain(problem).collect()
    }
}

impl FoundDevice {
    fn of(device: &Device) -> Self {
        let types = FloatType::ALL.into_iter();
        let types = types.filter(|float| float.is_supported_by(device));
        Self {
            name: device_name(device),
            dtypes: types.map(FloatType::name).collect(),
        }
    }
}

fn devices(backend: Backend) -> Result<Vec<Device>, String> {
    if !backend.is_compiled() {
        let feature = backend.feature();
        return Err(format!(
            "not in this build; build it with --features {feature}"
        ));
    }
    match backend.devices() {
        Ok(devices) if devices.is_empty() => {
            Err("no device found; is there one, and is its driver installed?".to_owned())
        }
        Ok(devices) => Ok(devices),
        Err(error) => Err(error.to_string()),
    }
}

/// Memory of the machine in bytes, where the system tells.
#[derive(Serialize)]
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
        let sizes = self.total.zip(self.available);
        sizes.map_or("unknown".to_owned(), |(total, available)| {
            format!("{}, {} of it available", bytes(total), bytes(available))
        })
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
