//! The chains of the honest validators, as the facts tell them: one tree for all, one path a node.
//!
//! A block is kept once, with the entry of whoever appended it first; that one is canonical and the
//! others are compared with it. Blocks form branches: the first child of a block continues its
//! branch, any other starts a new one. On one branch the ancestor of a height is a table look-up.

use std::{collections::BTreeMap, sync::Arc};

use consortium_node::{
    block::Block,
    ledger::Entry,
    types::{BlockId, Height, NodeId},
};

use super::verdict::Reorganisations;

/// A block of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockIndex(u32);

impl BlockIndex {
    /// Where every chain starts.
    pub const GENESIS: Self = Self(0);
    /// Greater than any block's.
    pub const MAX: Self = Self(u32::MAX);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a block.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id. That of genesis is learned from the first block that names it as its parent.
    pub id: BlockId,
    /// Its height, as its header says.
    pub height: Height,
    /// The entry of the first honest node that appended it; `None` for genesis.
    pub entry: Option<Arc<Entry>>,
    /// Who that was.
    pub first: NodeId,
    branch: u32,
    place: u32,
    first_child: Option<BlockIndex>,
}

/// Blocks of consecutive heights.
#[derive(Debug)]
struct Branch {
    /// What its first block follows, if that is known.
    fork: Option<BlockIndex>,
    /// Height of its first block.
    base: Height,
    blocks: Vec<BlockIndex>,
}

/// An honest node's path.
#[derive(Clone, Debug, Default)]
struct Path {
    /// Above genesis.
    blocks: Vec<BlockIndex>,
    /// Up to here it told submitters to rely on it.
    relied: Height,
    /// Blocks taken off since the last one was appended.
    undone: u64,
}

/// An honest node appended a block.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Who.
    pub node: NodeId,
    /// What, as this node has it.
    pub entry: &'a Arc<Entry>,
    /// Its place in the tree.
    pub block: BlockIndex,
    /// Where the node's chain ended before.
    pub head: BlockIndex,
    /// Whether no honest node had appended it before.
    pub fresh: bool,
}

/// An honest node took a block off its chain.
#[derive(Clone, Copy, Debug)]
pub struct Retraction<'a> {
    /// Who.
    pub node: NodeId,
    /// What.
    pub block: &'a Arc<Block>,
    /// Whether the node's chain ended with it.
    pub was_head: bool,
}

/// The tree and the paths.
#[derive(Debug)]
pub struct Chains {
    known: Vec<Known>,
    ids: BTreeMap<BlockId, BlockIndex>,
    branches: Vec<Branch>,
    paths: Vec<Path>,
    /// The greatest height that an honest chain ever had.
    tallest: Height,
    reorganisations: Reorganisations,
}

impl Chains {
    /// Nothing but genesis, for so many validators.
    pub fn new(validators: usize) -> Self {
        Self {
            known: vec![Known {
                id: BlockId::ZERO,
                height: Height(0),
                entry: None,
                first: NodeId(0),
                branch: 0,
                place: 0,
                first_child: None,
            }],
            ids: BTreeMap::new(),
            branches: vec![Branch {
                fork: None,
                base: Height(0),
                blocks: vec![BlockIndex::GENESIS],
            }],
            paths: vec![Path::default(); validators],
            tallest: Height(0),
            reorganisations: Reorganisations::default(),
        }
    }

