//! Making events happen at the same time, and parking LWPs that are to be killed.

use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{LwpAttributes, Priority, WaitQueue, lwp_spawn, now_ns, println, sleep, yield_now};

use crate::check::{cpus, on_cpu, rounds};

/// How often an LWP polls before it goes to sleep, because an emulator may have fewer cores than the machine that it
/// emulates.
const LOOKS: u32 = 200;

/// A barrier that a number of LWPs cross together: each waits until all have arrived.
#[derive(Debug)]
pub struct StartLine {
    arrived: AtomicU32,
    sleepers: WaitQueue,
}

impl StartLine {
    /// Creates one at which none has arrived.
    #[must_use]
    pub const fn new() -> Self {
        Self { arrived: AtomicU32::new(0), sleepers: WaitQueue::new() }
    }

    /// Resets it for the next race. No LWP may wait at it.
    pub fn reset(&self) {
        self.arrived.store(0, Ordering::Relaxed);
    }

    /// Arrives at the barrier, and continues when `runners` LWPs have.
    pub fn cross(&self, runners: u32) {
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == runners {
            self.sleepers.wake_all();
            return;
        }
        for _ in 0..LOOKS {
            if self.arrived() >= runners {
                return;
            }
            yield_now();
        }
        let _ = self.sleepers.wait(|| self.arrived() >= runners);
    }

    /// Returns how many have arrived.
    pub fn arrived(&self) -> u32 {
        self.arrived.load(Ordering::Acquire)
    }
}

impl Default for StartLine {
    fn default() -> Self {
        Self::new()
    }
}

/// Sleeps until the LWP is killed. This is an entry for [`asphodel::api::lwp_spawn`], which never returns.
pub fn sleep_for_ever(_argument: usize) -> usize {
    static NEVER: WaitQueue = WaitQueue::new();
    loop {
        let _ = NEVER.wait(|| false);
    }
}

/// Computes until the LWP is killed: never enters the kernel.
pub fn spin_for_ever(_argument: usize) -> usize {
    loop {
        core::hint::black_box(0);
    }
}

/// Starts on each CPU an LWP of the highest priority that sleeps and wakes without end: on CPU `n`, for `first + n *
/// step` nanoseconds at a time.
pub fn disturb_all_cpus(first: usize, step: usize) {
    fn disturb(nanoseconds: usize) -> usize {
        loop {
            let _ = sleep(nanoseconds as u64);
        }
    }
    for cpu in 0..cpus() {
        let attributes = LwpAttributes { priority: Priority::HIGHEST, ..on_cpu(cpu) };
        drop(lwp_spawn(disturb, first + step * cpu as usize, &attributes));
    }
}

/// Spends a little time, measured in loops, without the kernel, so that each round of a race meets other moments.
pub fn dawdle(loops: usize) {
    for index in 0..loops {
        core::hint::black_box(index);
    }
}

/// Returns at once.
pub fn return_at_once(argument: usize) -> usize {
    argument
}

/// Overwrites the default-size stack that `address` lies in.
///
/// # Safety
/// The stack must be mapped and must have no user.
pub unsafe fn poison_stack(address: usize) {
    const SIZE: usize = crate::SMALL_STACK;
    // Stacks are aligned to their size.
    let bottom = (address & !(SIZE - 1)) as *mut u64;
    for offset in 0..SIZE / size_of::<u64>() {
        // SAFETY: the address is inside the stack, which the caller guarantees to be unused.
        unsafe { bottom.add(offset).write_volatile(0xdead_dead_dead_dead) };
    }
}

/// Returns the rounds of a race: as many as fit into one second, or into more with the boot argument `rounds=PERCENT`
/// (the 10^5 and 10^6 rounds of a long run). There is at least one; their number is printed.
#[must_use]
pub fn race_rounds() -> RaceRounds {
    let now = now_ns();
    RaceRounds { begun: 0, started_at: now, ends_at: now + rounds(1_000) * 1_000_000 }
}

/// How long a race with [`race_rounds`] may take, in milliseconds.
pub const RACE_DEADLINE_MS: u64 = 60_000;

/// The numbers of a race's rounds, from 1 on. See [`race_rounds`].
#[derive(Debug)]
pub struct RaceRounds {
    begun: u64,
    started_at: u64,
    ends_at: u64,
}

impl Iterator for RaceRounds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let now = now_ns();
        if self.begun > 0 && now >= self.ends_at {
            println!("# {} rounds in {} ms", self.begun, (now - self.started_at) / 1_000_000);
            return None;
        }
        self.begun += 1;
        Some(self.begun)
    }
}
