//! Making a block for the engine, and judging those of others.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{PROPOSAL_TIMER, Validator};
use crate::{
    block::{Block, Header},
    engine::{BlockFault, Engine, Input, Want},
    ledger::replay::ReplayWindow,
    membership::Permission,
    mempool::Readiness,
    node::{Action, Actions},
    types::{BlockId, Digest, Height, LocalTime, Mono, TxId, Wall},
};

/// What lies between a block and the chain.
struct Branch {
    /// Blocks that are not on the chain, newest first.
    blocks: Vec<Arc<Block>>,
    /// The newest ancestor that is.
    root: Height,
}

impl<E: Engine> Validator<E> {
    /// Builds the wanted block if its time has come; otherwise sets a timer for it.
    pub(super) fn propose(&mut self, now: LocalTime, actions: &mut Actions) {
        if !std::mem::take(&mut self.look_again) {
            return;
        }
        let Some(want) = &self.want else { return };
        let Some(branch) = self.branch(want.parent) else {
            // The engine may only build on what was judged: its own mistake, not a peer's.
            unreachable!("wanted a block on a parent that was never judged");
        };
        let taken = taken(&branch);
        match self.due(now, want, &taken) {
            Due::Now => {
                let want = self.want.take().expect("just seen");
                let block = self.build(now, &want, &taken, actions);
                self.tree.insert(block.id(), Arc::clone(&block));
                self.step(
                    now,
                    Input::Payload {
                        ticket: want.ticket,
                        block,
                    },
                    actions,
                );
            }
            Due::At(instant) => {
                if self.proposal_due.is_none_or(|armed| instant < armed) {
                    self.proposal_due = Some(instant);
                    let after = Duration::from_nanos(instant.since(now.mono));
                    actions.list.push(Action::Arm {
                        timer: PROPOSAL_TIMER,
                        after,
                    });
                }
            }
            Due::Never => {}
        }
    }

    fn due(&self, now: LocalTime, want: &Want, taken: &BTreeSet<TxId>) -> Due {
        if now.wall < want.not_before {
            let early = want.not_before.0 - now.wall.0;
            return Due::At(Mono(now.mono.0.saturating_add(early)));
        }
        if want.empty_ok {
            return Due::Now;
        }
        let skip = |tx: &TxId| taken.contains(tx);
        match self
            .mempool
            .ready(now.mono, self.config.batch, self.config.batch_age, &skip)
        {
            Readiness::Now => Due::Now,
            Readiness::At(instant) => Due::At(instant),
            Readiness::Empty => Due::Never,
        }
    }

    fn build(
        &self,
        now: LocalTime,
        want: &Want,
        taken: &BTreeSet<TxId>,
        actions: &mut Actions,
    ) -> Arc<Block> {
        let parent = self.known(&want.parent).expect("the branch was walked");
        let transactions = self
            .mempool
            .cut(self.config.batch, &|tx| taken.contains(tx));
        let block = Block::new(
            Header {
                height: parent.header().height.next(),
                parent: want.parent,
                transactions_root: Digest::ZERO,
                results: self.ledger.head().results,
                timestamp: now
                    .wall
                    .max(want.not_before)
                    .max(Wall(parent.header().timestamp.0 + 1)),
                proposer: self.me.id,
                extra: want.extra.clone(),
            },
            transactions,
        );
        actions.work.hashed_bytes += block.wire_len() as u64;
        block
    }

    /// Whether a block may follow its parent.
    pub(super) fn judge(
        &self,
        now: LocalTime,
        block: &Block,
        actions: &mut Actions,
    ) -> Result<(), BlockFault> {
        let header = block.header();
        let parent = self
            .known(&header.parent)
            .ok_or(BlockFault::UnknownParent)?;
        let branch = self
            .branch(header.parent)
            .ok_or(BlockFault::UnknownParent)?;
        if header.height != parent.header().height.next() {
            return Err(BlockFault::WrongHeight);
        }
        let latest = now
            .wall
            .0
            .saturating_add(self.config.clock_tolerance.as_nanos() as u64);
        if header.timestamp <= parent.header().timestamp || header.timestamp.0 > latest {
            return Err(BlockFault::Timestamp);
        }
        if !self.config.batch.admits(block.transactions()) {
            return Err(BlockFault::TooLarge);
        }
        actions.work.hashed_bytes += block.wire_len() as u64;
        if !block.is_whole() {
            return Err(BlockFault::WrongTransactions);
        }
        self.judge_results(block, &branch)?;
        self.judge_transactions(block, &branch)
    }

    /// Claimed results must be recent, and ours where we have executed that height.
    fn judge_results(&self, block: &Block, branch: &Branch) -> Result<(), BlockFault> {
        let claimed = block.header().results;
        let height = block.header().height;
        if claimed.height >= height || claimed.height.0 + self.config.results_lag < height.0 {
            return Err(BlockFault::WrongResults);
        }
        let ours = (claimed.height <= branch.root).then(|| self.ledger.results(claimed.height));
        if ours.flatten().is_some_and(|ours| ours != claimed) {
            return Err(BlockFault::WrongResults);
        }
        Ok(())
    }

    /// Every transaction is signed by a party that may write, and none was ordered before on this
    /// branch.
    fn judge_transactions(&self, block: &Block, branch: &Branch) -> Result<(), BlockFault> {
        let mut taken = taken(branch);
        let state = self
            .ledger
            .state_at(branch.root)
            .unwrap_or_else(|| self.ledger.state());
        let mut numbers = BTreeSet::new();
        for earlier in branch.blocks.iter().flat_map(|block| block.transactions()) {
            numbers.insert((earlier.party(), earlier.nonce()));
        }
        for transaction in block.transactions() {
            let registry = &self.me.registry;
            let party = registry
                .party(transaction.party())
                .ok_or(BlockFault::Unauthorised)?;
            // What waits in the mempool was checked at the door.
            let checked = self.mempool.contains(&transaction.id());
            let may_write = party.permission == Permission::Write;
            if !may_write || !(checked || registry.verify_party(transaction.signed())) {
                return Err(BlockFault::Unauthorised);
            }
            let fresh = taken.insert(transaction.id())
                && numbers.insert((party.id, transaction.nonce()))
                && ReplayWindow::load(state, party.id)
                    .check(transaction.nonce())
                    .is_ok();
            if !fresh {
                return Err(BlockFault::Duplicate);
            }
        }
        Ok(())
    }

    /// A block on the chain or judged good.
    pub(super) fn known(&self, id: &BlockId) -> Option<&Arc<Block>> {
        self.tree.get(id).or_else(|| {
            let height = self.ledger.contains_block(id)?;
            self.ledger.entry(height).map(|entry| &entry.block)
        })
    }

    fn branch(&self, tip: BlockId) -> Option<Branch> {
        let mut blocks = Vec::new();
        let mut at = tip;
        loop {
            if let Some(root) = self.ledger.contains_block(&at) {
                return Some(Branch { blocks, root });
            }
            let block = self.tree.get(&at)?;
            at = block.header().parent;
            blocks.push(Arc::clone(block));
        }
    }
}

/// Transactions of the blocks between a parent and the chain.
fn taken(branch: &Branch) -> BTreeSet<TxId> {
    branch
        .blocks
        .iter()
        .flat_map(|block| block.transactions())
        .map(|tx| tx.id())
        .collect()
}

/// When a wanted block can be made.
enum Due {
    Now,
    At(Mono),
    Never,
}
