//! The recent part of the block tree: who follows whom, how heavy each branch is, where the head is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    fork_choice::{ForkChoice, Weight},
    message::{HeadStatus, Locator},
};
use crate::{
    block::Block,
    sealed::SealedBlock,
    types::{BlockId, Digest, Height, NodeId, Wall},
};

/// Blocks this far below the head can still be handed out and built upon; older ones are the
/// ledger's. A reorganisation cannot reach deeper.
pub const KEEP: u64 = 1024;
/// Most blocks in one BODY.
pub const BATCH: usize = 64;
/// Most bytes of blocks in one BODY; the first block always fits.
pub const BATCH_BYTES: usize = 1 << 20;
/// Most ids in a FETCH: ten near the head, then one at each power of two down to [`KEEP`].
pub const LOCATOR: usize = 24;

/// What the tree knows of a block.
#[derive(Clone, Debug)]
struct Node {
    parent: BlockId,
    height: Height,
    timestamp: Wall,
    /// `None` for genesis, which nobody sealed.
    sealed: Option<SealedBlock>,
    total_difficulty: u64,
}

impl Node {
    fn signer(&self) -> Option<NodeId> {
        let sealed = self.sealed.as_ref()?;
        Some(sealed.block().header().proposer)
    }
}

/// The blocks that were judged and are at most [`KEEP`] below the head.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<BlockId, Node>,
    by_height: BTreeSet<(Height, BlockId)>,
    head: BlockId,
}

impl Tree {
    /// Nothing but genesis.
    pub(super) fn new(genesis: &Block) -> Self {
        let id = genesis.id();
        let header = genesis.header();
        let node = Node {
            parent: header.parent,
            height: header.height,
            timestamp: header.timestamp,
            sealed: None,
            total_difficulty: 0,
        };
        Self {
            by_height: BTreeSet::from([(header.height, id)]),
            nodes: BTreeMap::from([(id, node)]),
            head: id,
        }
    }

    /// The best chain's last block.
    pub(super) fn head(&self) -> HeadStatus {
        self.status(&self.head).expect("the head is in the tree")
    }

    /// A block's place, if it is here.
    pub(super) fn status(&self, id: &BlockId) -> Option<HeadStatus> {
        let node = self.nodes.get(id)?;
        Some(HeadStatus {
            head: *id,
            height: node.height,
            total_difficulty: node.total_difficulty,
        })
    }

    pub(super) fn contains(&self, id: &BlockId) -> bool {
        self.nodes.contains_key(id)
    }

    pub(super) fn timestamp(&self, id: &BlockId) -> Option<Wall> {
        Some(self.nodes.get(id)?.timestamp)
    }

    /// Lowest height that a new block may have. The margin keeps its nearest ancestors here, which
    /// the signer limit needs.
    pub(super) fn lowest(&self) -> Height {
        Height((self.head().height.0 + 1).saturating_sub(KEEP))
    }

    /// Whether `signer` sealed one of the `count` newest blocks of the branch that ends in `tip`.
    pub(super) fn signed_recently(&self, tip: &BlockId, count: usize, signer: NodeId) -> bool {
        self.branch(*tip)
            .take(count)
            .any(|(_, node)| node.signer() == Some(signer))
    }

    /// Blocks that `signer` sealed on top of `parent`. More than one is equivocation.
    pub(super) fn siblings(&self, parent: &BlockId, signer: NodeId) -> usize {
        let Some(height) = self.nodes.get(parent).map(|node| node.height.next()) else {
            return 0;
        };
        self.by_height
            .range((height, Digest::ZERO)..=(height, Digest([0xff; 32])))
            .map(|(_, id)| &self.nodes[id])
            .filter(|node| node.parent == *parent && node.signer() == Some(signer))
            .count()
    }

    /// Adds a judged block whose parent is here, and moves the head if the rule prefers the new one.
    pub(super) fn insert(&mut self, sealed: SealedBlock, difficulty: u64, rule: &ForkChoice) {
        let block = Arc::clone(sealed.block());
        let header = block.header();
        let parent = &self.nodes[&header.parent];
        assert_eq!(header.height, parent.height.next(), "checked before");
        let node = Node {
            parent: header.parent,
            height: header.height,
            timestamp: header.timestamp,
            total_difficulty: parent.total_difficulty.saturating_add(difficulty),
            sealed: Some(sealed),
        };
        self.by_height.insert((node.height, block.id()));
        self.nodes.insert(block.id(), node);
        if rule.prefers(&self.weight(&block.id()), &self.weight(&self.head)) {
            self.head = block.id();
            self.forget(rule.committee.n() as u64);
        }
    }

    fn weight(&self, id: &BlockId) -> Weight {
        let node = &self.nodes[id];
        Weight {
            id: *id,
            height: node.height,
            signer: node.signer(),
            total_difficulty: node.total_difficulty,
        }
    }

    /// Drops what is too deep to matter, but leaves the `margin` ancestors that [`Self::lowest`] promises.
    fn forget(&mut self, margin: u64) {
        let floor = Height(self.lowest().0.saturating_sub(margin));
        while let Some((_, id)) = self.by_height.first().filter(|(height, _)| *height < floor) {
            self.nodes.remove(id);
            self.by_height.pop_first();
        }
    }

