//! Kills that guards delay for too long.
//!
//! An LWP that holds a mutex or a token is killed when it has dropped the guard; but it may have forgotten it, or keep it
//! in a loop, or wait for another one that it never gets. When such a kill is delayed ([`delayed`]) a task looks at the
//! LWPs whose kills are; one that it has found at twenty looks ends with its guards (`sync::service`). Looks are counted
//! instead of time, as for disabled preemption, so that a busy host of an emulator shortens no LWP's time.

use asphodel_core::errno::Errno;
use asphodel_core::sched::refusal::{INTERVAL_NANOSECONDS, Looks};
use asphodel_core::wait::reason::Reason;

use crate::arch::counter;
use crate::cpu::Cpu;
use crate::drivers::gic;
use crate::proc::state::lwp_record;
use crate::proc::state::table::process_of;
use crate::sched::{MESSAGE, ready};
use crate::sync::{Mutex, service};
use crate::thread::{THREADS, Thread};
use crate::time;
use crate::work::Task;
use crate::work::callout::Callout;

/// LWPs that are looked at, at a time; others have their turn after these.
const AT_ONCE: usize = 64;
/// The time until the next look at an LWP whose kill is overdue, in nanoseconds: it may just have been in a system call.
const SOON_NANOSECONDS: u64 = 1_000_000;

/// An LWP whose kill is delayed.
#[derive(Debug)]
struct Delayed {
    thread: u32,
    /// Pid and tid: which of the LWPs that use the record in turn.
    key: (i32, u32),
    looks: Looks,
    /// It was found at this look.
    is_present: bool,
}

static TIMER: Callout = Callout::new(|_| LOOK.enqueue(), 0);
/// One look at a time.
static LOOK: Task = Task::new(look, 0);
/// Locked by that task only.
static DELAYED: Mutex<heapless::Vec<Delayed, AT_ONCE>> = Mutex::new(heapless::Vec::new());

/// Allocates what is needed, and has delayed kills reported to this module. Called once, before process 1.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn start() -> Result<(), Errno> {
    service::set_delay_handler(|| LOOK.enqueue());
    TIMER.reserve()
}

/// Looks at all LWPs whose kills are delayed. The task.
fn look(_argument: usize) {
    let mut delayed = DELAYED.lock();
    let mut any_is_overdue = None;
    for index in 1..THREADS.len() {
        let thread = THREADS.get(index);
        // The reference keeps the record from becoming another LWP's meanwhile.
        if is_delayed(thread) && thread.refs.try_get() {
            if is_delayed(thread) {
                let is_overdue = look_at(thread, &mut delayed);
                any_is_overdue = Some(any_is_overdue.unwrap_or(false) || is_overdue);
            }
            lwp_record::put_thread(thread);
        }
    }
    delayed.retain_mut(|delayed| core::mem::take(&mut delayed.is_present));
    if let Some(overdue) = any_is_overdue {
        // That a guard is forgotten shows in nothing but the time that it is held.
        let armed = TIMER.arm(if overdue { SOON_NANOSECONDS } else { INTERVAL_NANOSECONDS });
        debug_assert!(armed.is_ok(), "what it needs was reserved at boot");
    }
}

fn is_delayed(thread: &Thread) -> bool {
    service::is_kill_pending(thread) && service::holds_guards(thread) && thread.is_lwp()
}

/// Looks at one of them. Returns whether its kill is overdue.
fn look_at(thread: &Thread, delayed: &mut heapless::Vec<Delayed, AT_ONCE>) -> bool {
    let key = (process_of(thread).pid().raw(), thread.lwp.list_entry.tid());
    let known = delayed.iter_mut().position(|known| known.thread == thread.index && known.key == key);
    let place = known.or_else(|| {
        let new = Delayed { thread: thread.index, key, looks: Looks::default(), is_present: true };
        delayed.push(new).ok().map(|()| delayed.len() - 1)
    });
    let Some(known) = place.and_then(|place| delayed.get_mut(place)) else { return false };
    known.is_present = true;
    known.looks = known.looks.note(counter::now(), time::scale().ticks(INTERVAL_NANOSECONDS));
    let is_overdue = known.looks.are_enough();
    if is_overdue {
        // It may have been killed once more since.
        let _known = thread.kill_flag.set_delayed();
        thread.kill_flag.set_overdue();
        bring_to_its_end(thread);
    }
    is_overdue
}

/// The kill of `thread` is overdue: ends its wait for one more guard, or interrupts its program.
fn bring_to_its_end(thread: &Thread) {
    if matches!(thread.waits_for.get(), Reason::Mutex | Reason::Token) {
        ready::complete_unpark(thread.index, thread.park.unpark());
    }
    let target = thread.cpu();
    if Cpu::get(target).is_some_and(|cpu| cpu.current.is(thread.index)) {
        gic::send_sgi(MESSAGE, target as usize);
    }
}
