//! What the replicated log is made of: entries, and where it begins.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::configuration::Configuration;
use crate::{
    block::Block,
    types::{BlockId, Height, Seq, View},
};

/// A place in a log: an index and the term of the entry there.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, BorshSerialize, BorshDeserialize,
)]
pub struct Position {
    /// The term first: whose last term is later has the newer log, whatever its length (RA6).
    pub term: View,
    /// The index.
    pub index: Seq,
}

impl Position {
    /// Bytes on the wire.
    pub const WIRE_LEN: usize = 16;
}

/// What an entry holds.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Body {
    /// Nothing: a new leader's first word, or the proof that a member who forgot asked for.
    Nothing,
    /// A block.
    Block(Arc<Block>),
    /// Who counts from here on.
    Configuration(Configuration),
}

/// An entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: View,
    /// What it holds.
    pub body: Body,
}

impl Entry {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        8 + 1
            + match &self.body {
                Body::Nothing => 0,
                Body::Block(block) => block.wire_len(),
                Body::Configuration(configuration) => configuration.wire_len(),
            }
    }

    /// Its block, if it holds one.
    pub fn block(&self) -> Option<&Arc<Block>> {
        match &self.body {
            Body::Block(block) => Some(block),
            Body::Nothing | Body::Configuration(_) => None,
        }
    }
}

/// What stands for all entries up to an index, once they are dropped: the head of what a snapshot would
/// hold. The blocks themselves are the ledger's, and whoever lacks them fetches them there.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Base {
    /// The last entry that it stands for.
    pub at: Position,
    /// The height that applying it gave.
    pub height: Height,
    /// The block of that height.
    pub block: BlockId,
    /// Who counted there.
    pub configuration: Configuration,
}

impl Base {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        Position::WIRE_LEN + 8 + 32 + self.configuration.wire_len()
    }

    /// What the chain ends with after an entry: a block that does not follow the head changes nothing.
    pub(super) fn apply(&mut self, index: Seq, entry: &Entry) {
        self.at = Position {
            term: entry.term,
            index,
        };
        match &entry.body {
            Body::Nothing => {}
            Body::Block(block) => {
                let header = block.header();
                if header.parent == self.block && header.height == self.height.next() {
                    (self.block, self.height) = (block.id(), header.height);
                }
            }
            Body::Configuration(configuration) => self.configuration = configuration.clone(),
        }
    }
}
