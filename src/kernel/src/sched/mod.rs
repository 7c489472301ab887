//! The scheduler: which thread runs on each CPU, as in LWKT.
//!
//! Fixed priorities, round robin inside one, a time slice only while another thread of the same priority waits. Only
//! the CPU itself uses its run queue, interrupts masked; other CPUs post threads to its mailbox and send an SGI. There
//! is no tick: the timer is set for the next deadline that is needed, and an idle CPU with nothing to wait for sleeps
//! in WFI.
//!
//! | file | what it owns |
//! |---|---|
//! | `switch` | choosing the next thread, switching, and what is done for the one before |
//! | `ready` | making threads runnable, here or on another CPU |
//! | `deadline` | the timer hardware: slices, sleepers, offers of work |
//! | `timer` | what is due when it fires |
//! | `balance` | work for idle CPUs, by message |
//! | `raise` | moving up threads whose priority was raised, by message |
//! | `active` | CPUs that take no more work |
//! | `eviction` | which threads must leave them |
//! | `idle` | the idle thread |
//! | `interrupt` | what the interrupt hooks do |

pub(crate) mod active;
pub(crate) mod balance;
pub(crate) mod deadline;
mod eviction;
pub(crate) mod idle;
pub(crate) mod interrupt;
pub(crate) mod raise;
pub(crate) mod ready;
pub(crate) mod switch;
mod timer;

/// The interrupt that makes a CPU check its mailbox, and requests for work.
pub(crate) const MESSAGE: u32 = 0;
