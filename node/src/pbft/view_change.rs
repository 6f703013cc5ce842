//! View changes (OSDI'99 §4.4; R19–R26, R32, R33).

use std::sync::Arc;

use crate::{
    crypto::Signed,
    engine::{Effect, Outbox, Refusal, Slot, Tale},
    mutant::Mutant,
    quorum::Certificate,
    types::{Digest, NodeId, Seq, View},
};

use super::{
    Pbft, Timer,
    choice::{self, Choice},
    log::Standing,
    message::{NewView, PbftMessage, Proposal, Record, ViewChange},
};

/// A block that a new view needs and this replica lacks.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    /// Its id.
    pub(super) digest: Digest,
    /// f+1 members that said PREPARE to it: an honest one is among them, and has it.
    pub(super) holders: Vec<NodeId>,
}

impl Pbft {
    /// §4.4: gives up on the current view and asks for `target` (R19). What was prepared in any view
    /// goes along (R20).
    pub(super) fn start_view_change(&mut self, target: View, out: &mut Outbox<Self>) {
        // Views end at u64::MAX: nobody honest comes near it. Who may not speak follows a NEW-VIEW only.
        if target <= self.view || !self.speaks() {
            return;
        }
        if self.suspicion.armed.is_some() {
            out.push(Effect::Disarm(Timer::Request(self.view)));
        }
        self.stop_waiting_for_new_view(out);
        self.unwant(out);
        let left = self.view;
        self.view = target;
        self.active = false;
        self.judging = None;
        self.missing.clear();
        self.peers.progress();
        self.suspicion.leave();
        if self.planted.is(Mutant::TimerNotDoubled) {
            self.suspicion.progress();
        }
        let slots = self.log.slots().filter_map(|(_, slot)| slot.proof.clone());
        let slots = slots.filter(|proof| {
            let of_last_view = proof.claim.body().view == left;
            !self.planted.is(Mutant::ViewChangeOmitsPrepared)
                && (of_last_view || !self.planted.is(Mutant::PreparedOfLastViewOnly))
        });
        let change = ViewChange {
            view: target,
            stable: self.log.low(),
            proof: self.checkpoints.stable.clone(),
            prepared: slots.collect(),
        };
        let change = Arc::new(self.sign(change, out));
        out.push(Effect::Persist(Record::ViewChange(Arc::clone(&change))));
        out.tell(Tale::Suspected(target));
        out.broadcast(PbftMessage::ViewChange(Arc::clone(&change)));
        let mine = self.position.expect("who observes asks for no view");
        self.changes[mine] = Some(change);
        self.weigh_view_changes(out);
    }

    /// §4.4: upon receiving VIEW-CHANGE (R21). Of each member only the highest is kept (R37). Known limit:
    /// one that a liar sends for ever higher views is checked in full each time; memory is bounded,
    /// work is what the link brings.
    pub(super) fn on_view_change(
        &mut self,
        change: &Arc<Signed<ViewChange>>,
        out: &mut Outbox<Self>,
    ) {
        let target = change.body().view;
        if target.epoch() != self.epoch() {
            return self.refuse_other_epoch(target, out);
        }
        let Some(position) = self.committee.position(change.signer()) else {
            return out.refuse(Refusal::WrongSender);
        };
        if change.signer() == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        let known = self.changes[position].as_ref();
        let over = target < self.view || (target == self.view && self.active);
        if over || known.is_some_and(|known| known.body().view >= target) {
            return out.refuse(Refusal::Stale);
        }
        if let Err(reason) = choice::check_view_change(change, self.rules()) {
            return out.refuse(reason);
        }
        self.tell_equivocations(change, out);
        self.changes[position] = Some(Arc::clone(change));
        self.weigh_view_changes(out);
    }

