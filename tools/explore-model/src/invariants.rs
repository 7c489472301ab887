//! I1 to I13: after a step for what it touched, every few thousand steps for everything, and at rest.
//!
//! Some are said where they would be broken: I1 where an LWP begins the exit body, I2 where a zombie is made, I4 and I5
//! where a record or a stack is freed, I6 where an end is reported, I9 where an LWP is counted, I11 where usage is
//! folded. I7 has nothing to be said about: nothing stops.

use asphodel_core::id::Pid;
use asphodel_core::list::Nodes as _;
use asphodel_core::proc::family::Found;
use asphodel_core::proc::usage::Usage;
use asphodel_core::thread::park::Sleep;

use crate::glue::handle;
use crate::world::World;
use crate::world::process::Process;
use crate::world::queue::{Queue, Waiting};
use crate::world::thread::{Place, Thread};

/// Steps in which an exit must come to its end.
const PATIENCE: u64 = 3_000_000;

/// What is reused from check to check.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    threads: Vec<u32>,
    processes: Vec<u32>,
}

impl Checker {
    /// Checks all that the step has touched.
    pub(crate) fn after_step(&mut self, w: &World) {
        w.take_touched(&mut self.threads, &mut self.processes);
        w.counts.checks.set(w.counts.checks.get() + (self.threads.len() + self.processes.len()) as u64);
        for index in self.threads.drain(..) {
            thread(w, w.peek_thread(index));
        }
        for slot in self.processes.drain(..) {
            process(w, w.peek_process(slot));
        }
        semaphores(w);
    }
}

/// Checks everything there is.
pub(crate) fn everything(w: &World) {
    let mut sum = Usage::default();
    for lwp in w.threads.iter() {
        thread(w, lwp);
        where_it_is(w, lwp);
        if lwp.seen.in_use.get() && lwp.is_lwp() && !lwp.seen.folded.get() {
            sum = sum.plus(lwp.usage.read());
        }
    }
    for one in w.processes.iter() {
        process(w, one);
        family(w, one);
        records(w, one);
        if one.seen.in_use.get() && !one.seen.counted.get() {
            sum = sum.plus(one.usage.read()).plus(one.children_usage.read());
        }
        let age = w.steps.get() - one.seen.elected_at.get();
        let ends = one.seen.in_use.get() && one.seen.exit_owners.get() > 0 && !one.gate.view().zombie;
        w.expect(!ends || age < PATIENCE, "I13", || format!("the exit of {} does not end", one.pid()));
    }
    w.expect(sum == w.charged.get(), "I11", || {
        format!("usage is {sum:?} together, and {:?} were charged", w.charged.get())
    });
    for cpu in &w.cpus {
        let queued = w.threads.iter().filter(|t| t.seen.place.get() == Place::Queued(cpu.index)).count();
        let length = cpu.run_queue.borrow().len() as usize;
        w.expect(queued == length, "I12", || {
            format!("{queued} threads are queued on cpu{}, whose queue has {length}", cpu.index)
        });
    }
}

/// Checks that nothing is left but process 1 and the idle threads.
pub(crate) fn at_rest(w: &World) {
    everything(w);
    let mut left = w.processes.iter().filter(|process| process.seen.in_use.get());
    let left: Vec<&Process> = left.by_ref().filter(|process| process.slot != Pid::INIT.slot()).collect();
    // Whoever has not been reported explains those who are held by it.
    if let Some(first) = left.iter().find(|process| !process.gate.view().claimed).or(left.first()) {
        let (pid, gate, parent) = (first.pid(), first.gate.view(), first.family.parent());
        let seen = &first.seen;
        let (records, members, looks) = (seen.records.get(), seen.members.get(), seen.lookers.get());
        let class = if first.family.is_clone_class() { "clone" } else { "normal" };
        let invariant = if gate.zombie { "I6" } else { "I13" };
        w.violate(invariant, format!(
            "{} processes are left over, such as {pid}, {class} class, child of slot {parent}, held by {records} LWP \
             records, {members} members, {looks} looks: {gate:?}", left.len(),
        ));
    }
    let lwps = w.threads.iter().filter(|thread| thread.seen.in_use.get() && thread.is_lwp());
    for lwp in lwps.filter(|lwp| lwp.process.get() != Pid::INIT.slot()) {
        w.violate("I12", format!("thread {} is left over: {:?}", lwp.index, lwp.refs.counts()));
    }
    let (used, present) = (w.stacks.in_use(), w.peek_process(Pid::INIT.slot()).seen.present.get());
    w.expect(used == present as usize + w.cpus.len(), "I12", || format!("{used} stacks are in use"));
}

