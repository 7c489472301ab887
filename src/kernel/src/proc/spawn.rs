//! Spawning: making a process. There is no fork; the flags that fork-like calls have are attributes here.
//!
//! Everything that can fail comes first. The new process is put into its parent's brood before its first LWP is
//! queued, and look-ups do not see it before (D30).

use alloc::boxed::Box;
use alloc::string::String;
use asphodel_core::errno::Errno;
use asphodel_core::event::Event;
use asphodel_core::id::Pid;
use asphodel_core::proc::domain;
use asphodel_core::proc::quota::{Quota, Resource};
use asphodel_core::proc::status::Status;
use asphodel_core::shim::atomic::Ordering;
use asphodel_core::signal::Signal;
use asphodel_core::wait::reason::Reason;

use crate::arch::{counter, daif, observe};
use crate::cpu::Cpu;
use crate::mem;
use crate::proc::arena::{self, MemoryChoice};
use crate::proc::lwp::{self, current_process};
use crate::proc::program::{Arguments, Program};
use crate::proc::table::{Hold, PROCESSES, Process};
use crate::proc::{adopt, exit, kill, reaper, task_group};
use crate::sched::ready;
use crate::sync::service::Service;
use crate::sync::wait_queue::Manner;
use crate::thread::{Thread, ThreadAttributes};

/// Most bytes of words a program can be started with.
pub(crate) const MAX_WORDS: usize = 64 * 1024;

/// Which group a new process is in.
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

/// What a new process is to be like.
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
    /// What its parent is sent when it ends. With anything but SIGCHLD it is of the clone class, which a wait sees
    /// only with WLINUXCLONE; anything but SIGCHLD and SIGUSR1 is taken as SIGCHLD (T167).
    pub exit_signal: Signal,
    /// A number for [`Arguments::number`].
    pub number: usize,
    /// How much it and all its descendants may have together. What limits its parent limits it, too.
    pub quota: Option<Quota>,
    /// Where its program's memory comes from. A program that is loaded is always isolated.
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
/// `ESRCH`: there is no such group. `EAGAIN`: too many processes or LWPs, in all or by a quota; or the caller's process,
/// or the leader of its task group, is ending. `ENOMEM`: too little memory or arenas, in
/// all or by a quota. `EFAULT`: the program's name lies in an arena. Nothing is left behind.
pub fn spawn(program: &Program, words: &[&str], attributes: &SpawnAttributes) -> Result<Pid, Errno> {
    let _service = Service::enter();
    let caller = current_process();
    let process = prepare(program, words, attributes, caller)?;
    let pid = process.pid();
    // Over the wait: a sibling may reap the child meanwhile (R23).
    let borrower = attributes.vfork.then(|| process.record().hold());
    start(process, caller, attributes)?;
    match borrower {
        None => ready::check_preemption(),
        Some(child) => {
            let _back_or_killed =
                child.lender.wait_in(Manner::killable(Reason::Loan), || !child.loan.is_lent());
        }
    }
    Ok(pid)
}

/// The process has stopped using what it shares with its spawner, who goes on if it waits for that (T78, D18). Its only
/// LWP; never blocks.
pub(super) fn give_back_loan(process: &Process) {
    if process.loan.give_back() {
        process.lender.wake_all();
    }
}

/// Starts process 1. Boot only, before any other process.
pub(crate) fn spawn_init(program: &Program, words: &[&str]) -> Result<(), Errno> {
    let attributes = SpawnAttributes { group: Group::New, ..SpawnAttributes::default() };
    let process = PROCESSES.allocate().ok_or(Errno::ENOMEM)?;
    assert_eq!(process.pid(), Pid::INIT, "process 1 is the first one");
    fill(&process, program, join(words)?, &attributes, process.record().hold(), 0);
    process.domain.acquire().map_err(|_| Errno::EALREADY)?;
    // Its own parent: nobody else can be. Its end powers the system off, so it is never published.
    start(process, PROCESSES.get(Pid::INIT.slot()), &attributes)
}

/// A filled record that nobody can reach. Fails before anything has to be undone but the record itself.
fn prepare(
    program: &Program,
    words: &[&str],
    attributes: &SpawnAttributes,
    caller: &'static Process,
) -> Result<Hold, Errno> {
    lwp::check_attributes(&attributes.lwp)?;
    check_program(program)?;
    let words = join(words)?;
    let process = PROCESSES.allocate().ok_or(Errno::EAGAIN)?;
    let founder = match attributes.group {
        Group::New => Some(process.record().hold()),
        Group::Inherit => caller.group_founder(),
        Group::Join(group) => PROCESSES.hold_slot(group.slot()).filter(|founder| founder.pid() == group),
    };
    // Whoever is in a group has a hold on its founder; a record that founded no group has itself in another one.
    let founder = founder.filter(|founder| founder.slot == process.slot || founder.leads_a_group());
    let founder = founder.ok_or(Errno::ESRCH)?;
    process.join_tenant(caller, attributes.quota);
    process.reserve(Resource::Processes, 1)?;
    arena::choose(process.record(), program, attributes.memory, caller)
        .inspect_err(|_| process.unreserve(Resource::Processes, 1))?;
    // A signal that ends the caller's group during this call is for its new member as well, however early it came.
    let heard = match attributes.group {
        Group::Inherit => caller.group_heard.get(),
        Group::New | Group::Join(_) => founder.group_kill.load(Ordering::SeqCst),
    };
    fill(&process, program, words, attributes, founder, heard);
    let (outer, branch) = domain::of_child(&PROCESSES, caller.slot, process.pid());
    process.enter_domain(outer, branch);
    Ok(process)
}

