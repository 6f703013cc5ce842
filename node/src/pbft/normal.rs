//! Normal case (OSDI'99 §4.2): propose, prepare, commit.

use std::sync::Arc;

use crate::{
    block::Block,
    crypto::Signed,
    engine::{Effect, Outbox, Refusal, Slot, Tale, Ticket, Want},
    mutant::Mutant,
    quorum::{Counted, Phase, Vote},
    types::{Digest, Seq, Wall},
};

use super::{
    Era, Pbft,
    early::Held,
    log::{Chosen, Place, Standing},
    message::{COMMIT, PREPARE, PbftMessage, PrePrepare, Proposal, Record},
};

impl Pbft {
    /// §4.2: upon receiving PRE-PREPARE from the primary (R6).
    pub(super) fn on_pre_prepare(&mut self, message: &PrePrepare, out: &mut Outbox<Self>) {
        let claim = *message.claim.body();
        if claim.view.epoch() != self.epoch() {
            return self.hold_for_next(claim.view, || Held::Proposal(message.clone()), out);
        }
        let leader = self.committee.leader(claim.view);
        if message.claim.signer() != leader || leader == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.committee.verify(&message.claim) {
            return out.refuse(Refusal::BadSignature);
        }
        // Null requests come with a NEW-VIEW only: a primary could burn slots with them.
        let Some(block) = &message.block else {
            return out.refuse(Refusal::Malformed);
        };
        if block.id() != claim.digest {
            return out.refuse(Refusal::Malformed);
        }
        let position = self
            .committee
            .position(leader)
            .expect("leaders are members");
        match (self.era(claim.view), self.log.place(claim.seq)) {
            (Era::Past, _) | (_, Place::Below) => out.refuse(Refusal::Stale),
            (_, Place::Far) => out.refuse(Refusal::TooFar),
            (_, Place::Soon) if self.planted.is(Mutant::BeyondWindowDropped) => {
                out.refuse(Refusal::TooFar);
            }
            (Era::Future, _) | (Era::Present, Place::Soon) => {
                self.hold(position, Held::Proposal(message.clone()), out);
            }
            (Era::Present, Place::Inside) => {
                self.peers.heard(position, claim.seq);
                self.offer(claim, message, block, out);
            }
        }
    }

    /// Takes the first proposal for a slot of this view; a second, different one is evidence.
    fn offer(
        &mut self,
        claim: Proposal,
        message: &PrePrepare,
        block: &Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        let slot = self
            .log
            .slot_mut(claim.seq)
            .expect("between the watermarks");
        match slot.claim.as_ref().map(|known| known.body().digest) {
            Some(known) if known != claim.digest => {
                let (view, seq) = (claim.view, claim.seq);
                out.tell(Tale::Equivocation {
                    by: message.claim.signer(),
                    slot: Slot { view, seq },
                });
                out.refuse(Refusal::Conflicting);
            }
            Some(_) if self.missing.contains_key(&claim.seq) => self.on_body(block, out),
            Some(_) if slot.spoiled() => {
                slot.offered = Some(Arc::clone(block));
                slot.standing = Standing::Offered;
                self.advance(out);
            }
            Some(_) => out.refuse(Refusal::Stale),
            None => {
                slot.claim = Some(message.claim.clone());
                slot.offered = Some(Arc::clone(block));
                slot.standing = Standing::Offered;
                self.log.touch(claim.seq);
                self.try_decide(claim.seq, out);
                self.advance(out);
            }
        }
    }

