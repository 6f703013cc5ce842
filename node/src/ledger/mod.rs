//! The chain that a node keeps, and the state that executing it gives.

use std::sync::Arc;

use crate::{
    block::{Block, Finality, Results},
    transaction::Receipt,
};

/// A block that joined a node's chain.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The block.
    pub block: Arc<Block>,
    /// Why an outsider may believe that it is final; `None` if it is not, or not yet.
    pub proof: Option<Arc<Finality>>,
    /// What executing it gave.
    pub results: Results,
    /// What became of each transaction, in their order.
    pub receipts: Arc<Vec<Receipt>>,
}

/// A chain with its state.
#[derive(Debug)]
pub struct Ledger(());
