//! What the database and its replicas say to each other.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Forks, Kind, Message, Slot},
    sealed::SealedBlock,
    types::{Height, NodeId, Seq},
};

/// What database and replicas say to each other.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub enum CentralMessage {
    /// The database's newest block.
    Block(SealedBlock),
    /// Please send me what you have from this height on.
    Fetch(Height),
    /// An answer.
    Blocks {
        /// In ascending order.
        list: Vec<SealedBlock>,
        /// Whether the database has newer ones.
        more: bool,
    },
}

impl CentralMessage {
    /// Names of the kinds, by their codes.
    pub const NAMES: [&'static str; 3] = ["BLOCK", "FETCH", "BLOCKS"];
}

impl Message for CentralMessage {
    fn each_block(&self, visit: &mut dyn FnMut(&Block)) {
        match self {
            Self::Block(sealed) => visit(sealed.block()),
            Self::Blocks { list, .. } => list.iter().for_each(|sealed| visit(sealed.block())),
            Self::Fetch(_) => {}
        }
    }

    fn kind(&self) -> Kind {
        let code: u8 = match self {
            Self::Block(_) => 0,
            Self::Fetch(_) => 1,
            Self::Blocks { .. } => 2,
        };
        Kind {
            name: Self::NAMES[usize::from(code)],
            code,
            proposal: code == 0,
        }
    }

    fn slot(&self) -> Slot {
        let height = match self {
            Self::Block(sealed) => return sealed.slot(),
            Self::Fetch(height) => height.0,
            Self::Blocks { list, .. } => list.first().map_or(0, |first| first.slot().seq.0),
        };
        Slot {
            seq: Seq(height),
            ..Slot::default()
        }
    }

    fn wire_len(&self) -> usize {
        1 + match self {
            Self::Block(sealed) => sealed.wire_len(),
            Self::Fetch(_) => 8,
            Self::Blocks { list, .. } => 5 + list.iter().map(SealedBlock::wire_len).sum::<usize>(),
        }
    }

    fn signatures(&self) -> usize {
        match self {
            Self::Block(sealed) => sealed.signatures(),
            Self::Fetch(_) => 0,
            Self::Blocks { list, .. } => list.iter().map(SealedBlock::signatures).sum(),
        }
    }

    fn hashed_bytes(&self) -> usize {
        match self {
            Self::Fetch(_) => 0,
            Self::Block(_) | Self::Blocks { .. } => self.wire_len(),
        }
    }

    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self> {
        match self {
            Self::Block(sealed) => sealed.conflicting(key, me, forks).map(Self::Block),
            Self::Fetch(_) | Self::Blocks { .. } => None,
        }
    }
}
