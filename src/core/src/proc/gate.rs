//! The gate: one atomic word decides how a process ends.
//!
//! ```text
//!   63..60 flags: CLAIMED ZOMBIE SINGLE_THREADING EXITING     59..30 present     29..0 live
//!
//!   (live 1, present 1)  --create-->  live+1, present+1           refused once EXITING or SINGLE_THREADING is set
//!        --thread_exit--> live > 1 or EXITING: live-1 (quietly)         live == 1: EXITING (this LWP is the exit_owner)
//!        --exit---> not EXITING: EXITING (exit_owner)                 else live-1 (quietly)
//!        --become single--> neither EXITING nor SINGLE_THREADING: SINGLE_THREADING    else as for thread_exit
//!        --off_cpu-> present-1; at 1 with EXITING: wake the exit_owner; at 0: ZOMBIE (publish)
//!   an LWP that serves its process only (its worker) is present and never live:
//!        --create_uncounted--> present+1     --leave_uncounted--> no change     --exit_uncounted--> EXITING, or no change
//!        --claim--> ZOMBIE and not CLAIMED: CLAIMED (the one right to reap)
//! ```
//!
//! `live` counts LWPs that have not committed to leave, `present` those whose context may still be on a CPU. Because
//! each decision is one compare-and-swap, these races have no window: two exit owners (R5), the last two LWPs both
//! leaving as threads only (R6), creation against kill (R7), the lost wake-up on the LWP count (R12), a zombie visible
//! while its LWPs run (R14), two waiters with one zombie (R16). Model: `tests/loom_gate.rs`.

use core::fmt;
use core::marker::PhantomData;

use crate::shim::atomic::{AtomicU64, Ordering};
use crate::shim::const_unless_loom;
use crate::shim::guarded::Cell32;

const LIVE_ONE: u64 = 1;
const PRESENT_SHIFT: u32 = 30;
const PRESENT_ONE: u64 = 1 << PRESENT_SHIFT;
const COUNT_MASK: u64 = PRESENT_ONE - 1;
const EXITING: u64 = 1 << 60;
const SINGLE_THREADING: u64 = 1 << 61;
const ZOMBIE: u64 = 1 << 62;
const CLAIMED: u64 = 1 << 63;

/// Most LWPs one process can have at a time.
pub const MAX_LWPS: u32 = 1 << 24;

/// Not `Send`, not `Sync`: a right belongs to the LWP that obtained it.
type Bound = PhantomData<*const ()>;

/// The right, and the duty, to tear the process down. Returned to the one LWP that won the election, which keeps it
/// until it is alone ([`Gate::alone`]).
#[derive(Debug)]
#[must_use = "the exit owner must finish the process"]
pub struct ExitOwner(Bound);

/// The exit owner, when no other LWP of its process is present any more: nothing of the process is shared with another
/// CPU, and it may be torn down. The duty lasts until the last switch ([`LastSwitch`]).
#[derive(Debug)]
#[must_use = "the exit owner must finish the process"]
pub struct LastLwp(Bound);

/// The duty to exit as a thread only: this LWP is no longer counted as live and must leave its CPU.
#[derive(Debug)]
#[must_use = "an LWP that has committed to leave must leave"]
pub struct ThreadExit(Bound);

/// The right to leave the CPU for good, which the last switch of an LWP uses up.
#[derive(Debug)]
#[must_use = "an LWP that has committed to leave must leave"]
pub enum LastSwitch {
    /// Of an LWP that leaves its process to others.
    Thread(ThreadExit),
    /// Of the exit owner, when everything is done that needs its stack.
    Process(LastLwp),
}

/// The right to be the only LWP of a process that continues (single-threading, as in exec).
#[derive(Debug)]
#[must_use = "single-threading must be finished"]
pub struct SingleThreading(Bound);

/// The one right to reap a zombie.
#[derive(Debug)]
#[must_use = "a claimed zombie must be reaped"]
pub struct Claim(());

/// The role of an LWP that exits.
#[derive(Debug)]
#[must_use]
pub enum ExitRole {
    /// Others are left, or another LWP owns the exit: leave without touching the process.
    Thread(ThreadExit),
    /// This LWP ends the process.
    Process(ExitOwner),
}

/// The action for the process, of the context that runs after a dead LWP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the effect is the only wake-up there is"]
pub enum OffCpu {
    /// Others are left.
    Nothing,
    /// Only the exit owner (or the LWP that single-threads the process) is left: wake it.
    WakeLast,
    /// No LWP is left: the process is a zombie now; publish it to its parent.
    Publish,
}

