//! A committee: the validators that decide, with their quorums.

use std::sync::Arc;

use crate::{
    crypto::{PublicKey, Signable, Signed},
    quorum,
    types::{ChainId, NodeId, View},
};

/// Why a list of validators is no committee.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommitteeFault {
    /// Nobody would be left to decide anything, not even who comes next.
    #[error("a committee needs a member")]
    Empty,
    /// A repeated voter would count twice.
    #[error("{0} is in the committee twice")]
    Repeated(NodeId),
}

/// The validators that decide, in the order that leaders take turns, with their quorums.
///
/// Engines keep no n, f or q of their own: they ask the committee, so that it can change.
#[derive(Clone, Debug)]
pub struct Committee {
    chain: ChainId,
    members: Vec<(NodeId, PublicKey)>,
    /// Position of each node in `members`, by [`NodeId`]; `None` for outsiders.
    positions: Vec<Option<u16>>,
}

impl Committee {
    /// A committee of these validators, in turn order. Panics on what [`Committee::checked`] refuses.
    pub fn new(chain: ChainId, members: Vec<(NodeId, PublicKey)>) -> Arc<Self> {
        match Self::checked(chain, members) {
            Ok(committee) => committee,
            Err(fault) => panic!("{fault}"),
        }
    }

    /// A committee of these validators, in turn order, if none is listed twice and there is one.
    pub fn checked(
        chain: ChainId,
        members: Vec<(NodeId, PublicKey)>,
    ) -> Result<Arc<Self>, CommitteeFault> {
        let indices = members.iter().map(|(node, _)| node.index());
        let top = indices.max().ok_or(CommitteeFault::Empty)?;
        let mut positions = vec![None; top + 1];
        for (position, (node, _)) in members.iter().enumerate() {
            let slot = &mut positions[node.index()];
            if slot.is_some() {
                return Err(CommitteeFault::Repeated(*node));
            }
            *slot = Some(position as u16);
        }
        Ok(Arc::new(Self {
            chain,
            members,
            positions,
        }))
    }

    /// The chain that votes are bound to.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Number of validators.
    pub fn n(&self) -> usize {
        self.members.len()
    }

    /// Byzantine members that can be borne: ⌊(n−1)/3⌋.
    pub fn f(&self) -> usize {
        quorum::byzantine_faults(self.n())
    }

    /// Byzantine quorum q = ⌈(n+f+1)/2⌉: two of them share an honest member.
    pub fn quorum(&self) -> usize {
        quorum::byzantine_quorum(self.n())
    }

    /// f+1: at least one of them is honest.
    pub fn weak_quorum(&self) -> usize {
        self.f() + 1
    }

    /// The nodes in turn order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.members.iter().map(|(node, _)| *node)
    }

    /// Everyone but `me`, in turn order.
    pub fn others(&self, me: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(move |node| *node != me)
    }

    /// A member's place in the turn order.
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.positions
            .get(node.index())
            .copied()
            .flatten()
            .map(usize::from)
    }

    /// Whether `node` is a member.
    pub fn contains(&self, node: NodeId) -> bool {
        self.position(node).is_some()
    }

    /// The nodes with their keys, in turn order.
    pub fn members(&self) -> &[(NodeId, PublicKey)] {
        &self.members
    }

    /// Whose turn it is when turns are counted from zero.
    pub fn turn(&self, number: u64) -> NodeId {
        self.members[(number % self.members.len() as u64) as usize].0
    }

    /// The leader of `view`, taking turns; the first view of each epoch is the first member's.
    pub fn leader(&self, view: View) -> NodeId {
        self.turn(view.round())
    }

    /// A member's key.
    pub fn key(&self, node: NodeId) -> Option<&PublicKey> {
        self.position(node)
            .map(|position| &self.members[position].1)
    }

    /// Whether a member of the committee signed this, for this chain.
    #[must_use]
    pub fn verify<T: Signable<Signer = NodeId>>(&self, signed: &Signed<T>) -> bool {
        self.key(signed.signer())
            .is_some_and(|key| signed.verify(self.chain, key))
    }
}
