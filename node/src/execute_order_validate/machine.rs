//! A machine: a peer, and an orderer beside it where the member runs one. Which events are whose.

use std::sync::Arc;

use super::{
    Channel, NAME, Orderer, Peer, RolePacket,
    peer::{POLL_TIMER, stored_signatures},
};
use crate::{
    codec::CodecError,
    crypto::Keypair,
    engine::{Engine, Refusal, ReplyRule, Status},
    ledger::{Executor, Ledger, State},
    node::{Actions, Claims, ClientPacket, Event, Node, NodeStatus, Note, Packet},
    storage::{LogRecord, Recovered},
    types::{LocalTime, NodeId, View},
};

/// The roles of one machine on a channel whose orderers run `E`.
pub struct Machine<E: Engine> {
    peer: Peer,
    orderer: Option<Orderer<E>>,
}

impl<E: Engine> Machine<E> {
    /// A peer with an empty ledger, and the orderer beside it. Whether the peer endorses, the channel's
    /// policy says.
    pub fn new(
        id: NodeId,
        key: Arc<Keypair>,
        channel: Arc<Channel>,
        state: State,
        validation: Arc<dyn Executor>,
        orderer: Option<Orderer<E>>,
    ) -> Self {
        assert_eq!(
            orderer.is_some(),
            channel.orderers.contains(id),
            "an orderer's machine runs one"
        );
        Self {
            peer: Peer::new(id, key, channel, state, validation),
            orderer,
        }
    }

    /// Lets the orderer take an event, and the peer beside it the blocks that came of it.
    fn order(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        let Some(orderer) = &mut self.orderer else {
            actions.note(Note::Refused(Refusal::WrongSender));
            return;
        };
        for stored in orderer.handle(now, event, actions) {
            actions.work.checks += stored_signatures(&stored);
            self.peer.deliver(now, &[stored], false, actions);
        }
    }

    fn on_packet(&mut self, now: LocalTime, from: NodeId, packet: &Packet, actions: &mut Actions) {
        let event = Event::Packet { from, packet };
        match packet {
            Packet::Consensus(_) => self.order(now, event, actions),
            Packet::Client(ClientPacket::Submit(transaction)) | Packet::Relay(transaction)
                if transaction.endorsed().is_some() =>
            {
                self.order(now, event, actions);
            }
            Packet::Client(ClientPacket::Submit(transaction))
            | Packet::Role(RolePacket::Propose(transaction)) => {
                self.peer.propose(from, transaction, actions);
            }
            Packet::Role(RolePacket::Deliver { list, more }) => {
                self.peer.deliver(now, list, *more, actions);
            }
            Packet::Role(RolePacket::Fetch(height)) => self.peer.hand_out(from, *height, actions),
            Packet::Relay(_) => actions.note(Note::Refused(Refusal::Malformed)),
            Packet::Role(RolePacket::Endorsement(_))
            | Packet::Sync(_)
            | Packet::Client(ClientPacket::Receipts(_) | ClientPacket::Refused { .. }) => {
                actions.note(Note::Refused(Refusal::WrongSender));
            }
        }
    }

    /// The peer first: what the orderer's log holds beyond the chain is delivered to it again.
    fn recover(&mut self, now: LocalTime, found: &Recovered, actions: &mut Actions) {
        self.peer.recover(now, found, actions);
        if self.orderer.is_some() {
            self.order(now, Event::Recovered(found), actions);
        }
    }
}

impl<E: Engine> Node for Machine<E> {
    fn id(&self) -> NodeId {
        self.peer.id
    }

    fn claims(&self) -> Claims {
        Claims {
            protocol: NAME,
            faults: E::FAULTS,
            reply: ReplyRule::Commit,
            quorum: self.peer.channel.ordered.quorum,
            finality: Some(self.peer.channel.ordered),
        }
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::Start => {
                self.peer.start(now, actions);
                if self.orderer.is_some() {
                    self.order(now, event, actions);
                }
            }
            Event::Recovered(found) => self.recover(now, found, actions),
            Event::Packet { from, packet } => self.on_packet(now, from, packet, actions),
            Event::Timer(POLL_TIMER) => self.peer.poll(now, actions),
            Event::Timer(_) => self.order(now, event, actions),
        }
    }

    fn status(&self) -> NodeStatus {
        let height = self.peer.ledger.height();
        let Some(orderer) = &self.orderer else {
            let engine = Status {
                view: View::default(),
                leader: self.peer.channel.orderers.leader(View::default()),
                active: true,
                height,
            };
            return NodeStatus {
                engine,
                height,
                pending: 0,
                oldest: None,
            };
        };
        NodeStatus {
            height,
            ..orderer.status()
        }
    }

    fn ledger(&self) -> &Ledger {
        self.peer.ledger()
    }

    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError> {
        Packet::decode::<E>(bytes)
    }

    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError> {
        LogRecord::decode::<E::Record>(bytes)
    }
}
