//! Proposals and votes (QB1–QB4).

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
    Judging, Prepared, Qbft,
    justification::check_proposal,
    message::{Proposal, QbftMessage, Record},
};

impl Qbft {
    /// A message from an address that proves nothing.
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        message: &QbftMessage,
        out: &mut Outbox<Self>,
    ) {
        let Some(author) = message.author() else {
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
        if !self.is_signed(message) {
            return out.refuse(Refusal::BadSignature);
        }
        self.station.claimed(author.node, author.height, out);
        match message {
            QbftMessage::Proposal(proposal) => self.on_proposal(proposal, out),
            QbftMessage::Prepare(vote) => self.on_vote(PREPARE, vote, out),
            QbftMessage::Commit(vote) => self.on_vote(COMMIT, vote, out),
            QbftMessage::RoundChange(said) => self.on_round_change(said, out),
            QbftMessage::Courtesy(_) => {}
        }
    }

    /// Whether the member that a message names signed it.
    pub(super) fn is_signed(&self, message: &QbftMessage) -> bool {
        match message {
            QbftMessage::Proposal(proposal) => self.station.knows(&proposal.claim),
            QbftMessage::Prepare(vote) | QbftMessage::Commit(vote) => self.station.knows(vote),
            QbftMessage::RoundChange(said) => self.station.knows(&said.change),
            QbftMessage::Courtesy(_) => false,
        }
    }

    /// Does what the present round allows: proposes, and lets the timer run.
    pub(super) fn go_on(&mut self, out: &mut Outbox<Self>) {
        self.propose(out);
        self.station.rearm(out);
    }

    /// QB1, QB8: the proposer proposes again what must be, or asks for a new block.
    fn propose(&mut self, out: &mut Outbox<Self>) {
        let busy = self.offered.is_some() || self.deciding.is_some();
        if busy || !self.station.leads() || !self.has_leave() {
            return;
        }
        match self.highest_claim() {
            Some((block, _)) => self.offer(block, out),
            None => self.station.want(out),
        }
    }

    pub(super) fn on_payload(
        &mut self,
        ticket: Ticket,
        block: &Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        let taken = self.station.takes(ticket, block);
        if !taken || self.offered.is_some() || self.deciding.is_some() || !self.station.leads() {
            return;
        }
        // Meanwhile somebody may have shown that something was prepared.
        let claimed = self.highest_claim().map(|(block, _)| block);
        self.offer(claimed.unwrap_or_else(|| Arc::clone(block)), out);
    }

    /// Has this block judged as the proposal of the present round.
    fn offer(&mut self, block: Arc<Block>, out: &mut Outbox<Self>) {
        let changes = self.leave();
        let prepared = self.highest_claim().map(|(_, certificate)| certificate);
        let certified = prepared.is_some();
        let proposal = Arc::new(Proposal {
            claim: self.station.vote(PROPOSE, block.id(), out),
            block,
            changes,
            prepared,
        });
        self.judge(proposal, certified, out);
    }

    fn judge(&mut self, proposal: Arc<Proposal>, certified: bool, out: &mut Outbox<Self>) {
        self.offered = Some(Arc::clone(&proposal));
        out.push(Effect::Validate(Arc::clone(&proposal.block)));
        self.judging = Some(Judging {
            proposal,
            certified,
        });
    }

    /// QB2.
    fn on_proposal(&mut self, proposal: &Arc<Proposal>, out: &mut Outbox<Self>) {
        let (claim, round) = (*proposal.claim.body(), proposal.round());
        if claim.phase != PROPOSE || !self.station.is_ours(claim.view) {
            return out.refuse(Refusal::Malformed);
        }
        let proposer = proposal.claim.signer();
        if proposer != self.station.proposer(round) {
            return out.refuse(Refusal::WrongSender);
        }
        if round < self.station.round {
            return out.refuse(Refusal::Stale);
        }
        if claim.digest != proposal.block.id() || !proposal.block.is_whole() {
            return out.refuse(Refusal::BadBlock);
        }
        if round == self.station.round
            && let Some(first) = &self.offered
        {
            if first.claim.body().digest != claim.digest {
                out.refuse(Refusal::Conflicting);
                let slot = self.station.slot(round);
                out.tell(Tale::Equivocation { by: proposer, slot });
            }
            return;
        }
        let certified = match check_proposal(&self.station, proposal, self.planted) {
            Ok(certified) => certified,
            Err(reason) => return out.refuse(reason),
        };
        let by = (!certified).then_some(proposer);
        if let Err(reason) = self.station.follows(&proposal.block, by) {
            return out.refuse(reason);
        }
        if round > self.station.round {
            self.enter(round, out);
            self.station.engaged = true;
            self.station.rearm(out);
        }
        self.judge(Arc::clone(proposal), certified, out);
    }

    pub(super) fn on_validated(
        &mut self,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let asked = |judging: &mut Judging| judging.proposal.block.id() == block;
        let Some(Judging {
            proposal,
            certified,
        }) = self.judging.take_if(asked)
        else {
            return;
        };
        if verdict.is_err() && !certified {
            return out.refuse(Refusal::BadBlock);
        }
        self.accept(proposal, out);
    }

    fn accept(&mut self, proposal: Arc<Proposal>, out: &mut Outbox<Self>) {
        let digest = proposal.block.id();
        let round = self.station.round;
        self.bodies.insert(round, Arc::clone(&proposal.block));
        self.accepted = Some(Arc::clone(&proposal));
        self.station.engaged = true;
        self.station.rearm(out);
        if self.station.speaks() {
            self.persist(Record::Accepted(Arc::clone(&proposal)), out);
            if proposal.claim.signer() == self.station.me {
                out.tell(Tale::Proposed {
                    slot: self.station.slot(round),
                    block: digest,
                });
                self.say(QbftMessage::Proposal(proposal), out);
            }
            let vote = self.cast(PREPARE, digest, out);
            self.say(QbftMessage::Prepare(vote), out);
        }
        self.prepare(out);
        self.decide(out);
    }

    /// Signs a vote of the present round and counts it.
    fn cast(&mut self, phase: Phase, digest: BlockId, out: &mut Outbox<Self>) -> Signed<Vote> {
        let vote = self.station.vote(phase, digest, out);
        out.tell(Tale::Voted(*vote.body()));
        let ballots = if phase == PREPARE {
            &mut self.prepares
        } else {
            &mut self.commits
        };
        let counted = ballots.add(&self.station.committee, &vote, self.station.round);
        debug_assert!(counted.is_ok(), "one's own round is in reach");
        vote
    }

    fn on_vote(&mut self, phase: Phase, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let body = *vote.body();
        if body.phase != phase || !self.station.is_ours(body.view) {
            return out.refuse(Refusal::Malformed);
        }
        let ballots = if phase == PREPARE {
            &mut self.prepares
        } else {
            &mut self.commits
        };
        match ballots.add(&self.station.committee, vote, self.station.round) {
            Err(reason) => out.refuse(reason),
            Ok(Counted::Conflicting) => {
                out.refuse(Refusal::Conflicting);
                out.tell(Tale::Equivocation {
                    by: vote.signer(),
                    slot: self.station.slot(body.view.round()),
                });
            }
            Ok(Counted::Again) => {}
            Ok(Counted::New(_)) if phase == PREPARE => self.prepare(out),
            Ok(Counted::New(_)) => self.decide(out),
        }
    }

    /// QB3.
    fn prepare(&mut self, out: &mut Outbox<Self>) {
        let Some(accepted) = self.accepted.as_ref().filter(|_| !self.committed) else {
            return;
        };
        let (digest, round) = (accepted.block.id(), self.station.round);
        let quorum = self.station.quorum();
        let certificate = self.prepares.certificate_of(round, &digest, quorum);
        let Some(certificate) = certificate.filter(|_| self.station.speaks()) else {
            return;
        };
        self.committed = true;
        self.prepared = Some(Prepared {
            certificate: certificate.clone(),
            block: Arc::clone(&accepted.block),
        });
        self.persist(Record::Prepared(certificate), out);
        let vote = self.cast(COMMIT, digest, out);
        self.say(QbftMessage::Commit(vote), out);
        self.decide(out);
    }

    /// QB4.
    pub(super) fn decide(&mut self, out: &mut Outbox<Self>) {
        if let Some(certificate) = self.commits.certificate(self.station.quorum()) {
            self.decide_by(&certificate, out);
        }
    }
}
