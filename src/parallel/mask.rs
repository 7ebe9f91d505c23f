//! Sets of CPUs, as people write them and as Linux does, and confining this thread (and those that it starts) to one. The kernel is asked
//! afterwards what it made of the wish: a container or a CPU that is switched off makes it less without a word.

use crate::error::CpuMaskError;
use std::fmt;
use std::str::FromStr;

/// More CPUs than a mask of the system's has.
const MOST: usize = 1024;

/// Some CPUs, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuMask {
    /// In order, each once, below [`MOST`].
    cpus: Vec<usize>,
}

impl CpuMask {
    /// The numbers in order.
    pub fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// As a hexadecimal number, the lowest bit for CPU 0.
    pub fn hex(&self) -> String {
        let digits = self.cpus.last().map_or(1, |last| last / 4 + 1);
        let digit =
            |at: usize| (0..4).filter(|bit| self.cpus.binary_search(&(4 * at + bit)).is_ok()).fold(0, |digit, bit| digit | 1 << bit);
        (0..digits).rev().fold("0x".to_owned(), |text, at| text + &format!("{:x}", digit(at)))
    }

    /// Confines this thread, and all that it starts from now on, to these CPUs.
    ///
    /// # Errors
    /// Where the system refuses, or gives only some of them.
    pub fn confine(&self) -> Result<(), CpuMaskError> {
        let before = CpuMask::current();
        set(self)?;
        match CpuMask::current() {
            Some(found) if found == *self => Ok(()),
            found => {
                if let Some(before) = before {
                    // What was allowed before is allowed still.
                    let _ = set(&before);
                }
                let found = found.map_or("unknown ones".to_owned(), |found| found.to_string());
                Err(CpuMaskError::Refused { asked: self.to_string(), found })
            }
        }
    }

    /// The CPUs that this thread may run on; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub fn current() -> Option<CpuMask> {
        let set = rustix::thread::sched_getaffinity(None).ok()?;
        Some(CpuMask { cpus: (0..MOST).filter(|&cpu| set.is_set(cpu)).collect() })
    }

    /// The CPUs that this thread may run on; `None` where the system does not tell.
    #[cfg(not(target_os = "linux"))]
    pub fn current() -> Option<CpuMask> {
        None
    }

    fn of(mut cpus: Vec<usize>) -> Option<CpuMask> {
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty() && cpus.iter().all(|&cpu| cpu < MOST)).then_some(CpuMask { cpus })
    }
}

#[cfg(target_os = "linux")]
fn set(mask: &CpuMask) -> Result<(), CpuMaskError> {
    let mut set = rustix::thread::CpuSet::new();
    mask.cpus.iter().for_each(|&cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| match (error, CpuMask::current()) {
        // None of them is there or allowed.
        (rustix::io::Errno::INVAL, Some(_)) => CpuMaskError::Refused { asked: mask.to_string(), found: "none".into() },
        _ => CpuMaskError::System { asked: mask.to_string(), reason: error.to_string() },
    })
}

#[cfg(not(target_os = "linux"))]
fn set(mask: &CpuMask) -> Result<(), CpuMaskError> {
    Err(CpuMaskError::System { asked: mask.to_string(), reason: "this system has no such call".into() })
}

impl FromStr for CpuMask {
    type Err = CpuMaskError;

    /// `0-3,5` or `0x2f`.
    fn from_str(text: &str) -> Result<CpuMask, CpuMaskError> {
        let cpus = match text.trim().strip_prefix("0x").or_else(|| text.trim().strip_prefix("0X")) {
            Some(hex) => bits(hex),
            None => list(text),
        };
        cpus.and_then(CpuMask::of).ok_or_else(|| CpuMaskError::Syntax { found: text.to_owned() })
    }
}

impl fmt::Display for CpuMask {
    /// As Linux writes it: `0-3,5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.cpus[..];
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(cpu, next)| *cpu == next).count();
            let comma = if rest.len() < self.cpus.len() { "," } else { "" };
            match run {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", first + run - 1)?,
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// The CPUs of a list as Linux writes it: `0-3,8,10-11`.
pub(super) fn list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range: std::ops::RangeInclusive<usize> = first.trim().parse().ok()?..=last.trim().parse().ok()?;
        cpus.extend(range.take(1 << 16));
    }
    Some(cpus)
}

/// The CPUs of a hexadecimal mask.
fn bits(hex: &str) -> Option<Vec<usize>> {
    let digits: Vec<u32> = hex.chars().rev().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    Some(
        digits
            .iter()
            .enumerate()
            .flat_map(|(at, digit)| (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| 4 * at + bit))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> CpuMask {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn lists_and_masks_name_the_same_cpus() {
        assert_eq!(mask("0-3,5").cpus(), [0, 1, 2, 3, 5]);
        assert_eq!(mask("0x2f"), mask("0-3,5"));
        assert_eq!(mask("5, 0-2,1-3"), mask("0X2F"));
        assert_eq!(mask("0x100000000000000000").cpus(), [68], "masks have as many digits as it takes");
        for (text, hex) in [("0-3,5", "0x2f"), ("0", "0x1"), ("7,68", "0x100000000000000080")] {
            assert_eq!((mask(text).to_string(), mask(text).hex()), (text.to_owned(), hex.to_owned()));
        }
    }

    #[test]
    fn what_is_no_set_of_cpus_is_refused() {
        for bad in ["", "x", "0x", "0xg", "1,,2", "-1", "3-1", "2f", "1024", "0x0", "0-99999999999999999999"] {
            assert!(matches!(bad.parse::<CpuMask>(), Err(CpuMaskError::Syntax { .. })), "{bad}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_is_confined_to_what_the_system_has() {
        std::thread::spawn(|| {
            let all = CpuMask::current().unwrap();
            let first = CpuMask { cpus: all.cpus()[..1].to_vec() };
            first.confine().unwrap();
            assert_eq!(CpuMask::current(), Some(first.clone()));
            assert_eq!(std::thread::spawn(CpuMask::current).join().unwrap(), Some(first.clone()));
            let beyond = CpuMask { cpus: vec![first.cpus()[0], MOST - 1] };
            assert!(matches!(beyond.confine(), Err(CpuMaskError::Refused { found, .. }) if found == first.to_string()));
            assert_eq!(CpuMask::current(), Some(first), "a refusal changes nothing");
        })
        .join()
        .unwrap();
    }
}
