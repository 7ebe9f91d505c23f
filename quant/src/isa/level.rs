//! The list of levels, and which of them to use: the best that the CPU has, unless `KINGLET_ISA` asks for another.

#[cfg(all(target_arch = "x86_64", test))]
use super::avx_vnni::model::AvxVnniModel;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, Avx512Vnni, AvxVnni};
#[cfg(target_arch = "aarch64")]
use super::{DotProd, I8mm, Neon};
use super::{Isa, LINE, Op, Scalar};
use std::fmt;
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// An instruction-set level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Plain Rust, on every CPU.
    Scalar,
    /// 256-bit vectors: AVX2 with FMA and F16C (Intel from 2013, AMD from 2015).
    Avx2,
    /// 256-bit vectors with byte dot products: AVX2 and AVX-VNNI (Intel Alder Lake, AMD Zen 5 and later).
    AvxVnni,
    /// 512-bit vectors: AVX-512 F, BW, VL and DQ (Intel Skylake-X).
    Avx512,
    /// 512-bit vectors with byte dot products: AVX-512 F, BW, VL, DQ and VNNI (Intel Ice Lake, AMD Zen 4 and later).
    Avx512Vnni,
    /// 128-bit vectors: NEON, which every 64-bit ARM CPU has (Cortex-A53, A72: Raspberry Pi 3 and 4).
    Neon,
    /// 128-bit vectors with byte dot products: NEON with ARMv8.2's dot product (Cortex-A76, Neoverse N1: Raspberry Pi 5).
    DotProd,
    /// 128-bit vectors with byte matrix products: NEON with ARMv8.6's (Neoverse V1, Cortex-A510 and A710, Apple M2).
    I8mm,
}

/// Why the level that `KINGLET_ISA` asks for can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// No level has this name.
    #[error("KINGLET_ISA={asked}: no such level; there are {}", names(&Level::ALL))]
    Unknown {
        /// The variable's value.
        asked: String,
    },
    /// The level exists, but not on this CPU.
    #[error("instruction-set level {asked} (KINGLET_ISA): this CPU does not have it; it has {}", names(&Level::available()))]
    Missing {
        /// The level asked for.
        asked: Level,
    },
}

fn names(levels: &[Level]) -> String {
    levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
}

/// Whether this CPU converts f16 to f32 on other ports than those that multiply, as AMD's do and Intel's don't: what a kernel had better
/// save differs.
#[cfg(target_arch = "x86_64")]
pub fn converts_apart() -> bool {
    static AMD: LazyLock<bool> = LazyLock::new(|| {
        let vendor = std::arch::x86_64::__cpuid(0);
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
    });
    *AMD
}

/// Whether this CPU converts f16 to f32 on other ports than those that multiply: not known of ARM's.
#[cfg(not(target_arch = "x86_64"))]
pub fn converts_apart() -> bool {
    false
}

/// What [`Level::fetch`] asks for.
struct Fetch<'a> {
    bytes: &'a [u8],
    near: bool,
}

impl Op for Fetch<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        isa.prefetch(self.bytes, 0, self.bytes.len().div_ceil(LINE), self.near);
    }
}

impl Level {
    /// All levels, of each kind of CPU the best last.
    pub const ALL: [Level; 8] =
        [Level::Scalar, Level::Avx2, Level::AvxVnni, Level::Avx512, Level::Avx512Vnni, Level::Neon, Level::DotProd, Level::I8mm];

    /// The name that `KINGLET_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::AvxVnni => "avxvnni",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Neon => "neon",
            Level::DotProd => "dotprod",
            Level::I8mm => "i8mm",
        }
    }

    /// The levels that this CPU has, the best last.
    pub fn available() -> Vec<Level> {
        Level::ALL.into_iter().filter(|level| level.is_available()).collect()
    }

    /// The level to use: what the environment variable `KINGLET_ISA` says, or the best that this CPU has.
    pub fn detect() -> Result<Level, LevelError> {
        let Some(asked) = std::env::var_os("KINGLET_ISA").filter(|asked| !asked.is_empty()) else {
            return Ok(*Level::available().last().expect("scalar is always there"));
        };
        let asked = asked.to_string_lossy();
        let level = Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(&asked));
        let level = level.ok_or_else(|| LevelError::Unknown { asked: asked.into_owned() })?;
        if level.is_available() { Ok(level) } else { Err(LevelError::Missing { asked: level }) }
    }

    fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => AvxVnni::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => Avx512Vnni::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::DotProd => DotProd::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::I8mm => I8mm::new().is_some(),
            _ => false,
        }
    }

    /// Asks for bytes that are used soon, into the first cache (`near`) or the second one, where a CPU's own prefetchers can't see them
    /// coming.
    #[inline]
    pub fn fetch(self, bytes: &[u8], near: bool) {
        self.run_vectors(Fetch { bytes, near });
    }

    /// Runs `op`, which multiplies no bytes, with this level's vectors: it is compiled once for each width, not for each level.
    ///
    /// # Panics
    /// Where this CPU does not have the level ([`Level::available`]).
    #[inline]
    pub fn run_vectors<O: Op>(self, op: O) -> O::Output {
        match self {
            Level::Scalar => Scalar.vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::AvxVnni => Avx2::new().expect("this CPU has AVX2").vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Vnni => Avx512::new().expect("this CPU has AVX-512").vectorize(op),
            #[cfg(target_arch = "aarch64")]
            Level::Neon | Level::DotProd | Level::I8mm => Neon::new().expect("this CPU has NEON").vectorize(op),
            _ => panic!("this CPU does not have {self}"),
        }
    }

    /// Runs `op` with this level's instructions.
    ///
    /// # Panics
    /// Where this CPU does not have the level ([`Level::available`]).
    #[inline]
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            Level::Scalar => Scalar.vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::new().expect("this CPU has AVX2").vectorize(op),
            #[cfg(all(target_arch = "x86_64", test))]
            Level::AvxVnni if AvxVnni::new().is_none() => AvxVnniModel::new().expect("this CPU has AVX2").vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => AvxVnni::new().expect("this CPU has AVX-VNNI").vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::new().expect("this CPU has AVX-512").vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => Avx512Vnni::new().expect("this CPU has AVX-512 VNNI").vectorize(op),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::new().expect("this CPU has NEON").vectorize(op),
            #[cfg(target_arch = "aarch64")]
            Level::DotProd => DotProd::new().expect("this CPU has byte dot products").vectorize(op),
            #[cfg(target_arch = "aarch64")]
            Level::I8mm => I8mm::new().expect("this CPU has byte matrix products").vectorize(op),
            _ => panic!("this CPU does not have {self}"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
