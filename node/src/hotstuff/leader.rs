//! Who leads which view: HS2, and HS14 for the rule that goes by reputation.
//!
//! Views are counted in *terms* of so many views; a term has one leader, and whoever gives up a view
//! goes to the first one of the next term.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    block::Header,
    membership::Committee,
    types::{NodeId, View},
};

use super::{Config, Leader, message::Stamp};

/// Views of a term when leaders stay: more than anybody sees.
const STICKY: u64 = 1 << 16;

/// What a committed block says about who is alive.
#[derive(Clone, Debug)]
struct Deed {
    view: View,
    /// View of the certificate that committed it.
    since: View,
    proposer: NodeId,
    voters: Vec<u8>,
}

/// The schedule of leaders.
#[derive(Debug)]
pub(super) struct Schedule {
    rule: Leader,
    links: u64,
    window: usize,
    /// Committed blocks, oldest first: enough for the windows of the views to come.
    deeds: VecDeque<Deed>,
}

impl Schedule {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rule: config.leader,
            links: config.variant.links() as u64,
            window: config.window,
            deeds: VecDeque::new(),
        }
    }

    /// Views of a term.
    fn term(&self) -> u64 {
        match self.rule {
            Leader::Rotate => 1,
            Leader::Sticky => STICKY,
            Leader::Reputation => self.links + 1,
        }
    }

    /// The view after one that was given up.
    pub(super) fn after(&self, view: View) -> View {
        let term = self.term();
        let first = (view.round() / term).saturating_add(1).saturating_mul(term);
        View(first.min(u64::from(u32::MAX)))
    }

    /// Takes note of a committed block, and of the view of the certificate that committed it.
    pub(super) fn committed(&mut self, header: &Header, since: View) {
        let Some(stamp) = Stamp::of(header) else {
            return;
        };
        if self
            .deeds
            .back()
            .is_some_and(|last| last.view >= stamp.view)
        {
            return;
        }
        self.deeds.push_back(Deed {
            view: stamp.view,
            since,
            proposer: header.proposer,
            voters: stamp.voters,
        });
        // Views that are asked about lie at most a few ahead of the last commit.
        while self.deeds.len() > self.window + 8 {
            self.deeds.pop_front();
        }
    }

    /// HS2: who leads this view.
    pub(super) fn leader(&self, committee: &Committee, view: View) -> NodeId {
        let turn = view.round() / self.term();
        if self.rule != Leader::Reputation {
            return committee.turn(turn);
        }
        let candidates = self.candidates(committee, view);
        if candidates.is_empty() {
            return committee.turn(turn);
        }
        candidates[(turn % candidates.len() as u64) as usize]
    }

    /// HS14: who may lead this view by what was committed, in turn order; nobody while too little was.
    fn candidates(&self, committee: &Committee, view: View) -> Vec<NodeId> {
        // Whoever takes part in the view before has seen these certificates, as a rule.
        let old_enough = |deed: &&Deed| deed.since.next() < view;
        let mut deeds: Vec<_> = self.deeds.iter().filter(old_enough).collect();
        if deeds.len() < self.window {
            return Vec::new();
        }
        deeds.drain(..deeds.len() - self.window);
        let mut resting = BTreeSet::new();
        for deed in deeds.iter().rev() {
            if resting.len() < committee.f() {
                resting.insert(deed.proposer);
            }
        }
        let is_active = |place: usize, node: NodeId| {
            deeds.iter().any(|deed| {
                let bits = deed.voters.get(place / 8).copied().unwrap_or_default();
                deed.proposer == node || bits & (1 << (place % 8)) != 0
            })
        };
        let nodes = committee.nodes().enumerate();
        let active = nodes.filter(|(place, node)| is_active(*place, *node));
        let active = active.map(|(_, node)| node);
        active.filter(|node| !resting.contains(node)).collect()
    }
}
