//! A probe: short runs of one offered rate, a run a seed.
//!
//! The scenario lends its members, machines, network and parameters. Faults, cheats, schedules and
//! changes stay away, and so does the fleet, so that what is offered is exactly the load. Gateways may
//! send as much as the mempools have room for: how much a window holds back is not the question.

use std::{sync::Arc, time::Duration};

use consortium_node::types::NodeId;
use serde::{Deserialize, Serialize};

use super::meter::{Figures, Meter};
use crate::{
    cast::Cast,
    ending::Ending,
    metrics::load::{self, Utilisation},
    protocols::Protocol,
    scenario::plan::{Expect, LoadPlan, Pattern, Plan, Rate},
    time::{Time, nanos},
    world::pump::{self, Breakdown},
};

/// Sensors that share the load, where the scenario says nothing.
const SOURCES: usize = 256;
/// No run measures less than this.
const SHORTEST: Duration = Duration::from_secs(4);
/// Of what was offered, so much must succeed: per cent.
const GOODPUT: f64 = 0.99;

/// One offered rate, over several seeds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// What was offered, transactions a second.
    pub offered_per_s: f64,
    /// What succeeded, transactions a second: the median of the runs.
    pub goodput_per_s: f64,
    /// Half took no longer, due to final: the median of the runs. `None`: it never ended.
    pub p50_ms: Option<f64>,
    /// 99 of a hundred took no longer, due to final: the median of the runs. `None`: it never ended.
    pub p99_ms: Option<f64>,
    /// Due and not final, on average over the last quarter of the window: the median of the runs.
    pub backlog: u64,
    /// The resource with the least slack, in the first run.
    pub busiest: Option<Utilisation>,
    /// Whether that is the machine of whoever proposed most blocks.
    pub busiest_leads: bool,
    /// Runs that were played. No more are once it is clear that too many fail.
    pub runs: usize,
    /// Runs in which everything held.
    pub held: usize,
    /// Whether enough of them did.
    pub holds: bool,
    /// Runs in which less than 99 % of what was offered succeeded.
    pub lost_goodput: usize,
    /// Runs in which the 99th percentile was above the bound.
    pub too_slow: usize,
    /// Runs in which more and more was waiting.
    pub growing: usize,
    /// Medians of the first tenth and of the rest of the first run, ms, if they are a quarter apart.
    pub unsettled_ms: Option<[f64; 2]>,
}

/// What all probes of a search have in common.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub(super) plan: &'a Plan,
    pub(super) protocol: &'a Arc<dyn Protocol>,
    pub(super) bound: Duration,
    pub(super) seeds: usize,
    /// Seeds in which everything must hold.
    pub(super) needed: usize,
}

/// A run of a probe.
pub(super) struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) cast: Arc<Cast>,
    pub(super) ending: Ending,
    pub(super) figures: Figures,
}