/// What must hold for a thread in every state.
fn thread(w: &World, thread: &Thread) {
    let index = thread.index;
    let seen = &thread.seen;
    let counts = thread.refs.counts();
    if !seen.in_use.get() {
        return w.expect(counts.0 == 0, "I12", || format!("thread {index} is free, and held: {counts:?}"));
    }
    let expected = (seen.refs.get(), seen.pins.get());
    w.expect(counts == expected, "I12", || {
        format!("references and pins of thread {index} are {counts:?} instead of {expected:?}")
    });
    let parked = seen.place.get() == Place::Parked;
    let killable = thread.park.sleeping() == Some(Sleep::Killable);
    w.expect(!(parked && killable && thread.kill_pending.get() && seen.killers.get() == 0), "I13", || {
        format!("thread {index} sleeps on though it was told to die (R8)")
    });
    if thread.joiners.due.get() == 0 {
        thread.joiners.each(&w.threads, |joiner| {
            if let Some((_, Waiting::Join(key))) = w.peek_thread(joiner).seen.waiting.get() {
                w.expect(!handle::has_ended(thread, key), "I8", || {
                    format!("thread {joiner} sleeps in a join of thread {index}, which has ended")
                });
            }
        });
    }
}

/// What must hold for a process in every state.
fn process(w: &World, process: &Process) {
    let seen = &process.seen;
    let holds = process.refs.counts().0;
    if !seen.in_use.get() {
        return w.expect(holds == 0, "I12", || format!("slot {} is free, and held", process.slot));
    }
    let pid = process.pid();
    w.expect(holds == process.refs_expected(), "I12", || {
        format!("{pid} has {holds} references instead of {}", process.refs_expected())
    });
    let gate = process.gate.view();
    w.expect(gate.present == seen.present.get(), "I2", || {
        format!("{pid} counts {} LWPs present instead of {}", gate.present, seen.present.get())
    });
    w.expect(!gate.zombie || (gate.exiting && gate.present == 0), "I2", || {
        format!("{pid} is a zombie, and {gate:?}")
    });
    w.expect(!gate.zombie || seen.exit_owners.get() > 0, "I3", || {
        format!("{pid} has ended without an exit owner")
    });
    w.expect(gate.zombie || gate.present > 0, "I3", || format!("{pid} has no LWP, and is no zombie"));
    let owned = !gate.exiting || gate.zombie || gate.live > 0;
    w.expect(owned && (gate.exiting || gate.live > 0), "I3", || {
        format!("{pid} has nobody to end it: {gate:?}")
    });
    w.expect(!gate.zombie || process.peers.borrow().is_empty(), "T74", || {
        format!("{pid} has ended before its peers")
    });
    parent(w, process);
    told(w, process);
    waiters(w, process);
}

/// I10: a child has a parent that lives and knows it.
fn parent(w: &World, process: &Process) {
    if !process.seen.has_parent.get() {
        return;
    }
    let slot = process.family.parent();
    let parent = w.peek_process(slot);
    let knows = parent.children.borrow().has(&w.processes, slot, process.slot);
    let lives = parent.seen.in_use.get() && !parent.gate.view().zombie;
    w.expect(knows && lives, "I10", || {
        format!("the parent of {} is {}, which is dead or does not know it", process.pid(), parent.pid())
    });
}

