//! Explore mode: all CPUs are contexts of one host thread, and a seed decides whose step is next.
//!
//! A step is what lies between two points, which are the atomic operations of the kernel and the places where interrupts
//! are unmasked. At each point another CPU may go on, a CPU may be held up for a while, time may jump, a store may leave a
//! store buffer, and pending interrupts are taken. The seed lives in *moods* of some hundred to some thousand steps, in
//! each of which one rule chooses the next CPU: a favourite, any, priorities that drop at random (PCT), or the one that runs
//! with few changes (delay-bounded). Nothing of the host decides anything: the same seed gives the same run.

use core::cell::Cell;

use asphodel_interleave::buffer;

use super::counter::NEVER;
use super::machine::{self, Vcpu, vcpu, vcpus};
use super::switch;
use super::words::{CPU, INDEX, MASKED, PENDING, THREAD, TLS};

/// Ticks of the counter in a second: a step takes one, so ten nanoseconds.
pub(super) const FREQUENCY: u64 = 100_000_000;

/// What a virtual CPU is while another one runs, and what the scheduler knows of it.
pub(super) struct Context {
    stack_pointer: Cell<u64>,
    masked: Cell<u64>,
    thread: Cell<u64>,
    cpu: Cell<u64>,
    tls: Cell<u64>,
    /// The step before which it does not go on, as long as others can.
    held_until: Cell<u64>,
    priority: Cell<i64>,
}

impl Context {
    pub(super) const fn new() -> Self {
        Self {
            stack_pointer: Cell::new(0),
            masked: Cell::new(1),
            thread: Cell::new(0),
            cpu: Cell::new(0),
            tls: Cell::new(0),
            held_until: Cell::new(0),
            priority: Cell::new(0),
        }
    }
}

/// The rule by which the next CPU is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// One CPU is preferred for a while.
    Favourite,
    /// Every CPU that can go on is as likely.
    Uniform,
    /// The one of the highest priority; the running one is demoted now and then.
    Priorities,
    /// The running one, with a change now and then.
    DelayBounded,
}

/// The scheduler of virtual CPUs.
struct Explorer {
    on: Cell<bool>,
    random: Cell<u64>,
    now: Cell<u64>,
    steps: Cell<u64>,
    switches: Cell<u64>,
    limit: Cell<u64>,
    current: Cell<usize>,
    mood: Cell<Mood>,
    mood_ends: Cell<u64>,
    drains_slowly: Cell<bool>,
    favourite: Cell<usize>,
    favourite_until: Cell<u64>,
    lowest: Cell<i64>,
}

// SAFETY: used in explore mode only, in which there is one host thread.
unsafe impl Sync for Explorer {}

static EXPLORER: Explorer = Explorer {
    on: Cell::new(false),
    random: Cell::new(1),
    now: Cell::new(1),
    steps: Cell::new(0),
    switches: Cell::new(0),
    limit: Cell::new(u64::MAX),
    current: Cell::new(0),
    mood: Cell::new(Mood::Uniform),
    mood_ends: Cell::new(0),
    drains_slowly: Cell::new(false),
    favourite: Cell::new(0),
    favourite_until: Cell::new(0),
    lowest: Cell::new(0),
};

/// What an observer wants to be called for; see [`set_watch`].
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    /// Every CPU waits for an interrupt and no timer is armed.
    pub(crate) at_rest: fn() -> !,
    /// The limit of steps is reached.
    pub(crate) no_end: fn() -> !,
    /// A sample: called every [`SAMPLE`] steps, and no point itself.
    pub(crate) sample: fn(),
}

/// Steps between two samples.
const SAMPLE: u64 = 30_000;

struct WatchCell(Cell<Watch>);

// SAFETY: as for `Explorer`.
unsafe impl Sync for WatchCell {}

static WATCH: WatchCell = WatchCell(Cell::new(Watch {
    at_rest: || fail("at rest: every CPU waits for an interrupt, and no timer is armed"),
    no_end: || fail("no end: the limit of steps is reached"),
    sample: || (),
}));

/// Registers the observer.
pub(crate) fn set_watch(watch: Watch) {
    WATCH.0.set(watch);
}

/// Ends the run over a violation, with the line that replays it. No point.
pub(crate) fn fail(what: &str) -> ! {
    super::entry::violation(format_args!("{what}"))
}

