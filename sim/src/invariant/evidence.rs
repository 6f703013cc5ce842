//! Who signed what: the votes of every validator, liars included, and who contradicted itself.

use std::collections::{BTreeMap, BTreeSet};

use consortium_node::{
    engine::Slot,
    quorum::{Phase, Vote},
    types::{BlockId, Digest, NodeId, Seq, View},
};

/// Votes of one node that are remembered: those of its highest slots.
pub const REMEMBERED: usize = 2048;

/// What no protocol votes in: stands for proposals.
pub const PROPOSAL: Phase = Phase(u8::MAX);

/// Somebody signed two answers to one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clash {
    /// Who.
    pub node: NodeId,
    /// The later vote.
    pub vote: Vote,
    /// What the earlier vote for the same phase, view and slot stood for.
    pub earlier: Digest,
}

/// The votes that were seen.
#[derive(Debug)]
pub struct Evidence {
    votes: Vec<BTreeMap<(Seq, View, Phase), Digest>>,
    guilty: BTreeSet<NodeId>,
}

impl Evidence {
    /// Nothing, about so many validators.
    pub fn new(validators: usize) -> Self {
        Self {
            votes: vec![BTreeMap::new(); validators],
            guilty: BTreeSet::new(),
        }
    }

    /// Takes a vote; what it contradicts, if it does. The first word stands.
    pub fn voted(&mut self, node: NodeId, vote: &Vote) -> Option<Clash> {
        let votes = &mut self.votes[node.index()];
        let earlier = *votes
            .entry((vote.slot, vote.view, vote.phase))
            .or_insert(vote.digest);
        if votes.len() > REMEMBERED {
            votes.pop_first();
        }
        if earlier == vote.digest {
            return None;
        }
        self.guilty.insert(node);
        Some(Clash {
            node,
            vote: *vote,
            earlier,
        })
    }

    /// What this node signed so far is forgotten.
    pub fn forget(&mut self, node: NodeId) {
        self.votes[node.index()].clear();
    }

    /// Takes a proposal; what it contradicts, if it does. A leader has one word for each slot of a view.
    pub fn proposed(&mut self, node: NodeId, slot: Slot, block: &BlockId) -> Option<Clash> {
        let vote = Vote {
            phase: PROPOSAL,
            view: slot.view,
            slot: slot.seq,
            digest: *block,
        };
        self.voted(node, &vote)
    }

    /// Takes an honest node's word that it holds two contradicting statements of this one.
    pub fn accuse(&mut self, node: NodeId) {
        self.guilty.insert(node);
    }

    /// Those whose own signatures contradict each other.
    pub fn guilty(&self) -> &BTreeSet<NodeId> {
        &self.guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(slot: u64, digest: u8) -> Vote {
        Vote {
            phase: Phase(1),
            view: View(0),
            slot: Seq(slot),
            digest: Digest([digest; 32]),
        }
    }

    #[test]
    fn votes_far_below_are_forgotten_and_recent_ones_are_not() {
        let mut evidence = Evidence::new(1);
        let slots = REMEMBERED as u64 + 10;
        for slot in 0..slots {
            assert_eq!(evidence.voted(NodeId(0), &vote(slot, 1)), None);
        }
        assert_eq!(evidence.votes[0].len(), REMEMBERED);
        assert_eq!(evidence.voted(NodeId(0), &vote(0, 2)), None, "forgotten");
        let clash = evidence.voted(NodeId(0), &vote(slots - 1, 2));
        assert_eq!(clash.map(|clash| clash.earlier), Some(Digest([1; 32])));
        assert_eq!(evidence.guilty(), &BTreeSet::from([NodeId(0)]));
    }
}
