//! Quorum arithmetic, votes, tallies and certificates: the only place that counts.
//!
//! Thresholds are written for general n. With f = ⌊(n−1)/3⌋ the Byzantine quorum is
//! q = ⌈(n+f+1)/2⌉; "2f+1" is the same number only when n = 3f+1, and at n = 6 two disjoint halves
//! would both have it.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    cosigned::Cosigned,
    crypto::{Signable, Signature, Signed},
    membership::Committee,
    types::{Digest, NodeId, Seq, View},
};

/// Byzantine members that n can bear: ⌊(n−1)/3⌋.
#[must_use]
pub const fn byzantine_faults(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Byzantine quorum ⌈(n+f+1)/2⌉: any two share at least f+1 members.
#[must_use]
pub const fn byzantine_quorum(n: usize) -> usize {
    (n + byzantine_faults(n) + 1).div_ceil(2)
}

/// Majority ⌊n/2⌋+1: any two share a member.
#[must_use]
pub const fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// More than two thirds, ⌊2n/3⌋+1 = n−f: the quorum of Tendermint and HotStuff.
#[must_use]
pub const fn two_thirds(n: usize) -> usize {
    2 * n / 3 + 1
}

/// How many of n members a decision takes. Protocols differ, and some were shipped with a rule that is
/// wrong for some n.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum QuorumRule {
    /// One machine decides for all.
    One,
    /// ⌊n/2⌋+1: enough where nobody lies.
    Majority,
    /// ⌈(n+f+1)/2⌉: the least that makes two quorums share f+1 members.
    Byzantine,
    /// ⌊2n/3⌋+1 = n−f.
    TwoThirds,
    /// ⌈2n/3⌉, as Quorum and Besu compute it.
    CeilTwoThirds,
    /// 2f+1: what IBFT was shipped with. Unsafe unless n = 3f+1.
    TwoFPlusOne,
}

impl QuorumRule {
    /// Members that a decision takes among n.
    #[must_use]
    pub const fn of(self, n: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Majority => majority(n),
            Self::Byzantine => byzantine_quorum(n),
            Self::TwoThirds => two_thirds(n),
            Self::CeilTwoThirds => (2 * n).div_ceil(3),
            Self::TwoFPlusOne => 2 * byzantine_faults(n) + 1,
        }
    }
}

/// What makes a block final in the eyes of an outsider who knows the committee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FinalityRule {
    /// The phase of the votes.
    pub phase: Phase,
    /// How many of the committee must have voted.
    pub quorum: QuorumRule,
    /// Blocks in a row, the last of which may descend from the block in question, that need a certificate
    /// each, in views that follow each other: 1 where votes make a block final by themselves, 2 or 3 in
    /// chained protocols.
    pub links: usize,
}

/// Which question a vote answers. Each protocol names its own; see their chapters.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize,
)]
pub struct Phase(pub u8);

/// A statement that members sign: in this phase, view and slot, I stand for this digest.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize,
)]
pub struct Vote {
    /// The question.
    pub phase: Phase,
    /// The reign in which it was asked.
    pub view: View,
    /// The slot that it is about.
    pub slot: Seq,
    /// The answer.
    pub digest: Digest,
}

impl Vote {
    /// Bytes on the wire.
    pub const WIRE_LEN: usize = 1 + 8 + 8 + 32;
}

impl Signable for Vote {
    type Signer = NodeId;
    const DOMAIN: &'static str = "vote";
}

/// Bytes of a signed vote on the wire: vote, signer, signature.
pub const SIGNED_VOTE_LEN: usize = Vote::WIRE_LEN + 2 + crate::crypto::SIGNATURE_LEN;

/// One vote by many members: self-certifying, an outsider needs only the committee's keys.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Certificate(Cosigned<Vote>);

/// Why a certificate was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateFault {
    /// Fewer signers than the quorum asked for.
    #[error("{found} signers where {needed} are needed")]
    TooFew {
        /// Signers in it.
        found: usize,
        /// Signers that the rule asks for.
        needed: usize,
    },
    /// Signers must be listed in ascending order, each once.
    #[error("{0} is listed twice or out of order")]
    Repeated(NodeId),
    /// Not in the committee, or the signature is not its own.
    #[error("{0} did not sign this or is not in the committee")]
    NotSigned(NodeId),
}

