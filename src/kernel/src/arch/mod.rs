//! The processor: what the rest of the kernel may use of the machine that it runs on.
//!
//! There are two machines. `aarch64` is the product: boot assembly, exception vectors, page tables. `hosted` is a Linux
//! process, whose CPUs are host threads or, under exploration, contexts of one host thread that a seed schedules. This
//! file is the interface between them and the kernel: both have every item that is listed here, and no other item of
//! theirs can be reached. Only here and in `drivers` is there assembly or access to memory-mapped registers.

#[cfg_attr(target_os = "none", path = "aarch64/mod.rs")]
#[cfg_attr(not(target_os = "none"), path = "hosted/mod.rs")]
mod machine;

pub(crate) mod backtrace;
mod fault_kind;
pub(crate) mod hooks;
pub(crate) mod layout;
pub(crate) mod lock;
mod saved_context;

pub(crate) use machine::frame::{TrapFrame, frame_pointer};
/// Reports an event to the observer; does nothing in an image for a board.
pub(crate) use machine::observe::observe;

/// Starting CPUs: their stacks, and how each of them enters the kernel.
pub(crate) mod boot {
    #[cfg(target_os = "none")]
    pub(crate) use super::machine::boot::secondary_entry_physical;
    pub(crate) use super::machine::boot::{BootStacks, STACK_SIZE, continue_on_stacks};
    pub(crate) use super::machine::boot::{prepare_secondary, set_affinity};
}

/// Cache maintenance, for memory that is read or was written past the caches.
pub(crate) mod cache {
    #[cfg(target_os = "none")]
    pub(crate) use super::machine::cache::clean;
    pub use super::machine::cache::drop_lines;
    pub(crate) use super::machine::cache::forget_instructions;
}

/// The counter, and the timer of the calling CPU.
pub(crate) mod counter {
    pub(crate) use super::machine::counter::{TIMER_INTERRUPT, disarm, set_deadline};
    pub use super::machine::counter::{frequency, now};
}

/// Single instructions and identity registers of the CPU that executes the call.
pub(crate) mod cpu {
    pub(crate) use super::machine::cpu::{
        SERVICE_STACK, mark_end_of_nested_service, mark_end_of_service, mark_end_of_small_service,
        probe_nested_stack, probe_small_stack, stack_pointer,
    };
    pub use super::machine::cpu::{affinity, relax};
    pub use super::machine::cpu::{
        breakpoint, store_at_stack_pointer, undefined_instruction, with_lowered_stack,
    };
    pub(crate) use super::machine::cpu::{cpu_pointer, own_thread_pointer, set_cpu_pointer};
    pub(crate) use super::machine::cpu::{halt, identity, wait_for_interrupt};
    pub(crate) use super::machine::cpu::{probe_call_room, probe_stack, set_tls_pointer, tls_pointer};
    pub(crate) use super::machine::cpu::{set_thread_pointer, thread_pointer};
}

/// Masking of interrupts on the CPU that executes the call.
pub(crate) mod daif {
    pub use super::machine::daif::mask;
    pub(crate) use super::machine::daif::{Saved, mask_for_good, masked, restore, unmask};
}

/// How the machine was entered.
pub(crate) mod entry {
    pub(crate) use super::machine::entry::{level, set_level};
}

/// Exceptions: their decoding, and the report of one.
pub(crate) mod exception {
    pub(crate) use super::fault_kind::FaultKind;
    pub(crate) use super::hooks::set_fatal;
    pub(crate) use super::hooks::{Hooks, Room, set_hooks};
    pub(crate) use super::machine::Fault;
    pub(crate) use super::machine::exception::Report;
}

/// What an observer of the whole system uses; there is one under exploration only.
pub(crate) mod exploration {
    pub(crate) use super::machine::observe::standing;
    pub use super::machine::observe::{
        Observer, figures, is_explored, quietly, say, set_observer, violation,
    };
}

/// Floating-point state of LWPs.
pub(crate) mod fp {
    pub(crate) use super::machine::fp::{FpState, disable, enable};
}

/// Handing the machine over to another image.
pub(crate) mod handover {
    pub(crate) use super::machine::handover::{Move, PIECE, SCRATCH_PAGES, enter};
}

/// Pages of lazy stacks, one at a time and without a lock.
pub(crate) mod leaf {
    pub(crate) use super::machine::leaf::{look, map, unmap};
}

/// The address space.
pub(crate) mod mmu {

    pub use super::layout::linear;
    pub(crate) use super::layout::physical_of_linear;
    pub use super::machine::mmu::map_device;
    pub use super::machine::mmu::physical_of_image;
    pub(crate) use super::machine::mmu::{image_range, payload_range};
    pub(crate) use super::machine::mmu::{
        install, map_shared, mark_pages, set_frame_source, set_image_physical,
    };
    pub(crate) use super::machine::mmu::{is_writable, translate};
    pub(crate) use super::machine::mmu::{map_pages, unmap_pages, unmap_shared};
}

/// The context switch and the first entry of a thread.
pub(crate) mod switch {
    pub(crate) use super::machine::switch::{abandon, continue_on, prepare, restart, resume, switch};
    pub(crate) use super::saved_context::SavedContext;
}

/// What the drivers of the hosted machine are built on.
#[cfg(not(target_os = "none"))]
pub(crate) mod host {
    pub(crate) use super::machine::command_line::words;
    pub(crate) use super::machine::controller::{acknowledge, raise};
    pub(crate) use super::machine::cpus::{count as cpu_count, is_explored};
    pub(crate) use super::machine::entry::{entropy, is_typed_early, tell_figures};
    pub(crate) use super::machine::host::{exit, spawn, write};
    pub(crate) use super::machine::memory::{RAM_BASE, size as ram_size};
    pub(crate) use super::machine::signal::block_interrupts;
}
