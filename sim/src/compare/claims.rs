//! What a protocol claims to bear, and whether a run broke it.

use std::fmt;

use consortium_node::{
    engine::{FaultModel, ReplyRule},
    node::Claims,
};
use serde::Serialize;

use crate::{
    invariant::acknowledged_never_lost,
    metrics::{
        Summary,
        summary::{VerdictKind, VerdictStatus},
        tolerance::Tolerance,
    },
    scenario::plan::{CrashPlan, DiskFate, FaultKind, Plan, Standing, Target},
};

/// When a submitter calls a reading final.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// At one signed receipt.
    OneReceipt,
    /// At f+1 equal receipts.
    EqualReceipts,
    /// At the commit event of its own peer.
    CommitEvent,
    /// When so many blocks are on top: it may still be taken back.
    Confirmations(u64),
}

impl Finality {
    /// What the protocol's rule is.
    pub fn of(claims: &Claims) -> Self {
        match claims.reply {
            ReplyRule::One => Self::OneReceipt,
            ReplyRule::WeakQuorum => Self::EqualReceipts,
            ReplyRule::Commit => Self::CommitEvent,
            ReplyRule::Depth(k) => Self::Confirmations(k),
        }
    }

    /// Whether what is final stays final.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Confirmations(_))
    }
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneReceipt => write!(f, "one receipt"),
            Self::EqualReceipts => write!(f, "f+1 receipts"),
            Self::CommitEvent => write!(f, "commit event"),
            Self::Confirmations(k) => write!(f, "{k} confirmations"),
        }
    }
}

/// Validators that may fail, by how they fail and what must survive it. `None`: nothing is claimed, not
/// even when none fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Claimed {
    /// Crashes under which histories never part.
    pub crashes_safe: Option<usize>,
    /// Crashes under which work goes on.
    pub crashes_live: Option<usize>,
    /// Liars under which histories never part.
    pub liars_safe: Option<usize>,
    /// Liars under which work goes on.
    pub liars_live: Option<usize>,
}

impl Claimed {
    /// What a protocol claims with these validators.
    pub fn of(claims: &Claims, tolerance: &Tolerance) -> Self {
        let (all, spare) = (Some(tolerance.n), Some(tolerance.spare));
        let liars = match (claims.faults, claims.reply) {
            (_, ReplyRule::Depth(_)) => None,
            (FaultModel::Byzantine, _) => Some(tolerance.f),
            (FaultModel::Crash | FaultModel::Trusted, _) => Some(0),
        };
        Self {
            crashes_safe: liars.and(all),
            crashes_live: spare,
            liars_safe: liars,
            liars_live: liars,
        }
    }
}

/// A claim that a run broke.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Breach {
    /// What kind of claim.
    pub kind: VerdictKind,
    /// The invariant that showed it.
    pub invariant: String,
    /// What happened.
    pub detail: String,
}

/// How a run came out.
pub fn standing(summary: &Summary) -> Standing {
    let violated = |kind| {
        let mut rows = summary.verdicts.iter();
        rows.any(|row| row.kind == kind && row.status == VerdictStatus::Violated)
    };
    if violated(VerdictKind::Safety) || summary.retracted_after_relied_blocks > 0 {
        Standing::Forked
    } else if violated(VerdictKind::Liveness) || summary.pending > 0 {
        Standing::Stalled
    } else {
        Standing::Safe
    }
}

/// Which invariants say so, or what does.
pub fn grounds(summary: &Summary) -> Vec<String> {
    let violated = summary.verdicts.iter();
    let violated = violated.filter(|row| row.status == VerdictStatus::Violated);
    let mut grounds: Vec<String> = violated.map(|row| row.name.clone()).collect();
    if summary.retracted_after_relied_blocks > 0 {
        grounds.push("relied-on blocks retracted".to_owned());
    }
    if grounds.is_empty() && summary.pending > 0 {
        grounds.push("nobody could go on".to_owned());
    }
    grounds
}

/// The claims that a run broke, but for violations that its author expects. `liars` is how many
/// validators lied at some time.
pub fn breaches(summary: &Summary, plan: &Plan, claimed: Claimed, liars: usize) -> Vec<Breach> {
    let doubtful = liars + forgetful(plan);
    // Without finality only history is unclaimed: the bounds of the model hold for everything else.
    let bound = claimed.liars_safe.unwrap_or(summary.faulty);
    if doubtful > bound {
        return Vec::new();
    }
    let violated = summary.verdicts.iter().filter(|row| {
        let history = row.name == acknowledged_never_lost::NAME;
        row.status == VerdictStatus::Violated
            && !plan.expect.violations.contains(&row.name)
            && !(history && claimed.liars_safe.is_none())
    });
    let breaches = violated.map(|row| Breach {
        kind: row.kind,
        invariant: row.name.clone(),
        detail: row.detail.first().cloned().unwrap_or_default(),
    });
    breaches.collect()
}

/// Validators that some fault of the plan leaves with less than they had made durable: they may say
/// again, otherwise, what they said before.
fn forgetful(plan: &Plan) -> usize {
    let count = |crash: &CrashPlan| match (crash.disk, crash.target) {
        (DiskFate::Torn | DiskFate::Kept, _) => 0,
        (_, Target::All) => plan.validators(),
        (_, Target::Primary | Target::Member(_)) => 1,
    };
    let faults = plan.faults.iter().map(|fault| match &fault.kind {
        FaultKind::Crash(crash) => count(crash),
        _ => 0,
    });
    faults.sum::<usize>().min(plan.validators())
}