fn fill(
    process: &Hold,
    program: &Program,
    words: Option<Box<str>>,
    attributes: &SpawnAttributes,
    founder: Hold,
    heard: u64,
) {
    let clone_class = attributes.exit_signal == Signal::USR1 && !attributes.no_wait;
    let exit_signal = if clone_class { Signal::USR1 } else { Signal::CHLD };
    process.kin.name(process.pid(), founder.pid(), clone_class);
    process.found_group(founder, heard);
    process.exit_signal.store(u32::from(exit_signal.number()), Ordering::Relaxed);
    process.loan.set(attributes.vfork);
    process.set_program(*program, words, attributes.number);
    process.started_at.set(counter::now());
}

/// Makes the first LWP and lets it run. The hold is that of being in the table; it stays with a process that starts.
fn start(process: Hold, spawner: &'static Process, attributes: &SpawnAttributes) -> Result<(), Errno> {
    let thread = match make_first_lwp(&process, spawner, attributes) {
        Ok(thread) => thread,
        Err(error) => {
            process.drop_words();
            process.leave_group();
            arena::retire(&process);
            arena::bury(&process);
            process.unreserve(Resource::Processes, 1);
            return Err(error);
        }
    };
    let process = process.keep();
    if attributes.no_wait {
        adopt::give_to_reaper(process, spawner);
    } else if spawner.slot != process.slot {
        spawner.brood.lock().add(&PROCESSES, spawner.slot, process.slot);
    }
    observe(|| created(process));
    process.set_born();
    kill::hear_group(process);
    reaper::share_fate(process, spawner);
    ready::enqueue(thread.index);
    Ok(())
}

fn created(process: &Process) -> Event {
    Event::Create { pid: process.pid(), parent: process.kin.parent(), group: process.kin.group() }
}

/// The first LWP of a process that is in its spawner's task group by then, if it is to be.
fn make_first_lwp(
    process: &Hold,
    spawner: &'static Process,
    attributes: &SpawnAttributes,
) -> Result<&'static Thread, Errno> {
    if attributes.peer {
        task_group::join(process, spawner)?;
    }
    let attributes = first_lwp(&process.record().program(), &attributes.lwp);
    let interrupts = daif::mask();
    let thread = lwp::create(Cpu::this(), process.record(), run_program, 0, &attributes, lwp::Birth::First);
    daif::restore(interrupts);
    if thread.is_err() {
        task_group::leave(process);
    }
    thread
}

/// Bytes of stack that the first LWP of a loaded program has at least, its pages mapped as they are touched: what such
/// programs are used to.
pub(super) const LOADED_STACK: usize = 8 << 20;

/// What the first LWP of `program` is to be like.
fn first_lwp(program: &Program, attributes: &ThreadAttributes) -> ThreadAttributes {
    if !program.is_loadable() {
        return *attributes;
    }
    ThreadAttributes { stack_size: attributes.stack_size.max(LOADED_STACK), lazy_stack: true, ..*attributes }
}

/// Refuses a program whose name would go with the caller's arena: it is told long after.
pub(super) fn check_program(program: &Program) -> Result<(), Errno> {
    if mem::arena::contains(program.name.as_ptr() as usize) { Err(Errno::EFAULT) } else { Ok(()) }
}

/// The words joined by zero bytes, in one piece of memory.
pub(super) fn join(words: &[&str]) -> Result<Option<Box<str>>, Errno> {
    if words.is_empty() {
        return Ok(None);
    }
    let length = words.iter().map(|word| word.len() + 1).sum::<usize>() - 1;
    if length > MAX_WORDS {
        return Err(Errno::E2BIG);
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Errno::EINVAL);
    }
    let mut joined = String::new();
    joined.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            joined.push('\0');
        }
        joined.push_str(word);
    }
    Ok(Some(joined.into_boxed_str()))
}

/// Entry of every first LWP: calls the program, whose result is the exit code.
pub(super) fn run_program(_argument: usize) -> usize {
    let process = current_process();
    let arguments = Arguments { joined: process.words(), number: process.number.get() as usize };
    let code = (process.program().entry)(&arguments);
    let _service = Service::enter();
    exit::exit_process(Status::exited(code))
}
