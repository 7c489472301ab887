//! Reaping: the end of a zombie that has been claimed.
//!
//! Called by the parent's wait4, and by the context that publishes a zombie that need not be waited for.

use asphodel_core::event::Event;
use asphodel_core::proc::gate::Claim;
use asphodel_core::proc::quota::Resource;
use asphodel_core::proc::usage::Usage;
use asphodel_core::trace::Step;

use crate::arch::observe;
use crate::proc::info::trace;
use crate::proc::state::arena;
use crate::proc::state::table::Process;

/// Reaps a claimed zombie that is off its parent's list: its usage is added to the parent, and its pid is free when the
/// last reference is dropped. Any context; never blocks.
pub(crate) fn free_zombie(child: &'static Process, parent: &Process, claim: Claim) {
    free_zombie_with(child, parent, claim, &child.accounts.total());
}

/// As [`free_zombie`], for a caller that knows what the child used.
#[inline]
pub(crate) fn free_zombie_with(child: &'static Process, parent: &Process, _claim: Claim, usage: &Usage) {
    child.exit.mark(Step::Reaped);
    observe(|| Event::Reaped { pid: child.pid(), heir: parent.slot });
    parent.accounts.children.add(*usage);
    // Before its pid can identify another process, so that a look-up finds the record here or there.
    trace::keep(child);
    child.leave_group();
    child.unreserve(Resource::Processes, 1);
    arena::reap(child);
    // The table's reference.
    child.put();
}
