//! Tendermint: Buchman, Kwon and Milosevic, *The latest gossip on BFT consensus*, arXiv 1807.04938,
//! Algorithm 1, with the timeouts and the pacing of CometBFT. Rules are numbered TM1 and so on; "L28" is
//! line 28 of the algorithm. Heights are slots, rounds are views (within the epoch of the height).
//!
//! # Roles
//!
//! n validators of equal power bear f = ⌊(n−1)/3⌋ liars. A quorum is more than two thirds, q = ⌊2n/3⌋+1 =
//! n−f (the paper's 2f+1). A quorum of PREVOTEs for a block is a *polka*; a quorum of PRECOMMITs for it, of
//! one round, decides the height and is the proof for outsiders. `nil` is a vote for no block.
//!
//! A validator remembers (lockedValue, lockedRound), the block that it precommitted last, and (validValue,
//! validRound), the block of the last polka that it saw; both forget with the height.
//!
//! # Rounds (Algorithm 1)
//!
//! - **TM1** (L11–21) Upon the start of a round, do: step := propose; the proposer sends PROPOSAL(h, r, v,
//!   validRound) with its valid value, or with a fresh block of its host and validRound −1; start
//!   timeoutPropose(r).
//! - **TM2** (L22–27) Upon PROPOSAL(h, r, v, −1) of the round's proposer while step = propose, do: PREVOTE v
//!   if the host finds it valid and (not locked, or locked on v), otherwise PREVOTE nil; step := prevote.
//! - **TM3** (L28–33) Upon PROPOSAL(h, r, v, vr) with 0 ≤ vr < r and a polka for v in round vr while step =
//!   propose, do: PREVOTE v if valid and (lockedRound ≤ vr, or locked on v), otherwise nil; step := prevote.
//! - **TM4** (L34–35) Upon PREVOTEs of a quorum, whatever they say, while step = prevote, once a round, do:
//!   start timeoutPrevote(r).
//! - **TM5** (L36–43) Upon a polka for the block v of this round while step ≥ prevote, once a round, do: if
//!   step = prevote, lock (v, r), PRECOMMIT v, step := precommit; in any case (validValue, validRound) :=
//!   (v, r).
//! - **TM6** (L44–46) Upon a quorum of PREVOTEs for nil while step = prevote, do: PRECOMMIT nil; step :=
//!   precommit.
//! - **TM7** (L47–48) Upon PRECOMMITs of a quorum, whatever they say, once a round, do: start
//!   timeoutPrecommit(r).
//! - **TM8** (L49–54) Upon a quorum of PRECOMMITs for v in any round of the height, and v, do: decide v; go
//!   on to the next height, in round 0, with nothing locked and nothing valid.
//! - **TM9** (L55–56) Upon messages of f+1 members for later rounds, do: start the latest round that f+1
//!   of them have reached.
//! - **TM10** (L57–60) Upon timeoutPropose(r) while step = propose, do: PREVOTE nil; step := prevote.
//! - **TM11** (L61–64) Upon timeoutPrevote(r) while step = prevote, do: PRECOMMIT nil; step := precommit.
//! - **TM12** (L65–67) Upon timeoutPrecommit(r), do: start round r+1.
//!
//! # Time and turns
//!
//! - **TM13** Each timeout grows by [`Config::timeout_delta`] a round. Stale timers change nothing.
//! - **TM14** The proposer of round r of height h is member (h − b + r) mod n in turn order, where b is the
//!   first height of the committee (1 for the founders): CometBFT's proposer priority with equal powers,
//!   which moves by one with each height and by one with each round, and begins anew with a committee.
//! - **TM15** Round 0 begins `timeout_commit` after the height before was decided, and not before something
//!   waits here, `empty_block_period` is over, or f+1 members have voted. A proposal that comes before is
//!   answered at once. In later rounds an empty block will do, so that a round that was begun ends. With
//!   nothing to decide no timer runs (CometBFT's `create_empty_blocks = false`).
//!
//! # Gossip
//!
//! The paper assumes that what one correct process has received all receive in time, and CometBFT gossips
//! votes for that; on a full mesh of links that lose messages it takes retransmission.
//!
//! - **TM16** Upon 1, 2, 4, … status intervals without a new message in an unfinished height, do: send
//!   STATUS(h, r, what is here) to all. Upon STATUS of one in the same height, do: send it the own votes
//!   that it lacks in its round and in ours; f+1 members, others at each attempt, send the proposal and the
//!   votes of third parties too. Upon STATUS of one in an earlier height, do: f+1 send DECIDED.
//! - **TM17** A proposal with a valid round carries its polka. Upon STATUS of one whose last polka is older
//!   than ours, do: send POLKA. Without this rule a liar that shows its PREVOTE to one validator at a
//!   time locks them on different blocks for ever.
//! - **TM18** Upon 1, 2, 4, … status intervals without a word from a member about the last decided height,
//!   do: send STATUS to that member.
//!
//! When all is done and all are there, nothing is sent.
//!
//! # Restart and falling behind
//!
//! - **TM19** Before a PROPOSAL, PREVOTE or PRECOMMIT leaves it is durable, and so is the polka before the
//!   PRECOMMIT that follows from it; a decision clears the log. Upon starting again, do: go on in the last
//!   round and step that was signed, with the lock and the valid value; sign nothing twice; send STATUS.
//! - **TM20** Upon starting again with a disk that shows too little, do: sign nothing until the heights are
//!   decided that may have been signed. Whoever signed for height X saw a quorum precommit X−1. Of n+f−q
//!   reporters in return one is honest and has precommitted X−1, so if none of those is beyond height c
//!   then X ≤ c+1. It speaks again in height c+2, for the least c that the reports allow; it asks until
//!   all have reported, because a liar may be among the first.
//! - **TM21** Upon words of f+1 members about later heights that DECIDED does not bring, do: have the host
//!   fetch final blocks. Upon each of them, do: go on to the height after it.
//! - **TM22** The committee of a height decides it; its epoch is in the view of every message, so nothing
//!   counts in another. Whoever is not in it signs nothing and has its host fetch final blocks.
//!
//! # Liars
//!
//! - **TM23** Two proposals, or two votes of a kind, of one member for one round are evidence: it is told,
//!   and the first stands. A polka or a decision that needs the second comes as a certificate.
//! - **TM24** Of each sender the messages of two later rounds and six of the next height are kept; of the
//!   present height as many rounds as honest members began; of past heights four decisions.
//!
//! # Accountability
//!
//! If two blocks are decided at one height, then more than f members lied, and their own votes say who:
//! see [`accountability`]. In short: let v be decided in round r, and v' in r' ≥ r. Members that signed two
//! different votes of a kind in one round equivocated. Members that precommitted without a polka of
//! that round broke TM5. Members that precommitted v in r and prevoted another block in a later round, with
//! no polka for it in between, forgot their lock (*amnesia*, TM2 and TM3). The first polka for another
//! block at or after r shares f+1 members with the PRECOMMITs for v, and each of those did one of the
//! three. An honest member did none of them; the polka that freed it is among the votes, provided that all
//! honest members hand in what they have seen.
//!
//! # Deviations from the paper
//!
//! 1. valid(v) in TM5 and TM8 is what the quorum says: it holds honest members that judged the block. A
//!    clock that is behind may refuse what theirs accept.
//! 2. The proposer runs timeoutPropose too, because its host may have nothing to offer.
//! 3. A block may also come under a POLKA or DECIDED: if the proposer told others something else, there is
//!    no claim for it here. Of two claims for a round the paper would consider both.
//! 4. TM9 counts members whose latest round is at or beyond the one that is started, not messages for
//!    exactly this round: of each sender the latest rounds are kept, and who is beyond has been there.
//! 5. STATUS, POLKA and DECIDED stand for the paper's gossip; TM13–TM24 are CometBFT's or this project's.

