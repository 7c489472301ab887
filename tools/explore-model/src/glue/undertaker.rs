//! What is done for an LWP once its stack is out of use. Masked, on the idle thread's stack.

use asphodel_core::list::NIL;
use asphodel_core::proc::gate::OffCpu;
use asphodel_core::proc::usage::Usage;
use asphodel_core::thread::remains::{FreeStack, OffStack};

use super::table::{self, For};
use super::{adopt, handle, wait_queue};
use crate::config::Bug;
use crate::event::What;
use crate::world::process::Process;
use crate::world::queue::QueueId;
use crate::world::thread::{Place, Thread};
use crate::world::{World, add};

/// Buries `thread`.
pub(crate) async fn bury(w: &World, index: u32) {
    let thread = w.thread(index);
    let process = w.process(thread.process.get());
    w.counts.lwps.set(w.counts.lwps.get() + 1);
    if !w.has(Bug::FoldedLate) {
        fold(w, process, thread).await;
    }
    if !w.has(Bug::WordBeforeSwitch) {
        announce(w, thread).await;
    }
    w.at(What::KeepCorpse, index).await;
    let kept = process.gate.is_ending_lwps() && !thread.master.get();
    if kept {
        keep_corpse(w, process, thread).await;
        if !w.has(Bug::WakerWithoutHold) {
            table::hold(w, process, For::Look).await;
        }
    }
    if kept {
        retire_pinned(w, thread, OffStack::assert()).await;
    } else if !w.has(Bug::StackFreedByLeaver) || thread.master.get() {
        retire(w, thread, OffStack::assert()).await;
    }
    wake_joiners(w, thread).await;
    if thread.master.get() {
        handle::revoke(w, thread).await;
    }
    if w.has(Bug::ProcessHoldFirst) && !kept {
        thread.seen.disowned.set(true);
        table::release(w, process, For::Record).await;
    }
    if !w.has(Bug::ZombieBeforeSwitch) || !thread.master.get() {
        off_cpu(w, process, thread).await;
    }
    if w.has(Bug::FoldedLate) {
        fold(w, process, thread).await;
    }
    if !kept {
        release(w, thread).await;
    } else if !w.has(Bug::WakerWithoutHold) {
        table::release(w, process, For::Look).await;
    }
}

async fn fold(w: &World, process: &Process, thread: &Thread) {
    w.at(What::FoldUsage, thread.index).await;
    w.expect(!process.seen.counted.get() && process.seen.in_use.get(), "I11", || {
        format!("{} gets usage after it was counted", process.pid())
    });
    thread.usage.settle(&process.usage);
    thread.seen.folded.set(true);
    let charged = w.charged.get();
    w.charged.set(charged.plus(Usage { lwps: 1, ..Usage::default() }));
}

/// The LWP's context counts no more; what follows from that.
pub(crate) async fn off_cpu(w: &World, process: &Process, thread: &Thread) {
    w.at(What::OffCpu, thread.index).await;
    let pid = process.pid();
    let counted = add(&process.seen.present, -1);
    w.expect(counted, "I12", || format!("more LWPs of {pid} leave than there are"));
    match process.gate.off_cpu() {
        OffCpu::Nothing => {}
        OffCpu::WakeLast => {
            let due = &process.alone.due;
            due.set(due.get() + 1);
            wait_queue::wake_all(w, QueueId::Alone(process.slot)).await;
            w.expect(process.pid() == pid && process.seen.in_use.get(), "I5", || {
                format!("the master of {pid} is woken in a record that is another's")
            });
            due.set(due.get().saturating_sub(1));
        }
        OffCpu::Publish => {
            w.counts.lives.set(w.counts.lives.get() + 1);
            w.expect(thread.seen.off_cpu.get(), "I2", || format!("{pid} is a zombie, and its master runs"));
            adopt::publish(w, process).await;
        }
    }
}

/// Stores the word that `extexit` was asked to store.
pub(crate) async fn announce(w: &World, thread: &Thread) {
    let word = thread.set_word.get();
    if word != 0 {
        w.at(What::StoreWord, word).await;
        w.words[word as usize].set(thread.set_value.get());
        w.expect(thread.seen.off_cpu.get(), "I4", || {
            format!("the word of thread {} is stored while it stands on its stack (R43)", thread.index)
        });
    }
}

/// Puts a corpse whose stack must wait on its process's list, which takes over the LWP's own pin and hold.
async fn keep_corpse(w: &World, process: &Process, thread: &Thread) {
    w.at(What::KeepCorpse, thread.index).await;
    thread.next_corpse.set(process.corpses.replace(thread.index));
}

