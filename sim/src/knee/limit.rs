//! What gave way: found by experiment. Half as much again as the knee is offered, once as things are and
//! once with each resource in turn as good as free; what helps most was the limit.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::probe::{Run, Setting};
use crate::{
    metrics::load::{self, Resource, Utilisation},
    scenario::plan::{Matrix, Plan, Rate},
    world::pump::Breakdown,
};

/// What helps by less than so many points of a hundred has not helped; what helps by so many more than
/// the ones before it has helped more.
const POINTS: f64 = 2.0;
/// Blocks are made so many times as large.
const LARGER: usize = 16;

/// What can give way, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// What network cards send and receive.
    Bandwidth,
    /// Signatures, hashes, execution, handling of messages.
    Cpu,
    /// Waiting until writes are durable.
    Disk,
    /// Messages under way.
    RoundTrips,
    /// Blocks are full, and come no faster.
    Blocks,
    /// A batch waits for company; or, where nothing helped, the protocol's own timers.
    Timer,
}

const CAUSES: [Cause; 6] = [
    Cause::Bandwidth,
    Cause::Cpu,
    Cause::Disk,
    Cause::RoundTrips,
    Cause::Blocks,
    Cause::Timer,
];

/// What gave way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// What.
    pub cause: Cause,
    /// Where, and how busy it was at the knee: for what can be busy.
    pub busiest: Option<Utilisation>,
    /// Whether that is the machine of whoever proposed most blocks.
    pub leads: bool,
    /// The load of the experiment, transactions a second.
    pub offered_per_s: f64,
    /// How much of it succeeded in time as things are, per cent.
    pub before_percent: f64,
    /// How much with that resource as good as free. The same where nothing helped.
    pub after_percent: f64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bandwidth => "bandwidth",
            Self::Cpu => "CPU",
            Self::Disk => "disk",
            Self::RoundTrips => "round trips",
            Self::Blocks => "blocks",
            Self::Timer => "timers",
        })
    }
}

impl Cause {
    /// What was given away in the experiment, in words.
    pub fn relief(self) -> &'static str {
        match self {
            Self::Bandwidth => "unlimited bandwidth",
            Self::Cpu => "work at no cost",
            Self::Disk => "writes durable at once",
            Self::RoundTrips => "everyone in one place",
            Self::Blocks => "blocks sixteen times as large",
            Self::Timer => "batches that wait for nothing",
        }
    }

    fn relieve(self, plan: &mut Plan) {
        match self {
            Self::Bandwidth => plan.network.bandwidth_bits = None,
            Self::Cpu => {
                let machine = &mut plan.machine;
                machine.sign_ns = 0;
                machine.check_ns = 0;
                machine.hash_kb_ns = 0;
                machine.execute_ns = 0;
                machine.message_ns = 0;
            }
            Self::Disk => plan.machine.fsync = Duration::ZERO,
            Self::RoundTrips => {
                let near = Duration::from_micros(10);
                plan.network.matrix = Matrix::Uniform(near);
                plan.network.local_latency = near;
                plan.network.jitter_p95 = Duration::ZERO;
            }
            Self::Blocks => {
                plan.consensus.batch_transactions *= LARGER;
                plan.consensus.batch_bytes *= LARGER;
            }
            Self::Timer => plan.consensus.batch_age = Duration::ZERO,
        }
    }

    fn is_of(self, resource: Resource) -> bool {
        match self {
            Self::Bandwidth => matches!(resource, Resource::Uplink | Resource::Downlink),
            Self::Cpu => matches!(resource, Resource::Cores | Resource::SerialStage),
            Self::Disk => resource == Resource::Disk,
            Self::RoundTrips | Self::Blocks | Self::Timer => false,
        }
    }
}

/// Tries each resource at half as much again as `knee`.
pub(super) fn find(setting: &Setting<'_>, knee: Rate) -> Result<Limit, Breakdown> {
    let rate = Rate(knee.0 + knee.0 / 2);
    let before = Run::play(setting.derive(rate, 0), setting.bound)?;
    let mut best = (Cause::Timer, score(&before));
    let mut least = best.1 + POINTS;
    for cause in CAUSES {
        let mut plan = setting.derive(rate, 0);
        cause.relieve(&mut plan);
        let after = score(&Run::play(plan, setting.bound)?);
        if after > least {
            best = (cause, after);
            least = after + POINTS;
        }
    }
    let (cause, after_percent) = best;
    // At the knee itself: in an overload, queues and second attempts keep everything busy.
    let at_knee = Run::play(setting.derive(knee, 0), setting.bound)?;
    let of = |resource| cause.is_of(resource);
    let busiest = load::busiest_of(&at_knee.ending, &at_knee.plan, &at_knee.cast, of);
    let leader = at_knee.figures.leader.map(|node| at_knee.name_of(node));
    Ok(Limit {
        cause,
        leads: busiest
            .as_ref()
            .is_some_and(|busy| Some(&busy.node) == leader.as_ref()),
        busiest,
        offered_per_s: rate.in_reports(),
        before_percent: score(&before),
        after_percent,
    })
}

/// How much of what was offered succeeded, and in time, per cent: the lesser of both.
fn score(run: &Run) -> f64 {
    let share = run.figures.goodput_share.min(run.figures.prompt_share);
    load::rounded(100.0 * share.min(1.0))
}
