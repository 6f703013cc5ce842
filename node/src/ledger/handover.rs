//! Hand-over: whoever knows one committee learns from it who the next one is.
//!
//! A link is a final header of the old committee and a path from the state root that it carries to the
//! next committee's seats. The change was scheduled more than the results' lag before the next
//! committee begins, so the last header of the old one carries it at the latest. A chain of links
//! takes a client that knows the founders to the committee of today, without the blocks between.
//! (The idea is that of light clients, as of Tendermint's: trust moves from set to set by the word of
//! the old one.)

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Ledger,
    proof::{EntryProof, ProofFault, ProofGap},
};
use crate::{
    codec,
    membership::{Committee, CommitteeFault, Committees, Seats, Term},
    quorum::FinalityRule,
    types::{Epoch, Height},
};

/// Why a link is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandOverFault {
    /// It is about another place in the state than the next committee's.
    #[error("it does not say who follows the committee of epoch {0}")]
    OtherKey(Epoch),
    /// Its header was certified in another epoch than the one that hands over.
    #[error("certified in epoch {found}, where the committee of epoch {needed} has the word")]
    WrongEpoch {
        /// The certificate's.
        found: Epoch,
        /// That of the committee that hands over.
        needed: Epoch,
    },
    /// The header lies outside the time of the committee that certified it.
    #[error("height {0} was not this committee's to decide")]
    OutOfTerm(Height),
    /// What the state holds there is no committee.
    #[error("what it shows is no committee")]
    NoSeats,
    /// The same, and why.
    #[error("what it shows is no committee: {0}")]
    NoCommittee(#[from] CommitteeFault),
    /// The header is not final, or the path does not lead to its root.
    #[error(transparent)]
    Proof(#[from] ProofFault),
}

/// Shows who follows a committee, by that committee's own word.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct HandOver {
    seats: EntryProof,
}

impl HandOver {
    /// Makes the link to the committee of `epoch` from the newest final header, which must be of the
    /// committee before it.
    pub fn new(ledger: &Ledger, epoch: Epoch) -> Result<Self, ProofGap> {
        let seats = EntryProof::new(ledger, &Seats::key(epoch))?;
        Ok(Self { seats })
    }

    /// Who comes next, if the committee of `term` says so by the rule that makes its blocks final.
    pub fn verify(&self, term: &Term, rule: FinalityRule) -> Result<Term, HandOverFault> {
        let epoch = term.epoch.next();
        if self.seats.key() != Seats::key(epoch) {
            return Err(HandOverFault::OtherKey(term.epoch));
        }
        let finality = &*self.seats.block().finality;
        let found = finality.epoch().ok_or(ProofFault::NothingToCheck)?;
        if found != term.epoch {
            let needed = term.epoch;
            return Err(HandOverFault::WrongEpoch { found, needed });
        }
        self.seats.verify(&term.committee, rule)?;
        let value = self.seats.value().ok_or(HandOverFault::NoSeats)?;
        let seats: Seats = codec::decode(value).map_err(|_| HandOverFault::NoSeats)?;
        let height = self.seats.block().header.height;
        if height < term.from || height >= seats.from {
            return Err(HandOverFault::OutOfTerm(height));
        }
        Ok(Term {
            epoch,
            from: seats.from,
            committee: seats.committee(term.committee.chain())?,
        })
    }
}

/// Follows links from the founders on: who decides from which height. Each must say who follows the
/// committee that the one before it led to; the place of one that does not is returned with the fault.
pub fn follow<'a>(
    founders: Arc<Committee>,
    links: impl IntoIterator<Item = &'a HandOver>,
    rule: FinalityRule,
) -> Result<Committees, (usize, HandOverFault)> {
    let mut committees = Committees::new(founders);
    for (place, link) in links.into_iter().enumerate() {
        let next = link
            .verify(committees.newest(), rule)
            .map_err(|fault| (place, fault))?;
        committees.schedule(next.from, next.committee);
    }
    Ok(committees)
}
