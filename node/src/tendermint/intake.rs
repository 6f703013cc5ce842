//! What comes in: checked, counted, or kept for later.

use std::{collections::BTreeMap, mem, sync::Arc};

use crate::{
    crypto::{Signable, Signed},
    engine::{Message as _, Outbox, Refusal, Slot, Tale},
    membership::{Committee, Term},
    quorum::{Certificate, Counted, Phase, QuorumRule, Vote},
    types::{Height, NodeId, Seq},
};

use super::{
    Tendermint,
    message::{Decided, NIL, PRECOMMIT, PREVOTE, Polka, Proposal, TendermintMessage},
};

/// Later rounds of which a sender's messages are kept.
const ROUNDS_AHEAD: usize = 2;
/// Messages of the next height that are kept of a sender.
const EARLY: usize = 6;

/// Messages of one sender that wait for their round or height, by round and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(BTreeMap<(u64, u8), TendermintMessage>);

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The latest round that the sender has reached.
    pub(super) fn latest(&self) -> Option<u64> {
        self.0.last_key_value().map(|((round, _), _)| *round)
    }

    fn get(&self, round: u64, code: u8) -> Option<&TendermintMessage> {
        self.0.get(&(round, code))
    }

    /// Keeps a message; of the rounds beyond the limit the lowest go (TM24).
    fn put(&mut self, round: u64, message: TendermintMessage) {
        self.0.insert((round, message.code()), message);
        let mut rounds: Vec<u64> = self.0.keys().map(|(round, _)| *round).collect();
        rounds.dedup();
        if rounds.len() > ROUNDS_AHEAD {
            let lowest = rounds[rounds.len() - ROUNDS_AHEAD];
            self.0 = self.0.split_off(&(lowest, 0));
        }
    }

    /// Takes out what has its round now.
    fn up_to(&mut self, round: u64) -> Vec<TendermintMessage> {
        let later = self.0.split_off(&(round + 1, 0));
        mem::replace(&mut self.0, later).into_values().collect()
    }
}

impl Tendermint {
    pub(super) fn on_message(&mut self, message: &TendermintMessage, out: &mut Outbox<Self>) {
        let result = match message {
            TendermintMessage::Status(report) => self.on_status(report, out),
            TendermintMessage::Proposal(proposal) => self.on_proposal(proposal, out),
            TendermintMessage::Prevote(vote) => self.on_vote(PREVOTE, vote, message, out),
            TendermintMessage::Precommit(vote) => self.on_vote(PRECOMMIT, vote, message, out),
            TendermintMessage::Polka(polka) => self.on_polka(polka, out),
            TendermintMessage::Decided(decided) => self.on_decided(decided, out),
        };
        if let Err(refusal) = result {
            out.refuse(refusal);
        }
    }

    /// Whether the message is about the present height. One about the next is kept.
    fn is_present(&mut self, signer: NodeId, message: &TendermintMessage) -> Result<bool, Refusal> {
        let height = Height(message.slot().seq.0);
        self.peers.heard(signer, height);
        if height < self.height || (height == self.height && self.decided.is_some()) {
            // What comes in while a height is being decided, and right after, is no surprise.
            let late = height.next() >= self.height;
            return late.then_some(false).ok_or(Refusal::Stale);
        }
        if height == self.height {
            return Ok(true);
        }
        let kept = self.early.entry(signer).or_default();
        kept.put(message.slot().view.round(), message.clone());
        if kept.len() > EARLY {
            kept.0.pop_last();
        }
        Ok(false)
    }

    /// Refuses what is about a height beyond the next one. Who signed it is ahead, if it is a member
    /// of any committee that is known here: the one of that height may not be.
    fn refuse_beyond<T: Signable<Signer = NodeId>>(
        &mut self,
        said: &Signed<T>,
        height: Seq,
    ) -> Result<(), Refusal> {
        if height <= self.seq().next() {
            return Ok(());
        }
        let key = self.committees.key(said.signer());
        let key = key.ok_or(Refusal::WrongSender)?;
        if !said.verify(self.key.chain(), key) {
            return Err(Refusal::BadSignature);
        }
        self.peers.heard(said.signer(), Height(height.0));
        Err(Refusal::TooFar)
    }

    /// Who decides the height that a message is about, if its epoch is that height's.
    fn term(&self, slot: Slot) -> Result<&Term, Refusal> {
        let term = self.committees.at(Height(slot.seq.0));
        (term.epoch == slot.view.epoch())
            .then_some(term)
            .ok_or(Refusal::Malformed)
    }

