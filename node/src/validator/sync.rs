//! Catching up: the answers of peers are checked here, and become chain; see [`crate::sync`].

use std::{collections::BTreeSet, sync::Arc};

use super::Validator;
use crate::{
    block::{Block, Finality},
    engine::{Engine, FaultModel, Input, Refusal},
    ledger::{Ledger, Snapshot},
    membership::{Committee, NodeRole},
    mutant::Mutant,
    node::{Action, Actions, Note, Packet},
    storage::{Stored, Write},
    sync::{Blocks, Manifest, Next, SyncPacket},
    types::{Height, LocalTime, NodeId},
};

impl<E: Engine> Validator<E> {
    /// Begins to catch up, unless it has begun. `insist`: the protocol knows that others are ahead.
    pub(super) fn catch_up(&mut self, now: LocalTime, insist: bool, actions: &mut Actions) {
        let me = self.me.id;
        let committee = self.decides(self.ledger.final_height().next());
        let mut others: Vec<_> = committee.others(me).collect();
        let after_me = others.iter().position(|node| *node > me).unwrap_or(0);
        others.rotate_left(after_me);
        let enough = match E::FAULTS {
            FaultModel::Byzantine => committee.weak_quorum(),
            // One that does not lie may still be as far behind.
            FaultModel::Crash | FaultModel::Trusted => others.len(),
        };
        // Else the present answer is still being worked through, or the timer is running.
        if self.sync.begin(others, enough, insist) {
            self.pursue(now, actions);
        }
    }

    /// Who decides at a height. Whoever catches up block by block knows, because the chain up to the block
    /// before says so. A snapshot of a committee that is not known here is not believed.
    fn decides(&self, height: Height) -> &Arc<Committee> {
        &self.committees().at(height).committee
    }

    /// Asks for what is wanted next.
    fn pursue(&mut self, now: LocalTime, actions: &mut Actions) {
        if self.sync.is_waiting() {
            return;
        }
        let after = match self.sync.next(now, self.ledger.final_height()) {
            Next::Ask {
                peer,
                question,
                patience,
            } => {
                actions.send(peer, Packet::Sync(Arc::new(question)));
                patience
            }
            Next::Rest(span) => span,
            Next::Over => {
                self.sync_timer = None;
                return;
            }
        };
        let timer = self.new_timer();
        self.sync_timer = Some(timer);
        actions.list.push(Action::Arm { timer, after });
    }

    /// No answer came in time, or the time of rest is over.
    pub(super) fn sync_due(&mut self, now: LocalTime, actions: &mut Actions) {
        self.sync.timed_out();
        self.pursue(now, actions);
    }

    pub(super) fn on_sync(
        &mut self,
        now: LocalTime,
        from: NodeId,
        packet: &SyncPacket,
        actions: &mut Actions,
    ) {
        let refusal = if packet.asks() {
            self.hand_out(now, from, packet, actions)
        } else if self.sync.takes(now, from, packet) {
            let verdict = self.take(now, from, packet, actions);
            self.pursue(now, actions);
            verdict
        } else {
            Err(Refusal::Stale)
        };
        if let Err(reason) = refusal {
            actions.note(Note::Refused(reason));
        }
    }

    /// A question. Other validators are answered, and no faster than bounds the work that they cause.
    fn hand_out(
        &mut self,
        now: LocalTime,
        from: NodeId,
        question: &SyncPacket,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let record = self.me.registry.node(from);
        let validator = record.is_some_and(|record| record.roles.contains(&NodeRole::Validator));
        if !validator || from == self.me.id {
            return Err(Refusal::WrongSender);
        }
        if !self.archive.admits(now, from) {
            return Err(Refusal::TooFar);
        }
        if let Some(answer) = self.archive.answer(&self.ledger, question) {
            actions.send(from, Packet::Sync(Arc::new(answer)));
        }
        Ok(())
    }

    /// The answer to the question under way.
    fn take(
        &mut self,
        now: LocalTime,
        from: NodeId,
        answer: &SyncPacket,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let snapshot = match answer {
            SyncPacket::Blocks(blocks) => {
                let verdict = self.take_blocks(now, blocks, actions);
                let tip = self.ledger.final_height();
                self.sync.blocks(from, blocks, verdict, tip);
                return verdict.map(|_| ());
            }
            SyncPacket::Snapshot(manifest) => {
                if let Err(reason) = manifest.as_ref().map_or(Ok(()), |one| self.check(one)) {
                    self.sync.refuse(from);
                    return Err(reason);
                }
                let tip = self.ledger.final_height();
                self.sync.manifest(from, manifest.as_ref(), tip)
            }
            SyncPacket::Page { entries, .. } => self.sync.page(from, entries)?,
            _ => None,
        };
        if let Some(snapshot) = snapshot {
            self.adopt(now, snapshot, actions);
        }
        Ok(())
    }

