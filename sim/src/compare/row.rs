//! A protocol in figures: its runs over all seeds in one row.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    claims::{Breach, Claimed, Finality, grounds, standing},
    contender::{Contender, label},
    run::Outcome,
    validation::{self, Regime, Validation},
};
use crate::{
    metrics::{
        Summary, Warning,
        aggregate::{self, Figure},
        load::Utilisation,
        summary::VerdictStatus,
    },
    scenario::plan::{FaultKind, Plan, Standing, Target},
};

/// Names of the figures, in the order of the report; units last.
pub mod name {
    /// Committed throughput.
    pub const GOODPUT: &str = "goodput_per_s";
    /// Half of the readings were included so soon after they were sent.
    pub const INCLUDED_P50: &str = "sent_to_included_p50_ms";
    /// 99 of a hundred.
    pub const INCLUDED_P99: &str = "sent_to_included_p99_ms";
    /// Half of the readings were final so soon after they were sent.
    pub const FINAL_P50: &str = "sent_to_final_p50_ms";
    /// 99 of a hundred.
    pub const FINAL_P99: &str = "sent_to_final_p99_ms";
    /// Transactions that every honest validator took back.
    pub const RETRACTED: &str = "retracted";
    /// Messages of all nodes for each final transaction.
    pub const MESSAGES: &str = "messages_per_reading";
    /// Bytes on the wire for each.
    pub const BYTES: &str = "bytes_per_reading";
    /// Signatures made for each.
    pub const SIGNATURES: &str = "signatures_per_reading";
    /// Share of the busiest processor.
    pub const CPU: &str = "cpu_busiest_percent";
    /// Stall after a crash of the leader.
    pub const LEADER_CRASH: &str = "leader_crash_outage_ms";
    /// From the end of a partition to the next final transaction.
    pub const PARTITION: &str = "partition_recovery_ms";
}

/// A figure over all seeds, and how far it may be off.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Shown {
    /// Median and interval.
    pub figure: Figure,
    /// Its validation error, or that there is none.
    pub validation: Validation,
}

/// One run of the row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SeedRow {
    /// Everything random followed from it.
    pub seed: u64,
    /// How it came out.
    pub standing: Standing,
    /// The invariants that say so.
    pub grounds: Vec<String>,
    /// What was violated first, in a sentence.
    pub detail: Option<String>,
    /// Claims that it broke.
    pub breaches: Vec<Breach>,
    /// Transactions without a fate at its end.
    pub pending: u64,
    /// Running hash over all facts, hexadecimal.
    pub trace: String,
    /// The line that makes it again.
    pub reproduce: String,
}

/// How one cheat of the scenario fared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheatRow {
    /// Who did what.
    pub label: String,
    /// Runs in which it did something.
    pub acted: usize,
    /// Runs in which it changed nothing that honest members agreed on, or was found out.
    pub stopped: usize,
    /// How it ended in the first of them.
    pub end: String,
}

/// A protocol with one set of parameters.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// The protocol's name.
    pub protocol: String,
    /// What was laid over the scenario to suit it; empty: the parameters are equal for all.
    pub tuned: Vec<String>,
    /// Its parameters, in words.
    pub parameters: String,
    /// What it claims, in words.
    pub claims: String,
    /// Whether it claims anything against members that lie.
    pub bears_liars: bool,
    /// When its readings are final.
    pub finality: Finality,
    /// What it claims to bear.
    pub claimed: Claimed,
    /// Validators, those that the protocol claims to bear, and those that a decision needs.
    pub validators: usize,
    /// See above.
    pub faulty: usize,
    /// See above.
    pub quorum: usize,
    /// The worst of its runs.
    pub standing: Standing,
    /// What the author of the scenario expects.
    pub expected: Option<Standing>,
    /// Its runs.
    pub seeds: Vec<SeedRow>,
    /// The scenario's cheats.
    pub cheats: Vec<CheatRow>,
    /// The figures that it has, see [`name`].
    pub figures: Vec<Shown>,
    /// The resource with the least slack in any of its runs.
    pub busiest: Option<Utilisation>,
    /// Where its figures could mislead, from the first run that says so; each kind once.
    pub warnings: Vec<Warning>,
    /// Sent → included: the quantiles of [`quantiles`], all runs together, ms.
    pub included_ms: Vec<(f64, f64)>,
    /// Sent → final: the same.
    pub final_ms: Vec<(f64, f64)>,
}