/// I13: once a killer has walked the LWP list, no LWP lives on that nobody has told to die.
fn told(w: &World, process: &Process) {
    let Some(spared) = process.seen.untold.get() else { return };
    let lwps = process.lwps.lwps();
    let untold = |lwp: &u32| !w.peek_thread(*lwp).kill_pending.get() && !w.peek_thread(*lwp).exit_owner.get();
    let untold = lwps.iter(&w.threads).filter(untold).count();
    w.expect(untold <= spared, "I13", || {
        format!("{untold} LWPs of {} live on, and nobody has told them to die", process.pid())
    });
}

/// I8: nobody sleeps whose condition holds, unless somebody is about to wake it.
fn waiters(w: &World, process: &Process) {
    sleepers(w, &process.child_events, "I8", |waiting| match waiting {
        Waiting::Child { selector, clone_class } => {
            let children = process.children.borrow();
            children.find(&w.processes, process.slot, selector, clone_class) != Found::NotYet
        }
        _ => false,
    });
    sleepers(w, &process.siblings_gone, "I13", |waiting| match waiting {
        Waiting::Peers => process.peers.borrow().is_empty(),
        _ => process.gate.is_last_present(),
    });
    sleepers(w, &process.vfork_queue, "I8", |_| !process.vfork_wait.in_progress());
    sleepers(w, &process.signalled, "I8", |waiting| match waiting {
        Waiting::Signal(set) => process.pending.get() & set != 0,
        _ => false,
    });
}

fn semaphores(w: &World) {
    for semaphore in w.semaphores.iter().filter(|semaphore| semaphore.count.get() > 0) {
        // Each count wakes one: those who are on their way to take it may be any.
        if semaphore.queue.in_flight.get() < semaphore.count.get() {
            sleepers(w, &semaphore.queue, "I8", |_| true);
        }
    }
}

/// Nobody sleeps in `queue` who `could_go_on`, unless a waker is due.
fn sleepers(w: &World, queue: &Queue, invariant: &'static str, could_go_on: impl Fn(Waiting) -> bool) {
    if queue.due.get() > 0 || queue.is_empty() {
        return;
    }
    queue.each(&w.threads, |sleeper| {
        let thread = w.peek_thread(sleeper);
        let Some((id, waiting)) = thread.seen.waiting.get() else { return };
        // Who has been told to die leaves its children to others (T137), and does not sleep on (R8).
        if matches!(waiting, Waiting::Child { .. }) && thread.kill_pending.get() {
            return;
        }
        w.expect(!could_go_on(waiting), invariant, || {
            format!("thread {sleeper} sleeps in {id:?}, waits for {waiting:?}, and nobody will wake it")
        });
    });
}

/// A thread is in one place, and that place knows it.
fn where_it_is(w: &World, thread: &Thread) {
    let place = thread.seen.place.get();
    let running = w.cpus.iter().filter(|cpu| cpu.current.get() == thread.index).count();
    let found = match place {
        Place::Running(cpu) => running == 1 && w.cpus[cpu as usize].current.get() == thread.index,
        // The idle thread is nowhere while another one runs.
        _ if running > 0 => false,
        Place::Queued(_) => w.threads.links(thread.index).is_linked(),
        Place::Parked => thread.park.sleeping().is_some(),
        _ => !thread.is_queued(),
    };
    w.expect(found, "I4", || format!("thread {} is {place:?}, and is not there", thread.index));
}

/// The children that say so are the children that are counted.
fn family(w: &World, parent: &Process) {
    let children = w.processes.iter().filter(|process| {
        process.seen.in_use.get() && process.seen.has_parent.get() && process.family.parent() == parent.slot
    });
    let (children, known) = (children.count(), parent.children.borrow().len() as usize);
    w.expect(children == known, "I10", || {
        format!("{} knows {known} children, and {children} say they are", parent.pid())
    });
}

/// The records that hold a process, and the members of its group, are those it counts.
fn records(w: &World, process: &Process) {
    let records = w.threads.iter().filter(|t| t.seen.in_use.get() && t.process.get() == process.slot).count();
    let counted = process.seen.records.get() as usize;
    // One more while the record of a new LWP, or of a freed one, is between its own two steps.
    w.expect(counted >= records, "I5", || {
        format!("{} has {records} LWP records, and counts {counted}", process.pid())
    });
}
