//! What a run leaves behind besides its facts: the final ledgers, and what was used to get there.

use std::collections::BTreeMap;

use consortium_node::{ledger::Ledger, node::Claims};

use crate::time::Time;

/// The end of a run.
#[derive(Debug)]
pub struct Ending {
    /// Ledgers of the validators, by node number; a crashed one's is what it had when it crashed.
    pub ledgers: Vec<Ledger>,
    /// Whether each validator is up at the end.
    pub alive: Vec<bool>,
    /// What each node used, validators and gateways, by node number.
    pub usage: Vec<Usage>,
    /// What was sent, by kind of message.
    pub packets: BTreeMap<&'static str, Count>,
    /// What the protocol claims.
    pub claims: Claims,
    /// When the run was over.
    pub ended: Time,
    /// Running hash over everything that happened.
    pub trace: u64,
}

/// A number of messages and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Their bytes on the wire, framing included.
    pub bytes: u64,
}

/// What one node used from the end of the warm-up to the start of the drain (busy times), and in all
/// (counts).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// What it sent.
    pub sent: Count,
    /// What it received.
    pub received: Count,
    /// Signatures it made.
    pub signatures: u64,
    /// Signatures it checked.
    pub checks: u64,
    /// Core-nanoseconds of the parallel stage.
    pub cores_busy_ns: u64,
    /// Nanoseconds of the serial stage.
    pub serial_busy_ns: u64,
    /// Nanoseconds that its uplink was sending.
    pub uplink_busy_ns: u64,
    /// Nanoseconds that its downlink was receiving.
    pub downlink_busy_ns: u64,
    /// Nanoseconds that its disk was writing.
    pub disk_busy_ns: u64,
    /// Bytes that its write-ahead log was given.
    pub logged_bytes: u64,
}
