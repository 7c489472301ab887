//! Explore mode: all CPUs are contexts of one host thread, and a seed decides whose step is next.
//!
//! A step is what lies between two points, which are the atomic operations of the kernel and the places where
//! interrupts are unmasked. At each point another CPU may continue, a CPU may be held up for a while, time may jump, a
//! store may leave a store buffer, and pending interrupts are taken. The run consists of *moods* of some hundred to
//! some thousand steps, in each of which one rule chooses the next CPU: a favourite, any, priorities that drop at
//! random (PCT), or the one that runs with few changes (delay-bounded). No decision depends on the host, so the same
//! seed gives the same run.
//!
//! A run does some ten million points a second: a point draws one number, whose bits decide everything that may happen
//! at it, and rare events (another mood, a sample, the end) take one comparison.

use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use asphodel_interleave::buffer;

use super::clock::PROGRESS;
use super::cpus::{self, NEVER, Vcpu, vcpu, vcpus};
use super::words::{CPU, INDEX, MASKED, PENDING, THREAD, TLS};
use super::{interrupts, observe, switch};

/// The rule by which the next CPU is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// One CPU is preferred for a while.
    Favourite,
    /// Every CPU that can continue is equally likely.
    Uniform,
    /// The one of the highest priority; the running one is demoted from time to time.
    Priorities,
    /// The running one, with a change from time to time.
    DelayBounded,
}

/// The scheduler of virtual CPUs.
struct Explorer {
    on: Cell<bool>,
    random: Cell<u64>,
    limit: Cell<u64>,
    count: Cell<usize>,
    current: Cell<usize>,
    mood: Cell<Mood>,
    mood_ends: Cell<u64>,
    next_sample: Cell<u64>,
    /// The earliest of the end of the mood, the sample and the limit.
    next_change: Cell<u64>,
    /// A CPU is held up when these bits of a number are all 0.
    holds_up: Cell<u64>,
    /// The hold-up lasts for less than 2 to this power steps.
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

/// The bits of a point's number, and what they decide.
mod bits {
    /// Number of bits that choose a CPU.
    pub(super) const CHOICE: u32 = 14;
    /// The next CPU.
    pub(super) const NEXT: u32 = 0;
    /// A change to another CPU.
    pub(super) const CHANGE: u32 = 14;
    /// A hold-up of this CPU: 6 or 8 bits.
    pub(super) const HOLD_UP: u32 = 22;
    /// A jump of time: 11 bits.
    pub(super) const JUMP: u64 = 2_047 << 30;
    /// The drain of a buffer: 2 or 7 bits.
    pub(super) const DRAIN: u32 = 41;
    /// The CPU whose buffer is drained, by [`CHOICE`] bits; also how long or how far something goes.
    pub(super) const EXTENT: u32 = 48;
}

/// Starts the scheduler: `seed` decides everything from here on. With `buffers`, stores become visible late.
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

/// Seconds of the host's CPU time within which there must be a point.
const SILENCE: libc::time_t = 20;

/// From here on the run ends as a violation when something computes without ever reaching a point, because nothing else
/// could continue then.
pub(super) fn watch_for_silence() {
    extern "C" fn look(_signal: libc::c_int) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let steps = PROGRESS.steps.get();
        if LAST.swap(steps, Relaxed) == steps {
            observe::violation(format_args!("silence: {SILENCE} s of CPU time without a point"));
        }
    }
    let again = libc::timeval { tv_sec: SILENCE, tv_usec: 0 };
    let times = libc::itimerval { it_interval: again, it_value: again };
    // SAFETY: the handler only reads, or ends the process; both structures are complete.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = look as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(libc::SIGVTALRM, &raw const action, core::ptr::null_mut());
        libc::setitimer(libc::ITIMER_VIRTUAL, &raw const times, core::ptr::null_mut());
    }
}

/// Returns whether CPU `index` waits for an interrupt, and none is pending for it.
pub(super) fn is_idle(index: usize) -> bool {
    !EXPLORER.can_go_on(vcpu(index))
}

/// Runs `work` as one step, for an observer, which is not part of what is explored.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = EXPLORER.on.replace(false);
    let result = work();
    EXPLORER.on.set(before);
    result
}

