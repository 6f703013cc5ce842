//! Who is in: the registry of known identities, and the committee that decides.
//!
//! A consortium knows everyone. Members (organisations) run nodes (machines); parties (devices,
//! operators, organisations) sign transactions. Whoever is not listed changes nothing.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    crypto::{PublicKey, Signable, Signed},
    quorum,
    types::{ChainId, MemberId, NodeId, PartyId, View},
};

/// A part that a machine plays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NodeRole {
    /// Takes part in consensus and keeps a ledger.
    Validator,
    /// Takes part in the ordering of envelopes and keeps no state.
    Orderer,
    /// Keeps a ledger of what orderers ordered and judges it.
    Peer,
    /// Tries transactions before they are ordered and signs what they would do. A peer as well.
    Endorser,
    /// Buffers, submits and collects receipts for a member's devices and people.
    Gateway,
}

/// A listed machine.
#[derive(Clone, Debug)]
pub struct NodeRecord {
    /// Its address.
    pub id: NodeId,
    /// Who runs it.
    pub member: MemberId,
    /// What it does. One machine may play several roles.
    pub roles: BTreeSet<NodeRole>,
    /// The key that its messages must be signed with.
    pub key: PublicKey,
}

/// What a party may do to the ledger. Application roles come on top (see [`Party::roles`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Permission {
    /// May read; whatever it submits is refused.
    Read,
    /// May read and submit transactions.
    Write,
}

/// A listed identity that signs transactions.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its number.
    pub id: PartyId,
    /// Its name, for people.
    pub name: String,
    /// The member that it belongs to; a hand-over party without a node belongs to none.
    pub member: Option<MemberId>,
    /// The key that its transactions must be signed with.
    pub key: PublicKey,
    /// Whether it may write.
    pub permission: Permission,
    /// Its application roles, by name ("Device", "Owner", …): assigned off the chain, checked by the
    /// gateway.
    pub roles: BTreeSet<String>,
}

/// Everyone that the consortium knows. Ids are indices: `nodes[i].id == NodeId(i)`, parties alike.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The chain that every signature is bound to.
    pub chain: ChainId,
    /// Names of the members, by [`MemberId`].
    pub members: Vec<String>,
    /// All machines, by [`NodeId`].
    pub nodes: Vec<NodeRecord>,
    /// All parties, by [`PartyId`].
    pub parties: Vec<Party>,
}

impl Registry {
    /// The machine of that address, if there is one.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(id.index())
    }

    /// The party of that number, if there is one.
    pub fn party(&self, id: PartyId) -> Option<&Party> {
        self.parties.get(id.index())
    }

    /// Name of the member that runs `node`; the node's address if the registry does not list it.
    pub fn member_name(&self, node: NodeId) -> String {
        self.node(node).map_or_else(
            || node.to_string(),
            |r| self.members[r.member.index()].clone(),
        )
    }

    /// Whether a listed node signed this.
    pub fn verify_node<T: Signable<Signer = NodeId>>(&self, signed: &Signed<T>) -> bool {
        self.node(signed.signer())
            .is_some_and(|record| signed.verify(self.chain, &record.key))
    }

    /// Whether a listed party signed this.
    pub fn verify_party<T: Signable<Signer = PartyId>>(&self, signed: &Signed<T>) -> bool {
        self.party(signed.signer())
            .is_some_and(|party| signed.verify(self.chain, &party.key))
    }
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
    /// A committee of these validators. Refuses none and repeated ones: a repeated voter would count
    /// twice.
    pub fn new(chain: ChainId, members: Vec<(NodeId, PublicKey)>) -> Arc<Self> {
        assert!(!members.is_empty(), "a committee needs a member");
        let top = members
            .iter()
            .map(|(node, _)| node.index())
            .max()
            .expect("not empty");
        let mut positions = vec![None; top + 1];
        for (position, (node, _)) in members.iter().enumerate() {
            let slot = &mut positions[node.index()];
            assert!(slot.is_none(), "{node} is in the committee twice");
            *slot = Some(position as u16);
        }
        Arc::new(Self {
            chain,
            members,
            positions,
        })
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

    /// The leader of `view`, taking turns.
    pub fn leader(&self, view: View) -> NodeId {
        self.members[(view.0 % self.members.len() as u64) as usize].0
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
