//! Who plays which part.

use std::sync::Arc;

use super::{ORDERED, Policy};
use crate::{
    block::{Block, Finality},
    ledger::proof::check_finality,
    membership::{Committee, Registry},
    quorum::{FinalityRule, QuorumRule},
    types::NodeId,
};

/// One ledger with those who order, endorse and keep it.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Everyone.
    pub registry: Arc<Registry>,
    /// The ordering service.
    pub orderers: Arc<Committee>,
    /// Who endorses, and how many must.
    pub policy: Policy,
    /// Who keeps the ledger, ascending; every endorser is among them.
    pub peers: Vec<NodeId>,
    /// What makes a block ordered: the rule of an engine that bears liars, or else [`ONE_WORD`].
    pub ordered: FinalityRule,
}

/// Where orderers do not lie, the word of one is enough.
pub const ONE_WORD: FinalityRule = FinalityRule {
    phase: ORDERED,
    quorum: QuorumRule::One,
    links: 1,
};

impl Channel {
    /// The peers that this orderer sends its blocks to. Peers on orderers' machines need no sending;
    /// the others are dealt out in turn.
    pub fn served_by(&self, orderer: NodeId) -> Vec<NodeId> {
        let others = self
            .peers
            .iter()
            .filter(|peer| !self.orderers.contains(**peer));
        let Some(position) = self.orderers.position(orderer) else {
            return Vec::new();
        };
        others
            .skip(position)
            .step_by(self.orderers.n())
            .copied()
            .collect()
    }

    /// The peer that tells a gateway what became of its transactions: its own member's; for a member
    /// without one, one of the others by the member's number.
    pub fn home(&self, gateway: NodeId) -> Option<NodeId> {
        let member = self.registry.node(gateway)?.member;
        let member_of = |peer: &NodeId| self.registry.node(*peer).map(|record| record.member);
        let own = self
            .peers
            .iter()
            .find(|peer| member_of(peer) == Some(member));
        own.or_else(|| self.peers.get(member.index() % self.peers.len().max(1)))
            .copied()
    }

    /// Whether a block is ordered, as far as anyone can tell who knows the orderers.
    pub fn proves(&self, block: &Block, proof: &Finality) -> bool {
        check_finality(block.id(), proof, &self.orderers, self.ordered).is_ok()
    }
}
