//! What happened: the last steps of a run, for whoever has to understand a failure, and a hash over all of them.

use std::fmt;

/// How many events are kept.
const KEPT: usize = 400;

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Work,
    EnterService,
    Edge,
    Dies,
    // Scheduling.
    Choose,
    Commit,
    Enqueue,
    Post,
    SendMessage,
    DrainMailbox,
    Ask,
    Answer,
    Wfi,
    TimerFired,
    ArmTimer,
    DisarmTimer,
    KillPoint,
    // Waiting.
    PrepareSleep,
    TestKill,
    CancelSleep,
    WasWoken,
    Wake,
    // LWPs.
    CreateThread,
    CountLwp,
    InsertLwp,
    RemoveLwp,
    Leave,
    KillFlag,
    UnparkKillable,
    Interrupt,
    KillLwp,
    LockLwpList,
    // Processes.
    Allocate,
    AddChild,
    Born,
    Exit,
    Hook,
    SetStatus,
    Disown,
    Fatal,
    PostSignal,
    Find,
    TakeRef,
    PutRef,
    // The dead.
    FoldUsage,
    StoreWord,
    KeepDeadLwp,
    Retire,
    Unpin,
    PutThread,
    Revoke,
    OffCpu,
    Publish,
    Look,
    Count,
    FreeDeadLwps,
    // Others.
    SingleThread,
    EndSingleThreading,
    SetAutoReap,
    EnterDomain,
    SetRole,
    DeathSignal,
    SubtreeKill,
    InheritPendingKill,
    KillGroup,
    RecheckGroupSignal,
    JoinPeers,
    LeavePeers,
    ClosePeers,
    TellPeer,
    VforkDone,
    Signal,
}

impl What {
    /// How many kinds of steps there are.
    pub(crate) const KINDS: u32 = Self::Signal as u32 + 1;
}

/// One step, as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    step: u64,
    cpu: u32,
    thread: u32,
    pid: i32,
    tid: u32,
    what: What,
    about: u32,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, cpu, thread, pid, tid, what, about } = self;
        write!(f, "{step:>10}  cpu{cpu}  thread {thread:<3} pid {pid:<8} tid {tid:<4} {what:?} {about}")
    }
}

/// The last events, and a hash over all.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Vec<Event>,
    next: usize,
    hash: u64,
}

impl Log {
    /// Nothing has happened.
    pub(crate) fn new() -> Self {
        Self { kept: Vec::with_capacity(KEPT), next: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }

    /// `what` happened, to `about`.
    pub(crate) fn note(&mut self, step: u64, cpu: u32, who: (u32, i32, u32), what: What, about: u32) {
        let (thread, pid, tid) = who;
        // FNV-1a, a word at a time: it is to tell runs apart, no more.
        for word in [u64::from(cpu) << 32 | u64::from(thread), what as u64, u64::from(about)] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
        }
        let event = Event { step, cpu, thread, pid, tid, what, about };
        if self.kept.len() < KEPT {
            self.kept.push(event);
        } else {
            self.kept[self.next] = event;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The hash over all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last `count` events, the oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let (newer, older) = self.kept.split_at(self.next.min(self.kept.len()));
        let all = older.iter().chain(newer);
        let skipped = self.kept.len().saturating_sub(count);
        all.skip(skipped).map(Event::to_string).collect()
    }
}
