//! When a backup gives up on its primary (R18, R32, R36).
//!
//! The clock of a request starts when it becomes the oldest one that waits here, or when the view
//! begins if that is later. Execution of *other* requests never restarts it, so a censored request
//! ends the view; execution of the oldest hands the clock to the next one, so a correct primary under
//! load, which serves requests about in their order, is not suspected however long its queue is. A
//! second, longer clock runs from a request's arrival: it bounds the primary that is always just fast
//! enough for the first.

use std::time::Duration;

use crate::{
    engine::{Effect, Outbox},
    types::Mono,
};

use super::{Config, Pbft, Timer};

/// After so many doublings in a row the timeouts stop growing.
const MOST_DOUBLINGS: u32 = 20;

/// What the suspicion timer runs on.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Since when the oldest request waits here, and since when it is the oldest.
    oldest: Option<(Mono, Mono)>,
    /// When this view began here.
    entered: Mono,
    /// View changes in a row without a new request executed in between.
    attempts: u32,
    /// What the timer is armed for.
    pub(super) armed: Option<Mono>,
}

fn after(start: Mono, wait: Duration) -> Mono {
    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    Mono(start.0.saturating_add(wait))
}

impl Suspicion {
    /// The host says since when its oldest request waits.
    pub(super) fn oldest_is(&mut self, since: Option<Mono>, now: Mono) {
        self.oldest = since.map(|since| match self.oldest {
            Some((known, became)) if known == since => (since, became),
            _ => (since, now),
        });
    }

    /// Whether a request waits.
    pub(super) fn waits(&self) -> bool {
        self.oldest.is_some()
    }

    /// A view begins.
    pub(super) fn enter(&mut self, now: Mono) {
        self.entered = now;
    }

    /// This replica leaves its view.
    pub(super) fn leave(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        self.armed = None;
    }

    /// A committee begins: nothing is held against its first leader.
    pub(super) fn begin(&mut self, now: Mono) {
        self.attempts = 0;
        self.armed = None;
        self.enter(now);
    }

    /// A request was executed in the current view: timeouts return to their base (R32). A timer that is
    /// armed keeps its stretched deadline until the oldest request is another one: on a slow network the
    /// base would be over already, and a primary that has just shown itself alive would be given up.
    pub(super) fn progress(&mut self) {
        self.attempts = 0;
    }

    /// The base doubled for each view change in a row after the first (R32).
    pub(super) fn stretched(&self, base: Duration) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(MOST_DOUBLINGS);
        base.saturating_mul(1 << doublings)
    }

    /// When the primary will have failed the oldest request.
    pub(super) fn deadline(&self, timeout: Duration, longest: Duration) -> Option<Mono> {
        let (since, became) = self.oldest?;
        let turn = after(became.max(self.entered), self.stretched(timeout));
        let wait = after(since.max(self.entered), self.stretched(longest));
        Some(turn.min(wait))
    }
}

impl Pbft {
    /// Keeps the suspicion timer at the deadline of the oldest request.
    pub(super) fn rearm(&mut self, out: &mut Outbox<Self>) {
        let backup = self.committee.leader(self.view) != self.me;
        let Config {
            request_timeout,
            request_deadline,
            ..
        } = self.config;
        let deadline = self
            .suspicion
            .deadline(request_timeout, request_deadline)
            .filter(|_| self.active && backup && self.speaks());
        if deadline == self.suspicion.armed {
            return;
        }
        self.suspicion.armed = deadline;
        let timer = Timer::Request(self.view);
        out.push(match deadline {
            Some(deadline) => Effect::Arm {
                timer,
                after: Duration::from_nanos(deadline.since(self.now)),
            },
            None => Effect::Disarm(timer),
        });
    }

    /// The suspicion timer went off: the primary has failed, unless the deadline has moved meanwhile.
    pub(super) fn on_request_timer(&mut self, out: &mut Outbox<Self>) {
        let overdue = self
            .suspicion
            .armed
            .take()
            .is_some_and(|deadline| deadline <= self.now);
        if overdue {
            self.start_view_change(self.view.next(), out);
        } else {
            self.rearm(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_nanos(100);
    const LONGEST: Duration = Duration::from_micros(1);

    fn deadline(suspicion: &Suspicion) -> Option<u64> {
        suspicion.deadline(TIMEOUT, LONGEST).map(|at| at.0)
    }

    #[test]
    fn r18_the_clock_of_a_request_starts_when_it_becomes_the_oldest() {
        let mut suspicion = Suspicion::default();
        assert_eq!(deadline(&suspicion), None);
        suspicion.oldest_is(Some(Mono(10)), Mono(10));
        assert_eq!(deadline(&suspicion), Some(110));
        suspicion.oldest_is(Some(Mono(10)), Mono(60));
        assert_eq!(
            deadline(&suspicion),
            Some(110),
            "told again, it is the same request"
        );
        suspicion.oldest_is(Some(Mono(20)), Mono(90));
        assert_eq!(
            deadline(&suspicion),
            Some(190),
            "the next one has its own time"
        );
        suspicion.oldest_is(None, Mono(95));
        assert_eq!(deadline(&suspicion), None);
    }

    #[test]
    fn r36_no_request_waits_longer_than_the_deadline_however_young_the_oldest() {
        let mut suspicion = Suspicion::default();
        suspicion.oldest_is(Some(Mono(5)), Mono(980));
        assert_eq!(deadline(&suspicion), Some(1_005));
        suspicion.enter(Mono(990));
        assert_eq!(
            deadline(&suspicion),
            Some(1_090),
            "a new primary has its own time"
        );
    }

    #[test]
    fn r32_timeouts_double_with_each_view_change_in_a_row_and_never_overflow() {
        let mut suspicion = Suspicion::default();
        for factor in [1, 1, 2, 4, 8] {
            assert_eq!(suspicion.stretched(TIMEOUT), factor * TIMEOUT);
            suspicion.leave();
        }
        suspicion.progress();
        assert_eq!(suspicion.stretched(TIMEOUT), TIMEOUT);
        (0..100).for_each(|_| suspicion.leave());
        assert_eq!(suspicion.stretched(TIMEOUT), TIMEOUT * (1 << 20));
        assert_eq!(suspicion.stretched(Duration::MAX), Duration::MAX);
    }
}
