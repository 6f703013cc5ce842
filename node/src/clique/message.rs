//! What Clique's nodes say to each other.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Forks, Kind, Message, Slot},
    sealed::SealedBlock,
    types::{BlockId, Height, NodeId, Seq},
};

/// The messages. Only blocks are signed: the others are hints and questions, and a lie in one costs
/// its reader a question at most.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum CliqueMessage {
    /// A block that is new to the sender.
    NewBlock(SealedBlock),
    /// Please send me the branch that ends in a block.
    Fetch(Locator),
    /// A part of a branch, parents first.
    Body(Vec<SealedBlock>),
    /// Where the sender's chain ends.
    Status(HeadStatus),
}

/// A branch that is wanted, and what the asker has already.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Locator {
    /// Last block of the branch.
    pub target: BlockId,
    /// Blocks of the asker's own chain, newest first, with growing gaps: the answer starts behind
    /// the newest of them that the branch contains.
    pub have: Vec<BlockId>,
}

/// The end of a node's chain and how heavy the chain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct HeadStatus {
    /// Its last block.
    pub head: BlockId,
    /// The last block's height.
    pub height: Height,
    /// Sum of the difficulties from genesis to the last block.
    pub total_difficulty: u64,
}

impl CliqueMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 4] = ["NEW-BLOCK", "FETCH", "BODY", "STATUS"];
}

impl Message for CliqueMessage {
    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        match self {
            Self::NewBlock(sealed) => visit(sealed.block()),
            Self::Body(branch) => branch.iter().for_each(|sealed| visit(sealed.block())),
            Self::Fetch(_) | Self::Status(_) => {}
        }
    }

    fn kind(&self) -> Kind {
        let code: u8 = match self {
            Self::NewBlock(_) => 0,
            Self::Fetch(_) => 1,
            Self::Body(_) => 2,
            Self::Status(_) => 3,
        };
        Kind {
            name: Self::NAMES[usize::from(code)],
            code,
            proposal: code == 0,
        }
    }

    fn slot(&self) -> Slot {
        let seq = match self {
            Self::NewBlock(sealed) => return sealed.slot(),
            Self::Fetch(_) => Seq(0),
            Self::Body(list) => list.first().map_or(Seq(0), |first| first.slot().seq),
            Self::Status(status) => Seq(status.height.0),
        };
        Slot {
            seq,
            ..Slot::default()
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::NewBlock(sealed) => sealed.wire_len(),
            Self::Fetch(locator) => 32 + 4 + 32 * locator.have.len(),
            Self::Body(list) => 4 + list.iter().map(SealedBlock::wire_len).sum::<usize>(),
            Self::Status(_) => 32 + 8 + 8,
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::NewBlock(sealed) => sealed.signatures(),
            Self::Body(list) => list.iter().map(SealedBlock::signatures).sum(),
            Self::Fetch(_) | Self::Status(_) => 0,
        }
    }

    fn hashed_bytes(&self) -> usize {
        match self {
            Self::NewBlock(_) | Self::Body(_) => self.wire_len(),
            Self::Fetch(_) | Self::Status(_) => 0,
        }
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::NewBlock(sealed) => sealed.conflicting(key, me, forks).map(Self::NewBlock),
            Self::Fetch(_) | Self::Body(_) | Self::Status(_) => None,
        }
    }
}