/// Starts the scheduler: `seed` decides everything from here on. `buffers`: stores become visible late.
pub(super) fn start(seed: u64, limit: u64, buffers: bool) {
    let explorer = &EXPLORER;
    explorer.random.set(seed.wrapping_add(77).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    explorer.limit.set(limit);
    explorer.on.set(true);
    for _ in 0..8 {
        explorer.random();
    }
    if buffers {
        buffer::enable();
    }
    asphodel_interleave::set_point(point);
}

/// The counter.
#[inline(always)]
pub(super) fn now() -> u64 {
    EXPLORER.now.get()
}

/// Steps and switches between CPUs so far.
pub(crate) fn figures() -> (u64, u64) {
    (EXPLORER.steps.get(), EXPLORER.switches.get())
}

/// A number by chance, for what is explored: it belongs to the seed, too.
pub(crate) fn random() -> u64 {
    EXPLORER.random()
}

/// Runs `work` as one step: for an observer, which is not part of what is explored.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = EXPLORER.on.replace(false);
    let result = work();
    EXPLORER.on.set(before);
    result
}

impl Explorer {
    #[inline(always)]
    fn random(&self) -> u64 {
        let mut word = self.random.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        self.random.set(word);
        word >> 11
    }

    fn below(&self, limit: usize) -> usize {
        (self.random() % limit as u64) as usize
    }

    #[inline]
    fn can_go_on(&self, cpu: &Vcpu) -> bool {
        use core::sync::atomic::Ordering::Relaxed;
        let works =
            !cpu.waiting.load(Relaxed) || cpu.pending.load(Relaxed) != 0 || cpu.deadline() <= self.now.get();
        cpu.is_online() && works
    }

    #[inline]
    fn is_free(&self, index: usize) -> bool {
        let cpu = vcpu(index);
        cpu.explored.held_until.get() <= self.steps.get() && self.can_go_on(cpu)
    }

    /// One of the CPUs that `may`, each as likely.
    fn any(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let count = machine::count();
        let first = self.below(count);
        (first..count).chain(0..first).find(|index| may(*index))
    }

    fn change_mood(&self) {
        let length = self.random();
        self.mood_ends.set(self.steps.get() + 300 + length % 8_000);
        self.drains_slowly.set(length >> 20 & 1 != 0);
        self.mood.set(match self.random() % 4 {
            0 => Mood::Favourite,
            1 => Mood::Uniform,
            2 => Mood::Priorities,
            _ => Mood::DelayBounded,
        });
        for cpu in vcpus() {
            cpu.explored.priority.set((self.random() % 1_000) as i64);
        }
        self.lowest.set(0);
    }

    /// The CPU whose step is next.
    #[inline]
    fn choose(&self) -> usize {
        if self.steps.get() >= self.mood_ends.get() {
            self.change_mood();
        }
        let me = self.current.get();
        let chosen = match self.mood.get() {
            Mood::Favourite => self.choose_favourite(),
            Mood::Uniform => self.any(|index| self.is_free(index)),
            Mood::Priorities => {
                if self.random() % 128 == 0 {
                    self.demote();
                }
                let free = (0..machine::count()).filter(|index| self.is_free(*index));
                free.max_by_key(|index| vcpu(*index).explored.priority.get())
            }
            Mood::DelayBounded if self.random() % 48 != 0 && self.is_free(me) => Some(me),
            Mood::DelayBounded => self.any(|index| index != me && self.is_free(index)),
        };
        chosen.unwrap_or_else(|| self.choose_any())
    }

    fn choose_favourite(&self) -> Option<usize> {
        if self.steps.get() >= self.favourite_until.get() {
            self.favourite_until.set(self.steps.get() + 1 + self.random() % 200);
            self.favourite.set(self.below(machine::count()));
        }
        let favourite = self.favourite.get();
        if self.random() % 3 != 0 && self.is_free(favourite) {
            return Some(favourite);
        }
        self.any(|index| self.is_free(index))
    }

    /// Any CPU that can go on, held up or not; if none can, time goes on until one does.
    #[cold]
    fn choose_any(&self) -> usize {
        loop {
            if let Some(index) = self.any(|index| self.can_go_on(vcpu(index))) {
                return index;
            }
            let online = vcpus().iter().filter(|cpu| cpu.is_online());
            let next = online.map(Vcpu::deadline).min().unwrap_or(NEVER);
            if next == NEVER {
                buffer::flush_all();
                (WATCH.0.get().at_rest)()
            }
            self.now.set(next.max(self.now.get()));
        }
    }

