//! An engine that decides nothing: it says on cue that it is behind, and hears what was fetched.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use consortium_node::{
    crypto::Keypair,
    engine::{
        Effect, Engine, FaultModel, Forks, Input, Kind, Message, Outbox, Record, Relay, ReplyRule,
        Slot, Status,
    },
    ledger::State,
    pbft::FINALITY,
    quorum::{FinalityRule, QuorumRule},
    storage::Stored,
    types::{Height, LocalTime, NodeId, View},
    validator::Validator,
};

use crate::{
    library::{COMMIT, config, executor, identity},
    net::Net,
};

/// What the test says to the engine.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum Cue {
    /// Others are ahead.
    Behind,
    /// This was decided.
    Decided(Stored),
}

impl Message for Cue {
    fn kind(&self) -> Kind {
        Kind {
            name: "CUE",
            code: 0,
            proposal: false,
        }
    }

    fn slot(&self) -> Slot {
        Slot::default()
    }

    fn wire_len(&self) -> usize {
        match self {
            Self::Behind => 1,
            Self::Decided(stored) => 1 + stored.wire_len(),
        }
    }

    fn signatures(&self) -> usize {
        0
    }

    fn hashed_bytes(&self) -> usize {
        0
    }

    fn conflicting(&self, _: &Arc<Keypair>, _: NodeId, _: &mut Forks) -> Option<Self> {
        None
    }
}

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Nothing;

impl Record for Nothing {
    fn wire_len(&self) -> usize {
        0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Heights that the host fetched.
    pub(crate) synced: Vec<u64>,
    height: Height,
}

impl Engine for Follower {
    type Message = Cue;
    type Timer = u8;
    type Record = Nothing;

    const NAME: &'static str = "follower";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    fn relay(&self) -> Relay {
        Relay::Leader
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::Byzantine
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FinalityRule {
            phase: COMMIT,
            ..FINALITY
        })
    }

    fn step(&mut self, _: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        match input {
            Input::Message { message, .. } => match message {
                Cue::Behind => out.push(Effect::Behind),
                Cue::Decided(stored) => out.push(Effect::Final {
                    block: Arc::clone(&stored.block),
                    proof: Arc::clone(&stored.proof),
                }),
            },
            Input::Synced { block, .. } => {
                let height = block.header().height;
                assert!(height > self.height, "fetched blocks go up");
                self.height = height;
                self.synced.push(height.0);
            }
            Input::Executed { .. } => self.height = self.height.next(),
            Input::Recovered { tip, .. } => self.height = tip.block.header().height,
            _ => {}
        }
    }

    fn status(&self) -> Status {
        Status {
            view: View(0),
            leader: NodeId(0),
            active: true,
            height: self.height,
        }
    }
}

/// A validator that follows.
pub(crate) fn follower(snapshot_above: u64) -> impl Fn(NodeId) -> Validator<Follower> {
    move |id| {
        let engine = Follower::default();
        let config = config(snapshot_above);
        Validator::new(identity(id), config, engine, State::new(), executor())
    }
}

impl Net<Follower> {
    /// Tells the engine of a node that others are ahead.
    pub(crate) fn behind(&mut self, node: u16) {
        self.tell(node, Cue::Behind);
    }
}
