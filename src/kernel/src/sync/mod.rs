//! Waiting and mutual exclusion for threads. Everything here may block unless it says otherwise.
//!
//! | file | what it owns |
//! |---|---|
//! | `service` | being inside the kernel, and the kill points at its edges |
//! | `preempt` | preemption disabled and enabled again |
//! | `program_code` | the door through which code of programs is called |
//! | `wait_queue` | the kernel side of the wait-queue protocol; all other waiting is built on it |
//! | `program_queue` | the wait queues of programs, whose conditions are program code |
//! | `park` | going to sleep: without tokens, until a deadline |
//! | `channel` | `tsleep` and `wakeup` by address |
//! | `futex` | sleeping for as long as a word has a value |
//! | `semaphore`, `mutex`, `condvar` | the usual ones |
//! | `token` | serializing tokens |

pub(crate) mod channel;
pub(crate) mod condvar;
pub(crate) mod futex;
pub(crate) mod mutex;
pub(crate) mod park;
pub(crate) mod preempt;
pub(crate) mod program_code;
pub(crate) mod program_queue;
pub(crate) mod semaphore;
pub(crate) mod service;
pub(crate) mod token;
pub(crate) mod wait_queue;

pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};
pub use program_queue::WaitQueue;
pub use semaphore::Semaphore;
pub use token::{Token, TokenGuard};
pub use wait_queue::WaitResult;