    /// §4.2: upon receiving PREPARE from a backup or COMMIT from a replica (R8, R9, R11).
    pub(super) fn on_vote(&mut self, phase: Phase, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let body = vote.body();
        let signer = vote.signer();
        if body.phase != phase {
            return out.refuse(Refusal::Malformed);
        }
        if body.view.epoch() != self.epoch() {
            return self.hold_for_next(body.view, || Held::Vote(phase, vote.clone()), out);
        }
        let Some(position) = self.committee.position(signer) else {
            return out.refuse(Refusal::WrongSender);
        };
        // The primary's proposal stands for its PREPARE (R7), and nobody repeats my words to me.
        let silent = phase == PREPARE
            && signer == self.committee.leader(body.view)
            && !self.planted.is(Mutant::PrimaryPrepareCounts);
        if silent || signer == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.committee.verify(vote) {
            return out.refuse(Refusal::BadSignature);
        }
        match (self.era(body.view), self.log.place(body.slot)) {
            (Era::Present, Place::Inside) => self.count(position, vote, out),
            (Era::Past, _) | (_, Place::Below) => out.refuse(Refusal::Stale),
            (_, Place::Far) => out.refuse(Refusal::TooFar),
            (Era::Future, _) | (_, Place::Soon) => {
                self.hold(position, Held::Vote(phase, vote.clone()), out);
            }
        }
    }

    /// Keeps a message that came too early, while its sender's share lasts.
    fn hold(&mut self, position: usize, held: Held, out: &mut Outbox<Self>) {
        if !self.early.hold(position, held) {
            out.refuse(Refusal::TooFar);
        }
    }

    /// Handles the messages whose time has come.
    pub(super) fn release_early(&mut self, out: &mut Outbox<Self>) {
        let (low, high) = (self.log.low(), self.log.high());
        for held in self.early.release(self.view, self.active, low, high) {
            match held {
                Held::Proposal(message) => self.on_pre_prepare(&message, out),
                Held::Vote(phase, vote) => self.on_vote(phase, &vote, out),
            }
        }
    }

    fn count(&mut self, position: usize, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let Vote {
            phase,
            view,
            slot: seq,
            ..
        } = *vote.body();
        self.peers.heard(position, seq);
        let needed = self.rules().commits();
        let slot = self.log.slot_mut(seq).expect("between the watermarks");
        let claimed = slot.claim.as_ref().map(|claim| claim.body().digest);
        let tally = if phase == PREPARE {
            &mut slot.prepares
        } else {
            &mut slot.commits
        };
        match self.planted.tally(tally, &self.committee, vote, claimed) {
            Counted::Again => out.refuse(Refusal::Stale),
            Counted::Conflicting => {
                out.tell(Tale::Equivocation {
                    by: vote.signer(),
                    slot: Slot { view, seq },
                });
                out.refuse(Refusal::Conflicting);
            }
            Counted::New(count) => {
                if count >= self.committee.weak_quorum() {
                    self.log.touch(seq);
                }
                if phase == PREPARE {
                    self.try_prepare(seq, out);
                } else if count >= needed {
                    self.try_decide(seq, out);
                }
            }
        }
    }

    /// Signs a vote of this replica and counts it. `false`: somebody with my key said otherwise
    /// before, so I must not (R12).
    fn cast(&mut self, phase: Phase, seq: Seq, digest: Digest, out: &mut Outbox<Self>) -> bool {
        let vote = Vote {
            phase,
            view: self.view,
            slot: seq,
            digest,
        };
        let signed = self.sign(vote, out);
        let slot = self.log.slot_mut(seq).expect("between the watermarks");
        let (tally, message) = if phase == PREPARE {
            (&mut slot.prepares, PbftMessage::Prepare(signed.clone()))
        } else {
            (&mut slot.commits, PbftMessage::Commit(signed.clone()))
        };
        if tally.add(&self.committee, &signed) == Counted::Conflicting {
            return false;
        }
        if phase == COMMIT {
            out.push(Effect::Persist(Record::Committed(signed)));
        }
        out.tell(Tale::Voted(vote));
        out.broadcast(message);
        true
    }