/// Why an LWP cannot be created in this process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateRefused {
    /// The process is exiting, or single-threading (T41: EAGAIN class).
    Ending,
    /// [`MAX_LWPS`] reached.
    TooMany,
}

/// A consistent snapshot of the gate, for `ps` and for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// LWPs not committed to leave.
    pub live: u32,
    /// LWPs whose context may still be on a CPU.
    pub present: u32,
    /// An exit owner has been elected.
    pub exiting: bool,
    /// An LWP is single-threading the process, or has done so.
    pub single: bool,
    /// All LWPs are off their CPUs for good.
    pub zombie: bool,
    /// A reaper has the right to reap it.
    pub claimed: bool,
}

/// The gate word of one process. All methods are lock-free and may be called in any context.
pub struct Gate {
    word: AtomicU64,
    /// The number of the exit owner, 0: none that is known. Written by the exit owner; an LWP that reads its own number
    /// has written it itself, so no ordering is needed.
    owner: Cell32,
}

impl Gate {
    const_unless_loom! {
        /// The gate of a process with its first LWP, which is counted but need not run yet.
        pub fn new() -> Self {
            Self { word: AtomicU64::new(LIVE_ONE | PRESENT_ONE), owner: Cell32::new(0) }
        }
    }

    /// Resets it for a new process. The record must not be reachable by others.
    pub fn reset(&self) {
        self.word.store(LIVE_ONE | PRESENT_ONE, Ordering::Relaxed);
        self.owner.set(0);
    }

