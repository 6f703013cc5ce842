//! B1, B2, B3 and B23: tells two halves of the committee two stories.
//!
//! Whenever it leads, the victims get another block than the rest; whatever it votes for, it votes for
//! the other story towards the victims. Colluders share the script, so that a follower votes for both of
//! its leader's blocks.

use std::{collections::BTreeSet, rc::Rc, sync::Arc};

use consortium_node::{
    codec::CodecError,
    crypto::Keypair,
    ledger::Ledger,
    node::{Action, Actions, Claims, Event, Node, NodeStatus, Packet},
    storage::LogRecord,
    types::{LocalTime, NodeId},
};

use super::Script;

/// Says one thing to the victims and another to the rest.
pub(crate) struct Equivocator {
    pub(crate) inner: Box<dyn Node>,
    pub(crate) key: Arc<Keypair>,
    pub(crate) victims: BTreeSet<NodeId>,
    pub(crate) script: Rc<Script>,
}

impl Equivocator {
    fn twist(&self, to: NodeId, packet: &mut Packet) {
        if !self.victims.contains(&to) {
            return;
        }
        let forks = &mut self.script.forks.borrow_mut();
        if let Some(lie) = packet.conflicting(&self.key, self.inner.id(), forks) {
            *packet = lie;
            self.script.did_something();
        }
    }
}

impl Node for Equivocator {
    fn id(&self) -> NodeId {
        self.inner.id()
    }

    fn claims(&self) -> Claims {
        self.inner.claims()
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        let first = actions.list.len();
        self.inner.handle(now, event, actions);
        if self.script.is_on() {
            for action in &mut actions.list[first..] {
                if let Action::Send { to, packet } = action {
                    self.twist(*to, packet);
                }
            }
        }
    }

    fn status(&self) -> NodeStatus {
        self.inner.status()
    }

    fn ledger(&self) -> &Ledger {
        self.inner.ledger()
    }

    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError> {
        self.inner.decode(bytes)
    }

    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError> {
        self.inner.decode_record(bytes)
    }
}