impl Certificate {
    /// Collects signed votes, which must all say the same thing, into a certificate.
    ///
    /// Signers end up in ascending order; the caller guarantees that they are distinct (a
    /// [`Tally`] does).
    pub fn collect<'a>(votes: impl IntoIterator<Item = &'a Signed<Vote>>) -> Option<Self> {
        let mut votes = votes.into_iter().peekable();
        votes.peek()?;
        let mut all = Cosigned::collect(votes).expect("a certificate holds one statement");
        all.signatures.sort_unstable_by_key(|(signer, _)| *signer);
        Some(Self(all))
    }

    /// The statement.
    pub fn vote(&self) -> &Vote {
        &self.0.body
    }

    /// Who signed it, ascending.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.0.signers()
    }

    /// Checks that at least `needed` distinct members of `committee` signed the statement.
    pub fn verify(&self, committee: &Committee, needed: usize) -> Result<(), CertificateFault> {
        self.verify_distinct()?;
        self.verify_signatures(committee, needed)
    }

    /// How many distinct members of `committee` signed it; others may have, too.
    pub(crate) fn known_signers(&self, committee: &Committee) -> usize {
        let known = self.0.checked(committee).filter(|(_, signed)| *signed);
        let distinct: BTreeSet<_> = known.map(|(signer, _)| signer).collect();
        distinct.len()
    }

    /// The part of [`Certificate::verify`] that counts each signer once.
    pub(crate) fn verify_distinct(&self) -> Result<(), CertificateFault> {
        let mut pairs = self.0.signatures.windows(2);
        match pairs.find(|pair| pair[0].0 >= pair[1].0) {
            Some(pair) => Err(CertificateFault::Repeated(pair[1].0)),
            None => Ok(()),
        }
    }

    /// The part of [`Certificate::verify`] that looks at each signature.
    pub(crate) fn verify_signatures(
        &self,
        committee: &Committee,
        needed: usize,
    ) -> Result<(), CertificateFault> {
        let found = self.0.signatures.len();
        if found < needed {
            return Err(CertificateFault::TooFew { found, needed });
        }
        match self.0.checked(committee).find(|(_, signed)| !signed) {
            Some((signer, _)) => Err(CertificateFault::NotSigned(signer)),
            None => Ok(()),
        }
    }

    /// These signatures under another statement, as a liar would stitch it together. They are made
    /// bytes first, so that they are about what they were about and nothing else.
    #[must_use]
    pub fn misquoted(&self, vote: Vote) -> Self {
        let about = |(signer, signature): &(NodeId, Signature)| {
            (*signer, signature.in_bytes(signer, self.vote()))
        };
        Self(Cosigned {
            body: vote,
            signatures: self.0.signatures.iter().map(about).collect(),
        })
    }

    /// One member's word as many times as a liar likes.
    #[must_use]
    pub fn repeating(word: &Signed<Vote>, times: usize) -> Self {
        let signature = (word.signer(), word.signature().clone());
        Self(Cosigned {
            body: *word.body(),
            signatures: vec![signature; times],
        })
    }

    /// The first so many of these signatures.
    #[must_use]
    pub fn cut_to(&self, signers: usize) -> Self {
        Self(Cosigned {
            body: *self.vote(),
            signatures: self.0.signatures.iter().take(signers).cloned().collect(),
        })
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        Vote::WIRE_LEN + self.0.signatures_len()
    }
}

/// What a tally says to a vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// The first from this member; this many members now say the same.
    New(usize),
    /// The member said the same before.
    Again,
    /// The member said something else before: evidence of equivocation. The first word stands.
    Conflicting,
}

/// Counts one vote a member for one phase, view and slot. Distinct senders, never messages.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By position in the committee.
    votes: Vec<Option<Signed<Vote>>>,
    /// How many say what; honest runs have one entry.
    counts: Vec<(Digest, usize)>,
    /// Votes that came again, where a planted bug counts them.
    #[cfg(feature = "mutants")]
    again: Vec<Signed<Vote>>,
}