pub mod accountability;
mod gossip;
mod height;
mod intake;
mod message;
mod peers;
mod recovery;
mod rewrite;
mod round;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Effect, Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status, Ticket},
    membership::{Committee, Committees},
    mutant::Planted,
    quorum::{Certificate, FinalityRule, QuorumRule},
    types::{BlockId, Epoch, Height, LocalTime, Mono, NodeId, Seq, View},
};

pub use message::{
    Asks, Claim, Decided, FINALITY, NIL, PRECOMMIT, PREVOTE, Polka, Proposal, Record, Report,
    TendermintMessage,
};

use intake::Kept;
use peers::Peers;
use recovery::Mute;
use round::Round;

/// What can be tuned. Safety does not depend on any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// A round waits so long for its proposal.
    pub timeout_propose: Duration,
    /// So long for a polka, once a quorum has prevoted.
    pub timeout_prevote: Duration,
    /// So long for a decision, once a quorum has precommitted.
    pub timeout_precommit: Duration,
    /// Added to each of these with each round.
    pub timeout_delta: Duration,
    /// From a decision to the next height.
    pub timeout_commit: Duration,
    /// With nothing to order an empty block is made after so long; `None`: never.
    pub empty_block_period: Option<Duration>,
    /// Without progress for so long, a validator says where it stands.
    pub status_interval: Duration,
    /// TM17, and votes of third parties in TM16. Without it hidden polkas stay hidden.
    pub relay_polkas: bool,
}