    /// A VIEW-CHANGE may show a proposal that contradicts the one that came here: two statements signed
    /// by one primary for one view and slot.
    fn tell_equivocations(&self, change: &Signed<ViewChange>, out: &mut Outbox<Self>) {
        for entry in &change.body().prepared {
            let theirs = entry.claim.body();
            let ours = self
                .log
                .slot(theirs.seq)
                .and_then(|slot| slot.claim.as_ref());
            let contradicts = ours.is_some_and(|ours| {
                let ours = ours.body();
                ours.view == theirs.view && ours.digest != theirs.digest
            });
            if contradicts {
                let slot = Slot {
                    view: theirs.view,
                    seq: theirs.seq,
                };
                out.tell(Tale::Equivocation {
                    by: entry.claim.signer(),
                    slot,
                });
            }
        }
    }

    /// Joins (R33), starts the clock on the new primary (R32), or is the new primary (R22).
    fn weigh_view_changes(&mut self, out: &mut Outbox<Self>) {
        let targets = || {
            self.changes
                .iter()
                .flatten()
                .map(|change| change.body().view)
        };
        let ahead = targets().filter(|target| *target > self.view);
        if ahead.clone().count() >= self.rules().joins() {
            let smallest = ahead.min().expect("f+1 is not zero");
            return self.start_view_change(smallest, out);
        }
        // One that went on to a later view counts: its request for this view is over, and so is the
        // view if it is one of the q that are needed. Otherwise two halves could wait for each other.
        let arrived = targets().filter(|target| *target >= self.view).count();
        if self.active || arrived < self.committee.quorum() {
            return;
        }
        if !self.awaiting_new_view {
            self.awaiting_new_view = true;
            out.push(Effect::Arm {
                timer: Timer::NewView(self.view),
                after: self.suspicion.stretched(self.config.view_change_timeout),
            });
        }
        if self.committee.leader(self.view) == self.me {
            self.try_new_view(out);
        }
    }

    pub(super) fn stop_waiting_for_new_view(&mut self, out: &mut Outbox<Self>) {
        if std::mem::take(&mut self.awaiting_new_view) {
            out.push(Effect::Disarm(Timer::NewView(self.view)));
        }
    }

    /// §4.4: the new primary says NEW-VIEW, once it holds the blocks that it must propose (R41).
    pub(super) fn try_new_view(&mut self, out: &mut Outbox<Self>) {
        let view = self.view;
        let mut changes: Vec<_> = self
            .changes
            .iter()
            .flatten()
            .filter(|change| change.body().view == view)
            .cloned()
            .collect();
        if self.active || changes.len() < self.committee.quorum() {
            return;
        }
        changes.sort_by_key(|change| change.signer());
        let choice = Choice::of(&changes, self.planted);
        self.adopt_checkpoint(&choice, out);
        if !self.obtain(&choice, out) {
            return;
        }
        let proposals = choice
            .digests()
            .map(|(seq, digest)| self.sign(Proposal { view, seq, digest }, out))
            .collect();
        let message = NewView {
            view,
            changes,
            proposals,
        };
        let message = Arc::new(self.sign(message, out));
        self.enter_view(&message, out);
    }

    /// §4.4: upon receiving NEW-VIEW from the primary of its view (R23).
    pub(super) fn on_new_view(&mut self, message: &Arc<Signed<NewView>>, out: &mut Outbox<Self>) {
        let view = message.body().view;
        if view.epoch() != self.epoch() {
            return self.refuse_other_epoch(view, out);
        }
        let leader = self.committee.leader(view);
        if message.signer() != leader || leader == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        if view < self.view || (view == self.view && self.active) {
            return out.refuse(Refusal::Stale);
        }
        if !self.committee.verify(&**message) {
            return out.refuse(Refusal::BadSignature);
        }
        match choice::check_new_view(leader, message.body(), self.rules()) {
            Ok(()) => self.enter_view(message, out),
            Err(reason) => {
                out.refuse(reason);
                // The primary of the view that I wait for lies: on to the next one.
                if view == self.view {
                    self.start_view_change(view.next(), out);
                }
            }
        }
    }

    /// Takes over the checkpoint that a new view starts from (R24).
    fn adopt_checkpoint(&mut self, choice: &Choice<'_>, out: &mut Outbox<Self>) {
        if let Some(certificate) = choice.proof
            && choice.stable > self.log.low()
        {
            self.stable(certificate.clone(), out);
        }
    }