    /// FINAL-BLOCKS: each block that is new, good and final joins the chain at once. Returns how many did.
    fn take_blocks(
        &mut self,
        now: LocalTime,
        blocks: &Blocks,
        actions: &mut Actions,
    ) -> Result<u64, Refusal> {
        if !blocks.is_well_formed() {
            return Err(Refusal::Malformed);
        }
        let mut gained = 0;
        for stored in &blocks.list {
            // What the protocol decided meanwhile is here already.
            if stored.block.header().height > self.ledger.final_height() {
                self.judge_final(stored)?;
                self.join(now, stored, actions);
                self.drain(now, actions);
                gained += 1;
            }
        }
        Ok(gained)
    }

    /// Whether a block is the next one of the final chain.
    fn judge_final(&self, stored: &Stored) -> Result<(), Refusal> {
        let block = &stored.block;
        let header = block.header();
        let tip = self.ledger.final_height();
        let parent = self.ledger.entry(tip).expect("what is final is here");
        if header.height != tip.next() {
            return Err(Refusal::Malformed);
        }
        if header.parent != parent.block.id() {
            return Err(Refusal::Conflicting);
        }
        self.judge_stored(stored)?;
        // All ancestors are executed here, so nobody need be believed about their results.
        let ours = self.ledger.results(header.results.height);
        let known = header.results.height < header.height;
        let trusts = self.planted.is(Mutant::StateTransferTrustsOnePeer);
        if !known || ours.is_some_and(|ours| ours != header.results && !trusts) {
            return Err(Refusal::BadBlock);
        }
        Ok(())
    }

    /// Whether a block is final, whole, and every transaction in it signed.
    fn judge_stored(&self, stored: &Stored) -> Result<(), Refusal> {
        if !self.is_final(&stored.block, &stored.proof) {
            return Err(Refusal::BadSignature);
        }
        if !stored.block.is_whole() {
            return Err(Refusal::BadBlock);
        }
        // Ids do not cover signatures: a final block could be handed on with others.
        let registry = &self.me.registry;
        let mut transactions = stored.block.transactions().iter();
        if transactions.all(|tx| registry.verify_party(tx.signed())) {
            Ok(())
        } else {
            Err(Refusal::BadSignature)
        }
    }

    fn is_final(&self, block: &Block, proof: &Finality) -> bool {
        let trusts = self.planted.is(Mutant::StateTransferTrustsOnePeer);
        trusts || {
            let committee = self.decides(block.header().height);
            self.engine.proves(committee, block, proof)
        }
    }

    /// The final chain grows by a block that was judged.
    fn join(&mut self, now: LocalTime, stored: &Stored, actions: &mut Actions) {
        let (block, proof) = (Arc::clone(&stored.block), Arc::clone(&stored.proof));
        let height = block.header().height;
        actions
            .list
            .push(Action::Persist(Write::Block(stored.clone())));
        let results = if self.ledger.contains_block(&block.id()).is_some() {
            self.ledger.finalise(height, Arc::clone(&proof)).results
        } else {
            let orphans = self.roll_back(height.prev(), actions);
            let results = self.extend(Arc::clone(&block), Some(Arc::clone(&proof)), actions);
            self.wait_again(now, orphans);
            self.learn_committees(now, actions);
            results
        };
        self.settled(height);
        self.rely(height, actions);
        let synced = Input::Synced {
            block,
            proof,
            results,
        };
        self.step(now, synced, actions);
    }

    /// SNAPSHOT: whether the manifest hangs on blocks that are final.
    fn check(&self, manifest: &Manifest) -> Result<(), Refusal> {
        self.judge_stored(&manifest.block)?;
        if manifest.verify(|block, proof| self.is_final(block, proof)) {
            Ok(())
        } else {
            Err(Refusal::Malformed)
        }
    }

    /// All pages are here and checked: the chain begins with the snapshot now, unless the protocol has
    /// got further meanwhile.
    fn adopt(&mut self, now: LocalTime, snapshot: Snapshot, actions: &mut Actions) {
        let (block, proof) = (snapshot.block.clone(), snapshot.proof.clone());
        let (height, results) = (block.header().height, snapshot.results);
        if height <= self.ledger.final_height() {
            return;
        }
        let orphans = self.roll_back(self.ledger.final_height(), actions);
        self.wait_again(now, orphans);
        self.ledger = Ledger::from_snapshot(self.ledger.genesis(), &snapshot);
        self.archive.clear();
        self.tree.retain(|_, block| block.header().height > height);
        self.forget_spent();
        self.relied = height;
        self.look_again = true;
        actions
            .list
            .push(Action::Persist(Write::Snapshot(Arc::new(snapshot))));
        actions.note(Note::Adopted {
            height,
            block: block.id(),
            results,
        });
        self.learn_committees(now, actions);
        let synced = Input::Synced {
            block,
            proof,
            results,
        };
        self.step(now, synced, actions);
    }

    /// Whatever waits with a number that the snapshot says is spent was ordered without us: it would wait
    /// for ever.
    fn forget_spent(&mut self) {
        let parties = self.me.registry.parties.iter().map(|party| party.id);
        for party in parties.collect::<BTreeSet<_>>() {
            let ledger = &self.ledger;
            self.mempool
                .remove_spent(party, |nonce| ledger.executed(party, nonce));
        }
    }
}
