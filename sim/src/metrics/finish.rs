//! The end of the count: from what was read and what the run left behind to a summary.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    ledger::Entry,
    transaction::Outcome,
    types::{NodeId, TxId},
};

use super::{
    book::{Fate, Identity},
    cheats::Judgement,
    latency::Latencies,
    load::{self, PerReading},
    reader::Metrics,
    shared_ledger::{Journey, Terms, ledger_table},
    summary::{SCHEMA_VERSION, Summary, Verdict, VerdictKind, VerdictRow},
    tolerance::{Tolerance, claims_in_words, parameters_in_words},
    warning::{FAR_FROM_FULL_PERCENT, SEEDS_NEEDED, Warning},
};
use crate::{ending::Ending, scenario::plan::Plan, time::Time};

/// What a run left behind besides its facts.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The end of the run.
    pub ending: &'a Ending,
    /// The validator of [`Metrics::correct_validator`] and its whole chain; `None` if no member is
    /// correct.
    pub correct: Option<(NodeId, &'a [Arc<Entry>])>,
    /// Bytes of each validator's ledger, by node number.
    pub storage_bytes: &'a [u64],
    /// What the invariants found.
    pub verdicts: Vec<VerdictRow>,
    /// Running hash over all facts, hexadecimal.
    pub trace: String,
    /// Hash of ledgers and verdicts, hexadecimal.
    pub outcome: String,
    /// What the process will say.
    pub exit_code: u8,
    /// Seeds of this invocation.
    pub seeds: usize,
}

/// A run in figures, with what the plots and histogram files need besides.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub summary: Summary,
    /// The measured cohort's histograms.
    pub latencies: Latencies,
    /// The golden package's executed readings with the times that they were due.
    pub golden: Option<GoldenTrack>,
}

/// The golden package's readings over time, from the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoldenTrack {
    /// Name of the package.
    pub package: String,
    /// Its terms.
    pub terms: Terms,
    /// When each executed reading was due, tenths of a degree, tenths of a per cent.
    pub readings: Vec<(Time, i64, i64)>,
}

