//! The chains of the honest validators as they tell of them: what is included, what is taken back.

use std::{collections::BTreeMap, sync::Arc};

use consortium_node::{
    block::Block,
    ledger::Entry,
    transaction::{Outcome, Receipt},
    types::{BlockId, Digest, Height, NodeId},
};

use super::book::Book;
use crate::time::Time;

/// One validator's chain.
#[derive(Clone, Default, Debug)]
struct Chain {
    /// Blocks above genesis with the state after them.
    blocks: BTreeMap<Height, (BlockId, Digest)>,
    /// Up to here its submitters were told to rely on it.
    relied: Height,
    /// Blocks taken off since the last was added.
    falling: u64,
}

/// A block on at least one honest chain, or forgotten in a crash by all that had it.
#[derive(Clone, Debug)]
struct Held {
    receipts: Arc<Vec<Receipt>>,
    holders: usize,
}

/// All chains.
#[derive(Clone, Debug)]
pub(super) struct Chains {
    validators: Vec<Chain>,
    held: BTreeMap<BlockId, Held>,
    pub(super) reorganisations: u64,
    pub(super) deepest: u64,
    pub(super) retracted_after_relied: u64,
}

impl Chains {
    pub(super) fn new(validators: usize) -> Self {
        Self {
            validators: vec![Chain::default(); validators],
            held: BTreeMap::new(),
            reorganisations: 0,
            deepest: 0,
            retracted_after_relied: 0,
        }
    }

    /// A validator's chain grew. A block that it tells of again, after a crash say, changes nothing;
    /// one that contradicts what it had at that height replaces what it forgot.
    pub(super) fn appended(&mut self, node: NodeId, entry: &Entry, at: Time, book: &mut Book) {
        let (height, id) = (entry.block.header().height, entry.block.id());
        let chain = &mut self.validators[node.index()];
        chain.falling = 0;
        if chain.blocks.get(&height).is_some_and(|(had, _)| *had == id) {
            return;
        }
        let forgotten = chain.blocks.split_off(&height);
        chain.relied = chain.relied.min(height.prev());
        chain.blocks.insert(height, (id, entry.results.state_root));
        for (block, _) in forgotten.into_values() {
            self.release(block, book);
        }
        let held = self.held.entry(id).or_insert_with(|| {
            for receipt in entry.receipts.iter() {
                if is_valid(receipt) {
                    book.included(&receipt.tx, at);
                } else {
                    book.invalidated += 1;
                }
            }
            Held {
                receipts: Arc::clone(&entry.receipts),
                holders: 0,
            }
        });
        held.holders += 1;
    }

    /// A validator starts again from this height. What it forgot is not taken back by that: others hold
    /// it, or it will append it again; see [`Chains::close`].
    pub(super) fn recovered(&mut self, node: NodeId, height: Height) {
        let chain = &mut self.validators[node.index()];
        chain.falling = 0;
        chain.relied = chain.relied.min(height);
        for (block, _) in chain.blocks.split_off(&height.next()).into_values() {
            let held = self.held.get_mut(&block);
            held.expect("a holder forgets it").holders -= 1;
        }
    }

    /// A validator's chain begins with this block now: it holds the state after it and no block below.
    pub(super) fn adopted(&mut self, node: NodeId, height: Height, id: BlockId, root: Digest) {
        let chain = &mut self.validators[node.index()];
        chain.falling = 0;
        // Without a holder of the block, nobody honest has it: another reader's affair.
        if let Some(held) = self.held.get_mut(&id)
            && chain.blocks.insert(height, (id, root)).is_none()
        {
            held.holders += 1;
        }
    }

    /// The run is over: what everyone forgot is on no chain.
    pub(super) fn close(&mut self, book: &mut Book) {
        for held in self.held.values().filter(|held| held.holders == 0) {
            for receipt in held.receipts.iter().filter(|receipt| is_valid(receipt)) {
                book.excluded(&receipt.tx);
            }
        }
        self.held.retain(|_, held| held.holders > 0);
    }

    /// A validator took its newest block off. Several in a row are one reorganisation.
    pub(super) fn retracted(&mut self, node: NodeId, block: &Block, book: &mut Book) {
        let height = block.header().height;
        let chain = &mut self.validators[node.index()];
        if chain
            .blocks
            .get(&height)
            .is_none_or(|(had, _)| *had != block.id())
        {
            return;
        }
        chain.blocks.remove(&height);
        chain.falling += 1;
        self.reorganisations += u64::from(chain.falling == 1);
        self.deepest = self.deepest.max(chain.falling);
        if height <= chain.relied {
            chain.relied = height.prev();
            self.retracted_after_relied += 1;
        }
        self.release(block.id(), book);
    }

    fn release(&mut self, block: BlockId, book: &mut Book) {
        let held = self.held.get_mut(&block).expect("a holder lets go of it");
        held.holders -= 1;
        if held.holders == 0 {
            for receipt in held.receipts.iter().filter(|receipt| is_valid(receipt)) {
                book.excluded(&receipt.tx);
            }
            self.held.remove(&block);
        }
    }

    /// A validator told its submitters to rely on its chain up to here.
    pub(super) fn relied(&mut self, node: NodeId, height: Height) {
        let chain = &mut self.validators[node.index()];
        chain.relied = chain.relied.max(height);
    }

    /// Height of a validator's chain.
    pub(super) fn height(&self, node: NodeId) -> Height {
        self.validators[node.index()]
            .blocks
            .last_key_value()
            .map_or(Height(0), |(height, _)| *height)
    }

    /// How many validators' newest state is also on the chain of `node`.
    pub(super) fn agreeing(&self, node: NodeId) -> usize {
        let reference = &self.validators[node.index()].blocks;
        self.validators
            .iter()
            .filter_map(|chain| chain.blocks.last_key_value())
            .filter(|(height, (_, root))| {
                reference.get(height).is_some_and(|(_, ours)| ours == root)
            })
            .count()
    }
}

/// An invalid envelope stands in a block without being part of the history.
fn is_valid(receipt: &Receipt) -> bool {
    !matches!(receipt.outcome, Outcome::Invalid(_))
}
