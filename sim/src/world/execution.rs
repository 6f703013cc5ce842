//! Execution that nodes share: what all of them would compute alike is computed once.
//!
//! The key is (parent's state root, block): the state root covers everything that execution reads, the
//! block everything that it is told. Nodes that are not honest execute for themselves. So does a rotating
//! auditor, one node every few blocks: should execution not be a function of its arguments, its results
//! differ from the others', and the state-root invariant sees it through the front door.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use consortium_node::{
    block::Block,
    ledger::{Execution, Executor, state::State},
    types::{BlockId, Digest},
};

/// Executions kept for nodes that are behind.
const KEPT: usize = 1024;
/// Every node audits one block in so many rounds of the nodes.
const AUDIT_ROUNDS: u64 = 16;

/// What was executed already, for all nodes.
#[derive(Default)]
pub(super) struct Memory {
    done: BTreeMap<(Digest, BlockId), Execution>,
    order: VecDeque<(Digest, BlockId)>,
}

/// A node's executor, with a memory that it shares.
pub(super) struct SharedExecutor {
    pub(super) inner: Arc<dyn Executor>,
    pub(super) memory: Arc<Mutex<Memory>>,
    /// The node's place among `nodes`.
    pub(super) node: u64,
    pub(super) nodes: u64,
}

impl SharedExecutor {
    fn audits(&self, block: &Block) -> bool {
        block.header().height.0 % (self.nodes * AUDIT_ROUNDS) == self.node * AUDIT_ROUNDS
    }
}

impl Executor for SharedExecutor {
    fn execute(&self, parent: &State, block: &Block) -> Execution {
        if self.audits(block) {
            return self.inner.execute(parent, block);
        }
        let key = (parent.root(), block.id());
        let mut memory = self.memory.lock().expect("execution does not panic");
        if let Some(done) = memory.done.get(&key) {
            return done.clone();
        }
        let execution = self.inner.execute(parent, block);
        memory.done.insert(key, execution.clone());
        memory.order.push_back(key);
        if memory.order.len() > KEPT
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.done.remove(&oldest);
        }
        execution
    }
}

#[cfg(test)]
mod tests {
    use consortium_node::{
        contracts::ContractExecutor, ledger::Ledger, membership::Registry, types::ChainId,
    };

    use super::*;

    #[test]
    fn a_block_is_executed_once_for_all_but_its_auditor() {
        let registry = Registry {
            chain: ChainId(1),
            members: Vec::new(),
            nodes: Vec::new(),
            parties: Vec::new(),
        };
        let inner: Arc<dyn Executor> = Arc::new(ContractExecutor {
            registry: Arc::new(registry),
        });
        let memory = Arc::new(Mutex::new(Memory::default()));
        let executor = |node| SharedExecutor {
            inner: Arc::clone(&inner),
            memory: Arc::clone(&memory),
            node,
            nodes: 2,
        };
        let ledger = Ledger::new(State::new());
        let genesis = Arc::clone(&ledger.genesis().block);
        let remembered = || memory.lock().expect("no panic").done.len();
        executor(0).execute(ledger.state(), &genesis);
        assert_eq!(remembered(), 0, "node 0 audits height 0 for itself");
        let first = executor(1).execute(ledger.state(), &genesis);
        let again = executor(1).execute(ledger.state(), &genesis);
        assert_eq!(remembered(), 1);
        assert!(
            Arc::ptr_eq(&first.receipts, &again.receipts),
            "the same execution"
        );
    }
}
