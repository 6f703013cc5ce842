//! Where a member stands: height, round, what it asked its host for, and its timers.

use std::{sync::Arc, time::Duration};

use crate::{
    block::{Block, Header},
    crypto::{Keypair, Signable, Signed},
    engine::{Effect, Outbox, Refusal, Slot, Tale, Ticket, Want},
    membership::{Committee, Committees, Term},
    quorum::{Certificate, Phase, QuorumRule, Vote},
    types::{BlockId, Digest, Epoch, Height, LocalTime, NodeId, Seq, View, Wall},
};

use super::{Courtesy, Rounds, Timer, mute::Mute, pace::Pace, peers::Peers};

/// Highest number of a round: views have 32 bits for it.
const LAST_ROUND: u64 = u32::MAX as u64;

/// A member, or an observer.
#[derive(Debug)]
pub(crate) struct Station {
    pub(super) pace: Pace,
    pub(super) quorum_rule: QuorumRule,
    pub(crate) me: NodeId,
    key: Arc<Keypair>,
    pub(super) committees: Committees,
    /// Who decides this height.
    pub(crate) committee: Arc<Committee>,
    pub(super) epoch: Epoch,
    pub(crate) now: LocalTime,
    /// The height that is being decided.
    pub(crate) height: Height,
    /// The block below it.
    pub(crate) head: BlockId,
    head_time: Wall,
    /// Who proposed that; `None`: it is genesis.
    last_proposer: Option<NodeId>,
    pub(crate) round: u64,
    /// Something waits to be ordered.
    pending: bool,
    /// There is something to decide whether or not anything waits here.
    pub(crate) engaged: bool,
    /// The round timer runs; `true`: it began when a proposal was due, not when an empty one was.
    armed: Option<bool>,
    wanted: Option<(Ticket, bool)>,
    tickets: u64,
    pub(super) mute: Option<Mute>,
    pub(super) peers: Peers,
    /// Planted bug: timers of heights that are over go on.
    pub(crate) keeps_timers: bool,
}

/// What [`Station::new`] needs.
pub(crate) struct Anew {
    pub(crate) pace: Pace,
    pub(crate) quorum_rule: QuorumRule,
    pub(crate) me: NodeId,
    pub(crate) key: Arc<Keypair>,
    pub(crate) committee: Arc<Committee>,
    pub(crate) genesis: BlockId,
}

impl Station {
    /// At height 1. Panics if the configuration cannot work.
    pub(crate) fn new(anew: Anew) -> Self {
        let Anew {
            pace,
            quorum_rule,
            me,
            key,
            committee,
            genesis,
        } = anew;
        assert!(!pace.timeouts.base.is_zero(), "a round takes time");
        assert!(
            pace.resend.is_none_or(|span| !span.is_zero()),
            "saying it again takes time"
        );
        Self {
            pace,
            quorum_rule,
            me,
            key,
            committees: Committees::new(Arc::clone(&committee)),
            committee,
            epoch: Epoch(0),
            now: LocalTime::default(),
            height: Height(1),
            head: genesis,
            head_time: Wall(0),
            last_proposer: None,
            round: 0,
            pending: false,
            engaged: false,
            armed: None,
            wanted: None,
            tickets: 0,
            mute: None,
            peers: Peers::default(),
            keeps_timers: false,
        }
    }

    /// Counts by another rule: a planted bug.
    pub(crate) fn count_by(&mut self, rule: QuorumRule) {
        self.quorum_rule = rule;
    }

    /// Whether it is in the committee of this height.
    pub(crate) fn is_member(&self) -> bool {
        self.committee.contains(self.me)
    }

    /// Whether it may sign what could contradict it.
    pub(crate) fn speaks(&self) -> bool {
        self.mute.is_none() && self.is_member()
    }

