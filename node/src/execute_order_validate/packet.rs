//! What the roles say to each other, beyond consensus and beyond what every gateway says.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{Block, Finality},
    crypto::{Keypair, SIGNATURE_LEN, Signed},
    endorsement::Endorsement,
    engine::{Forks, Kind, Slot},
    node::Demand,
    quorum::Certificate,
    storage::Stored,
    transaction::Transaction,
    types::{Height, NodeId, Seq, Wall},
};

/// Between client, endorser, orderer and peer.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum RolePacket {
    /// Client to endorser: what would this do?
    Propose(Arc<Transaction>),
    /// Endorser to client: this.
    Endorsement(Arc<Signed<Endorsement>>),
    /// Orderer, or peer that was asked, to peer: blocks with their proofs, in ascending order.
    Deliver {
        /// Them.
        list: Vec<Stored>,
        /// Whether the sender has newer ones.
        more: bool,
    },
    /// Peer to peer: please send me what you have from this height on.
    Fetch(Height),
}

impl RolePacket {
    /// Its kind and slot.
    pub fn label(&self) -> (Kind, Slot) {
        let (name, code, height) = match self {
            Self::Propose(_) => ("PROPOSE", 140, 0),
            Self::Endorsement(_) => ("ENDORSEMENT", 141, 0),
            Self::Deliver { list, .. } => {
                let first = list.first().map(|stored| stored.block.header().height.0);
                ("DELIVER", 142, first.unwrap_or(0))
            }
            Self::Fetch(height) => ("FETCH-BLOCKS", 143, height.0),
        };
        let kind = Kind {
            name,
            code,
            proposal: code == 142,
        };
        let slot = Slot {
            seq: Seq(height),
            ..Slot::default()
        };
        (kind, slot)
    }

    /// Bytes on the wire: exactly the length of its encoding.
    pub fn wire_len(&self) -> usize {
        1 + match self {
            Self::Propose(transaction) => transaction.wire_len(),
            Self::Endorsement(signed) => {
                let body = borsh::object_length(signed.body()).expect("endorsements are finite");
                body + 2 + SIGNATURE_LEN
            }
            Self::Deliver { list, .. } => 5 + list.iter().map(Stored::wire_len).sum::<usize>(),
            Self::Fetch(_) => 8,
        }
    }

    /// What the receiver must do before it can use it.
    pub fn demand(&self) -> Demand {
        let checks = match self {
            Self::Propose(_) | Self::Endorsement(_) => 1,
            Self::Deliver { list, .. } => list.iter().map(signatures).sum(),
            Self::Fetch(_) => return Demand::default(),
        };
        Demand {
            checks: checks as u32,
            hashed_bytes: self.wire_len() as u64,
        }
    }

    /// What an equivocating orderer sends to the other half: another block of the same height, ordered a
    /// nanosecond later. `None` unless its own word is all that proves the block.
    #[must_use]
    pub fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        let Self::Deliver { list, more } = self else {
            return None;
        };
        let [Stored { block, proof }] = list.as_slice() else {
            return None;
        };
        let Finality::Certificate(word) = &**proof else {
            return None;
        };
        if word.vote().phase != super::ORDERED || !word.signers().eq([me]) {
            return None;
        }
        let mut header = block.header().clone();
        header.timestamp = Wall(header.timestamp.0.checked_add(1)?);
        let other = Block::new(header, block.transactions().to_vec());
        forks.insert(block.id(), other.id());
        let mut vote = *word.vote();
        vote.digest = other.id();
        let word = Certificate::collect(&[key.sign(me, vote)])?;
        let lie = Stored {
            block: other,
            proof: Arc::new(Finality::Certificate(word)),
        };
        Some(Self::Deliver {
            list: vec![lie],
            more: *more,
        })
    }
}

/// Signatures under a block and in it.
fn signatures(stored: &Stored) -> usize {
    let under = stored.proof.signatures();
    let transactions = stored.block.transactions().iter();
    under + transactions.map(|one| one.signatures()).sum::<usize>()
}
