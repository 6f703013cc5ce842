//! Everything around a member: network, clocks, disks, sensors, faults, cheats, invariants, reports.

pub mod cast;
pub mod cli;
pub mod ending;
pub mod exit;
pub mod fact;
pub mod net;
pub mod rng;
pub mod scenario;
pub mod time;
pub mod workload;