impl Tally {
    /// Counts a vote whose signature the caller has checked. Outsiders' votes are the caller's to
    /// refuse: it panics on a signer that is not in the committee.
    pub fn add(&mut self, committee: &Committee, vote: &Signed<Vote>) -> Counted {
        let position = committee
            .position(vote.signer())
            .expect("the caller checked membership");
        if self.votes.is_empty() {
            self.votes.resize(committee.n(), None);
        }
        let digest = vote.body().digest;
        match &self.votes[position] {
            Some(earlier) if earlier.body().digest == digest => Counted::Again,
            Some(_) => Counted::Conflicting,
            None => {
                self.votes[position] = Some(vote.clone());
                Counted::New(self.count_up(digest))
            }
        }
    }

    /// Planted bug: counts a vote that the member has cast before.
    #[cfg(feature = "mutants")]
    pub(crate) fn add_again(&mut self, vote: &Signed<Vote>) -> Counted {
        self.again.push(vote.clone());
        Counted::New(self.count_up(vote.body().digest))
    }

    fn count_up(&mut self, digest: Digest) -> usize {
        if let Some((_, count)) = self.counts.iter_mut().find(|(said, _)| *said == digest) {
            *count += 1;
            return *count;
        }
        self.counts.push((digest, 1));
        1
    }

    /// How many members stand for `digest`.
    pub fn count(&self, digest: &Digest) -> usize {
        self.counts
            .iter()
            .find(|(said, _)| said == digest)
            .map_or(0, |(_, count)| *count)
    }

    /// What has at least `needed` members behind it, if anything has.
    pub fn leading(&self, needed: usize) -> Option<Digest> {
        self.counts
            .iter()
            .find(|(_, count)| *count >= needed)
            .map(|(digest, _)| *digest)
    }

    /// What the member at this place in the committee said.
    pub fn vote_of(&self, position: usize) -> Option<&Signed<Vote>> {
        self.votes.get(position)?.as_ref()
    }

    /// The certificate for `digest`, from the first `needed` members in turn order that stand for it.
    pub fn certificate(&self, digest: &Digest, needed: usize) -> Option<Certificate> {
        if self.count(digest) < needed {
            return None;
        }
        let votes = self.votes.iter().flatten();
        #[cfg(feature = "mutants")]
        let votes = votes.chain(&self.again);
        Certificate::collect(
            votes
                .filter(|vote| vote.body().digest == *digest)
                .take(needed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_match_the_published_table() {
        // reference: n -> (f, q) for PBFT, QBFT and Simplex.
        let table = [
            (4, 1, 3),
            (5, 1, 4),
            (6, 1, 4),
            (7, 2, 5),
            (10, 3, 7),
            (31, 10, 21),
        ];
        for (n, f, q) in table {
            assert_eq!(
                (byzantine_faults(n), byzantine_quorum(n)),
                (f, q),
                "n = {n}"
            );
        }
    }

    #[test]
    fn rules_of_thumb_agree_where_they_should_and_differ_where_it_hurts() {
        for n in 3..=39 {
            let q = byzantine_quorum(n);
            assert_eq!(QuorumRule::CeilTwoThirds.of(n), q, "n = {n}");
            assert_eq!(QuorumRule::TwoThirds.of(n), n - byzantine_faults(n));
            assert_eq!(QuorumRule::TwoThirds.of(n) > q, n % 3 == 0, "n = {n}");
        }
        // Two disjoint halves of six would each be a quorum.
        assert_eq!(QuorumRule::TwoFPlusOne.of(6), 3);
    }

    #[test]
    fn two_quorums_share_an_honest_member_and_the_rest_can_form_one() {
        for n in 1..=1000 {
            let (f, q) = (byzantine_faults(n), byzantine_quorum(n));
            assert!(2 * q > n + f, "n = {n}: two quorums may share only liars");
            assert!(q <= n - f, "n = {n}: {f} silent members would stop it");
        }
    }
}
