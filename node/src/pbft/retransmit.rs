//! Retransmission (R34) and fetching of bodies (R41).
//!
//! A replica that waits for something and made no progress for a while says where it stands; whoever
//! is ahead sends what it lacks. A replica that has heard nothing of a member about what it executed
//! asks that member where it stands, ever more seldom. When nobody lacks anything nobody says anything.

use std::{sync::Arc, time::Duration};

use crate::{
    block::Block,
    crypto::Signed,
    engine::{Effect, Outbox, Refusal},
    mutant::Mutant,
    types::{Digest, Mono, NodeId, Seq},
};

use super::{
    Pbft, Timer,
    log::{Chosen, Place, SlotState, Standing},
    message::{Asks, COMMIT, Decided, Fetch, Lacks, PbftMessage, PrePrepare, Report},
};

/// Slots that one answer covers at most.
const ANSWER_SLOTS: u64 = 32;
/// Answers to one member per status interval at most; the rest is refused (R37).
const ANSWERS_PER_INTERVAL: u64 = 16;
/// From then on a silent member is asked every so many intervals.
const SELDOM: u32 = 32;

/// Whether to ask once more after so many intervals: after 1, 2, 4, … 32, and every 32 from then on.
fn is_due(intervals: u32) -> bool {
    intervals.is_power_of_two() || intervals.is_multiple_of(SELDOM)
}

impl Pbft {
    /// Whether this replica waits for something that others may have. A view change on its own is
    /// nothing to wait for: once there is work, somebody waits for that.
    fn waits(&self) -> bool {
        self.suspicion.waits()
            || self.wonders()
            || self.log.highest > self.executed
            || !self.missing.is_empty()
            || self.executed.0 - self.executed.0 % self.config.checkpoint_interval
                > self.log.low().0
            // One of f+1 is honest: the others are really ahead.
            || self.early.senders() >= self.committee.weak_quorum()
            || self.peers.are_beyond(self.epoch(), self.committee.weak_quorum())
            // Nobody sends anything to those who only observe.
            || self.position.is_none()
    }

    /// Arms the status timer, unless it is armed.
    pub(super) fn watch(&mut self, out: &mut Outbox<Self>) {
        if !self.peers.armed {
            self.peers.looked = (self.now, self.executed);
            self.arm_status(self.config.status_interval.as_nanos() as u64, out);
        }
    }

    fn arm_status(&mut self, after_ns: u64, out: &mut Outbox<Self>) {
        self.peers.armed = true;
        out.push(Effect::Arm {
            timer: Timer::Status,
            after: Duration::from_nanos(after_ns),
        });
    }

    /// Notes whether there is something to wait for; called at the end of each step.
    pub(super) fn watch_if_waiting(&mut self, out: &mut Outbox<Self>) {
        if !self.waits() {
            self.peers.since = None;
        } else if self.peers.since.is_none() {
            self.peers.since = Some(self.now);
            self.watch(out);
        }
    }

    /// A status interval is over.
    pub(super) fn on_status_timer(&mut self, out: &mut Outbox<Self>) {
        let interval = self.config.status_interval.as_nanos() as u64;
        let now = self.now;
        let left = |since: Mono| interval.saturating_sub(now.since(since));
        self.peers.armed = false;
        let stuck = self.peers.since.is_some_and(|since| left(since) == 0);
        if stuck {
            self.peers.since = Some(now);
            self.peers.idle = self.peers.idle.saturating_add(1);
        }
        let observes = self.position.is_none();
        let asks = stuck && (!observes || is_due(self.peers.idle));
        if asks {
            self.fetch_missing(out);
            self.ask_everyone(out);
            // The others have what this replica lacks, and did not send it for an interval.
            let theirs = self.peers.executed_by(self.committee.weak_quorum());
            let next = self.executed.next();
            let beyond = theirs.max(self.log.low()) > self.executed;
            if observes || (beyond && !self.log.chosen.contains_key(&next)) {
                out.push(Effect::Behind);
            }
        }
        if left(self.peers.looked.0) == 0 && !observes {
            // Progress does not tell a mute replica how much it may have signed: it asks until it knows.
            if self.wonders() && !stuck {
                self.ask_each(out);
            }
            self.look_after_the_silent(stuck, out);
            self.peers.looked = (now, self.executed);
        }
        let waiting = self.peers.since.map(left);
        let me = self.position;
        let mut others = self.peers.list.iter().enumerate();
        let behind = others.any(|(i, peer)| Some(i) != me && peer.known < self.executed);
        let behind = !observes && (behind || self.peers.lingering(self.epoch()).next().is_some());
        let looking = behind.then(|| left(self.peers.looked.0));
        if let Some(next) = waiting.into_iter().chain(looking).min() {
            self.arm_status(next, out);
        }
    }

