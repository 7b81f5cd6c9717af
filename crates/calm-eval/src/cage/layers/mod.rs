//! What keeps a program in its cage: independent layers, each as far as the kernel has it.

use serde::{Deserialize, Serialize};

/// The layers that a launcher could put around itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Layers {
    /// Version of Landlock's rules for files, from 6 on for signals as well; none: 0.
    pub landlock: i32,
    /// System calls outside a short list fail: none makes a process, a thread or a socket, traces
    /// another process or sends it a signal.
    pub seccomp: bool,
    /// A user of its own without rights, and a network without devices.
    pub namespaces: bool,
    /// Limits on memory, processor time, files and their size.
    pub limits: bool,
}

impl Layers {
    /// What a program could do for want of a layer, or `None` if enough are there. Namespaces are a
    /// second wall behind two others; many containers have none.
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
    pub(super) fn try_all() -> Self {
        Self::default()
    }
}
