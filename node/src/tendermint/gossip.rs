//! Retransmission: TM16, TM17 and TM18.

use std::sync::Arc;

use crate::{
    crypto::Signed,
    engine::{Effect, Outbox, Refusal},
    types::{Height, Mono, NodeId},
};

use super::{
    Step, Tendermint, Timer,
    message::{Asks, Polka, Proposal, Report, TendermintMessage},
    peers::Pace,
    round::has,
};

/// From then on a silent member is asked every so many intervals.
const SELDOM: u32 = 128;
/// A slow interval is at most 2^7 intervals.
const SLOWEST: u32 = 7;
/// Answers to one machine per status interval at most.
const ANSWERS_PER_INTERVAL: u32 = 16;

/// Whether to ask once more after so many intervals: after 1, 2, 4, … 128, and every 128 from then on.
pub(super) fn is_due(intervals: u32) -> bool {
    intervals.is_power_of_two() || intervals.is_multiple_of(SELDOM)
}

impl Tendermint {
    /// Members that said something about a later height.
    fn beyond(&self) -> usize {
        let heights = self.committee.others(self.me);
        let heights = heights.map(|node| self.peers.height_of(node));
        heights.filter(|height| *height > self.height).count()
    }

    /// Whether this validator waits for something that others may have.
    fn waits(&self) -> bool {
        let deciding = self.step != Step::Wait && self.decided.is_none();
        self.position.is_some()
            && (deciding || self.wonders() || self.beyond() >= self.committee.weak_quorum())
    }

    /// Members that said nothing about the last decided height, and members of the committee before
    /// that may not know that they have left.
    fn silent(&self) -> Vec<NodeId> {
        if self.position.is_none() {
            return Vec::new();
        }
        let last = self.height.prev();
        let silent = |node: &NodeId| self.peers.height_of(*node) < last;
        let mut all: Vec<_> = self.committee.others(self.me).filter(silent).collect();
        if let Some(before) = self.epoch.0.checked_sub(1)
            && let Some(term) = self.committees.term(crate::types::Epoch(before))
        {
            let left = term.committee.others(self.me);
            let left = left.filter(|node| !self.committee.contains(*node));
            all.extend(left.filter(|node| {
                let peer = self.peers.list.get(node).copied().unwrap_or_default();
                peer.height < self.base.prev() && peer.silent < SELDOM
            }));
        }
        all
    }

    /// Arms the status timer when there is something to look for; called at the end of each step.
    pub(super) fn watch(&mut self, out: &mut Outbox<Self>) {
        let interval = self.config.status_interval;
        let (pace, after) = if self.peers.armed == Some(Pace::Fast) {
            return;
        } else if self.waits() {
            (Pace::Fast, interval)
        } else if self.peers.armed.is_some() {
            return;
        } else if self.position.is_none() || !self.silent().is_empty() {
            (Pace::Slow, interval * (1 << self.peers.lull.min(SLOWEST)))
        } else {
            return;
        };
        self.peers.armed = Some(pace);
        let timer = Timer::Status;
        out.push(Effect::Arm { timer, after });
    }

    /// A status interval is over.
    pub(super) fn on_status_timer(&mut self, out: &mut Outbox<Self>) {
        let slow = self.peers.armed.take() == Some(Pace::Slow);
        self.peers.lull = if slow {
            self.peers.lull.saturating_add(1)
        } else {
            0
        };
        let progress = std::mem::take(&mut self.peers.progress);
        if progress || !self.waits() {
            self.peers.idle = 0;
        } else {
            self.peers.idle = self.peers.idle.saturating_add(1);
        }
        let asks = self.peers.idle > 0 && is_due(self.peers.idle);
        // TM21.
        let beyond = self.beyond() >= self.committee.weak_quorum();
        if self.position.is_none() || (asks && beyond && self.peers.idle > 1) {
            out.push(Effect::Behind);
        }
        if asks {
            self.ask_everyone(out);
        }
        self.ask_unreported(out);
        for node in self.silent() {
            let peer = self.peers.list.entry(node).or_default();
            peer.silent = peer.silent.saturating_add(1);
            if (slow || is_due(peer.silent)) && !asks {
                self.report_to(node, Asks::You, 0, out);
            }
        }
    }

