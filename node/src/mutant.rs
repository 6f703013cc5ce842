//! Bugs that are planted on purpose, to see that the invariants find them.
//!
//! Each breaks one rule of its protocol, at the place of that rule, and is one that implementations really
//! had or could have. They are compiled in with the feature `mutants` only; without it [`Planted::is`] is
//! a constant `false`, and the optimiser removes what hangs on it. A node carries one bug at most.

use std::fmt;

#[cfg(feature = "mutants")]
use crate::codec;
use crate::{
    crypto::Signed,
    membership::Committee,
    quorum::{Counted, Tally, Vote},
    types::Digest,
};

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// R8: prepared is what one backup fewer than needed agreed to.
    PreparedWithOneLess = 1,
    /// R7, R8: the primary says PREPARE too, and that counts among those of the backups.
    PrimaryPrepareCounts,
    /// R8, R9: PREPAREs and COMMITs count for a slot whatever digest they name.
    DigestNotCompared,
    /// R9: f+1 COMMITs decide a slot.
    CommitWithWeakQuorum,
    /// R8, R9: votes are counted by message, not by sender.
    VotesCountedPerMessage,
    /// R19: VIEW-CHANGE carries nothing that was prepared.
    ViewChangeOmitsPrepared,
    /// R20: VIEW-CHANGE carries only what was prepared in the view that it leaves.
    PreparedOfLastViewOnly,
    /// R22: of several prepared proofs for a slot the one of the lowest view is chosen.
    NewViewTakesLowest,
    /// R23: backups take over what a NEW-VIEW proposes without computing it themselves.
    NewViewNotVerified,
    /// R8, R14, R21: a certificate may list one signer again and again.
    RepeatedSignerAccepted,
    /// R33: nobody joins a view change.
    JoinRuleRemoved,
    /// R33: f VIEW-CHANGEs are enough to join, so a liar moves everybody.
    JoinWithOneLess,
    /// R32: timeouts do not grow from one view change to the next.
    TimerNotDoubled,
    /// R15: the high watermark is one slot too high.
    WatermarkOffByOne,
    /// R14: f+1 CHECKPOINTs make a checkpoint stable.
    CheckpointWithWeakQuorum,
    /// R16: slots are thrown away upon one's own CHECKPOINT.
    CollectedBeforeStable,
    /// R5, R39: which numbers of a party were executed does not survive a restart.
    ReplayWindowForgotten,
    /// R12: what a step sends leaves before what it wrote is durable.
    SentBeforeDurable,
    /// R38: final blocks of a peer are believed without proof.
    StateTransferTrustsOnePeer,
    /// R16: a proposal above the high watermark is dropped, and never sent again.
    BeyondWindowDropped,
    /// Raft: a member votes for a candidate whose log is behind its own.
    VoteWithoutLogCheck,
    /// Raft: a leader commits an entry of an earlier term by counting its copies (Figure 8).
    CommitsOlderTermByCount,
    /// Raft: a vote is not written to the log before it is sent.
    VoteNotPersisted,
    /// Raft: a follower keeps entries that contradict the leader's.
    ConflictingSuffixKept,
    /// Raft: a leader changes the members before it has committed an entry of its term.
    ChangeBeforeOwnTermCommit,
    /// Raft: a leader answers without having asked a quorum whether it still leads.
    ReadWithoutQuorum,
    /// IBFT: the lock on a prepared block is forgotten at a round change.
    LockDropped,
    /// IBFT: a lock outlives the height for which it was taken.
    LockNeverReleased,
    /// QBFT: a proposal of a later round is accepted without the prepared certificate that it needs.
    RoundChangeUnjustified,
    /// IBFT: 2f+1 votes decide, however many members there are.
    QuorumTwoFPlusOne,
    /// IBFT: a round timer that expires after the decision still asks for a round change.
    ExpiryAfterImport,
    /// Tendermint: there is no valid value: a proposer does not take over what it saw two thirds prevote for.
    PolkaNotRelayed,
    /// Tendermint: a locked validator prevotes for another value.
    PrevoteWhileLocked,
    /// HotStuff: two certified blocks in a row commit, under the locking rule of three.
    TwoChainCommit,
    /// HotStuff: a proposal is safe if its certificate is as old as the lock.
    SafeNodeEqualView,
    /// HotStuff: a quorum certificate may list one signer again and again.
    RepeatedSignerInCertificate,
    /// HotStuff: certified blocks commit although their views do not follow each other.
    GapInChainCommits,
}

