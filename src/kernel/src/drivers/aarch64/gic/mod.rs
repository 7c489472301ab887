//! The interrupt controller, GICv2 or GICv3, chosen at boot by the board's description.
//!
//! Owns the distributor and each CPU's interface to it. Setting up takes one lock; the three paths that every interrupt
//! and every message between CPUs takes ([`acknowledge`], [`end`], [`send_sgi`]) take none, because each CPU has its
//! own interface, and what they read is written once, at boot. All interrupts have one priority (none interrupts
//! another's handler) and belong to the Non-secure group 1, or to the only group if there is no security. CPUs are
//! identified by their index in the board's list.

mod v2;
mod v3;

use asphodel_core::shim::atomic::{AtomicU64, AtomicUsize, Ordering};

use asphodel_core::boot::board::{CpuInfo, GicInfo, MAX_CPUS};

use crate::arch::lock::InterruptLock;

/// Interrupt number of the first shared interrupt; below are those private to each CPU.
const FIRST_SHARED: u32 = 32;

/// Interrupt numbers from here on are no interrupts (GICv2 and v3 architecture, "special INTIDs").
const FIRST_SPECIAL: u32 = 1020;
const LAST_SPECIAL: u32 = 1023;

/// Priority of every interrupt, in the middle, as all four bytes of a priority register.
const PRIORITIES: u32 = 0x8080_8080;

/// The controller, after it has been set up.
static CONTROLLER: InterruptLock<Option<Controller>> = InterruptLock::new(None);

/// Virtual address of the GICv2 CPU interface, 0 on a GICv3. Every CPU sees its own registers there.
static CPU_INTERFACE: AtomicUsize = AtomicUsize::new(0);

/// Virtual address of the GICv2's register that sends, 0 on a GICv3.
static SGI_REGISTER: AtomicUsize = AtomicUsize::new(0);

/// The target field of each CPU in the register that sends; 0 for a CPU that has not been set up.
static TARGETS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

#[expect(clippy::large_enum_variant, reason = "there is one of it, in a static")]
enum Controller {
    V2(v2::Controller),
    V3(v3::Controller),
}

/// Why the interrupt controller cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InitError {
    /// Its registers do not fit into the device window.
    #[error("the interrupt controller's registers cannot be mapped")]
    NotMapped,
    /// None of the redistributors serves the CPU.
    #[error("no interrupt redistributor for CPU {0}")]
    NoRedistributor(usize),
    /// The redistributor is of a kind that the driver does not know.
    #[error("unknown layout of the interrupt redistributor of CPU {0}")]
    UnknownLayout(usize),
}

/// An interrupt that this CPU has taken and not yet ended.
#[derive(Debug, Eq, PartialEq)]
#[must_use = "an interrupt that is not ended blocks all others on this CPU"]
pub(crate) struct Ack {
    /// Its number (INTID).
    pub intid: u32,
    /// The value that the controller needs at the end: on a GICv2 an SGI's number with its sender.
    raw: u32,
}

/// Sets up the distributor: every shared interrupt off, idle and level triggered.
///
/// Called once, on the boot CPU, before any CPU calls [`init_cpu`]. `cpus` are all CPUs of the board.
///
/// # Errors
///
/// If the registers cannot be mapped.
pub(crate) fn init(info: &GicInfo, cpus: &[CpuInfo]) -> Result<(), InitError> {
    let controller = match info {
        GicInfo::V2 { distributor, cpu_interface } => {
            let controller = v2::Controller::new(*distributor, *cpu_interface)?;
            CPU_INTERFACE.store(controller.cpu_interface_address(), Ordering::Relaxed);
            SGI_REGISTER.store(controller.sgi_register_address(), Ordering::Relaxed);
            Controller::V2(controller)
        }
        GicInfo::V3 { distributor, redistributors } => {
            Controller::V3(v3::Controller::new(*distributor, redistributors, cpus)?)
        }
    };
    *CONTROLLER.lock() = Some(controller);
    Ok(())
}

