//! A chain up to a height, without its blocks: what a ledger can begin with in place of genesis.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::State;
use crate::{
    block::{Block, Finality, Results},
    transaction::Receipt,
};

/// The newest block of a chain and all that executing the chain gave.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Snapshot {
    /// The block.
    pub block: Arc<Block>,
    /// Why it is final.
    pub proof: Arc<Finality>,
    /// The roots of what follows.
    pub results: Results,
    /// What became of its transactions.
    pub receipts: Arc<Vec<Receipt>>,
    /// The state after it; the replay windows of all parties are part of it (R39).
    pub state: State,
}

impl Snapshot {
    /// Whether the state is that of the results.
    pub fn is_whole(&self) -> bool {
        self.state.root() == self.results.state_root
            && self.results.height == self.block.header().height
    }

    /// Bytes on disk.
    pub fn wire_len(&self) -> usize {
        let results = 8 + 32 + 32;
        let receipts = borsh::object_length(&*self.receipts).expect("receipts are finite");
        let block = self.block.wire_len() + self.proof.wire_len();
        block + results + receipts + self.state.wire_len()
    }
}
