//! Processes: the gate that decides their end, the family that waits for it, and what is reported.

pub mod deferred;
pub mod domain;
pub mod family;
pub mod gate;
pub mod hooks;
pub mod kill_walk;
pub mod lwp_list;
pub mod peers;
pub mod pending;
pub mod quota;
pub mod sharers;
pub mod slot_refs;
pub mod status;
pub mod stop;
pub mod usage;
pub mod vfork;
