//! Spawning: creating a process. There is no fork; the flags of fork-like calls are attributes here.
//!
//! Everything that can fail comes first. The new process is put into its parent's child list before its first LWP is
//! queued, and look-ups do not see it before (D30).

use core::mem;

use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::domain;
use asphodel_core::proc::quota::{Quota, Resource};
use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use crate::arch::{daif, observe};
use crate::proc::life::{adopt, exit, kill, kill_walk, lwp, task_group};
use crate::proc::state::arena::{self, ArenaUse, MemoryChoice};
use crate::proc::state::program::{LOADED_STACK, Program, join_words};
use crate::proc::state::table::{PROCESSES, Process, ProcessRef, current_process};
use crate::sched::{ready, switch};
use crate::sync::program_code;
use crate::sync::service::KernelSection;
use crate::thread::{Thread, ThreadAttributes};

/// The group of a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Group {
    /// Its parent's.
    #[default]
    Inherit,
    /// One of its own, named by its pid.
    New,
    /// That of another process: the number of an existing group.
    Join(Pid),
}

/// The attributes of a new process.
#[derive(Clone, Copy, Debug)]
pub struct SpawnAttributes {
    /// Its first LWP.
    pub lwp: ThreadAttributes,
    /// Its group.
    pub group: Group,
    /// Its parent is the nearest reaper above the spawner, process 1 as a rule, from the start; the spawner cannot wait
    /// for it (RFNOWAIT, T170). Its exit signal is SIGCHLD then.
    pub no_wait: bool,
    /// It joins the spawner's task group: it does not outlive the group's leader, the spawner or the spawner's own
    /// (RFTHREAD, T74).
    pub peer: bool,
    /// The spawner's call returns when the child has stopped using the memory they share: when it has replaced its
    /// program, or has released its memory in its exit (vfork(2), RFPPWAIT, T78).
    pub vfork: bool,
    /// The signal that its parent gets when it ends. With anything but SIGCHLD it is of the clone class, which a wait
    /// sees only with WLINUXCLONE; anything but SIGCHLD and SIGUSR1 is taken as SIGCHLD (T167).
    pub exit_signal: Signal,
    /// A number for [`Arguments::number`](crate::api::Arguments::number).
    pub number: usize,
    /// The limits for it and all its descendants together. Its parent's limits apply to it, too.
    pub quota: Option<Quota>,
    /// The source of its program's memory. A program that is loaded is always isolated.
    pub memory: MemoryChoice,
}

impl Default for SpawnAttributes {
    fn default() -> Self {
        Self {
            lwp: ThreadAttributes::default(),
            group: Group::Inherit,
            no_wait: false,
            peer: false,
            vfork: false,
            exit_signal: Signal::CHLD,
            number: 0,
            quota: None,
            memory: MemoryChoice::System,
        }
    }
}

/// Starts `program` with `words` in a new process, a child of the calling one. Thread context; may block for memory
/// only, unless it waits for a child that borrows memory, killable.
///
/// # Errors
/// `E2BIG`: too many bytes of words. `EINVAL`: no CPU that is online is allowed, or a word contains a zero byte.
/// `ESRCH`: there is no such group. `EAGAIN`: too many processes or LWPs, in all or by a quota; or, of a peer, the
/// caller's process or the leader of its task group is ending. `ENOMEM`: too little memory or arenas, in
/// all or by a quota. `EFAULT`: the program's name lies in an arena. `ENAMETOOLONG`: it has more than 255 bytes. Nothing is
/// left behind.
pub fn spawn(program: &Program, words: &[&str], attributes: &SpawnAttributes) -> Result<Pid, Errno> {
    let _section = KernelSection::enter();
    if attributes.vfork {
        // Before there is a child that would be waited for.
        switch::assert_may_sleep(Thread::current());
    }
    let spawner = current_process();
    let embryo = prepare(program, words, attributes, spawner)?;
    let pid = embryo.0.pid();
    // Keep a reference across the wait, because a sibling may reap the child first (R23).
    let borrower = attributes.vfork.then(|| embryo.0.record().get_ref());
    start(embryo, spawner, attributes)?;
    match borrower {
        None => ready::check_preemption(),
        Some(child) => child.vfork.wait(),
    }
    Ok(pid)
}

/// Starts process 1. Called at boot, before any other process.
pub(crate) fn spawn_init(program: &Program, words: &[&str]) -> Result<(), Errno> {
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let words = join_words(words)?;
    let process = PROCESSES.allocate().ok_or(Errno::ENOMEM)?;
    assert_eq!(process.pid(), Pid::INIT, "process 1 is the first one");
    process.family.domain.acquire().map_err(|_| Errno::EALREADY)?;
    let founder = process.record().get_ref();
    let embryo = Embryo::new(process, founder, &attributes)?;
    embryo.0.executable.set(*program, words, attributes.number);
    // It is its own parent, because there is no other process. Its end powers the system off, so it is never published.
    start(embryo, PROCESSES.get(Pid::INIT.slot()), &attributes)
}

