//! Execution that nodes share: what all of them would compute alike is computed once.
//!
//! The key is (parent's state root, block): the state root covers everything that execution reads, the
//! block everything that it is told. Nodes that are not honest bypass it by executing for themselves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use consortium_node::{
    block::Block,
    contracts::ContractExecutor,
    ledger::{Execution, Executor, state::State},
    types::{BlockId, Digest},
};

/// Executions kept for nodes that are behind.
const KEPT: usize = 1024;

/// An executor with a memory.
pub(super) struct SharedExecutor {
    inner: Arc<ContractExecutor>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    done: BTreeMap<(Digest, BlockId), Execution>,
    order: std::collections::VecDeque<(Digest, BlockId)>,
}

impl SharedExecutor {
    pub(super) fn new(inner: Arc<ContractExecutor>) -> Self {
        Self {
            inner,
            memory: Mutex::default(),
        }
    }
}

impl Executor for SharedExecutor {
    fn execute(&self, parent: &State, block: &Block) -> Execution {
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
