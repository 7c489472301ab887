//! The invariants that are checked at each event.

use asphodel::api::Pid;
use asphodel::testing::{self, Event, Observer, ThreadView, process, quietly, thread};

use crate::check;
use crate::looks;
use crate::state::{KNOWN, Life, RECORDS, State};

/// Slot of process 1.
pub(crate) const INIT: u32 = Pid::INIT.slot();

/// Begins to observe. Returns `false` if the machine is not being explored.
///
/// The only process then is process 1, which calls this before it spawns any.
#[must_use]
pub fn start() -> bool {
    let observer = Observer { event, sample: looks::sample, report: looks::report };
    KNOWN.change(INIT, |life| {
        *life = Life { pid: Pid::INIT.raw(), state: State::Born, lwps: 1, ..Life::FREE };
    });
    testing::set_observer(observer)
}

/// Counts that an exit hook of process 1 was called for `pid`.
pub fn hook_called(pid: Pid) {
    quietly(|| {
        let life = KNOWN.change(pid.slot(), |life| life.hooks += 1);
        check!(life.pid == pid.raw(), "I1: a hook was called for {pid}, whose record is that of {life:?}");
    });
}

fn event(event: &Event) {
    KNOWN.count(|totals| totals.events += 1);
    match *event {
        Event::RecordTaken { pid } => record_taken(pid),
        Event::Create { pid, parent, .. } => create(pid, parent),
        Event::LwpCreate { pid, thread } => lwp_create(pid, thread),
        Event::LwpStart { pid, thread } => {
            let life = life(pid);
            check!(life.state == State::Born, "I9: thread {thread} starts in {life:?}");
        }
        Event::LwpOffCpu { pid, thread: index } => lwp_off_cpu(pid, index),
        Event::LwpSettled { pid, thread: index } => {
            let ticks = if pid == Pid::INIT { 0 } else { thread(index).cpu_ticks() };
            KNOWN.count(|totals| totals.settled = totals.settled.wrapping_add(ticks));
        }
        Event::LwpCountedOff { pid, thread } => lwp_counted_off(pid, thread),
        Event::LwpRecordFreed { thread: index } => lwp_record_freed(thread(index)),
        Event::StackFreed { bottom, top } => stack_freed(bottom, top),
        Event::ExecSuccess { .. } => KNOWN.count(|totals| totals.execs += 1),
        Event::Exit { pid, .. } => {
            let life = KNOWN.change(pid.slot(), |life| life.elected += 1);
            check!(life.elected == 1, "I1: two LWPs were elected in {life:?}");
            check!(life.state == State::Born, "I1: an LWP was elected in {life:?}");
        }
        Event::Alone { pid } => alone(pid),
        Event::Disowned { pid } => {
            let children = process(pid.slot()).children();
            check!(children.unwrap_or(0) == 0, "I10: {pid} has {children:?} children and gave all away");
        }
        Event::Zombie { pid } => zombie(pid),
        Event::Reaped { pid, heir } => reaped(pid, heir),
        Event::RecordVacated { slot } => record_vacated(slot),
        Event::RecordFreed { slot } => record_freed(slot),
        Event::SignalSend { pid, .. } => {
            KNOWN.count(|totals| totals.signals += 1);
            check!(life(pid).state != State::Free, "I5: a signal is sent to {pid}, whose record is free");
        }
        Event::Fault { pid } => testing::violation(format_args!("{pid} has failed, see above")),
        Event::WatchdogReport { pid } => testing::violation(format_args!("I13: {pid} does not end")),
        Event::Fatal => testing::violation(format_args!("the kernel has failed, see above")),
        Event::LwpRefused { .. } | Event::LwpExit { .. } | Event::LwpKill { .. } | Event::Exec { .. } => {}
    }
}

/// Returns the record of the process `pid`, which must exist.
fn life(pid: Pid) -> Life {
    let life = KNOWN.life(pid.slot());
    check!(life.pid == pid.raw(), "I5: {pid} is spoken of, and its record is that of {life:?}");
    life
}

fn record_taken(pid: Pid) {
    check!((pid.slot() as usize) < RECORDS, "more processes than can be observed");
    let before = KNOWN.life(pid.slot());
    check!(before.state == State::Free, "I12: the record of {before:?} was given to {pid}");
    KNOWN.change(pid.slot(), |life| *life = Life { pid: pid.raw(), state: State::Embryo, ..Life::FREE });
}

fn create(pid: Pid, parent: u32) {
    let before = life(pid);
    check!(before.state == State::Embryo, "{before:?} was born");
    check!(before.lwps == 1, "{before:?} was born with another number of LWPs than 1");
    KNOWN.change(pid.slot(), |life| life.state = State::Born);
    KNOWN.count(|totals| totals.lives += 1);
    let parent = KNOWN.life(parent);
    check!(parent.state == State::Born, "I10: {pid} was born as a child of {parent:?}");
}

fn lwp_create(pid: Pid, thread: u32) {
    let before = life(pid);
    let alive = matches!(before.state, State::Embryo | State::Born);
    check!(alive, "I9: thread {thread} was counted in {before:?}");
    check!((thread as usize) < RECORDS, "more threads than can be observed");
    KNOWN.change(pid.slot(), |life| life.lwps += 1);
    KNOWN.count(|totals| totals.lwps += 1);
}

