//! What a replica must not forget (R12, R20), and starting again with it.
//!
//! Before a vote leaves, the log has what it follows from: the proposal that was accepted (PREPARE), the
//! prepared proof and the vote itself (COMMIT), the VIEW-CHANGE, the NEW-VIEW that was entered. Read in
//! their order the records rebuild all that this replica has signed, so a restart is a long pause (R40).
//! What it had merely received is asked for again.
//!
//! A stable checkpoint makes most records useless: then the log is replaced by the ones that still
//! count. It is written after the chain up to that checkpoint, and so never promises what is not there.

use std::sync::Arc;

use crate::{
    block::{Block, Finality},
    engine::{Outbox, Recovery, Tale, Tip},
    quorum::Vote,
    storage::Stored,
    types::{Digest, Height, Seq},
};

use super::{
    Pbft,
    choice::Choice,
    log::{Chosen, Standing},
    message::{NewView, PREPARE, PrePrepare, Prepared, Record},
};

/// The slot that a commit certificate decided.
fn slot_of(proof: &Finality) -> Seq {
    match proof {
        Finality::Certificate(certificate) => certificate.vote().slot,
        _ => Seq(0),
    }
}

impl Pbft {
    /// Starts again after a crash (R12). With a disk that shows too little, mute (R40).
    pub(super) fn recover(
        &mut self,
        disk: Recovery,
        records: &[Record],
        tip: Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        self.head = tip.block.id();
        self.results = tip.results;
        self.executed = tip.proof.map_or(Seq(0), |proof| slot_of(proof));
        let term = self.committees.at(tip.block.header().height.next()).clone();
        // Who began with a snapshot may not know where its epoch began. A stable checkpoint says
        // enough; without one the snapshot's slot stands for the base. Known limit: until a checkpoint above
        // that is stable, its VIEW-CHANGEs and those of the others do not prove each other's checkpoint
        // (R19, R21), so it is no help in a view change. A snapshot that carries the last proof of the
        // committee before would mend it.
        let is_stable = |record: &Record| {
            matches!(record, Record::Stable(_)) && record.epoch() == Some(term.epoch)
        };
        let unknown = term.from > Height(0) && tip.handed_over.is_none();
        let base = if unknown && !records.iter().any(is_stable) {
            self.executed
        } else {
            tip.handed_over.map_or(Seq(0), |proof| slot_of(proof))
        };
        self.sit(&term, base);
        let muted = records.iter().any(|record| matches!(record, Record::Mute));
        if disk == Recovery::Lost || muted {
            self.fall_mute(out);
        }
        if disk != Recovery::Lost {
            // Records of an earlier epoch wait for their truncation: they are void.
            let present = |record: &&Record| record.epoch().is_none_or(|e| e == term.epoch);
            for record in records.iter().filter(present) {
                self.replay(record, out);
            }
        }
        self.recall(tip.recent);
        self.skip_to_own_checkpoint(out);
        (self.frontier, self.tip) = (self.executed, self.head);
        // Known limit: a void slot that was executed, and is prepared in this view but was not committed at
        // the crash, gets no COMMIT of this replica. Who needs one gets the decision otherwise.
        self.committed = self.committed.max(self.log.low()).max(self.executed);
        self.log.touch(self.executed);
        self.suspicion.enter(self.now);
        self.tell_view(out);
        self.skip_to_stable(out);
        self.ask_everyone(out);
        self.take_up_new_view(out);
        self.advance(out);
        self.watch(out);
    }

    /// Where it stands, and whether it asked for that view: it may have crashed before anybody was told.
    /// A mute replica did not ask: a NEW-VIEW may hold what it said before it lost its log.
    fn tell_view(&self, out: &mut Outbox<Self>) {
        let asked = self.new_view.iter().any(|message| {
            let mut changes = message.body().changes.iter();
            changes.any(|change| change.signer() == self.me)
        });
        if self.speaks() && (!self.active || asked) {
            out.tell(Tale::Suspected(self.view));
        }
        if self.active {
            out.tell(Tale::Entered {
                view: self.view,
                leader: self.committee.leader(self.view),
            });
        }
    }

