//! What an engine needs around it: transactions that wait, blocks that were judged, a chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use consortium_node::{
    block::{Block, Finality, Header, Results},
    codec,
    crypto::PublicKey,
    engine::{BlockFault, Ticket, Want},
    membership::Term,
    transaction::Transaction,
    types::{BlockId, Digest, Height, Mono, NodeId, TxId, Wall},
};

use super::CHAIN;

/// The host of one engine.
pub(crate) struct Host {
    pub(crate) me: NodeId,
    /// Who signs transactions.
    party: PublicKey,
    /// What waits, oldest first.
    pool: Vec<(Mono, Arc<Transaction>)>,
    /// Final blocks; genesis is the first.
    pub(crate) chain: Vec<Arc<Block>>,
    /// Blocks that were judged or made here, or are final.
    known: BTreeMap<BlockId, Arc<Block>>,
    executed: BTreeSet<TxId>,
    pub(crate) results: Results,
    pub(crate) want: Option<Want>,
    told: Option<Mono>,
    /// Transactions in a block.
    pub(crate) batch: usize,
    /// Transactions that this host finds wrong.
    pub(crate) bad: BTreeSet<TxId>,
    /// This host says nothing of what waits.
    pub(crate) patient: bool,
}

impl Host {
    pub(crate) fn new(me: NodeId, genesis: &Arc<Block>, party: PublicKey) -> Self {
        Self {
            me,
            party,
            pool: Vec::new(),
            chain: vec![Arc::clone(genesis)],
            known: BTreeMap::from([(genesis.id(), Arc::clone(genesis))]),
            executed: BTreeSet::new(),
            results: Results::default(),
            want: None,
            told: None,
            batch: 1,
            bad: BTreeSet::new(),
            patient: false,
        }
    }

    pub(crate) fn submit(&mut self, transaction: Arc<Transaction>, now: Mono) {
        let known = |(_, waiting): &(Mono, Arc<Transaction>)| waiting.id() == transaction.id();
        if !self.executed.contains(&transaction.id()) && !self.pool.iter().any(known) {
            self.pool.push((now, transaction));
        }
    }

    pub(crate) fn waiting(&self) -> Vec<Arc<Transaction>> {
        let waiting = self.pool.iter().map(|(_, transaction)| transaction);
        waiting.cloned().collect()
    }

    pub(crate) fn oldest(&self) -> Option<Mono> {
        self.pool.first().map(|(since, _)| *since)
    }

    /// Whether the answer to "since when does the oldest wait" has changed, and what it is.
    pub(crate) fn news(&mut self) -> (bool, Option<Mono>) {
        let oldest = self.oldest().filter(|_| !self.patient);
        let changed = oldest != self.told;
        self.told = oldest;
        (changed, oldest)
    }

    /// Transactions of the blocks from `parent` down to the chain; `None` if that is not known.
    fn ordered(&self, mut parent: BlockId) -> Option<BTreeSet<TxId>> {
        let mut ordered = BTreeSet::new();
        while self.head().id() != parent {
            let block = self.known.get(&parent)?;
            if block.header().height <= self.head().header().height {
                return None;
            }
            ordered.extend(block.transactions().iter().map(|t| t.id()));
            parent = block.header().parent;
        }
        Some(ordered)
    }

    /// The disk is gone.
    pub(crate) fn reset(&mut self, genesis: &Arc<Block>) {
        self.chain = vec![Arc::clone(genesis)];
        self.executed.clear();
        self.results = Results::default();
    }

    /// What was not on the disk is gone.
    pub(crate) fn forget_waiting(&mut self) {
        self.pool.clear();
        self.known = self.chain.iter().map(|b| (b.id(), Arc::clone(b))).collect();
        self.want = None;
        self.told = None;
    }

    pub(crate) fn head(&self) -> &Arc<Block> {
        self.chain.last().expect("genesis at least")
    }