impl Default for Config {
    /// CometBFT's timeouts.
    fn default() -> Self {
        Self {
            timeout_propose: Duration::from_secs(3),
            timeout_prevote: Duration::from_secs(1),
            timeout_precommit: Duration::from_secs(1),
            timeout_delta: Duration::from_millis(500),
            timeout_commit: Duration::from_secs(1),
            empty_block_period: None,
            status_interval: Duration::from_millis(250),
            relay_polkas: true,
        }
    }
}

/// A timer, with the height and the round that it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// timeoutPropose.
    Propose(Seq, u64),
    /// timeoutPrevote.
    Prevote(Seq, u64),
    /// timeoutPrecommit.
    Precommit(Seq, u64),
    /// `timeout_commit` is over for this height.
    Commit(Seq),
    /// An empty block is due at this height.
    Empty(Seq),
    /// Time to look for progress.
    Status,
}

/// How far a validator is in its round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// Round 0 has not begun (TM15).
    Wait,
    Propose,
    Prevote,
    Precommit,
}

/// A validator.
#[derive(Debug)]
pub struct Tendermint {
    config: Config,
    me: NodeId,
    /// My place in the committee of the height; `None`: I observe.
    position: Option<usize>,
    key: Arc<Keypair>,
    /// Who decides the height, in which epoch, and from which height on.
    committee: Arc<Committee>,
    epoch: Epoch,
    base: Height,
    /// Who decides from which height on, as far as the host has told.
    committees: Committees,
    /// What my clock said when this step began.
    now: Mono,

    /// The height that is being decided, and the block before it.
    height: Height,
    head: BlockId,
    round: u64,
    step: Step,
    /// Rounds up to the present one.
    rounds: BTreeMap<u64, Round>,
    /// Blocks that the rounds, the lock or the valid value name.
    blocks: BTreeMap<BlockId, Arc<Block>>,
    locked: Option<(u64, BlockId)>,
    valid: Option<(u64, Arc<Certificate>)>,
    /// The block that the host is executing.
    decided: Option<BlockId>,

    /// `timeout_commit` is over; an empty block is due; something waits.
    rested: bool,
    empty_due: bool,
    pending: bool,
    wanted: Option<Ticket>,
    tickets: u64,
    /// The round and the block that the host is judging.
    judging: Option<(u64, BlockId)>,
    /// Timers of this height that may be armed.
    armed: BTreeSet<Timer>,

    /// Messages of later rounds, by their sender's place, and of the next height.
    ahead: Vec<Kept>,
    early: BTreeMap<NodeId, Kept>,
    /// The last decisions.
    decisions: BTreeMap<Height, Arc<Decided>>,
    peers: Peers,
    /// Set while this validator may have signed what its log does not show.
    mute: Option<Mute>,
    planted: Planted,
}

