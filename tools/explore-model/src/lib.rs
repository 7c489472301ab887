//! Randomised exploration of the whole exit subsystem on the host.
//!
//! Many processes with many LWPs live on several simulated CPUs. Every decision is the kernel's own: the gate, the LWP
//! list, the family, parking, wait queues, references, run queues, mailboxes and timers are those of `asphodel-core`.
//! What the kernel does around them (`glue`) is written again as it stands in `src/kernel/src`, file by file, in steps:
//! each atomic operation and each section under a lock is one, and between two of them anything may happen on the other
//! CPUs, or an interrupt on the same one. A seeded scheduler chooses whose step is next, so a run is a number: the same
//! seed gives the same steps, and a failure replays exactly.
//!
//! After each step the invariants of the exit subsystem, I1 to I13, are checked for all that the step touched, and every
//! few thousand steps for everything there is (`invariants`). I7 (stops and continues are reported at most once) holds
//! vacuously: nothing stops here. With them go T74 (a leader ends after its peers) and T175 (nobody slips through the
//! kill of a subtree or group). Memory is sequentially consistent; what weak memory adds is the business of the loom
//! models.
//!
//! | module | what it owns |
//! |---|---|
//! | [`config`] | how large the world is, and which bug is seeded |
//! | `world` | records, CPUs, the clock; beside each record what an omniscient observer knows of it |
//! | `glue` | the kernel's code around the decisions, in steps |
//! | `actors` | what programs do: everything at random, but they all end |
//! | `machine` | contexts, interrupts, and whose step is next |
//! | `invariants` | I1 to I13, after a step, for everything, and at rest |
//! | [`report`] | what a run has seen, and how a failure is told |

mod actors;
pub mod config;
mod event;
mod glue;
mod invariants;
mod machine;
pub mod report;
mod rng;
mod run;
mod world;

pub use config::{Bug, Config};
pub use report::{Failure, Progress};
pub use run::{Run, explore};
