//! A block with its proposer's signature next to it, for protocols whose unit of work is a signed block.
//!
//! The seal is a [`Vote`] for the block's id. It is not part of what the id hashes, so it needs no
//! blanking before the hash is computed, as Ethereum's `extraData` seals do.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::{Keypair, Signed},
    engine::{Forks, Refusal, Slot},
    membership::Committee,
    quorum::{Phase, SIGNED_VOTE_LEN, Vote},
    types::{NodeId, Seq, View, Wall},
};

/// Kind of the record that is a sealed block.
pub const SEALED: &str = "SEALED";

/// A block and its proposer's signature over the block's id.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct SealedBlock {
    block: Arc<Block>,
    seal: Signed<Vote>,
}

impl SealedBlock {
    /// Seals `block` in the name of `me`, who must be its proposer for anyone to accept it. The
    /// phase keeps the seals of different protocols apart.
    pub fn new(key: &Arc<Keypair>, me: NodeId, phase: Phase, block: Arc<Block>) -> Self {
        let seal = key.sign(me, vote(phase, &block));
        Self { block, seal }
    }

    /// The block.
    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The signature.
    pub fn seal(&self) -> &Signed<Vote> {
        &self.seal
    }

    /// The slot that it fills: its height. These protocols have no views.
    pub fn slot(&self) -> Slot {
        Slot {
            view: View::default(),
            seq: Seq(self.block.header().height.0),
        }
    }

    /// Checks that a member of the committee proposed the block and that this very member sealed
    /// exactly this block.
    pub fn verify(&self, committee: &Committee, phase: Phase) -> Result<(), Refusal> {
        let proposer = self.block.header().proposer;
        if !committee.contains(proposer) {
            return Err(Refusal::WrongSender);
        }
        let names_it =
            self.seal.signer() == proposer && *self.seal.body() == vote(phase, &self.block);
        if names_it && committee.verify(&self.seal) {
            Ok(())
        } else {
            Err(Refusal::BadSignature)
        }
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.block.wire_len() + SIGNED_VOTE_LEN
    }

    /// Signatures that a receiver checks: the seal and one for each transaction.
    pub fn signatures(&self) -> usize {
        1 + self.block.transactions().len()
    }

    /// What an equivocating proposer sends to the other half: the same height, parent and
    /// transactions, one nanosecond later. `None` if `me` did not propose it, because nobody would
    /// take a seal that is not the proposer's.
    pub fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        let mut header = self.block.header().clone();
        if header.proposer != me {
            return None;
        }
        header.timestamp = Wall(header.timestamp.0.checked_add(1)?);
        let other = Block::new(header, self.block.transactions().to_vec());
        forks.insert(self.block.id(), other.id());
        Some(Self::new(key, me, self.seal.body().phase, other))
    }
}

fn vote(phase: Phase, block: &Block) -> Vote {
    Vote {
        phase,
        view: View::default(),
        slot: Seq(block.header().height.0),
        digest: block.id(),
    }
}

impl crate::engine::Record for SealedBlock {
    fn wire_len(&self) -> usize {
        Self::wire_len(self)
    }

    fn label(&self) -> (&'static str, Slot) {
        (SEALED, self.slot())
    }
}