    /// Whether its disk was lost and it is silent.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute.is_some()
    }

    pub(crate) fn quorum(&self) -> usize {
        self.quorum_rule.of(self.committee.n())
    }

    /// The view of a round of this height.
    pub(crate) fn view(&self, round: u64) -> View {
        View(View::first_of(self.epoch).0 | round.min(LAST_ROUND))
    }

    /// This height and a round of it.
    pub(crate) fn slot(&self, round: u64) -> Slot {
        Slot {
            view: self.view(round),
            seq: Seq(self.height.0),
        }
    }

    /// Whether a view is of the committee that decides this height.
    pub(crate) fn is_ours(&self, view: View) -> bool {
        view.epoch() == self.epoch
    }

    pub(crate) fn proposer(&self, round: u64) -> NodeId {
        let turns = self.pace.turns;
        turns.proposer(&self.committee, self.last_proposer, round)
    }

    /// Whether it is this member's turn in the present round.
    pub(crate) fn leads(&self) -> bool {
        self.proposer(self.round) == self.me && self.speaks()
    }

    /// Whether a member of one of the committees signed it.
    pub(crate) fn knows<T: Signable<Signer = NodeId>>(&self, signed: &Signed<T>) -> bool {
        let key = self.committees.key(signed.signer());
        key.is_some_and(|key| signed.verify(self.committee.chain(), key))
    }

    pub(crate) fn sign<T, E>(&self, body: T, out: &mut Outbox<E>) -> Signed<T>
    where
        T: Signable<Signer = NodeId>,
        E: Rounds,
    {
        out.work.signatures += 1;
        self.key.sign(self.me, body)
    }

    /// A vote in the present round.
    pub(crate) fn vote<E: Rounds>(
        &self,
        phase: Phase,
        digest: Digest,
        out: &mut Outbox<E>,
    ) -> Signed<Vote> {
        let vote = self.word(phase, self.round, digest);
        self.sign(vote, out)
    }

    /// What a vote at this height says.
    pub(crate) fn word(&self, phase: Phase, round: u64, digest: Digest) -> Vote {
        Vote {
            phase,
            view: self.view(round),
            slot: Seq(self.height.0),
            digest,
        }
    }

    /// The node begins.
    pub(crate) fn start<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        self.tell_round(out);
        if !self.is_member() {
            out.push(Effect::Behind);
        }
    }

    fn tell_round<E: Rounds>(&self, out: &mut Outbox<E>) {
        out.tell(Tale::Entered {
            view: self.view(self.round),
            leader: self.proposer(self.round),
        });
    }

    /// Stands on top of this block now.
    pub(crate) fn stand_on(&mut self, head: &Header, id: BlockId) {
        self.height = head.height.next();
        self.head = id;
        self.head_time = head.timestamp;
        self.last_proposer = (head.height > Height(0)).then_some(head.proposer);
        self.round = 0;
        self.engaged = false;
        let Term {
            epoch, committee, ..
        } = self.committees.at(self.height);
        (self.epoch, self.committee) = (*epoch, Arc::clone(committee));
    }

    /// This block is final: the next height begins.
    pub(crate) fn advance<E: Rounds>(
        &mut self,
        head: &Block,
        proof: Certificate,
        out: &mut Outbox<E>,
    ) {
        self.leave_round(out);
        self.peers.decided(proof);
        self.watch_silent(out);
        self.stand_on(head.header(), head.id());
        self.tell_round(out);
        self.watch_lag(out);
    }

    /// Another round of this height begins.
    pub(crate) fn enter<E: Rounds>(&mut self, round: u64, out: &mut Outbox<E>) {
        self.leave_round(out);
        self.round = round.min(LAST_ROUND);
        self.tell_round(out);
    }

    fn leave_round<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        if self.armed.take().is_some() && !self.keeps_timers {
            out.push(Effect::Disarm(self.round_timer()));
        }
        self.unwant(out);
    }

    fn round_timer(&self) -> Timer {
        Timer::Round {
            height: self.height,
            round: self.round,
        }
    }

    /// Whether this expiry is that of the present round's timer.
    pub(crate) fn expired(&mut self, height: Height, round: u64) -> bool {
        let present = height == self.height && round == self.round;
        present && self.armed.take().is_some()
    }

    /// Another committee is scheduled. Until it decides there is always something to do, so that a change
    /// takes effect soon also where little happens.
    pub(crate) fn schedule(&mut self, from: Height, committee: Arc<Committee>) {
        self.committees.schedule(from, committee);
    }

    fn hurries(&self) -> bool {
        self.committees.newest().from > self.height
    }

    /// Something waits, or nothing does.
    pub(crate) fn pending(&mut self, pending: bool) {
        self.pending = pending;
    }

    /// How long until this span after the parent's timestamp is over.
    fn until(&self, span: Duration) -> Duration {
        let due = after(self.head_time, span);
        Duration::from_nanos(due.0.saturating_sub(self.now.wall.0))
    }

    /// Runs the round timer while there is something to decide. In round 0 its time begins when a proposal
    /// is due.
    pub(crate) fn rearm<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        let soon = self.pending || self.engaged || self.hurries();
        let period = if soon {
            Some(self.pace.block_period)
        } else {
            self.pace.empty_block_period
        };
        let Some(period) = period.filter(|_| self.speaks()) else {
            if self.armed.take().is_some() {
                out.push(Effect::Disarm(self.round_timer()));
            }
            return;
        };
        if self.armed.is_some_and(|for_soon| for_soon >= soon) {
            return;
        }
        let idle = if self.round == 0 {
            self.until(period)
        } else {
            Duration::ZERO
        };
        self.armed = Some(soon);
        out.push(Effect::Arm {
            timer: self.round_timer(),
            after: idle.saturating_add(self.pace.timeouts.of(self.round)),
        });
    }

    /// Asks the host for a block on the head, unless it has been asked.
    pub(crate) fn want<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        let wait = self.pace.empty_block_period.map(|span| self.until(span));
        let period = self.pace.block_period;
        let not_before = after(self.head_time, period);
        // An empty one may have to wait for longer.
        let soon = self.hurries() || wait.is_some_and(|wait| wait <= self.until(period));
        if self.wanted.is_some_and(|(_, empty_ok)| empty_ok >= soon) {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.wanted = Some((ticket, soon));
        out.push(Effect::Want(Want {
            ticket,
            parent: self.head,
            empty_ok: soon,
            not_before,
            extra: Vec::new(),
        }));
        if let Some(after) = wait.filter(|_| !soon) {
            let timer = Timer::Empty(self.height);
            out.push(Effect::Arm { timer, after });
        }
    }

    /// Whether a block is being waited for.
    pub(crate) fn wants(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether this payload is the one that was asked for.
    pub(crate) fn takes(&mut self, ticket: Ticket, block: &Block) -> bool {
        let asked = self.wanted.is_some_and(|(wanted, _)| wanted == ticket);
        if asked {
            self.wanted = None;
        }
        asked && block.header().parent == self.head
    }

    fn unwant<E: Rounds>(&mut self, out: &mut Outbox<E>) {
        if self.wanted.take().is_some() {
            out.push(Effect::Unwant);
        }
    }

    /// Whether a block could be the next one, as far as can be told without the host.
    pub(crate) fn follows(&self, block: &Block, proposer: Option<NodeId>) -> Result<(), Refusal> {
        let header = block.header();
        if header.height != self.height || header.parent != self.head {
            return Err(Refusal::BadBlock);
        }
        let in_time = header.timestamp >= after(self.head_time, self.pace.block_period);
        let by = proposer.is_none_or(|proposer| proposer == header.proposer);
        if in_time && by {
            Ok(())
        } else {
            Err(Refusal::BadBlock)
        }
    }

    /// A courtesy; `Some` if it shows that this height, or a later one, is decided.
    pub(crate) fn on_courtesy<'a, E: Rounds>(
        &mut self,
        from: NodeId,
        courtesy: &'a Courtesy,
        out: &mut Outbox<E>,
    ) -> Option<&'a Certificate> {
        match courtesy {
            Courtesy::Decided(certificate) => match self.check_decided(certificate) {
                Ok(height) if height == self.height => return Some(certificate),
                Ok(height) => self.lacks(height, out),
                Err(Refusal::Stale) => self.answer(from, 0, out),
                Err(Refusal::TooFar) => self.hear_of_later_epoch(certificate, out),
                Err(reason) => out.refuse(reason),
            },
            Courtesy::Ask(ask) if !self.knows(ask) => out.refuse(Refusal::BadSignature),
            Courtesy::Ask(ask) => self.answer(ask.signer(), ask.body().attempt, out),
            Courtesy::Report(report) if !self.knows(report) => out.refuse(Refusal::BadSignature),
            Courtesy::Report(report) => {
                self.claimed(report.signer(), report.body().height, out);
                // Of one that has left it is enough to know that it is not behind.
                if self.committee.contains(report.signer()) {
                    self.on_report(report.signer(), report.body(), out);
                }
            }
        }
        None
    }

    /// Arms the timer that has everything of this round said again.
    pub(crate) fn arm_resend<E: Rounds>(&self, out: &mut Outbox<E>) {
        if let Some(after) = self.pace.resend {
            let timer = Timer::Resend {
                height: self.height,
                round: self.round,
            };
            out.push(Effect::Arm { timer, after });
        }
    }

    /// The status for the host.
    pub(crate) fn status(&self, active: bool) -> crate::engine::Status {
        crate::engine::Status {
            view: self.view(self.round),
            leader: self.proposer(self.round),
            active,
            height: self.height.prev(),
        }
    }
}

fn after(time: Wall, span: Duration) -> Wall {
    let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Wall(time.0.saturating_add(span))
}
