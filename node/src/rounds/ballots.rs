//! The votes of one phase at one height, by round.

use std::collections::BTreeMap;

use crate::{
    crypto::Signed,
    engine::Refusal,
    membership::Committee,
    quorum::{Certificate, Counted, Tally, Vote},
    types::Digest,
};

/// Rounds ahead of the present one in which a member may have voted.
const AHEAD: usize = 8;
/// Rounds behind the present one whose votes still count.
const BEHIND: u64 = 4;

/// The votes of one phase at one height. What a liar says about rounds that nobody is in is bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ballots {
    rounds: BTreeMap<u64, Tally>,
}

impl Ballots {
    /// Counts a member's vote, whose signature was checked, while `present` is the round here.
    pub(crate) fn add(
        &mut self,
        committee: &Committee,
        vote: &Signed<Vote>,
        present: u64,
    ) -> Result<Counted, Refusal> {
        let round = vote.body().view.round();
        if round.saturating_add(BEHIND) < present {
            return Err(Refusal::Stale);
        }
        let position = committee.position(vote.signer());
        let position = position.expect("the caller checked membership");
        let ahead = self.rounds.range(present.saturating_add(1)..);
        let others =
            ahead.filter(|(other, tally)| **other != round && tally.vote_of(position).is_some());
        if round > present && others.count() >= AHEAD {
            return Err(Refusal::TooFar);
        }
        let tally = self.rounds.entry(round).or_default();
        Ok(tally.add(committee, vote))
    }

    /// Forgets rounds that are too long over.
    pub(crate) fn prune(&mut self, present: u64) {
        self.rounds = self.rounds.split_off(&present.saturating_sub(BEHIND));
    }

    /// The tally of a round.
    pub(crate) fn round(&self, round: u64) -> Option<&Tally> {
        self.rounds.get(&round)
    }

    /// Rounds in which so many stand for one thing, with the certificate of it; the latest first.
    pub(crate) fn certificate(&self, needed: usize) -> Option<Certificate> {
        let latest_first = self.rounds.values().rev();
        let mut certificates =
            latest_first.filter_map(|tally| tally.certificate(&tally.leading(needed)?, needed));
        certificates.next()
    }

    /// The certificate of this digest in this round.
    pub(crate) fn certificate_of(
        &self,
        round: u64,
        digest: &Digest,
        needed: usize,
    ) -> Option<Certificate> {
        self.round(round)?.certificate(digest, needed)
    }
}
