//! Moving threads up that have been raised while they wait for a CPU: an LWP that is killed is raised for its death, so
//! that it ends whatever else computes (as a nice process is by DragonFly's lwpsignal()).
//!
//! A thread is raised by one transition of the word that has its CPU, too (`asphodel_core::sched::cpu_priority`). Only
//! that CPU uses the run queue that the thread may be in, so it is sent a message, and looks. A thread that is found
//! elsewhere by then has been queued with its new priority.

use asphodel_core::mailbox::{Mail, MailLink, Posted};
use asphodel_core::sched::cpu_priority::Place;
use asphodel_core::shim::atomic::Ordering;

use crate::cpu::{Cpu, RAISE};
use crate::drivers::gic;
use crate::sched::{MESSAGE, ready};
use crate::thread::{THREADS, Table, Thread};

/// Most threads that one message moves up, because interrupts are masked meanwhile.
const BATCH: u32 = 16;

/// The links of the mailboxes for raised threads.
struct Raises(&'static Table);

impl Mail for Raises {
    fn mail_link(&self, thread: u32) -> &MailLink {
        &self.0.get(thread).raise.link
    }
}

/// `thread` has been raised while it was at `place`: has it moved up there, if it waits in the run queue. Interrupts
/// masked.
pub(crate) fn move_up(thread: &Thread, place: Place) {
    let cpu = Cpu::this();
    if place.cpu() == cpu.index {
        look(cpu, thread);
    } else {
        send(place.cpu(), thread);
    }
}

/// Sends `thread` to the CPU `target`, unless it is on its way to one already, which then looks where it is.
fn send(target: u32, thread: &Thread) {
    let cpu = Cpu::get(target).expect("a thread's CPU has come up");
    // AcqRel: pairs with the swap in `take_in`, which precedes the look at the thread.
    if !thread.raise.is_posted.swap(true, Ordering::AcqRel)
        && cpu.raises.post(&Raises(&THREADS), thread.index) == Posted::Interrupt
    {
        cpu.request(RAISE);
        gic::send_sgi(MESSAGE, target as usize);
    }
}

/// Looks at the threads that other CPUs have sent, up to [`BATCH`] of them. Interrupts masked, on `cpu`.
pub(super) fn take_in(cpu: &'static Cpu) {
    let more = cpu.raises.drain(&Raises(&THREADS), BATCH, |index| {
        let thread = THREADS.get(index);
        thread.raise.is_posted.swap(false, Ordering::AcqRel);
        look(cpu, thread);
    });
    if more {
        cpu.request(RAISE);
        gic::send_sgi(MESSAGE, cpu.index as usize);
    }
}

/// Moves `thread` up if it waits here; if it is another CPU's by now, that one looks. Interrupts masked, on `cpu`.
fn look(cpu: &'static Cpu, thread: &Thread) {
    // Before and after its CPU is read: it is in no other CPU's queue then.
    let was_queued = thread.is_queued();
    let place = thread.place.latest();
    if !place.is_raised() {
        // It has ended, and another one has its record.
    } else if place.cpu() != cpu.index {
        send(place.cpu(), thread);
    } else if was_queued && thread.is_queued() {
        // SAFETY: this CPU, interrupts masked; the closure calls nothing that borrows again.
        unsafe {
            cpu.with_private(|private| {
                private.run_queue.requeue(&THREADS, thread.index, place.before(), place.priority());
            });
        }
        ready::compare_with_running(cpu, place.priority());
    }
}