    /// §4.2: agrees to a proposal: a backup says PREPARE, once (R7).
    pub(super) fn accept(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        let leader = self.committee.leader(self.view);
        let slot = self.log.slot_mut(seq).expect("between the watermarks");
        let claim = slot.claim.clone().expect("an accepted slot has a proposal");
        let digest = claim.body().digest;
        assert!(
            slot.standing < Standing::Accepted,
            "a slot is accepted once a view"
        );
        if let Some(block) = slot.offered.take() {
            slot.keep(block);
        }
        let block = slot.body(&digest).cloned();
        assert_eq!(
            block.is_none(),
            digest == Digest::ZERO,
            "no vote without the body (R41)"
        );
        slot.standing = Standing::Accepted;
        out.push(Effect::Persist(Record::Accepted(PrePrepare {
            claim,
            block,
        })));
        let silent = leader == self.me && !self.planted.is(Mutant::PrimaryPrepareCounts);
        if silent || self.cast(PREPARE, seq, digest, out) {
            self.try_prepare(seq, out);
        }
    }

    /// §4.2: prepared is the proposal with q−1 PREPAREs of backups (R8); says COMMIT, once (R9).
    fn try_prepare(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        let needed = self.rules().prepares();
        let Some(slot) = self.log.slot_mut(seq) else {
            return;
        };
        if slot.standing != Standing::Accepted {
            return;
        }
        let claim = slot.claim.clone().expect("an accepted slot has a proposal");
        let digest = claim.body().digest;
        if slot.prepares.count(&digest) < needed {
            return;
        }
        let prepares = slot.prepares.certificate(&digest, needed);
        let proof = Arc::new(super::message::Prepared { claim, prepares });
        slot.proof = Some(Arc::clone(&proof));
        slot.standing = Standing::Prepared;
        out.push(Effect::Persist(Record::Prepared(proof)));
        match self.log.chosen.get(&seq).map(Chosen::digest) {
            // It was decided before it was prepared here; others may still need this replica's word.
            Some(decided) if seq <= self.committed => {
                self.cast(COMMIT, seq, decided, out);
            }
            _ => self.commit_in_order(out),
        }
    }

    /// §4.2: says COMMIT for prepared slots, in their order: q COMMITs for a block so imply that its
    /// ancestors were prepared by f+1 honest replicas too, and no later view leaves them out. A slot of
    /// a NEW-VIEW that is void is committed as the null request that it amounts to. A certificate for
    /// a block is therefore a proof that the block is on the chain.
    pub(super) fn commit_in_order(&mut self, out: &mut Outbox<Self>) {
        while self.active {
            let seq = self.committed.next();
            let Some(slot) = self.log.slot(seq) else {
                return;
            };
            let decided = self.log.chosen.get(&seq).map(Chosen::digest);
            let prepared = slot.standing == Standing::Prepared && self.frontier >= seq;
            let claimed = slot.claim.as_ref().map(|claim| claim.body().digest);
            let digest = match (prepared, decided) {
                (true, Some(decided)) => decided,
                (true, None) if slot.void => Digest::ZERO,
                // Executed, and no block came of it: it was void.
                (true, None) if seq <= self.executed && seq > self.void_above => Digest::ZERO,
                // Executed, and what came of it is forgotten.
                (true, None) if seq <= self.executed => {
                    self.committed = seq;
                    continue;
                }
                (true, None) => claimed.expect("a prepared slot has a proposal"),
                // Its COMMIT follows if it is prepared here later.
                (false, Some(_)) => {
                    self.committed = seq;
                    continue;
                }
                (false, None) => return,
            };
            self.committed = seq;
            if self.cast(COMMIT, seq, digest, out) {
                self.try_decide(seq, out);
            }
        }
    }