    /// A branch from its tip down to where memory ends.
    fn branch(&self, tip: BlockId) -> impl Iterator<Item = (BlockId, &Node)> {
        let mut next = tip;
        std::iter::from_fn(move || {
            let id = next;
            let node = self.nodes.get(&id)?;
            next = node.parent;
            Some((id, node))
        })
    }

    /// What to ask for the branch that ends in `target`.
    pub(super) fn locator(&self, target: BlockId) -> Locator {
        let have = self
            .branch(self.head)
            .enumerate()
            .filter(|(depth, (_, node))| {
                *depth < 10 || depth.is_power_of_two() || node.height == Height(0)
            })
            .map(|(_, (id, _))| id)
            .take(LOCATOR)
            .collect();
        Locator { target, have }
    }

    /// The part of the wanted branch that the asker lacks, parents first, or nothing if the branches
    /// do not meet in what is kept here.
    pub(super) fn missing(&self, locator: &Locator) -> Vec<SealedBlock> {
        let have: BTreeSet<_> = locator.have.iter().collect();
        let mut meets = false;
        let mut lacking: Vec<_> = self
            .branch(locator.target)
            .take_while(|(id, _)| {
                meets = have.contains(id);
                !meets
            })
            .filter_map(|(_, node)| node.sealed.as_ref())
            .collect();
        if !meets {
            return Vec::new();
        }
        lacking.reverse();
        let mut bytes = 0;
        lacking
            .into_iter()
            .take(BATCH)
            .take_while(|sealed| {
                bytes += sealed.wire_len();
                bytes <= BATCH_BYTES || bytes == sealed.wire_len()
            })
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        block::{Header, Results},
        clique::{SEAL, TieBreak},
        crypto::{Keypair, SignatureMode},
        membership::Committee,
        types::ChainId,
    };

    /// A tree of so many blocks in a row, and their ids.
    fn grown(length: u64) -> (Tree, Vec<BlockId>) {
        let chain = ChainId(1);
        let key = Keypair::from_seed([1; 32], chain, SignatureMode::Lazy);
        let rule = ForkChoice {
            tie_break: TieBreak::FirstSeen,
            committee: Committee::new(chain, vec![(NodeId(0), key.public())]),
            seed: 0,
            me: NodeId(0),
        };
        let genesis = Block::genesis(Digest::ZERO);
        let mut tree = Tree::new(&genesis);
        let mut ids = vec![genesis.id()];
        for height in 1..=length {
            let header = Header {
                height: Height(height),
                parent: ids[height as usize - 1],
                transactions_root: Digest::ZERO,
                results: Results::default(),
                timestamp: Wall(height),
                proposer: NodeId(0),
                extra: Vec::new(),
            };
            let block = Block::new(header, Vec::new());
            ids.push(block.id());
            tree.insert(SealedBlock::new(&key, NodeId(0), SEAL, block), 2, &rule);
        }
        (tree, ids)
    }

    #[test]
    fn memory_is_bounded_and_what_is_promised_is_kept() {
        let (tree, ids) = grown(3 * KEEP);
        assert_eq!(
            tree.nodes.len() as u64,
            KEEP + 1,
            "KEEP blocks below the head's height and a margin of n = 1"
        );
        assert_eq!(tree.nodes.len(), tree.by_height.len());
        let lowest = tree.lowest();
        assert_eq!(lowest, Height(2 * KEEP + 1));
        let parent = ids[lowest.0 as usize - 1];
        assert!(
            tree.contains(&parent),
            "the lowest block that is taken has its parent here"
        );
        assert_eq!(tree.head().total_difficulty, 6 * KEEP);
    }

    #[test]
    fn an_answer_begins_where_the_chains_part_and_is_bounded() {
        let (longer, ids) = grown(500);
        let (shorter, _) = grown(300);
        let locator = shorter.locator(ids[500]);
        assert!(locator.have.len() <= LOCATOR);
        assert!(locator.have.contains(&ids[300]) && locator.have.contains(&ids[0]));
        let answer: Vec<_> = longer
            .missing(&locator)
            .iter()
            .map(|sealed| sealed.block().id())
            .collect();
        assert_eq!(answer, ids[301..301 + BATCH]);
        let stranger = Locator {
            target: ids[500],
            have: vec![Digest::ZERO],
        };
        assert!(longer.missing(&stranger).is_empty(), "nothing in common");
        let unknown = Locator {
            target: Digest::ZERO,
            have: vec![ids[0]],
        };
        assert!(longer.missing(&unknown).is_empty(), "no such branch");
    }

    #[test]
    fn a_locator_reaches_down_to_where_memory_ends() {
        let (tree, ids) = grown(3 * KEEP);
        let locator = tree.locator(ids[0]);
        assert!(locator.have.len() <= LOCATOR);
        assert_eq!(
            locator.have.last(),
            Some(&ids[2 * KEEP as usize]),
            "a power of two below the head"
        );
    }
}
