//! The scheduler: who runs on each CPU, in the LWKT manner.
//!
//! Fixed priorities, round robin inside one, a time slice only while somebody of the same priority waits. A CPU alone
//! touches its run queue, interrupts masked; other CPUs post threads to its mailbox and send an SGI. There is no tick:
//! the timer is set for the next deadline that matters, and an idle CPU with nothing to wait for sleeps in WFI.
//!
//! | file | what it owns |
//! |---|---|
//! | `switch` | choosing the next thread, switching, and what is done for the one before |
//! | `ready` | making threads runnable, here or on another CPU |
//! | `deadline` | the timer hardware: slices, sleepers, offers of work |
//! | `timer` | what is due when it fires |
//! | `balance` | work for idle CPUs, by message |
//! | `parking` | CPUs that take no more work |
//! | `eviction` | which threads must leave them |
//! | `idle` | the idle thread |
//! | `interrupt` | what the interrupt hooks do |

pub(crate) mod balance;
pub(crate) mod deadline;
mod eviction;
pub(crate) mod idle;
pub(crate) mod interrupt;
pub(crate) mod parking;
pub(crate) mod ready;
pub(crate) mod switch;
mod timer;

/// The interrupt that says "look into your mailbox, and at who wants work".
pub(crate) const MESSAGE: u32 = 0;
