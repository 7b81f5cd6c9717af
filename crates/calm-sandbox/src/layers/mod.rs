//! The layers of a sandbox. They are independent; each is used as far as the kernel offers it.

use serde::{Deserialize, Serialize};

/// Layers that a launcher could put around itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Version of Landlock's rules, which cover files, and signals from version 6 on; 0 without.
    pub landlock: i32,
    /// System calls outside a short list fail: none creates a process, thread or socket, traces
    /// another process or sends it a signal.
    pub seccomp: bool,
    /// A user without rights, and a network without devices.
    pub namespaces: bool,
    /// Limits on memory, processor time, files and their size.
    pub limits: bool,
}

impl Layers {
    /// The missing layers with what a program could do without them, or `None` if there are enough.
    /// Namespaces only back up the other layers; many containers have none.
    pub fn missing(&self) -> Option<String> {
        let needed = [
            (self.landlock > 0, "Landlock (files would be open to them)"),
            (
                self.seccomp,
                "seccomp (network and processes would be open to them)",
            ),
            (self.limits, "resource limits"),
        ];
        let missing: Vec<&str> = needed
            .iter()
            .filter(|(is_there, _)| !is_there)
            .map(|(_, name)| *name)
            .collect();
        (!missing.is_empty()).then(|| format!("there is no {}", missing.join(" and no ")))
    }
}

#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
impl Layers {
    pub(crate) fn try_all() -> Self {
        Self::default()
    }
}
