//! The description of the machine that the kernel runs on.
//!
//! Owns only the description types: plain values of fixed size, so that a description can be made before there is an
//! allocator. `devicetree` fills one in from a flattened device tree; a package of boards does so for machines that are
//! started without one. After boot a description never changes and may be read from any context.

use heapless::{String, Vec};

use super::bootargs::{self, SEPARATOR};
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

/// Longest boot argument line, in bytes: all that an image can have of its own, and as much from the loader.
pub const MAX_BOOT_ARGUMENTS: usize = 1024;

const _: () = assert!(bootargs::MAX_EMBEDDED + SEPARATOR.len() + 2 <= MAX_BOOT_ARGUMENTS / 2);

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

/// Appends the words of `text` that fit, up to the first that does not, so that a key never gets half a value. Returns how
/// many bytes at its end were left out.
pub fn add_bootargs(into: &mut String<MAX_BOOT_ARGUMENTS>, text: &str) -> usize {
    let taken = if into.is_empty() { 0 } else { into.len() + 1 };
    let (words, left_out) = cut(text, MAX_BOOT_ARGUMENTS + 1 - taken.min(MAX_BOOT_ARGUMENTS + 1));
    for word in words.split_ascii_whitespace() {
        if !into.is_empty() {
            into.push(' ').expect("its room was just counted");
        }
        into.push_str(word).expect("its room was just counted");
    }
    left_out
}

/// Makes one line of the loader's boot arguments and the image's own, which are kept whole: the loader's are cut, each part
/// at its end. The image's stand behind the loader's, because the last of equal keys holds, and words for the first process
/// last of all. Returns how many bytes of the loader's were left out, too.
#[must_use]
pub fn join_bootargs(loaders: &str, own: &str) -> (String<MAX_BOOT_ARGUMENTS>, usize) {
    let [(first, words), (second, more)] = [loaders, own].map(bootargs::split);
    let cost = |text: &str| text.split_ascii_whitespace().map(|word| word.len() + 1).sum::<usize>();
    let room = (MAX_BOOT_ARGUMENTS + 1).saturating_sub(cost(second) + cost(more) + cost(SEPARATOR));
    let (first, cut_first) = cut(first, room);
    let (words, cut_words) = cut(words, room - cost(first));
    let separator = if words.is_empty() && more.is_empty() { "" } else { SEPARATOR };
    let mut line = String::new();
    let parts = [first, second, separator, words, more];
    let rest: usize = parts.into_iter().map(|part| add_bootargs(&mut line, part)).sum();
    (line, cut_first + cut_words + rest)
}

/// Returns the beginning of `text` whose words take up to `room` bytes, each with a blank behind it, and the length of the
/// rest.
fn cut(text: &str, mut room: usize) -> (&str, usize) {
    for word in text.split_ascii_whitespace() {
        match room.checked_sub(word.len() + 1) {
            Some(left) => room = left,
            None => {
                let (kept, rest) = text.split_at(word.as_ptr().addr() - text.as_ptr().addr());
                return (kept.trim_ascii_end(), rest.len());
            }
        }
    }
    (text, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_arguments_are_cut_between_words() {
        let mut line = String::new();
        assert_eq!(add_bootargs(&mut line, "  seed=3\tfilter=exit*  "), 0);
        assert_eq!(line, "seed=3 filter=exit*");
        assert_eq!(add_bootargs(&mut line, "") + add_bootargs(&mut line, "a"), 0);
        assert_eq!(line, "seed=3 filter=exit* a");

        let long = "x".repeat(MAX_BOOT_ARGUMENTS - 5);
        line.clear();
        assert_eq!(add_bootargs(&mut line, &format!("a=1 {long} b=2 c")), 5);
        assert_eq!(line.len(), MAX_BOOT_ARGUMENTS - 1, "b=2 does not fit and is left out whole");
        assert_eq!(add_bootargs(&mut line, "x"), 1);
        line.clear();
        assert_eq!(add_bootargs(&mut line, &"x".repeat(MAX_BOOT_ARGUMENTS)), 0, "it just fits");
        assert_eq!(add_bootargs(&mut line, "x"), 1);
    }

    #[test]
    fn an_images_own_arguments_are_kept_whole() {
        // As long as a real firmware's: all of it is kept.
        let firmware = format!("coherent_pool=1M {} snd_bcm2835.enable_hdmi=1", "x=y ".repeat(80));
        let own = format!("filter={} end=restart", "f".repeat(300));
        let (line, left_out) = join_bootargs(&firmware, &own);
        assert!(line.starts_with("coherent_pool=1M ") && line.ends_with(" end=restart"));
        assert_eq!((left_out, bootargs::value(&line, "snd_bcm2835.enable_hdmi")), (0, Some("1")));

        // Both at their limits: the loader's end is cut, and nothing of the image's.
        let own = format!("seed=2 {} -- storm", "y".repeat(bootargs::MAX_EMBEDDED - 16));
        assert_eq!(own.len(), bootargs::MAX_EMBEDDED);
        let loaders = format!("seed=1 {}cut=1 off=1 -- words", "z=1 ".repeat(200));
        let (line, left_out) = join_bootargs(&loaders, &own);
        assert!(line.len() <= MAX_BOOT_ARGUMENTS && line.ends_with(" -- storm"), "{line}");
        assert_eq!((bootargs::value(&line, "seed"), bootargs::value(&line, "cut")), (Some("2"), None));
        let kept = line.matches("z=1").count();
        assert_eq!(left_out, (200 - kept) * 4 + "cut=1 off=1".len() + "words".len());
    }

    #[test]
    fn words_for_the_first_process_come_last() {
        let joined = |loaders, own| join_bootargs(loaders, own).0;
        assert_eq!(joined("a=1 -- x y", "b=2 -- z"), "a=1 b=2 -- x y z");
        assert_eq!(joined("a=1", "b=2"), "a=1 b=2");
        assert_eq!(joined("", "-- z"), "-- z");
        assert_eq!(joined("-- x", ""), "-- x");
        assert_eq!(joined(" ", ""), "");
    }

    #[test]
    fn a_region_at_the_top_does_not_wrap() {
        assert_eq!(Region { base: u64::MAX - 1, size: 16 }.end(), u64::MAX);
    }
}
