//! What a node writes to its disk, and what it gets back when it starts again.
//!
//! Two files: a *log*, in which an engine keeps what it must not forget, and a *chain* of final blocks,
//! which begins at height 1 or with a snapshot.
//! They are written in one order: whatever is durable, all that was written before it is durable too.
//! So a log that names a checkpoint implies the chain up to it. State is not written: it is what
//! executing the chain gives, but for that of a snapshot. How bytes lie on the disk is the business of
//! [`crate::wal`].

use std::{any::Any, fmt::Debug, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{Block, Finality},
    codec::{self, CodecError},
    engine::{Record, Recovery, Slot},
    ledger::Snapshot,
    types::{Seq, View},
};

/// Kind of a write that replaces the log.
pub const TRUNCATION: &str = "TRUNCATION";
/// Kind of a write that appends to the chain.
pub const BLOCK: &str = "BLOCK";
/// Kind of a write that replaces the chain.
pub const SNAPSHOT: &str = "SNAPSHOT";

/// A write. All of them become durable in their order.
#[derive(Clone, Debug)]
pub enum Write {
    /// Appends to the log. Everything that the node wants done afterwards, but for timers, waits until
    /// it is durable (R12).
    Log(LogRecord),
    /// Replaces the whole log, at once or not at all. Nothing waits for it.
    Truncate(Vec<LogRecord>),
    /// Appends to the chain. Nothing waits for it: should it be lost, a quorum's logs hold the block.
    Block(Stored),
    /// Replaces the whole chain, at once or not at all: it begins with this snapshot now, and the next
    /// block is the one after it. Nothing waits for it.
    Snapshot(Arc<Snapshot>),
}

impl Write {
    /// Bytes on disk, frames not counted: exactly those of [`Write::encode`].
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Log(record) => record.wire_len(),
            Self::Truncate(records) => records.iter().map(LogRecord::wire_len).sum(),
            Self::Block(stored) => stored.wire_len(),
            Self::Snapshot(snapshot) => snapshot.wire_len(),
        }
    }

    /// Its kind and what it is about: a record's own label; a block is about its height.
    pub fn label(&self) -> (&'static str, Slot) {
        match self {
            Self::Log(record) => record.0.label(),
            Self::Truncate(_) => (TRUNCATION, Slot::default()),
            Self::Block(stored) => {
                let seq = Seq(stored.block.header().height.0);
                let view = View::default();
                (BLOCK, Slot { view, seq })
            }
            Self::Snapshot(snapshot) => {
                let seq = Seq(snapshot.block.header().height.0);
                let view = View::default();
                (SNAPSHOT, Slot { view, seq })
            }
        }
    }

    /// The bytes that a real disk would get, a body for each frame.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Log(record) => vec![record.encode()],
            Self::Truncate(records) => records.iter().map(LogRecord::encode).collect(),
            Self::Block(stored) => vec![codec::encode(stored)],
            Self::Snapshot(snapshot) => vec![codec::encode(snapshot)],
        }
    }
}

/// A final block as the chain file holds it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Stored {
    /// The block.
    pub block: Arc<Block>,
    /// Why it is final.
    pub proof: Arc<Finality>,
}

impl Stored {
    /// Bytes on disk.
    pub fn wire_len(&self) -> usize {
        self.block.wire_len() + self.proof.wire_len()
    }

    /// Signatures that a reader checks: those of the proof and one for each transaction.
    pub fn signatures(&self) -> usize {
        self.proof.signatures() + self.block.transactions().len()
    }
}

/// What a disk gives back.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// How much of it can be believed.
    pub disk: Recovery,
    /// The log, oldest record first.
    pub log: Vec<LogRecord>,
    /// What the chain begins with, if that is not genesis.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Final blocks from height 1 or from the snapshot on, without holes.
    pub chain: Vec<Stored>,
}

/// A record of a protocol's log with its type erased.
#[derive(Clone, Debug)]
pub struct LogRecord(Arc<dyn AnyRecord>);

trait AnyRecord: Debug {
    fn as_any(&self) -> &dyn Any;
    fn wire_len(&self) -> usize;
    fn label(&self) -> (&'static str, Slot);
    fn encode(&self) -> Vec<u8>;
}

impl<R: Record> AnyRecord for R {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn wire_len(&self) -> usize {
        Record::wire_len(self)
    }

    fn label(&self) -> (&'static str, Slot) {
        Record::label(self)
    }

    fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

impl LogRecord {
    /// Hides the type of a record.
    pub fn new<R: Record>(record: R) -> Self {
        Self(Arc::new(record))
    }

    /// The record, if it is of this protocol.
    pub fn record<R: Record>(&self) -> Option<&R> {
        self.0.as_any().downcast_ref()
    }

    /// Bytes on disk: exactly the length of its encoding.
    pub fn wire_len(&self) -> usize {
        self.0.wire_len()
    }

    /// The bytes that a real disk would get.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// Reads a record of protocol record type `R`.
    pub fn decode<R: Record>(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(Self::new(codec::decode::<R>(bytes)?))
    }
}