    /// Asks for the blocks of a new view that are not here; says whether none is missing (R41).
    pub(super) fn obtain(&mut self, choice: &Choice<'_>, out: &mut Outbox<Self>) -> bool {
        self.missing.clear();
        for (seq, entry) in (choice.stable.0 + 1..).map(Seq).zip(&choice.slots) {
            let Some(entry) = entry.filter(|e| e.claim.body().digest != Digest::ZERO) else {
                continue;
            };
            let digest = entry.claim.body().digest;
            let body = self.log.body(&digest).cloned();
            let Some(slot) = self.log.slot_mut(seq) else {
                continue;
            };
            if let Some(block) = body {
                slot.keep(block);
                continue;
            }
            let signers = entry.prepares.iter().flat_map(Certificate::signers);
            let holders = signers.filter(|node| *node != self.me);
            let holders = holders.take(self.committee.weak_quorum()).collect();
            self.missing.insert(seq, Missing { digest, holders });
        }
        self.fetch_missing(out);
        self.missing.is_empty()
    }

    /// §4.4: enters a view that q replicas asked for and whose primary proposed what follows from it:
    /// each proposal goes through PREPARE and COMMIT again, and nothing is executed twice (R24).
    fn enter_view(&mut self, message: &Arc<Signed<NewView>>, out: &mut Outbox<Self>) {
        let NewView {
            view,
            changes,
            proposals,
        } = message.body();
        if self.suspicion.armed.take().is_some() {
            out.push(Effect::Disarm(Timer::Request(self.view)));
        }
        self.stop_waiting_for_new_view(out);
        self.unwant(out);
        let leader = self.committee.leader(*view);
        let choice = Choice::of(changes, self.planted);
        self.view = *view;
        self.active = false;
        for slot in self.log.slots_mut() {
            slot.leave_view();
        }
        self.adopt_checkpoint(&choice, out);
        self.obtain(&choice, out);
        self.active = true;
        self.assigned = Seq(choice.stable.0 + choice.slots.len() as u64);
        self.judging = None;
        self.deferred = None;
        (self.frontier, self.tip) = (self.executed, self.head);
        self.committed = self.log.low();
        self.log.forget_undecided(self.assigned);
        for known in &mut self.changes {
            known.take_if(|change| change.body().view <= *view);
        }
        self.peers.progress();
        self.suspicion.enter(self.now);
        out.push(Effect::Persist(Record::NewView(Arc::clone(message))));
        out.tell(Tale::Entered {
            view: *view,
            leader,
        });
        if leader == self.me {
            out.broadcast(PbftMessage::NewView(Arc::clone(message)));
        }
        self.new_view = Some(Arc::clone(message));
        for proposal in proposals {
            let seq = proposal.body().seq;
            if let Some(slot) = self.log.slot_mut(seq) {
                slot.claim = Some(proposal.clone());
                slot.standing = Standing::Offered;
                self.accept_again(seq, out);
            }
        }
        self.release_early(out);
        self.rearm(out);
        self.execute(out);
        self.advance(out);
    }

    /// Agrees to a slot of a NEW-VIEW once its block is here; its prepared proof vouches for it.
    pub(super) fn accept_again(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        let Some(slot) = self.log.slot(seq) else {
            return;
        };
        let Some(claim) = &slot.claim else {
            return;
        };
        let digest = claim.body().digest;
        let decided = self.log.chosen.get(&seq);
        // What was decided as null may have been proposed as a block: it was void.
        let decided = decided
            .map(super::log::Chosen::digest)
            .filter(|d| *d != Digest::ZERO);
        if decided.is_some_and(|decided| decided != digest) {
            // Possible only if more than f members lie; then at least I do not sign both.
            return out.refuse(Refusal::Conflicting);
        }
        let here = digest == Digest::ZERO || slot.body(&digest).is_some();
        if self.speaks() && slot.standing == Standing::Offered && slot.offered.is_none() && here {
            self.accept(seq, out);
        }
    }
}
