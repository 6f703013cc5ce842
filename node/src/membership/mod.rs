//! Who is in: the registry of known identities, the committee that decides, and which committee
//! decides from which height on.
//!
//! A consortium knows everyone. Members (organisations) run nodes (machines); parties (devices,
//! operators, organisations) sign transactions. Whoever is not listed changes nothing. The registry
//! lists every machine that may ever be a validator; which of them are changes by an ordered
//! transaction (see [`crate::contracts::consortium`]).

use std::collections::BTreeSet;

use crate::{
    crypto::{PublicKey, Signable, Signed},
    types::{ChainId, MemberId, NodeId, PartyId},
};

mod committee;
mod history;

pub use committee::{Committee, CommitteeFault};
pub use history::{Committees, Seats, Term};

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
