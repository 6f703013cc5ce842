//! Protocols side by side: the same members, contracts, network, faults and cheats under each of them.
//!
//! Every protocol that is registered plays the scenario with each seed; the draws of network, fleet and
//! faults depend on the seed alone, so that all meet the same weather. What comes out is one [`Row`] a
//! protocol, with medians over the seeds and the interval of [`crate::metrics::aggregate`], where the
//! comparison could mislead, and what follows from it in plain words. With [`Request::tolerance`], short
//! runs show how many members may crash, fall silent or collude.

pub mod advice;
pub mod caution;
pub mod claims;
mod contender;
pub mod row;
pub mod run;
pub mod tolerance;
pub mod validation;

#[cfg(test)]
pub(crate) mod sample;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use serde::Serialize;

pub use self::{
    advice::Advice,
    caution::Caution,
    contender::{Contender, Request},
    row::Row,
    run::Broken,
    tolerance::Curve,
};
use self::{run::play_all, tolerance::Job};
use crate::{
    exit::ExitCode,
    metrics::summary::VerdictKind,
    scenario::{Problems, Source, Warning, plan::Plan},
};

/// What this version of the format is called.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that a comparison found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// [`SCHEMA_VERSION`] of whoever wrote it.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// What it is about.
    pub title: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// What was laid over it for all protocols.
    pub overrides: Vec<String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Virtual time in which sensors reported.
    pub duration_ms: u64,
    /// Whether a leader crashes in it.
    pub crashes_leader: bool,
    /// Whether a partition heals in it.
    pub heals_partition: bool,
    /// One a protocol and set of parameters.
    pub rows: Vec<Row>,
    /// One a protocol and way to fail; empty if nobody asked.
    pub tolerance: Vec<Curve>,
    /// Where it could mislead.
    pub cautions: Vec<Caution>,
    /// What follows from it.
    pub advice: Vec<Advice>,
    /// What the process says.
    pub exit_code: u8,
}

/// A comparison that is ready to be played.
#[derive(Clone, Debug)]
pub struct Field {
    request: Request,
    contenders: Vec<Contender>,
    jobs: Vec<Job>,
}

impl Field {
    /// Understands the scenario for everyone who is compared.
    ///
    /// # Errors
    /// Everything that is wrong with the scenario, the overrides, or the names of the protocols.
    pub fn load(source: &Source, request: &Request) -> Result<Self, Problems> {
        let contenders = request.contenders(source)?;
        let mut jobs = Vec::new();
        let equal = contenders.iter().filter(|one| one.tuned.is_empty());
        for contender in equal.filter(|_| request.tolerance) {
            let plan = &contender.plans[0];
            let protocol = plan.consensus.protocol.name();
            jobs.extend(tolerance::jobs(request, source, protocol, plan)?);
        }
        Ok(Self {
            request: request.clone(),
            contenders,
            jobs,
        })
    }

    /// The first plan: what does not depend on the protocol is the same in all.
    pub fn plan(&self) -> &Plan {
        &self.contenders[0].plans[0]
    }