    fn report(&mut self, asks: Asks, echo: u64) -> Option<TendermintMessage> {
        // A machine that never was a member has no key that anyone would know.
        self.committees.key(self.me)?;
        self.peers.attempt = self.peers.attempt.wrapping_add(1);
        let n = self.committee.n();
        let round = self.rounds.entry(self.round).or_default();
        let held = round.claim.as_ref().map(|claim| claim.body().digest);
        let (prevotes, precommits) = (round.prevotes.bits(n), round.precommits.bits(n));
        let rounds = self.rounds.keys().rev();
        let known = |round: u64| {
            let digest = self.polka(round);
            digest.is_some_and(|digest| self.blocks.contains_key(&digest))
        };
        let polka = rounds.copied().find(|round| known(*round));
        let report = Report {
            height: self.seq(),
            view: self.view(self.round),
            polka,
            proposal: held,
            prevotes,
            precommits,
            asks,
            attempt: self.peers.attempt,
            echo,
        };
        let signed = self.key.sign(self.me, report);
        Some(TendermintMessage::Status(Arc::new(signed)))
    }

    pub(super) fn ask_everyone(&mut self, out: &mut Outbox<Self>) {
        if self.position.is_some()
            && let Some(report) = self.report(Asks::Everyone, 0)
        {
            out.work.signatures += 1;
            out.broadcast(report);
        }
    }

    /// TM20: asks the members that have not said where they stand.
    pub(super) fn ask_unreported(&mut self, out: &mut Outbox<Self>) {
        if self.position.is_some() {
            for node in self.unreported() {
                self.report_to(node, Asks::You, 0, out);
            }
        }
    }

    fn report_to(&mut self, node: NodeId, asks: Asks, echo: u64, out: &mut Outbox<Self>) {
        if let Some(report) = self.report(asks, echo) {
            out.work.signatures += 1;
            out.send(node, report);
        }
    }

    /// Somebody says where it stands.
    pub(super) fn on_status(
        &mut self,
        said: &Arc<Signed<Report>>,
        out: &mut Outbox<Self>,
    ) -> Result<(), Refusal> {
        let (report, node) = (said.body(), said.signer());
        let Some(key) = self.committees.key(node) else {
            return Err(Refusal::WrongSender);
        };
        if !said.verify(self.key.chain(), key) {
            return Err(Refusal::BadSignature);
        }
        let theirs = Height(report.height.0);
        self.peers.heard(node, theirs);
        let interval = self.config.status_interval.as_nanos() as u64;
        let now = self.now;
        let peer = self.peers.list.entry(node).or_default();
        if now.since(peer.answered.0) >= interval || peer.answered.0 == Mono(0) {
            peer.answered = (now, 0);
        }
        if peer.answered.1 >= ANSWERS_PER_INTERVAL {
            return Err(Refusal::TooFar);
        }
        peer.answered.1 += 1;
        self.learn_horizon(node, report, out);
        if self.position.is_some() && theirs < self.height {
            self.send_decisions(node, theirs, report, out);
        } else if theirs == self.height && self.decided.is_none() {
            self.send_votes(node, report, out);
        }
        if report.asks == Asks::You {
            self.report_to(node, Asks::Nobody, report.attempt, out);
        }
        Ok(())
    }

    /// Whether it is this member's turn to answer: f+1 of the others are, others at each attempt.
    fn is_turn(&self, asker: NodeId, report: &Report) -> bool {
        let others: Vec<NodeId> = self.committee.others(asker).collect();
        let (Some(place), count) = (
            others.iter().position(|node| *node == self.me),
            others.len() as u64,
        ) else {
            return false;
        };
        let turns = self.committee.weak_quorum() as u64;
        let first = (report.height.0 % count + report.attempt % count * turns) % count;
        (place as u64 + count - first) % count < turns
    }

