//! Who is guilty of a fork: what the votes themselves say.
//!
//! A pure function over votes of one height that anybody collected. It follows the accountability analysis
//! of Buchman, Kwon and Milosevic (§4 of arXiv 1807.04938 and CometBFT's light-client specification), where
//! forks come from equivocation or from amnesia, and adds the third way to break Algorithm 1 in votes
//! alone: a PRECOMMIT without its polka.
//!
//! *Enough*: let a quorum precommit v in round r, another v' in r' ≥ r, and let s be the first round at or
//! after r with a polka for a block other than v.
//! If there is none up to r', then all who precommitted v' did so without a polka. If s > r, the polka of
//! s shares at least 2q−n ≥ f+1 members with the PRECOMMITs of r; each of them precommitted v and later
//! prevoted another block with no polka for it in between. If s = r, either those who precommitted v in r
//! had no polka, or two polkas of one round share f+1 members.
//!
//! *Nobody honest*: an honest member votes once a round and kind; precommits a block upon a polka of
//! that round; and prevotes another block than the one that it precommitted only upon a polka for it of
//! that round or a later one (TM2, TM3). Each of those polkas was seen by it. So the votes that are judged
//! must include all that the honest members have seen, which they hand in when a fork is found.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    crypto::Signed,
    membership::Committee,
    quorum::{Certificate, QuorumRule, Vote},
    types::{Digest, NodeId, Seq, View},
};

use super::message::{NIL, PRECOMMIT, PREVOTE};

/// How a member broke the algorithm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Guilt {
    /// It signed two different votes of one kind in this round.
    Equivocation(View),
    /// It precommitted a block in this round without a polka for it.
    Unfounded(View),
    /// It precommitted a block in one round, and prevoted another one in a later round without a polka
    /// for that in between.
    Amnesia {
        /// The round in which it was locked.
        locked: View,
        /// The round in which it forgot.
        forgot: View,
    },
}

/// Votes of one height, each once, whose signatures were checked.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    committee: &'a Committee,
    height: Seq,
    /// By round and digest, who stands for it.
    prevotes: BTreeMap<(View, Digest), BTreeSet<NodeId>>,
    precommits: BTreeMap<(View, Digest), BTreeSet<NodeId>>,
}

impl<'a> Evidence<'a> {
    /// None yet.
    pub fn new(committee: &'a Committee, height: Seq) -> Self {
        Self {
            committee,
            height,
            prevotes: BTreeMap::new(),
            precommits: BTreeMap::new(),
        }
    }

    /// Adds a vote. What is about another height, or was not signed by a member, proves nothing.
    pub fn add(&mut self, vote: &Signed<Vote>) {
        if self.committee.verify(vote) {
            self.note(vote.body(), vote.signer());
        }
    }

    /// Adds the votes in a certificate, unless one of them is not genuine.
    pub fn add_certificate(&mut self, certificate: &Certificate) {
        if certificate.verify(self.committee, 1).is_ok() {
            for signer in certificate.signers() {
                self.note(certificate.vote(), signer);
            }
        }
    }

    fn note(&mut self, vote: &Vote, signer: NodeId) {
        let votes = match vote.phase {
            PREVOTE => &mut self.prevotes,
            PRECOMMIT => &mut self.precommits,
            _ => return,
        };
        if vote.slot == self.height {
            let said = votes.entry((vote.view, vote.digest)).or_default();
            said.insert(signer);
        }
    }

    fn quorum(&self) -> usize {
        QuorumRule::TwoThirds.of(self.committee.n())
    }

    /// The blocks that a quorum precommitted: two of them are a fork.
    pub fn decided(&self) -> BTreeSet<Digest> {
        let decided = self.precommits.iter();
        let decided = decided
            .filter(|((_, digest), signers)| *digest != NIL && signers.len() >= self.quorum());
        decided.map(|((_, digest), _)| *digest).collect()
    }

    /// Whether a block had a polka in a round of this range.
    fn has_polka(&self, digest: Digest, from: View, to: View) -> bool {
        let of_it = self
            .prevotes
            .iter()
            .filter(|((view, said), _)| *said == digest && (from..=to).contains(view));
        of_it
            .into_iter()
            .any(|(_, signers)| signers.len() >= self.quorum())
    }

    /// Who broke the algorithm, and how. If there is a fork these are at least f+1.
    pub fn guilty(&self) -> BTreeMap<NodeId, BTreeSet<Guilt>> {
        let mut guilty: BTreeMap<NodeId, BTreeSet<Guilt>> = BTreeMap::new();
        let mut blame = |node: NodeId, guilt| {
            guilty.entry(node).or_default().insert(guilt);
        };
        for votes in [&self.prevotes, &self.precommits] {
            let mut seen = BTreeSet::new();
            for ((view, _), signers) in votes {
                for node in signers.iter().filter(|node| !seen.insert((*view, **node))) {
                    blame(*node, Guilt::Equivocation(*view));
                }
            }
        }
        for ((locked, block), signers) in &self.precommits {
            if *block == NIL {
                continue;
            }
            if !self.has_polka(*block, *locked, *locked) {
                for node in signers {
                    blame(*node, Guilt::Unfounded(*locked));
                }
            }
            for ((forgot, other), voters) in self.prevotes.range((locked.next(), NIL)..) {
                let freed = View(forgot.0.saturating_sub(1));
                if [NIL, *block].contains(other) || self.has_polka(*other, *locked, freed) {
                    continue;
                }
                let (locked, forgot) = (*locked, *forgot);
                for node in voters.intersection(signers) {
                    blame(*node, Guilt::Amnesia { locked, forgot });
                }
            }
        }
        guilty
    }
}
