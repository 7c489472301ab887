//! The processor: what the rest of the kernel may use of the machine that it runs on.
//!
//! There are two machines. `aarch64` is the product: boot assembly, exception vectors, page tables. `hosted` is a Linux
//! process, whose CPUs are host threads or, under exploration, contexts of one host thread that a seed schedules. This
//! file is the interface between them and the kernel: both have every item that is listed here, and no other item of
//! theirs can be reached. Only here and in `drivers` is there assembly or access to memory-mapped registers.

#[cfg_attr(target_os = "none", path = "aarch64/mod.rs")]
#[cfg_attr(not(target_os = "none"), path = "hosted/mod.rs")]
mod machine;

mod fault_kind;
pub(crate) mod hooks;
pub mod layout;
pub mod lock;

pub use machine::frame::TrapFrame;
/// Reports an event to the observer; does nothing in an image for a board.
pub(crate) use machine::observe::observe;

/// Stack walking.
pub mod backtrace {
    pub use super::machine::backtrace::Backtrace;
}

/// Starting CPUs: their stacks, and how each of them enters the kernel.
pub mod boot {
    #[cfg(target_os = "none")]
    pub(crate) use super::machine::boot::secondary_entry_physical;
    pub(crate) use super::machine::boot::{BootStacks, STACK_SIZE, continue_on_stacks};
    pub(crate) use super::machine::boot::{prepare_secondary, set_affinity};
}

/// Cache maintenance, for memory that is read or was written past the caches.
pub mod cache {
    pub use super::machine::cache::{clean, drop_lines, forget_instructions};
}

/// The counter, and the timer of the calling CPU.
pub mod counter {
    pub use super::machine::counter::{TIMER_INTERRUPT, disarm, frequency, now, set_deadline};
}

/// Single instructions and identity registers of the CPU that executes the call.
pub mod cpu {
    pub use super::machine::cpu::{affinity, halt, identity, relax, wait_for_interrupt};
    pub use super::machine::cpu::{breakpoint, undefined_instruction, with_lowered_stack};
    pub use super::machine::cpu::{cpu_pointer, set_cpu_pointer, set_thread_pointer, thread_pointer};
    pub use super::machine::cpu::{probe_call_room, probe_stack, set_tls_pointer, tls_pointer};
}

/// Masking of interrupts on the CPU that executes the call.
pub mod daif {
    pub use super::machine::daif::{Saved, mask, mask_for_good, masked, restore, take_pending, unmask};
}

/// How the machine was entered.
pub(crate) mod entry {
    pub(crate) use super::machine::entry::{level, set_level};
}

/// Exceptions: their decoding, and the report of one.
pub mod exception {
    pub use super::fault_kind::FaultKind;
    pub(crate) use super::hooks::set_fatal;
    pub(crate) use super::hooks::{Hooks, Room, set_hooks};
    pub use super::machine::Fault;
    pub use super::machine::exception::Report;
}

/// What an observer of the whole system uses; there is one under exploration only.
pub mod exploration {
    pub use super::machine::observe::{
        Observer, Standing, figures, is_explored, quietly, say, set_observer, standing, violation,
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
pub mod mmu {
    pub use super::machine::mmu::{FrameSource, MapError, PhysicalRange};
    pub use super::machine::mmu::{
        image_range, linear, payload_range, physical_of_image, physical_of_linear,
    };
    pub(crate) use super::machine::mmu::{
        install, map_shared, mark_pages, set_frame_source, set_image_physical,
    };
    pub use super::machine::mmu::{is_readable, is_writable, translate};
    pub use super::machine::mmu::{map_device, map_pages, unmap_pages};
}

/// The context switch and the first entry of a thread.
pub(crate) mod switch {
    pub(crate) use super::machine::switch::{SavedContext, abandon, prepare, restart, resume, switch};
}

/// What the drivers of the hosted machine are built on.
#[cfg(not(target_os = "none"))]
pub(crate) mod host {
    pub(crate) use super::machine::command_line::words;
    pub(crate) use super::machine::controller::{acknowledge, raise};
    pub(crate) use super::machine::entry::{entropy, tell_figures};
    pub(crate) use super::machine::host::{exit, spawn, write};
    pub(crate) use super::machine::machine::{count as cpu_count, is_explored};
    pub(crate) use super::machine::memory::{RAM_BASE, size as ram_size};
    pub(crate) use super::machine::signal::block_interrupts;
}
