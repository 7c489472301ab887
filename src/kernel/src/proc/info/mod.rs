//! What can be seen of processes and LWPs, while they live and after that.
//!
//! | file | what it owns |
//! |---|---|
//! | `process_info` | reports on processes: ps; the counts of a leak check |
//! | `lwp_info` | reports on LWPs: lwps |
//! | `stats` | reports on the machine: cpus, free |
//! | `list` | the lists that these return |
//! | `rusage` | getrusage |
//! | `trace` | records of the last exits |
//! | `watchdog` | reports exits that take too long |

mod list;
pub(crate) mod lwp_info;
pub(crate) mod process_info;
pub(crate) mod rusage;
pub(crate) mod stats;
pub(crate) mod trace;
pub(crate) mod watchdog;
