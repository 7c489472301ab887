//! What programs do: anything, at random, and then they end.
//!
//! Nothing that a program waits for can stay away for ever: children and siblings end, and every other wait has a
//! deadline. So whatever does not come to an end is the kernel's fault (I13).

mod init;
mod mind;

use asphodel_core::proc::status::Status;
use asphodel_core::sched::place::CpuMask;
use asphodel_core::sched::priority::Priority;
use asphodel_core::thread::park::Sleep;

use crate::glue::wait_queue;
use crate::world::World;
use crate::world::thread::Thread;

/// What an LWP runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Process 1: spawns, and waits for all that end.
    Init,
    /// Another LWP of process 1, which waits, too.
    Helper,
    /// The first LWP of any other process.
    Program,
    /// Another LWP.
    Worker,
}

/// Runs an LWP's entry. `Some`: it was the process's, which ends with this.
pub(crate) async fn run(w: &World, role: Role) -> Option<Status> {
    match role {
        Role::Init => init::run(w).await,
        Role::Helper => {
            init::help(w).await;
            None
        }
        Role::Program => {
            mind::live(w).await;
            Some(Status::exited(w.below(256) as i32))
        }
        Role::Worker => {
            mind::live(w).await;
            None
        }
    }
}

/// Gives a new thread attributes.
pub(crate) fn scatter(w: &World, thread: &Thread) {
    if w.one_in(5) {
        thread.affinity.set(some_cpus(w));
    }
    if w.one_in(6) {
        let nearby = i32::from(Priority::NORMAL.level()) + w.below(3) as i32 - 1;
        thread.priority.set(Priority::from_level(nearby as u32));
    }
}

/// Some of the CPUs there are, one at least.
pub(crate) fn some_cpus(w: &World) -> CpuMask {
    let count = w.cpus.len() as u32;
    let one = 1 << w.below(count);
    CpuMask::from_bits((w.rng.borrow_mut().any() | one) & (u64::MAX >> (64 - count)))
}

/// How many at_exit hooks there are to register.
pub(crate) const HOOKS: u32 = 4;

/// An at_exit hook; `true`: it ends the exit owner.
pub(crate) async fn hook(w: &World, number: u32) -> bool {
    match number {
        0 => wait_queue::sleep(w, Sleep::Killable, 1 + w.below(20)).await,
        1 => wait_queue::sleep(w, Sleep::Uninterruptible, 1 + w.below(20)).await,
        2 => return w.one_in(4),
        _ => {}
    }
    false
}
