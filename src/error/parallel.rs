//! What can go wrong when a process is confined to some of the machine's CPUs.

use super::file::{Excerpt, LONGEST_NAME};

/// A mask of CPUs can't be read or had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuMaskError {
    /// The text is no mask.
    #[error("\"{}\" is no set of CPUs, expected a list as 0-3,5 or a hexadecimal mask as 0x2f", Excerpt(found, LONGEST_NAME))]
    Syntax {
        /// What was given.
        found: String,
    },
    /// The system gives other CPUs than were asked for.
    #[error(
        "CPUs {asked} were asked for, and this process may use {found} of them (the machine has others switched off, or a container does)"
    )]
    Refused {
        /// What was asked for.
        asked: String,
        /// What the kernel reports.
        found: String,
    },
    /// The system can't confine a process.
    #[error("can't confine this process to CPUs {asked}: {reason}")]
    System {
        /// What was asked for.
        asked: String,
        /// What the system said.
        reason: String,
    },
}