fn lwp_off_cpu(pid: Pid, index: u32) {
    let life = KNOWN.change(pid.slot(), |life| life.lwps -= 1);
    KNOWN.set_counted_off(index, pid.raw());
    check!(life.pid == pid.raw() && life.lwps >= 0, "I12: thread {index} was counted off in {life:?}");
    let on = testing::cpus().find(|cpu| cpu.thread.index() == index);
    check!(on.is_none(), "I2: thread {index} of {pid} was counted off, and is on {on:?}");
}

/// Checks that the context that has counted an LWP off still has a reference to the process record concerned (R13).
fn lwp_counted_off(pid: Pid, thread: u32) {
    let counted = KNOWN.counted_off(thread);
    let life = KNOWN.life(pid.slot());
    let same = life.pid == counted && !matches!(life.state, State::Free | State::Vacant);
    check!(same, "R13: the record of {counted}, which is still being used, is that of {life:?}");
}

/// Checks that no LWP of the process is on a CPU, except the one that executes this if `but_me`.
fn nobody_runs(pid: Pid, but_me: bool) {
    let mut there = testing::cpus().filter(|cpu| cpu.thread.process() == pid.slot());
    let (first, second) = (there.next(), there.next());
    let intruder = if but_me { second } else { first };
    check!(intruder.is_none(), "I2: one of {pid} is on {intruder:?}");
}

fn alone(pid: Pid) {
    let life = life(pid);
    check!(life.lwps == 1, "E1: one of {} LWPs of {life:?} believes to be alone", life.lwps);
    nobody_runs(pid, true);
}

fn zombie(pid: Pid) {
    let before = life(pid);
    check!(before.state == State::Born, "I6: {before:?} became a zombie");
    KNOWN.change(pid.slot(), |life| life.state = State::Zombie);
    check!(before.elected == 1, "I1: {before:?} became a zombie");
    check!(before.hooks == 1, "I1: the hook was called {} times for {before:?}", before.hooks);
    check!(before.lwps == 0, "I3: {before:?} became a zombie");
    nobody_runs(pid, false);
    let process = process(pid.slot());
    check!(!process.has_dead_lwps(), "I5: stacks of dead LWPs are left in {process:?}");
    check!(process.has_no_lwps() != Some(false), "I5: LWPs or handles are left in {process:?}");
    check!(process.has_peers() != Some(true), "T74: {process:?} has ended before its peers");
    check!(!process.is_peer(), "T74: {process:?} has ended as a peer");
    check!(process.children().unwrap_or(0) == 0, "I10: {process:?} has ended with children");
    check!(!process.in_progress(), "T78: {process:?} has ended with memory that its spawner waits for");
}

fn reaped(pid: Pid, heir: u32) {
    let before = life(pid);
    check!(before.state == State::Zombie, "I6: {before:?} was reaped");
    KNOWN.change(pid.slot(), |life| life.state = State::Reaped);
    let heir = KNOWN.life(heir);
    check!(heir.state == State::Born, "I11: the usage of {pid} goes to {heir:?}");
}

fn record_vacated(slot: u32) {
    let life = KNOWN.life(slot);
    let over = matches!(life.state, State::Embryo | State::Reaped);
    check!(over && life.lwps == 0, "I5: the last reference to {life:?} has gone");
    let gone = process(slot);
    check!(gone.has_no_lwps() != Some(false), "I5: LWPs or handles are left in {gone:?}");
    check!(gone.children().unwrap_or(0) == 0, "I5: {gone:?} has children");
    check!(!gone.has_sleepers(), "I8: threads sleep in queues of {gone:?}, which is gone");
    // Free records refer to no process: a record drops its references last (R44).
    if let Some(thread) = (1..testing::threads()).map(thread).find(|thread| thread.process() == slot) {
        testing::violation(format_args!("I5: {gone:?} is gone, and {thread:?} refers to it"));
    }
    KNOWN.change(slot, |life| life.state = State::Vacant);
    for child in 1..testing::processes() {
        let refers = child != slot && KNOWN.life(child).is_child() && process(child).parent() == slot;
        check!(!refers, "I10: {gone:?} is gone, and its child {:?} is not", process(child));
    }
}

fn record_freed(slot: u32) {
    let ledger = process(slot).ledger();
    let empty = ledger.is_none_or(|used| used == [0; 3]);
    check!(empty, "the quota of {:?} has {ledger:?} left", KNOWN.life(slot));
    KNOWN.change(slot, |life| *life = Life::FREE);
}

fn lwp_record_freed(thread: ThreadView) {
    check!(!thread.is_waiting(), "I4: freed in a wait queue: {thread:?}");
    check!(!thread.is_queued(), "I4: freed in a run queue: {thread:?}");
    check!(!thread.has_timer(), "I4: freed with a deadline: {thread:?}");
    check!(thread.has_joiners() != Some(true), "I8: freed with others in its join: {thread:?}");
    check!(thread.tokens() == 0, "I4: freed with tokens: {thread:?}");
    let (_, pins) = thread.counts();
    check!(pins == 0, "I4: freed with a pinned stack: {thread:?}");
    let on = testing::cpus().find(|cpu| cpu.thread.index() == thread.index());
    check!(on.is_none(), "I4: freed on a CPU: {thread:?}, {on:?}");
}

fn stack_freed(bottom: usize, top: usize) {
    let on = testing::cpus().find(|cpu| (bottom..top).contains(&cpu.stack_pointer));
    check!(on.is_none(), "I4: the stack {bottom:#x}-{top:#x} was freed, on which stands {on:?}");
}
