//! A node that does nothing but all-to-all rounds: what remains is the cost of the world.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use consortium_node::{
    codec::CodecError,
    crypto::Keypair,
    engine::{FaultModel, Forks, Kind, Message, ReplyRule, Slot, Status},
    ledger::{Ledger, state::State},
    node::{Actions, Claims, ConsensusPacket, Event, Node, NodeStatus, Packet},
    quorum::QuorumRule,
    storage::LogRecord,
    types::{Height, LocalTime, NodeId, View},
};

/// "I am in this round."
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Round(u64);

impl Message for Round {
    fn kind(&self) -> Kind {
        Kind {
            name: "ROUND",
            code: 0,
            proposal: false,
        }
    }

    fn slot(&self) -> Slot {
        Slot::default()
    }

    fn wire_len(&self) -> usize {
        8
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

/// Broadcasts its round and goes on when everybody's word for it has come.
pub struct Toy {
    id: NodeId,
    nodes: u16,
    rounds: u64,
    round: u64,
    heard: u64,
    ledger: Ledger,
}

impl Toy {
    /// One of `nodes` nodes that play `rounds` rounds.
    #[must_use]
    pub fn new(id: NodeId, nodes: u16, rounds: u64) -> Self {
        Self {
            id,
            nodes,
            rounds,
            round: 0,
            heard: 0,
            ledger: Ledger::new(State::new()),
        }
    }

    fn broadcast(&self, actions: &mut Actions) {
        let packet = Packet::Consensus(ConsensusPacket::new(Arc::new(Round(self.round))));
        for to in (0..self.nodes).map(NodeId).filter(|to| *to != self.id) {
            actions.send(to, packet.clone());
        }
    }
}

impl Node for Toy {
    fn id(&self) -> NodeId {
        self.id
    }

    fn claims(&self) -> Claims {
        Claims {
            protocol: "toy",
            faults: FaultModel::Trusted,
            reply: ReplyRule::One,
            quorum: QuorumRule::Byzantine,
            finality: None,
        }
    }

    fn handle(&mut self, _: LocalTime, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::Start | Event::Recovered(_) => self.broadcast(actions),
            Event::Packet { .. } => {
                self.heard += 1;
                let all = (self.round + 1) * u64::from(self.nodes - 1);
                if self.heard >= all && self.round + 1 < self.rounds {
                    self.round += 1;
                    self.broadcast(actions);
                }
            }
            Event::Timer(_) => {}
        }
    }

    fn status(&self) -> NodeStatus {
        let engine = Status {
            view: View(0),
            leader: NodeId(0),
            active: true,
            height: Height(0),
        };
        NodeStatus {
            engine,
            height: Height(0),
            pending: 0,
            oldest: None,
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn decode(&self, _: &[u8]) -> Result<Packet, CodecError> {
        Err(CodecError::refused("toys stay at home"))
    }

    fn decode_record(&self, _: &[u8]) -> Result<LogRecord, CodecError> {
        Err(CodecError::refused("toys forget"))
    }
}