    /// Asks the members where they stand that said nothing for an interval about what was executed
    /// here, unless everyone was asked just now.
    fn look_after_the_silent(&mut self, asked: bool, out: &mut Outbox<Self>) {
        let me = self.position;
        for position in (0..self.peers.list.len()).filter(|position| Some(*position) != me) {
            let peer = &mut self.peers.list[position];
            if peer.known >= self.peers.looked.1 {
                peer.silent = 0;
                continue;
            }
            peer.silent = peer.silent.saturating_add(1);
            if is_due(peer.silent) && !asked {
                let node = self.node_at(position);
                self.report_to(node, Asks::You, 0, out);
            }
        }
        let mut due = Vec::new();
        let epoch = self.epoch();
        for (node, peer) in self.peers.lingering(epoch) {
            peer.silent = peer.silent.saturating_add(1);
            due.extend(is_due(peer.silent).then_some(node));
        }
        for node in due {
            self.report_to(node, Asks::You, 0, out);
        }
    }

    fn node_at(&self, position: usize) -> NodeId {
        self.committee
            .nodes()
            .nth(position)
            .expect("a position in the committee")
    }

    pub(super) fn ask_everyone(&mut self, out: &mut Outbox<Self>) {
        self.peers.attempt = self.peers.attempt.wrapping_add(1);
        self.peers.received = 0;
        if self.wonders() {
            return self.ask_each(out);
        }
        let report = self.report(Asks::Everyone, 0);
        let report = Arc::new(self.sign(report, out));
        out.broadcast(PbftMessage::Status(report));
    }

    pub(super) fn report_to(
        &mut self,
        node: NodeId,
        asks: Asks,
        echo: u64,
        out: &mut Outbox<Self>,
    ) {
        let report = self.report(asks, echo);
        let report = Arc::new(self.sign(report, out));
        out.send(node, PbftMessage::Status(report));
    }

    fn report(&self, asks: Asks, echo: u64) -> Report {
        let last = self.log.highest.0.min(self.executed.0 + ANSWER_SLOTS);
        let open = (self.executed.0 + 1..=last).map(|seq| {
            let slot = self.log.slot(Seq(seq));
            match slot.map(|slot| slot.standing) {
                _ if self.log.chosen.contains_key(&Seq(seq)) => Lacks::Commits,
                _ if slot.is_some_and(SlotState::spoiled) => Lacks::Everything,
                Some(Standing::Prepared) => Lacks::Commits,
                Some(Standing::Accepted) => Lacks::Prepares,
                Some(Standing::Offered | Standing::Refused)
                    if !self.missing.contains_key(&Seq(seq)) =>
                {
                    Lacks::Prepares
                }
                Some(_) | None => Lacks::Everything,
            }
        });
        Report {
            view: self.view,
            active: self.active,
            executed: self.executed,
            stable: self.log.low(),
            prepared: self.log.prepared().max(self.executed),
            asks,
            attempt: self.peers.attempt,
            echo,
            open: open.collect(),
        }
    }

    /// Upon receiving STATUS of anyone who is or was or will be in the committee: sends what its sender
    /// lacks and this replica has.
    pub(super) fn on_status(&mut self, status: &Signed<Report>, out: &mut Outbox<Self>) {
        let (node, report) = (status.signer(), status.body());
        let Some(key) = self.committees.key(node).filter(|_| node != self.me) else {
            return out.refuse(Refusal::WrongSender);
        };
        if report.open.len() as u64 > ANSWER_SLOTS {
            return out.refuse(Refusal::Malformed);
        }
        if !status.verify(self.committee.chain(), key) {
            return out.refuse(Refusal::BadSignature);
        }
        let position = self.committee.position(node);
        if let Some(position) = position {
            self.peers.heard(position, report.executed);
            self.learn_horizon(position, report, out);
        }
        self.peers.claimed = self.peers.claimed.max(report.executed);
        let interval = self.config.status_interval.as_nanos() as u64;
        let peer = self.peers.get(position, node);
        peer.epoch = peer.epoch.max(report.view.epoch());
        let soon = |last: Mono| self.now.since(last) < interval / ANSWERS_PER_INTERVAL;
        let old = report.attempt < peer.newest.0 || report.executed < peer.newest.1;
        peer.newest.0 = peer.newest.0.max(report.attempt);
        peer.newest.1 = peer.newest.1.max(report.executed);
        let answered = &mut peer.answered[usize::from(old)];
        if answered.is_some_and(soon) {
            return out.refuse(Refusal::Stale);
        }
        *answered = Some(self.now);
        self.answer(node, report, out);
        let ahead = report.view > self.view
            || report.executed > self.executed
            || report.stable > self.log.low();
        match report.asks {
            Asks::You => self.report_to(node, Asks::InReturn, report.attempt, out),
            Asks::Everyone if ahead => {
                self.report_to(node, Asks::InReturn, report.attempt, out);
            }
            Asks::Everyone | Asks::InReturn => {}
        }
    }

