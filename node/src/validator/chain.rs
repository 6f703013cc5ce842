//! What the engine decided becomes chain, state and receipts.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Validator;
use crate::{
    block::{Block, Finality, Results},
    engine::{Engine, Input, ReplyRule},
    ledger::{Entry, replay::ReplayWindow},
    node::{Action, Actions, ClientPacket, Note, Packet, ReceiptPage, TxRefusal},
    storage::{Stored, Write},
    transaction::Transaction,
    types::{BlockId, Epoch, Height, LocalTime, NodeId, TxId},
};

/// Heights below the head at which blocks of other branches are still kept.
const BRANCHES_KEPT: u64 = 4096;

impl<E: Engine> Validator<E> {
    /// A block will never be withdrawn: the chain grows by it, unless it has been head before.
    pub(super) fn finalise(
        &mut self,
        now: LocalTime,
        block: Arc<Block>,
        proof: Arc<Finality>,
        actions: &mut Actions,
    ) {
        let height = block.header().height;
        let stored = Stored {
            block: Arc::clone(&block),
            proof: Arc::clone(&proof),
        };
        actions.list.push(Action::Persist(Write::Block(stored)));
        if self.ledger.contains_block(&block.id()).is_some() {
            let entry = self.ledger.finalise(height, proof);
            let (block, results) = (entry.block.id(), entry.results);
            self.step(now, Input::Executed { block, results }, actions);
        } else {
            self.append(now, block, Some(proof), actions);
        }
        self.settled(height);
        self.rely_up_to(height, actions);
    }

    /// The chain is final up to here.
    pub(super) fn settled(&mut self, height: Height) {
        self.keep_hand_over(height);
        // Nothing at or below a final height can be built on or proposed any more.
        self.tree.retain(|_, block| block.header().height > height);
        if self.config.snapshot_above < u64::MAX {
            self.archive.keep(&self.ledger);
        }
    }

    /// The chain now ends at `head`: what is not an ancestor is taken off, what is missing is put on.
    pub(super) fn move_head(&mut self, now: LocalTime, head: BlockId, actions: &mut Actions) {
        let mut branch = Vec::new();
        let mut at = head;
        let root = loop {
            if let Some(root) = self.ledger.contains_block(&at) {
                break root;
            }
            let block = self.tree.get(&at).expect("a head's ancestors were judged");
            at = block.header().parent;
            branch.push(Arc::clone(block));
        };
        let orphans = self.roll_back(root, actions);
        for block in branch.into_iter().rev() {
            self.append(now, block, None, actions);
        }
        self.wait_again(now, orphans);
        let oldest_kept = Height(self.ledger.height().0.saturating_sub(BRANCHES_KEPT));
        self.tree
            .retain(|_, block| block.header().height > oldest_kept);
        self.ledger.forget_snapshots_below(oldest_kept);
        if let ReplyRule::Depth(depth) = self.engine.reply_rule() {
            self.rely_up_to(
                Height(self.ledger.height().0.saturating_sub(depth)),
                actions,
            );
        }
    }

    /// Takes off what lies above `root`. Returns its transactions, newest first.
    pub(super) fn roll_back(
        &mut self,
        root: Height,
        actions: &mut Actions,
    ) -> Vec<Arc<Transaction>> {
        let mut orphans = Vec::new();
        while self.ledger.height() > root {
            let entry = self.ledger.roll_back();
            self.tree.insert(entry.block.id(), Arc::clone(&entry.block));
            orphans.extend(entry.block.transactions().iter().rev().cloned());
            actions.note(Note::Retracted {
                block: Arc::clone(&entry.block),
            });
        }
        self.relied = self.relied.min(root);
        orphans
    }

    /// Transactions of a branch that lost, newest first, wait again in front of the others, unless the
    /// winner has used their numbers.
    pub(super) fn wait_again(&mut self, now: LocalTime, orphans: Vec<Arc<Transaction>>) {
        for transaction in orphans {
            let (party, nonce) = (transaction.party(), transaction.nonce());
            if !self.ledger.executed(party, nonce) {
                // A full mempool loses it here; its gateway still has it and submits it again.
                let _ = self.mempool.put_back(transaction, now.mono);
                self.look_again = true;
            }
        }
    }

