//! What a valid scenario's author should know before trusting its figures.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::plan::{CheatKind, FaultKind, Plan, Target, Transport};
use crate::time::Time;

/// Advice: what was seen, why it matters, what to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Warning {
    /// More validators deviate from the protocol than it bears, and no violation is expected.
    TooManyLiars {
        /// Name of the protocol.
        protocol: &'static str,
        /// Validators that deviate at some time.
        liars: usize,
        /// So many it bears.
        bears: usize,
        /// Of so many.
        validators: usize,
    },
    /// More validators are faulty at one time than the protocol bears.
    TooManyFaulty {
        /// Name of the protocol.
        protocol: &'static str,
        /// From when.
        at: Time,
        /// Validators that are down or deviate then.
        faulty: usize,
        /// So many it bears.
        bears: usize,
        /// Of so many.
        validators: usize,
    },
    /// The golden package is still on its way when the run ends.
    GoldenOnItsWay {
        /// How much of its journey is missing.
        missing: Duration,
    },
    /// The committee is to change where it cannot.
    CommitteeStays {
        /// Name of the protocol.
        protocol: &'static str,
    },
    /// Duplicates are asked for where the transport removes them.
    DuplicatesWithoutEffect,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLiars {
                protocol,
                liars,
                bears,
                validators,
            } => write!(
                f,
                "{liars} of {validators} validators lie, {protocol} bears {bears}: it promises no \
                 safety here; say in expect.violations what you expect to break"
            ),
            Self::TooManyFaulty {
                protocol,
                at,
                faulty,
                bears,
                validators,
            } => write!(
                f,
                "from {at} {faulty} of {validators} validators are faulty at once, {protocol} bears \
                 {bears}: it may stop until some recover; move the faults apart or add validators"
            ),
            Self::GoldenOnItsWay { missing } => write!(
                f,
                "the golden package has {} s to go when the run ends: the last rows of its table will \
                 be missing; make `duration` longer",
                missing.as_secs()
            ),
            Self::CommitteeStays { protocol } => write!(
                f,
                "the committee of {protocol} cannot change during a run: all members validate from \
                 the beginning to the end; only pbft's can"
            ),
            Self::DuplicatesWithoutEffect => write!(
                f,
                "network.duplicates has no effect on in-order links, which remove them; try transport \
                 = \"datagram\""
            ),
        }
    }
}

/// Everything worth a warning.
pub(crate) fn warnings(plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let (protocol, validators) = (plan.consensus.protocol.name(), plan.validators());
    let bears = plan.consensus.protocol.thresholds(validators).f;
    let liars = plan.cheats.iter().flat_map(|cheat| liars(&cheat.kind));
    let liars = validators_of(plan, &liars.chain(plan.rewriters()).collect());
    if liars > bears && plan.expect.violations.is_empty() {
        warnings.push(Warning::TooManyLiars {
            protocol,
            liars,
            bears,
            validators,
        });
    }
    if let Some((at, faulty)) = worst_instant(plan)
        && faulty > bears
        && plan.expect.violations.is_empty()
    {
        warnings.push(Warning::TooManyFaulty {
            protocol,
            at,
            faulty,
            bears,
            validators,
        });
    }
    let journey: Duration = plan.fleet.legs.iter().map(|leg| leg.duration).sum();
    let missing = journey.saturating_sub(plan.duration);
    if plan.fleet.golden.is_some() && !missing.is_zero() {
        warnings.push(Warning::GoldenOnItsWay { missing });
    }
    if plan.network.duplicate_ppm > 0 && plan.network.transport == Transport::InOrder {
        warnings.push(Warning::DuplicatesWithoutEffect);
    }
    warnings
}

/// Members whose validators deviate from the protocol.
fn liars(cheat: &CheatKind) -> Vec<usize> {
    match cheat {
        CheatKind::SilentPrimary(member)
        | CheatKind::EquivocatingPrimary(member)
        | CheatKind::Twins(member) => vec![*member],
        CheatKind::Colluders(members) => members.clone(),
        CheatKind::ForgedReading(_)
        | CheatKind::ReplayedReading(_)
        | CheatKind::RewritesCopy { .. } => Vec::new(),
    }
}

fn validators_of(plan: &Plan, members: &BTreeSet<usize>) -> usize {
    members.iter().map(|m| plan.members[*m].validators).sum()
}

/// When most validators are down or deviate at once, and how many. A crash of whoever leads is taken to
/// hit one that is not faulty yet.
fn worst_instant(plan: &Plan) -> Option<(Time, usize)> {
    let active = |from: Time, until: Option<Time>, now: Time| {
        from <= now && until.is_none_or(|until| now < until)
    };
    let faulty = |now: Time| {
        let cheats = plan.cheats.iter().filter(|c| active(c.at, c.until, now));
        let liars = cheats.flat_map(|cheat| liars(&cheat.kind));
        let lies = plan.rewrites().filter(|l| active(l.since, l.until, now));
        let rewriters = lies.flat_map(|lie| &lie.from).copied();
        let liars: BTreeSet<_> = liars.chain(rewriters).collect();
        let mut crashed = BTreeSet::new();
        let mut leaders = 0;
        for fault in plan.faults.iter().filter(|f| active(f.at, f.until, now)) {
            let FaultKind::Crash(crash) = &fault.kind else {
                continue;
            };
            match crash.target {
                Target::Primary => leaders += 1,
                Target::Member(member) if !liars.contains(&member) => {
                    crashed.insert(member);
                }
                Target::Member(_) => {}
                Target::All => return plan.validators(),
            }
        }
        (validators_of(plan, &liars) + crashed.len() + leaders).min(plan.validators())
    };
    let starts = plan.cheats.iter().map(|cheat| cheat.at);
    let starts = starts.chain(plan.faults.iter().map(|fault| fault.at));
    let starts = starts.chain(plan.rewrites().map(|lie| lie.since));
    starts
        .map(|at| (at, faulty(at)))
        .max_by_key(|(at, faulty)| (*faulty, std::cmp::Reverse(*at)))
}
