//! The observer of an exploration: it sees everything, and checks the invariants.
//!
//! The kernel itself is explored: the image `explore` runs on the hosted machine in explore mode, where a seed decides
//! every interleaving, and its process 1 runs the workloads of `asphodel-workloads` round after round. The kernel
//! reports events (`asphodel_core::event`); the observer keeps the expected state of each process record, and compares
//! it at each event with the kernel's own tables (`asphodel::testing`). Nothing is checked at a point without an event,
//! so that an exploration runs at full speed; a sample from time to time detects what lasts too long.
//!
//! | invariant | where it is checked |
//! |---|---|
//! | I1 one LWP is elected in each process, and calls the hooks once | `exit`, `zombie` |
//! | I2, I3 a zombie has no LWP, and none of its LWPs is on a CPU | `lwp-off-cpu`, `zombie` |
//! | I4 a stack or a thread record is freed when it has no user | `stack-freed`, `lwp-record-freed` |
//! | I5 a process record is freed when it was reaped and there is no reference to it | `record-vacated` |
//! | I6 each end is reported once | `zombie`, `reaped` |
//! | I7 stops and continues are reported at most once | nothing stops yet |
//! | I8 no thread sleeps whose condition holds | at rest: the scheduler, and the end of each round |
//! | I9 no LWP is counted in a process that has ended | `lwp-create` |
//! | I10 a child has a parent that has not ended and has it in its list | `create`, `disowned`, `record-vacated`, after each round |
//! | I11 the usage of children is added once | after each round: all that was settled is process 1's |
//! | I12 everything is released once, and nothing is left | every event; after each round: records, stacks, arenas, quotas |
//! | I13 an exit ends | the watchdog, the limit of a round, samples |
//!
//! It also checks R13 (a record outlasts the wake-up), E1 (the LWP that releases the resources of a process is alone),
//! quotas (a ledger is 0 at its founder's end), and work conservation (an active CPU does not idle while a thread waits
//! that it may run).
#![no_std]

mod events;
mod looks;
mod state;

pub use events::{hook_called, start};
pub use looks::{left_behind, round_begins};
pub use state::{Totals, totals};

/// Checks an invariant.
macro_rules! check {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            asphodel::testing::violation(format_args!($($what)+));
        }
    };
}
pub(crate) use check;
