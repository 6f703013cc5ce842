//! The chain that a node keeps, and the state that executing it gives.
//!
//! Blocks join at the head and are executed as they join. What is final stays; what is not can be
//! rolled back, because the state after every height that is not final is kept as a snapshot (they
//! share what they have in common). [`state`] is the map, [`replay`] keeps orders from executing
//! twice, [`proof`] convinces outsiders, [`handover`] tells them whom to believe next, and [`audit`]
//! checks somebody else's copy.
//!
//! How a block is executed is not the ledger's business: the node hands it an [`Executor`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    block::{self, Block, Finality, Results},
    codec,
    transaction::{Outcome, Receipt},
    types::{BlockId, Digest, Epoch, Height, PartyId, TxId},
};

pub mod audit;
pub mod handover;
pub mod proof;
pub mod replay;
mod snapshot;
pub mod state;

pub use snapshot::Snapshot;
pub use state::{State, StateProof, Store};

use handover::HandOver;
use proof::ProofGap;

/// Snapshots that are kept below the final height at most, so that state can be proven under the
/// newest final header, whose results lag behind it.
pub const SNAPSHOTS_BELOW_FINAL: u64 = 64;

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

impl Entry {
    /// Its height.
    pub fn height(&self) -> Height {
        self.block.header().height
    }

    /// Bytes that it takes on disk: block, proof and receipts, as encoded.
    pub fn storage_bytes(&self) -> u64 {
        let proof = self.proof.as_ref().map_or(0, |proof| proof.wire_len());
        let receipts = borsh::object_length(&*self.receipts).expect("receipts are finite");
        (self.block.wire_len() + proof + receipts) as u64
    }
}

/// Executes blocks. Its answer must depend on its arguments alone: every member gets the same.
pub trait Executor: Send + Sync {
    /// Executes a block on the state that its parent left.
    fn execute(&self, parent: &State, block: &Block) -> Execution;

    /// Whether it executes at all. An ordering service does not look into what it orders: its headers
    /// carry the results of genesis, and it answers no submitter.
    fn executes(&self) -> bool {
        true
    }
}

/// What executing a block gave. Cheap to clone, so that nodes can share it.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The state after it.
    pub state: State,
    /// What became of each transaction, in their order.
    pub receipts: Arc<Vec<Receipt>>,
    /// The roots of both.
    pub results: Results,
}

impl Execution {
    /// Completes an execution with its roots.
    pub fn new(height: Height, state: State, receipts: Vec<Receipt>) -> Self {
        let results = Results {
            height,
            state_root: state.root(),
            receipts_root: block::merkle_root(receipts.iter().map(receipt_digest)),
        };
        Self {
            state,
            receipts: Arc::new(receipts),
            results,
        }
    }
}

/// What stands for a receipt in the root of receipts.
pub fn receipt_digest(receipt: &Receipt) -> Digest {
    codec::digest("receipt", receipt)
}

/// A chain with its state. A clone shares blocks and state.
#[derive(Clone, Debug)]
pub struct Ledger {
    genesis: Arc<Entry>,
    /// By height, from [`Ledger::base`] on.
    entries: Vec<Arc<Entry>>,
    heights: BTreeMap<BlockId, Height>,
    /// Where the receipt of each transaction is: height and place in the block.
    receipts: BTreeMap<TxId, (Height, u32)>,
    /// States of the newest heights, the head's last.
    snapshots: VecDeque<State>,
    final_height: Height,
    storage_bytes: u64,
    /// What links each committee to the next.
    hand_overs: Vec<Arc<HandOver>>,
}

impl Ledger {
    /// A chain of nothing but genesis, which holds this state.
    pub fn new(state: State) -> Self {
        let block = Block::genesis(state.root());
        let entry = Arc::new(Entry {
            results: block.header().results,
            block,
            proof: None,
            receipts: Arc::default(),
        });
        Self::starting_at(&entry, &entry, state)
    }

    /// A chain that begins with a snapshot, on top of this genesis: what lies below is not here.
    ///
    /// The caller has checked the snapshot. Receipts of earlier blocks are not here either: whoever asks
    /// again for what was ordered then gets no receipt from this node, but its number is spent in the
    /// state, so that nothing executes twice (R39).
    pub fn from_snapshot(genesis: &Arc<Entry>, snapshot: &Snapshot) -> Self {
        let entry = Arc::new(Entry {
            block: Arc::clone(&snapshot.block),
            proof: Some(Arc::clone(&snapshot.proof)),
            results: snapshot.results,
            receipts: Arc::clone(&snapshot.receipts),
        });
        Self::starting_at(genesis, &entry, snapshot.state.clone())
    }

