//! What this process may use of the machine: cores (the affinity mask and a container's quota are respected) and memory.

use std::fs;

/// Threads to compute with where nothing else is asked for: the cores that this process may run on.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory that this process may use: the machine's, or its control group's limit where that is less. `None` where the
/// system does not tell.
pub fn memory() -> Option<u64> {
    let total = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total_memory);
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    match (total, limit) {
        (Some(total), Some(limit)) => Some(u64::min(total, limit)),
        (total, limit) => total.or(limit),
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn total_memory_is_read_in_bytes() {
        assert_eq!(super::total_memory("MemTotal:       24601192 kB\nMemFree: 1 kB\n"), Some(24_601_192 * 1024));
        assert_eq!(super::total_memory("nothing"), None);
    }
}