    /// The block that was wanted, if there is something to put into it.
    pub(crate) fn payload(&mut self, wall: Wall) -> Option<(Ticket, Arc<Block>)> {
        let want = self.want.as_ref().filter(|want| wall >= want.not_before)?;
        let ordered = self
            .ordered(want.parent)
            .expect("wanted on a block that is known here");
        let parent = &self.known[&want.parent];
        let waiting = self.pool.iter().map(|(_, transaction)| transaction);
        let free = waiting.filter(|transaction| !ordered.contains(&transaction.id()));
        let batch: Vec<_> = free.take(self.batch).cloned().collect();
        if batch.is_empty() && !want.empty_ok {
            return None;
        }
        let header = Header {
            height: parent.header().height.next(),
            parent: want.parent,
            transactions_root: Digest::ZERO,
            results: self.results,
            timestamp: Wall(wall.0.max(parent.header().timestamp.0 + 1)),
            proposer: self.me,
            extra: want.extra.clone(),
        };
        let block = Block::new(header, batch);
        let ticket = want.ticket;
        self.want = None;
        self.known.insert(block.id(), Arc::clone(&block));
        Some((ticket, block))
    }

    /// The verdict on a block.
    pub(crate) fn judge(&mut self, block: &Arc<Block>, wall: Wall) -> Result<(), BlockFault> {
        let header = block.header();
        let Some(ordered) = self.ordered(header.parent) else {
            return Err(BlockFault::UnknownParent);
        };
        let parent = self.known[&header.parent].header();
        if header.height != parent.height.next() {
            return Err(BlockFault::WrongHeight);
        }
        if !block.is_whole() {
            return Err(BlockFault::WrongTransactions);
        }
        if header.timestamp <= parent.timestamp || header.timestamp.0 > wall.0 + 1_000_000_000 {
            return Err(BlockFault::Timestamp);
        }
        let mut seen = BTreeSet::new();
        for transaction in block.transactions() {
            let id = transaction.id();
            let signed = transaction.signed().verify(CHAIN, &self.party);
            if self.bad.contains(&id) || !signed {
                return Err(BlockFault::Unauthorised);
            }
            if self.executed.contains(&id) || ordered.contains(&id) || !seen.insert(id) {
                return Err(BlockFault::Duplicate);
            }
        }
        self.known.insert(block.id(), Arc::clone(block));
        Ok(())
    }

    /// Puts a final block on the chain and executes it.
    pub(crate) fn execute(&mut self, block: &Arc<Block>) -> Results {
        assert_eq!(
            block.header().parent,
            self.head().id(),
            "final blocks follow the head"
        );
        assert!(block.is_whole(), "a final block has its transactions");
        self.chain.push(Arc::clone(block));
        self.known.insert(block.id(), Arc::clone(block));
        for transaction in block.transactions() {
            assert!(self.executed.insert(transaction.id()), "executed twice");
        }
        self.pool
            .retain(|(_, transaction)| !self.executed.contains(&transaction.id()));
        self.results = Results {
            height: Height(self.results.height.0 + 1),
            state_root: codec::digest("state", &(self.results.state_root, block.id())),
            receipts_root: Digest::ZERO,
        };
        self.results
    }

    /// An outsider believes a final block because of its certificate.
    pub(crate) fn check_proof(block: &Block, proof: &Finality, term: &Term) {
        let Finality::Certificate(certificate) = proof else {
            return;
        };
        assert_eq!(
            certificate.vote().digest,
            block.id(),
            "the proof is about this block"
        );
        let view = certificate.vote().view;
        assert_eq!(view.epoch(), term.epoch, "of the epoch of its height");
        certificate
            .verify(&term.committee, term.committee.quorum())
            .expect("a proof that holds");
    }

    pub(crate) fn check_once_each(&self) {
        let all = self.chain.iter().flat_map(|block| block.transactions());
        let mut seen = BTreeSet::new();
        for transaction in all {
            assert!(
                seen.insert(transaction.id()),
                "a transaction is in the chain twice"
            );
        }
    }
}