    /// What the scenario's author should know, each thing once.
    pub fn warnings(&self) -> Vec<&Warning> {
        let mut warnings: Vec<&Warning> = Vec::new();
        for warning in self.contenders.iter().flat_map(|one| &one.warnings) {
            // Said of the whole comparison, with all their names.
            let is_caution = matches!(warning, Warning::CommitteeStays { .. });
            if !is_caution && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }

    /// Virtual time of all runs together, drains not counted.
    pub fn length(&self) -> Duration {
        self.plans().iter().map(|plan| plan.duration).sum()
    }

    fn plans(&self) -> Vec<Arc<Plan>> {
        let own = self.contenders.iter().flat_map(|one| &one.plans);
        let tolerance = self.jobs.iter().flat_map(Job::plans);
        own.chain(tolerance).cloned().collect()
    }

    /// Plays everything. `done` grows by the virtual time of each run, ns.
    ///
    /// # Errors
    /// A run that broke down, which is a bug of ours.
    pub fn play(&self, done: &AtomicU64) -> Result<Comparison, Broken> {
        let seeds = self.contenders[0].plans.len();
        let outcomes = play_all(&self.plans(), seeds, done)?;
        let (own, of_jobs) = outcomes.split_at(seeds * self.contenders.len());
        let rows: Vec<Row> = self
            .contenders
            .iter()
            .zip(own.chunks(seeds))
            .map(|(contender, outcomes)| Row::of(contender, outcomes))
            .collect();
        let tolerance = tolerance::curves(&self.jobs, of_jobs);
        let plan = self.plan();
        Ok(Comparison {
            schema_version: SCHEMA_VERSION,
            scenario: plan.name.clone(),
            title: plan.title.clone(),
            path: plan.path.clone(),
            overrides: self.request.overrides.clone(),
            seeds: rows[0].seeds.iter().map(|seed| seed.seed).collect(),
            duration_ms: plan.duration.as_millis() as u64,
            crashes_leader: row::crashes_leader(plan),
            heals_partition: row::heals_partition(plan),
            cautions: caution::cautions(&rows, &tolerance, &self.unchanging()),
            advice: advice::advise(&rows, &tolerance),
            exit_code: exit(&rows, &tolerance).code(),
            rows,
            tolerance,
        })
    }

    /// Protocols whose committee stays although the scenario changes it, if there are others.
    fn unchanging(&self) -> Vec<String> {
        let stays = |one: &&Contender| {
            let mut warnings = one.warnings.iter();
            warnings.any(|warning| matches!(warning, Warning::CommitteeStays { .. }))
        };
        let names = self.contenders.iter().filter(stays).map(Contender::label);
        let names: Vec<String> = names.collect();
        if names.len() == self.contenders.len() {
            return Vec::new();
        }
        names
    }
}

/// What the process says: a protocol that forks outside what it claims is a result, and no failure. A
/// broken claim is one; so is a verdict that the scenario's author did not expect.
pub fn exit(rows: &[Row], curves: &[Curve]) -> ExitCode {
    let breaches = rows.iter().flat_map(Row::breaches);
    let breaches = breaches.map(|(_, breach)| match breach.kind {
        VerdictKind::Safety => ExitCode::Safety,
        VerdictKind::Liveness => ExitCode::Liveness,
    });
    let curves = curves
        .iter()
        .filter(|curve| curve.broken_safety().is_some())
        .map(|_| ExitCode::Safety);
    let unexpected = rows
        .iter()
        .filter(|row| {
            row.expected
                .is_some_and(|expected| expected != row.standing)
        })
        .map(|_| ExitCode::Missed);
    ExitCode::worst(breaches.chain(curves).chain(unexpected))
}

#[cfg(test)]
mod tests {
    use super::{claims::Breach, row::SeedRow, sample::row, *};
    use crate::scenario::plan::Standing;

    fn breach(kind: VerdictKind) -> Breach {
        Breach {
            kind,
            invariant: "agreement".into(),
            detail: String::new(),
        }
    }

    fn with(standing: Standing, breaches: Vec<Breach>) -> Row {
        let mut row = row("pbft");
        row.standing = standing;
        row.seeds[0] = SeedRow {
            standing,
            breaches,
            ..row.seeds[0].clone()
        };
        row
    }

    #[test]
    fn a_fork_outside_the_claims_is_a_result_and_a_broken_claim_is_a_failure() {
        let outside = with(Standing::Forked, Vec::new());
        assert_eq!(exit(&[outside], &[]), ExitCode::Ok);
        let safety = with(Standing::Forked, vec![breach(VerdictKind::Safety)]);
        let liveness = with(Standing::Stalled, vec![breach(VerdictKind::Liveness)]);
        assert_eq!(
            exit(std::slice::from_ref(&liveness), &[]),
            ExitCode::Liveness
        );
        assert_eq!(exit(&[liveness, safety], &[]), ExitCode::Safety);
    }

    #[test]
    fn what_the_author_expects_is_no_failure_and_its_absence_is_one() {
        let mut forked = with(Standing::Forked, vec![breach(VerdictKind::Safety)]);
        forked.expected = Some(Standing::Forked);
        assert_eq!(exit(&[forked.clone()], &[]), ExitCode::Ok);
        forked.expected = Some(Standing::Stalled);
        assert_eq!(exit(&[forked], &[]), ExitCode::Safety);
        let mut safe = row("pbft");
        safe.expected = Some(Standing::Forked);
        assert_eq!(exit(&[safe], &[]), ExitCode::Missed);
    }
}
