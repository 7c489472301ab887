//! Explore mode: all CPUs are contexts of one host thread, and a seed decides whose step is next.
//!
//! A step is what lies between two points, which are the atomic operations of the kernel and the places where interrupts
//! are unmasked. At each point another CPU may go on, a CPU may be held up for a while, time may jump, a store may leave a
//! store buffer, and pending interrupts are taken. The seed lives in *moods* of some hundred to some thousand steps, in
//! each of which one rule chooses the next CPU: a favourite, any, priorities that drop at random (PCT), or the one that runs
//! with few changes (delay-bounded). Nothing of the host decides anything: the same seed gives the same run.
//!
//! A run does some ten million points a second: a point draws one number, whose bits decide everything that may happen at
//! it, and what comes seldom (another mood, a sample, the end) is one comparison.

use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use asphodel_interleave::buffer;

use super::counter::NEVER;
use super::cpus::{self, Vcpu, vcpu, vcpus};
use super::words::{CPU, INDEX, MASKED, PENDING, THREAD, TLS};
use super::{observe, switch};

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

    /// The thread's pointer, and the stack's, of a CPU that does not run.
    pub(super) fn standing(&self) -> (u64, usize) {
        (self.thread.get(), self.stack_pointer.get() as usize)
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
    steps: Cell<u64>,
    /// What the counter is ahead of the steps: time that was jumped over.
    jumped: Cell<u64>,
    switches: Cell<u64>,
    limit: Cell<u64>,
    count: Cell<usize>,
    current: Cell<usize>,
    mood: Cell<Mood>,
    mood_ends: Cell<u64>,
    next_sample: Cell<u64>,
    /// The first of the end of the mood, the sample and the limit.
    next_change: Cell<u64>,
    /// A CPU is held up when these bits of a number are all 0.
    holds_up: Cell<u64>,
    /// For at most 2 to this power steps, exclusive.
    longest: Cell<u64>,
    buffered: Cell<bool>,
    /// A buffer is drained when these bits of a number are all 0.
    drains: Cell<u64>,
    favourite: Cell<usize>,
    favourite_until: Cell<u64>,
    lowest: Cell<i64>,
}

// SAFETY: used in explore mode only, in which there is one host thread.
unsafe impl Sync for Explorer {}

static EXPLORER: Explorer = Explorer {
    on: Cell::new(false),
    random: Cell::new(1),
    steps: Cell::new(0),
    jumped: Cell::new(1),
    switches: Cell::new(0),
    limit: Cell::new(u64::MAX),
    count: Cell::new(1),
    current: Cell::new(0),
    mood: Cell::new(Mood::Uniform),
    mood_ends: Cell::new(0),
    next_sample: Cell::new(SAMPLE),
    next_change: Cell::new(0),
    holds_up: Cell::new(0),
    longest: Cell::new(1),
    buffered: Cell::new(false),
    drains: Cell::new(0),
    favourite: Cell::new(0),
    favourite_until: Cell::new(0),
    lowest: Cell::new(0),
};

/// Steps between two samples of an observer.
const SAMPLE: u64 = 30_000;

/// Which bits of the number of a point decide what.
mod bits {
    /// Bits that a CPU is chosen by: so many are one number.
    pub(super) const CHOICE: u32 = 14;
    /// Which CPU is next.
    pub(super) const NEXT: u32 = 0;
    /// Whether there is another CPU next.
    pub(super) const CHANGE: u32 = 14;
    /// Whether this CPU is held up: 6 or 8 bits.
    pub(super) const HOLD_UP: u32 = 22;
    /// Whether time jumps: 11 bits.
    pub(super) const JUMP: u64 = 2_047 << 30;
    /// Whether a buffer is drained: 2 or 7 bits.
    pub(super) const DRAIN: u32 = 41;
    /// Whose, by a number of [`CHOICE`] bits; also how long or how far something goes.
    pub(super) const EXTENT: u32 = 48;
}

/// Starts the scheduler: `seed` decides everything from here on. `buffers`: stores become visible late.
pub(super) fn start(seed: u64, limit: u64, buffers: bool) {
    let explorer = &EXPLORER;
    explorer.random.set(seed.wrapping_add(77).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    explorer.limit.set(limit);
    explorer.count.set(cpus::count());
    explorer.buffered.set(buffers);
    explorer.on.set(true);
    for _ in 0..8 {
        explorer.random();
    }
    if buffers {
        buffer::enable();
    }
    asphodel_interleave::set_point(point);
}

/// Seconds of the host's CPU time in which there must be a point.
const SILENCE: libc::time_t = 20;

/// From here on the run ends as a violation when something computes without ever coming to a point: nothing else could
/// go on then.
pub(super) fn watch_for_silence() {
    extern "C" fn look(_signal: libc::c_int) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let steps = EXPLORER.steps.get();
        if LAST.swap(steps, Relaxed) == steps {
            observe::violation(format_args!("silence: {SILENCE} s of CPU time without a point"));
        }
    }
    let again = libc::timeval { tv_sec: SILENCE, tv_usec: 0 };
    let times = libc::itimerval { it_interval: again, it_value: again };
    // SAFETY: the handler only looks, or ends the process; both structures are whole.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = look as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(libc::SIGVTALRM, &raw const action, core::ptr::null_mut());
        libc::setitimer(libc::ITIMER_VIRTUAL, &raw const times, core::ptr::null_mut());
    }
}

