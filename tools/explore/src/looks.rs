//! Checks of the whole system: at samples, when a round is over, and for the report of a violation.

use asphodel::api::Census;
use asphodel::testing::{self, process, quietly, say, thread};

use crate::check;
use crate::events::INIT;
use crate::state::{KNOWN, Life, Sighting, State};

/// Points after which a round must have ended.
const LONGEST_ROUND: u64 = 8_000_000;
/// Number of samples after which a state has lasted too long.
const SAMPLES: u32 = 3;
/// The same for a thread on an inactive CPU, which has to take an interrupt first.
const STRAYS: u32 = 6;
/// Records of each kind that a report contains.
const SHOWN: usize = 40;

/// Records that a round begins.
pub fn round_begins() {
    KNOWN.round_began.set(testing::figures().0);
}

/// Takes a sample, and checks that no state lasts too long.
pub(crate) fn sample() {
    let (step, _) = testing::figures();
    let length = step - KNOWN.round_began.get();
    check!(length < LONGEST_ROUND, "I13: the round does not end, {length} points so far");
    let open = testing::open_cpus();
    for view in (1..testing::threads()).map(thread).filter(|view| view.is_in_use()) {
        let index = view.index();
        if index as usize >= crate::state::RECORDS {
            return;
        }
        let mut seen = KNOWN.sighting(index);
        if seen.left_at != view.left_at() || view.left_at() == 0 {
            seen = Sighting { left_at: view.left_at(), ..Sighting::default() };
        }
        let may_run = |cpu: &testing::CpuView| {
            cpu.is_idle
                && cpu.index != view.cpu()
                && open.contains(cpu.index)
                && view.affinity().contains(cpu.index)
        };
        let is_waiting = view.is_queued() && testing::cpus().any(|cpu| may_run(&cpu));
        seen.waits = if is_waiting { seen.waits + 1 } else { 0 };
        let strays = testing::cpus().any(|cpu| {
            cpu.thread.index() == index
                && !cpu.is_idle
                && !open.contains(cpu.index)
                && open.bits() & view.affinity().bits() != 0
        });
        seen.strays = if strays { seen.strays + 1 } else { 0 };
        // One that guards shield from its kill runs on, and announces sleeps that it does not begin.
        let runs = testing::cpus().any(|cpu| cpu.thread.index() == index);
        let ignores = view.is_kill_pending() && view.is_killable() && !view.is_queued() && !runs;
        seen.ignores = if ignores { seen.ignores + 1 } else { 0 };
        check!(seen.waits < SAMPLES, "an open CPU idles, and this thread waits for another one: {view:?}");
        check!(seen.strays < STRAYS, "it stays on a CPU that is inactive: {view:?}");
        check!(seen.ignores < SAMPLES, "I13: it has a kill pending, and still sleeps: {view:?}");
        KNOWN.set_sighting(index, seen);
    }
}

/// Returns what is left of a round, in words; `None` if nothing is. `base` and `now` are the counts before and now.
/// Called by process 1, when it has no child left.
pub fn left_behind(base: Option<Census>, now: Census) -> Option<&'static str> {
    quietly(|| {
        if (1..testing::processes()).any(|slot| slot != INIT && KNOWN.life(slot).state != State::Free) {
            return Some("process records");
        }
        let free = |index: &u32| !thread(*index).is_in_use();
        let listed = |index| {
            let view = thread(index);
            view.is_waiting() || view.is_queued() || view.has_timer()
        };
        if (1..testing::threads()).filter(free).any(listed) {
            return Some("free thread records in queues");
        }
        if testing::channels_in_use() != 0 {
            return Some("sleepers on channels");
        }
        if testing::kill_walks() != Some(false) {
            return Some("kills of groups or subtrees under way");
        }
        if process(INIT).children() != Some(0) {
            return Some("children of process 1");
        }
        if process(INIT).children_ticks() != crate::totals().settled {
            return Some("I11: CPU time that was settled and not reported");
        }
        let base = base?;
        let same = (base.processes, base.threads, base.stacks, base.arenas)
            == (now.processes, now.threads, now.stacks, now.arenas);
        (!same).then_some("records, stacks or arenas")
    })
}

/// Prints the state of the system. This is not a point of interleaving.
pub(crate) fn report() {
    for cpu in testing::cpus() {
        say(format_args!("  cpu {}: {}{:?}", cpu.index, if cpu.is_idle { "idle, " } else { "" }, cpu.thread));
    }
    let in_use = |life: &Life| life.state != State::Free;
    for slot in (1..testing::processes()).filter(|slot| in_use(&KNOWN.life(*slot))).take(SHOWN) {
        say(format_args!("  {:?}\n    {:?}", process(slot), KNOWN.life(slot)));
    }
    for view in (1..testing::threads()).map(thread).filter(|view| view.is_in_use()).take(SHOWN) {
        say(format_args!("  {view:?}"));
    }
}
