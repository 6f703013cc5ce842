//! From one height to the next.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    block::{Block, Finality},
    engine::{Effect, Outbox},
    membership::Committee,
    types::{BlockId, Height},
};

use super::{
    Step, Tendermint, Timer,
    intake::Kept,
    message::{Decided, Record},
};

/// Decisions that are kept for those who missed them.
const DECISIONS_KEPT: usize = 4;

impl Tendermint {
    /// TM8: the height is decided; the next one begins when the block has been executed.
    pub(super) fn conclude(&mut self, decision: Arc<Decided>, out: &mut Outbox<Self>) {
        self.disarm(true, out);
        self.unwant(out);
        self.judging = None;
        self.decided = Some(decision.block.id());
        out.push(Effect::Final {
            block: Arc::clone(&decision.block),
            proof: Arc::new(Finality::Certificate(decision.certificate.clone())),
        });
        self.keep_decision(decision);
    }

    pub(super) fn keep_decision(&mut self, decision: Arc<Decided>) {
        let height = decision.block.header().height;
        self.decisions.insert(height, decision);
        while self.decisions.len() > DECISIONS_KEPT {
            self.decisions.pop_first();
        }
    }

    /// The host executed a block that this engine called final.
    pub(super) fn on_executed(&mut self, block: BlockId, out: &mut Outbox<Self>) {
        if self.decided == Some(block) {
            self.begin(self.height.next(), block, out);
        }
    }

    /// TM21: the host fetched a final block.
    pub(super) fn on_synced(
        &mut self,
        block: &Arc<Block>,
        proof: &Arc<Finality>,
        out: &mut Outbox<Self>,
    ) {
        let height = block.header().height;
        if height < self.height {
            return;
        }
        if let Finality::Certificate(certificate) = &**proof {
            self.keep_decision(Arc::new(Decided {
                certificate: certificate.clone(),
                block: Arc::clone(block),
            }));
        }
        self.disarm(true, out);
        self.unwant(out);
        self.begin(height.next(), block.id(), out);
    }

    /// A new height: nothing is locked, nothing is valid, and what was signed for the last one no longer
    /// matters.
    fn begin(&mut self, height: Height, head: BlockId, out: &mut Outbox<Self>) {
        self.enter(height, head, out);
        let mute = self.mute.is_some().then_some(Record::Mute);
        out.push(Effect::Truncate(mute.into_iter().collect()));
        self.rest(out);
        for message in self.take_early() {
            self.on_message(&message, out);
        }
    }

    /// Forgets the last height.
    pub(super) fn enter(&mut self, height: Height, head: BlockId, out: &mut Outbox<Self>) {
        (self.height, self.head) = (height, head);
        (self.round, self.step) = (0, Step::Wait);
        (self.locked, self.valid, self.decided, self.judging) = (None, None, None, None);
        self.rounds.clear();
        self.blocks.clear();
        (self.peers.progress, self.peers.lull) = (true, 0);
        self.seat();
        self.speak_again(out);
    }

    /// TM15: a pause between heights.
    pub(super) fn rest(&mut self, out: &mut Outbox<Self>) {
        (self.rested, self.empty_due) = (self.config.timeout_commit.is_zero(), false);
        if self.position.is_none() {
            return;
        }
        if !self.rested {
            let after = self.config.timeout_commit;
            self.arm(Timer::Commit(self.seq()), after, out);
        }
        self.arm_empty(out);
    }

    pub(super) fn arm_empty(&mut self, out: &mut Outbox<Self>) {
        if let (Some(period), Some(_)) = (self.config.empty_block_period, self.position) {
            let after = period.max(self.config.timeout_commit);
            self.arm(Timer::Empty(self.seq()), after, out);
        }
    }

    /// TM22: the committee of the height takes its seats.
    fn seat(&mut self) {
        let term = self.committees.at(self.height);
        if term.epoch != self.epoch {
            self.epoch = term.epoch;
            self.base = term.from;
            self.committee = Arc::clone(&term.committee);
            self.position = self.committee.position(self.me);
            self.wonder_anew();
        }
        self.ahead = vec![Kept::default(); self.committee.n()];
    }

    /// TM22: others decide from a height on.
    pub(super) fn on_committee(&mut self, from: Height, committee: Arc<Committee>) {
        self.committees.schedule(from, committee);
        if from <= self.height && self.round == 0 && self.step == Step::Wait {
            self.seat();
        }
    }

    /// Blocks that nothing names any more are dropped.
    pub(super) fn prune_blocks(&mut self) {
        let quorum = self.quorum_size();
        let valid = self.valid().map(|(_, digest)| digest);
        let locked = self.locked.map(|(_, digest)| digest);
        let mut named: Vec<BlockId> = valid.into_iter().chain(locked).collect();
        for (number, round) in &self.rounds {
            let late = number.saturating_add(1) >= self.round;
            let claimed = round.claim.as_ref().filter(|_| late);
            named.extend(claimed.map(|claim| claim.body().digest));
            named.extend(round.prevotes.block(quorum));
            named.extend(round.precommits.block(quorum));
        }
        let blocks: BTreeMap<_, _> = std::mem::take(&mut self.blocks);
        let blocks = blocks.into_iter();
        self.blocks = blocks.filter(|(id, _)| named.contains(id)).collect();
    }
}
