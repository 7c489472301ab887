//! What is done for an LWP once its stack is out of use. Masked, on the idle thread's stack.

use asphodel_core::list::NIL;
use asphodel_core::proc::gate::OffCpu;
use asphodel_core::proc::usage::Usage;
use asphodel_core::thread::refs::{FreeStack, OffStack};

use super::table::{self, For};
use super::{adopt, handle, wait_queue};
use crate::config::Bug;
use crate::event::What;
use crate::world::process::Process;
use crate::world::queue::QueueId;
use crate::world::thread::{Place, Thread};
use crate::world::{World, add};

/// Finishes the dead `thread`.
pub(crate) async fn finish_dead_thread(w: &World, index: u32) {
    let thread = w.thread(index);
    let process = w.process(thread.process.get());
    w.counts.lwps.set(w.counts.lwps.get() + 1);
    if !w.has(Bug::FoldedLate) {
        fold(w, process, thread).await;
    }
    if !w.has(Bug::WordBeforeSwitch) {
        announce(w, thread).await;
    }
    w.at(What::KeepDeadLwp, index).await;
    let kept = process.gate.is_ending_lwps() && !thread.exit_owner.get();
    if kept {
        keep_dead_lwp(w, process, thread).await;
        if !w.has(Bug::WakerWithoutRef) {
            table::get_ref(w, process, For::Look).await;
        }
    }
    if kept {
        retire_pinned(w, thread, OffStack::assert()).await;
    } else if !w.has(Bug::StackFreedByLeaver) || thread.exit_owner.get() {
        retire(w, thread, OffStack::assert()).await;
    }
    wake_joiners(w, thread).await;
    if thread.exit_owner.get() {
        handle::revoke(w, thread).await;
    }
    if w.has(Bug::ProcessRefFirst) && !kept {
        thread.seen.disowned.set(true);
        table::put(w, process, For::Record).await;
    }
    if !w.has(Bug::ZombieBeforeSwitch) || !thread.exit_owner.get() {
        off_cpu(w, process, thread).await;
    }
    if w.has(Bug::FoldedLate) {
        fold(w, process, thread).await;
    }
    if !kept {
        put_thread(w, thread).await;
    } else if !w.has(Bug::WakerWithoutRef) {
        table::put(w, process, For::Look).await;
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
            let due = &process.siblings_gone.due;
            due.set(due.get() + 1);
            wait_queue::wake_all(w, QueueId::SiblingsGone(process.slot)).await;
            w.expect(process.pid() == pid && process.seen.in_use.get(), "I5", || {
                format!("the exit owner of {pid} is woken in a record that is another's")
            });
            due.set(due.get().saturating_sub(1));
        }
        OffCpu::Publish => {
            w.counts.lives.set(w.counts.lives.get() + 1);
            w.expect(thread.seen.off_cpu.get(), "I2", || {
                format!("{pid} is a zombie, and its exit owner runs")
            });
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

/// Puts a dead LWP whose stack must wait on its process's list, which takes over the LWP's own pin and reference.
async fn keep_dead_lwp(w: &World, process: &Process, thread: &Thread) {
    w.at(What::KeepDeadLwp, thread.index).await;
    thread.next_dead_lwp.set(process.dead_lwps.replace(thread.index));
}

/// Frees all LWPs on the list: the caller is the only LWP left.
pub(crate) async fn free_dead_lwps(w: &World, process: &Process) {
    w.at(What::FreeDeadLwps, process.slot).await;
    let mut next = process.dead_lwps.replace(NIL);
    while next != NIL {
        let thread = w.thread(next);
        next = thread.next_dead_lwp.get();
        unpin_stack(w, thread).await;
        put_thread(w, thread).await;
    }
}

/// Wakes LWPs that wait in a join. Without a lock if nobody can.
async fn wake_joiners(w: &World, thread: &Thread) {
    w.at(What::Retire, thread.index).await;
    if thread.refs.counts().0 > 1 {
        wait_queue::wake_all(w, QueueId::Joiners(thread.index)).await;
    }
    thread.joiners.due.set(0);
}

/// Gives the LWP's own pin back.
pub(crate) async fn retire(w: &World, thread: &Thread, proof: OffStack) {
    w.at(What::Retire, thread.index).await;
    thread.joiners.due.set(1);
    thread.seen.pins.set(thread.seen.pins.get() - 1);
    let duty = thread.refs.retire(proof);
    if let Some(duty) = duty {
        free_stack(w, thread, duty);
    }
}

/// As [`retire`], but the pin is the list's.
async fn retire_pinned(w: &World, thread: &Thread, proof: OffStack) {
    w.at(What::Retire, thread.index).await;
    thread.joiners.due.set(1);
    thread.refs.retire_pinned(proof);
}

/// Gives a pin on a stack back.
pub(crate) async fn unpin_stack(w: &World, thread: &Thread) {
    w.at(What::Unpin, thread.index).await;
    let counted = add(&thread.seen.pins, -1);
    w.expect(counted, "I12", || format!("a pin on thread {} was given back twice", thread.index));
    if let Some(duty) = thread.refs.unpin() {
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

/// Gives a reference to a thread's record back.
pub(crate) async fn put_thread(w: &World, thread: &Thread) {
    w.at(What::PutThread, thread.index).await;
    let counted = add(&thread.seen.refs, -1);
    w.expect(counted, "I12", || format!("a reference to thread {} was given back twice", thread.index));
    let Some(_duty) = thread.refs.put() else { return };
    let process = w.process(thread.process.get());
    free_record(w, thread);
    if !thread.seen.disowned.get() {
        table::put(w, process, For::Record).await;
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
    w.expect(seen.refs.get() == 0 && seen.pins.get() == 0, "I4", || {
        format!("thread {index} is freed with {} references, {} pins", seen.refs.get(), seen.pins.get())
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
