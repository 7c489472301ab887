//! Starting the other CPUs, by PSCI or through firmware's spin table.
//!
//! The boot code calls it on the boot CPU, in thread context, once the final page tables are in use. A started CPU
//! arrives at `start::secondary_cpu`; the caller must wait for that.

use aarch64_cpu::asm::{barrier, sev};
use asphodel_core::boot::board::StartMethod;
use smccc::{Hvc, Smc, psci};

use crate::arch::{boot, cache, mmu};
use crate::board;
use crate::mem::stack;

/// Why a CPU was not started.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum StartError {
    /// The board has no CPU with this index.
    #[error("there is no such CPU")]
    NoSuchCpu,
    /// It is the CPU that boots.
    #[error("it is running")]
    Running,
    /// The device tree does not say how to start it, or in a way that is not known.
    #[error("its enable-method is not known")]
    UnknownMethod,
    /// There is no memory for its stacks.
    #[error("there is no memory for its stacks")]
    NoMemory,
    /// The firmware refuses.
    #[error("{0}")]
    Psci(#[from] psci::Error),
}

/// Starts CPU `index` of the board's list.
///
/// It may be called again for a CPU of a spin table that does not arrive: that only wakes the CPU again.
///
/// # Errors
///
/// See [`StartError`]. Without an error, the CPU is on its way.
pub(crate) fn start(index: usize) -> Result<(), StartError> {
    let cpu = board::info().cpus.get(index).ok_or(StartError::NoSuchCpu)?;
    match cpu.start {
        StartMethod::Boot => return Err(StartError::Running),
        StartMethod::Unknown => return Err(StartError::UnknownMethod),
        StartMethod::PsciHvc | StartMethod::PsciSmc | StartMethod::SpinTable(_) => {}
    }
    let argument = boot::prepare_secondary(index, stack::map_boot_stacks).ok_or(StartError::NoMemory)?;
    let entry = boot::secondary_entry_physical();
    match cpu.start {
        StartMethod::PsciHvc => psci::cpu_on::<Hvc>(cpu.mpidr, entry, argument)?,
        StartMethod::PsciSmc => psci::cpu_on::<Smc>(cpu.mpidr, entry, argument)?,
        StartMethod::SpinTable(word) => release(word, entry),
        StartMethod::Boot | StartMethod::Unknown => unreachable!("refused above"),
    }
    Ok(())
}

/// Writes `entry` into the spin table's word at physical `word` and wakes the CPUs that poll it, whose
/// caches are off.
fn release(word: u64, entry: u64) {
    let word = mmu::linear(word).cast::<u64>();
    // SAFETY: the device tree names this word of RAM for this purpose, and firmware's page is reserved, so that nothing
    // else lies there. Its reader waits for the change, and reads again if it sees the store late.
    unsafe { word.write_volatile(entry) };
    // Its reader has its MMU off: its accesses are as to device memory and see what is at the point of coherency (Arm
    // ARM, section "Mismatched memory attributes").
    // SAFETY: the object just written.
    unsafe { cache::clean(word) };
    // A CPU that is not waiting yet remembers an event, so none is lost.
    barrier::dsb(barrier::SY);
    sev();
}
