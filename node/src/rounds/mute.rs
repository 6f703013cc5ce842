//! A member whose disk does not show what it signed (R40).
//!
//! It may have signed anything at the height it was at, h, and does not know which that was. That it
//! was there means that h−1 is decided: a quorum committed it, so q−f honest others, not counting it
//! and the f−1 liars that are left, are at h−1 or above. It asks all where they stand and takes the
//! smallest height c that n+f−q others do not exceed: one of those q−f is among them, so h ≤ c+1. It
//! signs nothing until the height c+1 is decided. It follows meanwhile, as one of the f faulty.

use std::collections::BTreeMap;

use crate::{
    engine::{Effect, Outbox, Tale},
    types::{Height, NodeId, Seq},
};

use super::{
    Rounds, Timer,
    courtesy::{Ask, Courtesy, Report},
    station::Station,
};

/// What a mute member knows about its earlier life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mute {
    attempt: u64,
    reports: BTreeMap<NodeId, Height>,
    /// The last height at which it may have signed.
    last: Option<Height>,
}

impl Station {
    /// From now on this member listens.
    pub(crate) fn fall_mute<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        self.mute = Some(Mute {
            attempt: self.now.wall.0,
            ..Mute::default()
        });
        out.tell(Tale::Muted);
    }

    /// Asks all, and again until it knows enough.
    pub(crate) fn ask_around<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        let Some(mute) = self.mute.as_ref().filter(|mute| mute.last.is_none()) else {
            return;
        };
        let ask = Ask {
            attempt: mute.attempt,
        };
        let ask = self.sign(ask, out);
        out.broadcast(Courtesy::Ask(ask).into());
        out.push(Effect::Arm {
            timer: Timer::Ask,
            after: self.pace.timeouts.base,
        });
        self.conclude(out);
    }

    /// Says where it stands, to one that asks or that thinks it is behind.
    pub(crate) fn answer<E: Rounds>(&self, to: NodeId, attempt: u64, out: &mut Outbox<E>) {
        if self.speaks() {
            let report = Report {
                attempt,
                height: self.height,
            };
            let report = self.sign(report, out);
            out.send(to, Courtesy::Report(report).into());
        }
    }

    /// A member says where it stands.
    pub(crate) fn on_report<E: Rounds>(
        &mut self,
        from: NodeId,
        report: &Report,
        out: &mut Outbox<E>,
    ) {
        if let Some(mute) = &mut self.mute
            && mute.attempt == report.attempt
        {
            mute.reports.entry(from).or_insert(report.height);
            self.conclude(out);
        }
    }

    fn conclude<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        let needed = (self.committee.n() + self.committee.f()).saturating_sub(self.quorum());
        let Some(mute) = self.mute.as_mut().filter(|mute| mute.last.is_none()) else {
            return;
        };
        let mut heights: Vec<_> = mute.reports.values().copied().collect();
        heights.sort_unstable();
        let bound = match needed.checked_sub(1) {
            Some(place) => heights.get(place).copied(),
            None => Some(Height(0)),
        };
        if let Some(bound) = bound {
            mute.last = Some(bound.next());
            out.push(Effect::Disarm(Timer::Ask));
        }
    }

    /// Whether it can speak again, now that its height has grown.
    pub(crate) fn speak_again<E: Rounds>(&mut self, out: &mut Outbox<E>) -> bool {
        let height = self.height;
        let over = |mute: &mut Mute| mute.last.is_some_and(|last| last < height);
        let over = self.mute.take_if(over).is_some();
        if over {
            out.tell(Tale::Unmuted(Seq(height.0)));
        }
        over
    }
}
