//! B6: withholds its proposals.

use std::rc::Rc;

use consortium_node::{
    codec::CodecError,
    ledger::Ledger,
    node::{Action, Actions, Claims, Event, Node, NodeStatus, Packet},
    storage::LogRecord,
    types::{LocalTime, NodeId},
};

use super::Script;

/// Takes part in everything, but whenever it leads it proposes nothing.
pub(crate) struct Silent {
    pub(crate) inner: Box<dyn Node>,
    pub(crate) script: Rc<Script>,
}

impl Node for Silent {
    fn id(&self) -> NodeId {
        self.inner.id()
    }

    fn claims(&self) -> Claims {
        self.inner.claims()
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        self.inner.handle(now, event, actions);
        if self.script.is_on() {
            let before = actions.list.len();
            actions.list.retain(|action| !is_proposal(action));
            if actions.list.len() < before {
                self.script.did_something();
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

fn is_proposal(action: &Action) -> bool {
    matches!(action, Action::Send { packet, .. } if packet.label().0.proposal)
}