    /// §4.2: q COMMITs decide a slot (R9), once its block is here. They imply f+1 honest replicas
    /// that have it prepared, so this replica need not.
    pub(super) fn try_decide(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        let quorum = self.rules().commits();
        let Some(slot) = self.log.slot(seq) else {
            return;
        };
        if slot.decided {
            return;
        }
        let Some(digest) = slot.commits.leading(quorum) else {
            return;
        };
        let block = slot.body(&digest).filter(|block| {
            // A header may come with other transactions than its own; the host has not looked yet.
            slot.judged == Some(digest) || block.is_whole()
        });
        if block.is_none() && digest != Digest::ZERO {
            return;
        }
        let block = block.cloned();
        let certificate = slot.commits.certificate(&digest, quorum);
        let certificate = certificate.expect("the tally has a quorum for it");
        self.choose(seq, Chosen::new(certificate, block), out);
    }

    /// Notes a decision and executes what can be executed.
    pub(super) fn choose(&mut self, seq: Seq, chosen: Chosen, out: &mut Outbox<Self>) {
        let slot = self.log.slot_mut(seq);
        let followed = slot.and_then(|slot| {
            slot.decided = true;
            if slot.void {
                Some(Digest::ZERO)
            } else {
                Some(slot.claim.as_ref()?.body().digest)
            }
        });
        let surprise = seq <= self.frontier && followed != Some(chosen.digest());
        self.log.touch(seq);
        self.log.chosen.insert(seq, chosen);
        if surprise {
            self.retreat();
        }
        self.execute(out);
        self.advance(out);
    }

    /// The last slot that is not free: assigned in this view, executed, or below the window.
    fn last_taken(&self) -> Seq {
        self.assigned.max(self.executed).max(self.log.low())
    }

    /// The primary asks for a block as long as it may propose one (R15).
    pub(super) fn want(&mut self, out: &mut Outbox<Self>) {
        // The host's answer comes before anything else, and brings us here again.
        if self.judging.is_some() || self.executing.is_some() {
            return;
        }
        let last = self.last_taken();
        let may = self.active
            && self.speaks()
            && self.committee.leader(self.view) == self.me
            && self.frontier == last
            && !self.is_last_of_epoch()
            && last < self.log.high()
            && last.0 - self.executed.0 < self.config.pipeline;
        if !may {
            return self.unwant(out);
        }
        let tip = self.tip;
        if self.wanted.is_some_and(|(_, parent)| parent == tip) {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.wanted = Some((ticket, tip));
        out.push(Effect::Want(Want {
            ticket,
            parent: tip,
            empty_ok: self.hurries(),
            not_before: Wall(0),
            extra: Vec::new(),
        }));
    }

    /// No block is wanted any more.
    pub(super) fn unwant(&mut self, out: &mut Outbox<Self>) {
        if self.wanted.take().is_some() {
            out.push(Effect::Unwant);
        }
    }

    /// §4.2: the primary assigns the next number to a block and says PRE-PREPARE.
    pub(super) fn on_payload(
        &mut self,
        ticket: Ticket,
        block: &Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        let Some((_, parent)) = self.wanted.take_if(|(wanted, _)| *wanted == ticket) else {
            return;
        };
        assert_eq!(
            block.header().parent,
            parent,
            "the host built on the wanted parent"
        );
        let seq = self.last_taken().next();
        let (view, digest) = (self.view, block.id());
        let claim = self.sign(Proposal { view, seq, digest }, out);
        let slot = self
            .log
            .slot_mut(seq)
            .expect("a primary stays between the watermarks");
        assert!(slot.claim.is_none(), "a number is assigned once a view");
        slot.claim = Some(claim.clone());
        slot.keep(Arc::clone(block));
        slot.judged = Some(digest);
        self.log.touch(seq);
        self.assigned = seq;
        (self.frontier, self.tip) = (seq, digest);
        self.accept(seq, out);
        out.tell(Tale::Proposed {
            slot: Slot { view, seq },
            block: digest,
        });
        out.broadcast(PbftMessage::PrePrepare(PrePrepare {
            claim,
            block: Some(Arc::clone(block)),
        }));
        self.want(out);
    }
}
