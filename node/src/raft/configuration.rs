//! Who counts: voters, the voters of the old configuration while two are joined, and learners.
//!
//! Thesis chapter 4: single-server changes (§4.1), learners that catch up first (§4.2.1), and joint
//! consensus (§4.3), in which a decision takes a majority of the old and one of the new.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    quorum::QuorumRule,
    types::{NodeId, Seq},
};

/// How one set of members becomes another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// One voter at a time: majorities of neighbours overlap (§4.1).
    Single,
    /// All at once, through a configuration in which both sets must agree (§4.3).
    Joint,
}

/// A configuration of the members, as entries carry it. Lists are ascending, each node once.
#[derive(Clone, PartialEq, Eq, Debug, Default, BorshSerialize, BorshDeserialize)]
pub struct Configuration {
    /// They vote and count.
    pub voters: Vec<NodeId>,
    /// They vote and count too, by a majority of their own, while this is not empty: the voters of the
    /// configuration that is being left.
    pub outgoing: Vec<NodeId>,
    /// They receive entries and do not count.
    pub learners: Vec<NodeId>,
}

/// How an election stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Won,
    Lost,
    Open,
}

impl Configuration {
    /// These vote and nobody else takes part.
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let voters: BTreeSet<_> = voters.into_iter().collect();
        Self {
            voters: voters.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        3 * 4 + 2 * (self.voters.len() + self.outgoing.len() + self.learners.len())
    }

    /// Whether a node votes and counts.
    pub fn votes(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Everyone who receives entries.
    pub fn members(&self) -> BTreeSet<NodeId> {
        let all = [&self.voters, &self.outgoing, &self.learners];
        all.into_iter().flatten().copied().collect()
    }

    fn halves(&self) -> impl Iterator<Item = &Vec<NodeId>> {
        [&self.voters, &self.outgoing]
            .into_iter()
            .filter(|half| !half.is_empty())
    }

    /// Whether those for whom this holds are a quorum: a majority of each half.
    pub(super) fn quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.halves().all(|half| {
            let count = half.iter().filter(|node| holds(**node)).count();
            count >= QuorumRule::Majority.of(half.len())
        })
    }

    /// The highest index that a quorum holds, when each node holds all up to this.
    pub(super) fn agreed(&self, matched: impl Fn(NodeId) -> Seq) -> Seq {
        let of = |half: &Vec<NodeId>| {
            let mut held: Vec<_> = half.iter().map(|node| matched(*node)).collect();
            held.sort_unstable();
            held[half.len() - QuorumRule::Majority.of(half.len())]
        };
        self.halves().map(of).min().unwrap_or_default()
    }

    /// How an election with these answers stands.
    pub(super) fn outcome(&self, answers: &BTreeMap<NodeId, bool>) -> Outcome {
        if self.quorum(|node| answers.get(&node) == Some(&true)) {
            Outcome::Won
        } else if self.quorum(|node| answers.get(&node) != Some(&false)) {
            Outcome::Open
        } else {
            Outcome::Lost
        }
    }

    /// The next configuration on the way to these voters, if there is a step to take now. Who is not
    /// ready yet learns first; `me` goes last.
    pub(super) fn towards(
        &self,
        target: &BTreeSet<NodeId>,
        change: Change,
        ready: impl Fn(NodeId) -> bool,
        me: NodeId,
    ) -> Option<Self> {
        let mut next = self.clone();
        if !self.outgoing.is_empty() {
            next.outgoing.clear();
            return Some(next);
        }
        let voters: BTreeSet<_> = self.voters.iter().copied().collect();
        let newcomers: BTreeSet<_> = target.difference(&voters).copied().collect();
        let unready: Vec<_> = newcomers.iter().filter(|node| !ready(**node)).collect();
        let unknown = unready.iter().any(|node| !self.learners.contains(node));
        let idle = self.learners.iter().any(|node| !target.contains(node));
        if unknown || idle {
            next.learners = newcomers.into_iter().collect();
            return Some(next);
        }
        if change == Change::Joint {
            if voters == *target || !unready.is_empty() {
                return None;
            }
            next.outgoing = std::mem::take(&mut next.voters);
            next.voters = target.iter().copied().collect();
            next.learners.clear();
            return Some(next);
        }
        if let Some(joins) = newcomers.iter().find(|node| ready(**node)) {
            next.learners.retain(|node| node != joins);
            next.voters.push(*joins);
            next.voters.sort_unstable();
            return Some(next);
        }
        let mut leaving: Vec<_> = voters.difference(target).copied().collect();
        leaving.sort_by_key(|node| *node == me);
        let leaver = leaving.first().filter(|_| newcomers.is_empty())?;
        next.voters.retain(|node| node != leaver);
        Some(next)
    }
}
