//! One package: its device, its condition, what it reported lately.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use consortium_node::transaction::{ContractId, Transaction};
use rand_xoshiro::rand_core::Rng as _;

use crate::{
    cast::Cast,
    fact::Submission,
    rng::{Seed, Stream},
    scenario::plan::{ColdChain, Pace, Plan},
    time::{Time, nanos},
    workload::{
        journey::Journey,
        physics::{Condition, Inertia, Inside, STEP_NS, symmetric},
        signer::Signer,
    },
};

/// A cheat replays a reading that is at least so old, if there is one.
const OLD: Duration = Duration::from_mins(3);

/// What all packages share: the way, how they follow the air on it, and what the terms allow.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) journey: Journey,
    pub(super) inertia: Inertia,
    pub(super) terms: ColdChain,
}

impl Route {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            journey: Journey::new(&plan.fleet.legs),
            inertia: Inertia::new(plan.fleet.thermal_time_constant),
            terms: plan.cold_chain.clone(),
        }
    }
}

/// How a package comes to its condition.
#[derive(Debug)]
enum Nature {
    /// The plan says it.
    Golden,
    /// It follows the air. One looks at its sensor, the other ahead, for the next crossing.
    Physical { sensed: Inside, ahead: Inside },
}

#[derive(Debug)]
pub(super) struct Package {
    pub(super) start: Time,
    /// The first reading is due so much later than one interval after the start.
    pub(super) phase: Duration,
    pub(super) device: Signer,
    /// The sensor's constant error: thousandths of a degree, thousandths of a per cent.
    pub(super) bias: (i64, i64),
    pub(super) contract: Option<ContractId>,
    nature: Nature,
    /// From the newest that is [`OLD`] (or the first there was) to the newest.
    readings: VecDeque<(Submission, Arc<Transaction>)>,
}

impl Package {
    /// Package number `package` of the plan; the golden one, if it travels, is number 0.
    pub(super) fn new(plan: &Plan, cast: &Cast, journey: &Journey, package: usize) -> Self {
        let has_golden = plan.fleet.golden.is_some();
        let golden = has_golden && package == 0;
        // PKG-1 draws the same whether a golden package travels too or not.
        let number = package as u64 + u64::from(!has_golden);
        let mut stream = Seed(plan.seed).stream("fleet", number);
        let start = below(
            &mut stream,
            nanos(plan.fleet.start_spread).saturating_add(1),
        );
        let interval = match plan.fleet.pace {
            Pace::Every(interval) => nanos(interval),
            Pace::ClosedLoop => 0,
        };
        let phase = below(&mut stream, interval);
        let bias = (
            symmetric(stream.next_u64(), plan.fleet.accuracy_mc),
            symmetric(stream.next_u64(), plan.fleet.accuracy_mpct),
        );
        let inside = Inside::new(stream.next_u64(), journey);
        Self {
            start: Time(if golden { 0 } else { start }),
            phase: Duration::from_nanos(if golden { interval / 2 } else { phase }),
            device: Signer::new(cast, cast.device(package)),
            bias: if golden { (0, 0) } else { bias },
            contract: None,
            nature: if golden {
                Nature::Golden
            } else {
                Nature::Physical {
                    sensed: inside.clone(),
                    ahead: inside,
                }
            },
            readings: VecDeque::new(),
        }
    }

    /// Nanoseconds since its journey started.
    pub(super) fn offset_ns(&self, now: Time) -> u64 {
        nanos(now.since(self.start))
    }

    /// What it is truly like in it, on this leg. Asked in the order of time.
    pub(super) fn condition(&mut self, route: &Route, leg: usize, now: Time) -> Condition {
        let step = self.offset_ns(now) / STEP_NS;
        match &mut self.nature {
            Nature::Golden => given(route.journey.legs()[leg].golden),
            Nature::Physical { sensed, .. } => {
                sensed.advance(&route.journey, route.inertia, step);
                sensed.condition()
            }
        }
    }

    /// When it crosses the bounds of its terms next, under way and before `until`, if it is out of range
    /// now or not.
    pub(super) fn next_crossing(
        &mut self,
        route: &Route,
        now: Time,
        until: Time,
        out_of_range: bool,
    ) -> Option<Time> {
        let (now_ns, journey) = (self.offset_ns(now), &route.journey);
        let crosses = |condition: Condition| condition.within(&route.terms) == out_of_range;
        let crossing_ns = match &mut self.nature {
            Nature::Golden => journey
                .legs()
                .iter()
                .find(|leg| leg.starts_ns > now_ns && crosses(given(leg.golden)))
                .map(|leg| leg.starts_ns),
            Nature::Physical { ahead, .. } => {
                let last_ns = journey.length_ns().min(nanos(until.since(self.start)));
                let mut crossing = None;
                while crossing.is_none() && (ahead.step() + 1) * STEP_NS < last_ns {
                    ahead.advance(journey, route.inertia, ahead.step() + 1);
                    crossing = crosses(ahead.condition()).then(|| ahead.step() * STEP_NS);
                }
                crossing
            }
        };
        crossing_ns.map(|offset_ns| self.start + Duration::from_nanos(offset_ns))
    }

    /// Keeps a reading for who may want to replay it.
    pub(super) fn remember(&mut self, submission: Submission, transaction: Arc<Transaction>) {
        let old = |reading: &(Submission, _)| reading.0.due + OLD <= submission.due;
        while self.readings.get(1).is_some_and(old) {
            self.readings.pop_front();
        }
        self.readings.push_back((submission, transaction));
    }

    /// The newest reading that is [`OLD`], or the oldest there is.
    pub(super) fn old_reading(&self, now: Time) -> Option<&(Submission, Arc<Transaction>)> {
        let old = |reading: &&(Submission, _)| reading.0.due + OLD <= now;
        let newest = self.readings.iter().rev().find(old);
        newest.or_else(|| self.readings.front())
    }
}

/// A draw from 0 to `bound`, which is not among them (0 if it is 0).
fn below(stream: &mut Stream, bound: u64) -> u64 {
    ((u128::from(stream.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// The golden package's given values as a condition.
fn given((temperature_dc, humidity_dpct): (i64, i64)) -> Condition {
    Condition {
        temperature_mc: temperature_dc * 100,
        humidity_mpct: humidity_dpct * 100,
    }
}
