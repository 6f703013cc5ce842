//! IBFT 1.0: Istanbul BFT as Quorum shipped it (EIP-650 and GoQuorum's `consensus/istanbul`), with its
//! known errors: Saltini and Hyland-Wood, *Correctness Analysis of IBFT* (arXiv 1901.07160), show that
//! it promises neither liveness nor, with its first quorum, safety. [`qbft`](crate::qbft) is what came
//! of it.
//!
//! # Roles
//!
//! n validators, f = ⌊(n−1)/3⌋. A quorum is [`Config::quorum`]: 2f+1 at first, ⌈2n/3⌉ since a later
//! block. The first is too small unless n = 3f+1. Heights are decided one after the other, in rounds,
//! each with a *proposer*.
//!
//! # Normal case
//!
//! - **IB1** *The proposer* of a round that has begun sends PRE-PREPARE with the block that it is
//!   locked on; if it is not locked, with a new one, not before the parent's timestamp +
//!   `block_period`, and empty only if an `empty_block_period` says so.
//! - **IB2** Upon the first PRE-PREPARE of the round from its proposer, unlocked, do: have the host
//!   judge the block, accept it and send PREPARE. If the host refuses it, ask for the next round (IB6).
//! - **IB3** The same, locked: if it is the lock's block, accept it and send COMMIT at once; otherwise
//!   ask for the next round.
//! - **IB4** Upon PREPARE for the accepted proposal, if those who said PREPARE or COMMIT for it in this
//!   round are a quorum: *lock* on the block and send COMMIT.
//! - **IB5** Upon COMMITs of a quorum for a block in one round: it is final, and they are its proof.
//!   The lock is released, and the next height begins in round 0. Nothing else releases a lock: here
//!   the host never fails to insert a block.
//!
//! # Round changes
//!
//! - **IB6** Upon expiry of the round's timer (or IB2, IB3), do: go to the next round, wait there, and
//!   send ROUND-CHANGE(h, r+1). The lock is kept. Who waits accepts no proposal; proposals and votes of
//!   the round are kept for later.
//! - **IB7** Upon ROUND-CHANGEs of a quorum for the round that this validator waits in, or a later one:
//!   begin it. Upon f+1 for a later one: go there, wait, and send ROUND-CHANGE for it.
//! - **IB8** Round 0 lasts `timeouts.base`, round r > 0 2^r seconds more. In round 0 the time begins
//!   when a proposal is due. The timer runs while something waits here, a proposal was accepted at this
//!   height or others have moved this validator; with an `empty_block_period` always.
//! - **IB9** A timer is of its height and round: it says nothing once they are over.
//!
//! # Around it
//!
//! - **IB10** Votes and proposals of later rounds, and messages of the next two heights, are kept
//!   within bounds. Who is shown that others are ahead has its host fetch final blocks; who asks to
//!   change the round of a decided height, or was silent about the last block, is told DECIDED.
//! - **IB11** The proposal, the vote or the ROUND-CHANGE is durable before it leaves, so a lock
//!   outlives a crash. A new height empties the log. Who lost its disk is mute until the height it may
//!   have been at is decided.
//! - **IB12** The committee of a height decides it; while a change is scheduled, empty blocks hurry it
//!   on.
//! - **IB13** Two statements of one validator for one height, round and phase are evidence; the first
//!   counts.
//!
//! Transactions go to everyone, as the original gossips them; submitters rely on f+1 equal receipts.
//!
//! # Known errors, kept
//!
//! - With 2f+1, n = 6 forks on a 3|3 split and n = 5 with one liar (M16).
//! - Two validators locked on different blocks can stop a height for ever (M17, M18).
//! - IB4 looks only when a PREPARE comes: where the COMMIT comes last, a round is lost (M19, Quorum
//!   #1133). [`Config::heeds_commits`] looks then too.
//! - Rounds advance on timers alone, so an outage is followed by a wait of its own length.
//!
//! # Deviations
//!
//! 1. GoQuorum writes no lock to its disk.
//! 2. f+1 ROUND-CHANGEs move a validator that is not waiting, too; without that, idle ones, whose
//!    timers rest, would never be moved.
//! 3. COMMITs of the last few rounds still count.
//! 4. DECIDED stands for the original's answer to old PRE-PREPAREs and for block synchronisation.

mod change;
mod height;
mod message;
mod normal;
mod recovery;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Effect, Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status},
    membership::Committee,
    mutant::{Mutant, Planted},
    quorum::{Certificate, FinalityRule, QuorumRule},
    rounds::{Anew, Ballots, Early, Station},
    types::{BlockId, LocalTime, NodeId},
};

pub use crate::rounds::{
    Ask, COMMIT, Courtesy, Growth, PREPARE, PROPOSE, Pace, Report, Timeouts, Timer, Turns,
};
pub use message::{IbftMessage, PrePrepare, ROUND_CHANGE, Record};

/// What can be tuned; validators of one network need the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Who proposes, and when.
    pub pace: Pace,
    /// What a decision takes: [`QuorumRule::TwoFPlusOne`] at first, [`QuorumRule::CeilTwoThirds`] later.
    pub quorum: QuorumRule,
    /// Whether a COMMIT can complete what IB4 counts; not so as it was shipped.
    pub heeds_commits: bool,
}

/// Quorum's defaults in its last versions: round robin, a block every five seconds, empty or not.
pub const QUORUM: Config = Config {
    pace: Pace {
        turns: Turns::RoundRobin,
        block_period: Duration::from_secs(5),
        empty_block_period: Some(Duration::from_secs(5)),
        timeouts: Timeouts {
            base: Duration::from_secs(10),
            growth: Growth::PlusPowersOfTwo,
            cap: None,
        },
        resend: None,
    },
    quorum: QuorumRule::CeilTwoThirds,
    heeds_commits: false,
};

