//! Starting the other CPUs: host threads, or contexts of the one host thread of an exploration.

use crate::arch::{boot, host};
use crate::mem::stack;

/// Why a CPU was not started.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum StartError {
    /// The machine has no CPU with this index.
    #[error("there is no such CPU")]
    NoSuchCpu,
    /// It is the CPU that boots.
    #[error("it is running")]
    Running,
    /// There is no memory for its stacks, or the host starts no thread.
    #[error("there is no memory for its stacks")]
    NoMemory,
}

/// Starts CPU `index`.
///
/// # Errors
/// See [`StartError`]. Without an error, the CPU is on its way.
pub(crate) fn start(index: usize) -> Result<(), StartError> {
    match index {
        0 => Err(StartError::Running),
        _ if index >= host::cpu_count() => Err(StartError::NoSuchCpu),
        _ => boot::prepare_secondary(index, stack::map_boot_stacks).map(drop).ok_or(StartError::NoMemory),
    }
}