/// The counter.
#[inline(always)]
pub(super) fn now() -> u64 {
    EXPLORER.now()
}

/// Steps and switches between CPUs so far.
pub(super) fn figures() -> (u64, u64) {
    (EXPLORER.steps.get(), EXPLORER.switches.get())
}

/// Whether CPU `index` waits for an interrupt, and none is pending for it.
pub(super) fn is_idle(index: usize) -> bool {
    !EXPLORER.can_go_on(vcpu(index))
}

/// Runs `work` as one step: for an observer, which is not part of what is explored.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = EXPLORER.on.replace(false);
    let result = work();
    EXPLORER.on.set(before);
    result
}

impl Explorer {
    #[inline(always)]
    fn now(&self) -> u64 {
        self.steps.get() + self.jumped.get()
    }

    /// The next number, 64 bits (xorshift64*).
    #[inline(always)]
    fn random(&self) -> u64 {
        let mut word = self.random.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.random.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A CPU, by the [`bits::CHOICE`] bits of `number` from `shift` on.
    #[inline(always)]
    fn cpu_by(&self, number: u64, shift: u32) -> usize {
        let part = number >> shift & ((1 << bits::CHOICE) - 1);
        ((part * self.count.get() as u64) >> bits::CHOICE) as usize
    }

    #[inline]
    fn can_go_on(&self, cpu: &Vcpu) -> bool {
        let works =
            !cpu.waiting.load(Relaxed) || cpu.pending.load(Relaxed) != 0 || cpu.deadline() <= self.now();
        works && cpu.is_online()
    }

    #[inline]
    fn is_free(&self, index: usize) -> bool {
        let cpu = vcpu(index);
        cpu.explored.held_until.get() <= self.steps.get() && self.can_go_on(cpu)
    }

    /// The first of the CPUs from `first` on that `may`.
    #[inline]
    fn any(&self, first: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.count.get();
        (first..count).chain(0..first).find(|index| may(*index))
    }

    /// What comes seldom: the limit, a sample, another mood.
    #[cold]
    #[inline(never)]
    fn change(&self) {
        let step = self.steps.get();
        if step > self.limit.get() {
            self.limit.set(u64::MAX);
            observe::violation(format_args!("no end: the limit of points is reached"));
        }
        if step >= self.next_sample.get() {
            self.next_sample.set(step + SAMPLE);
            observe::sample();
        }
        if step >= self.mood_ends.get() {
            self.change_mood();
        }
        let limit = self.limit.get().saturating_add(1);
        self.next_change.set(self.mood_ends.get().min(self.next_sample.get()).min(limit));
    }

    fn change_mood(&self) {
        let number = self.random();
        self.mood_ends.set(self.steps.get() + 300 + number % 8_000);
        let mood = [Mood::Favourite, Mood::Uniform, Mood::Priorities, Mood::DelayBounded];
        self.mood.set(mood[(number >> 40) as usize % mood.len()]);
        let nervous = matches!(self.mood.get(), Mood::Favourite | Mood::Uniform);
        let (seldom, longest) = if nervous { (63, 11) } else { (255, 14) };
        self.holds_up.set(seldom << bits::HOLD_UP);
        self.longest.set(longest);
        self.drains.set(if number >> 50 & 1 != 0 { 127 } else { 3 } << bits::DRAIN);
        for cpu in vcpus() {
            cpu.explored.priority.set((self.random() % 1_000) as i64);
        }
        self.lowest.set(0);
        // One CPU may not go on for long, wherever it is: the others come to an end without it.
        let victim = self.random();
        if victim & 1 == 0 {
            let held = self.steps.get() + ((victim >> 1) % 8_000);
            vcpu(self.cpu_by(victim, bits::EXTENT)).explored.held_until.set(held);
        }
    }

    /// The CPU whose step is next, by `number`.
    #[inline]
    fn choose(&self, number: u64, may_stay: bool) -> usize {
        let me = self.current.get();
        let stays = may_stay && vcpu(me).explored.held_until.get() <= self.steps.get();
        let chance = number >> bits::CHANGE & 127;
        let chosen = match self.mood.get() {
            Mood::Favourite => self.choose_favourite(number, chance),
            Mood::Uniform => self.any(self.cpu_by(number, bits::NEXT), |index| self.is_free(index)),
            Mood::Priorities => {
                if chance == 0 {
                    self.demote();
                } else if stays && chance & 3 != 0 {
                    return me;
                }
                let free = (0..self.count.get()).filter(|index| self.is_free(*index));
                free.max_by_key(|index| vcpu(*index).explored.priority.get())
            }
            Mood::DelayBounded if stays && chance > 2 => return me,
            Mood::DelayBounded => self
                .any(self.cpu_by(number, bits::NEXT), |index| index != me && self.is_free(index))
                .or(stays.then_some(me)),
        };
        chosen.unwrap_or_else(|| self.choose_any())
    }

    #[inline]
    fn choose_favourite(&self, number: u64, chance: u64) -> Option<usize> {
        if self.steps.get() >= self.favourite_until.get() {
            let other = self.random();
            self.favourite_until.set(self.steps.get() + 1 + other % 200);
            self.favourite.set(self.cpu_by(other, bits::EXTENT));
        }
        let favourite = self.favourite.get();
        if chance > 42 && self.is_free(favourite) {
            return Some(favourite);
        }
        self.any(self.cpu_by(number, bits::NEXT), |index| self.is_free(index))
    }

    /// Any CPU that can go on, held up or not; if none can, time goes on until one does.
    #[cold]
    #[inline(never)]
    fn choose_any(&self) -> usize {
        loop {
            let first = self.cpu_by(self.random(), bits::NEXT);
            if let Some(index) = self.any(first, |index| self.can_go_on(vcpu(index))) {
                return index;
            }
            let online = vcpus().iter().filter(|cpu| cpu.is_online());
            let next = online.map(Vcpu::deadline).min().unwrap_or(NEVER);
            if next == NEVER {
                buffer::flush_all();
                observe::violation(format_args!(
                    "at rest: every CPU waits for an interrupt, and no timer is armed"
                ));
            }
            let now = self.now();
            self.jumped.set(self.jumped.get() + next.max(now) - now);
        }
    }

    fn demote(&self) {
        self.lowest.set(self.lowest.get() - 1);
        cpus::this().explored.priority.set(self.lowest.get());
    }

    /// What may happen at a point besides a change of CPU, by `number`.
    #[inline(always)]
    fn disturb(&self, number: u64) {
        if number & self.holds_up.get() == 0 {
            let held = self.steps.get() + (1 << ((number >> bits::EXTENT) % self.longest.get()));
            vcpu(self.current.get()).explored.held_until.set(held);
        }
        if number & bits::JUMP == 0 {
            self.jumped.set(self.jumped.get() + self.random() % 600_000);
        }
        if self.buffered.get() && number & self.drains.get() == 0 {
            buffer::drain_one(self.cpu_by(number, bits::EXTENT));
        }
    }

    #[inline(always)]
    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() >= self.next_change.get() {
            self.change();
        }
    }

