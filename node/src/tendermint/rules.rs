//! Algorithm 1: what follows from the votes that are here.

use std::sync::Arc;

use crate::{
    block::Block,
    crypto::Signed,
    engine::{Effect, Outbox, Tale, Ticket, Want},
    mutant::Mutant,
    quorum::{Certificate, Phase, Vote},
    types::{BlockId, Digest, Wall},
};

use super::{
    Step, Tendermint, Timer,
    message::{
        Claim, Decided, NIL, PRECOMMIT, PREVOTE, Polka, Proposal, Record, TendermintMessage,
    },
};

impl Tendermint {
    /// Applies rules until none applies any more.
    pub(super) fn advance(&mut self, out: &mut Outbox<Self>) {
        if self.position.is_none() {
            return;
        }
        while self.decided.is_none()
            && (self.decide(out)
                || self.skip(out)
                || self.open(out)
                || self.answer_proposal(out)
                || self.answer_polka(out)
                || self.answer_nil(out)
                || self.time_prevotes(out)
                || self.time_precommits(out))
        {}
    }

    /// Signs a vote of the present round, unless one was signed before a restart.
    fn vote(&mut self, phase: Phase, digest: Digest, out: &mut Outbox<Self>) {
        let (Some(position), true) = (self.position, self.speaks()) else {
            return;
        };
        let (view, slot) = (self.view(self.round), self.seq());
        let round = self.rounds.entry(self.round).or_default();
        let votes = if phase == PREVOTE {
            &mut round.prevotes
        } else {
            &mut round.precommits
        };
        if votes.of(position).is_some() {
            return;
        }
        let vote = Vote {
            phase,
            view,
            slot,
            digest,
        };
        let signed = self.key.sign(self.me, vote);
        votes.add(&self.committee, &signed);
        out.work.signatures += 1;
        out.push(Effect::Persist(Record::Voted(signed.clone())));
        out.tell(Tale::Voted(vote));
        out.broadcast(if phase == PREVOTE {
            TendermintMessage::Prevote(signed)
        } else {
            TendermintMessage::Precommit(signed)
        });
    }

    /// TM15: round 0 begins.
    fn open(&mut self, out: &mut Outbox<Self>) -> bool {
        if self.step != Step::Wait || !self.rested {
            return false;
        }
        let n = self.committee.n();
        let speakers = self.rounds.get(&0).map_or(0, |round| round.speakers(n));
        let due = self.pending || self.empty_due || speakers >= self.committee.weak_quorum();
        if due {
            self.start_round(0, out);
        }
        due
    }

    /// TM1.
    pub(super) fn start_round(&mut self, round: u64, out: &mut Outbox<Self>) {
        assert!(round >= self.round, "rounds only go up");
        self.disarm(false, out);
        self.unwant(out);
        self.judging = None;
        self.round = round;
        self.step = Step::Propose;
        self.rested = true;
        self.peers.progress = true;
        self.prune_blocks();
        if round > 0 {
            out.tell(Tale::Entered {
                view: self.view(round),
                leader: self.proposer(round),
            });
        }
        let after = self.timeout(self.config.timeout_propose);
        self.arm(Timer::Propose(self.seq(), round), after, out);
        self.rounds.entry(round).or_default();
        self.take_ahead(out);
        let claimed = self.rounds[&round].claim.is_some();
        if self.proposer(round) == self.me && self.speaks() && !claimed {
            self.propose(out);
        }
    }

    fn propose(&mut self, out: &mut Outbox<Self>) {
        if let Some((round, polka)) = self.valid.clone() {
            let block = Arc::clone(&self.blocks[&polka.vote().digest]);
            self.offer(block, Some((round, polka)), out);
            return;
        }
        self.tickets += 1;
        self.wanted = Some(Ticket(self.tickets));
        out.push(Effect::Want(Want {
            ticket: Ticket(self.tickets),
            parent: self.head,
            empty_ok: self.round > 0 || self.empty_due,
            not_before: Wall(0),
            extra: Vec::new(),
        }));
    }