    /// Retries `change` until it is applied to the current word, or it refuses.
    #[inline(always)]
    fn update<R, E>(&self, mut change: impl FnMut(u64) -> Result<(u64, R), E>) -> Result<R, E> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (new, result) = change(word)?;
            // AcqRel: every transition both publishes what its LWP did before and sees what earlier leavers did. Not the
            // weak form, here and elsewhere: it takes more instructions on a CPU without atomic ones (Cortex-A72).
            match self.word.compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(result),
                Err(seen) => word = seen,
            }
        }
    }

    /// Counts one more LWP; the last step of its construction (R7). It is put into its process's list before, or under
    /// the same acquisition of the list's lock, so that a killer, which walks the list after the election, finds every
    /// LWP that was counted. On refusal the embryo must be destroyed.
    ///
    /// # Errors
    /// [`CreateRefused`]: nothing was counted.
    #[inline]
    pub fn create(&self) -> Result<(), CreateRefused> {
        self.count_one(LIVE_ONE + PRESENT_ONE)
    }

    /// As [`Gate::create`], for an LWP that serves the process's others and does not keep the process alive: it is
    /// counted as present only. It leaves by [`Gate::leave_uncounted`] or [`Gate::exit_uncounted`].
    ///
    /// # Errors
    /// As there.
    pub fn create_uncounted(&self) -> Result<(), CreateRefused> {
        self.count_one(PRESENT_ONE)
    }

    /// Adds `one` LWP to the counts that it is in.
    #[inline]
    fn count_one(&self, one: u64) -> Result<(), CreateRefused> {
        self.update(|word| {
            if word & (EXITING | SINGLE_THREADING) != 0 {
                return Err(CreateRefused::Ending);
            }
            if (word >> PRESENT_SHIFT) & COUNT_MASK >= u64::from(MAX_LWPS) {
                return Err(CreateRefused::TooMany);
            }
            Ok((word + one, ()))
        })
    }

    /// The calling LWP, which is counted as present only, exits alone. It is never the last one.
    pub fn leave_uncounted(&self) -> ExitRole {
        as_elected(false)
    }

    /// The calling LWP, which is counted as present only, ends the whole process, as [`Gate::exit`] does.
    pub fn exit_uncounted(&self) -> ExitRole {
        as_elected(
            self.update(|word| if word & EXITING == 0 { Ok((word | EXITING, ())) } else { Err(()) }).is_ok(),
        )
    }

    /// The calling LWP exits (extexit of an LWP, return from its entry, a pending kill at a kill point). The last one
    /// becomes the exit owner (T12, T15, T16).
    #[inline]
    pub fn thread_exit(&self) -> ExitRole {
        let Ok(exit_owner) = self.update(|word| Ok::<_, core::convert::Infallible>(without_one(word)));
        as_elected(exit_owner)
    }

    /// The calling LWP ends the whole process. Exactly one caller becomes the exit owner (R5).
    #[inline]
    pub fn exit(&self) -> ExitRole {
        let Ok(exit_owner) = self.update(|word| {
            debug_assert!(word & COUNT_MASK != 0, "live count below zero (I12)");
            Ok::<_, core::convert::Infallible>(if word & EXITING == 0 {
                (word | EXITING, true)
            } else {
                (word - LIVE_ONE, false)
            })
        });
        as_elected(exit_owner)
    }

    /// The calling LWP single-threads a process that continues.
    ///
    /// # Errors
    /// The process is exiting or another LWP was first: the caller has left (T28, T29). It may be the last one, and
    /// thereby the exit owner: the first one can be killed alone, before it has finished.
    pub fn single_thread(&self) -> Result<SingleThreading, ExitRole> {
        let Ok(lost) = self.update(|word| {
            Ok::<_, core::convert::Infallible>(if word & (EXITING | SINGLE_THREADING) == 0 {
                (word | SINGLE_THREADING, None)
            } else {
                let (word, exit_owner) = without_one(word);
                (word, Some(exit_owner))
            })
        });
        lost.map_or(Ok(SingleThreading(PhantomData)), |exit_owner| Err(as_elected(exit_owner)))
    }

    /// Single-threading is complete: the process may create LWPs again. Returns the right if an exit overtook it, in
    /// which case the caller must exit like any other LWP.
    ///
    /// # Errors
    /// The process is exiting.
    pub fn end_single_threading(&self, single: SingleThreading) -> Result<(), SingleThreading> {
        self.update(|word| if word & EXITING == 0 { Ok((word & !SINGLE_THREADING, ())) } else { Err(()) })
            .map_err(|()| single)
    }

    /// The context of an LWP that exited (as a thread or as exit owner) is off its CPU. Called once for each, by the
    /// context that runs next. The transition to zero makes the process a zombie in the same step (R14).
    #[inline]
    pub fn off_cpu(&self) -> OffCpu {
        let Ok(new) = self.update(|word| {
            debug_assert!((word >> PRESENT_SHIFT) & COUNT_MASK != 0, "present count below zero (I12)");
            let new = word - PRESENT_ONE;
            let no_lwp = (new >> PRESENT_SHIFT) & COUNT_MASK == 0;
            let new = if no_lwp { new | ZOMBIE } else { new };
            Ok::<_, core::convert::Infallible>((new, new))
        });
        match (new >> PRESENT_SHIFT) & COUNT_MASK {
            0 => OffCpu::Publish,
            1 if new & (EXITING | SINGLE_THREADING) != 0 => OffCpu::WakeLast,
            _ => OffCpu::Nothing,
        }
    }

    /// Returns whether the caller, which is present, is the only one: the condition of the exit owner's wait.
    #[inline]
    pub fn is_last_present(&self) -> bool {
        // Acquire: pairs with the release of every `off_cpu`, so that the exit owner sees all that the dead LWPs did.
        (self.word.load(Ordering::Acquire) >> PRESENT_SHIFT) & COUNT_MASK == 1
    }

    /// Records the number of the exit owner, the caller, for [`Gate::is_owned_by`] and [`Gate::owner_again`].
    #[inline]
    pub fn set_owner(&self, _owner: &ExitOwner, tid: u32) {
        self.owner.set(tid);
    }

    /// Returns whether LWP `tid` is the exit owner. Exact for the LWP itself, and for code that runs after its last
    /// switch; for others the answer may be out of date. `tid` is the number of an LWP that was counted.
    #[inline]
    pub fn is_owned_by(&self, tid: u32) -> bool {
        self.owner.get() == tid
    }

    /// LWP `tid`, the caller, exits: returns the right that it has already if it is the exit owner. The value that it
    /// was given at its election stands in a part of its stack to which it never returns, so there are not two of them.
    #[inline]
    pub fn owner_again(&self, tid: u32) -> Option<ExitOwner> {
        self.is_owned_by(tid).then_some(ExitOwner(PhantomData))
    }

    /// The exit owner, the caller, is the only LWP that is present.
    ///
    /// # Errors
    /// Others are present: the exit owner must wait for [`OffCpu::WakeLast`].
    #[inline]
    pub fn alone(&self, owner: ExitOwner) -> Result<LastLwp, ExitOwner> {
        // EXITING is set, so no LWP can be added: the answer can only change from no to yes.
        if self.is_last_present() { Ok(LastLwp(PhantomData)) } else { Err(owner) }
    }

    /// Returns whether an exit owner has been elected.
    #[inline]
    pub fn is_exiting(&self) -> bool {
        self.word.load(Ordering::Acquire) & EXITING != 0
    }

    /// Returns whether LWPs are being killed by a sibling now: an exit owner has been elected, or an LWP is
    /// single-threading. The stack of a dead LWP is kept for that sibling then, because other siblings may still use
    /// it.
    #[inline]
    pub fn is_ending_lwps(&self) -> bool {
        self.word.load(Ordering::Acquire) & (EXITING | SINGLE_THREADING) != 0
    }

    /// Claims the zombie: exactly one caller gets it (R16). `None`: not a zombie yet, or another was first.
    #[inline]
    pub fn claim(&self) -> Option<Claim> {
        self.update(
            |word| if word & (ZOMBIE | CLAIMED) == ZOMBIE { Ok((word | CLAIMED, ())) } else { Err(()) },
        )
        .ok()
        .map(|()| Claim(()))
    }

    /// Returns a consistent snapshot of all fields.
    #[inline]
    pub fn view(&self) -> View {
        let word = self.word.load(Ordering::Acquire);
        View {
            live: (word & COUNT_MASK) as u32,
            present: ((word >> PRESENT_SHIFT) & COUNT_MASK) as u32,
            exiting: word & EXITING != 0,
            single: word & SINGLE_THREADING != 0,
            zombie: word & ZOMBIE != 0,
            claimed: word & CLAIMED != 0,
        }
    }
}

