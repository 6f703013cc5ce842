//! A view's block: the leader makes it, the others judge it and vote: HS1 to HS5.

use std::{sync::Arc, time::Duration};

use crate::{
    block::Block,
    codec,
    engine::{BlockFault, Effect, Outbox, Refusal, Tale, Ticket, Want},
    quorum::{Certificate, Vote},
    types::{BlockId, Seq, View, Wall},
};

use super::{
    HotStuff, Variant,
    message::{HotStuffMessage, Link, PROPOSE, Proposal, Record, Stamp, VOTE, place_of},
    tree::Judged,
};

/// What the leader asked its host for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    ticket: Ticket,
    view: View,
    parent: BlockId,
    justify: Option<Certificate>,
}

impl HotStuff {
    /// HS4: upon a proposal: what it proves is believed at once; the block waits for its turn.
    pub(super) fn on_proposal(&mut self, proposal: &Arc<Proposal>, out: &mut Outbox<Self>) {
        let claim = *proposal.claim.body();
        let link = &proposal.link;
        let header = link.block.header();
        let signer = proposal.claim.signer();
        if !self.committee.contains(signer) || header.proposer != signer {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.committee.verify(&proposal.claim) {
            return out.refuse(Refusal::BadSignature);
        }
        if claim.view < self.view {
            return out.refuse(Refusal::Stale);
        }
        let stamp = self.stamped(link).filter(|stamp| {
            claim.phase == PROPOSE
                && claim.digest == link.block.id()
                && claim.slot == Seq(header.height.0)
                && claim.view == stamp.view
        });
        let Some(stamp) = stamp else {
            return out.refuse(Refusal::Malformed);
        };
        let given_up = proposal.tc.as_ref();
        let begun = stamp.parent.next() == stamp.view
            || given_up.is_some_and(|tc| self.schedule.after(tc.view) == stamp.view);
        // HS9: what a quorum that gave up had seen binds the leader.
        let bound = given_up.filter(|_| self.config.variant == Variant::Jolteon);
        if !begun || bound.is_some_and(|tc| tc.high() > stamp.parent) {
            return out.refuse(Refusal::Malformed);
        }
        let justified = link.justify.as_ref().is_none_or(|one| self.holds(one));
        if !justified || !given_up.is_none_or(|tc| self.gave_up(tc)) {
            return out.refuse(Refusal::BadSignature);
        }
        if let Some(tc) = given_up {
            self.learn_tc(tc, out);
        }
        self.learn(link.justify.as_ref(), out);
        if stamp.view != self.view {
            return out.refuse(Refusal::Stale);
        }
        if self.offer.as_ref().is_some_and(|(known, _)| {
            known.claim.signer() == signer && known.claim.body().digest == claim.digest
        }) {
            return out.refuse(Refusal::Stale);
        }
        let leads = self.leader(stamp.view) == signer;
        if let Some((known, _)) = self.offer.as_ref().filter(|_| leads)
            && known.claim.signer() == signer
        {
            let by = signer;
            let slot = place_of(&claim);
            out.tell(Tale::Equivocation { by, slot });
            return out.refuse(Refusal::Conflicting);
        }
        // Who leads may depend on blocks that are not here yet.
        if !leads && self.tree.knows(&self.high.block) {
            return out.refuse(Refusal::WrongSender);
        }
        if leads || self.offer.is_none() {
            self.offer = Some((Arc::clone(proposal), stamp));
        }
    }

    /// HS3, HS4: votes for the block of the view, once all that it hangs on is here and judged.
    pub(super) fn consider(&mut self, out: &mut Outbox<Self>) {
        let Some((proposal, stamp)) = self.offer.clone() else {
            return;
        };
        let link = &proposal.link;
        let parent = link.block.header().parent;
        if stamp.view <= self.voted || stamp.view != self.view || !self.tree.knows(&parent) {
            return;
        }
        if self.leader(stamp.view) != proposal.claim.signer() {
            self.offer = None;
            return out.refuse(Refusal::WrongSender);
        }
        let id = link.block.id();
        if !self.tree.knows(&id) {
            self.plant(link, stamp.clone(), Judged::No);
        }
        if self.is_judged(id, out) && self.speaks() && self.is_safe(&proposal, &stamp) {
            self.vote(&proposal, out);
        }
    }

    /// Whether the host has judged this block and its ancestors good; asks it about the next that it has
    /// not.
    pub(super) fn is_judged(&mut self, tip: BlockId, out: &mut Outbox<Self>) -> bool {
        let mut next = None;
        let mut at = tip;
        while let Some(entry) = self.tree.get(&at) {
            if entry.judged == Judged::Good {
                break;
            }
            next = Some(at);
            at = entry.parent();
        }
        let Some(next) = next else {
            return at == self.tree.root.id || self.tree.knows(&at);
        };
        let view = self.view;
        let entry = self.tree.get_mut(&next).expect("just seen");
        if entry.judged != Judged::Asked && entry.judged != Judged::Bad(view) {
            entry.judged = Judged::Asked;
            out.push(Effect::Validate(Arc::clone(&entry.link.block)));
        }
        false
    }

    /// The host's verdict.
    pub(super) fn on_validated(
        &mut self,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let view = self.view;
        if let Some(entry) = self.tree.get_mut(&block) {
            entry.judged = match verdict {
                Ok(()) => Judged::Good,
                Err(_) => Judged::Bad(view),
            };
        }
        if verdict.is_err() {
            out.refuse(Refusal::BadBlock);
        }
    }

    /// HS3, HS12: signs a vote, once a view, after all that it stands on is durable.
    fn vote(&mut self, proposal: &Arc<Proposal>, out: &mut Outbox<Self>) {
        let claim = *proposal.claim.body();
        let vote = Vote {
            phase: VOTE,
            ..claim
        };
        let path = self.tree.path(claim.digest).expect("judged blocks hang on");
        for id in path {
            let entry = self.tree.get_mut(&id).expect("on the path");
            if !entry.logged && id != claim.digest {
                out.push(Effect::Persist(Record::Link(Arc::clone(&entry.link))));
            }
            entry.logged = true;
        }
        self.voted = claim.view;
        self.last_vote = Some(Arc::clone(proposal));
        out.push(Effect::Persist(Record::Voted(Arc::clone(proposal))));
        out.work.signatures += 1;
        let signed = self.key.sign(self.me, vote);
        out.tell(Tale::Voted(vote));
        if proposal.claim.signer() == self.me {
            let slot = place_of(&claim);
            let block = claim.digest;
            out.tell(Tale::Proposed { slot, block });
            out.broadcast(HotStuffMessage::Proposal(Arc::clone(proposal)));
        }
        let collector = self.leader(claim.view.next());
        if collector == self.me {
            self.count(&signed, out);
        } else {
            out.send(collector, HotStuffMessage::Vote(signed));
        }
    }

    /// HS9, HS10: whether this replica may propose in the current view now.
    fn may_propose(&self) -> bool {
        let view = self.view;
        let follows = self.high.view.next() == view;
        let given_up = self
            .tc
            .as_ref()
            .filter(|tc| self.schedule.after(tc.view) == view);
        let begun = match (given_up, self.config.variant) {
            _ if follows => true,
            (None, _) => false,
            (Some(_), Variant::ThreeChain) => true,
            (Some(tc), Variant::Jolteon) => self.high.view >= tc.high(),
            (Some(_), Variant::HotStuff2) => self.waited == view,
        };
        begun
            && self.speaks()
            && self.voted < view
            && self.gave_up < view
            && self.leader(view) == self.me
    }

    /// HS1, HS13: the leader asks for a block on the one with the highest certificate.
    pub(super) fn want(&mut self, out: &mut Outbox<Self>) {
        let parent = self.high.block;
        let may = self.may_propose() && self.tree.knows(&parent) && self.is_judged(parent, out);
        if !may {
            return self.unwant(out);
        }
        let owes = self.unfinished() || self.carried < self.due;
        let empty_ok = owes || self.config.empty_block_period.is_some();
        let same = |wanted: &Wanted| {
            wanted.view == self.view && wanted.parent == parent && (self.hurried || !empty_ok)
        };
        if self.wanted.as_ref().is_some_and(same) {
            return;
        }
        let justify = self.high.certificate.clone();
        let stamp = Stamp {
            view: self.view,
            parent: self.high.view,
            voters: Stamp::voters(&self.committee, justify.as_ref()),
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.hurried = empty_ok;
        self.wanted = Some(Wanted {
            ticket,
            view: self.view,
            parent,
            justify,
        });
        let not_before = match self.config.empty_block_period {
            Some(period) if !owes => self.next_beat(parent, period),
            _ => Wall(0),
        };
        out.push(Effect::Want(Want {
            ticket,
            parent,
            empty_ok,
            not_before,
            extra: codec::encode(&stamp),
        }));
    }

    /// When the block after `parent` is due if nothing waits.
    fn next_beat(&self, parent: BlockId, period: Duration) -> Wall {
        let timestamp = self
            .tree
            .get(&parent)
            .map_or(self.tree.root.timestamp, |entry| {
                entry.link.block.header().timestamp
            });
        Wall(timestamp.0.saturating_add(period.as_nanos() as u64))
    }

    /// No block is wanted any more.
    fn unwant(&mut self, out: &mut Outbox<Self>) {
        if self.wanted.take().is_some() {
            out.push(Effect::Unwant);
        }
    }

    /// HS1: the leader signs its block, votes for it, and sends it to all.
    pub(super) fn on_payload(
        &mut self,
        ticket: Ticket,
        block: &Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        let Some(wanted) = self.wanted.take_if(|wanted| wanted.ticket == ticket) else {
            return;
        };
        assert_eq!(
            block.header().parent,
            wanted.parent,
            "the host built on the wanted parent"
        );
        assert_eq!(wanted.view, self.view, "a block is wanted for this view");
        let claim = Vote {
            phase: PROPOSE,
            view: self.view,
            slot: Seq(block.header().height.0),
            digest: block.id(),
        };
        out.work.signatures += 1;
        let claim = self.key.sign(self.me, claim);
        let link = Arc::new(Link {
            block: Arc::clone(block),
            justify: wanted.justify,
        });
        let stamp = self
            .stamped(&link)
            .expect("the host kept the stamp that it was given");
        let follows = stamp.parent.next() == stamp.view;
        let proposal = Arc::new(Proposal {
            claim,
            link: Arc::clone(&link),
            tc: self.tc.clone().filter(|_| !follows),
        });
        self.plant(&link, stamp.clone(), Judged::Good);
        self.offer = Some((Arc::clone(&proposal), stamp));
        self.vote(&proposal, out);
    }
}