/// A validator.
#[derive(Debug)]
pub struct Ibft {
    config: Config,
    station: Station,
    early: Early<IbftMessage>,
    /// Whether the present round has not begun.
    waiting: bool,
    /// The first proposals of this round and a few later ones.
    offers: BTreeMap<u64, Arc<PrePrepare>>,
    judging: Option<Arc<PrePrepare>>,
    /// The proposal of the present round that was accepted.
    accepted: Option<Arc<PrePrepare>>,
    lock: Option<Arc<Block>>,
    /// Whether COMMIT was sent in the present round.
    committed: bool,
    /// Blocks of this height that were accepted, by their round.
    bodies: BTreeMap<u64, Arc<Block>>,
    prepares: Ballots,
    commits: Ballots,
    changes: Ballots,
    /// The block that the host is executing, and why.
    deciding: Option<(Arc<Block>, Certificate)>,
    /// What was sent in this round.
    said: Vec<IbftMessage>,
    /// Whether the log holds something about this height.
    logged: bool,
    planted: Planted,
}

impl Ibft {
    /// A validator that has decided nothing but genesis. `committee` are the founders; whoever is not
    /// among them observes until it is in the committee.
    ///
    /// Panics if the configuration cannot work.
    #[must_use]
    pub fn new(
        config: Config,
        me: NodeId,
        key: Arc<Keypair>,
        committee: Arc<Committee>,
        genesis: BlockId,
    ) -> Self {
        Self {
            config,
            station: Station::new(Anew {
                pace: config.pace,
                quorum_rule: config.quorum,
                me,
                key,
                committee,
                genesis,
            }),
            early: Early::default(),
            waiting: false,
            offers: BTreeMap::new(),
            judging: None,
            accepted: None,
            lock: None,
            committed: false,
            bodies: BTreeMap::new(),
            prepares: Ballots::default(),
            commits: Ballots::default(),
            changes: Ballots::default(),
            deciding: None,
            said: Vec::new(),
            logged: false,
            planted: Planted::NOTHING,
        }
    }

    /// The same validator with a bug.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        self.planted = planted;
        if planted.is(Mutant::QuorumTwoFPlusOne) {
            self.station.count_by(QuorumRule::TwoFPlusOne);
        }
        self.station.keeps_timers = planted.is(Mutant::ExpiryAfterImport);
        self
    }

    /// The round of the present height.
    pub fn round(&self) -> u64 {
        self.station.round
    }

    /// The block that it is locked on.
    pub fn lock(&self) -> Option<BlockId> {
        self.lock.as_ref().map(|block| block.id())
    }

    /// Sends to all, and again while the round lasts if that is asked for.
    fn say(&mut self, message: IbftMessage, out: &mut Outbox<Self>) {
        if self.said.is_empty() {
            self.station.arm_resend(out);
        }
        self.said.push(message.clone());
        out.broadcast(message);
    }

    fn say_again(&self, out: &mut Outbox<Self>) {
        for message in &self.said {
            out.broadcast(message.clone());
        }
        if !self.said.is_empty() {
            self.station.arm_resend(out);
        }
    }

    fn persist(&mut self, record: Record, out: &mut Outbox<Self>) {
        self.logged = true;
        out.push(Effect::Persist(record));
    }

    fn on_timer(&mut self, timer: Timer, out: &mut Outbox<Self>) {
        match timer {
            Timer::Round { height, round } => {
                if self.station.expired(height, round) {
                    self.expire(out);
                } else if height < self.station.height && self.planted.is(Mutant::ExpiryAfterImport)
                {
                    self.expire_too_late(height, round, out);
                }
            }
            Timer::Empty(height) if height == self.station.height => {
                if self.station.wants() {
                    self.station.want(out);
                }
            }
            Timer::Lag(height) => self.station.on_lag(height, out),
            Timer::Nudge => self.station.nudge(out),
            Timer::Ask => self.station.ask_around(out),
            Timer::Resend { height, round } => {
                if (height, round) == (self.station.height, self.station.round) {
                    self.say_again(out);
                }
            }
            Timer::Empty(_) => {}
        }
    }
}

impl Engine for Ibft {
    type Message = IbftMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "ibft";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    fn relay(&self) -> Relay {
        Relay::Everyone
    }

    fn quorum(&self) -> QuorumRule {
        self.config.quorum
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FinalityRule {
            phase: COMMIT,
            quorum: self.config.quorum,
            links: 1,
        })
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        self.station.now = now;
        match input {
            Input::Start => {
                self.station.start(out);
                self.go_on(out);
            }
            Input::Recovered { disk, records, tip } => self.recover(disk, records, tip, out),
            Input::Synced { block, proof, .. } => self.on_synced(&block, &proof, out),
            // The block that says so has yet to be told as executed, or the ledger as recovered.
            Input::Committee { from, committee } => self.station.schedule(from, committee),
            Input::Pending(since) => {
                self.station.pending(since.is_some());
                self.station.rearm(out);
            }
            Input::Payload { ticket, block } => self.on_payload(ticket, &block, out),
            Input::Validated { block, verdict } => self.on_validated(block, verdict, out),
            Input::Executed { block, .. } => self.on_executed(block, out),
            Input::Timer(timer) => self.on_timer(timer, out),
            Input::Message { from, message } => self.on_message(from, message, out),
        }
    }

    fn status(&self) -> Status {
        self.station.status(!self.waiting)
    }
}
