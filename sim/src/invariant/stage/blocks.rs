//! Blocks and entries for the stage.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Finality, Header, Results},
    codec,
    ledger::Entry,
    transaction::{Outcome, Receipt, Transaction, Transition},
    types::{Digest, Height, NodeId, Wall},
};

use super::Stage;

/// Blocks and entries.
impl Stage {
    pub(crate) fn genesis() -> Arc<Block> {
        Block::genesis(Digest([1; 32]))
    }

    pub(crate) fn block(parent: &Block, transactions: Vec<Arc<Transaction>>) -> Arc<Block> {
        Self::block_at(parent, transactions, 0)
    }

    /// A block with this timestamp, which makes siblings differ.
    pub(crate) fn block_at(
        parent: &Block,
        transactions: Vec<Arc<Transaction>>,
        timestamp: u64,
    ) -> Arc<Block> {
        let mut header = header(parent);
        header.timestamp = Wall(timestamp);
        Block::new(header, transactions)
    }

    pub(crate) fn block_of_height(parent: &Block, height: u64) -> Arc<Block> {
        let mut header = header(parent);
        header.height = Height(height);
        Block::new(header, Vec::new())
    }

    pub(crate) fn block_claiming(parent: &Block, results: Results) -> Arc<Block> {
        let mut header = header(parent);
        header.results = results;
        Block::new(header, Vec::new())
    }

    pub(crate) fn entry(
        block: &Arc<Block>,
        receipts: Vec<Receipt>,
        proof: Option<Finality>,
    ) -> Entry {
        Entry {
            block: Arc::clone(block),
            proof: proof.map(Arc::new),
            results: results(block),
            receipts: Arc::new(receipts),
        }
    }

    pub(crate) fn receipt(
        transaction: &Transaction,
        outcome: Outcome,
        transition: Option<Transition>,
    ) -> Receipt {
        Receipt {
            tx: transaction.id(),
            outcome,
            transition,
        }
    }
}

fn results(block: &Block) -> Results {
    if block.header().height == Height(0) {
        return block.header().results;
    }
    Results {
        height: block.header().height,
        state_root: codec::digest("state on the stage", &block.id()),
        receipts_root: Digest::ZERO,
    }
}

/// A header on this parent that carries its results.
fn header(parent: &Block) -> Header {
    Header {
        height: parent.header().height.next(),
        parent: parent.id(),
        transactions_root: Digest::ZERO,
        results: results(parent),
        timestamp: Wall(0),
        proposer: NodeId(0),
        extra: Vec::new(),
    }
}