impl Explorer {
    /// Returns the next number, 64 bits (xorshift64*).
    #[inline(always)]
    fn random(&self) -> u64 {
        let mut word = self.random.get();
        word ^= word >> 12;
        word ^= word << 25;
        word ^= word >> 27;
        self.random.set(word);
        word.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a CPU chosen by the [`bits::CHOICE`] bits of `number` from `shift` on.
    #[inline(always)]
    fn cpu_by(&self, number: u64, shift: u32) -> usize {
        let part = number >> shift & ((1 << bits::CHOICE) - 1);
        ((part * self.count.get() as u64) >> bits::CHOICE) as usize
    }

    #[inline]
    fn can_go_on(&self, cpu: &Vcpu) -> bool {
        let works =
            !cpu.waiting.load(Relaxed) || cpu.pending.load(Relaxed) != 0 || cpu.deadline() <= PROGRESS.now();
        works && cpu.is_online()
    }

    #[inline]
    fn is_free(&self, index: usize) -> bool {
        let cpu = vcpu(index);
        cpu.explored.held_until.get() <= PROGRESS.steps.get() && self.can_go_on(cpu)
    }

    /// Returns the first of the CPUs from `first` on for which `may` holds.
    #[inline]
    fn any(&self, first: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.count.get();
        (first..count).chain(0..first).find(|index| may(*index))
    }

    /// Handles the rare events: the limit, a sample, another mood.
    #[cold]
    #[inline(never)]
    fn change(&self) {
        let step = PROGRESS.steps.get();
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
        self.mood_ends.set(PROGRESS.steps.get() + 300 + number % 8_000);
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
        // One CPU may not continue for long, wherever it is: the others finish without it.
        let victim = self.random();
        if victim & 1 == 0 {
            let held = PROGRESS.steps.get() + ((victim >> 1) % 8_000);
            vcpu(self.cpu_by(victim, bits::EXTENT)).explored.held_until.set(held);
        }
    }

    /// Returns the CPU whose step is next, by `number`.
    #[inline]
    fn choose(&self, number: u64, may_stay: bool) -> usize {
        let me = self.current.get();
        let stays = may_stay && vcpu(me).explored.held_until.get() <= PROGRESS.steps.get();
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
        if PROGRESS.steps.get() >= self.favourite_until.get() {
            let other = self.random();
            self.favourite_until.set(PROGRESS.steps.get() + 1 + other % 200);
            self.favourite.set(self.cpu_by(other, bits::EXTENT));
        }
        let favourite = self.favourite.get();
        if chance > 42 && self.is_free(favourite) {
            return Some(favourite);
        }
        self.any(self.cpu_by(number, bits::NEXT), |index| self.is_free(index))
    }

    /// Returns any CPU that can continue, held up or not; if none can, advances time until one does.
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
            let now = PROGRESS.now();
            PROGRESS.jumped.set(PROGRESS.jumped.get() + next.max(now) - now);
        }
    }

    fn demote(&self) {
        self.lowest.set(self.lowest.get() - 1);
        cpus::this().explored.priority.set(self.lowest.get());
    }

    /// Decides, by `number`, what happens at a point besides a change of CPU.
    #[inline(always)]
    fn disturb(&self, number: u64) {
        if number & self.holds_up.get() == 0 {
            let held = PROGRESS.steps.get() + (1 << ((number >> bits::EXTENT) % self.longest.get()));
            vcpu(self.current.get()).explored.held_until.set(held);
        }
        if number & bits::JUMP == 0 {
            PROGRESS.jumped.set(PROGRESS.jumped.get() + self.random() % 600_000);
        }
        if self.buffered.get() && number & self.drains.get() == 0 {
            buffer::drain_one(self.cpu_by(number, bits::EXTENT));
        }
    }

    #[inline(always)]
    fn step(&self) {
        PROGRESS.steps.set(PROGRESS.steps.get() + 1);
        if PROGRESS.steps.get() >= self.next_change.get() {
            self.change();
        }
    }

    /// Continues with CPU `next`. Returns when it is this CPU's turn again.
    #[inline(always)]
    fn go_on_with(&self, next: usize) {
        if next != self.current.get() {
            self.switch_to(next);
        }
    }

    #[inline(never)]
    fn switch_to(&self, next: usize) {
        let me = self.current.get();
        PROGRESS.switches.set(PROGRESS.switches.get() + 1);
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
        // SAFETY: the context of a CPU that does not run was stored here or made by `start_cpu`; only this function
        // resumes one, and there is one host thread.
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

/// A point of interleaving: another CPU may continue here, and an interrupt may be taken.
pub(super) fn point() {
    let explorer = &EXPLORER;
    if !explorer.on.get() {
        return;
    }
    explorer.step();
    let number = explorer.random();
    explorer.disturb(number);
    explorer.go_on_with(explorer.choose(number, true));
    interrupts::deliver();
}

/// An iteration of a spin loop: this CPU waits for another one, so the others continue first.
pub(super) fn relax() {
    let explorer = &EXPLORER;
    if explorer.on.get() {
        explorer.demote();
        let held = PROGRESS.steps.get() + 2 + explorer.random() % 30;
        cpus::this().explored.held_until.set(held);
    }
    point();
}

/// Waits until an interrupt is pending for this CPU.
pub(super) fn wait_for_interrupt() {
    let explorer = &EXPLORER;
    buffer::flush_current();
    let cpu = cpus::this();
    if cpu.is_online() && interrupts::is_pending(cpu) {
        return;
    }
    cpu.waiting.store(true, Relaxed);
    explorer.step();
    explorer.go_on_with(explorer.choose(explorer.random(), false));
    // This CPU runs again, and `cpu` still refers to it.
    cpu.waiting.store(false, Relaxed);
}

/// Makes CPU `index` run from `entry(index)` on the stack below `top`, with interrupts masked.
pub(super) fn start_cpu(index: usize, top: usize, entry: extern "C" fn(usize) -> !) {
    buffer::flush_current();
    let cpu = vcpu(index);
    // SAFETY: the stack belongs to the CPU for good.
    let context = unsafe { switch::prepare(top, entry, index) };
    cpu.explored.stack_pointer.set(context);
    cpu.enter();
}
