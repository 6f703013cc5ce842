//! An orderer: any engine with finality, over envelopes that nobody looks into.

use std::sync::Arc;

use super::{Channel, ORDERED, Opaque, RolePacket};
use crate::{
    block::Finality,
    crypto::Keypair,
    engine::{Engine, Tale},
    ledger::{Entry, State},
    node::{Action, Actions, Event, Node, NodeStatus, Note, Packet},
    quorum::{Certificate, Vote},
    storage::{Stored, Write},
    types::{LocalTime, NodeId, Seq, View},
    validator::{Config, Identity, Validator},
};

/// A member of the ordering service on one machine.
pub struct Orderer<E: Engine> {
    id: NodeId,
    key: Arc<Keypair>,
    channel: Arc<Channel>,
    host: Validator<E>,
    /// The peers that hear of new blocks from here.
    served: Vec<NodeId>,
}

impl<E: Engine> Orderer<E> {
    /// An orderer whose engine was made for the channel's orderers. An engine whose chain may move cannot
    /// order: peers commit for good.
    pub fn new(
        id: NodeId,
        key: Arc<Keypair>,
        channel: Arc<Channel>,
        config: Config,
        engine: E,
        state: State,
    ) -> Self {
        assert!(!engine.has_branches(), "{} has no finality", E::NAME);
        let me = Identity {
            id,
            key: Arc::clone(&key),
            registry: Arc::clone(&channel.registry),
            committee: Arc::clone(&channel.orderers),
        };
        Self {
            host: Validator::new(me, config, engine, state, Arc::new(Opaque)),
            served: channel.served_by(id),
            id,
            key,
            channel,
        }
    }

    /// Where it stands.
    pub(super) fn status(&self) -> NodeStatus {
        self.host.status()
    }

    /// Takes one event and returns the blocks that were ordered with it. They are on their way to the
    /// peers that it serves; the one on this machine is the caller's.
    pub(super) fn handle(
        &mut self,
        now: LocalTime,
        event: Event<'_>,
        actions: &mut Actions,
    ) -> Vec<Stored> {
        let mut own = Actions::default();
        self.host.handle(now, event, &mut own);
        actions.add_work(own.work);
        let mut ordered = Vec::new();
        for action in own.list {
            match action {
                Action::Note(Note::Appended(entry)) => {
                    let stored = self.prove(&entry, actions);
                    for peer in &self.served {
                        let list = vec![stored.clone()];
                        let packet = RolePacket::Deliver { list, more: false };
                        actions.send(*peer, Packet::Role(packet));
                    }
                    ordered.push(stored);
                }
                // The machine's chain is its peer's.
                Action::Note(Note::Relied { .. } | Note::Recovered { .. })
                | Action::Persist(Write::Block(_)) => {}
                other => actions.list.push(other),
            }
        }
        ordered
    }

    /// The block with what convinces peers: the engine's own proof, or this orderer's word.
    fn prove(&self, entry: &Entry, actions: &mut Actions) -> Stored {
        let block = Arc::clone(&entry.block);
        if let Some(proof) = &entry.proof
            && self.channel.proves(&block, proof)
        {
            let proof = Arc::clone(proof);
            return Stored { block, proof };
        }
        let vote = Vote {
            phase: ORDERED,
            view: View::default(),
            slot: Seq(entry.height().0),
            digest: block.id(),
        };
        let word = self.key.sign(self.id, vote);
        actions.work.signatures += 1;
        actions.note(Note::Engine(Tale::Voted(vote)));
        let word = Certificate::collect([&word]).expect("one vote");
        Stored {
            block,
            proof: Arc::new(Finality::Certificate(word)),
        }
    }
}