    /// Takes a block that an honest validator appended.
    pub fn append<'a>(&mut self, node: NodeId, entry: &'a Arc<Entry>) -> Append<'a> {
        let head = self.head(node);
        let id = entry.block.id();
        if self.ids.is_empty() {
            let genesis = entry.block.header().parent;
            self.known[0].id = genesis;
            self.ids.insert(genesis, BlockIndex::GENESIS);
        }
        let followed = self.known[head.index()].first_child;
        let seen = followed
            .filter(|child| self.known[child.index()].id == id)
            .or_else(|| self.ids.get(&id).copied());
        let block = seen.unwrap_or_else(|| self.insert(node, head, entry));
        let path = &mut self.paths[node.index()];
        path.blocks.push(block);
        path.undone = 0;
        self.tallest = self.tallest.max(entry.height());
        Append {
            node,
            entry,
            block,
            head,
            fresh: seen.is_none(),
        }
    }

    fn insert(&mut self, node: NodeId, head: BlockIndex, entry: &Arc<Entry>) -> BlockIndex {
        let header = entry.block.header();
        let parent = if self.known(head).id == header.parent {
            Some(head)
        } else {
            self.ids.get(&header.parent).copied()
        };
        let index = BlockIndex(u32::try_from(self.known.len()).expect("fewer than 2^32 blocks"));
        let branch = match parent.map(|parent| &mut self.known[parent.index()]) {
            Some(parent)
                if parent.first_child.is_none() && parent.height.next() == header.height =>
            {
                parent.first_child = Some(index);
                parent.branch
            }
            _ => {
                self.branches.push(Branch {
                    fork: parent,
                    base: header.height,
                    blocks: Vec::new(),
                });
                (self.branches.len() - 1) as u32
            }
        };
        let blocks = &mut self.branches[branch as usize].blocks;
        let place = blocks.len() as u32;
        blocks.push(index);
        self.ids.insert(entry.block.id(), index);
        self.known.push(Known {
            id: entry.block.id(),
            height: header.height,
            entry: Some(Arc::clone(entry)),
            first: node,
            branch,
            place,
            first_child: None,
        });
        index
    }

    /// The greatest height that an honest chain ever had.
    pub fn tallest(&self) -> Height {
        self.tallest
    }

    /// Takes a block off an honest validator's chain, if it ends with it.
    pub fn retract<'a>(&mut self, node: NodeId, block: &'a Arc<Block>) -> Retraction<'a> {
        let head = self.head(node);
        let was_head = head != BlockIndex::GENESIS && self.known(head).id == block.id();
        if was_head {
            let path = &mut self.paths[node.index()];
            path.blocks.pop();
            path.undone += 1;
            let counts = &mut self.reorganisations;
            counts.retracted += 1;
            counts.deepest = counts.deepest.max(path.undone);
            let height = block.header().height;
            if height <= path.relied {
                counts.after_relied += 1;
                path.relied = height.prev();
            }
        }
        Retraction {
            node,
            block,
            was_head,
        }
    }

    /// An honest validator starts again with its chain up to this height: the rest was not durable, or
    /// its disk is gone. Nobody forgets what it said of the rest: other blocks at those heights are
    /// conflicts as before.
    pub fn restart(&mut self, node: NodeId, height: Height) {
        let path = &mut self.paths[node.index()];
        path.blocks
            .truncate(usize::try_from(height.0).unwrap_or(usize::MAX));
        path.relied = path.relied.min(height);
        path.undone = 0;
    }

    /// An honest validator took over a snapshot: it stands where the chain of this block stands, though it
    /// holds no block below. A block that nobody honest has appended is nowhere, and changes nothing.
    pub fn adopt(&mut self, node: NodeId, block: &BlockId) {
        let Some(adopted) = self.find(block) else {
            return;
        };
        let heights = (1..=self.known(adopted).height.0).map(Height);
        let way = heights.filter_map(|height| self.ancestor(adopted, height));
        let blocks = way.collect();
        let path = &mut self.paths[node.index()];
        path.blocks = blocks;
        path.undone = 0;
    }

    /// Where a block stands, if somebody honest has appended it.
    pub fn find(&self, block: &BlockId) -> Option<BlockIndex> {
        self.ids.get(block).copied()
    }

    /// Notes that an honest validator tells submitters to rely on its chain up to this height.
    pub fn rely(&mut self, node: NodeId, height: Height) {
        let path = &mut self.paths[node.index()];
        path.relied = path.relied.max(height);
    }

    /// How often honest nodes changed their minds.
    pub fn reorganisations(&self) -> Reorganisations {
        self.reorganisations
    }

    /// What is known of a block.
    pub fn known(&self, block: BlockIndex) -> &Known {
        &self.known[block.index()]
    }

    /// All blocks but genesis, in the order in which they showed up, with their entries.
    pub fn blocks(&self) -> impl Iterator<Item = (BlockIndex, &Arc<Entry>)> {
        self.known
            .iter()
            .enumerate()
            .filter_map(|(index, known)| Some((BlockIndex(index as u32), known.entry.as_ref()?)))
    }

    /// Where a validator's chain ends.
    pub fn head(&self, node: NodeId) -> BlockIndex {
        let last = self.paths[node.index()].blocks.last();
        last.copied().unwrap_or(BlockIndex::GENESIS)
    }

    /// Whether a validator's chain holds a block.
    pub fn holds(&self, node: NodeId, block: BlockIndex) -> bool {
        let height = self.known(block).height.0;
        let place = usize::try_from(height).ok().and_then(|h| h.checked_sub(1));
        place.and_then(|place| self.paths[node.index()].blocks.get(place)) == Some(&block)
    }

    /// Whether `older` is `newer` or an ancestor of it.
    pub fn descends(&self, newer: BlockIndex, older: BlockIndex) -> bool {
        let older = self.known(older);
        let mut at = self.known(newer);
        while at.branch != older.branch {
            match self.branches[at.branch as usize].fork {
                Some(fork) => at = self.known(fork),
                None => return false,
            }
        }
        older.place <= at.place
    }

    /// The ancestor of `block`, or itself, at this height.
    pub fn ancestor(&self, block: BlockIndex, height: Height) -> Option<BlockIndex> {
        let mut at = self.known(block);
        loop {
            let branch = &self.branches[at.branch as usize];
            if let Some(place) = height.0.checked_sub(branch.base.0) {
                let place = usize::try_from(place).ok()?;
                return branch
                    .blocks
                    .get(place)
                    .copied()
                    .filter(|_| place <= at.place as usize);
            }
            at = self.known(branch.fork?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::Stage;

    #[test]
    fn ancestors_are_found_across_branches_and_reorganisations_are_counted() {
        let first = Stage::block(&Stage::genesis(), vec![]);
        let left = Stage::block_at(&first, vec![], 1);
        let right = Stage::block_at(&first, vec![], 2);
        let tip = Stage::block_at(&right, vec![], 3);
        let entry = |block| Arc::new(Stage::entry(block, vec![], None));
        let [first, left, right, tip] = [&first, &left, &right, &tip].map(entry);

        let mut chains = Chains::new(2);
        let (a, b) = (NodeId(0), NodeId(1));
        let root = chains.append(a, &first).block;
        let left_at = chains.append(a, &left).block;
        assert!(!chains.append(b, &first).fresh);
        let right_at = chains.append(b, &right).block;
        chains.rely(a, Height(2));
        assert!(!chains.retract(a, &first.block).was_head);
        assert!(chains.retract(a, &left.block).was_head);
        assert!(!chains.append(a, &right).fresh);
        let tip_at = chains.append(a, &tip).block;

        assert!(chains.descends(tip_at, root) && chains.descends(tip_at, right_at));
        assert!(!chains.descends(tip_at, left_at) && !chains.descends(root, tip_at));
        assert_eq!(chains.ancestor(tip_at, Height(2)), Some(right_at));
        assert_eq!(chains.ancestor(tip_at, Height(1)), Some(root));
        assert_eq!(
            chains.ancestor(left_at, Height(0)),
            Some(BlockIndex::GENESIS)
        );
        assert_eq!(chains.ancestor(left_at, Height(3)), None);
        assert!(chains.holds(a, right_at) && !chains.holds(a, left_at));
        assert!(!chains.holds(b, tip_at));
        assert_eq!(
            chains.reorganisations(),
            Reorganisations {
                retracted: 1,
                deepest: 1,
                after_relied: 1
            }
        );
    }
}
