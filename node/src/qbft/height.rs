//! From one height to the next (QB4, QB11, QB14).

use std::sync::Arc;

use crate::{
    block::{Block, Finality},
    engine::{Effect, Outbox, Refusal},
    quorum::Certificate,
    rounds::{Author, Ballots},
    types::{BlockId, NodeId},
};

use super::{
    Qbft,
    message::{QbftMessage, Record},
};

impl Qbft {
    /// A quorum has committed a block of this height.
    pub(super) fn decide_by(&mut self, certificate: &Certificate, out: &mut Outbox<Self>) {
        if self.deciding.is_some() {
            return;
        }
        let id = certificate.vote().digest;
        let prepared = self.prepared.iter().map(|prepared| &prepared.block);
        let changes = self.changes.iter().flatten();
        let claimed = changes.filter_map(|said| said.block.as_ref());
        let mut known = self.bodies.values().chain(prepared).chain(claimed);
        let Some(block) = known.find(|block| block.id() == id) else {
            return self.station.lacks(self.station.height, out);
        };
        let block = Arc::clone(block);
        self.deciding = Some((Arc::clone(&block), certificate.clone()));
        self.judging = None;
        out.push(Effect::Final {
            block,
            proof: Arc::new(Finality::Certificate(certificate.clone())),
        });
    }

    /// The host has executed what was decided.
    pub(super) fn on_executed(&mut self, block: BlockId, out: &mut Outbox<Self>) {
        let decided = self.deciding.take();
        let (head, certificate) = decided.expect("the host executes what was called final");
        assert_eq!(head.id(), block, "the host executes in order");
        self.advance(&head, certificate, out);
    }

    /// The host has fetched a final block and executed it.
    pub(super) fn on_synced(
        &mut self,
        block: &Arc<Block>,
        proof: &Finality,
        out: &mut Outbox<Self>,
    ) {
        assert!(self.deciding.is_none(), "the host does one thing at a time");
        let Finality::Certificate(certificate) = proof else {
            unreachable!("the host checked the proof");
        };
        self.advance(block, certificate.clone(), out);
    }

    /// The next height begins.
    fn advance(&mut self, head: &Block, certificate: Certificate, out: &mut Outbox<Self>) {
        self.station.advance(head, certificate, out);
        self.reset();
        let mute = self.station.is_mute();
        let speaks = mute && self.station.speak_again(out);
        if self.logged || speaks {
            // What is left of a mute one's log is that it is mute.
            let keep = self.station.is_mute().then_some(Record::Mute);
            out.push(Effect::Truncate(keep.into_iter().collect()));
            self.logged = false;
        }
        self.go_on(out);
        for (from, message) in self.early.take(self.station.height) {
            self.on_message(from, &message, out);
        }
    }

    /// Nothing is known about the present height.
    pub(super) fn reset(&mut self) {
        self.leave_round();
        self.bodies.clear();
        self.prepares = Ballots::default();
        self.commits = Ballots::default();
        self.prepared = None;
        self.changes = vec![None; self.station.committee.n()];
    }

    /// Nothing is known about the present round.
    pub(super) fn leave_round(&mut self) {
        self.offered = None;
        self.judging = None;
        self.accepted = None;
        self.committed = false;
        self.said.clear();
    }

    /// A message about a height that is over, or not yet there.
    pub(super) fn on_other_height(
        &mut self,
        author: Author,
        message: &QbftMessage,
        out: &mut Outbox<Self>,
    ) {
        if !self.is_signed(message) {
            return out.refuse(Refusal::BadSignature);
        }
        self.station.claimed(author.node, author.height, out);
        if author.height > self.station.height {
            let present = self.station.height;
            if !self
                .early
                .hold(author.node, author.height, present, message)
            {
                out.refuse(Refusal::TooFar);
            }
            return;
        }
        out.refuse(Refusal::Stale);
        if let QbftMessage::RoundChange(said) = message {
            let round = said.change.body().view.round();
            self.station
                .enlighten(author.node, author.height, round, out);
        }
    }

    pub(super) fn on_courtesy(
        &mut self,
        from: NodeId,
        message: &QbftMessage,
        out: &mut Outbox<Self>,
    ) {
        if let QbftMessage::Courtesy(courtesy) = message
            && let Some(certificate) = self.station.on_courtesy(from, courtesy, out)
        {
            self.decide_by(certificate, out);
        }
    }
}
