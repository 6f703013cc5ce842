//! Messages of the next heights: a member that decides a little later must not lose them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::types::{Height, NodeId};

/// Heights above the present one that are kept.
const REACH: u64 = 2;
/// Messages of one member that are kept.
const SHARE: usize = 16;

/// What is kept, by its sender.
#[derive(Debug)]
pub(crate) struct Early<M> {
    held: BTreeMap<NodeId, VecDeque<(Height, Arc<M>)>>,
}

impl<M> Default for Early<M> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
        }
    }
}

impl<M: Clone> Early<M> {
    /// Keeps a message that a known machine signed, if there is room.
    pub(crate) fn hold(
        &mut self,
        from: NodeId,
        height: Height,
        present: Height,
        message: &M,
    ) -> bool {
        if height.0 > present.0.saturating_add(REACH) {
            return false;
        }
        let share = self.held.entry(from).or_default();
        if share.len() >= SHARE {
            return false;
        }
        share.push_back((height, Arc::new(message.clone())));
        true
    }

    /// What was kept for this height, sender by sender; what was for lower ones is forgotten.
    pub(crate) fn take(&mut self, height: Height) -> Vec<(NodeId, Arc<M>)> {
        let mut taken = Vec::new();
        for (from, share) in &mut self.held {
            for (of, message) in std::mem::take(share) {
                if of == height {
                    taken.push((*from, message));
                } else if of > height {
                    share.push_back((of, message));
                }
            }
        }
        self.held.retain(|_, share| !share.is_empty());
        taken
    }
}