    fn append(
        &mut self,
        now: LocalTime,
        block: Arc<Block>,
        proof: Option<Arc<Finality>>,
        actions: &mut Actions,
    ) {
        let block_id = block.id();
        let results = self.extend(block, proof, actions);
        self.learn_committees(now, actions);
        let executed = Input::Executed {
            block: block_id,
            results,
        };
        self.step(now, executed, actions);
    }

    /// Puts a block on the chain and executes it.
    pub(super) fn extend(
        &mut self,
        block: Arc<Block>,
        proof: Option<Arc<Finality>>,
        actions: &mut Actions,
    ) -> Results {
        let id = block.id();
        let entry = self.ledger.append(block, proof, &*self.executor);
        for transaction in entry.block.transactions() {
            self.mempool.remove(&transaction.id());
        }
        self.drop_spent(&entry, actions);
        if self.executor.executes() {
            actions.work.executed += entry.block.transactions().len() as u32;
        }
        self.tree.remove(&id);
        self.look_again = true;
        let results = entry.results;
        actions.note(Note::Appended(entry));
        results
    }

    /// What waits with a number that this block has used up would wait for ever, and spoil every block
    /// that it was put into: a party may have signed two orders of one number.
    fn drop_spent(&mut self, entry: &Entry, actions: &mut Actions) {
        let transactions = entry.block.transactions().iter();
        let parties: BTreeSet<_> = transactions
            .map(|transaction| transaction.party())
            .collect();
        for party in parties {
            let window = LazyCell::new(|| ReplayWindow::load(self.ledger.state(), party));
            let spent = |nonce| window.check(nonce).is_err();
            for tx in self.mempool.remove_spent(party, spent) {
                let reason = TxRefusal::StaleNonce;
                actions.note(Note::TxRefused { tx, reason });
            }
        }
    }

    /// Everything up to this height may be relied on: its submitters are answered.
    fn rely_up_to(&mut self, height: Height, actions: &mut Actions) {
        while self.relied < height {
            let entry = self.rely(self.relied.next(), actions);
            // Submitters count the word of those who decided the block. Who has left says nothing.
            let term = self.committees.at(self.relied);
            let left = term.epoch > Epoch(0) && !term.committee.contains(self.me.id);
            if self.engine.answers() && self.executor.executes() && !left {
                self.answer(&entry, |_| true, actions);
            }
        }
    }

    /// The block of this height, the first that nobody relies on, may be relied on. Of what was fetched
    /// from others nobody is told: it is old news to its submitters, and who missed it asks again.
    pub(super) fn rely(&mut self, height: Height, actions: &mut Actions) -> Arc<Entry> {
        self.relied = self.relied.max(height);
        let entry = Arc::clone(self.ledger.entry(height).expect("on the chain"));
        let block = entry.block.id();
        actions.note(Note::Relied { block, height });
        entry
    }

    /// A gateway asks again for what was executed long ago: the reply cache answers (R2).
    pub(super) fn answer_again(
        &mut self,
        transaction: &Transaction,
        height: Height,
        actions: &mut Actions,
    ) {
        if self.engine.answers() && self.executor.executes() {
            let entry = Arc::clone(self.ledger.entry(height).expect("it has a receipt there"));
            let tx = transaction.id();
            self.answer(&entry, |candidate| *candidate == tx, actions);
        }
    }

    /// One signed page of receipts for each gateway that waits for transactions of this block.
    fn answer(&self, entry: &Entry, include: impl Fn(&TxId) -> bool, actions: &mut Actions) {
        let mut pages: BTreeMap<NodeId, Vec<_>> = BTreeMap::new();
        for (transaction, receipt) in entry.block.transactions().iter().zip(&*entry.receipts) {
            if let Some(gateway) = transaction.reply_to()
                && include(&receipt.tx)
            {
                let line = (receipt.tx, receipt.outcome.clone());
                pages.entry(gateway).or_default().push(line);
            }
        }
        for (gateway, entries) in pages {
            let page = ReceiptPage {
                block: entry.block.id(),
                height: entry.block.header().height,
                entries,
            };
            let page = Arc::new(self.me.key.sign(self.me.id, page));
            actions.work.signatures += 1;
            actions.send(gateway, Packet::Client(ClientPacket::Receipts(page)));
        }
    }
}
