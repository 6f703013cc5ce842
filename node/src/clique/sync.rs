//! How chains that differ find out and catch up: STATUS, FETCH, BODY.

use std::time::Duration;

use super::{
    Clique, CliqueMessage, CliqueTimer,
    message::{HeadStatus, Locator},
    tree::{BATCH, LOCATOR},
};
use crate::{
    engine::{Effect, Outbox, Refusal},
    sealed::SealedBlock,
    types::{BlockId, LocalTime, Mono, NodeId},
};

/// With period 0 there is no period to count silence in; this serves.
pub const IDLE_BEAT: Duration = Duration::from_secs(1);
/// How long an answer to FETCH may take before somebody else is asked.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetching {
    peer: NodeId,
    target: BlockId,
    asked: Mono,
    /// An answer is being worked through.
    answered: bool,
    /// It brought at least one new block.
    progressed: bool,
}

impl Clique {
    /// How often silence is looked for.
    fn beat_length(&self) -> Duration {
        if self.rules.period.is_zero() {
            IDLE_BEAT
        } else {
            self.rules.period
        }
    }

    pub(super) fn arm_beat(&self, out: &mut Outbox<Self>) {
        out.push(Effect::Arm {
            timer: CliqueTimer::Beat,
            after: self.beat_length(),
        });
    }

    /// Nothing new for two periods: says where we are, so that a healed partition is noticed.
    pub(super) fn beat(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let silence = 2 * self.beat_length().as_nanos() as u64;
        if now.mono.since(self.heard) >= silence {
            out.broadcast(CliqueMessage::Status(self.tree.head()));
        }
        self.want(now, out);
        self.arm_beat(out);
    }

    /// STATUS: whoever has the lighter chain learns of the heavier one.
    pub(super) fn compare(
        &mut self,
        now: LocalTime,
        from: NodeId,
        theirs: &HeadStatus,
        out: &mut Outbox<Self>,
    ) {
        let ours = self.tree.head();
        if !self.rules.committee.contains(from) {
            out.refuse(Refusal::WrongSender);
        } else if theirs.total_difficulty < ours.total_difficulty {
            out.send(from, CliqueMessage::Status(ours));
        } else if self.tree.contains(&theirs.head) {
            // The same chain, or a false claim about a block that we have weighed ourselves.
        } else if theirs.total_difficulty > ours.total_difficulty
            || self.fork_choice.looks_at_equals()
        {
            self.fetch(now, from, theirs.head, out);
        }
    }

    /// A peer sent us as news a block on a chain that is lighter than ours: says so.
    pub(super) fn correct(&self, from: NodeId, block: &BlockId, out: &mut Outbox<Self>) {
        let ours = self.tree.head();
        let theirs = self.tree.status(block).expect("just inserted");
        if theirs.total_difficulty < ours.total_difficulty {
            out.send(from, CliqueMessage::Status(ours));
        }
    }

    /// Asks for a branch, unless an answer may still be on its way.
    pub(super) fn fetch(
        &mut self,
        now: LocalTime,
        peer: NodeId,
        target: BlockId,
        out: &mut Outbox<Self>,
    ) {
        let patience = PATIENCE.as_nanos() as u64;
        let waiting = |fetching: Fetching| now.mono.since(fetching.asked) < patience;
        if peer == self.me || self.fetching.is_some_and(waiting) {
            return;
        }
        self.fetching = Some(Fetching {
            peer,
            target,
            asked: now.mono,
            answered: false,
            progressed: false,
        });
        out.send(peer, CliqueMessage::Fetch(self.tree.locator(target)));
    }

    /// BODY: blocks speak for themselves, whoever was asked.
    pub(super) fn body(
        &mut self,
        now: LocalTime,
        from: NodeId,
        list: &[SealedBlock],
        out: &mut Outbox<Self>,
    ) {
        if list.len() > BATCH {
            out.refuse(Refusal::Malformed);
            return;
        }
        if let Some(fetching) = self
            .fetching
            .as_mut()
            .filter(|fetching| fetching.peer == from)
        {
            fetching.answered = true;
        }
        for sealed in list {
            self.admit(from, sealed, false, out);
        }
        self.pump(now, out);
    }

    /// A block was inserted.
    pub(super) fn progress(&mut self) {
        if let Some(fetching) = &mut self.fetching {
            fetching.progressed = true;
        }
    }

    /// Everything that came was worked through: asks for the rest of the branch, if it is long and the
    /// peer was of help.
    pub(super) fn fetch_on(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let Some(fetching) = self.fetching else {
            return;
        };
        if self.tree.contains(&fetching.target) {
            self.fetching = None;
        } else if fetching.answered {
            self.fetching = None;
            if fetching.progressed {
                self.fetch(now, fetching.peer, fetching.target, out);
            }
        }
    }

    /// FETCH.
    pub(super) fn hand_out(&self, from: NodeId, locator: &Locator, out: &mut Outbox<Self>) {
        if !self.rules.committee.contains(from) {
            out.refuse(Refusal::WrongSender);
            return;
        }
        if locator.have.len() > LOCATOR {
            out.refuse(Refusal::Malformed);
            return;
        }
        let missing = self.tree.missing(locator);
        if !missing.is_empty() {
            out.send(from, CliqueMessage::Body(missing));
        }
    }
}
