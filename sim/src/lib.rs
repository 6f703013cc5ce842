//! Everything around a member: network, clocks, disks, sensors, faults, cheats, invariants, reports.

pub mod cast;
pub mod ending;
pub mod fact;
pub mod metrics;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod time;