    /// To one that lacks a decision; if it lacks too many, it learns at least that there are more.
    fn send_decisions(
        &mut self,
        node: NodeId,
        theirs: Height,
        report: &Report,
        out: &mut Outbox<Self>,
    ) {
        if !self.decisions.contains_key(&theirs) {
            if report.asks == Asks::Everyone {
                self.report_to(node, Asks::Nobody, report.attempt, out);
            }
        } else if self.is_turn(node, report) {
            for decision in self.decisions.range(theirs..).map(|(_, decision)| decision) {
                out.send(node, TendermintMessage::Decided(Arc::clone(decision)));
            }
        }
    }

    /// To one in the same height: what it lacks in its round, and what shows it that we are further.
    fn send_votes(&self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        if report.asks == Asks::Nobody || report.view.epoch() != self.epoch {
            return;
        }
        let theirs = report.view.round();
        let turn = self.is_turn(node, report);
        if self.relays() {
            self.send_polka(node, report, out);
        }
        let mut rounds = vec![theirs, self.round];
        rounds.dedup();
        for round in rounds.into_iter().filter(|round| *round <= self.round) {
            self.send_round(node, round, (round == theirs).then_some(report), turn, out);
        }
    }

    fn send_polka(&self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        let quorum = self.quorum_size();
        let later = |round: &&u64| report.polka.is_none_or(|theirs| **round > theirs);
        let mut rounds = self.rounds.keys().rev().take_while(later);
        let Some(round) = rounds.find(|round| self.polka(**round).is_some()) else {
            return;
        };
        let certificate = self.rounds[round].prevotes.certificate(quorum);
        let certificate = certificate.expect("a polka");
        let digest = certificate.vote().digest;
        let held = report.proposal == Some(digest);
        let block = self.blocks.get(&digest).filter(|_| !held).cloned();
        let polka = Polka { certificate, block };
        out.send(node, TendermintMessage::Polka(polka));
    }

    /// Sends what is here of a round and not in the report, if there is one: own votes always, all
    /// else when it is this member's turn.
    fn send_round(
        &self,
        node: NodeId,
        number: u64,
        report: Option<&Report>,
        turn: bool,
        out: &mut Outbox<Self>,
    ) {
        let Some(round) = self.rounds.get(&number) else {
            return;
        };
        let holds = report.and_then(|report| report.proposal);
        let mine = self.proposer(number) == self.me;
        if let Some(claim) = &round.claim
            && holds.is_none()
            && (mine || turn)
            && let Some(block) = self.blocks.get(&claim.body().digest)
        {
            let valid = claim.body().valid_round.filter(|_| self.relays());
            let valid = valid.and_then(|valid| self.rounds.get(&valid));
            let polka = valid.and_then(|round| round.prevotes.certificate(self.quorum_size()));
            let polka = polka.filter(|polka| polka.vote().digest == claim.body().digest);
            let proposal = Proposal {
                claim: claim.clone(),
                block: Arc::clone(block),
                polka,
            };
            out.send(node, TendermintMessage::Proposal(proposal));
        }
        for position in 0..self.committee.n() {
            let own = Some(position) == self.position;
            if !(own || turn && self.relays()) {
                continue;
            }
            let lacks = |bits: fn(&Report) -> &[u8]| {
                report.is_none_or(|report| !has(bits(report), position))
            };
            if let Some(vote) = round.prevotes.of(position)
                && lacks(|report| &report.prevotes)
            {
                out.send(node, TendermintMessage::Prevote(vote.clone()));
            }
            if let Some(vote) = round.precommits.of(position)
                && lacks(|report| &report.precommits)
            {
                out.send(node, TendermintMessage::Precommit(vote.clone()));
            }
        }
    }
}
