//! The process: its end, and the data that its LWPs share.

use asphodel_core::proc::status::Status;
use asphodel_core::signal::Signal;

use super::symbol::Symbol;
use super::threads::Threads;
use super::{entered, tls};
use crate::mem::program::Image;
use crate::proc::life::exit;
use crate::random;
use crate::sync::service::KernelSection;

pub(super) const SYMBOLS: &[Symbol] = &[
    Symbol::new("sys_exit", exit as *const ()),
    Symbol::new("sys_abort", abort as *const ()),
    Symbol::new("sys_get_errno", get_errno as *const ()),
];

/// The data that the LWPs of a loaded program share, as long as the process lasts: it lies in the process's arena.
#[derive(Debug)]
pub(super) struct Process {
    /// Its program.
    pub(super) image: &'static Image,
    /// The base of the program.
    pub(super) base: usize,
    /// What the seals of its heap's blocks are made with.
    pub(super) secret: u64,
    /// Its threads that have not ended.
    pub(super) threads: Threads,
}

impl Process {
    /// Makes the data of a process that runs `image`, mapped at `base`.
    pub(super) fn new(image: &'static Image, base: usize) -> Self {
        let mut secret = [0; 8];
        random::fill(&mut secret);
        Self { image, base, secret: u64::from_le_bytes(secret), threads: Threads::new() }
    }
}

/// Ends the process, whichever LWP calls it (exit(3)). Its parent sees the low 8 bits.
extern "C" fn exit(code: i32) -> ! {
    entered();
    let _section = KernelSection::enter();
    exit::exit_process(Status::exited(code))
}

/// Ends the process as SIGABRT does (abort(3)).
extern "C" fn abort() -> ! {
    entered();
    let _section = KernelSection::enter();
    exit::exit_process(Status::signaled(Signal::ABRT))
}

/// Returns the error of the running LWP's last call that failed; 0 if none has.
extern "C" fn get_errno() -> i32 {
    entered();
    tls::errno()
}
