//! Proposals, votes and the lock (IB1–IB5).

use std::sync::Arc;

use crate::{
    block::Block,
    crypto::Signed,
    engine::{BlockFault, Effect, Outbox, Refusal, Tale, Ticket},
    quorum::{Counted, Phase, Vote},
    rounds::{COMMIT, PREPARE, PROPOSE},
    types::{BlockId, NodeId},
};

use super::{
    Ibft,
    message::{IbftMessage, PrePrepare, ROUND_CHANGE, Record},
};

/// Later rounds whose proposals are kept.
const AHEAD: u64 = 8;

impl Ibft {
    /// A message from an address that proves nothing.
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        message: &IbftMessage,
        out: &mut Outbox<Self>,
    ) {
        let (Some(author), Some(word)) = (message.author(), message.word()) else {
            return self.on_courtesy(from, message, out);
        };
        if author.height != self.station.height {
            return self.on_other_height(author, message, out);
        }
        if self.deciding.is_some() {
            return out.refuse(Refusal::Stale);
        }
        if !self.station.committee.contains(author.node) {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.station.knows(word) {
            return out.refuse(Refusal::BadSignature);
        }
        self.station.claimed(author.node, author.height, out);
        let phase = match message {
            IbftMessage::PrePrepare(_) => PROPOSE,
            IbftMessage::Prepare(_) => PREPARE,
            IbftMessage::Commit(_) => COMMIT,
            IbftMessage::RoundChange(_) => ROUND_CHANGE,
            IbftMessage::Courtesy(_) => return,
        };
        if word.body().phase != phase || !self.station.is_ours(word.body().view) {
            return out.refuse(Refusal::Malformed);
        }
        match message {
            IbftMessage::PrePrepare(said) => self.on_pre_prepare(said, out),
            _ => self.on_vote(phase, word, out),
        }
    }

    /// Does what the present round allows: proposes, looks at what was proposed, and lets the timer run.
    pub(super) fn go_on(&mut self, out: &mut Outbox<Self>) {
        self.propose(out);
        self.consider(out);
        self.station.rearm(out);
    }

    fn may_propose(&self) -> bool {
        let offered = self.offers.contains_key(&self.station.round);
        !offered && !self.waiting && self.deciding.is_none() && self.station.leads()
    }

    /// IB1.
    fn propose(&mut self, out: &mut Outbox<Self>) {
        if self.may_propose() {
            match self.lock.clone() {
                Some(block) => self.offer(block, out),
                None => self.station.want(out),
            }
        }
    }

    pub(super) fn on_payload(
        &mut self,
        ticket: Ticket,
        block: &Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        if self.station.takes(ticket, block) && self.may_propose() {
            let block = self.lock.clone().unwrap_or_else(|| Arc::clone(block));
            self.offer(block, out);
            self.consider(out);
        }
    }

    fn offer(&mut self, block: Arc<Block>, out: &mut Outbox<Self>) {
        let claim = self.station.vote(PROPOSE, block.id(), out);
        let said = Arc::new(PrePrepare { claim, block });
        self.offers.insert(self.station.round, said);
    }

    fn on_pre_prepare(&mut self, said: &Arc<PrePrepare>, out: &mut Outbox<Self>) {
        let (claim, round) = (*said.claim.body(), said.round());
        let (by, present) = (said.claim.signer(), self.station.round);
        if by != self.station.proposer(round) {
            return out.refuse(Refusal::WrongSender);
        }
        if round < present {
            return out.refuse(Refusal::Stale);
        }
        if round > present.saturating_add(AHEAD) {
            return out.refuse(Refusal::TooFar);
        }
        if claim.digest != said.block.id() || !said.block.is_whole() {
            return out.refuse(Refusal::BadBlock);
        }
        // A block that was locked in an earlier round is proposed by another than who made it.
        let maker = (round == 0).then_some(by);
        if let Err(reason) = self.station.follows(&said.block, maker) {
            return out.refuse(reason);
        }
        if let Some(first) = self.offers.get(&round) {
            if first.claim.body().digest != claim.digest {
                out.refuse(Refusal::Conflicting);
                let slot = self.station.slot(round);
                out.tell(Tale::Equivocation { by, slot });
            }
            return;
        }
        self.offers.insert(round, Arc::clone(said));
        self.consider(out);
    }

    /// IB2, IB3: looks at the proposal of the present round, if that has begun.
    fn consider(&mut self, out: &mut Outbox<Self>) {
        let busy = self.waiting || self.accepted.is_some() || self.deciding.is_some();
        let Some(said) = self.offers.get(&self.station.round).filter(|_| !busy) else {
            return;
        };
        let said = Arc::clone(said);
        match &self.lock {
            Some(lock) if lock.id() == said.block.id() => {
                self.accept(&said, out);
                self.agree(&said, out);
            }
            Some(_) => self.ask_for_next(out),
            None if self.judging.is_none() => {
                out.push(Effect::Validate(Arc::clone(&said.block)));
                self.judging = Some(said);
            }
            None => {}
        }
    }

    pub(super) fn on_validated(
        &mut self,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let asked = |judging: &mut Arc<PrePrepare>| judging.block.id() == block;
        let Some(said) = self.judging.take_if(asked) else {
            return;
        };
        if verdict.is_err() {
            out.refuse(Refusal::BadBlock);
            return self.ask_for_next(out);
        }
        self.accept(&said, out);
        self.agree(&said, out);
    }

    /// Votes for the accepted proposal: COMMIT if it is locked on it, otherwise PREPARE.
    pub(super) fn agree(&mut self, said: &PrePrepare, out: &mut Outbox<Self>) {
        if self.lock.is_some() {
            return self.commit(out);
        }
        if self.station.speaks() {
            let vote = self.cast(PREPARE, said.block.id(), out);
            self.persist(Record::Prepare(vote.clone()), out);
            self.say(IbftMessage::Prepare(vote), out);
        }
        self.prepare(out);
        self.decide(out);
    }

    fn accept(&mut self, said: &Arc<PrePrepare>, out: &mut Outbox<Self>) {
        let round = self.station.round;
        self.bodies.insert(round, Arc::clone(&said.block));
        self.accepted = Some(Arc::clone(said));
        self.station.engaged = true;
        self.station.rearm(out);
        if !self.station.speaks() {
            return;
        }
        self.persist(Record::Accepted(Arc::clone(said)), out);
        if said.claim.signer() == self.station.me {
            out.tell(Tale::Proposed {
                slot: self.station.slot(round),
                block: said.block.id(),
            });
            self.say(IbftMessage::PrePrepare(Arc::clone(said)), out);
        }
    }

    pub(super) fn ballots(&mut self, phase: Phase) -> &mut super::Ballots {
        match phase {
            PREPARE => &mut self.prepares,
            COMMIT => &mut self.commits,
            _ => &mut self.changes,
        }
    }

    /// Signs a vote of the present round and counts it.
    pub(super) fn cast(
        &mut self,
        phase: Phase,
        digest: BlockId,
        out: &mut Outbox<Self>,
    ) -> Signed<Vote> {
        let vote = self.station.vote(phase, digest, out);
        out.tell(Tale::Voted(*vote.body()));
        self.count(phase, &vote);
        vote
    }

    /// Counts an own vote of the present round.
    pub(super) fn count(&mut self, phase: Phase, vote: &Signed<Vote>) {
        let (committee, round) = (Arc::clone(&self.station.committee), self.station.round);
        let counted = self.ballots(phase).add(&committee, vote, round);
        debug_assert!(counted.is_ok(), "one's own round is in reach");
    }

    fn on_vote(&mut self, phase: Phase, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let (committee, present) = (Arc::clone(&self.station.committee), self.station.round);
        let round = vote.body().view.round();
        match self.ballots(phase).add(&committee, vote, present) {
            Err(reason) => out.refuse(reason),
            Ok(Counted::Conflicting) => {
                out.refuse(Refusal::Conflicting);
                let slot = self.station.slot(round);
                let by = vote.signer();
                out.tell(Tale::Equivocation { by, slot });
            }
            Ok(Counted::Again) => {}
            Ok(Counted::New(_)) if phase == PREPARE => self.prepare(out),
            Ok(Counted::New(_)) if phase == ROUND_CHANGE => self.on_round_change(round, out),
            Ok(Counted::New(_)) => {
                self.decide(out);
                if self.config.heeds_commits {
                    self.prepare(out);
                }
            }
        }
    }

    /// IB4.
    fn prepare(&mut self, out: &mut Outbox<Self>) {
        let done = self.committed || self.waiting || self.deciding.is_some();
        let Some(accepted) = self.accepted.as_ref().filter(|_| !done) else {
            return;
        };
        let (round, block) = (self.station.round, Arc::clone(&accepted.block));
        let said = |ballots: &super::Ballots, position| {
            let vote = ballots
                .round(round)
                .and_then(|tally| tally.vote_of(position));
            vote.is_some_and(|vote| vote.body().digest == block.id())
        };
        let either = |p: &usize| said(&self.prepares, *p) || said(&self.commits, *p);
        let supporters = (0..self.station.committee.n()).filter(either).count();
        if supporters >= self.station.quorum() && self.station.speaks() {
            self.lock = Some(block);
            self.commit(out);
        }
    }

    /// Says COMMIT for the accepted proposal, which it is locked on.
    fn commit(&mut self, out: &mut Outbox<Self>) {
        let Some(accepted) = self.accepted.as_ref().filter(|_| self.station.speaks()) else {
            return;
        };
        let digest = accepted.block.id();
        self.committed = true;
        let vote = self.cast(COMMIT, digest, out);
        self.persist(Record::Commit(vote.clone()), out);
        self.say(IbftMessage::Commit(vote), out);
        self.decide(out);
    }

    /// IB5.
    pub(super) fn decide(&mut self, out: &mut Outbox<Self>) {
        if let Some(certificate) = self.commits.certificate(self.station.quorum()) {
            self.decide_by(&certificate, out);
        }
    }
}
