//! The description of the machine that the kernel runs on.
//!
//! Owns only the description types: plain values of fixed size, so that a description can be made before there is an
//! allocator. `devicetree` fills one in from a flattened device tree; a package of boards does so for machines that are
//! started without one. After boot a description never changes and may be read from any context.

use heapless::{String, Vec};

use super::left_out::LeftOut;

/// Most CPUs of a machine; further ones in the device tree are not started.
pub const MAX_CPUS: usize = 64;

/// Most separate stretches of RAM that are used.
pub const MAX_MEMORY_REGIONS: usize = 16;

/// Most separate stretches of RAM that may be set aside; of more, the closest become one, because using memory that
/// firmware still needs is worse than not using some that is free.
pub const MAX_RESERVED_REGIONS: usize = 32;

/// Most redistributor regions of a GICv3.
pub const MAX_REDISTRIBUTOR_REGIONS: usize = 8;

/// Longest boot argument line, in bytes.
pub const MAX_BOOT_ARGUMENTS: usize = 512;

/// Most random bytes from the loader that are used.
pub const MAX_ENTROPY: usize = 128;

/// A stretch of physical address space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// First physical address.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Region {
    /// Returns the first physical address past the region; the top of the address space if it would wrap.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }
}

/// How a CPU is brought from reset into the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartMethod {
    /// It is the boot CPU.
    Boot,
    /// PSCI `CPU_ON` by hypervisor call.
    PsciHvc,
    /// PSCI `CPU_ON` by secure monitor call.
    PsciSmc,
    /// Firmware polls the 64-bit word at this physical address for an entry address.
    SpinTable(u64),
    /// The tree names an unknown method: the CPU is not started.
    Unknown,
}

/// One CPU.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CpuInfo {
    /// Affinity fields of its `MPIDR_EL1` (bits 39:32 and 23:0).
    pub mpidr: u64,
    /// How to start it.
    pub start: StartMethod,
}

/// The interrupt controller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GicInfo {
    /// GICv2: at most eight CPUs, memory-mapped CPU interface.
    V2 {
        /// Physical address of the distributor (4 KiB).
        distributor: u64,
        /// Physical address of the CPU interface (8 KiB).
        cpu_interface: u64,
    },
    /// GICv3 or v4: CPU interface in system registers, one redistributor for each CPU.
    V3 {
        /// Physical address of the distributor (64 KiB).
        distributor: u64,
        /// Where the redistributors lie, one after the other inside each region.
        redistributors: Vec<Region, MAX_REDISTRIBUTOR_REGIONS>,
    },
}

/// The PL011 that is the console.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UartInfo {
    /// Physical address of its registers (4 KiB).
    pub base: u64,
    /// Interrupt number at the GIC (INTID).
    pub irq: u32,
    /// Frequency of its reference clock in Hz, or `None` if it is unknown: the divisors that firmware programmed are
    /// then kept.
    pub clock_hz: Option<u32>,
}

/// How the machine is switched off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PowerInfo {
    /// PSCI `SYSTEM_OFF` by hypervisor call.
    PsciHvc,
    /// PSCI `SYSTEM_OFF` by secure monitor call.
    PsciSmc,
    /// The power management block of the BCM2835 family: its watchdog resets into "halted".
    BcmWatchdog {
        /// Physical address of the block (4 KiB).
        base: u64,
    },
    /// The method is unknown: the CPUs are halted instead.
    Unknown,
}

/// A whole machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoardInfo {
    /// Name for messages, from the tree.
    pub model: String<64>,
    /// The CPUs, the booting one first, the others in the tree's order.
    pub cpus: Vec<CpuInfo, MAX_CPUS>,
    /// All RAM.
    pub memory: Vec<Region, MAX_MEMORY_REGIONS>,
    /// RAM that must not be given out: firmware, device tree, initial RAM disk. The kernel image is
    /// not among it.
    pub reserved: Vec<Region, MAX_RESERVED_REGIONS>,
    /// The interrupt controller.
    pub gic: GicInfo,
    /// The console's UART.
    pub uart: UartInfo,
    /// The way to switch off.
    pub power: PowerInfo,
    /// Rate of the system counter in Hz, if the tree has one: firmware has not set the register then, or wrongly.
    pub counter_hz: Option<u64>,
    /// Physical address of the registers of a PL031 (4 KiB): a clock that knows the date.
    pub rtc: Option<u64>,
    /// Random bytes that the loader has drawn for this boot; as many as there are.
    pub entropy: Vec<u8, MAX_ENTROPY>,
    /// The command line: words `key=value` (see `bootargs`).
    pub bootargs: String<MAX_BOOT_ARGUMENTS>,
    /// What is not used of what the loader passed.
    pub left_out: LeftOut,
}

impl BoardInfo {
    /// Leaves the RAM from physical address `limit` on out.
    pub fn limit_memory(&mut self, limit: u64) {
        let beyond = &mut self.left_out.memory_beyond;
        self.memory.retain_mut(|region| {
            let kept = region.end().min(limit).saturating_sub(region.base);
            *beyond = beyond.saturating_add(region.size - kept);
            region.size = kept;
            kept > 0
        });
    }
}

/// Appends as much of `text` as fits, cut at the end of a word, so that a key never gets half a value.
pub fn add_bootargs(into: &mut String<MAX_BOOT_ARGUMENTS>, text: &str) {
    for word in text.split_ascii_whitespace() {
        let separator = usize::from(!into.is_empty());
        if into.len() + separator + word.len() > into.capacity() {
            return;
        }
        if separator == 1 {
            into.push(' ').expect("its room was just counted");
        }
        into.push_str(word).expect("its room was just counted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_arguments_are_cut_between_words() {
        let mut line = String::new();
        add_bootargs(&mut line, "  seed=3\tfilter=exit*  ");
        assert_eq!(line, "seed=3 filter=exit*");
        add_bootargs(&mut line, "");
        add_bootargs(&mut line, "a");
        assert_eq!(line, "seed=3 filter=exit* a");

        let long = "x".repeat(MAX_BOOT_ARGUMENTS - 5);
        line.clear();
        add_bootargs(&mut line, &format!("a=1 {long} b=2"));
        assert_eq!(line.len(), MAX_BOOT_ARGUMENTS - 1, "b=2 does not fit and is left out whole");
    }

    #[test]
    fn a_region_at_the_top_does_not_wrap() {
        assert_eq!(Region { base: u64::MAX - 1, size: 16 }.end(), u64::MAX);
    }
}
