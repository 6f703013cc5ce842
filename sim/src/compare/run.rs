//! Many runs at once: as many as there are cores, each in a runtime of its own, and the same result
//! whichever is ready first.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use hdrhistogram::Histogram;

use super::claims::{Breach, Claimed, Finality, breaches};
use crate::{
    metrics::{
        Summary,
        load::{Utilisation, busiest_processor},
        tolerance::Tolerance,
    },
    run::{self, Played},
    scenario::plan::{FaultKind, Plan, Target},
    time::nanos,
    world::pump::Breakdown,
};

/// What a comparison keeps of a run; ledgers and facts are gone.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub summary: Summary,
    /// When its readings were called final.
    pub finality: Finality,
    /// What it claims to bear.
    pub claimed: Claimed,
    /// Claims that it broke.
    pub breaches: Vec<Breach>,
    /// The busiest processor.
    pub processor: Option<Utilisation>,
    /// The longest stall that a crash of the leader caused, zero if it was no longer than usual; `None`:
    /// no leader crashed.
    pub leader_crash_ms: Option<u64>,
    /// The longest time from the end of a partition to the next final transaction; `None`: there was no
    /// partition, or nothing became final after one.
    pub partition_heal_ms: Option<u64>,
    /// Sent → included, in microseconds.
    pub to_included: Histogram<u64>,
    /// Sent → final, in microseconds.
    pub to_final: Histogram<u64>,
}

impl Outcome {
    fn of(plan: &Plan, played: Played) -> Self {
        let Played {
            measured,
            ending,
            cast,
            ..
        } = played;
        let summary = measured.summary;
        let claimed = Claimed::of(&ending.claims, &Tolerance::of(plan));
        let liars = cast.honest.iter().filter(|honest| !**honest).count();
        let faults = || plan.faults.iter().zip(&summary.faults);
        let leaders = faults().filter(|(fault, _)| {
            matches!(&fault.kind, FaultKind::Crash(crash) if crash.target == Target::Primary)
        });
        let outages = leaders.filter_map(|(_, row)| row.outage_ms);
        let usual_ms = summary.usual_stall_ms;
        let splits = faults().filter(|(fault, _)| {
            matches!(fault.kind, FaultKind::Partition(_)) && fault.until.is_some()
        });
        let heals: Option<Vec<u64>> = splits.map(|(_, row)| row.recovery_ms).collect();
        Self {
            finality: Finality::of(&ending.claims),
            breaches: breaches(&summary, plan, claimed, liars),
            claimed,
            processor: busiest_processor(&ending, plan, &cast),
            leader_crash_ms: outages.max().map(|ms| if ms > usual_ms { ms } else { 0 }),
            partition_heal_ms: heals.and_then(|heals| heals.into_iter().max()),
            to_included: measured.latencies.sent_to_included.histogram().clone(),
            to_final: measured.latencies.sent_to_final.histogram().clone(),
            summary,
        }
    }
}

/// A run of a comparison that did not reach its end: a bug of ours.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{breakdown}")]
pub struct Broken {
    /// What happened.
    pub breakdown: Breakdown,
    /// The arguments of `scenario` that make the same run again.
    pub arguments: String,
}

/// Plays all plans, and returns their outcomes in the plans' order. `done` grows by the virtual time of
/// each run when it is over, ns.
///
/// # Errors
/// The first run, in the plans' order, that broke down.
pub fn play_all(
    plans: &[Arc<Plan>],
    seeds: usize,
    done: &AtomicU64,
) -> Result<Vec<Outcome>, Broken> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut outcomes = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(number) else {
                return outcomes;
            };
            let outcome = run::play(plan, seeds, Arc::default())
                .map(|played| Outcome::of(plan, played))
                .map_err(|breakdown| Broken {
                    breakdown,
                    arguments: arguments(plan),
                });
            outcomes.push((number, outcome));
            done.fetch_add(nanos(plan.duration), Ordering::Relaxed);
        }
    };
    let mut outcomes = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(plans.len()))
            .map(|_| scope.spawn(worker))
            .collect();
        let ready = workers.into_iter();
        ready
            .flat_map(|worker| worker.join().expect("runs report their breakdowns"))
            .collect::<Vec<_>>()
    });
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn arguments(plan: &Plan) -> String {
    let mut line = format!("{} --seed {}", plan.path.display(), plan.seed);
    for set in &plan.overrides {
        line.extend([" --set '", set, "'"]);
    }
    line
}
