//! Everything around a member: network, clocks, disks, sensors, faults, cheats, invariants, reports.

mod adversary;
pub mod audit;
pub mod cast;
pub mod cli;
pub mod compare;
pub mod ending;
pub mod exit;
pub mod fact;
pub mod invariant;
pub mod knee;
pub mod metrics;
pub mod net;
pub mod protocols;
pub mod report;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod survey;
pub mod time;
pub mod trace;
pub mod workload;
pub mod world;
