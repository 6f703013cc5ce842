//! Starting again (QB12, QB13).
//!
//! The records of the present height, in their order, put a validator where it was: in a round, with a
//! proposal accepted in it, with what it prepared. Its votes follow from them, and saying them again
//! contradicts nothing. Records of lower heights wait for their truncation and are void.

use std::sync::Arc;

use crate::{
    block::Finality,
    crypto::Signed,
    engine::{Effect, Outbox, Record as _, Recovery, Tale, Tip},
    quorum::{Phase, Vote},
    rounds::{COMMIT, PREPARE},
    types::Seq,
};

use super::{
    Prepared, Qbft,
    message::{Proposal, QbftMessage, Record},
};

impl Qbft {
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
        self.station.ask_around(out);
        self.decide(out);
        self.go_on(out);
    }

    fn replay(&mut self, record: &Record, out: &mut Outbox<Self>) {
        match record {
            Record::Accepted(proposal) => self.replay_accepted(proposal, out),
            Record::Prepared(certificate) => {
                let digest = certificate.vote().digest;
                let mut bodies = self.bodies.values();
                let block = bodies.find(|block| block.id() == digest).cloned();
                self.prepared = Some(Prepared {
                    certificate: certificate.clone(),
                    block: block.expect("what was prepared was accepted"),
                });
                self.committed = true;
                let vote = self.recast(COMMIT, certificate.vote(), out);
                self.said.push(QbftMessage::Commit(vote));
            }
            Record::RoundChange(said) => {
                self.station.round = said.change.body().view.round();
                self.leave_round();
                if self.station.is_member() {
                    self.keep_own(said);
                    out.tell(Tale::Suspected(said.change.body().view));
                }
                self.said.push(QbftMessage::RoundChange(Arc::clone(said)));
            }
            Record::Mute => {}
        }
    }

    fn replay_accepted(&mut self, proposal: &Arc<Proposal>, out: &mut Outbox<Self>) {
        if proposal.round() > self.station.round {
            self.station.round = proposal.round();
            self.leave_round();
        }
        let block = Arc::clone(&proposal.block);
        // The host has to know it again, should it be built on.
        out.push(Effect::Validate(Arc::clone(&block)));
        self.bodies.insert(proposal.round(), block);
        self.offered = Some(Arc::clone(proposal));
        self.accepted = Some(Arc::clone(proposal));
        if proposal.claim.signer() == self.station.me {
            self.said.push(QbftMessage::Proposal(Arc::clone(proposal)));
        }
        let vote = self.recast(PREPARE, proposal.claim.body(), out);
        self.said.push(QbftMessage::Prepare(vote));
    }

    /// A vote that was cast before: the same again.
    fn recast(&mut self, phase: Phase, about: &Vote, out: &mut Outbox<Self>) -> Signed<Vote> {
        let vote = self.station.vote(phase, about.digest, out);
        let ballots = if phase == PREPARE {
            &mut self.prepares
        } else {
            &mut self.commits
        };
        let counted = ballots.add(&self.station.committee, &vote, self.station.round);
        debug_assert!(counted.is_ok(), "one's own round is in reach");
        out.tell(Tale::Voted(*vote.body()));
        vote
    }
}
