//! What the run cost: messages, bytes and signatures, storage, and the resource with the least slack.

use std::fmt;

use consortium_node::types::NodeId;
use serde::{Deserialize, Serialize};

use crate::{
    cast::Cast,
    ending::{Ending, Usage},
    scenario::plan::{Machine, Plan},
    time::nanos,
};

/// What a node can run out of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// The cores of the parallel stage, all together.
    Cores,
    /// The serial stage.
    SerialStage,
    /// What its network card sends.
    Uplink,
    /// What its network card receives.
    Downlink,
    /// Its disk.
    Disk,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cores => "cores",
            Self::SerialStage => "serial stage",
            Self::Uplink => "uplink",
            Self::Downlink => "downlink",
            Self::Disk => "disk",
        })
    }
}

/// How busy a node's resource was in the measured window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Utilisation {
    /// The node, by its member's name and what it does.
    pub node: String,
    /// What was busy.
    pub resource: Resource,
    /// For how much of the window.
    pub busy_percent: f64,
}

/// Everything sent and signed, divided by the transactions that became final.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct PerReading {
    pub(super) messages: f64,
    pub(super) bytes: f64,
    pub(super) signatures: f64,
    pub(super) checks: f64,
}

impl PerReading {
    pub(super) fn of(ending: &Ending, finals: u64) -> Self {
        let each = |total: u64| {
            if finals == 0 {
                0.0
            } else {
                rounded(total as f64 / finals as f64)
            }
        };
        let packets = || ending.packets.values();
        Self {
            messages: each(packets().map(|count| count.messages).sum()),
            bytes: each(packets().map(|count| count.bytes).sum()),
            signatures: each(ending.usage.iter().map(|usage| usage.signatures).sum()),
            checks: each(ending.usage.iter().map(|usage| usage.checks).sum()),
        }
    }
}

/// The busiest resource of all nodes; the first of several.
pub(crate) fn busiest(ending: &Ending, plan: &Plan, cast: &Cast) -> Option<Utilisation> {
    busiest_of(ending, plan, cast, |_| true)
}

/// The busiest processor of all nodes: all its cores together, or its serial stage.
pub(crate) fn busiest_processor(ending: &Ending, plan: &Plan, cast: &Cast) -> Option<Utilisation> {
    busiest_of(ending, plan, cast, |resource| {
        matches!(resource, Resource::Cores | Resource::SerialStage)
    })
}

/// The busiest of some resources of all nodes; the first of several.
pub(crate) fn busiest_of(
    ending: &Ending,
    plan: &Plan,
    cast: &Cast,
    counts: impl Fn(Resource) -> bool,
) -> Option<Utilisation> {
    let window_ns = nanos(plan.duration.saturating_sub(plan.warm_up));
    if window_ns == 0 {
        return None;
    }
    let mut best: Option<(usize, Resource, f64)> = None;
    for (node, usage) in ending.usage.iter().enumerate() {
        let busy = busy(usage, &plan.machine).into_iter();
        for (resource, busy_ns) in busy.filter(|(resource, _)| counts(*resource)) {
            let percent = 100.0 * busy_ns as f64 / window_ns as f64;
            if best.is_none_or(|(_, _, most)| percent > most) {
                best = Some((node, resource, percent));
            }
        }
    }
    let (node, resource, busy_percent) = best?;
    Some(Utilisation {
        node: name_of(cast, NodeId(node as u16)),
        resource,
        busy_percent: rounded(busy_percent),
    })
}

/// A node by its member's name and what it does.
pub(crate) fn name_of(cast: &Cast, node: NodeId) -> String {
    let what = if cast.is_validator(node) {
        "validator"
    } else {
        "gateway"
    };
    format!("{}'s {what}", cast.name_of(node))
}

/// A figure with six digits behind the point, so that it survives being written as JSON and read.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

fn busy(usage: &Usage, machine: &Machine) -> [(Resource, u64); 5] {
    [
        (
            Resource::Cores,
            usage.cores_busy_ns / machine.cores.max(1) as u64,
        ),
        (Resource::SerialStage, usage.serial_busy_ns),
        (Resource::Uplink, usage.uplink_busy_ns),
        (Resource::Downlink, usage.downlink_busy_ns),
        (Resource::Disk, usage.disk_busy_ns),
    ]
}

/// Each member's ledgers, extrapolated to a Julian year of 365.25 days.
pub(super) fn storage_per_year(
    storage_bytes: &[u64],
    ending: &Ending,
    plan: &Plan,
    cast: &Cast,
) -> Vec<u64> {
    const YEAR_NS: u128 = 31_557_600 * 1_000_000_000;
    let mut members = vec![0u128; plan.members.len()];
    for (node, bytes) in cast.validators().zip(storage_bytes) {
        members[cast.member_of(node)] += u128::from(*bytes);
    }
    let ran_ns = u128::from(ending.ended.0.max(1));
    members
        .into_iter()
        .map(|bytes| u64::try_from(bytes * YEAR_NS / ran_ns).unwrap_or(u64::MAX))
        .collect()
}
