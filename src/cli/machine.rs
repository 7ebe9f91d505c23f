//! What the system tells of this machine's processor and memory. Where it tells nothing (another system than Linux), nothing is claimed.

use crate::file::OwnMemory;
use kinglet_quant::isa::Level;
use kinglet_quant::limits;
use std::fs;
use std::path::Path;

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

/// How much of the mapped file `path` is in memory, and how much of that in huge pages, in bytes; `None` where the system does not tell.
pub fn mapped(path: &Path) -> Option<(u64, u64)> {
    let path = fs::canonicalize(path).ok()?;
    let path = path.to_str()?;
    let (mut ours, mut all, mut huge) = (false, 0, 0);
    for line in fs::read_to_string("/proc/self/smaps").ok()?.lines() {
        // A mapping's first line begins with its addresses and ends with its file.
        match line.split_once(':') {
            Some((name, size)) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                let bytes = || size.trim().strip_suffix("kB").and_then(|size| size.trim().parse::<u64>().ok()).map_or(0, |kb| kb << 10);
                match name {
                    "Rss" if ours => all += bytes(),
                    "FilePmdMapped" if ours => huge += bytes(),
                    _ => {}
                }
            }
            _ => ours = line.ends_with(path),
        }
    }
    Some((all, huge))
}

/// Bytes per second that `threads` threads read together, again and again the same `bytes` (of a model's weights, say; no more than
/// [`limits::BUFFER`]), from huge pages where the system has them.
pub fn read_bandwidth(level: Level, threads: usize, bytes: usize) -> f64 {
    let least = threads * limits::PIECE;
    match OwnMemory::new(bytes.clamp(1, limits::BUFFER).next_multiple_of(least)) {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::file::ModelFile;
    use std::io::Write;

    #[test]
    fn a_mapped_file_is_found_among_the_mappings() {
        // A copy: other tests have the original open.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a model.gguf");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf"), &path).unwrap();
        assert_eq!(mapped(&path), Some((0, 0)));
        let file = ModelFile::open(&path).unwrap();
        let (all, huge) = mapped(&path).unwrap();
        assert!(all >= 4096 && huge <= all, "{huge} of {all}");
        drop(file);
        assert_eq!(mapped(&path), Some((0, 0)));
    }

    #[test]
    fn a_file_written_in_small_pieces_holds_what_it_held_when_it_is_settled_in_huge_pages() {
        const HUGE: u64 = 2 << 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let numbers = 3 * HUGE as usize;
        let tensor = format!(r#"{{"w":{{"dtype":"F32","shape":[{numbers}],"data_offsets":[0,{}]}}}}"#, 4 * numbers);
        let mut bytes = [&(tensor.len() as u64).to_le_bytes(), tensor.as_bytes()].concat();
        bytes.extend((0..numbers as u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()));
        let mut out = fs::File::create(&path).unwrap();
        bytes.chunks(16 << 10).for_each(|piece| out.write_all(piece).unwrap());
        out.sync_all().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        let file = ModelFile::open(&path).unwrap();
        file.settle();
        assert!(file.tensor("w").unwrap().bytes == &bytes[bytes.len() - 4 * numbers..]);
        // How many depends on the file system, and on how fast the disk is just now.
        let (all, huge) = mapped(&path).unwrap();
        assert!(huge % HUGE == 0 && huge <= bytes.len() as u64, "{huge} of {all}");
    }
}
