//! What a leader knows of one follower, and how fast it sends to it (etcd's probe, replicate, snapshot).

use std::collections::VecDeque;

use crate::types::{Mono, Seq};

/// How entries flow to a follower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// It is not known where the logs part: one message at a time.
    Probe {
        /// One is under way.
        sent: bool,
    },
    /// The logs agree: messages follow each other without waiting. The last index of each that is
    /// under way.
    Replicate(VecDeque<Seq>),
    /// The entries that it needs are gone: it was told so, at this time.
    Snapshot {
        /// The last entry that the snapshot stands for.
        index: Seq,
        /// When it was last told.
        told: Mono,
    },
}

/// A follower, as its leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Its log agrees with the leader's up to here.
    pub(super) matched: Seq,
    /// What to send next.
    pub(super) next: Seq,
    pub(super) flow: Flow,
    /// It was heard of since the last check of the quorum.
    pub(super) active: bool,
    /// When it was last heard of.
    pub(super) heard: Mono,
    /// It forgot what it said: nothing that it holds counts before this index.
    pub(super) mute: Option<Seq>,
    /// The newest round of reads that it answered.
    pub(super) round: u64,
}

impl Progress {
    pub(super) fn new(last: Seq, now: Mono) -> Self {
        Self {
            matched: Seq(0),
            next: last.next(),
            flow: Flow::Probe { sent: false },
            active: true,
            heard: now,
            mute: None,
            round: 0,
        }
    }

    /// Whether nothing may be sent now.
    pub(super) fn is_paused(&self, inflight: usize) -> bool {
        match &self.flow {
            Flow::Probe { sent } => *sent,
            Flow::Replicate(window) => window.len() >= inflight,
            Flow::Snapshot { .. } => true,
        }
    }

    /// What counts towards a commit.
    pub(super) fn counted(&self) -> Seq {
        if self.mute.is_some() {
            Seq(0)
        } else {
            self.matched
        }
    }

    /// RA24: nothing of one that forgot what it said counts, until it holds the entry that was made after
    /// it asked, and says that it counts.
    pub(super) fn hears(&mut self, mute: bool, index: Seq) {
        if mute {
            if self.mute.is_none() {
                self.forget(Seq(u64::MAX));
                self.next = Seq(1);
            }
        } else if self.mute.is_some_and(|shown| index >= shown) {
            self.mute = None;
        }
    }

    /// RA24: it forgot what it said; it counts again once it holds the entry that is made now.
    pub(super) fn forget(&mut self, shown: Seq) {
        self.mute = Some(shown);
        self.matched = Seq(0);
        self.next = shown;
        self.flow = Flow::Probe { sent: false };
    }

    /// A message with entries up to `last`, or none, is under way.
    pub(super) fn sent(&mut self, last: Option<Seq>) {
        match (&mut self.flow, last) {
            (Flow::Probe { sent }, _) => *sent = true,
            (Flow::Replicate(window), Some(last)) => {
                window.push_back(last);
                self.next = last.next();
            }
            (Flow::Replicate(_) | Flow::Snapshot { .. }, _) => {}
        }
    }

    /// The logs agree up to `index`. Whether that says anything new, be it that a probe has come back.
    pub(super) fn agrees(&mut self, index: Seq) -> bool {
        let news = index > self.matched;
        let probed = index == self.matched && matches!(self.flow, Flow::Probe { .. });
        self.matched = self.matched.max(index);
        self.next = self.next.max(index.next());
        if !news && !probed {
            return false;
        }
        match &mut self.flow {
            Flow::Replicate(window) => window.retain(|last| *last > index),
            Flow::Snapshot { index: told, .. } if self.matched < *told => {}
            Flow::Probe { .. } | Flow::Snapshot { .. } => {
                self.flow = Flow::Replicate(VecDeque::new());
                self.next = self.matched.next();
            }
        }
        true
    }

    /// It does not hold the entry at `refused`, and nothing above `hint` can agree. Whether that is news.
    pub(super) fn refuses(&mut self, refused: Seq, hint: Seq) -> bool {
        match &self.flow {
            Flow::Replicate(_) if refused <= self.matched => return false,
            Flow::Replicate(_) => self.probe(),
            Flow::Probe { .. } if self.next.prev() != refused => return false,
            Flow::Probe { .. } => {
                let next = Seq(refused.0.min(hint.0 + 1)).max(self.matched.next());
                if next == self.next {
                    // It denies what it said: the next heartbeat tries again, and not before.
                    return false;
                }
                self.next = next;
                self.flow = Flow::Probe { sent: false };
            }
            Flow::Snapshot { .. } => return false,
        }
        true
    }

    /// Finds out again where the logs part.
    pub(super) fn probe(&mut self) {
        self.next = self.matched.next();
        self.flow = Flow::Probe { sent: false };
    }

    /// It lives: what was waiting for a word of it may go.
    pub(super) fn lives(&mut self, now: Mono, inflight: usize) {
        self.active = true;
        self.heard = now;
        match &mut self.flow {
            Flow::Probe { sent } => *sent = false,
            Flow::Replicate(window) if window.len() >= inflight => {
                window.pop_front();
            }
            Flow::Replicate(_) | Flow::Snapshot { .. } => {}
        }
    }
}