    pub(super) fn take_early(&mut self) -> Vec<TendermintMessage> {
        let kept = mem::take(&mut self.early).into_values();
        kept.flat_map(|kept| kept.0.into_values()).collect()
    }

    fn on_vote(
        &mut self,
        phase: Phase,
        vote: &Signed<Vote>,
        message: &TendermintMessage,
        out: &mut Outbox<Self>,
    ) -> Result<(), Refusal> {
        let said = *vote.body();
        if said.phase != phase {
            return Err(Refusal::Malformed);
        }
        self.refuse_beyond(vote, said.slot)?;
        let committee = &self.term(message.slot())?.committee;
        if !committee.contains(vote.signer()) {
            return Err(Refusal::WrongSender);
        }
        if !committee.verify(vote) {
            return Err(Refusal::BadSignature);
        }
        if !self.is_present(vote.signer(), message)? || self.position.is_none() {
            return Ok(());
        }
        if said.view.round() > self.round {
            let same = |kept: &TendermintMessage| match kept {
                TendermintMessage::Prevote(kept) | TendermintMessage::Precommit(kept) => {
                    *kept.body() == said
                }
                _ => false,
            };
            return self.put_ahead(vote.signer(), message, same, out);
        }
        self.count(vote, out)
    }

    /// Counts a vote of a round that has begun.
    fn count(&mut self, vote: &Signed<Vote>, out: &mut Outbox<Self>) -> Result<(), Refusal> {
        let round = vote.body().view.round();
        let round = self.rounds.entry(round).or_default();
        let votes = if vote.body().phase == PREVOTE {
            &mut round.prevotes
        } else {
            &mut round.precommits
        };
        match votes.add(&self.committee, vote) {
            Counted::New(_) => self.peers.progress = true,
            Counted::Again => {}
            Counted::Conflicting => {
                let slot = super::message::place_of(vote.body());
                self.catch(vote.signer(), slot, out);
                return Err(Refusal::Conflicting);
            }
        }
        Ok(())
    }

    /// TM23: a member contradicted itself.
    fn catch(&mut self, by: NodeId, slot: Slot, out: &mut Outbox<Self>) {
        let round = slot.view.round().min(self.round);
        let caught = &mut self.rounds.entry(round).or_default().caught;
        if caught.insert(by) {
            out.tell(Tale::Equivocation { by, slot });
        }
    }

    /// Keeps a message of a later round (TM9, TM24).
    fn put_ahead(
        &mut self,
        signer: NodeId,
        message: &TendermintMessage,
        same: impl Fn(&TendermintMessage) -> bool,
        out: &mut Outbox<Self>,
    ) -> Result<(), Refusal> {
        let position = self.committee.position(signer).expect("a member");
        let kept = &mut self.ahead[position];
        let (slot, code) = (message.slot(), message.code());
        match kept.get(slot.view.round(), code) {
            None => {
                kept.put(slot.view.round(), message.clone());
                self.peers.progress = true;
            }
            Some(earlier) if same(earlier) => {}
            Some(_) => {
                self.catch(signer, slot, out);
                return Err(Refusal::Conflicting);
            }
        }
        Ok(())
    }

    /// Messages that were kept for rounds up to the present one.
    pub(super) fn take_ahead(&mut self, out: &mut Outbox<Self>) {
        let round = self.round;
        let kept = self.ahead.iter_mut();
        let due: Vec<_> = kept.flat_map(|kept| kept.up_to(round)).collect();
        for message in due {
            self.on_message(&message, out);
        }
    }

    /// TM9.
    pub(super) fn skip(&mut self, out: &mut Outbox<Self>) -> bool {
        let mut latest: Vec<u64> = self.ahead.iter().filter_map(Kept::latest).collect();
        latest.sort_unstable_by(|a, b| b.cmp(a));
        let Some(round) = latest.get(self.committee.weak_quorum() - 1).copied() else {
            return false;
        };
        self.start_round(round, out);
        true
    }

