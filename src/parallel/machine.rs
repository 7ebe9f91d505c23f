//! What this process may use of the machine: which cores (the affinity mask, a container's quota, hyper-threads and little cores are
//! respected) and how much memory. Read from Linux's own tables; other systems give what the standard library knows.

use super::mask::list as cpu_list;
use std::fs;
use std::path::Path;

/// A core counts as a performance core where it has at least this share of the fastest one's capacity.
const FAST: f64 = 0.7;

/// Threads to compute with where nothing else is asked for: one for each physical performance core that this process may run on, and no
/// more than its control group's quota.
pub fn threads() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let mask = fs::read_to_string("/proc/self/status").ok().and_then(|status| allowed_cpus(&status));
    match mask.map(|mask| fast_cores(Path::new("/sys/devices/system/cpu"), &mask)) {
        Some(cores) if cores > 0 => cores.min(allowed),
        _ => allowed,
    }
}

/// Logical CPUs of the machine that are switched on; `None` where the system does not tell.
pub fn online() -> Option<usize> {
    fs::read_to_string("/sys/devices/system/cpu/online").ok().and_then(|text| cpu_list(&text)).map(|cpus| cpus.len())
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

/// Bytes of memory that are this process's own, and not of a file. `None` where the system does not tell.
pub fn private_memory() -> Option<u64> {
    fs::read_to_string("/proc/self/status").ok().as_deref().and_then(private_of_status)
}

fn private_of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The logical CPUs of the affinity mask, from the text of `/proc/self/status`.
fn allowed_cpus(status: &str) -> Option<Vec<usize>> {
    cpu_list(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?)
}

/// Physical cores among `cpus` that are nearly as fast as the fastest, by the tables in `folder` (`/sys/devices/system/cpu`). A CPU whose
/// tables are missing is taken for a core of its own.
fn fast_cores(folder: &Path, cpus: &[usize]) -> usize {
    let read = |cpu: usize, file: &str| fs::read_to_string(folder.join(format!("cpu{cpu}")).join(file)).ok();
    let number = |cpu, file| read(cpu, file)?.trim().parse::<f64>().ok();
    // ARM tells capacities; x86 hybrids differ in their highest frequency.
    let speed = |cpu| number(cpu, "cpu_capacity").or_else(|| number(cpu, "cpufreq/cpuinfo_max_freq")).unwrap_or(1.0);
    let fastest = cpus.iter().map(|&cpu| speed(cpu)).fold(0.0, f64::max);
    let mut cores: Vec<usize> = cpus
        .iter()
        .filter(|&&cpu| speed(cpu) >= FAST * fastest)
        .map(|&cpu| read(cpu, "topology/thread_siblings_list").and_then(|text| cpu_list(&text)?.into_iter().min()).unwrap_or(cpu))
        .collect();
    cores.sort_unstable();
    cores.dedup();
    cores.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as in `/sys/devices/system/cpu`, of `(siblings, capacity)` for each CPU.
    fn tree(cpus: &[(&str, Option<u32>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (cpu, (siblings, capacity)) in cpus.iter().enumerate() {
            let cpu = folder.path().join(format!("cpu{cpu}"));
            fs::create_dir_all(cpu.join("topology")).unwrap();
            fs::write(cpu.join("topology/thread_siblings_list"), format!("{siblings}\n")).unwrap();
            if let Some(capacity) = capacity {
                fs::write(cpu.join("cpu_capacity"), format!("{capacity}\n")).unwrap();
            }
        }
        folder
    }

    #[test]
    fn hyper_threads_of_a_core_count_once() {
        let folder = tree(&[("0,2", None), ("1,3", None), ("0,2", None), ("1,3", None)]);
        assert_eq!(fast_cores(folder.path(), &[0, 1, 2, 3]), 2);
        assert_eq!(fast_cores(folder.path(), &[1, 3]), 1);
    }

    #[test]
    fn little_cores_are_left_alone_unless_there_are_no_others() {
        let folder = tree(&[("0", Some(400)), ("1", Some(400)), ("2", Some(1024)), ("3", Some(980))]);
        assert_eq!(fast_cores(folder.path(), &[0, 1, 2, 3]), 2);
        assert_eq!(fast_cores(folder.path(), &[0, 1]), 2);
    }

    #[test]
    fn cpus_without_tables_are_cores() {
        assert_eq!(fast_cores(Path::new("/nonexistent"), &[0, 1, 5]), 3);
    }

    #[test]
    fn lists_are_read_as_linux_writes_them() {
        assert_eq!(allowed_cpus("Name: x\nCpus_allowed_list:\t0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list("3"), Some(vec![3]));
        assert_eq!(cpu_list("a-b"), None);
    }

    #[test]
    fn total_memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemTotal:       24601192 kB\nMemFree: 1 kB\n"), Some(24_601_192 * 1024));
        assert_eq!(total_memory("nothing"), None);
    }
}
