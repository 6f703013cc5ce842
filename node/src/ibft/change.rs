//! Round changes (IB6, IB7).

use crate::{
    engine::{Outbox, Tale},
    mutant::Mutant,
    quorum::Vote,
    types::{Digest, Height, Seq},
};

use super::{
    Ibft,
    message::{IbftMessage, ROUND_CHANGE, Record},
};

impl Ibft {
    /// IB6: the round has lasted long enough.
    pub(super) fn expire(&mut self, out: &mut Outbox<Self>) {
        if self.deciding.is_none() {
            // That others wait is not known of the next round.
            self.station.engaged = !self.bodies.is_empty();
            self.ask_for_next(out);
        }
    }

    pub(super) fn ask_for_next(&mut self, out: &mut Outbox<Self>) {
        let next = self.station.round.saturating_add(1);
        self.ask_for(next, out);
        self.on_round_change(next, out);
    }

    /// Goes to a later round, waits there and asks for it.
    fn ask_for(&mut self, round: u64, out: &mut Outbox<Self>) {
        self.enter(round, out);
        self.waiting = true;
        if self.planted.is(Mutant::LockDropped) {
            self.lock = None;
        }
        if self.station.speaks() {
            out.tell(Tale::Suspected(self.station.view(round)));
            let vote = self.cast(ROUND_CHANGE, Digest::ZERO, out);
            self.persist(Record::RoundChange(vote.clone()), out);
            self.say(IbftMessage::RoundChange(vote), out);
        }
        self.station.rearm(out);
    }

    fn enter(&mut self, round: u64, out: &mut Outbox<Self>) {
        self.station.enter(round, out);
        self.leave_round();
        let present = self.station.round;
        self.offers = self.offers.split_off(&present);
        self.prepares.prune(present);
        self.commits.prune(present);
        self.changes.prune(present);
    }

    /// IB7: another one has asked for this round.
    pub(super) fn on_round_change(&mut self, round: u64, out: &mut Outbox<Self>) {
        let (present, waits) = (self.station.round, self.waiting);
        let later = round > present;
        let asked = self.changes.round(round);
        let asked = asked.map_or(0, |tally| tally.count(&Digest::ZERO));
        if asked >= self.station.quorum() && (later || (waits && round == present)) {
            if later {
                self.enter(round, out);
            }
            self.waiting = false;
            self.station.engaged = true;
            self.go_on(out);
        } else if asked >= self.station.committee.weak_quorum() && later {
            self.ask_for(round, out);
            self.station.engaged = true;
            self.on_round_change(round, out);
            self.station.rearm(out);
        }
    }

    /// Planted bug (IB9): the timer of a height that is decided still asks for its next round.
    pub(super) fn expire_too_late(&mut self, height: Height, round: u64, out: &mut Outbox<Self>) {
        let vote = Vote {
            phase: ROUND_CHANGE,
            view: self.station.view(round.saturating_add(1)),
            slot: Seq(height.0),
            digest: Digest::ZERO,
        };
        let vote = self.station.sign(vote, out);
        out.broadcast(IbftMessage::RoundChange(vote));
    }
}