    /// Goes on with CPU `next`. Returns when this CPU's step comes again.
    #[inline(always)]
    fn go_on_with(&self, next: usize) {
        if next != self.current.get() {
            self.switch_to(next);
        }
    }

    #[inline(never)]
    fn switch_to(&self, next: usize) {
        let me = self.current.get();
        self.switches.set(self.switches.get() + 1);
        self.current.set(next);
        if self.buffered.get() {
            buffer::set_current(next);
        }
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
pub(super) fn point() {
    let explorer = &EXPLORER;
    if !explorer.on.get() {
        return;
    }
    explorer.step();
    let number = explorer.random();
    explorer.disturb(number);
    explorer.go_on_with(explorer.choose(number, true));
    cpus::deliver();
}

/// A turn of a spin loop: this CPU waits for another one, so the others go on first.
pub(super) fn relax() {
    let explorer = &EXPLORER;
    if explorer.on.get() {
        explorer.demote();
        let held = explorer.steps.get() + 2 + explorer.random() % 30;
        cpus::this().explored.held_until.set(held);
    }
    point();
}

/// Waits until an interrupt is pending for this CPU.
pub(super) fn wait_for_interrupt() {
    let explorer = &EXPLORER;
    buffer::flush_current();
    let cpu = cpus::this();
    if cpu.is_online() && cpu.has_pending() {
        return;
    }
    cpu.waiting.store(true, Relaxed);
    explorer.step();
    explorer.go_on_with(explorer.choose(explorer.random(), false));
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