/// Sets up the calling CPU's private interrupts (all off) and its interface to the controller.
///
/// Called once on each CPU, the boot CPU included, with interrupts masked.
///
/// # Errors
///
/// On a GICv3 whose redistributor for this CPU was not found or is of an unknown kind.
pub(crate) fn init_cpu(index: usize) -> Result<(), InitError> {
    let target = with_controller(|controller| match controller {
        Controller::V2(controller) => Ok(controller.init_cpu()),
        Controller::V3(controller) => controller.init_cpu(index),
    })?;
    // Relaxed: a CPU that sends to this one has learned by other means that it is up.
    TARGETS[index].store(target, Ordering::Relaxed);
    Ok(())
}

/// Lets the private interrupt `intid` (an SGI or PPI) reach the calling CPU. Any context.
pub(crate) fn enable_private(intid: u32) {
    assert!(intid < FIRST_SHARED);
    with_controller(|controller| match controller {
        Controller::V2(controller) => controller.enable(intid),
        Controller::V3(controller) => controller.enable_private(intid),
    });
}

/// Lets the shared interrupt `intid` reach CPU `cpu_index`, which has been set up. Returns `false` if the controller has
/// no such interrupt. Any context.
#[must_use]
pub(crate) fn enable_shared(intid: u32, cpu_index: usize) -> bool {
    let count = with_controller(|controller| match controller {
        Controller::V2(controller) => controller.interrupts(),
        Controller::V3(controller) => controller.interrupts(),
    });
    if !(FIRST_SHARED..count.min(FIRST_SPECIAL)).contains(&intid) {
        return false;
    }
    let target = TARGETS[cpu_index].load(Ordering::Relaxed);
    assert!(target != 0, "a CPU that has not been set up takes no interrupts");
    with_controller(|controller| match controller {
        Controller::V2(controller) => controller.enable_shared(intid, target),
        Controller::V3(controller) => controller.enable_shared(intid, cpu_index),
    });
    true
}

fn with_controller<R>(operation: impl FnOnce(&mut Controller) -> R) -> R {
    operation(CONTROLLER.lock().as_mut().expect("the interrupt controller is set up first of all drivers"))
}

/// Sends the software generated interrupt `sgi` (0 to 15) to CPU `cpu_index`, which may be the caller's own. What the
/// caller has stored before is visible to the handler. Any context; takes no lock.
#[inline]
pub(crate) fn send_sgi(sgi: u32, cpu_index: usize) {
    let target = TARGETS[cpu_index].load(Ordering::Relaxed);
    match SGI_REGISTER.load(Ordering::Relaxed) {
        0 => v3::send_sgi(target, sgi),
        register => v2::send_sgi(register, target, sgi),
    }
}

/// Sends the software generated interrupt `sgi` to all CPUs but the caller's, whether they are set up
/// or not. As [`send_sgi`] otherwise.
#[inline]
pub(crate) fn send_sgi_all_others(sgi: u32) {
    match SGI_REGISTER.load(Ordering::Relaxed) {
        0 => v3::send_sgi(v3::ALL_OTHERS, sgi),
        register => v2::send_sgi(register, v2::ALL_OTHERS, sgi),
    }
}

/// Takes the calling CPU's next interrupt; `None` if there is none (any more). Called by the interrupt handler, with
/// interrupts masked; takes no lock. What the sender of an SGI had stored is visible afterwards.
#[inline]
pub(crate) fn acknowledge() -> Option<Ack> {
    let (intid, raw) = match CPU_INTERFACE.load(Ordering::Relaxed) {
        0 => v3::acknowledge(),
        interface => v2::acknowledge(interface),
    };
    if (FIRST_SPECIAL..=LAST_SPECIAL).contains(&intid) { None } else { Some(Ack { intid, raw }) }
}

/// Ends the interrupt, so that the same one may come again. Called on the CPU that took it, with interrupts masked;
/// takes no lock.
#[inline]
pub(crate) fn end(ack: Ack) {
    match CPU_INTERFACE.load(Ordering::Relaxed) {
        0 => v3::end(ack.raw),
        interface => v2::end(interface, ack.raw),
    }
}