/// A process that is being made: its record, which is not reachable, with a place in a group and in the quotas of its
/// tenants. Dropping it gives these back, and what the record has got since.
struct Embryo(ProcessRef);

impl Embryo {
    /// `process`, which is in its tenant, becomes a member of the group of `founder`.
    ///
    /// # Errors
    /// `EAGAIN`: a tenant has too many processes.
    #[inline(always)]
    fn new(process: ProcessRef, founder: ProcessRef, attributes: &SpawnAttributes) -> Result<Self, Errno> {
        process.reserve(Resource::Processes, 1)?;
        let clone_class = attributes.exit_signal == Signal::USR1 && !attributes.no_wait;
        let exit_signal = if clone_class { Signal::USR1 } else { Signal::CHLD };
        process.family.init(process.pid(), founder.pid(), exit_signal);
        process.found_group(founder);
        process.vfork.set(attributes.vfork);
        process.accounts.start();
        Ok(Self(process))
    }

    /// Nothing can fail any more: the process has a life, and the reference is the table's.
    #[inline(always)]
    fn be_born(self) -> &'static Process {
        let process = self.0.record();
        mem::forget(self);
        process
    }
}

impl Drop for Embryo {
    #[cold]
    fn drop(&mut self) {
        let process = &self.0;
        // Each of these does nothing if the record did not get that far.
        task_group::leave(process);
        process.executable.drop_words();
        arena::retire(process);
        arena::reap(process);
        process.leave_group();
        process.unreserve(Resource::Processes, 1);
    }
}

/// Makes a process that lacks an LWP only.
#[inline(always)]
fn prepare(
    program: &Program,
    words: &[&str],
    attributes: &SpawnAttributes,
    spawner: &'static Process,
) -> Result<Embryo, Errno> {
    lwp::check_attributes(&attributes.lwp)?;
    program.check_name()?;
    let words = join_words(words)?;
    let process = PROCESSES.allocate().ok_or(Errno::EAGAIN)?;
    let founder = group_of(process.record(), attributes.group, spawner)?;
    process.join_tenant(spawner, attributes.quota);
    let embryo = Embryo::new(process, founder, attributes)?;
    let process = embryo.0.record();
    ArenaUse::choose(process, program, attributes.memory, spawner)?.give_to(process);
    process.executable.set(*program, words, attributes.number);
    let (outer, branch) = domain::of_child(&PROCESSES, spawner.slot, process.pid());
    process.enter_domain(outer, branch);
    if attributes.peer {
        task_group::join(process, spawner)?;
    }
    Ok(embryo)
}

/// Makes the first LWP, which is the last step that can fail, and lets it run.
fn start(embryo: Embryo, spawner: &'static Process, attributes: &SpawnAttributes) -> Result<(), Errno> {
    let process = embryo.0.record();
    let first = first_lwp(&process.executable.program(), &attributes.lwp);
    let (interrupts, thread) = lwp::create_and_mask(process, run_program, 0, &first, lwp::Birth::First)?;
    daif::restore(interrupts);
    let process = embryo.be_born();
    if attributes.no_wait {
        adopt::give_to_reaper(process, spawner);
    } else if spawner.slot != process.slot {
        spawner.family.children.lock().add(&PROCESSES, spawner.slot, process.slot);
    }
    observe(|| created(process));
    process.set_born();
    if let Some(signal) = kill_walk::signal_for_child(process, spawner) {
        kill::deliver(process, signal);
    }
    ready::enqueue(thread.index);
    Ok(())
}

/// Returns a reference to the founder of the group of a new process.
///
/// # Errors
/// `ESRCH`: there is no such group.
#[inline(always)]
fn group_of(process: &'static Process, group: Group, spawner: &Process) -> Result<ProcessRef, Errno> {
    let founder = match group {
        Group::New => Some(process.get_ref()),
        Group::Inherit => spawner.group_founder(),
        Group::Join(group) => PROCESSES.find_slot(group.slot()).filter(|founder| founder.pid() == group),
    };
    // Members keep a reference to the group's founder. A process that is not a group leader belongs to another
    // founder's group.
    let founder = founder.filter(|founder| founder.slot == process.slot || founder.leads_a_group());
    founder.ok_or(Errno::ESRCH)
}

fn created(process: &Process) -> Event {
    Event::Create { pid: process.pid(), parent: process.family.parent(), group: process.family.group() }
}

/// Returns the attributes of the first LWP of `program`.
fn first_lwp(program: &Program, attributes: &ThreadAttributes) -> ThreadAttributes {
    if !program.is_loadable() {
        return *attributes;
    }
    ThreadAttributes { stack_size: attributes.stack_size.max(LOADED_STACK), lazy_stack: true, ..*attributes }
}

/// Entry of every first LWP: calls the program, whose result is the exit code.
pub(in crate::proc) fn run_program(_argument: usize) -> usize {
    let process = current_process();
    let (program, arguments) = (process.executable.program(), process.executable.arguments());
    let code = program_code::call(|| (program.entry)(&arguments));
    let _section = KernelSection::enter();
    exit::exit_process(Status::exited(code))
}
