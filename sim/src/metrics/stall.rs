//! Times in which work was pending and nothing became final.

use std::time::Duration;

use crate::time::Time;

/// A time in which work waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gap {
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Gap {
    /// How long it lasted from `start` on.
    pub(super) fn since(self, start: Time) -> Duration {
        self.to.since(self.from.max(start))
    }
}

/// Watches for stalls.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Stall {
    /// Transactions sent and without a fate.
    pending: u64,
    /// The last progress, or when work began to be pending.
    since: Time,
}

impl Stall {
    /// A transaction left its gateway for the first time.
    pub(super) fn sent(&mut self, at: Time) {
        if self.pending == 0 {
            self.since = at;
        }
        self.pending += 1;
    }

    /// One became final: a gap ends, and the next begins if there is more.
    pub(super) fn progressed(&mut self, at: Time) -> Gap {
        let gap = Gap {
            from: self.since,
            to: at,
        };
        self.pending -= 1;
        self.since = at;
        gap
    }

    /// One will never be ordered, which is no progress.
    pub(super) fn dropped(&mut self) {
        self.pending -= 1;
    }

    /// The gap that is still open, if work is pending.
    pub(super) fn open(&self, now: Time) -> Option<Gap> {
        (self.pending > 0).then_some(Gap {
            from: self.since,
            to: now,
        })
    }
}
