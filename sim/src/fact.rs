//! One stream of facts: what happens, told by the world, read by invariants, metrics, trace, progress
//! and reports. The world knows none of its readers.

use std::time::Duration;

use consortium_node::{
    engine::Recovery,
    node::{Note, TxRefusal},
    transaction::{ContractId, Outcome},
    types::{Height, NodeId, PartyId, TxId},
};

use crate::{
    scenario::plan::{MemberIndex, PartyIndex},
    time::Time,
};

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Registers the terms for a package.
    Terms,
    /// A sensor's reading: tenths of a degree, tenths of a per cent.
    Reading {
        /// Temperature.
        temperature_dc: i64,
        /// Humidity.
        humidity_dpct: i64,
    },
    /// Hands a package over.
    HandOver {
        /// To whom.
        to: PartyId,
    },
    /// Ends a journey.
    Completion,
    /// Approves a change of the committee; it is about no package.
    Approval,
}

/// A transaction that came into being.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Its id.
    pub tx: TxId,
    /// Who signed it.
    pub party: PartyId,
    /// Which gateway carries it.
    pub gateway: NodeId,
    /// Which package's contract it is about.
    pub contract: ContractId,
    /// Number of the package.
    pub package: usize,
    /// Which leg of the journey the package was on.
    pub leg: usize,
    /// When it was due: latency counts from here.
    pub due: Time,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether a cheat made it.
    pub cheat: Option<usize>,
}

/// Why a transaction will never be ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rejection {
    /// The gateway: the party lacks the application role.
    Role,
    /// The gateway: the device's counter did not grow.
    Sequence,
    /// A validator at the door.
    Door(TxRefusal),
    /// The gateway: whenever it was ordered, what it had read had changed.
    Conflicts,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A transaction came into being.
    Submitted(Submission),
    /// A gateway sent it for the n-th time (1 is the first). `offline` is for how long its gateway's
    /// link had been down while it waited.
    Sent {
        /// Which.
        tx: TxId,
        /// Which attempt.
        attempt: u32,
        /// Whether it had waited for the gateway's link.
        waited_for_link: bool,
    },
    /// Its gateway holds what the protocol's fault model calls irreversible.
    Final {
        /// Which.
        tx: TxId,
        /// What became of it.
        outcome: Outcome,
        /// At which height.
        height: Height,
    },
    /// It will never be ordered.
    Rejected {
        /// Which.
        tx: TxId,
        /// Why.
        reason: Rejection,
    },
    /// What a node tells.
    Node {
        /// Which.
        node: NodeId,
        /// What.
        note: Note,
    },
    /// A fault of the plan begins.
    FaultBegan {
        /// Its number in the plan.
        fault: usize,
        /// Whom it hit, when it is a crash.
        nodes: Vec<NodeId>,
    },
    /// A validator that had crashed starts again. It says itself when it has taken up what its disk
    /// holds ([`Note::Recovered`]).
    Restarted {
        /// Number of the crash in the plan.
        fault: usize,
        /// Who.
        node: NodeId,
        /// How much of its disk can be believed.
        disk: Recovery,
    },
    /// A fault of the plan heals.
    FaultEnded {
        /// Its number in the plan.
        fault: usize,
    },
    /// A cheat of the plan did something.
    Cheated {
        /// Its number in the plan.
        cheat: usize,
        /// By which node, or through which gateway.
        node: NodeId,
        /// The transaction that it made, if any.
        tx: Option<TxId>,
    },
    /// A schedule of the plan was applied: to a message of this node, or at a record of it.
    Scheduled {
        /// Its number in the plan.
        schedule: usize,
        /// Whose message or record.
        node: NodeId,
    },
    /// A package left or entered the range of its terms, in truth (not as measured).
    Truth {
        /// Number of the package.
        package: usize,
        /// Who had it.
        custodian: PartyIndex,
        /// Whether it is out of range now.
        out_of_range: bool,
    },
    /// The drain begins: no new work, everything that can heal has healed.
    DrainBegan,
    /// An auditor read a member's own copy of the ledger.
    Audited {
        /// Whose copy.
        member: MemberIndex,
        /// What it found, in words; empty if nothing.
        findings: Vec<String>,
    },
    /// The run is over.
    Ended {
        /// Virtual time since the last fault healed.
        since_heal: Duration,
    },
}

/// Reads the stream.
pub trait Reader {
    /// Takes one fact. Facts come in the order of time.
    fn read(&mut self, at: Time, fact: &Fact);
}
