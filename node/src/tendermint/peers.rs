//! What is known about the others, and when to speak to them.

use std::collections::BTreeMap;

use crate::types::{Height, Mono, NodeId};

/// Another machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// The highest height that it signed anything about.
    pub(super) height: Height,
    /// Status intervals in a row without a word about the last decided height.
    pub(super) silent: u32,
    /// When the present count of answers began, and it.
    pub(super) answered: (Mono, u32),
}

/// Why the status timer runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// Something is unfinished: it ticks once an interval.
    Fast,
    /// Somebody is silent, or this machine observes: each tick takes twice as long as the one before.
    Slow,
}

/// The others, and the timer.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Members of the committee of the height, of the one before, and those who asked.
    pub(super) list: BTreeMap<NodeId, Peer>,
    /// Whether the status timer is armed, and for what.
    pub(super) armed: Option<Pace>,
    /// Slow intervals in a row.
    pub(super) lull: u32,
    /// Whether something new came since it was.
    pub(super) progress: bool,
    /// Status intervals in a row without progress.
    pub(super) idle: u32,
    /// The number of the last STATUS.
    pub(super) attempt: u64,
}

impl Peers {
    pub(super) fn height_of(&self, node: NodeId) -> Height {
        self.list.get(&node).map_or(Height(0), |peer| peer.height)
    }

    /// A member signed something about a height.
    pub(super) fn heard(&mut self, node: NodeId, height: Height) {
        let peer = self.list.entry(node).or_default();
        if height > peer.height {
            peer.height = height;
            peer.silent = 0;
        }
    }
}