    /// Whether it is this replica's turn to send what anyone could send: f+1 members are on duty for
    /// each slot, others at each attempt.
    fn on_duty(&self, node: NodeId, report: &Report, seq: Seq) -> bool {
        if report.asks != Asks::Everyone {
            return true;
        }
        // Those whom it asked: the committee of its own epoch.
        let asked = self.committees.term(report.view.epoch());
        let asked = asked.map_or(&self.committee, |term| &term.committee);
        let Some(mine) = asked.position(self.me) else {
            return true;
        };
        let theirs = asked.position(node);
        let others = (asked.n() - usize::from(theirs.is_some())) as u64;
        let rank = (mine - usize::from(theirs.is_some_and(|theirs| mine > theirs))) as u64;
        let first = (seq.0 % others + report.attempt % others) % others;
        (rank + others - first) % others < asked.weak_quorum() as u64
    }

    fn answer(&self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        // What is said in one epoch is nothing in another, but for what was decided.
        if report.view.epoch() == self.epoch() {
            self.answer_state(node, report, out);
            self.answer_view(node, report, out);
        }
        let same_view = report.view == self.view && report.active && self.active;
        // A certificate on its own does not help one that lacks the slots before it.
        let next = report.executed.next();
        if next <= self.log.low() && !self.log.chosen.contains_key(&next) {
            return;
        }
        let last = self
            .log
            .highest
            .0
            .min(report.executed.0.saturating_add(ANSWER_SLOTS));
        for (seq, index) in (next.0..=last).map(Seq).zip(0..) {
            if let Some(chosen) = self.log.chosen.get(&seq) {
                if self.on_duty(node, report, seq) {
                    let decided = Decided {
                        certificate: chosen.certificate().clone(),
                        block: chosen.block.clone(),
                    };
                    out.send(node, PbftMessage::Decided(decided));
                }
            } else if same_view {
                let lacks = report.open.get(index).copied().unwrap_or(Lacks::Everything);
                self.repeat(seq, lacks, node, out);
            }
        }
    }

    /// The stable checkpoint, and this replica's word for the next one.
    fn answer_state(&self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        if report.stable < self.log.low()
            && let Some(certificate) = &self.checkpoints.stable
        {
            out.send(node, PbftMessage::Stable(certificate.clone()));
        }
        let mine = self.position.into_iter();
        for vote in mine.flat_map(|mine| self.checkpoints.votes_of(mine)) {
            if vote.body().slot > report.stable {
                out.send(node, PbftMessage::Checkpoint(vote.clone()));
            }
        }
    }

    /// How the present view began, or this replica's request for it.
    fn answer_view(&self, node: NodeId, report: &Report, out: &mut Outbox<Self>) {
        if report.view > self.view || (report.view == self.view && report.active) {
            return;
        }
        match &self.new_view {
            Some(message) if self.active => {
                let mine = self.committee.leader(self.view) == self.me;
                if mine || self.on_duty(node, report, Seq(0)) {
                    out.send(node, PbftMessage::NewView(Arc::clone(message)));
                }
            }
            _ => {
                let mine = self.position.and_then(|mine| self.changes[mine].as_ref());
                if let Some(change) = mine {
                    out.send(node, PbftMessage::ViewChange(Arc::clone(change)));
                }
            }
        }
    }

