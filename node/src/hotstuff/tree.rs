//! The tree of blocks above the final chain, and the last few final ones for those who ask.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::types::{BlockId, Height, View, Wall};

use super::message::{Link, Stamp};

/// Final blocks that are kept for replicas that missed them.
const KEPT: usize = 128;

/// What the host says about a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Judged {
    /// It was not asked.
    No,
    /// It is being asked.
    Asked,
    /// It may follow its parent.
    Good,
    /// It was refused in this view; what is known may change, so it is asked again in a later one.
    Bad(View),
}

/// A block above the final chain.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) link: Arc<Link>,
    pub(super) stamp: Stamp,
    pub(super) judged: Judged,
    /// Whether the log has it.
    pub(super) logged: bool,
}

impl Entry {
    pub(super) fn parent(&self) -> BlockId {
        self.link.block.header().parent
    }

    pub(super) fn height(&self) -> Height {
        self.link.block.header().height
    }

    pub(super) fn has_payload(&self) -> bool {
        !self.link.block.transactions().is_empty()
    }
}

/// The last final block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) id: BlockId,
    pub(super) height: Height,
    pub(super) timestamp: Wall,
}

/// The blocks above the final chain, by their ids.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Root,
    entries: BTreeMap<BlockId, Entry>,
    kept: VecDeque<(BlockId, Arc<Link>)>,
}

impl Tree {
    pub(super) fn new(genesis: BlockId) -> Self {
        Self {
            root: Root {
                id: genesis,
                height: Height(0),
                timestamp: Wall(0),
            },
            entries: BTreeMap::new(),
            kept: VecDeque::new(),
        }
    }

    pub(super) fn get(&self, id: &BlockId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &BlockId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    /// Whether it is the last final block or hangs on it.
    pub(super) fn knows(&self, id: &BlockId) -> bool {
        *id == self.root.id || self.entries.contains_key(id)
    }

    /// Adds a block whose parent is known.
    pub(super) fn insert(&mut self, link: Arc<Link>, stamp: Stamp, judged: Judged) {
        let id = link.block.id();
        assert!(
            self.knows(&link.block.header().parent),
            "parents come before their children"
        );
        let entry = Entry {
            link,
            stamp,
            judged,
            logged: false,
        };
        self.entries.entry(id).or_insert(entry);
    }

    /// The blocks from the one after the last final block to `tip`; `None` if it does not descend from
    /// that.
    pub(super) fn path(&self, tip: BlockId) -> Option<Vec<BlockId>> {
        let mut path = Vec::new();
        let mut at = tip;
        while at != self.root.id {
            path.push(at);
            at = self.get(&at)?.parent();
        }
        path.reverse();
        Some(path)
    }

    /// A block and its ancestors above the last final one, newest first; nothing if it is not here.
    pub(super) fn down_from(&self, tip: BlockId) -> impl Iterator<Item = &Entry> {
        std::iter::successors(self.get(&tip), |entry| self.get(&entry.parent()))
    }

    /// A child of the last final block becomes the last final block.
    pub(super) fn settle(&mut self, id: BlockId) {
        let entry = self.entries.remove(&id).expect("what is final was here");
        let header = entry.link.block.header();
        self.begin_at(Root {
            id,
            height: header.height,
            timestamp: header.timestamp,
        });
        self.kept.push_back((id, entry.link));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// This is the last final block now: what is not above it is forgotten.
    pub(super) fn begin_at(&mut self, root: Root) {
        self.root = root;
        self.entries.retain(|_, entry| entry.height() > root.height);
    }

    /// A block and its ancestors above a height, newest first, as many as are here and fit.
    pub(super) fn branch(
        &self,
        tip: &BlockId,
        above: Height,
        most: usize,
        bytes: usize,
    ) -> Vec<Arc<Link>> {
        let mut found = Vec::new();
        let mut left = bytes;
        let mut at = *tip;
        while found.len() < most {
            let kept = || {
                let mut kept = self.kept.iter().rev();
                kept.find(|(id, _)| *id == at).map(|(_, link)| link)
            };
            let Some(link) = self.get(&at).map(|entry| &entry.link).or_else(kept) else {
                break;
            };
            let (header, size) = (link.block.header(), link.block.wire_len());
            if header.height <= above || (size > left && !found.is_empty()) {
                break;
            }
            left = left.saturating_sub(size);
            at = header.parent;
            found.push(Arc::clone(link));
        }
        found
    }

    /// All that the log has, parents first.
    pub(super) fn logged(&self) -> Vec<&Entry> {
        let mut logged: Vec<_> = self.entries.values().filter(|entry| entry.logged).collect();
        logged.sort_by_key(|entry| (entry.height(), entry.stamp.view));
        logged
    }
}
