//! What happens to processes and LWPs, said at the moment it happens: for a trace, and for an observer of the whole system.
//!
//! Events have plain values only: pids, slots, indices of thread records, addresses. What can be traced by DTrace's `proc`
//! provider has the name it has there (`exec`, `exit`, `lwp-create`, `signal-send`); the others are steps of ending and
//! freeing that provider does not know.

use core::fmt;

use crate::id::Pid;
use crate::proc::status::Status;
use crate::signal::Signal;

/// One event. Each documents the context in which it is reported: an observer sees the tables as they are at that
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process record was taken from the table; there is no other reference to it.
    RecordTaken {
        /// Its pid from now on.
        pid: Pid,
    },
    /// A process is in its parent's list, and look-ups are about to find it. Its first LWP has not been queued.
    Create {
        /// The new process.
        pid: Pid,
        /// Slot of its parent, which is the nearest reaper if its spawner does not wait for it.
        parent: u32,
        /// Its group.
        group: Pid,
    },
    /// An LWP is counted and listed by its process, whose list is locked.
    LwpCreate {
        /// Its process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// An LWP that was just created was refused by its process, and is disposed of.
    LwpRefused {
        /// The process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// An LWP runs for the first time, interrupts masked.
    LwpStart {
        /// Its process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// An LWP leaves its process's list for good; it still stands on its stack.
    LwpExit {
        /// Its process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// An LWP is off its CPU and its stack; its process is about to count it off.
    LwpOffCpu {
        /// Its process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// The usage of an LWP that is off its CPU is about to be added to its process's.
    LwpSettled {
        /// Its process.
        pid: Pid,
        /// Index of its record.
        thread: u32,
    },
    /// A process has counted an LWP off, and woken or published what that made necessary; its record is still held.
    LwpCountedOff {
        /// The process, by what its record says now.
        pid: Pid,
        /// Index of the LWP's record, which may be another one's by now.
        thread: u32,
    },
    /// A thread record is about to go back to the table.
    LwpRecordFreed {
        /// Index of the record.
        thread: u32,
    },
    /// A stack is about to be used by others.
    StackFreed {
        /// Its lowest address.
        bottom: usize,
        /// The address above it.
        top: usize,
    },
    /// A process has begun to replace its program.
    Exec {
        /// The process.
        pid: Pid,
    },
    /// A process has replaced its program, which the calling LWP is about to start.
    ExecSuccess {
        /// The process.
        pid: Pid,
    },
    /// A process has begun to end: the calling LWP has been elected to end it.
    Exit {
        /// The process.
        pid: Pid,
        /// The status that its parent will get.
        status: Status,
    },
    /// The calling LWP, which ends its process or replaces its program, has become the only one.
    Alone {
        /// The process.
        pid: Pid,
    },
    /// A process has given all its children away and adopts no more.
    Disowned {
        /// The process.
        pid: Pid,
    },
    /// A process has become a zombie; its parent does not know yet.
    Zombie {
        /// The process.
        pid: Pid,
    },
    /// A zombie has been claimed and is being reaped.
    Reaped {
        /// The process.
        pid: Pid,
        /// Slot of the process that gets its usage.
        heir: u32,
    },
    /// The last reference to a process record has gone; its slot is not free yet.
    RecordVacated {
        /// Its slot.
        slot: u32,
    },
    /// A process record is about to be free; its own account of what it has is closed.
    RecordFreed {
        /// Its slot.
        slot: u32,
    },
    /// A signal is delivered to a process.
    SignalSend {
        /// The process.
        pid: Pid,
        /// The signal.
        signal: Signal,
    },
    /// A kill of an LWP has become pending.
    LwpKill {
        /// Index of its record.
        thread: u32,
    },
    /// A panic or a fault ends a process; the console says which.
    Fault {
        /// The process.
        pid: Pid,
    },
    /// An exit takes too long; the console says where it hangs.
    WatchdogReport {
        /// The process.
        pid: Pid,
    },
    /// The kernel has failed; the console says how. The system ends.
    Fatal,
}

impl Event {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RecordTaken { .. } => "record-taken",
            Self::Create { .. } => "create",
            Self::LwpCreate { .. } => "lwp-create",
            Self::LwpRefused { .. } => "lwp-refused",
            Self::LwpStart { .. } => "lwp-start",
            Self::LwpExit { .. } => "lwp-exit",
            Self::LwpOffCpu { .. } => "lwp-off-cpu",
            Self::LwpSettled { .. } => "lwp-settled",
            Self::LwpCountedOff { .. } => "lwp-counted-off",
            Self::LwpRecordFreed { .. } => "lwp-record-freed",
            Self::StackFreed { .. } => "stack-freed",
            Self::Exec { .. } => "exec",
            Self::ExecSuccess { .. } => "exec-success",
            Self::Exit { .. } => "exit",
            Self::Alone { .. } => "alone",
            Self::Disowned { .. } => "disowned",
            Self::Zombie { .. } => "zombie",
            Self::Reaped { .. } => "reaped",
            Self::RecordVacated { .. } => "record-vacated",
            Self::RecordFreed { .. } => "record-freed",
            Self::SignalSend { .. } => "signal-send",
            Self::LwpKill { .. } => "lwp-kill",
            Self::Fault { .. } => "fault",
            Self::WatchdogReport { .. } => "watchdog-report",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match *self {
            Self::RecordTaken { pid }
            | Self::Exec { pid }
            | Self::ExecSuccess { pid }
            | Self::Alone { pid }
            | Self::Disowned { pid }
            | Self::Zombie { pid }
            | Self::Fault { pid }
            | Self::WatchdogReport { pid } => write!(f, " pid={pid}"),
            Self::Create { pid, parent, group } => write!(f, " pid={pid} parent={parent} group={group}"),
            Self::LwpCreate { pid, thread }
            | Self::LwpRefused { pid, thread }
            | Self::LwpStart { pid, thread }
            | Self::LwpExit { pid, thread }
            | Self::LwpOffCpu { pid, thread }
            | Self::LwpCountedOff { pid, thread }
            | Self::LwpSettled { pid, thread } => write!(f, " pid={pid} thread={thread}"),
            Self::LwpRecordFreed { thread } | Self::LwpKill { thread } => write!(f, " thread={thread}"),
            Self::StackFreed { bottom, top } => write!(f, " stack={bottom:#x}-{top:#x}"),
            Self::Exit { pid, status } => write!(f, " pid={pid} status=\"{status}\""),
            Self::Reaped { pid, heir } => write!(f, " pid={pid} heir={heir}"),
            Self::RecordVacated { slot } | Self::RecordFreed { slot } => write!(f, " slot={slot}"),
            Self::SignalSend { pid, signal } => write!(f, " pid={pid} signal={}", signal.number()),
            Self::Fatal => Ok(()),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_name_and_the_values() {
        let pid = Pid::new(7, 0);
        let send = Event::SignalSend { pid, signal: Signal::KILL };
        assert_eq!(send.to_string(), format!("signal-send pid={pid} signal=9"));
        assert_eq!(Event::RecordFreed { slot: 3 }.to_string(), "record-freed slot=3");
        let exit = Event::Exit { pid, status: Status::exited(2) };
        assert_eq!(exit.to_string(), format!("exit pid={pid} status=\"exited with 2\""));
    }
}