    pub(super) fn unwant(&mut self, out: &mut Outbox<Self>) {
        if self.wanted.take().is_some() {
            out.push(Effect::Unwant);
        }
    }

    /// The host made a block: it is offered, unless its round is over.
    pub(super) fn on_payload(&mut self, ticket: Ticket, block: Arc<Block>, out: &mut Outbox<Self>) {
        if self.wanted == Some(ticket) {
            self.wanted = None;
            if self.step == Step::Propose && block.header().parent == self.head {
                self.offer(block, None, out);
            }
        }
    }

    /// Signs a proposal for the present round.
    fn offer(
        &mut self,
        block: Arc<Block>,
        valid: Option<(u64, Arc<Certificate>)>,
        out: &mut Outbox<Self>,
    ) {
        let claim = Claim {
            view: self.view(self.round),
            height: self.seq(),
            valid_round: valid.as_ref().map(|(round, _)| *round),
            digest: block.id(),
        };
        let signed: Signed<Claim> = self.key.sign(self.me, claim);
        let round = self.rounds.entry(self.round).or_default();
        assert!(round.claim.is_none(), "a round is proposed in once");
        round.claim = Some(signed.clone());
        // Made here, or certified by a quorum.
        round.verdict = Some(true);
        self.blocks.insert(block.id(), Arc::clone(&block));
        let polka = valid.map(|(_, polka)| polka).filter(|_| self.relays());
        let proposal = Proposal {
            claim: signed,
            block,
            polka,
        };
        out.work.signatures += 1;
        out.push(Effect::Persist(Record::Proposed(proposal.clone())));
        out.tell(Tale::Proposed {
            slot: claim.place(),
            block: claim.digest,
        });
        out.broadcast(TendermintMessage::Proposal(proposal));
    }

    /// The block that a quorum prevoted in a round.
    pub(super) fn polka(&self, round: u64) -> Option<Digest> {
        let quorum = self.quorum_size();
        self.rounds.get(&round)?.prevotes.block(quorum)
    }

    /// TM2 and TM3.
    fn answer_proposal(&mut self, out: &mut Outbox<Self>) -> bool {
        let round = &self.rounds.entry(self.round).or_default();
        let Some(claim) = round.claim.as_ref().filter(|_| self.step <= Step::Propose) else {
            return false;
        };
        let (claim, verdict) = (*claim.body(), round.verdict);
        let certified = claim
            .valid_round
            .is_none_or(|round| self.polka(round) == Some(claim.digest));
        if !certified || self.judging.is_some() {
            return false;
        }
        let Some(valid) = verdict else {
            self.judge(&claim, out);
            return self.judging.is_none();
        };
        let free = match (self.locked, claim.valid_round) {
            (None, _) => true,
            (Some((_, locked)), _) if locked == claim.digest => true,
            (Some((locked, _)), Some(valid_round)) => locked <= valid_round,
            (Some(_), None) => self.planted.is(Mutant::PrevoteWhileLocked),
        };
        let digest = if valid && free { claim.digest } else { NIL };
        if self.step == Step::Wait {
            // The next round needs no second start of this one.
            self.rested = true;
        }
        self.unwant(out);
        self.step = Step::Prevote;
        self.vote(PREVOTE, digest, out);
        true
    }

    /// Asks the host about the proposal, unless it cannot follow the head anyway.
    fn judge(&mut self, claim: &Claim, out: &mut Outbox<Self>) {
        let block = Arc::clone(&self.blocks[&claim.digest]);
        let header = block.header();
        let own = header.proposer == self.proposer(self.round) || claim.valid_round.is_some();
        if own && header.parent == self.head && header.height == self.height {
            self.judging = Some((self.round, block.id()));
            out.push(Effect::Validate(block));
        } else {
            self.rounds.entry(self.round).or_default().verdict = Some(false);
        }
    }

