//! The reason of a wait, in a word: each wait has a name of its own (D35), which `lwps` and the watchdog show.

use crate::shim::guarded::Cell32;

/// Why a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// A child to end: wait4.
    Child,
    /// An LWP to end: a join.
    Join,
    /// The other LWPs of an exiting process must leave their CPUs; its exit owner waits.
    Siblings,
    /// The peers of an exiting leader must release what they share; its exit owner waits.
    Peers,
    /// The end of a vfork: the child still uses the shared memory.
    Vfork,
    /// The other LWPs of a process that calls exec must leave their CPUs.
    SingleThreading,
    /// A signal to be sent: sigwait.
    Signal,
    /// Time to pass: a sleep.
    Sleep,
    /// A wake-up on an address: tsleep.
    Channel,
    /// A word to be changed: a futex.
    Futex,
    /// A unit of a semaphore.
    Semaphore,
    /// A mutex that another thread holds.
    Mutex,
    /// A condition variable's notification.
    Condition,
    /// A serializing token that another thread holds.
    Token,
    /// The condition of a program's own wait queue.
    Queue,
    /// A byte from the console.
    Input,
    /// The end of a task that is queued or runs.
    Task,
    /// Work: a kernel thread that has none.
    Work,
    /// The next call-out to become due.
    Callout,
    /// The start of a CPU.
    Cpu,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 20] = [
        Self::Child,
        Self::Join,
        Self::Siblings,
        Self::Peers,
        Self::Vfork,
        Self::SingleThreading,
        Self::Signal,
        Self::Sleep,
        Self::Channel,
        Self::Futex,
        Self::Semaphore,
        Self::Mutex,
        Self::Condition,
        Self::Token,
        Self::Queue,
        Self::Input,
        Self::Task,
        Self::Work,
        Self::Callout,
        Self::Cpu,
    ];

    /// For messages: completes "waits for".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Child => "a child",
            Self::Join => "an LWP to end",
            Self::Siblings => "its siblings to end",
            Self::Peers => "its peers to let go",
            Self::Vfork => "its vfork child",
            Self::SingleThreading => "being the only LWP",
            Self::Signal => "a signal",
            Self::Sleep => "time to pass",
            Self::Channel => "a wake-up",
            Self::Futex => "a futex",
            Self::Semaphore => "a semaphore",
            Self::Mutex => "a mutex",
            Self::Condition => "a condition",
            Self::Token => "a token",
            Self::Queue => "a wait queue",
            Self::Input => "input",
            Self::Task => "a task",
            Self::Work => "work",
            Self::Callout => "a call-out",
            Self::Cpu => "a CPU",
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// The reason of a thread's last sleep, in its record; valid while it sleeps. Written by the thread itself.
#[derive(Debug)]
pub struct LastReason(Cell32);

impl LastReason {
    /// The reason of a thread that has not slept.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell32::new(Reason::Queue as u32))
    }

    /// Records `reason`. Called by the thread before it goes to sleep.
    #[inline(always)]
    pub fn set(&self, reason: Reason) {
        self.0.set(reason as u32);
    }

    /// Returns why it sleeps, or slept last. Any context.
    #[must_use]
    pub fn get(&self) -> Reason {
        Reason::ALL[self.0.get() as usize]
    }
}

impl Default for LastReason {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// D35: every wait has a distinct name.
    #[test]
    fn d35_every_reason_has_a_number_and_a_name_of_its_own() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(!Reason::ALL[..number].iter().any(|other| other.name() == reason.name()), "{reason}");
        }
    }

    #[test]
    fn the_last_reason_is_kept() {
        let last = LastReason::new();
        for reason in Reason::ALL {
            last.set(reason);
            assert_eq!(last.get(), reason);
        }
    }
}
