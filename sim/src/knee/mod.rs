//! The knee: how much a network takes.
//!
//! The highest offered rate at which, in at least 18 of 20 seeds, goodput is 99 % of what is offered or
//! more, the 99th percentile of latency (from due to final) is within a bound, and no backlog grows. The
//! load is an open loop with Poisson arrivals: what is slow is not spared. See [`Probe`] for what a probe
//! leaves out of a scenario, and [`Limit`] for how what gave way is found.
//!
//! A search is deterministic: the same plan, protocol and bounds give the same probes.

mod limit;
mod meter;
mod probe;
mod search;
mod warning;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use limit::{Cause, Limit};
pub use probe::Probe;
pub use warning::Warning;

use crate::{
    protocols::Protocol,
    scenario::plan::{Plan, Rate},
    world::pump::Breakdown,
};
use probe::Setting;

/// Seeds that the definition asks for.
pub const SEEDS: usize = 20;
/// Of those, seeds in which everything must hold.
const SEEDS_NEEDED: usize = 18;

/// What to search for, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// What the 99th percentile must not exceed.
    pub p99: Duration,
    /// Seeds of each probe, from the plan's on; at least one.
    pub seeds: usize,
    /// The lowest rate. `None`: it begins at 100 a second and goes down to one if it must.
    pub from: Option<Rate>,
    /// The highest rate.
    pub to: Rate,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            p99: Duration::from_secs(2),
            seeds: 1,
            from: None,
            to: Rate::per_second(200_000),
        }
    }
}

/// What a search found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Knee {
    /// The scenario's name.
    pub scenario: String,
    /// The protocol's name.
    pub protocol: String,
    /// Validators (n).
    pub validators: usize,
    /// What the 99th percentile must not exceed.
    pub p99_bound_ms: u64,
    /// Seeds of each probe.
    pub seeds: usize,
    /// Of those, seeds in which everything must hold.
    pub seeds_needed: usize,
    /// The knee, transactions a second. `None`: not even the lowest rate holds.
    pub knee_per_s: Option<f64>,
    /// The lowest rate that failed. `None`: none did.
    pub failed_per_s: Option<f64>,
    /// What gave way; `None` if nothing did.
    pub limit: Option<Limit>,
    /// All probes, by what they offered.
    pub probes: Vec<Probe>,
    /// Where the knee could mislead.
    pub warnings: Vec<Warning>,
}

impl Knee {
    /// The probe of the knee itself.
    pub fn at_knee(&self) -> Option<&Probe> {
        let mut held = self.probes.iter().filter(|probe| probe.holds);
        held.find(|probe| Some(probe.offered_per_s) == self.knee_per_s)
    }
}

/// Finds the knee of a plan under a protocol, which replaces the plan's own. Tells each probe as soon as
/// it is known.
///
/// # Errors
/// If a run breaks down, which is a bug of ours.
pub fn find(
    plan: &Plan,
    protocol: &Arc<dyn Protocol>,
    search: &Search,
    mut tell: impl FnMut(&Probe),
) -> Result<Knee, Breakdown> {
    let seeds = search.seeds.max(1);
    let setting = Setting {
        plan,
        protocol,
        bound: search.p99.max(Duration::from_millis(1)),
        seeds,
        needed: (seeds * SEEDS_NEEDED).div_ceil(SEEDS),
    };
    let mut probes = Vec::new();
    let bracket = search::search(search.from, search.to, |rate| {
        let probe = setting.probe(rate)?;
        tell(&probe);
        let holds = probe.holds;
        probes.push(probe);
        Ok(holds)
    })?;
    let limit = match (bracket.held, bracket.failed) {
        (_, None) => None,
        (held, Some(failed)) => Some(limit::find(&setting, held.unwrap_or(failed))?),
    };
    probes.sort_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
    let mut knee = Knee {
        scenario: plan.name.clone(),
        protocol: protocol.name().to_owned(),
        validators: plan.validators(),
        p99_bound_ms: setting.bound.as_millis() as u64,
        seeds,
        seeds_needed: setting.needed,
        knee_per_s: bracket.held.map(Rate::in_reports),
        failed_per_s: bracket.failed.map(Rate::in_reports),
        limit,
        probes,
        warnings: Vec::new(),
    };
    knee.warnings = warning::warnings(&knee);
    Ok(knee)
}
