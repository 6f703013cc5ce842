//! What an orderer makes of a block: nothing.

use crate::{
    block::Block,
    ledger::{Execution, Executor, State},
    transaction::{Outcome, Receipt},
};

/// Executes nothing. It leaves a receipt for each envelope, not for the order in it: the same order may
/// be ordered again in another envelope.
#[derive(Clone, Copy, Debug)]
pub struct Opaque;

impl Executor for Opaque {
    fn execute(&self, parent: &State, block: &Block) -> Execution {
        let ordered = |leaf| Receipt {
            tx: leaf,
            outcome: Outcome::Ok,
            transition: None,
        };
        let leaves = block.transactions().iter().map(|one| one.leaf());
        let receipts = leaves.map(ordered).collect();
        Execution::new(block.header().height, parent.clone(), receipts)
    }

    fn executes(&self) -> bool {
        false
    }
}