    /// Takes up what was decided: others may still need it, and it tells which executed slots were void.
    fn recall(&mut self, recent: &[Stored]) {
        let floor = self.log.low().0.saturating_sub(self.config.window);
        self.void_above = match recent.first() {
            None => self.executed,
            Some(first) if first.block.header().height == Height(1) => Seq(0),
            Some(first) => slot_of(&first.proof),
        };
        let kept = recent.iter().rev();
        for stored in kept.take_while(|stored| slot_of(&stored.proof).0 > floor) {
            if let Finality::Certificate(certificate) = &*stored.proof {
                let seq = certificate.vote().slot;
                let chosen = Chosen::new(certificate.clone(), Some(Arc::clone(&stored.block)));
                self.log.chosen.insert(seq, chosen);
                if let Some(slot) = self.log.slot_mut(seq) {
                    slot.decided = true;
                }
            }
        }
    }

    /// Void slots leave no block behind. That the slots up to a checkpoint were void shows in what this
    /// replica said about it, so that last-executed does not go down (R24).
    fn skip_to_own_checkpoint(&mut self, out: &mut Outbox<Self>) {
        let Some(me) = self.position else { return };
        let last = self.checkpoints.votes_of(me).last();
        let Some(Vote { slot, digest, .. }) = last.map(|vote| *vote.body()) else {
            return;
        };
        if slot > self.executed && self.state_after(slot, out) == digest {
            self.skip_to(slot);
        }
    }

    /// Goes on where the NEW-VIEW of the current view was left.
    pub(super) fn take_up_new_view(&mut self, out: &mut Outbox<Self>) {
        let Some(message) = self.new_view.clone().filter(|_| self.active) else {
            return;
        };
        self.obtain(&Choice::of(&message.body().changes, self.planted), out);
        for proposal in &message.body().proposals {
            self.accept_again(proposal.body().seq, out);
        }
    }

    /// One record of an earlier life, in the order in which they were written. What it stands for is told
    /// again: it may have become durable without being told.
    fn replay(&mut self, record: &Record, out: &mut Outbox<Self>) {
        match record {
            Record::Stable(certificate) => {
                let Vote {
                    slot: seq, digest, ..
                } = *certificate.vote();
                if seq > self.log.low() {
                    if certificate.signers().any(|signer| signer == self.me) {
                        out.tell(Tale::Voted(*certificate.vote()));
                    }
                    out.tell(Tale::Stable { seq, digest });
                    self.log.raise(seq, self.executed);
                    self.checkpoints.remember_stable(certificate.clone());
                }
            }
            Record::NewView(message) => {
                self.view = message.body().view;
                self.active = true;
                self.replay_new_view(message.body(), out);
                self.new_view = Some(Arc::clone(message));
            }
            Record::ViewChange(change) => {
                self.view = change.body().view;
                self.active = false;
                self.suspicion.leave();
                if let Some(mine) = self.position {
                    self.changes[mine] = Some(Arc::clone(change));
                }
            }
            Record::Body(seq, block) => self.replay_body(*seq, block),
            Record::Accepted(accepted) => self.replay_accepted(accepted, out),
            Record::Prepared(proof) => self.replay_prepared(proof),
            Record::Committed(vote) => {
                let Vote {
                    view, slot: seq, ..
                } = *vote.body();
                if view == self.view
                    && self.active
                    && let Some(slot) = self.log.slot_mut(seq)
                {
                    out.tell(Tale::Voted(*vote.body()));
                    slot.commits.add(&self.committee, vote);
                    self.committed = self.committed.max(seq);
                }
            }
            Record::Checkpoint(vote) => {
                if vote.body().slot > self.log.low() {
                    out.tell(Tale::Voted(*vote.body()));
                    self.checkpoints.remember(&self.committee, vote);
                }
            }
            Record::Mute => {}
        }
    }