impl Setting<'_> {
    /// Offers a rate in as many seeds as it takes to see whether enough of them hold.
    pub(super) fn probe(&self, rate: Rate) -> Result<Probe, Breakdown> {
        let mut runs = Vec::new();
        let mut held = 0;
        for seed in 0..self.seeds {
            let run = Run::play(self.derive(rate, seed as u64), self.bound)?;
            held += usize::from(run.holds(self.bound));
            runs.push(run);
            if runs.len() - held > self.seeds - self.needed {
                break;
            }
        }
        Ok(self.sum_up(rate, &runs, held))
    }

    /// The scenario with this load and nothing else going on.
    pub(super) fn derive(&self, rate: Rate, seed: u64) -> Plan {
        let mut plan = self.plan.clone();
        plan.seed += seed;
        plan.consensus.protocol = Arc::clone(self.protocol);
        plan.consensus.mutant = None;
        plan.fleet.packages = 0;
        plan.fleet.golden = None;
        plan.changes.clear();
        plan.faults.clear();
        plan.cheats.clear();
        plan.schedules.clear();
        plan.expect = Expect::default();
        plan.host.eager_signatures = false;
        plan.host.eager_wire = false;
        let share = plan.mempool.capacity / plan.members.len().max(1);
        plan.gateway.window = plan.gateway.window.max(share);
        // Contracts are final before the load begins, and the load is steady before it is measured.
        let start = (self.bound / 2).max(Duration::from_secs(1));
        plan.warm_up = start + self.bound.max(Duration::from_secs(2));
        plan.duration = plan.warm_up + self.measured(rate);
        // Who was due last has as long as the others.
        plan.drain = self.bound.max(Duration::from_secs(1));
        let members = plan.members.len();
        let kept = plan.load.take();
        plan.load = Some(LoadPlan {
            pattern: Pattern::Poisson(rate),
            start,
            sources: kept
                .as_ref()
                .map_or(SOURCES.max(members), |load| load.sources),
            gateways: kept.map_or_else(|| (0..members).collect(), |load| load.gateways),
        });
        plan
    }

    /// How long a rate is measured: so long that chance swings of what is under way (λL at a latency L of
    /// a quarter of the bound, at both ends of the window) stay below 1 % of what is offered in it at two
    /// standard deviations: 200·√(2L/λ). And at least twice the bound.
    fn measured(&self, rate: Rate) -> Duration {
        let variance =
            u128::from(nanos(self.bound)) * 1_000_000_000_000_000 / (2 * u128::from(rate.0));
        let calm = Duration::from_nanos(u64::try_from(200 * variance.isqrt()).unwrap_or(u64::MAX));
        calm.max(SHORTEST).max(2 * self.bound)
    }

    fn sum_up(&self, rate: Rate, runs: &[Run], held: usize) -> Probe {
        // What never ended is longer than anything.
        let ms = |figure: fn(&Figures) -> Option<Duration>| {
            let middle = median(runs, |figures| figure(figures).unwrap_or(Duration::MAX));
            (middle < Duration::MAX).then_some(middle.as_secs_f64() * 1000.0)
        };
        let count = |broken: &dyn Fn(&Run) -> bool| runs.iter().filter(|run| broken(run)).count();
        let first = &runs[0];
        let busiest = load::busiest(&first.ending, &first.plan, &first.cast);
        let leader = first.figures.leader.map(|node| first.name_of(node));
        Probe {
            offered_per_s: rate.in_reports(),
            goodput_per_s: load::rounded(median(runs, |figures| figures.goodput_per_s)),
            p50_ms: ms(|figures| figures.p50),
            p99_ms: ms(|figures| figures.p99),
            backlog: median(runs, |figures| figures.backlog[3]),
            busiest_leads: busiest
                .as_ref()
                .is_some_and(|busy| Some(&busy.node) == leader.as_ref()),
            busiest,
            runs: runs.len(),
            held,
            holds: held >= self.needed,
            lost_goodput: count(&|run| run.lost_goodput()),
            too_slow: count(&|run| run.is_too_slow(self.bound)),
            growing: count(&|run| run.figures.is_backlog_growing()),
            unsettled_ms: first.figures.settling.and_then(|[early, later]| {
                let apart = early.abs_diff(later) * 4 > later;
                apart.then(|| [early, later].map(|median| median.as_secs_f64() * 1000.0))
            }),
        }
    }
}

impl Run {
    /// Plays a plan from [`Setting::derive`].
    pub(super) fn play(plan: Plan, bound: Duration) -> Result<Self, Breakdown> {
        let plan = Arc::new(plan);
        let cast = Arc::new(Cast::new(&plan));
        let (ending, meter) = pump::run(&plan, &cast, Meter::default(), Arc::default())?;
        let window = Time::ZERO + plan.warm_up..Time::ZERO + plan.duration;
        let figures = meter.figures(&window, bound);
        Ok(Self {
            plan,
            cast,
            ending,
            figures,
        })
    }

    fn holds(&self, bound: Duration) -> bool {
        !(self.lost_goodput() || self.is_too_slow(bound) || self.figures.is_backlog_growing())
    }

    fn lost_goodput(&self) -> bool {
        self.figures.goodput_share < GOODPUT
    }

    fn is_too_slow(&self, bound: Duration) -> bool {
        self.figures.p99.is_none_or(|p99| p99 > bound)
    }

    /// A validator as [`Utilisation::node`] has it.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        load::name_of(&self.cast, node)
    }
}

/// The lower median of a figure.
fn median<T: PartialOrd + Copy>(runs: &[Run], figure: impl Fn(&Figures) -> T) -> T {
    let mut values: Vec<T> = runs.iter().map(|run| figure(&run.figures)).collect();
    values.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    values[(values.len() - 1) / 2]
}