impl Mutant {
    /// All of them, by their numbers.
    pub const ALL: [Self; 37] = [
        Self::PreparedWithOneLess,
        Self::PrimaryPrepareCounts,
        Self::DigestNotCompared,
        Self::CommitWithWeakQuorum,
        Self::VotesCountedPerMessage,
        Self::ViewChangeOmitsPrepared,
        Self::PreparedOfLastViewOnly,
        Self::NewViewTakesLowest,
        Self::NewViewNotVerified,
        Self::RepeatedSignerAccepted,
        Self::JoinRuleRemoved,
        Self::JoinWithOneLess,
        Self::TimerNotDoubled,
        Self::WatermarkOffByOne,
        Self::CheckpointWithWeakQuorum,
        Self::CollectedBeforeStable,
        Self::ReplayWindowForgotten,
        Self::SentBeforeDurable,
        Self::StateTransferTrustsOnePeer,
        Self::BeyondWindowDropped,
        Self::VoteWithoutLogCheck,
        Self::CommitsOlderTermByCount,
        Self::VoteNotPersisted,
        Self::ConflictingSuffixKept,
        Self::ChangeBeforeOwnTermCommit,
        Self::ReadWithoutQuorum,
        Self::LockDropped,
        Self::LockNeverReleased,
        Self::RoundChangeUnjustified,
        Self::QuorumTwoFPlusOne,
        Self::ExpiryAfterImport,
        Self::PolkaNotRelayed,
        Self::PrevoteWhileLocked,
        Self::TwoChainCommit,
        Self::SafeNodeEqualView,
        Self::RepeatedSignerInCertificate,
        Self::GapInChainCommits,
    ];

    /// Its number, from 1.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// As scenarios write it.
    pub const fn name(self) -> &'static str {
        self.label().0
    }

    /// The rule that it breaks.
    pub const fn rule(self) -> &'static str {
        self.label().1
    }

    /// The protocol whose rule that is, as scenarios write it.
    pub const fn protocol(self) -> &'static str {
        match self.number() {
            ..=20 => "pbft",
            21..=26 => "raft",
            27 | 28 | 30 | 31 => "ibft",
            29 => "qbft",
            32 | 33 => "tendermint",
            _ => "hotstuff",
        }
    }

    const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::PreparedWithOneLess => ("prepared-with-one-less", "R8"),
            Self::PrimaryPrepareCounts => ("primary-prepare-counts", "R7, R8"),
            Self::DigestNotCompared => ("digest-not-compared", "R8, R9"),
            Self::CommitWithWeakQuorum => ("commit-with-weak-quorum", "R9"),
            Self::VotesCountedPerMessage => ("votes-counted-per-message", "R8, R9"),
            Self::ViewChangeOmitsPrepared => ("view-change-omits-prepared", "R19"),
            Self::PreparedOfLastViewOnly => ("prepared-of-last-view-only", "R20"),
            Self::NewViewTakesLowest => ("new-view-takes-lowest", "R22"),
            Self::NewViewNotVerified => ("new-view-not-verified", "R23"),
            Self::RepeatedSignerAccepted => ("repeated-signer-accepted", "R8, R14, R21"),
            Self::JoinRuleRemoved => ("join-rule-removed", "R33"),
            Self::JoinWithOneLess => ("join-with-one-less", "R33"),
            Self::TimerNotDoubled => ("timer-not-doubled", "R32"),
            Self::WatermarkOffByOne => ("watermark-off-by-one", "R15"),
            Self::CheckpointWithWeakQuorum => ("checkpoint-with-weak-quorum", "R14"),
            Self::CollectedBeforeStable => ("collected-before-stable", "R16"),
            Self::ReplayWindowForgotten => ("replay-window-forgotten", "R5, R39"),
            Self::SentBeforeDurable => ("sent-before-durable", "R12"),
            Self::StateTransferTrustsOnePeer => ("state-transfer-trusts-one-peer", "R38"),
            Self::BeyondWindowDropped => ("beyond-window-dropped", "R16"),
            Self::VoteWithoutLogCheck => ("vote-without-log-check", "Raft"),
            Self::CommitsOlderTermByCount => ("commits-older-term-by-count", "Raft"),
            Self::VoteNotPersisted => ("vote-not-persisted", "Raft"),
            Self::ConflictingSuffixKept => ("conflicting-suffix-kept", "Raft"),
            Self::ChangeBeforeOwnTermCommit => ("change-before-own-term-commit", "Raft"),
            Self::ReadWithoutQuorum => ("read-without-quorum", "Raft"),
            Self::LockDropped => ("lock-dropped", "IBFT"),
            Self::LockNeverReleased => ("lock-never-released", "IBFT"),
            Self::RoundChangeUnjustified => ("round-change-unjustified", "QBFT"),
            Self::QuorumTwoFPlusOne => ("quorum-2f-plus-one", "IBFT"),
            Self::ExpiryAfterImport => ("expiry-after-import", "IBFT"),
            Self::PolkaNotRelayed => ("polka-not-relayed", "Tendermint"),
            Self::PrevoteWhileLocked => ("prevote-while-locked", "Tendermint"),
            Self::TwoChainCommit => ("two-chain-commit", "HotStuff"),
            Self::SafeNodeEqualView => ("safe-node-equal-view", "HotStuff"),
            Self::RepeatedSignerInCertificate => ("repeated-signer-in-certificate", "HotStuff"),
            Self::GapInChainCommits => ("gap-in-chain-commits", "HotStuff"),
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which bug a node carries; usually none, and without the feature `mutants` always none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted {
    #[cfg(feature = "mutants")]
    bug: Option<Mutant>,
}

