//! Making blocks of one's own.

use std::sync::Arc;

use super::{Clique, CliqueMessage, intake::Candidate, rules::SEAL};
use crate::{
    block::Block,
    engine::{Effect, Outbox, Tale, Ticket, Want},
    sealed::SealedBlock,
    types::{LocalTime, Wall},
};

impl Clique {
    /// Wants a block on the head, unless one is wanted already or this is not the time for one.
    pub(super) fn want(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let head = self.tree.head();
        let periodic = !self.rules.period.is_zero();
        let due = periodic || self.pending;
        let allowed = self.rules.may_seal(&self.tree, &head.head, self.me);
        if !due || !allowed || !self.trusts_itself(&head.head) {
            if self.wanted.take().is_some() {
                out.push(Effect::Unwant);
            }
            return;
        }
        if self.wanted == Some(head.head) {
            return;
        }
        self.wanted = Some(head.head);
        self.ticket = Ticket(self.ticket.0 + 1);
        let height = head.height.next();
        let parent_time = self
            .tree
            .timestamp(&head.head)
            .expect("the head is in the tree");
        let turn = self.rules.earliest(parent_time).max(now.wall);
        let wiggle = if self.rules.in_turn(height) == self.me {
            0
        } else {
            self.rules.wiggle(self.me, height)
        };
        out.push(Effect::Want(Want {
            ticket: self.ticket,
            parent: head.head,
            empty_ok: periodic,
            not_before: Wall(turn.0.saturating_add(wiggle)),
            extra: self.rules.extra(self.me, height),
        }));
    }

    /// The host made a block: let it be judged, unless the head has moved meanwhile.
    pub(super) fn assembled(
        &mut self,
        now: LocalTime,
        ticket: Ticket,
        block: Arc<Block>,
        out: &mut Outbox<Self>,
    ) {
        if ticket == self.ticket && self.wanted == Some(block.header().parent) {
            self.queue.push_back(Candidate::Own(block));
            self.pump(now, out);
        }
    }

    /// Signs a block of ours that was judged, and sends it out.
    pub(super) fn seal(&mut self, block: Arc<Block>, out: &mut Outbox<Self>) -> SealedBlock {
        assert_eq!(
            self.tree.siblings(&block.header().parent, self.me),
            0,
            "an honest signer seals once on a parent"
        );
        let sealed = SealedBlock::new(&self.key, self.me, SEAL, block);
        out.work.signatures += 1;
        out.tell(Tale::Voted(*sealed.seal().body()));
        out.tell(Tale::Proposed {
            slot: sealed.slot(),
            block: sealed.block().id(),
        });
        out.push(Effect::Persist(sealed.clone()));
        out.broadcast(CliqueMessage::NewBlock(sealed.clone()));
        sealed
    }
}