/// Frees all LWPs on the list: the caller is the only LWP left.
pub(crate) async fn free_corpses(w: &World, process: &Process) {
    w.at(What::FreeCorpses, process.slot).await;
    let mut next = process.corpses.replace(NIL);
    while next != NIL {
        let thread = w.thread(next);
        next = thread.next_corpse.get();
        unpin(w, thread).await;
        release(w, thread).await;
    }
}

/// Wakes LWPs that wait in a join. Without a lock if nobody can.
async fn wake_joiners(w: &World, thread: &Thread) {
    w.at(What::Retire, thread.index).await;
    if thread.remains.counts().0 > 1 {
        wait_queue::wake_all(w, QueueId::Joiners(thread.index)).await;
    }
    thread.joiners.due.set(0);
}

/// Gives the LWP's own pin back.
pub(crate) async fn retire(w: &World, thread: &Thread, proof: OffStack) {
    w.at(What::Retire, thread.index).await;
    thread.joiners.due.set(1);
    thread.seen.pins.set(thread.seen.pins.get() - 1);
    let duty = thread.remains.retire(proof);
    if let Some(duty) = duty {
        free_stack(w, thread, duty);
    }
}

/// As [`retire`], but the pin is the list's.
async fn retire_pinned(w: &World, thread: &Thread, proof: OffStack) {
    w.at(What::Retire, thread.index).await;
    thread.joiners.due.set(1);
    thread.remains.retire_pinned(proof);
}

/// Gives a pin on a stack back.
pub(crate) async fn unpin(w: &World, thread: &Thread) {
    w.at(What::Unpin, thread.index).await;
    let counted = add(&thread.seen.pins, -1);
    w.expect(counted, "I12", || format!("a pin on thread {} was given back twice", thread.index));
    if let Some(duty) = thread.remains.unpin() {
        free_stack(w, thread, duty);
    }
}

fn free_stack(w: &World, thread: &Thread, _duty: FreeStack) {
    let index = thread.index;
    // An embryo has never stood on it.
    let stands = matches!(thread.seen.place.get(), Place::Running(_) | Place::Leaving);
    w.expect(!stands, "I4", || format!("the stack of thread {index} is freed under it"));
    let process = w.peek_process(thread.process.get());
    let lent = thread.seen.died_for_others.get() && process.seen.present.get() > 1;
    let sibling = |other: &Thread| {
        let runs = other.seen.in_use.get() && !other.seen.off_cpu.get() && other.begin.get().is_none();
        runs && other.process.get() == process.slot && other.service_depth.get() == 0
    };
    w.expect(!(lent && w.threads.iter().any(sibling)), "I4", || {
        format!("the stack of thread {index} is freed while a sibling can borrow from it")
    });
    w.stacks.give(thread.stack.get());
}

/// Gives a hold on a thread's record back.
pub(crate) async fn release(w: &World, thread: &Thread) {
    w.at(What::ReleaseLwp, thread.index).await;
    let counted = add(&thread.seen.holds, -1);
    w.expect(counted, "I12", || format!("a hold on thread {} was given back twice", thread.index));
    let Some(_duty) = thread.remains.release() else { return };
    let process = w.process(thread.process.get());
    free_record(w, thread);
    if !thread.seen.disowned.get() {
        table::release(w, process, For::Record).await;
    }
}

/// I4: freed only off its CPU, held by nobody, and in no list, all at once.
fn free_record(w: &World, thread: &Thread) {
    let index = thread.index;
    let seen = &thread.seen;
    let process = w.peek_process(thread.process.get());
    w.expect(process.seen.in_use.get() && process.seen.records.get() > 0, "I5", || {
        format!("{} is freed before its thread {index}", process.pid())
    });
    let place = seen.place.get();
    let gone = place == Place::Nowhere || (place == Place::InHand && !seen.off_cpu.get());
    w.expect(gone, "I4", || format!("thread {index} is freed where it is {place:?}"));
    w.expect(seen.holds.get() == 0 && seen.pins.get() == 0, "I4", || {
        format!("thread {index} is freed with {} holds, {} pins", seen.holds.get(), seen.pins.get())
    });
    let listed = thread.is_waiting() || thread.is_queued() || thread.timer.is_armed();
    w.expect(!listed, "I4", || format!("thread {index} is freed in a wait queue, run queue or timer queue"));
    w.expect(seen.killers.get() == 0, "I4", || format!("thread {index} is freed in its killer's hands"));
    w.expect(thread.joiners.is_empty(), "I4", || format!("thread {index} is freed with joiners"));
    seen.in_use.set(false);
    seen.place.set(Place::Nowhere);
    thread.process.set(0);
    w.threads.give(index);
}