impl Metrics {
    /// Adds everything up. Panics if the identity does not add up, which is a bug of the world or of
    /// the metrics, never of a protocol.
    pub fn finish(mut self, evidence: Evidence<'_>) -> Measured {
        let open = self.stall.open(evidence.ending.ended);
        self.faults.finish(open, self.view);
        self.chains.close(&mut self.book);
        self.cheats.finish(open, self.view, &self.plan);
        let (from, to) = window(&self.plan);
        let latencies = Latencies::of(&self.book, from, to);
        let warnings = self.warnings(&evidence, &latencies);
        Measured {
            golden: self.golden_track(&evidence),
            summary: self.summary(evidence, &latencies, warnings),
            latencies,
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line for each field of a flat struct"
    )]
    fn summary(
        &self,
        evidence: Evidence<'_>,
        latencies: &Latencies,
        warnings: Vec<Warning>,
    ) -> Summary {
        let (plan, cast, ending) = (&*self.plan, &*self.cast, evidence.ending);
        let tolerance = Tolerance::of(plan);
        let identity: Identity = self.book.identity();
        let per_reading = PerReading::of(ending, self.finals());
        let executed = executions(evidence.correct.map_or(&[], |(_, entries)| entries));
        let correct = evidence.correct.map(|(node, _)| node);
        let entries = evidence.correct.map(|(_, entries)| entries);
        let mut summary = Summary {
            schema_version: SCHEMA_VERSION,
            scenario: plan.name.clone(),
            title: plan.title.clone(),
            path: plan.path.display().to_string(),
            overrides: plan.overrides.clone(),
            seed: plan.seed,
            protocol: plan.consensus.protocol.name().to_owned(),
            parameters: parameters_in_words(plan),
            claims: claims_in_words(&ending.claims, tolerance.n, tolerance.f),
            validators: tolerance.n,
            faulty: tolerance.f,
            quorum: tolerance.q,
            regions: tolerance.regions.len(),
            duration_ms: plan.duration.as_millis() as u64,
            warm_up_ms: plan.warm_up.as_millis() as u64,
            ended_ms: ending.ended.0 / 1_000_000,
            verdicts: evidence.verdicts,
            expected_violations: plan.expect.violations.clone(),
            exit_code: evidence.exit_code,
            trace: evidence.trace,
            outcome: evidence.outcome,
            shared_ledger: entries.and_then(|entries| ledger_table(entries.iter(), plan, cast)),
            shared_ledger_from: correct.map(|node| cast.name_of(node).to_owned()),
            same_root_validators: correct.map_or(0, |node| self.chains.agreeing(node)),
            golden_excursion: self
                .excursions
                .golden(plan, cast, &self.book, &ending.alive),
            excursions: self.excursions.totals(cast),
            submitted: identity.submitted,
            ok: identity.ok,
            reverted: identity.reverted,
            rejected: identity.rejected,
            lost: identity.lost,
            pending: identity.pending,
            rejected_reasons: identity.rejected_reasons,
            lost_reasons: identity.lost_reasons,
            attempts: self.book.attempts,
            cheat_attempts: self.cheats.attempts,
            censored: latencies.censored,
            goodput_per_s: self.goodput_per_s(),
            due_to_sent: latencies.due_to_sent.percentiles(),
            sent_to_included: latencies.sent_to_included.percentiles(),
            sent_to_final: latencies.sent_to_final.percentiles(),
            due_to_final: latencies.due_to_final.percentiles(),
            link_down_due_to_final: latencies.link_down.percentiles(),
            messages_per_reading: per_reading.messages,
            bytes_per_reading: per_reading.bytes,
            signatures_per_reading: per_reading.signatures,
            checks_per_reading: per_reading.checks,
            storage_bytes_per_year: load::storage_per_year(
                evidence.storage_bytes,
                ending,
                plan,
                cast,
            ),
            busiest: load::busiest(ending, plan, cast),
            changes: self.change_rows(),
            faults: self.fault_rows(&executed),
            usual_stall_ms: self.usual_stall_ns / 1_000_000,
            cheats: Vec::new(),
            schedules: self.schedule_rows(),
            reorganisations: self.chains.reorganisations,
            deepest_reorganisation_blocks: self.chains.deepest,
            retracted_after_relied_blocks: self.chains.retracted_after_relied,
            retracted: self.book.retracted,
            invalidated: self.book.invalidated,
            any_region_may_fail: tolerance.vital_regions.is_empty(),
            vital_regions: tolerance.vital_regions,
            warnings,
        };
        summary.cheats = self.cheats.rows(&Judgement {
            plan,
            cast,
            book: &self.book,
            executed: &executed,
            safe: summary.verdict(VerdictKind::Safety) != Verdict::Bad,
            usual: Duration::from_nanos(self.usual_stall_ns),
        });
        summary
    }

    fn finals(&self) -> u64 {
        let finished = self.book.records().filter(|r| r.finished.is_some());
        finished.count() as u64
    }

    fn goodput_per_s(&self) -> f64 {
        let (from, to) = window(&self.plan);
        let good = self
            .book
            .records()
            .filter(|record| record.cheat.is_none())
            .filter(|record| record.fate == Fate::Ok && record.lost().is_none())
            .filter(|record| record.finished.is_some_and(|at| from <= at && at < to))
            .count();
        let seconds = to.since(from).as_secs_f64();
        if seconds > 0.0 {
            load::rounded(good as f64 / seconds)
        } else {
            0.0
        }
    }

    fn golden_track(&self, evidence: &Evidence<'_>) -> Option<GoldenTrack> {
        let (_, entries) = evidence.correct?;
        let journey = Journey::read(entries.iter(), &self.plan, &self.cast)?;
        Some(GoldenTrack {
            package: self.plan.fleet.golden.clone()?,
            terms: journey.terms,
            readings: journey
                .readings
                .iter()
                .filter_map(|reading| {
                    let due = self.book.get(&reading.tx)?.due;
                    Some((due, reading.temperature_dc, reading.humidity_dpct))
                })
                .collect(),
        })
    }

