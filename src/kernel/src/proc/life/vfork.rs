//! vfork: a spawner that waits until its child has stopped using the memory that they share.
//!
//! vfork(2), RFPPWAIT, P_PPWAIT. The decision is that of `asphodel_core::proc::vfork`.

use asphodel_core::wait::reason::Reason;

use crate::proc::state::table::Process;
use crate::sync::wait_queue::WaitOptions;

/// Waits until `child` has replaced its program or has released its memory in its exit. The caller has a reference to
/// it. Killable. Thread context; blocks.
pub(crate) fn wait_for(child: &Process) {
    let options = WaitOptions::killable(Reason::Vfork);
    let _done_or_killed = child.vfork_queue.wait_in(options, || !child.vfork_wait.in_progress());
}

/// The process has stopped using the memory it shares with its spawner: wakes the spawner if it waits for that (T78,
/// D18). Called by its only LWP; never blocks.
pub(crate) fn done(process: &Process) {
    if process.vfork_wait.done() {
        process.vfork_queue.wake_all();
    }
}
