//! What is known about one round of the present height.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    crypto::Signed,
    membership::Committee,
    quorum::{Certificate, Counted, Tally, Vote},
    types::{Digest, NodeId},
};

use super::message::{Claim, NIL};

/// One kind of vote in one round.
#[derive(Debug, Default)]
pub(super) struct Votes {
    tally: Tally,
    /// How many members voted, whatever they said.
    voters: usize,
    /// A quorum's word for one block that came as a whole: it may hold votes of those who told us
    /// something else.
    certificate: Option<Arc<Certificate>>,
}

impl Votes {
    /// Counts a vote of a member.
    pub(super) fn add(&mut self, committee: &Committee, vote: &Signed<Vote>) -> Counted {
        let counted = self.tally.add(committee, vote);
        if let Counted::New(_) = counted {
            self.voters += 1;
        }
        counted
    }

    /// Takes a certificate that the caller has checked; the first stands.
    pub(super) fn certify(&mut self, certificate: &Arc<Certificate>) -> bool {
        let new = self.certificate.is_none();
        if new {
            self.certificate = Some(Arc::clone(certificate));
        }
        new
    }

    pub(super) fn voters(&self) -> usize {
        self.voters
    }

    /// What a quorum said.
    pub(super) fn decided(&self, quorum: usize) -> Option<Digest> {
        let certified = self.certificate.as_ref().map(|one| one.vote().digest);
        certified.or_else(|| self.tally.leading(quorum))
    }

    /// The block that a quorum stands for.
    pub(super) fn block(&self, quorum: usize) -> Option<Digest> {
        self.decided(quorum).filter(|digest| *digest != NIL)
    }

    /// The quorum's word for what it [`Votes::decided`].
    pub(super) fn certificate(&self, quorum: usize) -> Option<Arc<Certificate>> {
        self.certificate.clone().or_else(|| {
            let digest = self.tally.leading(quorum)?;
            self.tally.certificate(&digest, quorum).map(Arc::new)
        })
    }

    pub(super) fn of(&self, position: usize) -> Option<&Signed<Vote>> {
        self.tally.vote_of(position)
    }

    /// Whose votes are here, a bit for each of n places.
    pub(super) fn bits(&self, n: usize) -> Vec<u8> {
        let mut bits = vec![0_u8; n.div_ceil(8)];
        for position in (0..n).filter(|position| self.of(*position).is_some()) {
            bits[position / 8] |= 1 << (position % 8);
        }
        bits
    }
}

/// Whether a report's bits name this place.
pub(super) fn has(bits: &[u8], position: usize) -> bool {
    let byte = bits.get(position / 8).copied().unwrap_or(0);
    byte & (1 << (position % 8)) != 0
}

/// A round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The proposer's first word.
    pub(super) claim: Option<Signed<Claim>>,
    /// The paper's valid(v), once the host has said.
    pub(super) verdict: Option<bool>,
    pub(super) prevotes: Votes,
    pub(super) precommits: Votes,
    /// TM4 and TM7 fired.
    pub(super) prevote_timer: bool,
    pub(super) precommit_timer: bool,
    /// TM5 fired.
    pub(super) polka_seen: bool,
    /// Members whose contradictions were told.
    pub(super) caught: BTreeSet<NodeId>,
}

impl Round {
    /// Members that said something here.
    pub(super) fn speakers(&self, n: usize) -> usize {
        let spoke = |position: &usize| {
            self.prevotes.of(*position).is_some() || self.precommits.of(*position).is_some()
        };
        (0..n).filter(spoke).count()
    }
}
