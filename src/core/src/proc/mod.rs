//! Processes: the gate that decides their end, the family that waits for it, and what is reported.

pub mod crew;
pub mod cull;
pub mod domain;
pub mod family;
pub mod gate;
pub mod hooks;
pub mod loan;
pub mod peers;
pub mod pending;
pub mod quota;
pub mod sharers;
pub mod status;
pub mod stop;
pub mod tenure;
pub mod usage;
