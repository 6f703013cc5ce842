//! Who leads which view: HS2, and HS14 for the rule that goes by reputation.
//!
//! Views are counted in *terms* of so many views; a term has one leader, and whoever gives up a view
//! goes to the first one of the next term.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    block::Header,
    membership::Committee,
    types::{BlockId, NodeId, View},
};

use super::{Config, Leader, message::Stamp, tree::Tree};

/// Views of a term when leaders stay: more than anybody sees.
const STICKY: u64 = 1 << 16;
/// Final blocks that are kept beyond a window: a replica may have learned that they are final by a
/// certificate that is not on the chain of the highest one.
const SPARE: usize = 128;

/// What a block on the chain says about who is alive.
#[derive(Clone, Debug)]
struct Deed {
    stamp: Stamp,
    proposer: NodeId,
}

/// The schedule of leaders.
#[derive(Debug)]
pub(super) struct Schedule {
    rule: Leader,
    links: usize,
    window: usize,
    /// The last final blocks, oldest first, without holes.
    past: VecDeque<Deed>,
}

impl Schedule {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rule: config.leader,
            links: config.variant.links(),
            window: config.window,
            past: VecDeque::new(),
        }
    }

    /// Views of a term.
    fn term(&self) -> u64 {
        match self.rule {
            Leader::Rotate => 1,
            Leader::Sticky => STICKY,
            Leader::Reputation => self.links as u64 + 1,
        }
    }

    /// The view after one that was given up.
    pub(super) fn after(&self, view: View) -> View {
        let term = self.term();
        let first = (view.round() / term).saturating_add(1).saturating_mul(term);
        View(first.min(u64::from(u32::MAX)))
    }

    /// Takes note of a block that became final: the child of the last one.
    pub(super) fn settled(&mut self, header: &Header) {
        let Some(stamp) = Stamp::of(header) else {
            return;
        };
        if self
            .past
            .back()
            .is_some_and(|last| last.stamp.view != stamp.parent)
        {
            self.past.clear();
        }
        let proposer = header.proposer;
        self.past.push_back(Deed { stamp, proposer });
        if self.past.len() > self.window + SPARE {
            self.past.pop_front();
        }
    }

    /// HS2: who leads this view, as the chain says that ends with the certified block `tip`.
    pub(super) fn leader(
        &self,
        committee: &Committee,
        view: View,
        tree: &Tree,
        tip: BlockId,
    ) -> NodeId {
        let turn = view.round() / self.term();
        if self.rule != Leader::Reputation {
            return committee.turn(turn);
        }
        let above = tree.down_from(tip);
        let above = above.map(|entry| (&entry.stamp, entry.link.block.header().proposer));
        let past = self.past.iter().rev();
        let past = past.map(|deed| (&deed.stamp, deed.proposer));
        let deeds = self.window(view, above.chain(past));
        let candidates = self.candidates(committee, &deeds);
        if candidates.is_empty() {
            return committee.turn(turn);
        }
        candidates[(turn % candidates.len() as u64) as usize]
    }

    /// HS14: the newest blocks of a certified chain, given newest first, that its own certificates of views
    /// below the one before `view` commit, newest first; fewer than a window if there are not more.
    ///
    /// What certificates off the chain commit does not count, although it is final: only some may have
    /// seen them, while sooner or later all see the highest one.
    fn window<'a>(
        &self,
        view: View,
        chain: impl Iterator<Item = (&'a Stamp, NodeId)>,
    ) -> Vec<(&'a Stamp, NodeId)> {
        let mut deeds: Vec<(&Stamp, NodeId)> = Vec::new();
        // Whoever takes part in the view before has seen these certificates, as a rule.
        let old_enough = chain.skip_while(|(stamp, _)| stamp.view.next() >= view);
        for deed in old_enough {
            if deeds.len() < self.links {
                // The run that commits its first block is not complete yet.
                let follows = |last: &(&Stamp, NodeId)| last.0.view == last.0.parent.next();
                if !deeds.last().is_none_or(follows) {
                    deeds.clear();
                }
            }
            deeds.push(deed);
            if deeds.len() == self.links + self.window - 1 {
                break;
            }
        }
        deeds.drain(..deeds.len().min(self.links - 1));
        deeds
    }

    /// HS14: who may lead by what these blocks say, given newest first, in turn order; nobody if they are too
    /// few.
    fn candidates(&self, committee: &Committee, deeds: &[(&Stamp, NodeId)]) -> Vec<NodeId> {
        if deeds.len() < self.window {
            return Vec::new();
        }
        let mut resting = BTreeSet::new();
        for (_, proposer) in deeds {
            if resting.len() < committee.f() {
                resting.insert(*proposer);
            }
        }
        let is_active = |place: usize, node: NodeId| {
            deeds.iter().any(|(stamp, proposer)| {
                let bits = stamp.voters.get(place / 8).copied().unwrap_or_default();
                *proposer == node || bits & (1 << (place % 8)) != 0
            })
        };
        let nodes = committee.nodes().enumerate();
        let active = nodes.filter(|(place, node)| is_active(*place, *node));
        let active = active.map(|(_, node)| node);
        active.filter(|node| !resting.contains(node)).collect()
    }
}
