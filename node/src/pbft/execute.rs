//! Execution in order (R10), which host and engine do together.

use std::sync::Arc;

use crate::{
    block::Results,
    engine::{Effect, Outbox, Tale},
    types::{BlockId, Seq},
};

use super::Pbft;

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

    /// A slot is done: last-executed never goes down (R24).
    fn executed_slot(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        assert_eq!(seq, self.executed.next(), "slots are executed in order");
        self.executed = seq;
        self.peers.progress();
        self.deferred = None;
        if self.frontier <= seq {
            (self.frontier, self.tip) = (seq, self.head);
        }
        if seq.0.is_multiple_of(self.config.checkpoint_interval) {
            self.take_checkpoint(seq, out);
        }
        self.watch(out);
    }
}
