//! One run from plan to verdict: world, readers, audit, summary, exit code.

use std::sync::{Arc, atomic::AtomicU64};

use crate::{
    audit,
    cast::Cast,
    ending::Ending,
    exit::ExitCode,
    fact::{Fact, Reader},
    invariant::{self, Finding, Invariants, Verdicts},
    metrics::{
        self, Evidence, Measured, Metrics,
        summary::{VerdictKind, VerdictRow, VerdictStatus},
    },
    scenario::plan::Plan,
    time::Time,
    trace,
    world::{
        self,
        pump::{self, Breakdown},
    },
};

/// A run that reached its end.
#[derive(Debug)]
pub struct Played {
    /// What was measured.
    pub measured: Measured,
    /// What the invariants say.
    pub verdicts: Verdicts,
    /// What the process should say, were this its only run.
    pub exit: ExitCode,
    /// Ledgers and meters.
    pub ending: Ending,
    /// Who played.
    pub cast: Arc<Cast>,
}

/// Everyone who reads the stream of facts of a run.
struct Audience {
    invariants: Invariants,
    metrics: Metrics,
}

impl Reader for Audience {
    fn read(&mut self, at: Time, fact: &Fact) {
        self.invariants.read(at, fact);
        self.metrics.read(at, fact);
    }
}

/// Plays a plan. `seeds` is how many runs this invocation plays; `reached` follows virtual time, ns.
pub fn play(plan: &Arc<Plan>, seeds: usize, reached: Arc<AtomicU64>) -> Result<Played, Breakdown> {
    let cast = Arc::new(Cast::new(plan));
    let audience = Audience {
        invariants: Invariants::new(plan, Arc::clone(&cast), world::claims(plan, &cast)),
        metrics: Metrics::new(Arc::clone(plan), Arc::clone(&cast)),
    };
    let (ending, mut audience) = pump::run(plan, &cast, audience, reached)?;
    for fact in audit::audit_rewritten_copies(plan, &cast, &ending.claims, &ending.ledgers) {
        audience.read(ending.ended, &fact);
    }
    let verdicts = audience.invariants.close(&ending);
    let exit = judge(plan, &verdicts, audience.metrics.are_schedules_met());
    let measured = measure(audience.metrics, &cast, &ending, &verdicts, exit, seeds);
    Ok(Played {
        measured,
        verdicts,
        exit,
        ending,
        cast,
    })
}

fn measure(
    metrics: Metrics,
    cast: &Cast,
    ending: &Ending,
    verdicts: &Verdicts,
    exit: ExitCode,
    seeds: usize,
) -> Measured {
    let correct = metrics.correct_validator(&ending.alive);
    let chain: Vec<_> = correct
        .map(|node| ending.ledgers[node.index()].entries().cloned().collect())
        .unwrap_or_default();
    let stands = ending.ledgers.iter().map(|ledger| {
        (
            ledger.height(),
            ledger.head().block.id(),
            ledger.state().root(),
        )
    });
    let storage: Vec<_> = ending
        .ledgers
        .iter()
        .map(consortium_node::ledger::Ledger::storage_bytes)
        .collect();
    metrics.finish(Evidence {
        ending,
        correct: correct.map(|node| (node, chain.as_slice())),
        storage_bytes: &storage,
        verdicts: verdicts
            .list
            .iter()
            .map(|verdict| row(cast, verdict))
            .collect(),
        trace: trace::hex(ending.trace),
        outcome: trace::hex(trace::outcome(stands, verdicts)),
        exit_code: exit.code(),
        seeds,
    })
}

/// Design §8: unexpected violations of safety, then of liveness, then what was expected and stayed away:
/// violations, and messages or records that a schedule is about.
fn judge(plan: &Plan, verdicts: &Verdicts, are_schedules_met: bool) -> ExitCode {
    let expected = &plan.expect.violations;
    let unexpected = verdicts
        .unexpected(expected)
        .map(|verdict| match verdict.kind {
            invariant::Kind::Safety => ExitCode::Safety,
            invariant::Kind::Liveness => ExitCode::Liveness,
        });
    let absent = verdicts.absent(expected).map(|_| ExitCode::Missed);
    let unmet = (!are_schedules_met).then_some(ExitCode::Missed);
    ExitCode::worst(unexpected.chain(absent).chain(unmet))
}

/// A verdict as reports show it.
fn row(cast: &Cast, verdict: &invariant::Verdict) -> VerdictRow {
    let (status, checked, detail) = match &verdict.finding {
        Finding::Holds { checked } => (VerdictStatus::Holds, *checked, Vec::new()),
        Finding::Violated { first, count } => {
            let detail = first.iter().map(sentence).collect();
            (VerdictStatus::Violated, *count, detail)
        }
        Finding::NotClaimed(why) => (VerdictStatus::NotClaimed, 0, vec![why.clone()]),
    };
    let culprits = match &verdict.finding {
        Finding::Violated { first, .. } => first
            .iter()
            .flat_map(|violation| &violation.culprits)
            .copied()
            .collect(),
        _ => std::collections::BTreeSet::new(),
    };
    VerdictRow {
        name: verdict.name.to_owned(),
        kind: match verdict.kind {
            invariant::Kind::Safety => VerdictKind::Safety,
            invariant::Kind::Liveness => VerdictKind::Liveness,
        },
        status,
        checked,
        detail,
        culprits: culprits
            .into_iter()
            .map(|node| cast.name_of(node).to_owned())
            .collect(),
    }
}

/// When and what, without the name that stands before it.
fn sentence(violation: &invariant::Violation) -> String {
    let millis = violation.at.0 / 1_000_000;
    format!(
        "at {}.{:03} s: {}",
        millis / 1000,
        millis % 1000,
        violation.what
    )
}

/// The figures of several runs of one scenario.
pub fn aggregate(runs: &[Played]) -> Option<metrics::Aggregate> {
    let summaries: Vec<_> = runs
        .iter()
        .map(|run| run.measured.summary.clone())
        .collect();
    metrics::aggregate(&summaries)
}