    fn demote(&self) {
        self.lowest.set(self.lowest.get() - 1);
        machine::this().explored.priority.set(self.lowest.get());
    }

    /// What may happen at a point besides a change of CPU.
    #[inline(always)]
    fn disturb(&self) {
        let chance = self.random();
        let nervous = matches!(self.mood.get(), Mood::Favourite | Mood::Uniform);
        let (seldom, longest) = if nervous { (63, 11) } else { (255, 14) };
        if chance & seldom == 0 {
            let held = self.steps.get() + (1 << ((chance >> 8) % longest));
            vcpu(self.current.get()).explored.held_until.set(held);
        }
        if chance >> 20 & 2047 == 0 {
            self.now.set(self.now.get() + (chance >> 32) % 60_000);
        }
        let lazy = if self.drains_slowly.get() { 127 } else { 3 };
        if chance >> 16 & lazy == 0 {
            buffer::drain_one((chance >> 40) as usize % machine::count());
        }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        self.now.set(self.now.get() + 1);
        if self.steps.get() > self.limit.get() {
            self.limit.set(u64::MAX);
            (WATCH.0.get().no_end)()
        }
        if self.steps.get() % SAMPLE == 0 {
            (WATCH.0.get().sample)();
        }
    }

    /// Goes on with CPU `next`. Returns when this CPU's step comes again.
    #[inline]
    fn go_on_with(&self, next: usize) {
        let me = self.current.get();
        if next == me {
            return;
        }
        self.switches.set(self.switches.get() + 1);
        self.current.set(next);
        buffer::set_current(next);
        let (old, new) = (&vcpu(me).explored, &vcpu(next).explored);
        old.masked.set(MASKED.get());
        old.thread.set(THREAD.get());
        old.cpu.set(CPU.get());
        old.tls.set(TLS.get());
        become_cpu(next);
        // SAFETY: the context of a CPU that does not run was stored here or made by `start_cpu`; only this function goes
        // on with one, and there is one host thread.
        unsafe { switch::switch(old.stack_pointer.as_ptr(), new.stack_pointer.get()) };
    }
}

/// Loads the words of CPU `index`.
fn become_cpu(index: usize) {
    let (cpu, context) = (vcpu(index), &vcpu(index).explored);
    MASKED.set(context.masked.get());
    THREAD.set(context.thread.get());
    CPU.set(context.cpu.get());
    TLS.set(context.tls.get());
    INDEX.set(index as u64);
    PENDING.set((&raw const cpu.pending).addr() as u64);
}

/// A point of interleaving: another CPU may go on here, and an interrupt may come.
#[inline(always)]
pub(super) fn point() {
    let explorer = &EXPLORER;
    if !explorer.on.get() {
        return;
    }
    explorer.step();
    explorer.disturb();
    explorer.go_on_with(explorer.choose());
    machine::deliver();
}

/// A turn of a spin loop: this CPU waits for another one, so the others go on first.
pub(super) fn relax() {
    let explorer = &EXPLORER;
    if explorer.on.get() {
        explorer.demote();
        let held = explorer.steps.get() + 2 + explorer.random() % 30;
        machine::this().explored.held_until.set(held);
    }
    point();
}

/// Waits until an interrupt is pending for this CPU.
pub(super) fn wait_for_interrupt() {
    use core::sync::atomic::Ordering::Relaxed;
    let explorer = &EXPLORER;
    buffer::flush_current();
    let cpu = machine::this();
    if cpu.is_online() && cpu.has_pending() {
        return;
    }
    cpu.waiting.store(true, Relaxed);
    explorer.step();
    explorer.go_on_with(explorer.choose());
    // On this CPU again, and `cpu` is still it.
    cpu.waiting.store(false, Relaxed);
}

/// Makes CPU `index` run from `entry(index)` on the stack below `top`, interrupts masked.
pub(super) fn start_cpu(index: usize, top: usize, entry: extern "C" fn(usize) -> !) {
    buffer::flush_current();
    let cpu = vcpu(index);
    // SAFETY: the stack is the CPU's for good.
    let context = unsafe { switch::prepare(top, entry, index) };
    cpu.explored.stack_pointer.set(context);
    cpu.enter();
}