    fn starting_at(genesis: &Arc<Entry>, entry: &Arc<Entry>, state: State) -> Self {
        let height = entry.height();
        let places = (0..).map(|place| (height, place));
        let receipts = entry.receipts.iter().map(|receipt| receipt.tx);
        Self {
            genesis: Arc::clone(genesis),
            heights: BTreeMap::from([(entry.block.id(), height)]),
            receipts: receipts.zip(places).collect(),
            snapshots: VecDeque::from([state]),
            final_height: height,
            hand_overs: Vec::new(),
            storage_bytes: entry.storage_bytes(),
            entries: vec![Arc::clone(entry)],
        }
    }

    /// The first block of all. It is final without a proof.
    pub fn genesis(&self) -> &Arc<Entry> {
        &self.genesis
    }

    /// Height of the oldest entry that is here: genesis, unless the chain begins with a snapshot.
    pub fn base(&self) -> Height {
        self.entries[0].height()
    }

    /// The place of `height` in `entries`.
    fn place(&self, height: Height) -> Option<usize> {
        usize::try_from(height.0.checked_sub(self.base().0)?).ok()
    }

    /// The newest entry.
    pub fn head(&self) -> &Arc<Entry> {
        self.entries.last().expect("the base stays")
    }

    /// Height of the newest entry.
    pub fn height(&self) -> Height {
        self.head().height()
    }

    /// Height of the newest entry that is final.
    pub fn final_height(&self) -> Height {
        self.final_height
    }

    /// The state after the newest entry.
    pub fn state(&self) -> &State {
        self.snapshots.back().expect("the head's state is kept")
    }

    /// The state after `height`, if it is kept: that of every height that is not final, and of those
    /// whose results the final header still has to carry.
    pub fn state_at(&self, height: Height) -> Option<&State> {
        let place = height.0.checked_sub(self.oldest_snapshot().0)?;
        self.snapshots.get(usize::try_from(place).ok()?)
    }

    /// The entry at `height`; `None` above the head and below [`Ledger::base`].
    pub fn entry(&self, height: Height) -> Option<&Arc<Entry>> {
        self.entries.get(self.place(height)?)
    }

    /// What executing the chain up to `height` gave.
    pub fn results(&self, height: Height) -> Option<Results> {
        self.entry(height).map(|entry| entry.results)
    }

    /// Where a block stands on this chain, if it does.
    pub fn contains_block(&self, block: &BlockId) -> Option<Height> {
        self.heights.get(block).copied()
    }

    /// All entries that are here, [`Ledger::base`] first.
    pub fn entries(
        &self,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + ExactSizeIterator + use<'_> {
        self.entries.iter()
    }

