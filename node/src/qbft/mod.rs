//! QBFT: the EEA's *QBFT Blockchain Consensus Protocol Specification*, as Besu and GoQuorum run it; its
//! round change is that of Moniz, *The Istanbul BFT Consensus Algorithm* (arXiv 2002.03613).
//!
//! # Roles
//!
//! n validators bear f = ⌊(n−1)/3⌋ liars. A quorum is q = ⌈2n/3⌉: any two share f+1 members. Heights are
//! decided one after the other; each height has rounds, and each round a *proposer*, by [`Turns`].
//!
//! # Normal case
//!
//! - **QB1** *The proposer* of round 0 asks its host for a block on the last final one, not before the
//!   parent's timestamp + `block_period`, and an empty one not before the parent's timestamp +
//!   `empty_block_period`, or never. It has the block judged like anybody's, accepts it and sends
//!   PROPOSAL.
//! - **QB2** Upon PROPOSAL(h, r, block) from the proposer of round r of the present height, the first
//!   one of this round, with r the present round or, justified, a later one, which is entered: have the
//!   host judge the block, which must follow the last final one, be the proposer's own in its header
//!   unless a quorum has prepared it, and not be early. Then accept it and send PREPARE, the proposer
//!   too.
//! - **QB3** Upon the accepted proposal and PREPAREs of q distinct validators for it in the present
//!   round: it is *prepared*, in place of what was before. Send COMMIT, once a round.
//! - **QB4** Upon COMMITs of q distinct validators for a block in one round: it is final, and they are
//!   the proof. The next height begins at round 0. If the block is not here, the host fetches it.
//!
//! # Round changes
//!
//! - **QB5** Upon expiry of the round's timer: go to the next round; send ROUND-CHANGE(h, r+1, what is
//!   prepared: its round and block id) with the q PREPAREs that prove it and the block.
//! - **QB6** Upon ROUND-CHANGEs of f+1 distinct validators for later rounds than the present one: go to
//!   the smallest of those as if the timer had expired.
//! - **QB7** A ROUND-CHANGE that claims something prepared is believed if the claimed round is lower
//!   than its own, q distinct validators signed the PREPAREs, and the block is there and is the claimed
//!   one.
//! - **QB8** *The proposer* of round r > 0, upon q ROUND-CHANGEs for it: sends PROPOSAL with them. If
//!   any claims something prepared, the block is the one of the highest claimed round, and its PREPAREs
//!   go along; otherwise it is a new one (QB1). Receivers check the same (QB2); what a quorum prepared
//!   needs no verdict of the host.
//! - **QB9** Round r lasts base · 2^r, at most `timeouts.cap`. In round 0 the time begins when a
//!   proposal is due. The timer runs while something waits to be ordered here, a proposal was accepted
//!   at this height, or others have moved this validator to its round; with an `empty_block_period`
//!   always.
//! - **QB10** Votes for later rounds count once the round is there: of each validator those for a few
//!   of them, and only its ROUND-CHANGE for the highest round. No round number makes anybody keep, or
//!   wait for, more.
//!
//! # Behind, and back again
//!
//! - **QB11** Messages of the next two heights are kept, a share of each sender. When f+1 validators
//!   have signed something about later heights for some time, or a certificate shows it, the host
//!   fetches final blocks. Upon ROUND-CHANGE of a decided height its sender is told DECIDED, the last
//!   certificate. So is, ever more seldom, who was silent about the last block.
//! - **QB12** Before PREPARE or PROPOSAL leaves, the proposal is durable; before COMMIT, the PREPAREs;
//!   before ROUND-CHANGE, itself. Upon starting again: stand where these put it and say the round's
//!   messages again. A new height empties the log.
//! - **QB13** Upon starting again with a disk that shows too little: sign nothing that counts until the
//!   height is decided that it may have been at: one above the smallest that n+f−q others report not to
//!   exceed.
//! - **QB14** The committee of a height decides it; its epoch is part of the votes' view. While a
//!   change is scheduled, empty blocks are proposed at once so that it comes to pass. Who is not in it
//!   observes.
//! - **QB15** Two statements of one validator for one height, round and phase are evidence; the first
//!   counts.
//!
//! Transactions go to everyone, as the originals gossip them; submitters rely on f+1 equal receipts.
//!
//! # Deviations
//!
//! 1. COMMITs are for the block's id, and the round is not part of the block. Besu hashes the round
//!    into the block, so that a block that is proposed again is another block (Besu #7875).
//! 2. PROPOSAL, PREPARE and COMMIT sign a [`Vote`](crate::quorum::Vote); the first is signed without
//!    its justification, which is signed itself.
//! 3. Specification and Besu keep no f+1 rule in all versions; GoQuorum has it. It is here always.
//! 4. DECIDED stands for the specification's NEW-BLOCK and the originals' block synchronisation, ASK
//!    and REPORT are of this project. `resend` is as well, and off unless it is asked for: with it
//!    validators say the round's messages again before its time is over.
//! 5. COMMITs of the last few rounds still count, and idle validators rest.

