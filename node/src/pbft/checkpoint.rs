//! Checkpoints and watermarks (OSDI'99 §4.3; R13–R17).

use std::collections::BTreeMap;

use crate::{
    codec,
    crypto::Signed,
    engine::{Effect, Outbox, Refusal, Slot, Tale},
    membership::Committee,
    mutant::Mutant,
    quorum::{Certificate, Counted, Tally, Vote},
    types::{Digest, Seq, View},
};

use super::{
    Pbft,
    message::{CHECKPOINT, PbftMessage, Record},
};

/// Votes about states.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// For each checkpoint between the watermarks.
    tallies: BTreeMap<Seq, Tally>,
    /// By position in the committee: the highest vote of each member above the high watermark.
    ahead: Vec<Option<Signed<Vote>>>,
    /// Proof of the low watermark; `None` at the base of the epoch.
    pub(super) stable: Option<Certificate>,
}

impl Checkpoints {
    pub(super) fn new(n: usize) -> Self {
        Self {
            tallies: BTreeMap::new(),
            ahead: vec![None; n],
            stable: None,
        }
    }

    /// Counts this replica's own vote of an earlier life.
    pub(super) fn remember(&mut self, committee: &Committee, vote: &Signed<Vote>) {
        let tally = self.tallies.entry(vote.body().slot).or_default();
        tally.add(committee, vote);
    }

    /// A checkpoint that was stable in an earlier life.
    pub(super) fn remember_stable(&mut self, certificate: Certificate) {
        let seq = certificate.vote().slot;
        self.tallies = self.tallies.split_off(&seq.next());
        self.stable = Some(certificate);
    }

    /// The votes of the member at `position` for checkpoints that are not stable yet.
    pub(super) fn votes_of(&self, position: usize) -> impl Iterator<Item = &Signed<Vote>> {
        self.tallies
            .values()
            .filter_map(move |tally| tally.vote_of(position))
    }

    /// The highest checkpoint above the window that f+1 members claim: one of them is honest.
    fn claimed_by(&self, weak_quorum: usize) -> Option<Seq> {
        let mut claims: Vec<Seq> = self.ahead.iter().flatten().map(|v| v.body().slot).collect();
        claims.sort_unstable_by(|a, b| b.cmp(a));
        claims.get(weak_quorum - 1).copied()
    }
}

impl Pbft {
    /// §4.3: upon executing a slot whose number is a multiple of K, says CHECKPOINT. The digest
    /// covers slot, head and results; replay windows are part of the state root (R13).
    pub(super) fn take_checkpoint(&mut self, seq: Seq, out: &mut Outbox<Self>) {
        if seq <= self.log.low() || self.position.is_none() {
            return;
        }
        let vote = Vote {
            phase: CHECKPOINT,
            view: View::first_of(self.epoch()),
            slot: seq,
            digest: self.state_after(seq, out),
        };
        let signed = self.sign(vote, out);
        out.push(Effect::Persist(Record::Checkpoint(signed.clone())));
        out.tell(Tale::Voted(vote));
        out.broadcast(PbftMessage::Checkpoint(signed.clone()));
        self.count_checkpoint(&signed, out);
        if self.planted.is(Mutant::CollectedBeforeStable) && seq > self.log.low() {
            self.log.raise(seq, self.executed);
        }
    }

    /// Digest of this replica's state, if `seq` is the last slot that led to it.
    pub(super) fn state_after(&self, seq: Seq, out: &mut Outbox<Self>) -> Digest {
        let state = (
            seq,
            self.head,
            self.results.height,
            self.results.state_root,
            self.results.receipts_root,
        );
        out.work.hashed_bytes += 8 + 32 + 8 + 32 + 32;
        codec::digest("checkpoint", &state)
    }

