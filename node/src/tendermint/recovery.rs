//! Starting again: TM19 and TM20.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    block::Finality,
    engine::{Effect, Outbox, Recovery, Tale, Tip},
    quorum::QuorumRule,
    types::{Height, NodeId, Seq, Wall},
};

use super::{
    Step, Tendermint, Timer,
    gossip::is_due,
    message::{Asks, Decided, NIL, PREVOTE, Record, Report},
};

/// What a mute validator knows about its earlier life.
#[derive(Debug)]
pub(super) struct Mute {
    /// The least height that each member reported.
    reports: BTreeMap<NodeId, Height>,
    /// Returns for earlier attempts are of an earlier life.
    since: u64,
    /// The last height that may have been signed for here, as far as the reports bound it.
    horizon: Option<Height>,
    /// Status intervals since it began to ask.
    intervals: u32,
}

impl Tendermint {
    /// Whether this validator may sign what could contradict it.
    pub(super) fn speaks(&self) -> bool {
        self.mute.is_none() && self.position.is_some()
    }

    /// Whether it still has to learn how much it may have signed: each report may lower the bound.
    pub(super) fn wonders(&self) -> bool {
        let others = self.committee.n() - 1;
        let open = |mute: &Mute| mute.reports.len() < others;
        self.position.is_some() && self.mute.as_ref().is_some_and(open)
    }

    /// The members that a mute validator asks where they stand, once a status interval.
    pub(super) fn unreported(&mut self) -> Vec<NodeId> {
        let Some(mute) = &mut self.mute else {
            return Vec::new();
        };
        let due = mute.intervals == 0 || is_due(mute.intervals);
        mute.intervals = mute.intervals.saturating_add(1);
        let others = self.committee.others(self.me);
        let open = others.filter(|node| due && !mute.reports.contains_key(node));
        open.collect()
    }

    /// Another committee knows better.
    pub(super) fn wonder_anew(&mut self) {
        if let Some(mute) = &mut self.mute {
            mute.reports.clear();
            (mute.horizon, mute.intervals) = (None, 0);
        }
    }

    /// TM20: a member says where it stands, in return.
    pub(super) fn learn_horizon(&mut self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        let (n, f) = (self.committee.n(), self.committee.f());
        // This validator is one of the f, if any may lie. Of the others q−f are honest and precommitted the
        // last height that was decided before the one in which it stopped.
        let needed = n + f.max(1) - QuorumRule::TwoThirds.of(n);
        let member = self.committee.contains(node) && node != self.me;
        let Some(mute) = &mut self.mute else { return };
        if !member || report.asks != Asks::Nobody || report.echo <= mute.since {
            return;
        }
        let theirs = Height(report.height.0);
        let least = mute.reports.entry(node).or_insert(theirs);
        *least = theirs.min(*least);
        let mut heights: Vec<Height> = mute.reports.values().copied().collect();
        heights.sort_unstable();
        if let Some(height) = heights.get(needed - 1) {
            let bound = height.next();
            mute.horizon = Some(mute.horizon.map_or(bound, |known| known.min(bound)));
            self.speak_again(out);
        }
    }

    /// A height begins: perhaps all that was ever signed here is decided.
    pub(super) fn speak_again(&mut self, out: &mut Outbox<Self>) {
        let height = self.height;
        let over = |mute: &mut Mute| mute.horizon.is_some_and(|horizon| height > horizon);
        if self.mute.take_if(over).is_some() {
            out.tell(Tale::Unmuted(self.seq()));
            out.push(Effect::Truncate(Vec::new()));
        }
    }

    /// The machine starts again.
    pub(super) fn recover(
        &mut self,
        wall: Wall,
        disk: Recovery,
        records: &[Record],
        tip: &Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        self.peers.attempt = wall.0;
        self.enter(tip.block.header().height.next(), tip.block.id(), out);
        if let Some(Finality::Certificate(certificate)) = tip.proof.map(|proof| &**proof) {
            self.keep_decision(Arc::new(Decided {
                certificate: certificate.clone(),
                block: Arc::clone(tip.block),
            }));
        }
        let muted = records.iter().any(|record| matches!(record, Record::Mute));
        if disk == Recovery::Lost || muted {
            self.mute = Some(Mute {
                reports: BTreeMap::new(),
                since: self.peers.attempt,
                horizon: None,
                intervals: 0,
            });
            // Never an empty log, which would be that of a validator that has signed nothing.
            out.push(Effect::Truncate(vec![Record::Mute]));
            out.push(Effect::Persist(Record::Mute));
            out.tell(Tale::Muted);
        } else {
            for record in records {
                self.recall(record);
            }
        }
        self.rest(out);
        self.resume(out);
        self.ask_everyone(out);
        self.ask_unreported(out);
    }

    /// What a record says about the present height.
    fn recall(&mut self, record: &Record) {
        let Some(position) = self.position else {
            return;
        };
        let slot = crate::engine::Record::label(record).1;
        if slot.seq != self.seq() || slot.view.epoch() != self.epoch {
            return;
        }
        let number = slot.view.round();
        if number > self.round {
            (self.round, self.step) = (number, Step::Propose);
        }
        let round = self.rounds.entry(number).or_default();
        match record {
            Record::Proposed(said) => {
                round.claim = Some(said.claim.clone());
                round.verdict = Some(true);
                self.blocks.insert(said.block.id(), Arc::clone(&said.block));
                self.step = self.step.max(Step::Propose);
            }
            Record::Voted(vote) if vote.body().phase == PREVOTE => {
                round.prevotes.add(&self.committee, vote);
                self.step = self.step.max(Step::Prevote);
            }
            Record::Voted(vote) => {
                round.precommits.add(&self.committee, vote);
                self.step = Step::Precommit;
                let digest = vote.body().digest;
                if digest != NIL {
                    self.locked = Some((number, digest));
                }
            }
            Record::Polka(polka) => {
                round.prevotes.certify(&polka.certificate);
                // It follows a PRECOMMIT or becomes one; see TM5.
                round.polka_seen = round.precommits.of(position).is_some();
                self.valid = Some((number, Arc::clone(&polka.certificate)));
                if let Some(block) = &polka.block {
                    self.blocks.insert(block.id(), Arc::clone(block));
                }
            }
            Record::Mute => {}
        }
    }

    /// Goes on in the round and the step in which the machine stopped.
    fn resume(&mut self, out: &mut Outbox<Self>) {
        if self.step == Step::Wait {
            return;
        }
        self.rested = true;
        if self.step == Step::Propose {
            let after = self.timeout(self.config.timeout_propose);
            self.arm(Timer::Propose(Seq(self.height.0), self.round), after, out);
        }
    }
}
