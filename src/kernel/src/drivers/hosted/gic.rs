//! The interrupt controller: a word of pending interrupts for each CPU (`arch::hosted::machine`).

use asphodel_core::boot::board::{CpuInfo, GicInfo};

use crate::arch::{cpu, host};

/// Why the interrupt controller cannot be used. It always can here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InitError {}

/// An interrupt that this CPU has taken and not yet ended.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "an interrupt that is not ended blocks all others on this CPU"]
pub(crate) struct Ack {
    /// Its number (INTID).
    pub intid: u32,
}

/// Does nothing: there is nothing to set up.
///
/// # Errors
/// None.
pub(crate) fn init(_info: &GicInfo, _cpus: &[CpuInfo]) -> Result<(), InitError> {
    Ok(())
}

/// Does nothing: there is nothing to set up.
///
/// # Errors
/// None.
pub(crate) fn init_cpu(_index: usize) -> Result<(), InitError> {
    Ok(())
}

/// Does nothing: private interrupts always reach their CPU.
pub(crate) fn enable_private(_intid: u32) {}

/// Does nothing: shared interrupts always reach the boot CPU.
#[must_use]
pub(crate) fn enable_shared(_intid: u32, _cpu_index: usize) -> bool {
    true
}

/// Sends the software generated interrupt `sgi` (0 to 15) to CPU `cpu_index`, which may be the caller's own. What the
/// caller has stored before is visible to the handler. Any context; takes no lock.
#[inline]
pub(crate) fn send_sgi(sgi: u32, cpu_index: usize) {
    host::raise(cpu_index, sgi);
}

/// Sends the software generated interrupt `sgi` to all CPUs but the caller's.
pub(crate) fn send_sgi_all_others(sgi: u32) {
    let me = cpu::affinity() as usize;
    for index in (0..host::cpu_count()).filter(|index| *index != me) {
        host::raise(index, sgi);
    }
}

/// Takes the calling CPU's next interrupt; `None` if there is none (any more). Interrupts must be masked.
#[inline]
pub(crate) fn acknowledge() -> Option<Ack> {
    host::acknowledge().map(|intid| Ack { intid })
}

/// Ends the interrupt.
#[inline]
pub(crate) fn end(_ack: Ack) {}
