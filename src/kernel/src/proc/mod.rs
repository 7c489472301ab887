//! Processes: groups of LWPs that live, end and are waited for together.
//!
//! A process never runs itself. Its end follows `asphodel_core::proc::gate`: one LWP is elected exit owner and tears it
//! down; it becomes a zombie when the last LWP is off its CPU, in the same step; its record is freed when it has been
//! reaped and the last reference is dropped. exit-wait: DragonFly's `kern_exit.c`, with the defects of that design
//! corrected.
//!
//! | folder | what it has |
//! |---|---|
//! | `life` | what happens to processes and LWPs: creation, exec, signals, exit, reaping |
//! | `info` | what can be seen of them: reports, usage, traces, the watchdog |
//! | `state` | what they consist of: records, the table, memory, files |
//!
//! `life` uses both others, because an exit is traced and watched, and `info` uses `state`.

pub(crate) mod info;
pub(crate) mod life;
pub(crate) mod state;
