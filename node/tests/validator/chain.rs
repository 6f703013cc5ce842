//! Blocks as an honest peer would make them, with the results that executing them gives.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Header},
    ledger::{Ledger, State},
    transaction::Transaction,
    types::{Digest, NodeId, Wall},
};

use crate::stage::{EPOCH, executor};

/// Between blocks of a chain.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// A chain that grows; a clone is a branch.
#[derive(Clone)]
pub(crate) struct Chain(pub(crate) Ledger);

impl Chain {
    pub(crate) fn new() -> Self {
        Self(Ledger::new(State::new()))
    }

    /// The header of the next block: one period after its parent, the first long ago.
    pub(crate) fn header(&self, proposer: u16) -> Header {
        let head = self.0.head();
        let height = self.0.height().next();
        Header {
            height,
            parent: head.block.id(),
            transactions_root: Digest::ZERO,
            results: head.results,
            timestamp: Wall(EPOCH - 1_000_000_000_000 + height.0 * PERIOD.as_nanos() as u64),
            proposer: NodeId(proposer),
            extra: Vec::new(),
        }
    }

    /// Adds a block with this header.
    pub(crate) fn push(&mut self, header: Header, txs: Vec<Arc<Transaction>>) -> Arc<Block> {
        let block = Block::new(header, txs);
        self.0.append(Arc::clone(&block), None, &*executor());
        block
    }

    /// Adds a block of `proposer`.
    pub(crate) fn grow(&mut self, proposer: u16, txs: &[&Arc<Transaction>]) -> Arc<Block> {
        let txs = txs.iter().map(|tx| Arc::clone(tx)).collect();
        self.push(self.header(proposer), txs)
    }
}
