//! Memory of this process.

use std::fs;

/// Peak memory of this process in bytes; `None` where the system does not report it (not Linux).
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Memory that this process can still take without anything being swapped out, in bytes: what the
/// system has, and what is left of the process's own limit (a control group's). `None` where the
/// system does not report it (not Linux).
pub fn available_memory() -> Option<u64> {
    let of_system = fs::read_to_string("/proc/meminfo").ok()?;
    let line = of_system
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    let of_group = available_of_group().unwrap_or(u64::MAX);
    Some((kib << 10).min(of_group))
}

fn available_of_group() -> Option<u64> {
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        // `max` is no limit.
        text.trim().parse::<u64>().ok()
    };
    let limit = number("memory.max")?;
    Some(limit.saturating_sub(number("memory.current")?))
}
