//! How many are enough, for what, and when a certificate holds: the thresholds of the paper's rules for
//! general n. A planted bug that is about a number is planted here.

use crate::{
    membership::Committee,
    mutant::{Mutant, Planted},
    quorum::{Certificate, FinalityRule, QuorumRule},
    types::{Epoch, Seq},
};

use super::{COMMIT, Pbft, log::Log};

/// A quorum of COMMITs makes a block final.
pub const FINALITY: FinalityRule = FinalityRule {
    phase: COMMIT,
    quorum: QuorumRule::Byzantine,
    links: 1,
};

/// What the messages of an epoch are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Its number: a message of another one proves nothing here.
    pub(super) epoch: Epoch,
    /// Who decides in it.
    pub(super) committee: &'a Committee,
    /// Where its slots begin. All replicas of the epoch have executed it, so it needs no proof.
    pub(super) base: Seq,
    /// L.
    pub(super) window: u64,
    /// What is wrong on purpose.
    pub(super) planted: Planted,
}

impl Rules<'_> {
    /// PREPAREs of distinct backups that make prepared (R8): the paper's 2f.
    pub(super) fn prepares(self) -> usize {
        self.committee.quorum() - 1 - self.planted.count(Mutant::PreparedWithOneLess)
    }

    /// COMMITs that decide a slot (R9): the paper's 2f+1.
    pub(super) fn commits(self) -> usize {
        self.quorum_unless(Mutant::CommitWithWeakQuorum)
    }

    /// CHECKPOINTs that make a checkpoint stable (R14): the paper's 2f+1.
    pub(super) fn checkpoints(self) -> usize {
        self.quorum_unless(Mutant::CheckpointWithWeakQuorum)
    }

    /// VIEW-CHANGEs for later views that one joins (R33): f+1.
    pub(super) fn joins(self) -> usize {
        if self.planted.is(Mutant::JoinRuleRemoved) {
            return usize::MAX;
        }
        self.committee.weak_quorum() - self.planted.count(Mutant::JoinWithOneLess)
    }

    /// Whether so many distinct members signed a statement.
    pub(super) fn hold(self, certificate: &Certificate, needed: usize) -> bool {
        let repeats = self.planted.is(Mutant::RepeatedSignerAccepted)
            || self.planted.is(Mutant::VotesCountedPerMessage);
        let all = certificate
            .verify_signatures(self.committee, needed)
            .is_ok();
        all && (repeats || certificate.verify_distinct().is_ok())
    }

    fn quorum_unless(self, mutant: Mutant) -> usize {
        if self.planted.is(mutant) {
            self.committee.weak_quorum()
        } else {
            self.committee.quorum()
        }
    }
}

impl Pbft {
    /// The same replica with a bug.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        let slip = planted.count(Mutant::WatermarkOffByOne) as u64;
        self.log = Log::new(self.config.window + slip);
        self.planted = planted;
        self
    }
}
