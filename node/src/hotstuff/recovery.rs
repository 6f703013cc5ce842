//! Starting again with what the log holds, or without it: HS12, HS17.

use std::sync::Arc;

use crate::{
    engine::{Effect, Outbox, Recovery, Tale, Tip},
    quorum::Vote,
    types::{Seq, View},
};

use super::{
    HotStuff, Timer,
    message::{HotStuffMessage, Record, Report, Stamp, VOTE, place_of},
    tree::{Judged, Root},
};

/// A replica whose disk does not show what it signed.
#[derive(Clone, Debug)]
pub(super) struct Mute {
    /// By place: the view that a member reported since the restart.
    reports: Vec<Option<View>>,
    /// It signed nothing in views above this one.
    horizon: Option<View>,
}

impl HotStuff {
    /// HS12: starts again after a crash.
    pub(super) fn recover(
        &mut self,
        disk: Recovery,
        records: &[Record],
        tip: Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        self.recall(tip, out);
        let muted = records.iter().any(|record| matches!(record, Record::Mute));
        if disk == Recovery::Lost || muted {
            self.fall_mute(out);
        }
        if disk != Recovery::Lost {
            for record in records {
                self.replay(record, out);
            }
        }
        self.try_commit(out);
        // It voted in that view or gave it up; what leads further comes from others.
        if self.voted > self.view {
            self.enter(self.voted, out);
        } else {
            let (view, leader) = (self.view, self.leader(self.view));
            out.tell(Tale::Entered { view, leader });
        }
        self.ask_all(out);
    }

    /// The final chain that the disk holds.
    fn recall(&mut self, tip: Tip<'_>, out: &mut Outbox<Self>) {
        for stored in tip.recent {
            self.schedule.settled(stored.block.header());
        }
        let header = tip.block.header();
        self.tree.begin_at(Root {
            id: tip.block.id(),
            height: header.height,
            timestamp: header.timestamp,
        });
        if let Some(stamp) = Stamp::of(header) {
            self.committed = stamp.view;
        }
        if let Some(crate::block::Finality::Descendants { certificates, .. }) =
            tip.proof.map(|proof| &**proof)
        {
            self.learn(certificates.last(), out);
        }
    }

    /// One record of an earlier life. What it stands for is told again: it may have become durable without
    /// being told.
    fn replay(&mut self, record: &Record, out: &mut Outbox<Self>) {
        let link = match record {
            Record::Voted(proposal) => {
                let claim = *proposal.claim.body();
                self.voted = self.voted.max(claim.view);
                out.tell(Tale::Voted(Vote {
                    phase: VOTE,
                    ..claim
                }));
                if proposal.claim.signer() == self.me {
                    let (slot, block) = (place_of(&claim), claim.digest);
                    out.tell(Tale::Proposed { slot, block });
                }
                self.last_vote = Some(Arc::clone(proposal));
                if let Some(tc) = &proposal.tc {
                    self.learn_tc(tc, out);
                }
                &proposal.link
            }
            Record::Link(link) => link,
            Record::GaveUp(word) => {
                let view = word.claim.body().view;
                self.learn(word.high.as_ref(), out);
                if let Some(tc) = &word.tc {
                    self.learn_tc(tc, out);
                }
                self.gave_up = self.gave_up.max(view);
                self.voted = self.voted.max(view);
                self.last_word = Some(word.claim.clone());
                return;
            }
            Record::High(certificate) => return self.learn(Some(certificate), out),
            Record::Mute => return,
        };
        if let Some(stamp) = Stamp::of(link.block.header())
            && link.block.header().height > self.tree.root.height
            && self.tree.knows(&link.block.header().parent)
        {
            self.plant(link, stamp, Judged::No);
            if let Some(entry) = self.tree.get_mut(&link.block.id()) {
                entry.logged = true;
            }
        }
        self.learn(link.justify.as_ref(), out);
    }

    /// HS12: the records that still count.
    pub(super) fn records(&self) -> Vec<Record> {
        let mute = self.mute.iter().map(|_| Record::Mute);
        let high = self.high.certificate.iter().cloned().map(Record::High);
        let mut records: Vec<_> = mute.chain(high).collect();
        let last = self.last_vote.as_ref().map(|vote| vote.claim.body().digest);
        for entry in self.tree.logged() {
            if Some(entry.link.block.id()) != last {
                records.push(Record::Link(Arc::clone(&entry.link)));
            }
        }
        records.extend(self.last_vote.iter().cloned().map(Record::Voted));
        let word = self.last_word.iter().cloned();
        records.extend(word.map(|word| Record::GaveUp(self.word(word))));
        records
    }

    /// HS17: it may have signed anything: it signs nothing.
    fn fall_mute(&mut self, out: &mut Outbox<Self>) {
        self.mute = Some(Mute {
            reports: vec![None; self.committee.n()],
            horizon: None,
        });
        out.push(Effect::Persist(Record::Mute));
        out.tell(Tale::Muted);
    }

    /// Asks everyone where it stands.
    fn ask_all(&mut self, out: &mut Outbox<Self>) {
        let report = Report {
            view: self.view,
            high: self.high.view,
            attempt: self.peers.attempt,
            asks: true,
        };
        out.work.signatures += 1;
        let report = self.key.sign(self.me, report);
        out.broadcast(HotStuffMessage::Status(report));
        if self
            .mute
            .as_ref()
            .is_some_and(|mute| mute.horizon.is_none())
        {
            out.push(Effect::Arm {
                timer: Timer::Ask,
                after: self.config.timeout,
            });
        }
    }

    pub(super) fn on_ask_timer(&mut self, out: &mut Outbox<Self>) {
        if self
            .mute
            .as_ref()
            .is_some_and(|mute| mute.horizon.is_none())
        {
            self.ask_all(out);
        }
    }

    /// HS17: an answer; q of them bound what this replica may have signed.
    pub(super) fn estimate(&mut self, place: usize, said: &Report, out: &mut Outbox<Self>) {
        let needed = self.needed().min(self.committee.n() - 1);
        let attempt = self.peers.attempt;
        let Some(mute) = &mut self.mute else {
            return;
        };
        if said.attempt != attempt || mute.horizon.is_some() {
            return;
        }
        mute.reports[place] = Some(said.view);
        let reports = mute.reports.iter().flatten();
        if reports.clone().count() >= needed {
            let highest = reports.copied().max().unwrap_or_default();
            mute.horizon = Some(self.schedule.after(highest));
            out.push(Effect::Disarm(Timer::Ask));
        }
    }

    /// HS17: a committed block of a later view than any that it may have signed in: it speaks again.
    pub(super) fn unmute(&mut self, out: &mut Outbox<Self>) {
        let horizon = self.mute.as_ref().and_then(|mute| mute.horizon);
        let Some(horizon) = horizon.filter(|horizon| self.committed > *horizon) else {
            return;
        };
        self.mute = None;
        self.voted = self.voted.max(horizon);
        self.gave_up = self.gave_up.max(horizon);
        out.tell(Tale::Unmuted(Seq(self.height().0)));
        out.push(Effect::Truncate(self.records()));
    }
}
