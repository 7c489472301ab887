//! Switching the machine off, and restarting it.
//!
//! Owns the way to do it, fixed at boot. All functions but `init` may be called in any context, fatal ones
//! included: they take no lock and do not allocate.
//!
//! With the boot argument `end=restart` the machine restarts where it would be switched off otherwise: a board under test is
//! back in its loader then, and nobody has to touch its power.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use core::fmt;
use core::ptr::NonNull;

use asphodel_core::board::PowerInfo;
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{UniqueMmioPointer, field, field_shared};
use smccc::{Hvc, Smc, psci};

use super::pl011;
use crate::arch::{cpu, daif, mmu};
use crate::emergency_println;

const UNKNOWN: u8 = 0;
const PSCI_HVC: u8 = 1;
const PSCI_SMC: u8 = 2;
const WATCHDOG: u8 = 3;

/// Which of the above. Written once, at boot.
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Virtual address of the watchdog's registers, where that is the method.
static WATCHDOG_REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// The part of the BCM2835 power management block that resets the chip. No public manual describes
/// it; the values are those that every system for the board uses.
#[repr(C, align(4))]
struct PowerManagement {
    _other: [u32; 7],
    /// 0x1c RSTC: bits 5:4 say what happens when the watchdog runs out.
    reset_control: ReadPureWrite<u32>,
    /// 0x20 RSTS: the boot partition, in six bits that lie at the even places of bits 10:0.
    reset_status: ReadPureWrite<u32>,
    /// 0x24 WDOG: time left, in steps of about 15 µs.
    watchdog: ReadPureWrite<u32>,
}

/// Every write must carry this in its upper byte, or it is ignored.
const PASSWORD: u32 = 0x5a00_0000;
/// RSTC: the field that arms the watchdog, and its value for a full reset.
const RESET_FIELD: u32 = 0x30;
const RESET_FULL: u32 = 0x20;
/// RSTS: the partition field, and partition 63, which firmware takes for "stay off".
const PARTITION_FIELD: u32 = 0x555;
const PARTITION_HALT: u32 = 0x555;
/// Long enough for the write to RSTC to follow, short for everything else: 150 µs.
const WATCHDOG_STEPS: u32 = 10;

/// Whether the end is a restart. Written once, at boot.
static RESTARTS: AtomicBool = AtomicBool::new(false);

/// Fixes the way to switch off, and whether to restart instead. Once, on the boot CPU; before it, [`off`] only halts.
pub fn init(info: &PowerInfo, restarts: bool) {
    let method = match *info {
        PowerInfo::PsciHvc => PSCI_HVC,
        PowerInfo::PsciSmc => PSCI_SMC,
        PowerInfo::Unknown => UNKNOWN,
        PowerInfo::BcmWatchdog { base } => match mmu::map_device(base, size_of::<PowerManagement>()) {
            Some(registers) => {
                WATCHDOG_REGISTERS.store(registers.as_ptr().addr(), Ordering::Relaxed);
                WATCHDOG
            }
            None => UNKNOWN,
        },
    };
    // Release: pairs with the Acquire in `switch`, which then uses the registers' address.
    METHOD.store(method, Ordering::Release);
    RESTARTS.store(restarts, Ordering::Release);
}

/// The end of everything: switches the machine off, or restarts it where the boot arguments say so. `status` is what the
/// host reads on the console's last line: 0 for success. Where power cannot be switched off, the CPU halts.
pub fn off(status: u8) -> ! {
    // Acquire: pairs with the Release in `init`.
    if RESTARTS.load(Ordering::Acquire) {
        restart(status)
    }
    say_last(format_args!("asphodel: power off, status {status}"));
    switch(psci::system_off::<Hvc>, psci::system_off::<Smc>, Some(PARTITION_HALT))
}

/// Restarts the machine; `status` is said, too. Where that cannot be done, the CPU halts.
pub fn restart(status: u8) -> ! {
    say_last(format_args!("asphodel: restart, status {status}"));
    switch(psci::system_reset::<Hvc>, psci::system_reset::<Smc>, None)
}

/// The last line, and all before it, is out on the wire afterwards. Interrupts stay masked.
fn say_last(line: fmt::Arguments<'_>) {
    let _for_good = daif::mask();
    pl011::settle();
    emergency_println!("{line}");
    pl011::flush();
}

type PsciCall = fn() -> Result<(), psci::Error>;

fn switch(by_hvc: PsciCall, by_smc: PsciCall, partition: Option<u32>) -> ! {
    match METHOD.load(Ordering::Acquire) {
        PSCI_HVC => drop(by_hvc()),
        PSCI_SMC => drop(by_smc()),
        WATCHDOG => run_out_watchdog(partition),
        _ => {}
    }
    // A call that returns has failed, and the watchdog takes a moment: nothing is left to do here.
    cpu::halt()
}

/// Lets the watchdog run out in a moment, with the boot partition changed to `partition` if given.
fn run_out_watchdog(partition: Option<u32>) {
    let address = WATCHDOG_REGISTERS.load(Ordering::Relaxed) as *mut PowerManagement;
    let Some(registers) = NonNull::new(address) else { return };
    // SAFETY: a device mapping of the block that is never undone; nothing else in the kernel uses
    // the block, and a second CPU that gets here writes the same values.
    let mut registers = unsafe { UniqueMmioPointer::new(registers) };
    if let Some(partition) = partition {
        let status = field_shared!(registers, reset_status).read() & !PARTITION_FIELD;
        field!(registers, reset_status).write(PASSWORD | status | partition);
    }
    field!(registers, watchdog).write(PASSWORD | WATCHDOG_STEPS);
    let control = field_shared!(registers, reset_control).read() & !RESET_FIELD;
    field!(registers, reset_control).write(PASSWORD | control | RESET_FULL);
}
