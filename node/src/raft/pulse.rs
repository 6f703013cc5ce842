//! Heartbeats, and the rest that a leader gives everybody when there is nothing to do.

use std::time::Duration;

use super::{
    Raft, Timer,
    message::RaftMessage,
    progress::{Flow, Progress},
};
use crate::{
    engine::{Effect, Outbox},
    types::{NodeId, Seq},
};

/// A leader at rest looks for who was absent after 1, 2, 4, … heartbeats, and no less often than this.
const RAREST: u32 = 64;

impl Raft {
    /// A leader's timers, from its election or from its waking on.
    pub(super) fn arm_pulse(&mut self, out: &mut Outbox<Self>) {
        self.arm_heartbeat(1, out);
        self.arm_quorum(out);
    }

    fn arm_heartbeat(&self, times: u32, out: &mut Outbox<Self>) {
        out.push(Effect::Arm {
            timer: Timer::Heartbeat(self.term),
            after: self.config.heartbeat.saturating_mul(times),
        });
    }

    /// RA15: the leader says that it lives, and how much of what the follower holds is committed.
    fn heartbeat(&mut self, to: NodeId, rest: bool, out: &mut Outbox<Self>) {
        let Some(reign) = &self.reign else { return };
        let Some(progress) = reign.progress.get(&to) else {
            return;
        };
        let message = RaftMessage::Heartbeat {
            term: self.term,
            commit: self.commit.min(progress.matched),
            round: reign.round,
            rest,
        };
        self.send(to, message, out);
    }

    pub(super) fn heartbeats(&mut self, out: &mut Outbox<Self>) {
        for to in self.peers() {
            self.heartbeat(to, false, out);
        }
    }

    pub(super) fn on_heartbeat_timer(&mut self, out: &mut Outbox<Self>) {
        if self.reign.is_none() {
            return;
        }
        if self.resting {
            self.look_for_absent(out);
        } else if self.may_rest() {
            self.begin_rest(out);
        } else {
            self.offer_again(out);
            self.heartbeats(out);
            self.arm_heartbeat(1, out);
        }
    }

    /// A snapshot that was not heard of for an election timeout may have been lost.
    fn offer_again(&mut self, out: &mut Outbox<Self>) {
        let patience = self.config.election.as_nanos() as u64;
        for to in self.peers() {
            let now = self.now.mono;
            let due = self.progress(to).is_some_and(|progress| {
                matches!(progress.flow, Flow::Snapshot { told, .. } if now.since(told) >= patience)
            });
            if due {
                self.offer_snapshot(to, out);
            }
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        from: NodeId,
        commit: Seq,
        round: u64,
        rest: bool,
        out: &mut Outbox<Self>,
    ) {
        let last = self.log.last().index;
        self.commit_up_to(commit.min(last), out);
        if self.mute.is_some() {
            self.ask_to_rejoin(from, out);
        } else if rest && commit == last && self.pending.is_none() && self.awaited.is_none() {
            self.resting = true;
            self.armed = false;
            out.push(Effect::Disarm(Timer::Election));
            return;
        }
        let term = self.term;
        self.send(from, RaftMessage::Heard { term, round }, out);
    }

    pub(super) fn on_heard(&mut self, from: NodeId, round: u64, out: &mut Outbox<Self>) {
        let (now, inflight) = (self.now.mono, self.config.inflight);
        let last = self.log.last().index;
        let Some(progress) = self.progress(from) else {
            return;
        };
        progress.lives(now, inflight);
        progress.round = progress.round.max(round);
        let probing = matches!(progress.flow, Flow::Probe { .. });
        if progress.matched < last || probing {
            self.replicate(from, true, out);
        }
        self.finish_reads(out);
    }

    /// RA16: whether nothing is to be done: nothing waits, all is committed and applied, and everybody
    /// who was heard of lately holds all of it.
    fn may_rest(&self) -> bool {
        let Some(reign) = &self.reign else {
            return false;
        };
        let last = self.log.last().index;
        let done = self.commit == last && self.applied == last && self.executing.is_empty();
        let asked = !reign.reads.is_empty() || self.next_members().is_some();
        let settled = |progress: &Progress| progress.matched == last && progress.mute.is_none();
        self.config.rest
            && self.pending.is_none()
            && done
            && !asked
            && reign
                .progress
                .values()
                .all(|progress| settled(progress) || self.is_absent(progress))
    }

    fn is_absent(&self, progress: &Progress) -> bool {
        self.now.mono.since(progress.heard) >= self.config.election.as_nanos() as u64
    }

    fn begin_rest(&mut self, out: &mut Outbox<Self>) {
        self.resting = true;
        out.push(Effect::Disarm(Timer::Quorum(self.term)));
        let last = self.log.last().index;
        let mut absent = false;
        for to in self.peers() {
            let settled = self.progress(to).is_some_and(|one| one.matched == last);
            absent |= !settled;
            self.heartbeat(to, settled, out);
        }
        if absent {
            self.patience = 1;
            self.arm_heartbeat(1, out);
        }
    }

    /// At rest: those who did not hear of it may be back.
    fn look_for_absent(&mut self, out: &mut Outbox<Self>) {
        let last = self.log.last().index;
        for to in self.peers() {
            if self.progress(to).is_some_and(|one| one.matched < last) {
                self.heartbeat(to, false, out);
            }
        }
        self.patience = (self.patience * 2).min(RAREST);
        self.arm_heartbeat(self.patience, out);
    }

    /// There is something to do.
    pub(super) fn wake(&mut self, out: &mut Outbox<Self>) {
        if !std::mem::take(&mut self.resting) {
            return;
        }
        self.heard = self.now.mono;
        let now = self.now.mono;
        let Some(reign) = &mut self.reign else {
            self.arm_election(out);
            return;
        };
        for progress in reign.progress.values_mut() {
            (progress.active, progress.heard) = (true, now);
        }
        self.arm_pulse(out);
    }

    /// Somebody says something although a rest was agreed on.
    pub(super) fn disturbed(&mut self, message: &RaftMessage, out: &mut Outbox<Self>) {
        let restful = matches!(message, RaftMessage::Heartbeat { rest: true, .. });
        if self.resting && !restful {
            self.wake(out);
            self.heartbeats(out);
        }
    }

    /// How long this member waits for a leader this time.
    pub fn election_timeout(&self) -> Duration {
        self.timeout
    }
}