impl Planted {
    /// Honest code.
    pub const NOTHING: Self = Self {
        #[cfg(feature = "mutants")]
        bug: None,
    };

    /// A node with this bug.
    #[cfg(feature = "mutants")]
    pub const fn one(bug: Mutant) -> Self {
        Self { bug: Some(bug) }
    }

    /// Whether this bug is planted here.
    #[cfg(feature = "mutants")]
    pub fn is(self, bug: Mutant) -> bool {
        self.bug == Some(bug)
    }

    /// Whether this bug is planted here: it cannot be.
    #[cfg(not(feature = "mutants"))]
    pub const fn is(self, _bug: Mutant) -> bool {
        false
    }

    /// R8, R9: counts a vote for a slot whose proposal is `claimed`, if there is one.
    #[cfg(not(feature = "mutants"))]
    #[expect(
        clippy::unused_self,
        reason = "callers need not know how this was built"
    )]
    pub(crate) fn tally(
        self,
        tally: &mut Tally,
        committee: &Committee,
        vote: &Signed<Vote>,
        _claimed: Option<Digest>,
    ) -> Counted {
        tally.add(committee, vote)
    }

    /// R8, R9: counts a vote for a slot whose proposal is `claimed`, if there is one. With a bug, it
    /// passes for a vote for that, or counts however often it comes.
    #[cfg(feature = "mutants")]
    pub(crate) fn tally(
        self,
        tally: &mut Tally,
        committee: &Committee,
        vote: &Signed<Vote>,
        claimed: Option<Digest>,
    ) -> Counted {
        let counted = match claimed {
            Some(digest) if self.is(Mutant::DigestNotCompared) => {
                let mut bytes = codec::encode(vote);
                bytes[Vote::WIRE_LEN - 32..Vote::WIRE_LEN].copy_from_slice(&digest.0);
                let twisted = codec::decode(&bytes).expect("a vote with another digest");
                tally.add(committee, &twisted)
            }
            _ => tally.add(committee, vote),
        };
        if counted == Counted::Again && self.is(Mutant::VotesCountedPerMessage) {
            return tally.add_again(vote);
        }
        counted
    }

    /// One if this bug is planted here, otherwise zero: for thresholds.
    pub fn count(self, bug: Mutant) -> usize {
        usize::from(self.is(bug))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_distinct_and_in_order() {
        for (number, mutant) in (1..).zip(Mutant::ALL) {
            assert_eq!(mutant.number(), number);
            let same = |other: &&Mutant| other.name() == mutant.name();
            assert_eq!(Mutant::ALL.iter().filter(same).count(), 1);
            assert!(!Planted::NOTHING.is(mutant));
        }
    }
}