    fn replay_new_view(&mut self, message: &NewView, out: &mut Outbox<Self>) {
        let choice = Choice::of(&message.changes, self.planted);
        // The checkpoint that the view starts from may not be in the log yet, though votes above it are.
        if let Some(certificate) = choice.proof
            && choice.stable > self.log.low()
        {
            self.log.raise(choice.stable, self.executed);
            self.checkpoints.remember_stable(certificate.clone());
            out.tell(Tale::Stable {
                seq: choice.stable,
                digest: certificate.vote().digest,
            });
        }
        self.assigned = Seq(choice.stable.0 + choice.slots.len() as u64);
        self.committed = self.log.low();
        self.changes.fill(None);
        for slot in self.log.slots_mut() {
            slot.leave_view();
        }
        self.log.forget_undecided(self.assigned);
        for proposal in &message.proposals {
            if let Some(slot) = self.log.slot_mut(proposal.body().seq) {
                slot.claim = Some(proposal.clone());
                slot.standing = Standing::Offered;
            }
        }
    }

    fn replay_body(&mut self, seq: Seq, block: &Arc<Block>) {
        if let Some(slot) = self.log.slot_mut(seq) {
            slot.keep(Arc::clone(block));
        }
    }

    fn replay_accepted(&mut self, accepted: &PrePrepare, out: &mut Outbox<Self>) {
        let claim = accepted.claim.body();
        let (view, seq, digest) = (claim.view, claim.seq, claim.digest);
        if let Some(block) = &accepted.block {
            self.replay_body(seq, block);
        }
        if view != self.view || !self.active {
            return;
        }
        let said = Vote {
            phase: PREPARE,
            view,
            slot: seq,
            digest,
        };
        let backup = self.committee.leader(view) != self.me;
        let vote = backup.then(|| self.sign(said, out));
        let Some(slot) = self.log.slot_mut(seq) else {
            return;
        };
        slot.claim = Some(accepted.claim.clone());
        slot.standing = Standing::Accepted;
        if let Some(vote) = vote {
            slot.prepares.add(&self.committee, &vote);
            out.tell(Tale::Voted(said));
        }
        self.log.touch(seq);
        self.assigned = self.assigned.max(seq);
    }

    fn replay_prepared(&mut self, proof: &Arc<Prepared>) {
        let claim = proof.claim.body();
        let current = claim.view == self.view && self.active;
        let Some(slot) = self.log.slot_mut(claim.seq) else {
            return;
        };
        let older = |known: &Arc<Prepared>| known.claim.body().view <= claim.view;
        if slot.proof.as_ref().is_none_or(older) {
            slot.proof = Some(Arc::clone(proof));
        }
        if current {
            slot.standing = Standing::Prepared;
        }
        self.log.touch(claim.seq);
    }

    /// The records that still count: those from which [`Self::recover`] makes what this replica has
    /// signed above the low watermark.
    pub(super) fn records(&self) -> Vec<Record> {
        let mute = self.mute.iter().map(|_| Record::Mute);
        let stable = self.checkpoints.stable.iter().cloned().map(Record::Stable);
        let mut records: Vec<_> = mute.chain(stable).collect();
        let mine = self.position.and_then(|mine| self.changes[mine].as_ref());
        let change = mine.filter(|_| !self.active);
        records.extend(change.cloned().map(Record::ViewChange));
        let begun = self.new_view.iter().filter(|_| self.active);
        records.extend(begun.cloned().map(Record::NewView));
        for (seq, slot) in self.log.slots() {
            let claim = slot.claim.as_ref();
            let claim = claim.filter(|_| slot.standing >= Standing::Accepted);
            let claimed = claim.map(|claim| claim.body().digest);
            let others = slot.bodies.iter().filter(|b| Some(b.id()) != claimed);
            records.extend(others.map(|block| Record::Body(seq, Arc::clone(block))));
            records.extend(claim.map(|claim| {
                let digest = claim.body().digest;
                let block = slot.body(&digest).filter(|_| digest != Digest::ZERO);
                Record::Accepted(PrePrepare {
                    claim: claim.clone(),
                    block: block.cloned(),
                })
            }));
            records.extend(slot.proof.iter().cloned().map(Record::Prepared));
            let commit = self.position.and_then(|mine| slot.commits.vote_of(mine));
            records.extend(commit.cloned().map(Record::Committed));
        }
        if let Some(mine) = self.position {
            let votes = self.checkpoints.votes_of(mine);
            records.extend(votes.cloned().map(Record::Checkpoint));
        }
        records
    }
}
