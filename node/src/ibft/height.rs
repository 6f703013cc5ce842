//! From one height to the next (IB5, IB10, IB12).

use std::sync::Arc;

use crate::{
    block::{Block, Finality},
    engine::{Effect, Outbox, Refusal},
    mutant::Mutant,
    quorum::Certificate,
    rounds::{Author, Ballots},
    types::{BlockId, NodeId},
};

use super::{
    Ibft,
    message::{IbftMessage, Record},
};

impl Ibft {
    /// A quorum has committed a block of this height.
    pub(super) fn decide_by(&mut self, certificate: &Certificate, out: &mut Outbox<Self>) {
        if self.deciding.is_some() {
            return;
        }
        let id = certificate.vote().digest;
        let offered = self.offers.values().map(|said| &said.block);
        let mut known = self.bodies.values().chain(&self.lock).chain(offered);
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
        self.waiting = false;
        self.offers.clear();
        if !self.planted.is(Mutant::LockNeverReleased) {
            self.lock = None;
        }
        self.bodies.clear();
        self.prepares = Ballots::default();
        self.commits = Ballots::default();
        self.changes = Ballots::default();
    }

    /// Nothing is known about the present round, but for what was proposed in it.
    pub(super) fn leave_round(&mut self) {
        self.judging = None;
        self.accepted = None;
        self.committed = false;
        self.said.clear();
    }

    /// A message about a height that is over, or not yet there.
    pub(super) fn on_other_height(
        &mut self,
        author: Author,
        message: &IbftMessage,
        out: &mut Outbox<Self>,
    ) {
        let signed = message.word().is_some_and(|word| self.station.knows(word));
        if !signed {
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
        if let IbftMessage::RoundChange(vote) = message {
            let round = vote.body().view.round();
            self.station
                .enlighten(author.node, author.height, round, out);
        }
    }

    pub(super) fn on_courtesy(
        &mut self,
        from: NodeId,
        message: &IbftMessage,
        out: &mut Outbox<Self>,
    ) {
        if let IbftMessage::Courtesy(courtesy) = message
            && let Some(certificate) = self.station.on_courtesy(from, courtesy, out)
        {
            self.decide_by(certificate, out);
        }
    }
}
