//! A replica whose disk does not show what it signed (R40).
//!
//! It may have signed anything up to the high watermark that it had, and does not know which that was.
//! So it estimates it as Castro and Liskov's proactive recovery does (*Practical Byzantine Fault
//! Tolerance and Proactive Recovery*, TOCS 2002, §4.3.2), from the others' reports since it started:
//! c, the last checkpoint that one took, and p, the last slot prepared there. A bound is the c of one
//! of them, if as many others report no larger c as must include an honest signer of its last stable
//! checkpoint, and f others report a p that is not below it. One window above that lies its horizon.
//! Until a checkpoint at or above the horizon is stable it signs no proposal, PREPARE, COMMIT,
//! VIEW-CHANGE or NEW-VIEW. It follows and executes, and what it says about states (CHECKPOINT) or
//! about itself (STATUS) is the same whoever says it.
//!
//! It counts as one of the f faulty ones meanwhile. A VIEW-CHANGE that it sent in its earlier life,
//! and that a liar alone kept, could still be used once it speaks again: closing that takes new keys,
//! which the paper's recovery has and this one has not.

use crate::{
    engine::{Effect, Outbox, Tale},
    types::{NodeId, Seq},
};

use super::{
    Pbft,
    message::{Asks, Record, Report},
};

/// What a mute replica knows about its earlier life.
#[derive(Debug)]
pub(super) struct Mute {
    /// By position in the committee: the least c and the greatest p that it reported.
    reports: Vec<Option<(Seq, Seq)>>,
    /// Reports in return for earlier attempts are of an earlier life.
    since: u64,
    /// No slot above it was ever voted for here.
    horizon: Option<Seq>,
}

impl Pbft {
    /// Whether this replica may sign what could contradict it. Who only observes signs nothing.
    pub(super) fn speaks(&self) -> bool {
        self.mute.is_none() && self.position.is_some()
    }

    /// Another committee is asked how much this replica may have signed. What the one before said is about
    /// other quorums, and its members may have stopped long before this one had gone on.
    pub(super) fn wonder_anew(&mut self) {
        let n = self.committee.n();
        if let Some(mute) = &mut self.mute {
            mute.reports = vec![None; n];
            mute.horizon = None;
        }
    }

    /// The log is worth nothing: from now on this replica listens.
    pub(super) fn fall_mute(&mut self, out: &mut Outbox<Self>) {
        self.mute = Some(Mute {
            reports: vec![None; self.committee.n()],
            since: self.peers.attempt,
            horizon: None,
        });
        // Never an empty log, which would be that of a replica that has said nothing; and nothing leaves
        // before it is durable.
        out.push(Effect::Truncate(vec![Record::Mute]));
        out.push(Effect::Persist(Record::Mute));
        out.tell(Tale::Muted);
    }

    /// Whether it still has to learn how much it may have signed.
    pub(super) fn wonders(&self) -> bool {
        self.mute
            .as_ref()
            .is_some_and(|mute| mute.horizon.is_none())
    }

    /// Asks each member where it stands; each answers.
    pub(super) fn ask_each(&mut self, out: &mut Outbox<Self>) {
        let others: Vec<NodeId> = self.committee.others(self.me).collect();
        for node in others {
            self.report_to(node, Asks::You, 0, out);
        }
    }

    /// A member says where it stands.
    pub(super) fn learn_horizon(
        &mut self,
        position: usize,
        report: &Report,
        out: &mut Outbox<Self>,
    ) {
        // This replica is one of the f, so f−1 of the others may lie. Of the n−1 others, q−1 signed its
        // last stable checkpoint: of so many reporters f at least signed it too, and one of them is honest.
        let faulty = self.committee.f();
        let reporters = self.committee.n() + faulty - self.committee.quorum();
        // All who are in this epoch have executed its base; who is not in it knows nothing about it.
        let (interval, base) = (self.config.checkpoint_interval, self.base);
        if report.view.epoch() != self.epoch() {
            return;
        }
        let Some(mute) = &mut self.mute else { return };
        if report.asks != Asks::InReturn || report.echo < mute.since {
            return;
        }
        let taken = Seq(report.executed.0 - report.executed.0 % interval).max(base);
        let (c, p) = mute.reports[position].unwrap_or((taken, report.prepared));
        mute.reports[position] = Some((c.min(taken), p.max(report.prepared)));
        let reports = || mute.reports.iter().flatten();
        let bounds = reports().map(|(c, _)| *c).filter(|bound| {
            reports().filter(|(c, _)| c <= bound).count() >= reporters
                && reports().filter(|(_, p)| p >= bound).count() > faulty
        });
        if mute.horizon.is_none()
            && let Some(bound) = bounds.min()
        {
            mute.horizon = Some(Seq(bound.0.saturating_add(self.config.window)));
            self.speak_again(out);
            self.advance(out);
        }
    }

    /// A checkpoint is stable: perhaps all that was ever signed here lies below it.
    pub(super) fn speak_again(&mut self, out: &mut Outbox<Self>) {
        let low = self.log.low();
        let over = |mute: &mut Mute| mute.horizon.is_some_and(|horizon| low >= horizon);
        if self.mute.take_if(over).is_some() {
            out.tell(Tale::Unmuted(low));
            self.shorten = true;
            self.rearm(out);
            // What it passed in silence it agrees to now.
            self.retreat();
            self.take_up_new_view(out);
        }
    }
}