impl Tendermint {
    /// A validator whose ledger holds nothing but genesis. `committee` are the founders; whoever is not
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
        for time in [
            config.timeout_propose,
            config.timeout_prevote,
            config.timeout_precommit,
            config.status_interval,
        ] {
            assert!(!time.is_zero(), "timeouts and status intervals take time");
        }
        Self {
            config,
            me,
            position: committee.position(me),
            key,
            committees: Committees::new(Arc::clone(&committee)),
            epoch: Epoch(0),
            base: Height(1),
            now: Mono(0),
            height: Height(1),
            head: genesis,
            round: 0,
            step: Step::Wait,
            rounds: BTreeMap::new(),
            blocks: BTreeMap::new(),
            locked: None,
            valid: None,
            decided: None,
            rested: false,
            empty_due: false,
            pending: false,
            wanted: None,
            tickets: 0,
            judging: None,
            armed: BTreeSet::new(),
            ahead: vec![Kept::default(); committee.n()],
            early: BTreeMap::new(),
            decisions: BTreeMap::new(),
            peers: Peers::default(),
            mute: None,
            planted: Planted::NOTHING,
            committee,
        }
    }

    /// The same with a bug, to see that it is found.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    /// The height that is being decided.
    pub fn height(&self) -> Height {
        self.height
    }

    /// lockedRound and lockedValue.
    pub fn locked(&self) -> Option<(u64, BlockId)> {
        self.locked
    }

    /// validRound and validValue.
    pub fn valid(&self) -> Option<(u64, BlockId)> {
        let (round, polka) = self.valid.as_ref()?;
        Some((*round, polka.vote().digest))
    }

    /// Messages that are kept for later, and blocks.
    pub fn kept(&self) -> usize {
        let ahead = self.ahead.iter().map(Kept::len).sum::<usize>();
        let early = self.early.values().map(Kept::len).sum::<usize>();
        ahead + early + self.blocks.len()
    }

    fn quorum_size(&self) -> usize {
        QuorumRule::TwoThirds.of(self.committee.n())
    }

    const fn seq(&self) -> Seq {
        Seq(self.height.0)
    }

    const fn view(&self, round: u64) -> View {
        View(View::first_of(self.epoch).0 + round)
    }

    /// TM14.
    fn proposer(&self, round: u64) -> NodeId {
        self.committee.turn(self.height.0 - self.base.0 + round)
    }

    /// Whether TM17 is followed here.
    fn relays(&self) -> bool {
        self.config.relay_polkas && !self.planted.is(crate::mutant::Mutant::PolkaNotRelayed)
    }

    fn arm(&mut self, timer: Timer, after: Duration, out: &mut Outbox<Self>) {
        self.armed.insert(timer);
        out.push(Effect::Arm { timer, after });
    }

    /// Forgets timers of this height, all or those of its rounds.
    fn disarm(&mut self, all: bool, out: &mut Outbox<Self>) {
        let mut kept = BTreeSet::new();
        for timer in std::mem::take(&mut self.armed) {
            if all || !matches!(timer, Timer::Commit(_) | Timer::Empty(_)) {
                out.push(Effect::Disarm(timer));
            } else {
                kept.insert(timer);
            }
        }
        self.armed = kept;
    }

    /// TM13.
    fn timeout(&self, base: Duration) -> Duration {
        let rounds = u32::try_from(self.round).unwrap_or(u32::MAX);
        base.saturating_add(self.config.timeout_delta.saturating_mul(rounds))
    }

    fn on_timer(&mut self, timer: Timer, out: &mut Outbox<Self>) {
        let (height, round) = (self.seq(), self.round);
        self.armed.remove(&timer);
        match timer {
            Timer::Status => self.on_status_timer(out),
            Timer::Commit(h) if h == height => self.rested = true,
            Timer::Empty(h) if h == height => self.empty_due = true,
            _ if self.decided.is_some() => {}
            Timer::Propose(h, r) if (h, r) == (height, round) => self.give_up_proposal(out),
            Timer::Prevote(h, r) if (h, r) == (height, round) => self.give_up_polka(out),
            Timer::Precommit(h, r) if (h, r) == (height, round) => {
                // TM12.
                self.start_round(round + 1, out);
            }
            _ => {}
        }
    }
}

impl Engine for Tendermint {
    type Message = TendermintMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "tendermint";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    /// As CometBFT's mempool gossips.
    fn relay(&self) -> Relay {
        Relay::Everyone
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::TwoThirds
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FINALITY)
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        self.now = now.mono;
        match input {
            Input::Start => {
                self.rested = true;
                self.arm_empty(out);
            }
            Input::Recovered { disk, records, tip } => {
                self.recover(now.wall, disk, records, &tip, out);
            }
            Input::Synced { block, proof, .. } => self.on_synced(&block, &proof, out),
            Input::Committee { from, committee } => self.on_committee(from, committee),
            Input::Message { message, .. } => self.on_message(message, out),
            Input::Timer(timer) => self.on_timer(timer, out),
            Input::Pending(oldest) => self.pending = oldest.is_some(),
            Input::Payload { ticket, block } => self.on_payload(ticket, block, out),
            Input::Validated { block, verdict } => self.on_verdict(block, verdict.is_ok()),
            Input::Executed { block, .. } => self.on_executed(block, out),
        }
        self.advance(out);
        self.watch(out);
    }

    fn status(&self) -> Status {
        Status {
            view: self.view(self.round),
            leader: self.proposer(self.round),
            active: true,
            height: self.height.prev(),
        }
    }
}
