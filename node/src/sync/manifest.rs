//! What a snapshot is, so that each of its pages can be checked when it comes.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{self, Block, Finality, Results},
    ledger::{Snapshot, State, receipt_digest, state::pages::Crown},
    storage::Stored,
    transaction::Receipt,
    types::{Digest, Height},
};

/// A snapshot but for its pages: a final block, the final header that carries its results, and what
/// those results commit to.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    /// The block up to which the chain was executed.
    pub block: Stored,
    /// The first final block whose header carries the results of that height. A quorum that made it
    /// final has executed the height or believed nobody about it, so its certificate vouches for the
    /// roots (R38).
    pub carrier: Stored,
    /// What became of the block's transactions.
    pub receipts: Arc<Vec<Receipt>>,
    /// The top of the state, with the hashes of its pages.
    pub crown: Crown,
}

impl Manifest {
    /// Height of the snapshot.
    pub fn height(&self) -> Height {
        self.block.block.header().height
    }

    /// The roots that it claims.
    pub fn results(&self) -> Results {
        self.carrier.block.header().results
    }

    /// Whether all of it hangs on blocks that are final according to `is_final`.
    pub fn verify(&self, is_final: impl Fn(&Block, &Finality) -> bool) -> bool {
        let results = self.results();
        let receipts = self.receipts.iter().map(receipt_digest);
        let transactions = self.block.block.transactions();
        self.carrier.block.header().height > self.height()
            && results.height == self.height()
            && self.crown.root() == Some(results.state_root)
            && transactions.len() == self.receipts.len()
            && block::merkle_root(receipts) == results.receipts_root
            && self.block.block.is_whole()
            && is_final(&self.block.block, &self.block.proof)
            && is_final(&self.carrier.block, &self.carrier.proof)
    }

    /// The snapshot, once all its pages are here.
    pub(super) fn assemble(&self, pages: Vec<State>) -> Option<Snapshot> {
        Some(Snapshot {
            block: Arc::clone(&self.block.block),
            proof: Arc::clone(&self.block.proof),
            results: self.results(),
            receipts: Arc::clone(&self.receipts),
            state: self.crown.assemble(pages)?,
        })
    }

    /// Hashes of the pages, in their order.
    pub(super) fn pages(&self) -> Vec<Digest> {
        self.crown.pages().copied().collect()
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        let receipts = borsh::object_length(&*self.receipts).expect("receipts are finite");
        self.block.wire_len() + self.carrier.wire_len() + receipts + self.crown.wire_len()
    }

    /// Signatures that a reader checks: of the carrier only its proof.
    pub fn signatures(&self) -> usize {
        self.block.signatures() + self.carrier.proof.signatures()
    }
}