impl Row {
    /// Its runs in one row. `outcomes` are the contender's, one a seed.
    pub(crate) fn of(contender: &Contender, outcomes: &[Outcome]) -> Self {
        let first = &outcomes[0];
        let plan = &contender.plans[0];
        let protocol = plan.consensus.protocol.name();
        let seeds: Vec<SeedRow> = outcomes.iter().map(seed).collect();
        let busiest = outcomes
            .iter()
            .filter_map(|outcome| outcome.summary.busiest.clone())
            .max_by(|a, b| a.busy_percent.total_cmp(&b.busy_percent));
        let summary = &first.summary;
        let regime = Regime {
            protocol,
            validators: summary.validators,
            regions: summary.regions,
            busiest_percent: busiest.as_ref().map_or(0.0, |busy| busy.busy_percent),
            batch_age_ms: plan.consensus.batch_age.as_millis() as u64,
            is_disturbed: !(plan.faults.is_empty()
                && plan.cheats.is_empty()
                && plan.schedules.is_empty()),
        };
        Self {
            protocol: protocol.to_owned(),
            tuned: contender.tuned.clone(),
            parameters: summary.parameters.clone(),
            claims: summary.claims.clone(),
            bears_liars: first.claimed.liars_safe.is_some_and(|bears| bears > 0),
            finality: first.finality,
            claimed: first.claimed,
            validators: summary.validators,
            faulty: summary.faulty,
            quorum: summary.quorum,
            standing: seeds
                .iter()
                .map(|seed| seed.standing)
                .max()
                .unwrap_or(Standing::Safe),
            expected: plan.compare.expected.get(protocol).copied(),
            seeds,
            cheats: cheats(outcomes),
            figures: figures(outcomes, &regime),
            busiest,
            warnings: warnings(outcomes),
            included_ms: quantiles(outcomes.iter().map(|outcome| &outcome.to_included)),
            final_ms: quantiles(outcomes.iter().map(|outcome| &outcome.to_final)),
        }
    }

    /// What it is called in a table.
    pub fn label(&self) -> String {
        label(&self.protocol, !self.tuned.is_empty())
    }

    /// A figure by its name, if there is one.
    pub fn figure(&self, name: &str) -> Option<&Shown> {
        self.figures.iter().find(|shown| shown.figure.name == name)
    }

    /// The median of a figure.
    pub fn median(&self, name: &str) -> Option<f64> {
        self.figure(name).map(|shown| shown.figure.median)
    }

    /// The first run that came out so.
    pub fn seed_that(&self, standing: Standing) -> Option<&SeedRow> {
        self.seeds.iter().find(|seed| seed.standing == standing)
    }

    /// Claims that its runs broke, with the run; none that the scenario's author expects.
    pub fn breaches(&self) -> impl Iterator<Item = (&SeedRow, &Breach)> {
        let unexpected = |seed: &&SeedRow| self.expected != Some(seed.standing);
        let seeds = self.seeds.iter().filter(unexpected);
        seeds.flat_map(|seed| seed.breaches.iter().map(move |breach| (seed, breach)))
    }

    /// Cheats that were stopped in every run in which they acted, and cheats that acted at all.
    pub fn cheats_stopped(&self) -> (usize, usize) {
        let acted = || self.cheats.iter().filter(|cheat| cheat.acted > 0);
        let stopped = acted().filter(|cheat| cheat.stopped == self.seeds.len());
        (stopped.count(), acted().count())
    }
}

fn seed(outcome: &Outcome) -> SeedRow {
    let summary = &outcome.summary;
    let mut violated = summary.verdicts.iter();
    let violated = violated.find(|row| row.status == VerdictStatus::Violated);
    SeedRow {
        seed: summary.seed,
        standing: standing(summary),
        grounds: grounds(summary),
        detail: violated.and_then(|row| {
            let what = row.detail.first()?;
            Some(format!("{} {what}", row.name))
        }),
        breaches: outcome.breaches.clone(),
        pending: summary.pending,
        trace: summary.trace.clone(),
        reproduce: summary.reproduce(),
    }
}

/// Cheats keep their place in all runs of a scenario.
fn cheats(outcomes: &[Outcome]) -> Vec<CheatRow> {
    let summaries = || outcomes.iter().map(|outcome| &outcome.summary);
    let row = |(place, cheat): (usize, &crate::metrics::summary::CheatRow)| {
        let count = |is: fn(&crate::metrics::summary::CheatRow) -> bool| {
            summaries()
                .filter(|summary| is(&summary.cheats[place]))
                .count()
        };
        CheatRow {
            label: cheat.label.clone(),
            // A copy is rewritten when the auditor asks for it: that is its only act.
            acted: count(|cheat| cheat.acted > 0 || !cheat.end.starts_with("never got")),
            stopped: count(|cheat| cheat.stopped),
            end: cheat.end.clone(),
        }
    };
    let first = outcomes[0].summary.cheats.iter().enumerate();
    first.map(row).collect()
}