    fn on_proposal(&mut self, said: &Proposal, out: &mut Outbox<Self>) -> Result<(), Refusal> {
        let (claim, signer) = (*said.claim.body(), said.claim.signer());
        self.refuse_beyond(&said.claim, claim.height)?;
        let term = self.term(claim.place())?;
        let (height, round) = (Height(claim.height.0), claim.view.round());
        let turn = height.0.saturating_sub(term.from.0.max(1));
        if term.committee.turn(turn.saturating_add(round)) != signer {
            return Err(Refusal::WrongSender);
        }
        if !term.committee.verify(&said.claim) {
            return Err(Refusal::BadSignature);
        }
        let earlier = claim.valid_round.is_none_or(|valid| valid < round);
        if !earlier || said.block.id() != claim.digest || said.block.header().height != height {
            return Err(Refusal::Malformed);
        }
        if let Some(polka) = &said.polka {
            let vote = polka.vote();
            let right = Some(vote.view.round()) == claim.valid_round
                && (vote.phase, vote.slot) == (PREVOTE, claim.height)
                && vote.view.epoch() == term.epoch
                && vote.digest == claim.digest;
            if !right || !holds(polka, &term.committee) {
                return Err(Refusal::Malformed);
            }
        }
        let message = TendermintMessage::Proposal(said.clone());
        if !self.is_present(signer, &message)? || self.position.is_none() {
            return Ok(());
        }
        if !said.block.is_whole() {
            return Err(Refusal::BadBlock);
        }
        if round > self.round {
            let same = |kept: &TendermintMessage| match kept {
                TendermintMessage::Proposal(kept) => *kept.claim.body() == claim,
                _ => false,
            };
            return self.put_ahead(signer, &message, same, out);
        }
        let known = self.rounds.entry(round).or_default();
        match &known.claim {
            Some(earlier) if *earlier.body() != claim => {
                self.catch(signer, claim.place(), out);
                return Err(Refusal::Conflicting);
            }
            Some(_) => {}
            None => {
                known.claim = Some(said.claim.clone());
                self.peers.progress = true;
            }
        }
        // Of a round that is over only what a quorum stood for can still matter.
        let quorum = self.quorum_size();
        let known = &self.rounds[&round];
        let quorums = [&known.prevotes, &known.precommits].map(|votes| votes.block(quorum));
        if round == self.round || quorums.contains(&Some(claim.digest)) {
            self.blocks.insert(claim.digest, Arc::clone(&said.block));
        }
        if let Some(polka) = &said.polka {
            self.learn_polka(polka);
        }
        Ok(())
    }

    /// Takes a polka of a round that has begun.
    fn learn_polka(&mut self, polka: &Arc<Certificate>) {
        let round = polka.vote().view.round();
        let prevotes = &mut self.rounds.entry(round).or_default().prevotes;
        if prevotes.certify(polka) {
            self.peers.progress = true;
        }
    }

    /// TM17: a polka that was missed. Of a later round it says that a quorum is there (TM9).
    fn on_polka(&mut self, said: &Polka, out: &mut Outbox<Self>) -> Result<(), Refusal> {
        let vote = *said.certificate.vote();
        if !self.is_due(vote.slot)? {
            return Ok(());
        }
        let term = self.term(super::message::place_of(&vote))?;
        let right = vote.phase == PREVOTE && vote.digest != NIL;
        if !right || !holds(&said.certificate, &term.committee) {
            return Err(Refusal::Malformed);
        }
        if let Some(block) = &said.block {
            let height = block.header().height == self.height;
            if block.id() != vote.digest || !height || !block.is_whole() {
                return Err(Refusal::BadBlock);
            }
            self.blocks.insert(block.id(), Arc::clone(block));
        }
        self.learn_polka(&said.certificate);
        if vote.view.round() > self.round {
            self.start_round(vote.view.round(), out);
        }
        Ok(())
    }

    /// TM8, for one who missed the votes.
    fn on_decided(&mut self, said: &Arc<Decided>, out: &mut Outbox<Self>) -> Result<(), Refusal> {
        let vote = *said.certificate.vote();
        if !self.is_due(vote.slot)? {
            return Ok(());
        }
        let term = self.term(super::message::place_of(&vote))?;
        if vote.phase != PRECOMMIT || !holds(&said.certificate, &term.committee) {
            return Err(Refusal::Malformed);
        }
        let header = said.block.header();
        let follows = header.parent == self.head && header.height == self.height;
        if said.block.id() != vote.digest || !follows || !said.block.is_whole() {
            return Err(Refusal::BadBlock);
        }
        self.conclude(Arc::clone(said), out);
        Ok(())
    }

    /// Whether a certificate is about the height that is being decided here.
    fn is_due(&self, slot: Seq) -> Result<bool, Refusal> {
        if self.position.is_none() || slot > self.seq() {
            return Err(Refusal::TooFar);
        }
        Ok(slot == self.seq() && self.decided.is_none())
    }
}

/// Whether a quorum of the committee signed it.
fn holds(certificate: &Certificate, committee: &Committee) -> bool {
    let quorum = QuorumRule::TwoThirds.of(committee.n());
    certificate.verify(committee, quorum).is_ok()
}