mod change;
mod height;
mod justification;
mod message;
mod normal;
mod recovery;
mod rewrite;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Effect, Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status},
    membership::Committee,
    mutant::Planted,
    quorum::{Certificate, FinalityRule, QuorumRule},
    rounds::{Anew, Ballots, Early, Station},
    types::{BlockId, LocalTime, NodeId},
};

pub use crate::rounds::{
    Ask, COMMIT, Courtesy, Growth, PREPARE, PROPOSE, Pace, Report, Timeouts, Timer, Turns,
};
pub use message::{Change, Claim, FINALITY, Proposal, QbftMessage, Record, RoundChange};

/// What can be tuned; validators of one network need the same.
pub type Config = Pace;

/// Besu's defaults: round robin, a block a second, empty or not, and ten seconds for round 0.
pub const BESU: Config = Pace {
    turns: Turns::RoundRobin,
    block_period: Duration::from_secs(1),
    empty_block_period: Some(Duration::from_secs(1)),
    timeouts: Timeouts {
        base: Duration::from_secs(10),
        growth: Growth::Doubling,
        cap: None,
    },
    resend: None,
};

/// What was prepared last at this height.
#[derive(Clone, Debug)]
struct Prepared {
    certificate: Certificate,
    block: Arc<Block>,
}

/// A proposal that the host judges, and whether a quorum vouches for its block.
#[derive(Clone, Debug)]
struct Judging {
    proposal: Arc<Proposal>,
    certified: bool,
}

/// A validator.
#[derive(Debug)]
pub struct Qbft {
    station: Station,
    early: Early<QbftMessage>,
    /// The first proposal of the present round.
    offered: Option<Arc<Proposal>>,
    judging: Option<Judging>,
    /// The proposal of the present round that was judged good.
    accepted: Option<Arc<Proposal>>,
    /// Blocks of this height that were accepted, by their round.
    bodies: BTreeMap<u64, Arc<Block>>,
    prepares: Ballots,
    commits: Ballots,
    prepared: Option<Prepared>,
    /// Whether COMMIT was sent in the present round.
    committed: bool,
    /// By position in the committee: the ROUND-CHANGE for the highest round.
    changes: Vec<Option<Arc<RoundChange>>>,
    /// The block that the host is executing, and why.
    deciding: Option<(Arc<Block>, Certificate)>,
    /// What was sent in this round.
    said: Vec<QbftMessage>,
    /// Whether the log holds something about this height.
    logged: bool,
    planted: Planted,
}

impl Qbft {
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
        let n = committee.n();
        Self {
            station: Station::new(Anew {
                pace: config,
                quorum_rule: FINALITY.quorum,
                me,
                key,
                committee,
                genesis,
            }),
            early: Early::default(),
            offered: None,
            judging: None,
            accepted: None,
            bodies: BTreeMap::new(),
            prepares: Ballots::default(),
            commits: Ballots::default(),
            prepared: None,
            committed: false,
            changes: vec![None; n],
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
        self
    }

    /// The round of the present height.
    pub fn round(&self) -> u64 {
        self.station.round
    }

    /// The block that it prepared last at this height.
    pub fn prepared(&self) -> Option<BlockId> {
        self.prepared.as_ref().map(|prepared| prepared.block.id())
    }

    /// Sends to all, and again while the round lasts if that is asked for.
    fn say(&mut self, message: QbftMessage, out: &mut Outbox<Self>) {
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

impl Engine for Qbft {
    type Message = QbftMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "qbft";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    fn relay(&self) -> Relay {
        Relay::Everyone
    }

    fn quorum(&self) -> QuorumRule {
        FINALITY.quorum
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FINALITY)
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
        let waits = self.station.round > 0 && self.accepted.is_none();
        self.station.status(!waits)
    }
}
