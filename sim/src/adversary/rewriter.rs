//! B2, B3, B10–B14, B19, B24: changes single messages in one place before they leave.
//!
//! What is changed, and when, is a schedule's business; this is the hand that writes. It holds the
//! sender's own key and no other, and remembers what the sender said before.

use std::{collections::BTreeMap, sync::Arc};

use consortium_node::{
    crypto::Keypair,
    engine::{Forks, Slot},
    node::{ConsensusPacket, Packet},
    rewrite::{Pen, Rewrite},
    types::NodeId,
};

/// Writes the lies of one validator.
#[derive(Debug)]
pub(crate) struct Rewriter {
    key: Arc<Keypair>,
    me: NodeId,
    quorum: usize,
    /// By the code of a kind: what was said last, and what was said about another slot before.
    said: BTreeMap<u8, (Slot, ConsensusPacket, Option<ConsensusPacket>)>,
}

impl Rewriter {
    pub(crate) fn new(key: Arc<Keypair>, me: NodeId, quorum: usize) -> Self {
        Self {
            key,
            me,
            quorum,
            said: BTreeMap::new(),
        }
    }

    /// Remembers what the sender is about to say.
    pub(crate) fn hear(&mut self, packet: &Packet) {
        let Packet::Consensus(packet) = packet else {
            return;
        };
        let (kind, slot) = packet.label();
        match self.said.get_mut(&kind.code) {
            Some((last, ..)) if *last == slot => {}
            Some((last, newest, before)) => {
                *last = slot;
                *before = Some(std::mem::replace(newest, packet.clone()));
            }
            None => {
                self.said.insert(kind.code, (slot, packet.clone(), None));
            }
        }
    }

    /// The message with this change; `None` if it makes no sense there. `forks` is what all liars of a
    /// run agreed on.
    pub(crate) fn rewrite(
        &self,
        change: Rewrite,
        packet: &Packet,
        forks: &mut Forks,
    ) -> Option<Packet> {
        let packet = match packet {
            Packet::Consensus(packet) => packet,
            Packet::Sync(packet) => return packet.rewrite(change).map(Arc::new).map(Packet::Sync),
            _ => return None,
        };
        let said = self.said.get(&packet.label().0.code);
        let pen = Pen {
            key: &self.key,
            me: self.me,
            quorum: self.quorum,
            earlier: said.and_then(|(.., before)| before.as_ref()),
            forks,
        };
        packet.rewrite(change, pen).map(Packet::Consensus)
    }
}
