//! Which of the machine's CPUs a command may use.

use crate::cli::Failure;
use crate::parallel::CpuMask;
use clap::Args;

/// Which CPUs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct MaskFlags {
    /// CPUs to run on: a list as 0-3,5 or a hexadecimal mask as 0x2f [default: all that this process may use]
    #[arg(long, value_name = "CPUS", visible_alias = "cpu-range")]
    cpu_mask: Option<CpuMask>,
}

impl MaskFlags {
    /// Confines the program to the CPUs asked for; to be called before it starts threads.
    pub fn confine(&self) -> Result<(), Failure> {
        let Some(mask) = &self.cpu_mask else { return Ok(()) };
        mask.confine().map_err(|error| Failure::error(format!("--cpu-mask: {error}")))
    }

    /// As llama-bench records it.
    pub fn hex(&self) -> String {
        self.cpu_mask.as_ref().map_or("0x0".to_owned(), CpuMask::hex)
    }
}