    /// The host has judged a block.
    pub(super) fn on_verdict(&mut self, block: BlockId, valid: bool) {
        if let Some((round, _)) = self.judging.take_if(|(_, judged)| *judged == block) {
            self.rounds.entry(round).or_default().verdict = Some(valid);
        }
    }

    /// TM5.
    fn answer_polka(&mut self, out: &mut Outbox<Self>) -> bool {
        let quorum = self.quorum_size();
        let known = self.polka(self.round);
        let known = known.filter(|digest| self.blocks.contains_key(digest));
        let round = self.rounds.entry(self.round).or_default();
        let Some(digest) = known.filter(|_| self.step >= Step::Prevote && !round.polka_seen) else {
            return false;
        };
        round.polka_seen = true;
        let certificate = round.prevotes.certificate(quorum).expect("a polka");
        self.valid = Some((self.round, Arc::clone(&certificate)));
        out.push(Effect::Persist(Record::Polka(Polka {
            certificate,
            block: Some(Arc::clone(&self.blocks[&digest])),
        })));
        if self.step == Step::Prevote {
            self.locked = Some((self.round, digest));
            self.step = Step::Precommit;
            self.vote(PRECOMMIT, digest, out);
        }
        true
    }

    /// TM6.
    fn answer_nil(&mut self, out: &mut Outbox<Self>) -> bool {
        let quorum = self.quorum_size();
        let round = &self.rounds[&self.round];
        let nil = round.prevotes.decided(quorum) == Some(NIL);
        if nil && self.step == Step::Prevote {
            self.step = Step::Precommit;
            self.vote(PRECOMMIT, NIL, out);
            return true;
        }
        false
    }

    /// TM4.
    fn time_prevotes(&mut self, out: &mut Outbox<Self>) -> bool {
        let quorum = self.quorum_size();
        let round = self.rounds.entry(self.round).or_default();
        let due = round.prevotes.voters() >= quorum && !round.prevote_timer;
        if !due || self.step != Step::Prevote {
            return false;
        }
        round.prevote_timer = true;
        let after = self.timeout(self.config.timeout_prevote);
        self.arm(Timer::Prevote(self.seq(), self.round), after, out);
        true
    }

    /// TM7.
    fn time_precommits(&mut self, out: &mut Outbox<Self>) -> bool {
        let quorum = self.quorum_size();
        let round = self.rounds.entry(self.round).or_default();
        if round.precommits.voters() < quorum || round.precommit_timer {
            return false;
        }
        round.precommit_timer = true;
        let after = self.timeout(self.config.timeout_precommit);
        self.arm(Timer::Precommit(self.seq(), self.round), after, out);
        true
    }

    /// TM10.
    pub(super) fn give_up_proposal(&mut self, out: &mut Outbox<Self>) {
        if self.step == Step::Propose {
            self.unwant(out);
            self.judging = None;
            self.step = Step::Prevote;
            out.tell(Tale::Suspected(self.view(self.round).next()));
            self.vote(PREVOTE, NIL, out);
        }
    }

    /// TM11.
    pub(super) fn give_up_polka(&mut self, out: &mut Outbox<Self>) {
        if self.step == Step::Prevote {
            self.step = Step::Precommit;
            self.vote(PRECOMMIT, NIL, out);
        }
    }

    /// TM8.
    fn decide(&mut self, out: &mut Outbox<Self>) -> bool {
        let quorum = self.quorum_size();
        let found = self.rounds.values().find_map(|round| {
            let digest = round.precommits.block(quorum)?;
            let block = self.blocks.get(&digest)?;
            // With more liars than f, a quorum may stand for a block of another fork.
            if block.header().parent != self.head {
                return None;
            }
            Some((Arc::clone(block), round.precommits.certificate(quorum)?))
        });
        let Some((block, certificate)) = found else {
            return false;
        };
        let certificate = (*certificate).clone();
        self.conclude(Arc::new(Decided { certificate, block }), out);
        true
    }
}
