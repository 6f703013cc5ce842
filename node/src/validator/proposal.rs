//! Making a block for the engine, and judging those of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{PROPOSAL_TIMER, Validator};
use crate::{
    block::{Block, Header},
    engine::{BlockFault, Engine, Input, Want},
    ledger::{replay::ReplayWindow, state::State},
    membership::Permission,
    mempool::Readiness,
    node::{Action, Actions},
    transaction::Transaction,
    types::{BlockId, Digest, Height, LocalTime, Mono, PartyId, TxId, Wall},
};

/// Most bytes that a protocol may add to a header; what it adds is a number or a few.
pub const EXTRA_BYTES: usize = 1024;

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
        // A quorum may have certified a parent that this host refused (its clock is behind, say). It is
        // known once it is final, and then we look again.
        let Some(branch) = self.branch(want.parent) else {
            return;
        };
        let taken = self.taken(&branch);
        match self.due(now, want, &taken) {
            Due::Now => {
                let Some(block) = self.build(now, want, &branch, &taken, actions) else {
                    return;
                };
                let want = self.want.take().expect("just seen");
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

    /// The wanted block, or nothing if all that could go into it hangs on blocks under way.
    fn build(
        &self,
        now: LocalTime,
        want: &Want,
        branch: &Branch,
        taken: &BTreeSet<TxId>,
        actions: &mut Actions,
    ) -> Option<Arc<Block>> {
        let parent = self.known(&want.parent)?;
        let state = self.ledger.state_at(branch.root)?;
        let mut numbers = Numbers::after(branch, self.windows(state));
        let mut transactions = self
            .mempool
            .cut(self.config.batch, &|tx| taken.contains(tx));
        transactions.retain(|transaction| numbers.take(transaction));
        if transactions.is_empty() && !want.empty_ok {
            return None;
        }
        let block = Block::new(
            Header {
                height: parent.header().height.next(),
                parent: want.parent,
                transactions_root: Digest::ZERO,
                results: self.ledger.results(self.claimable(branch))?,
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
        Some(block)
    }

    /// What waits here and may not follow the branch, because one of its blocks used the number.
    fn taken(&self, branch: &Branch) -> BTreeSet<TxId> {
        let waiting = |tx: &Arc<Transaction>| self.mempool.of_number(tx.party(), tx.nonce());
        let blocks = branch.blocks.iter();
        let transactions = blocks.flat_map(|block| block.transactions());
        transactions.filter_map(waiting).copied().collect()
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
        let fits = self.config.batch.admits(block.transactions());
        if !fits || header.extra.len() > EXTRA_BYTES {
            return Err(BlockFault::TooLarge);
        }
        actions.work.hashed_bytes += block.wire_len() as u64;
        if !block.is_whole() {
            return Err(BlockFault::WrongTransactions);
        }
        self.judge_results(block, &branch)?;
        self.judge_transactions(block, &branch)
    }

    /// Whose results a block on this branch carries: those of genesis where nobody executes.
    fn claimable(&self, branch: &Branch) -> Height {
        if self.executor.executes() {
            branch.root
        } else {
            Height(0)
        }
    }

    /// Claimed results must be recent, and ours where we have executed that height.
    fn judge_results(&self, block: &Block, branch: &Branch) -> Result<(), BlockFault> {
        let claimed = block.header().results;
        let height = block.header().height;
        if !self.executor.executes() {
            let ours = self.ledger.results(Height(0)) == Some(claimed);
            return ours.then_some(()).ok_or(BlockFault::WrongResults);
        }
        if claimed.height >= height
            || claimed.height.0.saturating_add(self.config.results_lag) < height.0
        {
            return Err(BlockFault::WrongResults);
        }
        // Where the chain only grows, all of it is executed in time, and nobody need believe a proposer
        // about what was not executed here. A branch that never becomes the chain is never executed.
        if !self.engine.has_branches() && claimed.height > branch.root {
            return Err(BlockFault::Unexecuted);
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
        // What turned off from the chain so long ago can no longer be judged.
        let state = self.ledger.state_at(branch.root);
        let state = self.windows(state.ok_or(BlockFault::UnknownParent)?);
        let mut numbers = Numbers::after(branch, state);
        for transaction in block.transactions() {
            let registry = &self.me.registry;
            let party = registry
                .party(transaction.party())
                .ok_or(BlockFault::Unauthorised)?;
            // What waits in the mempool was checked at the door; but an id does not cover the
            // signature, so only the very same object has been.
            let waiting = self.mempool.get(&transaction.id());
            let checked = waiting.is_some_and(|waiting| Arc::ptr_eq(waiting, transaction));
            let may_write = party.permission == Permission::Write;
            if !may_write || !(checked || registry.verify_party(transaction.signed())) {
                return Err(BlockFault::Unauthorised);
            }
            if !numbers.take(transaction) {
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

/// The replay windows as they will be after a branch: the question that execution will ask, asked
/// beforehand. Windows move, so that one order can use up the numbers of others.
struct Numbers<'a> {
    state: &'a State,
    /// What the branch uses, in its order.
    ordered: BTreeMap<PartyId, Vec<u64>>,
    /// Of the parties that were asked about.
    windows: BTreeMap<PartyId, ReplayWindow>,
}

impl<'a> Numbers<'a> {
    /// After the blocks of `branch`, which begins on this state.
    fn after(branch: &Branch, state: &'a State) -> Self {
        let mut ordered: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let blocks = branch.blocks.iter().rev();
        for transaction in blocks.flat_map(|block| block.transactions()) {
            let numbers = ordered.entry(transaction.party()).or_default();
            numbers.push(transaction.nonce());
        }
        Self {
            state,
            ordered,
            windows: BTreeMap::new(),
        }
    }

    /// Uses up a transaction's number. `false`: it is not there to be used.
    fn take(&mut self, transaction: &Transaction) -> bool {
        let party = transaction.party();
        let window = self.windows.entry(party).or_insert_with(|| {
            let mut window = ReplayWindow::load(self.state, party);
            for nonce in self.ordered.get(&party).into_iter().flatten() {
                // A block that was certified over our refusal may hold a number that is void.
                let _ = window.insert(*nonce);
            }
            window
        });
        window.insert(transaction.nonce()).is_ok()
    }
}

/// When a wanted block can be made.
enum Due {
    Now,
    At(Mono),
    Never,
}
