//! The emulated machine, as it is chosen on the command line.

use std::path::Path;

use clap::Args;

use crate::machine::{Boot, Configuration, Machine};

/// Options of commands that boot one machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct Hardware {
    /// The machine to emulate
    #[arg(long, value_enum, default_value_t = Machine::Virt)]
    pub(crate) machine: Machine,
    /// CPUs of the machine (raspi4b always has 4)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) cpus: u32,
    /// Memory of the machine, as QEMU writes it (raspi4b always has 2G)
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub(crate) memory: String,
}

impl Hardware {
    /// Returns a boot of `image` on it, for what can run on an emulated machine only.
    ///
    /// # Errors
    /// Same as [`Hardware::boot`]; also fails for the hosted machine.
    pub(crate) fn emulated_boot(&self, image: &Path) -> anyhow::Result<Boot> {
        Configuration::emulated(self.machine, self.cpus)?;
        self.boot(image)
    }

    /// Returns a boot of `image` on it.
    ///
    /// # Errors
    /// Fails when there is no machine with that many CPUs.
    pub(crate) fn boot(&self, image: &Path) -> anyhow::Result<Boot> {
        let mut boot = Boot::new(Configuration::new(self.machine, self.cpus)?, image);
        boot.memory.clone_from(&self.memory);
        Ok(boot)
    }
}