    fn warnings(&self, evidence: &Evidence<'_>, latencies: &Latencies) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if let Some(busiest) = load::busiest(evidence.ending, &self.plan, &self.cast)
            && busiest.busy_percent < FAR_FROM_FULL_PERCENT
        {
            warnings.push(Warning::FarFromFull(busiest));
        }
        if evidence.seeds < SEEDS_NEEDED {
            warnings.push(Warning::FewSeeds {
                seeds: evidence.seeds,
            });
        }
        warnings.extend(warm_up_too_short(&self.plan, &latencies.points));
        warnings.extend(self.backlog_growing());
        warnings.extend(concentration(&self.plan));
        if latencies.censored > 0 {
            warnings.push(Warning::Censored {
                count: latencies.censored,
            });
        }
        warnings
    }

    /// Work waiting after each quarter of the measured window, if it only ever grew.
    fn backlog_growing(&self) -> Option<Warning> {
        let (from, to) = window(&self.plan);
        let quarter = to.since(from) / 4;
        let waiting = |at: Time| {
            self.book
                .records()
                .filter(|record| record.cheat.is_none() && !record.waited_for_link)
                .filter(|record| !matches!(record.fate, Fate::Rejected(_)))
                .filter(|record| record.sent.is_some_and(|sent| sent <= at))
                .filter(|record| record.finished.is_none_or(|finished| finished > at))
                .count() as u64
        };
        let backlog = [1, 2, 3, 4].map(|quarters| waiting(from + quarter * quarters));
        let slack = 10.max(self.finals() / 100);
        let grew = backlog.is_sorted() && backlog[3] > 2 * backlog[0] + slack;
        grew.then_some(Warning::BacklogGrowing {
            early: backlog[0],
            late: backlog[3],
        })
    }
}

/// The measured window: from the end of the warm-up to the start of the drain.
fn window(plan: &Plan) -> (Time, Time) {
    (Time::ZERO + plan.warm_up, Time::ZERO + plan.duration)
}

/// How often each transaction was executed on a chain.
fn executions(entries: &[Arc<Entry>]) -> BTreeMap<TxId, u32> {
    let mut executed = BTreeMap::new();
    for receipt in entries.iter().flat_map(|entry| entry.receipts.iter()) {
        if receipt.outcome == Outcome::Ok {
            *executed.entry(receipt.tx).or_default() += 1;
        }
    }
    executed
}

/// Compares the medians of the first tenth of the cohort and of the rest: a quarter apart is too much.
fn warm_up_too_short(plan: &Plan, points: &[(Time, u64)]) -> Option<Warning> {
    const ENOUGH: usize = 20;
    let mut points = points.to_vec();
    points.sort_unstable();
    let tenth = points.len() / 10;
    if tenth < ENOUGH {
        return None;
    }
    let median = |points: &[(Time, u64)]| {
        let mut values: Vec<u64> = points.iter().map(|(_, us)| *us).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (early, later) = (median(&points[..tenth]), median(&points[tenth..]));
    (early.abs_diff(later) * 4 > later).then_some(Warning::WarmUpTooShort {
        warm_up_ms: plan.warm_up.as_millis() as u64,
        early_p50_us: early,
        later_p50_us: later,
    })
}

/// Regions and members that can stop everyone.
fn concentration(plan: &Plan) -> Vec<Warning> {
    let tolerance = Tolerance::of(plan);
    let spare = tolerance.spare;
    let regions = tolerance.vital_regions.iter().map(|region| {
        let (region, validators) = (region.clone(), tolerance.regions[region]);
        Warning::OneRegion {
            region,
            validators,
            spare,
        }
    });
    let members = tolerance.vital_members.iter().map(|(member, validators)| {
        let (member, validators) = (member.clone(), *validators);
        Warning::OneMember {
            member,
            validators,
            spare,
        }
    });
    regions.chain(members).collect()
}
