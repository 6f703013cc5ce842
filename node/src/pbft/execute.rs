//! Execution in order (R10), which host and engine do together.

use std::sync::Arc;

use crate::{
    block::{Block, Finality, Results},
    engine::{Effect, Outbox, Tale},
    quorum::Vote,
    types::{BlockId, Seq},
};

use super::{
    Pbft,
    log::{Chosen, Place},
};

impl Pbft {
    /// Executes the decided slots that are next in order. A block is handed to the host, whose answer
    /// comes before any other input; a null request, and a block whose parent is not the head, use
    /// their slot up and change nothing.
    pub(super) fn execute(&mut self, out: &mut Outbox<Self>) {
        while self.executing.is_none() {
            let next = self.executed.next();
            let Some(chosen) = self.log.chosen.get(&next) else {
                return;
            };
            match &chosen.block {
                Some(block) if block.header().parent == self.head => {
                    self.executing = Some(next);
                    out.push(Effect::Final {
                        block: Arc::clone(block),
                        proof: Arc::clone(&chosen.proof),
                    });
                }
                Some(_) | None => {
                    out.tell(Tale::Void(next));
                    self.executed_slot(next, out);
                }
            }
        }
    }

    /// The host has executed the block that was called final.
    pub(super) fn on_executed(&mut self, block: BlockId, results: Results, out: &mut Outbox<Self>) {
        let seq = self
            .executing
            .take()
            .expect("the host executes what was called final");
        let chosen = self
            .log
            .chosen
            .get(&seq)
            .expect("decided slots stay until executed");
        assert_eq!(chosen.digest(), block, "the host executes in order");
        let of_this_view = chosen.certificate().vote().view == self.view;
        self.head = block;
        self.results = results;
        if self.active && of_this_view {
            self.suspicion.progress();
        }
        self.executed_slot(seq, out);
        self.execute(out);
        self.advance(out);
    }

    /// The host has fetched a final block and executed it: the slots from the last executed one to the
    /// block's were void, or the block would have another parent.
    pub(super) fn on_synced(
        &mut self,
        block: &Arc<Block>,
        proof: &Arc<Finality>,
        results: Results,
        out: &mut Outbox<Self>,
    ) {
        assert!(
            self.executing.is_none(),
            "the host does one thing at a time"
        );
        let height = block.header().height;
        assert!(
            block.header().parent == self.head || height > self.results.height.next(),
            "a fetched block follows the head, or ends a snapshot that lies above it"
        );
        let Finality::Certificate(certificate) = &**proof else {
            unreachable!("the host checked the proof");
        };
        // A slot has one block, unless more than f members lie.
        let seq = certificate.vote().slot.max(self.executed);
        if block.header().parent != self.head {
            self.void_above = seq;
        }
        self.keep_decided(
            seq,
            Chosen::new(certificate.clone(), Some(Arc::clone(block))),
        );
        self.head = block.id();
        self.results = results;
        self.skip_to(seq);
        if self.epoch_is_over() {
            return self.begin_epoch(out);
        }
        if seq.0.is_multiple_of(self.config.checkpoint_interval) {
            self.take_checkpoint(seq, out);
        }
        self.skip_to_stable(out);
        self.execute(out);
        self.advance(out);
    }

    /// Keeps what was decided for a slot that the host has executed, which may lie far above H.
    fn keep_decided(&mut self, seq: Seq, chosen: Chosen) {
        if self.log.place(seq) == Place::Below {
            return;
        }
        self.log.chosen.insert(seq, chosen);
        if let Some(slot) = self.log.slot_mut(seq) {
            slot.decided = true;
        }
        // No new view begins below its window: f+1 honest replicas had their h there or above.
        let over = Seq(seq.0.saturating_sub(self.config.window.saturating_mul(2)));
        self.log.chosen.retain(|kept, _| *kept > over);
        self.void_above = self.void_above.max(over);
    }

    /// Slots up to `seq` are done.
    pub(super) fn skip_to(&mut self, seq: Seq) {
        self.executed = seq;
        self.log.touch(seq);
        self.committed = self.committed.max(seq);
        self.missing.retain(|slot, _| *slot > seq);
        self.peers.progress();
        if self.frontier <= seq {
            (self.frontier, self.tip) = (seq, self.head);
            self.judging = None;
        } else {
            self.retreat();
        }
        self.deferred = None;
    }

    /// Void slots leave no block behind. That only such slots lie between the last executed one and the
    /// stable checkpoint shows in its digest.
    pub(super) fn skip_to_stable(&mut self, out: &mut Outbox<Self>) {
        let Some(certificate) = &self.checkpoints.stable else {
            return;
        };
        let Vote { slot, digest, .. } = *certificate.vote();
        if slot > self.executed && self.executing.is_none() && self.state_after(slot, out) == digest
        {
            self.skip_to(slot);
        }
    }

    /// A slot is done: last-executed never goes down (R24).
    fn executed_slot(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        assert_eq!(seq, self.executed.next(), "slots are executed in order");
        self.executed = seq;
        self.peers.progress();
        self.deferred = None;
        if self.frontier <= seq {
            (self.frontier, self.tip) = (seq, self.head);
        }
        if self.epoch_is_over() {
            self.begin_epoch(out);
        } else if seq.0.is_multiple_of(self.config.checkpoint_interval) {
            self.take_checkpoint(seq, out);
        }
        self.watch(out);
    }
}
