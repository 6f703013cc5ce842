//! Which committee decides from which height on.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Committee, CommitteeFault};
use crate::{
    codec,
    crypto::PublicKey,
    types::{ChainId, Epoch, Height, NodeId},
};

/// A committee with its time.
#[derive(Clone, Debug)]
pub struct Term {
    /// Its number.
    pub epoch: Epoch,
    /// The first height that it decides.
    pub from: Height,
    /// Who.
    pub committee: Arc<Committee>,
}

/// All committees so far and, if a change is scheduled, the next one.
#[derive(Clone, Debug)]
pub struct Committees {
    /// By epoch; their heights ascend.
    terms: Vec<Term>,
}

impl Committees {
    /// The founders decide, until somebody else is scheduled.
    pub fn new(founders: Arc<Committee>) -> Self {
        let founders = Term {
            epoch: Epoch(0),
            from: Height(0),
            committee: founders,
        };
        Self {
            terms: vec![founders],
        }
    }

    /// From this height on these decide, which must be later than what is scheduled already.
    pub fn schedule(&mut self, from: Height, committee: Arc<Committee>) -> &Term {
        let newest = self.newest();
        assert!(from > newest.from, "committees follow each other");
        let epoch = newest.epoch.next();
        self.terms.push(Term {
            epoch,
            from,
            committee,
        });
        self.newest()
    }

    /// Who decides the block of this height, as far as is known.
    pub fn at(&self, height: Height) -> &Term {
        let later = self.terms.partition_point(|term| term.from <= height);
        &self.terms[later.max(1) - 1]
    }

    /// The number of the committee that decides the block of this height.
    pub fn epoch_of(&self, height: Height) -> Epoch {
        self.at(height).epoch
    }

    /// The committee of this number.
    pub fn term(&self, epoch: Epoch) -> Option<&Term> {
        self.terms.get(epoch.0 as usize)
    }

    /// The last one: it decides, or is the one that will.
    pub fn newest(&self) -> &Term {
        self.terms.last().expect("founders stay")
    }

    /// All of them, the founders first.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The key of a machine that is in one of these committees.
    pub fn key(&self, node: NodeId) -> Option<&PublicKey> {
        let newest_first = self.terms.iter().rev();
        newest_first
            .map(|term| &term.committee)
            .find_map(|committee| committee.key(node))
    }
}

/// A committee as the state holds it, keys included: whoever believes the state knows whose
/// signatures to believe next.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Seats {
    /// The first height that it decides.
    pub from: Height,
    /// Who, in turn order.
    pub members: Vec<(NodeId, PublicKey)>,
}

impl Seats {
    /// Where the state keeps the committee of an epoch, "committee/‹epoch›". Contracts cannot write
    /// there: their keys begin with another word.
    pub fn key(epoch: Epoch) -> Vec<u8> {
        codec::encode(&("committee", epoch))
    }

    /// The committee.
    pub fn committee(&self, chain: ChainId) -> Result<Arc<Committee>, CommitteeFault> {
        Committee::checked(chain, self.members.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committee(nodes: &[u16]) -> Arc<Committee> {
        let members = nodes
            .iter()
            .map(|id| (NodeId(*id), PublicKey([*id as u8; 32])));
        Committee::new(ChainId(1), members.collect())
    }

    #[test]
    fn each_height_has_the_committee_that_was_scheduled_last_at_or_below_it() {
        let mut committees = Committees::new(committee(&[0, 1, 2, 3]));
        committees.schedule(Height(10), committee(&[0, 1, 2, 3, 4]));
        committees.schedule(Height(25), committee(&[1, 2, 3, 4]));
        let epochs = [0, 9, 10, 24, 25, u64::MAX].map(|h| committees.epoch_of(Height(h)).0);
        assert_eq!(epochs, [0, 0, 1, 1, 2, 2]);
        let sizes = [9, 10, 25].map(|h| committees.at(Height(h)).committee.n());
        assert_eq!(sizes, [4, 5, 4]);
        assert_eq!(
            committees.term(Epoch(1)).map(|term| term.from),
            Some(Height(10))
        );
        assert!(committees.term(Epoch(3)).is_none());
    }

    #[test]
    #[should_panic(expected = "committees follow each other")]
    fn a_committee_never_begins_before_the_one_that_it_follows() {
        let mut committees = Committees::new(committee(&[0]));
        committees.schedule(Height(10), committee(&[1]));
        committees.schedule(Height(10), committee(&[2]));
    }

    #[test]
    fn a_machine_that_left_keeps_its_key() {
        let mut committees = Committees::new(committee(&[0, 1]));
        committees.schedule(Height(10), committee(&[1, 2]));
        assert!(
            [0, 1, 2]
                .iter()
                .all(|id| committees.key(NodeId(*id)).is_some())
        );
        assert!(committees.key(NodeId(3)).is_none());
    }

    #[test]
    fn nobody_and_somebody_twice_are_no_committee() {
        let key = PublicKey([0; 32]);
        let of = |members| {
            Seats {
                from: Height(1),
                members,
            }
            .committee(ChainId(1))
            .err()
        };
        assert_eq!(of(vec![]), Some(CommitteeFault::Empty));
        let twice = vec![(NodeId(4), key), (NodeId(4), key)];
        assert_eq!(of(twice), Some(CommitteeFault::Repeated(NodeId(4))));
        assert_eq!(of(vec![(NodeId(4), key)]), None);
    }
}
