//! What the system tells of this machine's processor and memory. Where it tells nothing (another system than Linux), nothing is claimed.

use crate::file::OwnMemory;
use kinglet_quant::isa::Level;
use kinglet_quant::limits;
use std::fs;

/// Instruction sets that make a difference to us, by the system's names for them.
const FEATURES: &[&str] = &[
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
];

/// The processor's name, or at least its kind.
pub fn processor() -> String {
    cpuinfo("model name").or_else(|| cpuinfo("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The instruction sets that it has, of those that make a difference.
pub fn features() -> Vec<&'static str> {
    let flags = cpuinfo("flags").or_else(|| cpuinfo("Features")).unwrap_or_default();
    FEATURES.iter().copied().filter(|feature| flags.split_whitespace().any(|flag| flag == *feature)).collect()
}

/// How many cores' time the control group allows, where it allows less than all.
pub fn quota() -> Option<f64> {
    let max = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok()?;
    let (quota, period) = max.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

/// The system's setting for transparent huge pages: `always`, `madvise` or `never`.
pub fn huge_pages() -> Option<String> {
    let modes = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    Some(modes.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// Bytes per second that `threads` threads read together, from huge pages where the system has them, as weights are.
pub fn read_bandwidth(level: Level, threads: usize) -> f64 {
    match OwnMemory::new(limits::BUFFER / size_of::<i32>()) {
        Ok(memory) => limits::read_bandwidth_of(level, threads, &memory),
        Err(_) => f64::NAN,
    }
}

/// The first line of /proc/cpuinfo with this name.
fn cpuinfo(name: &str) -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    cpuinfo.lines().find_map(value)
}