fn figures(outcomes: &[Outcome], regime: &Regime<'_>) -> Vec<Shown> {
    let of_runs: Vec<Vec<(&str, f64)>> = outcomes.iter().map(figures_of_run).collect();
    let names = figure_names();
    let shown = names.iter().filter_map(|name| {
        let values = of_runs.iter().flatten();
        let values: Vec<f64> = values
            .filter(|(own, _)| own == name)
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| Shown {
            figure: aggregate::figure(name, values),
            validation: validation::of(name, regime),
        })
    });
    shown.collect()
}

/// All names, in the order of the report.
pub fn figure_names() -> [&'static str; 12] {
    [
        name::GOODPUT,
        name::INCLUDED_P50,
        name::INCLUDED_P99,
        name::FINAL_P50,
        name::FINAL_P99,
        name::RETRACTED,
        name::MESSAGES,
        name::BYTES,
        name::SIGNATURES,
        name::CPU,
        name::LEADER_CRASH,
        name::PARTITION,
    ]
}

fn figures_of_run(outcome: &Outcome) -> Vec<(&'static str, f64)> {
    let summary: &Summary = &outcome.summary;
    let ms = |us: u64| us as f64 / 1000.0;
    let mut figures = vec![
        (name::GOODPUT, summary.goodput_per_s),
        (name::RETRACTED, summary.retracted as f64),
    ];
    // What nothing was divided by, or a percentile of nothing, is no figure.
    if summary.messages_per_reading > 0.0 {
        figures.extend([
            (name::MESSAGES, summary.messages_per_reading),
            (name::BYTES, summary.bytes_per_reading),
            (name::SIGNATURES, summary.signatures_per_reading),
        ]);
    }
    if summary.sent_to_included.count > 0 {
        figures.extend([
            (name::INCLUDED_P50, ms(summary.sent_to_included.p50_us)),
            (name::INCLUDED_P99, ms(summary.sent_to_included.p99_us)),
        ]);
    }
    if summary.sent_to_final.count > 0 {
        figures.extend([
            (name::FINAL_P50, ms(summary.sent_to_final.p50_us)),
            (name::FINAL_P99, ms(summary.sent_to_final.p99_us)),
        ]);
    }
    let processor = outcome.processor.as_ref();
    figures.extend(processor.map(|busiest| (name::CPU, busiest.busy_percent)));
    let spans = [
        (name::LEADER_CRASH, outcome.leader_crash_ms),
        (name::PARTITION, outcome.partition_heal_ms),
    ];
    figures.extend(
        spans
            .into_iter()
            .filter_map(|(name, ms)| Some((name, ms? as f64))),
    );
    figures
}

/// Each kind of warning once, from the first run that has it.
fn warnings(outcomes: &[Outcome]) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in outcomes
        .iter()
        .flat_map(|outcome| &outcome.summary.warnings)
    {
        let kind = std::mem::discriminant(warning);
        let known = |other: &Warning| std::mem::discriminant(other) == kind;
        if !warnings.iter().any(known) {
            warnings.push(warning.clone());
        }
    }
    warnings
}

/// A hundred quantiles and the three behind the last, of several histograms together: share and
/// milliseconds.
fn quantiles<'a>(histograms: impl Iterator<Item = &'a Histogram<u64>>) -> Vec<(f64, f64)> {
    let pooled = histograms.cloned().reduce(|mut all, one| {
        all.add(one).expect("the histogram resizes itself");
        all
    });
    let Some(pooled) = pooled.filter(|pooled| !pooled.is_empty()) else {
        return Vec::new();
    };
    let shares = (0..100).map(|percent| f64::from(percent) / 100.0);
    let shares = shares.chain([0.995, 0.999, 1.0]);
    shares
        .map(|share| (share, pooled.value_at_quantile(share) as f64 / 1000.0))
        .collect()
}

/// Whether a crash of this plan hits whoever leads.
pub(super) fn crashes_leader(plan: &Plan) -> bool {
    let mut faults = plan.faults.iter();
    faults.any(
        |fault| matches!(&fault.kind, FaultKind::Crash(crash) if crash.target == Target::Primary),
    )
}

/// Whether a partition of this plan ends.
pub(super) fn heals_partition(plan: &Plan) -> bool {
    let mut faults = plan.faults.iter();
    faults.any(|fault| matches!(fault.kind, FaultKind::Partition(_)) && fault.until.is_some())
}
