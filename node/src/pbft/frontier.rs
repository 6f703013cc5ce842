//! The frontier: how far the chain of this view is known here, slot by slot.
//!
//! Slots name no parents, blocks do. A backup accepts proposals in the order of slots, because only
//! then it knows on which block the next one belongs; a primary proposes on the same tip.

use std::sync::Arc;

use crate::{
    block::Block,
    engine::{BlockFault, Effect, Outbox, Refusal},
    types::{BlockId, Digest, Seq},
};

use super::{
    Judging, Pbft,
    log::{SlotState, Standing},
};

/// How the frontier gets past a slot.
enum Path {
    /// The slot's block is known; the chain then ends here.
    Pass(BlockId),
    /// The host must judge the block first.
    Judge(Arc<Block>, bool),
    /// The block is not where it belongs.
    Refuse,
    /// Something is missing.
    Wait,
}

impl Pbft {
    /// Follows the chain anew from the last executed slot: a decision was not what the primary had
    /// told this replica.
    pub(super) fn retreat(&mut self) {
        self.frontier = self.executed;
        self.tip = self.head;
        self.deferred = None;
        self.judging = None;
        for slot in self.log.slots_mut() {
            if slot.standing == Standing::Refused && !slot.spoiled() {
                slot.standing = Standing::Offered;
            }
        }
    }

    /// Follows the chain of this view slot by slot: accepts proposals in their order (R6), and knows
    /// then where the next block belongs.
    pub(super) fn advance(&mut self, out: &mut Outbox<Self>) {
        while self.judging.is_none() && self.executing.is_none() {
            let seq = self.frontier.next();
            match self.path(seq) {
                Path::Pass(tip) => self.pass(seq, tip),
                Path::Judge(block, certified) => {
                    let block_id = block.id();
                    self.judging = Some(Judging {
                        seq,
                        block: block_id,
                        certified,
                    });
                    out.push(Effect::Validate(block));
                }
                Path::Refuse => {
                    let slot = self.log.slot_mut(seq).expect("it has a proposal");
                    slot.standing = Standing::Refused;
                    out.refuse(Refusal::BadBlock);
                    break;
                }
                Path::Wait => break,
            }
        }
        self.commit_in_order(out);
        self.want(out);
    }

    /// The frontier moves past a slot, after which the chain ends at `tip`.
    fn pass(&mut self, seq: Seq, tip: BlockId) {
        if let Some(slot) = self.log.slot_mut(seq) {
            let claimed = slot.claim.as_ref().map(|claim| claim.body().digest);
            slot.void = claimed.is_some_and(|digest| digest != Digest::ZERO && digest != tip);
        }
        (self.frontier, self.tip) = (seq, tip);
    }

    fn path(&self, seq: Seq) -> Path {
        let slot = self.log.slot(seq);
        if let Some(chosen) = self.log.chosen.get(&seq) {
            return self.follow(chosen.block.as_ref(), slot);
        }
        let Some((slot, claim)) = slot.and_then(|slot| Some((slot, slot.claim.as_ref()?))) else {
            return Path::Wait;
        };
        if !self.active {
            return Path::Wait;
        }
        match (slot.standing, &slot.offered) {
            (Standing::Accepted | Standing::Prepared, _) => {
                self.follow(slot.body(&claim.body().digest), Some(slot))
            }
            (Standing::Offered, Some(block)) if block.header().parent == self.tip => {
                if self.deferred == Some(seq) {
                    return Path::Wait;
                }
                if self.is_of_next_epoch(block) {
                    return Path::Refuse;
                }
                Path::Judge(Arc::clone(block), false)
            }
            (Standing::Offered, Some(_)) => Path::Refuse,
            (Standing::Offered, None) | (Standing::Empty | Standing::Refused, _) => Path::Wait,
        }
    }

    /// A block that has its place: the chain grows by it, unless its parent is not the tip, which
    /// makes it void.
    fn follow(&self, block: Option<&Arc<Block>>, slot: Option<&SlotState>) -> Path {
        let judged = slot.and_then(|slot| slot.judged);
        match block {
            Some(block) if block.header().parent != self.tip => Path::Pass(self.tip),
            Some(block) if judged == Some(block.id()) => Path::Pass(block.id()),
            Some(block) => Path::Judge(Arc::clone(block), true),
            None => Path::Pass(self.tip),
        }
    }

    /// The host's verdict on the block that the frontier waits for.
    pub(super) fn on_validated(
        &mut self,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let Some(judging) = self.judging.take_if(|judging| judging.block == block) else {
            return;
        };
        let seq = judging.seq;
        let here = self.log.slot_mut(seq);
        let offered = here
            .as_ref()
            .is_some_and(|slot| slot.standing == Standing::Offered);
        match verdict {
            // A certificate vouches for it, whatever this host thinks.
            _ if judging.certified => {
                if let (Some(slot), Ok(())) = (here, verdict) {
                    slot.judged = Some(block);
                }
                (self.frontier, self.tip) = (seq, block);
            }
            Ok(()) => {
                if let Some(slot) = here {
                    slot.judged = Some(block);
                }
                (self.frontier, self.tip) = (seq, block);
                if offered && self.speaks() {
                    self.accept(seq, out);
                }
            }
            // A certified ancestor that this host could not judge: ask again when it is executed.
            Err(BlockFault::UnknownParent | BlockFault::Unexecuted)
                if self.executed < seq.prev() =>
            {
                self.deferred = Some(seq);
            }
            Err(fault) => {
                if let Some(slot) = here.filter(|_| offered) {
                    slot.standing = Standing::Refused;
                    // The header does not cover what these two are about: signatures are not hashed.
                    let of_body = [BlockFault::WrongTransactions, BlockFault::Unauthorised];
                    if of_body.contains(&fault) {
                        slot.offered = None;
                    }
                }
                out.refuse(Refusal::BadBlock);
            }
        }
        self.advance(out);
    }
}
