//! Processes: the gate that decides their end, the family that waits for it, and what is reported.

pub mod crew;
pub mod family;
pub mod gate;
pub mod hooks;
pub mod pending;
pub mod quota;
pub mod status;
pub mod tenure;
pub mod usage;
