//! Starting again (IB11).
//!
//! The records of the present height, in their order, put a validator where it was: in a round, waiting or
//! not, with a proposal accepted, votes cast, a lock. Saying its votes again contradicts nothing. Records of
//! lower heights wait for their truncation and are void.

use std::sync::Arc;

use crate::{
    block::Finality,
    crypto::Signed,
    engine::{Effect, Outbox, Record as _, Recovery, Tale, Tip},
    quorum::Vote,
    rounds::{COMMIT, PREPARE},
    types::Seq,
};

use super::{
    Ibft,
    message::{IbftMessage, PrePrepare, ROUND_CHANGE, Record},
};

impl Ibft {
    pub(super) fn recover(
        &mut self,
        disk: Recovery,
        records: &[Record],
        tip: Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        self.station.stand_on(tip.block.header(), tip.block.id());
        if let Some(Finality::Certificate(certificate)) = tip.proof.map(|proof| &**proof) {
            self.station.remember(certificate.clone());
        }
        self.reset();
        let muted = records.iter().any(|record| matches!(record, Record::Mute));
        if disk == Recovery::Lost || muted {
            // Never an empty log, which would be that of one that has said nothing.
            out.push(Effect::Truncate(vec![Record::Mute]));
            out.push(Effect::Persist(Record::Mute));
            self.station.fall_mute(out);
        } else {
            let height = Seq(self.station.height.0);
            for record in records
                .iter()
                .filter(|record| record.label().1.seq == height)
            {
                self.replay(record, out);
            }
        }
        self.logged = !records.is_empty();
        self.station.start(out);
        self.station.engaged = !self.bodies.is_empty();
        self.say_again(out);
        self.vote_after_all(out);
        self.station.ask_around(out);
        self.decide(out);
        self.go_on(out);
    }

    fn replay(&mut self, record: &Record, out: &mut Outbox<Self>) {
        match record {
            Record::Accepted(said) => self.replay_accepted(said, out),
            Record::Prepare(vote) => {
                self.recount(vote, out);
                self.said.push(IbftMessage::Prepare(vote.clone()));
            }
            Record::Commit(vote) => {
                let digest = vote.body().digest;
                let mut bodies = self.bodies.values();
                self.lock = bodies.find(|block| block.id() == digest).cloned();
                self.committed = true;
                self.recount(vote, out);
                self.said.push(IbftMessage::Commit(vote.clone()));
            }
            Record::RoundChange(vote) => {
                self.station.round = vote.body().view.round();
                self.leave_round();
                self.waiting = true;
                out.tell(Tale::Suspected(vote.body().view));
                self.recount(vote, out);
                self.said.push(IbftMessage::RoundChange(vote.clone()));
            }
            Record::Mute => {}
        }
    }

    fn replay_accepted(&mut self, said: &Arc<PrePrepare>, out: &mut Outbox<Self>) {
        let round = said.round();
        if round > self.station.round {
            self.station.round = round;
            self.leave_round();
        }
        self.waiting = false;
        // The host has to know it again, should it be built on.
        out.push(Effect::Validate(Arc::clone(&said.block)));
        self.bodies.insert(round, Arc::clone(&said.block));
        self.offers.insert(round, Arc::clone(said));
        self.accepted = Some(Arc::clone(said));
        if said.claim.signer() == self.station.me {
            self.said.push(IbftMessage::PrePrepare(Arc::clone(said)));
        }
    }

    /// It may have accepted a proposal and crashed before it voted.
    fn vote_after_all(&mut self, out: &mut Outbox<Self>) {
        let Some(accepted) = self.accepted.clone().filter(|_| self.station.speaks()) else {
            return;
        };
        let round = self.prepares.round(self.station.round);
        let mine = self.station.committee.position(self.station.me);
        let voted = mine.and_then(|mine| round?.vote_of(mine)).is_some();
        if !voted && !self.committed {
            self.agree(&accepted, out);
        }
    }

    /// Counts a vote that was cast before.
    fn recount(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let phase = vote.body().phase;
        debug_assert!([PREPARE, COMMIT, ROUND_CHANGE].contains(&phase), "a vote");
        self.count(phase, vote);
        out.tell(Tale::Voted(*vote.body()));
    }
}
