//! Starting CPUs: what the boot page must know, and where it returns to.
//!
//! Owns the contexts of the other CPUs, which each of them finds by its affinity with its MMU off, and the
//! changes of page tables and stacks that a CPU makes once on its way to the scheduler.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr::from_ref;

use super::table_switch::disable_low_half;
use super::{addresses, cache, cpu, entry};
use crate::arch::lock::InterruptLock;

/// Size in bytes of a CPU's stack, to start with, and of its exception stack.
pub(crate) const STACK_SIZE: usize = 16 * 1024;
/// Size in bytes of the boot CPU's first stack: descriptions of machines are large values.
pub(super) const FIRST_STACK_SIZE: usize = 3 * STACK_SIZE;
/// Most CPUs that can be prepared.
pub(super) const MAX_CPUS: usize = asphodel_core::boot::board::MAX_CPUS;

/// What a CPU needs to know when it is started; it finds the entry by its affinity, with the MMU off.
///
/// Each entry has a cache line of its own, so that cleaning one for its reader does not touch another.
#[repr(C, align(64))]
pub(super) struct Context {
    /// Affinity of the CPU, plus one; 0 means that the entry is unused.
    pub(super) key: u64,
    pub(super) index: u64,
    /// 0 until the CPU may be started.
    pub(super) stack_top: u64,
    pub(super) exception_stack_top: u64,
    pub(super) table: u64,
}

/// The contexts of all CPUs.
pub(super) struct Contexts(UnsafeCell<[Context; MAX_CPUS]>);

// SAFETY: only `with_context` makes a reference of it, under a lock.
unsafe impl Sync for Contexts {}

pub(super) static CONTEXTS: Contexts = Contexts(UnsafeCell::new(
    [const { Context { key: 0, index: 0, stack_top: 0, exception_stack_top: 0, table: 0 } }; MAX_CPUS],
));

/// The stacks of one CPU, handed over to it for good, as the addresses above them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootStacks {
    /// Top of the stack that it boots on, which becomes its idle thread's.
    pub(crate) top: usize,
    /// Top of the stack that it takes exceptions on.
    pub(crate) exception_top: usize,
}

/// Returns the physical address at which the other CPUs are to be started, by PSCI or by a spin table.
pub(crate) fn secondary_entry_physical() -> u64 {
    addresses::physical_of_image(entry::secondary as *const () as usize)
}

/// Records the affinity of the CPU with that index. Called by the boot code, once for each CPU, before
/// [`prepare_secondary`]. CPUs beyond [`MAX_CPUS`] are ignored.
pub(crate) fn set_affinity(index: usize, affinity: u64) {
    with_context(index, |context| {
        context.key = (affinity & cpu::AFFINITY_MASK) + 1;
        context.index = index as u64;
    });
}

/// Hands a CPU its stacks, which `stacks` makes, and records them where it finds them with its caches off.
///
/// Returns the argument to start it with; `None` if the index is unknown or memory is short. The started CPU does not
/// depend on the argument, because it finds its context by its affinity: a spin table passes no argument. Thread
/// context; a second call for the same CPU makes no new stacks.
pub(crate) fn prepare_secondary(index: usize, stacks: impl FnOnce() -> Option<BootStacks>) -> Option<u64> {
    with_context(index, |context| {
        if context.key == 0 {
            return None;
        }
        if context.stack_top == 0 {
            let stacks = stacks()?;
            context.exception_stack_top = stacks.exception_top as u64;
            context.table = addresses::root_table();
            context.stack_top = stacks.top as u64;
        }
        // A CPU that is started has its caches off and does not see this CPU's (Arm ARM, section "Behavior of caches at
        // reset"), so what was written must be in memory. It writes nothing there, so no line must be dropped.
        // SAFETY: a reference points to an object.
        unsafe { cache::clean(from_ref(context)) };
        Some(addresses::physical_of_image(from_ref(context) as usize))
    })?
}

/// Runs `change` on a CPU's context, if there is one of that index.
fn with_context<T>(index: usize, change: impl FnOnce(&mut Context) -> T) -> Option<T> {
    static WRITER: InterruptLock<()> = InterruptLock::new(());
    let _writer = WRITER.lock();
    // Lock order: contexts -> stack slots.
    // SAFETY: (1) the lock admits one CPU at a time, and `change` does not call back; (2) CPUs that are being started
    // read with the MMU off what was written and cleaned before.
    let contexts = unsafe { &mut *CONTEXTS.0.get() };
    contexts.get_mut(index).map(change)
}

/// Calls `next` on another stack of this CPU, and exceptions on another exception stack, for good.
///
/// # Safety
/// The CPU must be in EL1t with interrupts masked, and nothing may point into the old stacks any more.
pub(crate) unsafe fn continue_on_stacks(stacks: BootStacks, next: extern "C" fn() -> !) -> ! {
    // SAFETY: the stacks are mapped and belong to this CPU for good; the old ones are not used any more, because `next`
    // does not return. Outside an exception SP_EL1 is not in use.
    unsafe {
        asm!(
            "msr spsel, #1",
            "mov sp, {exception_stack}",
            "msr spsel, #0",
            "mov sp, {stack}",
            "mov x29, xzr",
            "mov x30, xzr",
            "br {next}",
            exception_stack = in(reg) stacks.exception_top,
            stack = in(reg) stacks.top,
            next = in(reg) next,
            options(noreturn)
        )
    }
}

/// The first Rust function on a CPU that this system has started, on its own stack, with the final tables.
pub(super) extern "C" fn secondary_start(index: usize) -> ! {
    disable_low_half();
    unsafe extern "C" {
        /// Where the kernel continues (`boot`), with interrupts masked.
        safe fn kernel_secondary(index: usize) -> !;
    }
    kernel_secondary(index)
}