    /// Sends this replica's own words about an undecided slot again.
    fn repeat(&self, seq: Seq, lacks: Lacks, node: NodeId, out: &mut Outbox<Self>) {
        let (Some(slot), Some(mine)) = (self.log.slot(seq), self.position) else {
            return;
        };
        if lacks == Lacks::Everything
            && !self.planted.is(Mutant::BeyondWindowDropped)
            && self.committee.leader(self.view) == self.me
            && let Some(claim) = &slot.claim
            && let Some(block) = slot.body(&claim.body().digest)
        {
            let (claim, block) = (claim.clone(), Some(Arc::clone(block)));
            out.send(node, PbftMessage::PrePrepare(PrePrepare { claim, block }));
        }
        if lacks != Lacks::Commits
            && let Some(vote) = slot.prepares.vote_of(mine)
        {
            out.send(node, PbftMessage::Prepare(vote.clone()));
        }
        if let Some(vote) = slot.commits.vote_of(mine) {
            out.send(node, PbftMessage::Commit(vote.clone()));
        }
    }

    /// Upon receiving DECIDED: a certificate of q COMMITs needs no other witness.
    pub(super) fn on_decided(&mut self, message: &Decided, out: &mut Outbox<Self>) {
        let vote = *message.certificate.vote();
        let seq = vote.slot;
        if seq <= self.executed || self.log.chosen.contains_key(&seq) {
            return out.refuse(Refusal::Stale);
        }
        if vote.view.epoch() != self.epoch() {
            return self.refuse_other_epoch(vote.view, out);
        }
        if matches!(self.log.place(seq), Place::Soon | Place::Far) {
            return out.refuse(Refusal::TooFar);
        }
        let whole = match &message.block {
            None => vote.digest == Digest::ZERO,
            Some(block) => block.id() == vote.digest && block.is_whole(),
        };
        if vote.phase != COMMIT || !whole {
            return out.refuse(Refusal::Malformed);
        }
        let rules = self.rules();
        if !rules.hold(&message.certificate, rules.commits()) {
            return out.refuse(Refusal::BadSignature);
        }
        let chosen = Chosen::new(message.certificate.clone(), message.block.clone());
        self.peers.received += 1;
        self.choose(seq, chosen, out);
        if self.peers.received >= ANSWER_SLOTS && self.peers.claimed > seq {
            self.ask_everyone(out);
        }
    }

    /// Asks those who have them for the blocks that a new view needs.
    pub(super) fn fetch_missing(&mut self, out: &mut Outbox<Self>) {
        let missing: Vec<_> = self.missing.values().cloned().collect();
        for missing in missing {
            let digest = missing.digest;
            let fetch = self.sign(Fetch { digest }, out);
            for holder in missing.holders {
                out.send(holder, PbftMessage::Fetch(fetch.clone()));
            }
        }
    }

    /// Upon receiving FETCH: sends the block, if it is here and not under way: anyone may repeat a signed
    /// question, and a block is large (R37).
    pub(super) fn on_fetch(&mut self, fetch: &Signed<Fetch>, out: &mut Outbox<Self>) {
        let (node, digest) = (fetch.signer(), fetch.body().digest);
        let Some(key) = self.committees.key(node).filter(|_| node != self.me) else {
            return out.refuse(Refusal::WrongSender);
        };
        if !fetch.verify(self.committee.chain(), key) {
            return out.refuse(Refusal::BadSignature);
        }
        let Some(block) = self.log.body(&digest).cloned() else {
            return out.refuse(Refusal::Stale);
        };
        let interval = self.config.status_interval.as_nanos() as u64;
        let now = self.now;
        let position = self.committee.position(node);
        let sent = &mut self.peers.get(position, node).sent;
        sent.retain(|_, at| now.since(*at) < interval / ANSWERS_PER_INTERVAL);
        if sent.insert(digest, now).is_some() {
            return out.refuse(Refusal::Stale);
        }
        out.send(node, PbftMessage::Body(block));
    }

    /// Upon receiving BODY: takes the block if it was asked for.
    pub(super) fn on_body(&mut self, block: &Arc<Block>, out: &mut Outbox<Self>) {
        let slots: Vec<Seq> = self
            .missing
            .iter()
            .filter(|(_, missing)| missing.digest == block.id())
            .map(|(seq, _)| *seq)
            .collect();
        if slots.is_empty() {
            return out.refuse(Refusal::Stale);
        }
        if !block.is_whole() {
            return out.refuse(Refusal::Malformed);
        }
        for seq in slots {
            self.missing.remove(&seq);
            if let Some(slot) = self.log.slot_mut(seq) {
                slot.keep(Arc::clone(block));
            }
            if self.active {
                self.accept_again(seq, out);
                self.try_decide(seq, out);
            }
        }
        if !self.active && self.committee.leader(self.view) == self.me {
            self.try_new_view(out);
        }
        self.advance(out);
    }
}