/// The word after an LWP has left, and whether that LWP is the exit owner: the last one is, unless there is one.
#[inline(always)]
fn without_one(word: u64) -> (u64, bool) {
    debug_assert!(word & COUNT_MASK != 0, "live count below zero (I12)");
    if word & EXITING == 0 && word & COUNT_MASK == 1 {
        (word | EXITING, true)
    } else {
        (word - LIVE_ONE, false)
    }
}

/// What an LWP that has left, or asked for the end, has become.
#[inline(always)]
fn as_elected(exit_owner: bool) -> ExitRole {
    if exit_owner {
        ExitRole::Process(ExitOwner(PhantomData))
    } else {
        ExitRole::Thread(ThreadExit(PhantomData))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn with_lwps(count: u32) -> Gate {
        let gate = Gate::new();
        (1..count).for_each(|_| gate.create().expect("a new process accepts LWPs"));
        gate
    }

    fn quietly(thread_exit: &ExitRole) -> bool {
        matches!(thread_exit, ExitRole::Thread(_))
    }

    #[test]
    fn a_new_process_has_one_lwp() {
        let view = Gate::new().view();
        assert_eq!((view.live, view.present), (1, 1));
        assert!(!view.exiting && !view.single && !view.zombie && !view.claimed);
    }

    /// T12: an LWP that only serves does not keep the process, and can end it like any other.
    #[test]
    fn a_server_does_not_count() {
        let gate = with_lwps(1);
        assert_eq!(gate.create_uncounted(), Ok(()));
        assert_eq!((gate.view().live, gate.view().present), (1, 2));
        assert!(quietly(&gate.leave_uncounted()) && gate.off_cpu() == OffCpu::Nothing);
        assert_eq!(gate.create_uncounted(), Ok(()));
        assert!(!quietly(&gate.thread_exit()), "the last one that counts owns the exit");
        assert!(quietly(&gate.exit_uncounted()) && gate.create_uncounted().is_err());
        assert_eq!((gate.off_cpu(), gate.off_cpu()), (OffCpu::WakeLast, OffCpu::Publish));
        let gate = with_lwps(2);
        assert_eq!(gate.create_uncounted(), Ok(()));
        assert!(!quietly(&gate.exit_uncounted()), "it owns the exit");
        assert!(quietly(&gate.thread_exit()) && quietly(&gate.exit()));
        assert_eq!((gate.off_cpu(), gate.off_cpu()), (OffCpu::Nothing, OffCpu::WakeLast));
        assert_eq!(gate.off_cpu(), OffCpu::Publish);
    }

    /// T12, T15: the last one to leave ends the process.
    #[test]
    fn last_to_leave_owns_the_exit() {
        let gate = with_lwps(3);
        assert!(quietly(&gate.thread_exit()) && quietly(&gate.thread_exit()));
        assert!(!quietly(&gate.thread_exit()));
        assert!(gate.is_exiting());
    }

    /// T21, T24: the first exit wins, later ones leave.
    #[test]
    fn first_exit_owns_the_exit() {
        let gate = with_lwps(3);
        assert!(!quietly(&gate.exit()));
        assert!(quietly(&gate.exit()) && quietly(&gate.thread_exit()));
    }

    /// The exit owner gets its right back when it exits again, and no other LWP does; it is alone when the others are
    /// off their CPUs, and not before.
    #[test]
    fn the_exit_owner_is_known_by_its_number() {
        let gate = with_lwps(2);
        assert!(!gate.is_owned_by(1) && gate.owner_again(2).is_none());
        let ExitRole::Process(owner) = gate.exit() else { panic!("no other LWP exits") };
        gate.set_owner(&owner, 2);
        assert!(gate.is_owned_by(2) && !gate.is_owned_by(1));
        assert!(gate.owner_again(1).is_none());
        let again = gate.owner_again(2).expect("it is the exit owner");
        let still = gate.alone(again).expect_err("its sibling is present");
        assert!(quietly(&gate.thread_exit()));
        assert_eq!(gate.off_cpu(), OffCpu::WakeLast);
        assert!(gate.alone(still).is_ok());
        gate.reset();
        assert!(!gate.is_owned_by(2));
    }

    /// T41: EAGAIN class once the process ends; nothing is counted.
    #[test]
    fn creation_is_refused_after_the_election() {
        let gate = with_lwps(2);
        let _exit_owner = gate.exit();
        let before = gate.view();
        assert_eq!(gate.create(), Err(CreateRefused::Ending));
        assert_eq!(gate.view(), before);
    }

    #[test]
    fn creation_is_refused_while_single() {
        let gate = with_lwps(2);
        let single = gate.single_thread().expect("no other LWP exits");
        assert_eq!(gate.create(), Err(CreateRefused::Ending));
        let _thread_exit = gate.thread_exit();
        assert_eq!(gate.off_cpu(), OffCpu::WakeLast);
        assert!(gate.is_last_present());
        gate.end_single_threading(single).expect("no LWP exits");
        assert_eq!(gate.create(), Ok(()), "T27: an ordinary process again");
    }

    /// T29: the loser is counted out.
    #[test]
    fn one_of_two_becomes_single() {
        let gate = with_lwps(2);
        let single = gate.single_thread();
        assert!(single.is_ok() && gate.single_thread().is_err());
        assert_eq!(gate.view().live, 1);
    }

    /// T29: the first one is killed alone before it has finished: the loser is the last LWP, and ends the process.
    #[test]
    fn the_last_loser_is_exit_owner() {
        let gate = with_lwps(3);
        let _killed = gate.single_thread().expect("no other LWP exits");
        assert!(quietly(&gate.thread_exit()));
        assert!(gate.single_thread().is_err_and(|thread_exit| quietly(&thread_exit)), "there is another one");
        assert!(gate.single_thread().is_err_and(|thread_exit| !quietly(&thread_exit)));
        assert_eq!((gate.view().live, gate.view().exiting), (1, true));
    }

    /// T28: an exit overtakes single-threading.
    #[test]
    fn exit_beats_single() {
        let gate = with_lwps(2);
        let single = gate.single_thread().expect("no other LWP exits");
        assert!(!quietly(&gate.exit()));
        assert!(gate.end_single_threading(single).is_err());
        assert!(quietly(&gate.thread_exit()));
    }

    /// R14: the zombie appears with the last context off its CPU, not before, and the last but one wakes the exit
    /// owner.
    #[test]
    fn zombie_when_nobody_is_present() {
        let gate = with_lwps(3);
        let _exit_owner = gate.exit();
        let (_a, _b) = (gate.thread_exit(), gate.thread_exit());
        assert_eq!(gate.off_cpu(), OffCpu::Nothing);
        assert!(!gate.is_last_present());
        assert_eq!(gate.off_cpu(), OffCpu::WakeLast);
        assert!(gate.is_last_present() && !gate.view().zombie && gate.claim().is_none());
        assert_eq!(gate.off_cpu(), OffCpu::Publish);
        assert!(gate.view().zombie);
    }

    /// R16, T129.
    #[test]
    fn a_zombie_is_claimed_once() {
        let gate = Gate::new();
        let _exit_owner = gate.exit();
        assert_eq!(gate.off_cpu(), OffCpu::Publish);
        assert!(gate.claim().is_some() && gate.claim().is_none());
        gate.reset();
        assert_eq!(gate.view(), Gate::new().view());
    }

    /// An LWP that exits from a process that continues wakes no other.
    #[test]
    fn ordinary_thread_exits_have_no_effect() {
        let gate = with_lwps(2);
        let _thread_exit = gate.thread_exit();
        assert_eq!(gate.off_cpu(), OffCpu::Nothing);
    }

    #[test]
    fn lwps_are_limited() {
        let gate = Gate::new();
        gate.word.store(LIVE_ONE | u64::from(MAX_LWPS) << PRESENT_SHIFT, Ordering::Relaxed);
        assert_eq!(gate.create(), Err(CreateRefused::TooMany));
        assert_eq!(gate.off_cpu(), OffCpu::Nothing);
        assert_eq!(gate.create(), Ok(()));
    }
}
