//! What a replica knows about the others: who has what, and whom it answered when.

use std::collections::BTreeMap;

use crate::types::{Digest, Epoch, Mono, NodeId, Seq};

/// What this replica knows about the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// The highest slot that it knows of.
    pub(super) known: Seq,
    /// Status intervals for which it seemed behind.
    pub(super) silent: u32,
    /// The newest of its reports: attempt, last executed slot.
    pub(super) newest: (u64, Seq),
    /// When a report of it was answered last; when one that is older than `newest` was. The latter
    /// may be its own (the network reorders, machines start anew) or somebody's who repeats it, and
    /// must not use up the answers to the former.
    pub(super) answered: [Option<Mono>; 2],
    /// Which blocks it was sent, and when: they are under way to it.
    pub(super) sent: BTreeMap<Digest, Mono>,
    /// The highest epoch that it reported.
    pub(super) epoch: Epoch,
}

/// Who knows what, and what was asked when.
#[derive(Debug)]
pub(super) struct Peers {
    /// By position in the committee.
    pub(super) list: Vec<Peer>,
    /// Of other committees, past and to come.
    pub(super) others: BTreeMap<NodeId, Peer>,
    /// Whether the status timer is armed.
    pub(super) armed: bool,
    /// Since when this replica waits without progress; `None`: it waits for nothing.
    pub(super) since: Option<Mono>,
    /// When the others were last looked at, and what was executed here then.
    pub(super) looked: (Mono, Seq),
    /// The last request's number; the first one's is when this life began, by the wall clock.
    pub(super) attempt: u64,
    /// The highest slot that anybody claims to have executed.
    pub(super) claimed: Seq,
    /// Decided slots that were received since the last request.
    pub(super) received: u64,
    /// Status intervals without progress.
    pub(super) idle: u32,
}

impl Peers {
    pub(super) fn new(n: usize) -> Self {
        Self {
            list: vec![Peer::default(); n],
            others: BTreeMap::new(),
            armed: false,
            since: None,
            looked: (Mono(0), Seq(0)),
            attempt: 0,
            claimed: Seq(0),
            received: 0,
            idle: 0,
        }
    }

    /// Another committee of `n` begins, without those who have left: what they know is to be learned.
    pub(super) fn sit(&mut self, n: usize, left: impl Iterator<Item = NodeId>) {
        self.list = vec![Peer::default(); n];
        self.others = left.map(|node| (node, Peer::default())).collect();
        self.progress();
    }

    /// The member at `position`, or else that outsider.
    pub(super) fn get(&mut self, position: Option<usize>, node: NodeId) -> &mut Peer {
        match position {
            Some(position) => &mut self.list[position],
            None => self.others.entry(node).or_default(),
        }
    }

    /// Those outside the committee that have not said that they have come as far as its epoch.
    pub(super) fn lingering(&mut self, epoch: Epoch) -> impl Iterator<Item = (NodeId, &mut Peer)> {
        let others = self.others.iter_mut().map(|(node, peer)| (*node, peer));
        others.filter(move |(_, peer)| peer.epoch < epoch)
    }

    /// Whether f+1 nodes are in a later epoch than this: one of them is honest.
    pub(super) fn are_beyond(&self, epoch: Epoch, weak_quorum: usize) -> bool {
        let all = self.list.iter().chain(self.others.values());
        all.filter(|peer| peer.epoch > epoch).count() >= weak_quorum
    }

    /// The member at `position` knows of this slot.
    pub(super) fn heard(&mut self, position: usize, seq: Seq) {
        let known = &mut self.list[position].known;
        *known = (*known).max(seq);
    }

    /// The highest slot that f+1 members, or those of the committees around this one, say they executed:
    /// one of them is honest.
    pub(super) fn executed_by(&self, weak_quorum: usize) -> Seq {
        let all = self.list.iter().chain(self.others.values());
        let mut executed: Vec<Seq> = all.map(|peer| peer.newest.1).collect();
        executed.sort_unstable_by(|a, b| b.cmp(a));
        executed.get(weak_quorum - 1).copied().unwrap_or_default()
    }

    /// Something was executed, or a view begun or left: the wait begins anew.
    pub(super) fn progress(&mut self) {
        self.since = None;
        self.idle = 0;
    }
}