    /// The entries from `height`, or from the base if that is higher, to the head.
    pub fn entries_from(
        &self,
        height: Height,
    ) -> impl DoubleEndedIterator<Item = &Arc<Entry>> + ExactSizeIterator + use<'_> {
        let first = self.place(height.max(self.base())).unwrap_or(usize::MAX);
        self.entries[first.min(self.entries.len())..].iter()
    }

    /// What became of a transaction, and at which height: the reply cache (R2, R5).
    pub fn receipt(&self, tx: &TxId) -> Option<(Height, &Receipt)> {
        let (height, place) = *self.receipts.get(tx)?;
        let entry = self.entry(height).expect("receipts point into the chain");
        Some((height, &entry.receipts[place as usize]))
    }

    /// Whether a number of a party can no longer execute on the head's state: it did, or it is too
    /// old.
    pub fn executed(&self, party: PartyId, nonce: u64) -> bool {
        replay::ReplayWindow::load(self.state(), party)
            .check(nonce)
            .is_err()
    }

    /// Bytes that the chain takes on disk: blocks, proofs and receipts, as encoded.
    pub fn storage_bytes(&self) -> u64 {
        self.storage_bytes
    }

    /// The links from the founders' committee to the present one, as far as they were kept.
    pub fn hand_overs(&self) -> &[Arc<HandOver>] {
        &self.hand_overs
    }

    /// Makes and keeps the link to the committee of `epoch`, which decides what follows the newest
    /// final block. Later the state that it proves is gone.
    pub fn hand_over(&mut self, epoch: Epoch) -> Result<(), ProofGap> {
        let link = HandOver::new(self, epoch)?;
        self.hand_overs.push(Arc::new(link));
        Ok(())
    }

    /// Executes a block on the head and adds it; with a proof it is final at once.
    ///
    /// The caller has judged the block: it follows the head. With a proof, the head must be final.
    pub fn append(
        &mut self,
        block: Arc<Block>,
        proof: Option<Arc<Finality>>,
        executor: &dyn Executor,
    ) -> Arc<Entry> {
        let height = self.height().next();
        let header = block.header();
        assert_eq!(header.height, height, "a block joins at the next height");
        assert_eq!(
            header.parent,
            self.head().block.id(),
            "a block joins on its parent"
        );
        let execution = executor.execute(self.state(), &block);
        assert_eq!(execution.results.height, height, "results of another block");
        assert_eq!(
            execution.receipts.len(),
            block.transactions().len(),
            "each transaction has a receipt"
        );
        for (place, receipt) in execution.receipts.iter().enumerate() {
            // Should a transaction stand on the chain twice, its first receipt is the true one, unless
            // it was invalid then.
            let earlier = self.receipts.get(&receipt.tx).map(|(at, place)| {
                let entry = self.entries.get(at.0 as usize);
                let receipts = entry.map_or(&execution.receipts, |entry| &entry.receipts);
                &receipts[*place as usize].outcome
            });
            if earlier.is_none_or(|outcome| matches!(outcome, Outcome::Invalid(_))) {
                self.receipts.insert(receipt.tx, (height, place as u32));
            }
        }
        self.heights.insert(block.id(), height);
        self.snapshots.push_back(execution.state);
        let entry = Arc::new(Entry {
            block,
            proof: None,
            results: execution.results,
            receipts: execution.receipts,
        });
        self.storage_bytes += entry.storage_bytes();
        self.entries.push(entry);
        if let Some(proof) = proof {
            self.finalise(height, proof);
        }
        Arc::clone(self.head())
    }

    /// Notes that an entry, the lowest that was not final, is final now and why.
    ///
    /// Drops the snapshots that neither a rollback nor a proof can need any more.
    pub fn finalise(&mut self, height: Height, proof: Arc<Finality>) -> Arc<Entry> {
        assert_eq!(
            height,
            self.final_height.next(),
            "finality comes in order of height"
        );
        let entry = self
            .place(height)
            .and_then(|place| self.entries.get_mut(place))
            .expect("an entry is appended before it is final");
        self.storage_bytes += proof.wire_len() as u64;
        Arc::make_mut(entry).proof = Some(proof);
        let entry = Arc::clone(entry);
        self.final_height = height;
        let carried = entry.block.header().results.height;
        let provable = carried.max(Height(height.0.saturating_sub(SNAPSHOTS_BELOW_FINAL)));
        self.forget_snapshots_below(provable.min(height));
        entry
    }

    /// Drops the snapshots of lower heights. Where nothing ever becomes final the caller bounds the
    /// memory with this, and with it how far back a branch may turn; the head's state stays.
    pub fn forget_snapshots_below(&mut self, height: Height) {
        while self.snapshots.len() > 1 && self.oldest_snapshot() < height {
            self.snapshots.pop_front();
        }
    }

    /// Takes the newest entry off. It must not be final, and the state below it must be kept.
    pub fn roll_back(&mut self) -> Arc<Entry> {
        let height = self.height();
        assert!(height > self.final_height, "what is final stays");
        assert!(
            self.snapshots.len() > 1,
            "the state below {height} was forgotten"
        );
        self.snapshots.pop_back();
        let entry = self.entries.pop().expect("above the base");
        self.heights.remove(&entry.block.id());
        for receipt in entry.receipts.iter() {
            if self.receipts.get(&receipt.tx).map(|(at, _)| *at) == Some(height) {
                self.receipts.remove(&receipt.tx);
            }
        }
        self.storage_bytes -= entry.storage_bytes();
        entry
    }

    /// Height of the oldest state that is kept.
    fn oldest_snapshot(&self) -> Height {
        Height(self.height().0 + 1 - self.snapshots.len() as u64)
    }
}
