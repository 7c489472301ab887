//! Switching the machine off, and restarting it.
//!
//! Owns the method, which is fixed at boot. All functions but `init` may be called in any context, fatal ones included,
//! because they take no lock and do not allocate.
//!
//! With the boot argument `end=restart` the machine restarts instead of being switched off: a board under test is back
//! in its loader then, without a manual power cycle.

use asphodel_core::shim::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use core::fmt;
use core::ptr::NonNull;

use asphodel_core::boot::board::PowerInfo;
use smccc::{Hvc, Smc, psci};
use tock_registers::fields::FieldValue;
use tock_registers::interfaces::{ReadWriteable, Writeable};
use tock_registers::registers::ReadWrite;
use tock_registers::{register_bitfields, register_structs};

use super::pl011;
use crate::arch::{cpu, daif, mmu};
use crate::console;

const UNKNOWN: u8 = 0;
const PSCI_HVC: u8 = 1;
const PSCI_SMC: u8 = 2;
const WATCHDOG: u8 = 3;

/// The method, one of the above. Written once, at boot.
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Virtual address of the watchdog's registers, if that is the method.
static WATCHDOG_REGISTERS: AtomicUsize = AtomicUsize::new(0);

register_bitfields! {
    u32,
    /// The kind of a reset. As in all three registers, a write without the password in the upper byte is ignored.
    PM_RSTC [
        PASSWORD OFFSET(24) NUMBITS(8) [Key = 0x5a],
        /// The effect of the watchdog's expiry.
        WRCFG OFFSET(4) NUMBITS(2) [FullReset = 0b10]
    ],
    /// The kind of the last reset, and between those bits the six of the partition to boot from.
    PM_RSTS [
        PASSWORD OFFSET(24) NUMBITS(8) [Key = 0x5a],
        PARTITION5 OFFSET(10) NUMBITS(1) [],
        PARTITION4 OFFSET(8) NUMBITS(1) [],
        PARTITION3 OFFSET(6) NUMBITS(1) [],
        PARTITION2 OFFSET(4) NUMBITS(1) [],
        PARTITION1 OFFSET(2) NUMBITS(1) [],
        PARTITION0 OFFSET(0) NUMBITS(1) []
    ],
    /// The watchdog's timer.
    PM_WDOG [
        PASSWORD OFFSET(24) NUMBITS(8) [Key = 0x5a],
        /// Time left, in steps of about 15 µs.
        TIME OFFSET(0) NUMBITS(20) []
    ]
}

register_structs! {
    /// The part of the BCM2835 power management block that resets the chip. No public manual describes
    /// it; names and values are those that every system for the board uses.
    PowerManagement {
        (0x00 => _reserved),
        (0x1c => pm_rstc: ReadWrite<u32, PM_RSTC::Register>),
        (0x20 => pm_rsts: ReadWrite<u32, PM_RSTS::Register>),
        (0x24 => pm_wdog: ReadWrite<u32, PM_WDOG::Register>),
        (0x28 => @END),
    }
}

/// A change of PM_RSTS.
type ResetStatus = FieldValue<u32, PM_RSTS::Register>;

/// The time until the reset: long enough for the write to PM_RSTC to follow, and short otherwise: 150 µs.
const WATCHDOG_STEPS: u32 = 10;

/// `true` if the machine restarts at its end. Written once, at boot.
static RESTARTS: AtomicBool = AtomicBool::new(false);

/// Fixes the method, and whether to restart instead. Called once, on the boot CPU; before it, [`off`] only halts.
pub(crate) fn init(info: &PowerInfo, restarts: bool) {
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

/// Ends the system: switches the machine off, or restarts it if the boot arguments say so. `status` is what the host
/// reads on the console's last line: 0 for success. If power cannot be switched off, the CPU halts.
pub(crate) fn off(status: u8) -> ! {
    // Acquire: pairs with the Release in `init`.
    if RESTARTS.load(Ordering::Acquire) {
        restart(status)
    }
    say_last(format_args!("asphodel: power off, status {status}"));
    switch(psci::system_off::<Hvc>, psci::system_off::<Smc>, Some(partition_halt()))
}

/// Restarts the machine; `status` is also printed. If that is not possible, the CPU halts.
pub(crate) fn restart(status: u8) -> ! {
    say_last(format_args!("asphodel: restart, status {status}"));
    switch(psci::system_reset::<Hvc>, psci::system_reset::<Smc>, None)
}

/// Prints the last line, and waits until it and all before it have been sent. Interrupts stay masked.
fn say_last(line: fmt::Arguments<'_>) {
    let _for_good = daif::mask();
    pl011::settle();
    console::emergency_say(line);
    pl011::flush();
}

type PsciCall = fn() -> Result<(), psci::Error>;

fn switch(by_hvc: PsciCall, by_smc: PsciCall, partition: Option<ResetStatus>) -> ! {
    match METHOD.load(Ordering::Acquire) {
        PSCI_HVC => drop(by_hvc()),
        PSCI_SMC => drop(by_smc()),
        WATCHDOG => run_out_watchdog(partition),
        _ => {}
    }
    // A call that returns has failed, and the watchdog takes a moment: there is nothing left to do here.
    cpu::halt()
}

/// Returns partition 63, by which the firmware stays off.
fn partition_halt() -> ResetStatus {
    PM_RSTS::PARTITION0::SET
        + PM_RSTS::PARTITION1::SET
        + PM_RSTS::PARTITION2::SET
        + PM_RSTS::PARTITION3::SET
        + PM_RSTS::PARTITION4::SET
        + PM_RSTS::PARTITION5::SET
}

/// Lets the watchdog expire shortly, with the boot partition changed to `partition` if one is given.
fn run_out_watchdog(partition: Option<ResetStatus>) {
    let address = WATCHDOG_REGISTERS.load(Ordering::Relaxed) as *mut PowerManagement;
    let Some(registers) = NonNull::new(address) else { return };
    // SAFETY: a device mapping of the block that is never undone; nothing else in the kernel uses the block, and a
    // second CPU that reaches this writes the same values.
    let registers = unsafe { registers.as_ref() };
    if let Some(partition) = partition {
        registers.pm_rsts.modify(PM_RSTS::PASSWORD::Key + partition);
    }
    registers.pm_wdog.write(PM_WDOG::PASSWORD::Key + PM_WDOG::TIME.val(WATCHDOG_STEPS));
    registers.pm_rstc.modify(PM_RSTC::PASSWORD::Key + PM_RSTC::WRCFG::FullReset);
}
