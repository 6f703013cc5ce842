//! Whom to ask: peers in turn, those who were of no use last.

use std::collections::{BTreeMap, VecDeque};

use crate::types::NodeId;

/// What is known of a peer since the node began to catch up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It may be asked.
    Fresh,
    /// It has nothing more.
    Done,
    /// It has not what is wanted now, and says so.
    Unable,
    /// It was wrong, or too late.
    Failed,
}

/// The peers, in the order in which they will be asked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    queue: VecDeque<(NodeId, Standing)>,
    /// How often a peer was wrong or late since it was last of use.
    strikes: BTreeMap<NodeId, u32>,
    /// So many that have nothing more are enough.
    enough: usize,
    begun: usize,
}

impl Peers {
    /// These peers may be asked: one further on each time, and the worst last.
    pub(super) fn begin(&mut self, others: impl IntoIterator<Item = NodeId>, enough: usize) {
        let mut others: Vec<_> = others.into_iter().collect();
        self.enough = enough.min(others.len());
        if !others.is_empty() {
            let first = self.begun % others.len();
            others.rotate_left(first);
        }
        self.begun += 1;
        let fresh = others.into_iter().map(|peer| (peer, Standing::Fresh));
        self.queue = fresh.collect();
        self.sort();
    }

    /// The worst last; otherwise the order stays.
    fn sort(&mut self) {
        let strikes = |peer: &NodeId| self.strikes.get(peer).copied().unwrap_or(0);
        self.queue
            .make_contiguous()
            .sort_by_key(|(peer, _)| strikes(peer));
    }

    /// The next one to ask.
    pub(super) fn first(&self) -> Option<NodeId> {
        let mut fresh = self.queue.iter().filter(|(_, s)| *s == Standing::Fresh);
        fresh.next().map(|(peer, _)| *peer)
    }

    fn done(&self) -> usize {
        let done = self.queue.iter().filter(|(_, s)| *s == Standing::Done);
        done.count()
    }

    /// Whether somebody has nothing more.
    pub(super) fn has_done(&self) -> bool {
        self.done() > 0
    }

    /// Whether enough peers have nothing more: all of them, if it is known that somebody has more and
    /// nobody has shown anything yet.
    pub(super) fn are_done(&self, searching: bool) -> bool {
        let needed = if searching {
            self.queue.len()
        } else {
            self.enough
        };
        self.done() >= needed
    }

    /// Notes what is known of a peer.
    pub(super) fn set(&mut self, peer: NodeId, standing: Standing) {
        let known = self.queue.iter_mut().find(|(node, _)| *node == peer);
        if let Some((_, known)) = known {
            *known = standing;
        }
    }

    /// A peer was wrong, or too late.
    pub(super) fn strike(&mut self, peer: NodeId) {
        let strikes = self.strikes.entry(peer).or_default();
        *strikes = strikes.saturating_add(1);
        self.set(peer, Standing::Failed);
        self.rotate(peer);
    }

    /// A peer made others look wrong: it comes after all of them.
    pub(super) fn condemn(&mut self, peer: NodeId) {
        let strikes = self.strikes.entry(peer).or_default();
        *strikes = strikes.saturating_add(self.queue.len() as u32);
        self.strike(peer);
    }

    /// A peer was of use.
    pub(super) fn praise(&mut self, peer: NodeId) {
        self.strikes.remove(&peer);
    }

    /// Puts a peer at the end.
    pub(super) fn rotate(&mut self, peer: NodeId) {
        let place = self.queue.iter().position(|(node, _)| *node == peer);
        if let Some(entry) = place.and_then(|place| self.queue.remove(place)) {
            self.queue.push_back(entry);
        }
    }

    /// Something else is wanted now: who lacked what was wanted before may have that.
    pub(super) fn refresh(&mut self) {
        for (_, standing) in &mut self.queue {
            if *standing != Standing::Failed {
                *standing = Standing::Fresh;
            }
        }
    }

    /// Everyone may be asked again, the worst last.
    pub(super) fn forgive(&mut self) {
        for (_, standing) in &mut self.queue {
            *standing = Standing::Fresh;
        }
        self.sort();
    }
}