    /// §4.3: upon receiving CHECKPOINT (R14).
    pub(super) fn on_checkpoint(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let body = vote.body();
        let multiple = body.slot.0.is_multiple_of(self.config.checkpoint_interval);
        if body.phase != CHECKPOINT || body.view.round() != 0 || !multiple {
            return out.refuse(Refusal::Malformed);
        }
        if body.view.epoch() != self.epoch() {
            return self.refuse_other_epoch(body.view, out);
        }
        let Some(position) = self.committee.position(vote.signer()) else {
            return out.refuse(Refusal::WrongSender);
        };
        if vote.signer() == self.me {
            return out.refuse(Refusal::WrongSender);
        }
        if !self.committee.verify(vote) {
            return out.refuse(Refusal::BadSignature);
        }
        self.peers.heard(position, body.slot);
        if body.slot <= self.log.low() {
            return out.refuse(Refusal::Stale);
        }
        if body.slot <= self.log.high() {
            return self.count_checkpoint(vote, out);
        }
        // R17, R37: of what lies above the window, the newest word of each member.
        let known = &mut self.checkpoints.ahead[position];
        if known
            .as_ref()
            .is_some_and(|known| known.body().slot >= body.slot)
        {
            return out.refuse(Refusal::Stale);
        }
        *known = Some(vote.clone());
        let (body, quorum) = (*body, self.rules().checkpoints());
        let same = |vote: &&Signed<Vote>| *vote.body() == body;
        let agreeing = self.checkpoints.ahead.iter().flatten().filter(same);
        if agreeing.clone().count() >= quorum
            && let Some(certificate) = Certificate::collect(agreeing)
        {
            return self.stable(certificate, out);
        }
        if let Some(seq) = self.checkpoints.claimed_by(self.committee.weak_quorum()) {
            self.log.touch(seq);
            out.push(Effect::Behind);
        }
    }

    fn count_checkpoint(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) {
        let Vote {
            slot: seq, digest, ..
        } = *vote.body();
        let quorum = self.rules().checkpoints();
        let tally = self.checkpoints.tallies.entry(seq).or_default();
        match tally.add(&self.committee, vote) {
            Counted::Again => out.refuse(Refusal::Stale),
            Counted::Conflicting => {
                let view = View::first_of(self.epoch());
                let slot = Slot { view, seq };
                out.tell(Tale::Equivocation {
                    by: vote.signer(),
                    slot,
                });
                out.refuse(Refusal::Conflicting);
            }
            Counted::New(count) => {
                if count >= self.committee.weak_quorum() {
                    self.log.touch(seq);
                }
                if let Some(certificate) = tally.certificate(&digest, quorum) {
                    self.stable(certificate, out);
                }
            }
        }
    }

    /// Upon receiving the certificate of a stable checkpoint, in an answer to a STATUS.
    pub(super) fn on_stable(&mut self, certificate: &Certificate, out: &mut Outbox<Self>) {
        let seq = certificate.vote().slot;
        if certificate.vote().view.epoch() != self.epoch() {
            return self.refuse_other_epoch(certificate.vote().view, out);
        }
        if !super::choice::proves_checkpoint(certificate, seq, self.rules()) {
            return out.refuse(Refusal::Malformed);
        }
        if seq <= self.log.low() {
            return out.refuse(Refusal::Stale);
        }
        self.stable(certificate.clone(), out);
    }

    /// §4.3: a checkpoint is stable: the watermarks move, by a certificate and by nothing else (R15,
    /// R16), and older slots go. Known limit: a replica whose own CHECKPOINT says otherwise (its execution
    /// went astray) does not notice here; the observers of state roots do.
    pub(super) fn stable(&mut self, certificate: Certificate, out: &mut Outbox<Self>) {
        let Vote {
            slot: seq, digest, ..
        } = *certificate.vote();
        if seq > self.log.low() || !self.planted.is(Mutant::CollectedBeforeStable) {
            self.log.raise(seq, self.executed);
        }
        self.committed = self.committed.max(seq);
        self.missing.retain(|slot, _| *slot > seq);
        self.checkpoints.tallies = self.checkpoints.tallies.split_off(&seq.next());
        out.tell(Tale::Stable { seq, digest });
        self.checkpoints.stable = Some(certificate);
        self.speak_again(out);
        self.shorten = true;
        let high = self.log.high();
        let mut within = Vec::new();
        for known in &mut self.checkpoints.ahead {
            within.extend(known.take_if(|vote| vote.body().slot <= high));
        }
        for vote in within {
            if vote.body().slot > self.log.low() {
                self.count_checkpoint(&vote, out);
            }
        }
        self.skip_to_stable(out);
        self.release_early(out);
        self.advance(out);
    }
}
