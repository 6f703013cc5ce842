//! Raft: Ongaro, *Consensus: Bridging Theory and Practice*, Stanford 2014 (the thesis; sections are its),
//! as etcd runs it (etcd/raft: `Progress`, PreVote, `CheckQuorum`, `ReadIndex`). Rules are RA1–RA29.
//!
//! # Roles
//!
//! n members of which a majority lives and nobody lies. Time is cut into *terms* with one *leader* at
//! most; the others *follow*, or are *candidates*. *Learners* receive entries and do not count. The log
//! is a sequence of entries; an entry holds the term of its leader and a block, nothing, or a
//! configuration. The chain is what the blocks in committed entries give, in their order.
//!
//! # Elections (§3.4, §9.6)
//!
//! - **RA1** Upon a message of a later term, do: enter that term as follower. A message of an earlier term
//!   changes nothing; to a leader of one it is said that its term is over (if PreVote or `CheckQuorum` is
//!   on).
//! - **RA2** A follower waits for its leader between one and two times `election`. The draw comes from the
//!   seed, the node, the term and the number of the attempt.
//! - **RA3** Upon that timeout a voter enters the next term, votes for itself and sends REQUEST-VOTE with the
//!   place of its last entry. Upon votes of a quorum, it leads; upon refusals that leave none, it follows.
//! - **RA4** With `pre_vote` it first asks whether it would be elected (REQUEST-PRE-VOTE), without entering
//!   the term, and goes on only if a quorum would.
//! - **RA5** A member votes once in a term. Term and vote are one record, durable before the vote leaves.
//! - **RA6** It votes only for a candidate whose last entry is of a later term than its own last one, or of
//!   the same term and no lower index.
//! - **RA7** With `lease`, whoever heard of a leader within `election`, and the leader itself, ignores
//!   requests for votes, terms and all.
//! - **RA8** A new leader appends an entry that holds nothing.
//! - **RA9** With `check_quorum`, a leader that did not hear of a quorum for `election` steps down.
//!
//! # Replication (§3.5, §3.6, §10.2)
//!
//! - **RA10** A leader only appends to its log. An entry leaves for the followers while it is being written
//!   to the leader's disk (§10.2.1): whatever follows from it waits for the disk.
//! - **RA11** To each follower the leader sends either one APPEND at a time, until it is known where the logs
//!   part (probe), or up to `inflight` of them without waiting (replicate), or none, while the follower
//!   fetches blocks (snapshot).
//! - **RA12** APPEND names the entry before its first. A follower that does not hold that refuses; one that
//!   does makes its log agree, writes it, and answers how far.
//! - **RA13** An entry that contradicts the leader's is dropped, with all behind it, and nothing else is.
//!   A refusal carries a hint: the last place that can agree, so that a whole term is skipped at a time.
//! - **RA14** An entry of the leader's own term that a quorum holds is committed, with all before it. Entries
//!   of earlier terms are never committed by counting (§3.6.2, Figure 8).
//! - **RA15** APPEND and HEARTBEAT carry how far all is committed; a heartbeat no more than its receiver
//!   holds. With `eager_commit` a leader says so at once, in an APPEND that may be empty.
//! - **RA16** With `rest`: when nothing waits and everybody who answers holds all, a last heartbeat says so,
//!   and timers stop. Whatever comes up starts them again: something that waits, or a message. Those who
//!   do not answer are looked for ever more seldom. Whoever is asked for a vote at rest treats its leader
//!   as heard of; the leader hears of the question too.
//!
//! # Chain
//!
//! - **RA17** Upon commitment, do: apply entries in their order. A block whose parent is the head is final;
//!   any other changes nothing, and neither does an entry without a block.
//! - **RA19** Piped: a leader that has applied its first entry asks for a block on its own newest one (on the
//!   head if that is applied) while fewer than `depth` of them are under way.
//! - **RA20** Upon execution, do: drop `compact_every` applied entries at a time, but the newest `keep`; what
//!   stands for them (place, height, block, configuration) begins the log.
//! - **RA21** Speculative (Quorum): a leader builds on the head or on its own blocks at once, one block in
//!   `block_time`; when a block of another takes the head, or one of its own does not follow it, it
//!   forgets its own and begins again on the head.
//! - **RA22** A follower that needs dropped entries gets SNAPSHOT, which says what stands for them. Its host
//!   fetches the blocks; once the chain is that high the log goes on from there. A block that was
//!   fetched is committed, and so is everything before it in the log.
//! - **RA23** A read: the leader notes how far all is committed, once an entry of its own term is, asks a
//!   quorum in a round of heartbeats whether it still leads, and then answers. A follower asks its leader
//!   (§6.4).
//! - **RA25** The leader's receipts count, transactions go to the leader, and any member may say of a block
//!   that it is final: nobody lies.
//!
//! # Members (§4)
//!
//! - **RA18** The host says who should decide. The leader proposes configurations until the present one is
//!   that: each counts from the moment it is in the log, committed or not; a change adds or removes one
//!   voter; none is proposed before the one before it and an entry of the leader's own term are
//!   committed (the error of 2015).
//! - **RA27** With `learn_first` newcomers are learners until their log agrees with the leader's.
//! - **RA28** Joint: all change at once; in between, decisions take a majority of the old voters and one of
//!   the new (§4.3).
//! - **RA29** A leader that is not in the configuration manages it without counting itself, and steps down
//!   when it is committed (§4.2.2). Who leaves gets entries until then.
//!
//! # Restart
//!
//! - **RA26** Upon starting again, do: go on with the term, the vote and the entries on the disk. What is
//!   committed beyond the chain on the disk is learnt anew from a leader.
//! - **RA24** Upon starting again without them: give no vote, ask for none, and say with each answer that it
//!   does not count; ask the leader, by REJOIN, for an entry that is made after this. Once it holds that
//!   entry and knows it committed (others must have), do: vote for that leader in its term, and count
//!   again. Why that is enough: let the entry be of term t, committed by a quorum Q without the member, after
//!   the member forgot. (a) An entry that its acknowledgement helped to commit in a term up to t is in the
//!   leader's log, and now in its own. (b) Nobody leads a later term by its old vote: a quorum of voters for
//!   that shares a voter with Q, which acknowledged the entry in term t, so it voted later, for
//!   a log that holds the entry; but the candidate had entered its term before the entry was made. (c) In
//!   term t it now votes for the leader that there is; earlier terms are over. A majority of the others is
//!   needed; of one or two members nobody can be let in again.
//!
//! # Deviations
//!
//! 1. A snapshot holds no state: blocks are the ledger's, and the host fetches and executes them.
//! 2. Blocks are not judged by followers: an error of the leader's is everybody's, as in Fabric and Quorum.
//! 3. The slot of a block is its index in the log. A height may be proposed twice in a term (RA21).
//! 4. Configurations count from the moment they are in the log (§4.1); in etcd, once they are applied.
//! 5. Leadership is not handed over on request (§3.10), and there is no lease for reads (§6.4.1).
//! 6. Messages are not signed, and neither is anything else: an outsider gets a word and no proof.

mod apply;
mod config;
mod configuration;
mod election;
mod entry;
mod log;
mod members;
mod message;
mod minting;
mod progress;
mod pulse;
mod read;
mod recovery;
mod replication;
mod rewrite;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

pub use self::{
    config::{Config, Minting},
    configuration::{Change, Configuration},
    election::{ELECTED, candidate},
    entry::{Base, Body, Entry, Position},
    message::{RaftMessage, Record},
    read::Reading,
};

use self::{election::Ballot, log::Log, progress::Progress, read::Asked, recovery::Mute};
use crate::{
    block::{Block, Finality},
    engine::{Engine, FaultModel, Input, Outbox, Refusal, Relay, ReplyRule, Status, Ticket},
    membership::Committee,
    mutant::Planted,
    quorum::{FinalityRule, QuorumRule},
    types::{BlockId, Height, LocalTime, Mono, NodeId, Seq, View},
};

/// A timer, with the term that it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// No leader was heard of for too long; whoever it was.
    Election,
    /// The leader of this term lives.
    Heartbeat(View),
    /// The leader of this term looks whether a quorum answers.
    Quorum(View),
    /// The leader of this term may make a block again.
    Mint(View),
}

/// What a leader knows.
#[derive(Debug)]
struct Reign {
    term: View,
    /// The index of its first entry.
    first: Seq,
    progress: BTreeMap<NodeId, Progress>,
    /// Its blocks that are not applied, each on the one before.
    own: VecDeque<(Seq, BlockId)>,
    /// When it last made one.
    minted: Option<Mono>,
    /// The newest round of reads.
    round: u64,
    reads: VecDeque<Asked>,
    /// Who forgot what it said, the request, and the entry that was made for it.
    rejoins: BTreeMap<NodeId, (u64, Seq)>,
}

impl Reign {
    fn new(term: View, first: Seq) -> Self {
        Self {
            term,
            first,
            progress: BTreeMap::new(),
            own: VecDeque::new(),
            minted: None,
            round: 0,
            reads: VecDeque::new(),
            rejoins: BTreeMap::new(),
        }
    }
}

/// A member.
#[derive(Debug)]
pub struct Raft {
    config: Config,
    me: NodeId,
    now: LocalTime,

    term: View,
    voted: Option<NodeId>,
    /// Whether term or vote changed since they were last written.
    dirty: bool,
    leader: Option<NodeId>,
    /// Set while it leads.
    reign: Option<Reign>,
    /// Set while it is a candidate.
    ballot: Option<Ballot>,
    /// When it last heard of a leader, gave a vote or asked for some.
    heard: Mono,
    /// How long it waits from then on.
    timeout: Duration,
    /// Elections that it began since it last had a leader.
    attempt: u64,
    /// Whether the election timer runs.
    armed: bool,
    /// Whether a rest was agreed on.
    resting: bool,
    /// A leader at rest: heartbeats until it looks for the absent again.
    patience: u32,

    log: Log,
    commit: Seq,
    applied: Seq,
    /// Final blocks that the host is executing, with their entries.
    executing: VecDeque<(Seq, BlockId)>,
    /// Where the chain ends.
    tip: (Height, BlockId),
    /// Up to here the host has fetched blocks: the log says nothing new about them.
    fetched: Height,
    /// A snapshot whose blocks the host fetches, and who sent it.
    awaited: Option<(NodeId, Base)>,

    /// Something waits to be ordered.
    pending: Option<Mono>,
    wanted: Option<(Ticket, BlockId)>,
    tickets: Ticket,
    /// Who should decide, as the host said last.
    target: Option<BTreeSet<NodeId>>,
    /// Answers to reads that wait for the state, or to be taken.
    indices: Vec<(u64, Option<Seq>)>,
    /// Set while it has forgotten what it said.
    mute: Option<Mute>,
    planted: Planted,
}

impl Raft {
    /// A member whose log is empty. `committee` are the founders; whoever is not among them waits until
    /// a leader speaks to it. Panics if the configuration cannot work.
    #[must_use]
    pub fn new(config: Config, me: NodeId, committee: &Committee, genesis: BlockId) -> Self {
        config.check();
        let log = Log::new(Base {
            at: Position::default(),
            height: Height(0),
            block: genesis,
            configuration: Configuration::of(committee.nodes()),
        });
        Self {
            config,
            me,
            now: LocalTime::default(),
            term: View(0),
            voted: None,
            dirty: false,
            leader: None,
            reign: None,
            ballot: None,
            heard: Mono(0),
            timeout: config.election,
            attempt: 0,
            armed: false,
            resting: false,
            patience: 1,
            log,
            commit: Seq(0),
            applied: Seq(0),
            executing: VecDeque::new(),
            tip: (Height(0), genesis),
            fetched: Height(0),
            awaited: None,
            pending: None,
            wanted: None,
            tickets: Ticket(0),
            target: None,
            indices: Vec::new(),
            mute: None,
            planted: Planted::NOTHING,
        }
    }

    /// The same member with a bug.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    fn progress(&mut self, node: NodeId) -> Option<&mut Progress> {
        self.reign.as_mut()?.progress.get_mut(&node)
    }

    /// Sends once term and vote are durable.
    fn send(&mut self, to: NodeId, message: RaftMessage, out: &mut Outbox<Self>) {
        self.flush(out);
        out.send(to, message);
    }

    fn on_message(&mut self, from: NodeId, message: &RaftMessage, out: &mut Outbox<Self>) {
        self.disturbed(message, out);
        let Some(term) = message.term() else {
            return self.on_question(from, message, out);
        };
        let asks = matches!(message, RaftMessage::RequestVote { .. });
        if asks && term > self.term && self.in_lease() {
            out.refuse(Refusal::Stale);
            return;
        }
        let rejoins = matches!(message, RaftMessage::Rejoin { .. });
        if term < self.term && !rejoins {
            self.correct(from, message, out);
            return;
        }
        let of_leader = message.is_of_leader();
        let only_asks = matches!(
            message,
            RaftMessage::RequestVote { pre: true, .. }
                | RaftMessage::Vote {
                    pre: true,
                    granted: true,
                    ..
                }
        );
        if term > self.term && !only_asks {
            self.follow(term, of_leader.then_some(from), out);
        } else if of_leader && !self.hear_leader(from, out) {
            return;
        }
        self.dispatch(from, message, out);
    }

    /// The leader of this term speaks. `false`: that is this member.
    fn hear_leader(&mut self, from: NodeId, out: &mut Outbox<Self>) -> bool {
        if self.reign.is_some() {
            out.refuse(Refusal::Conflicting);
            return false;
        }
        if self.leader != Some(from) || self.ballot.is_some() {
            self.follow(self.term, Some(from), out);
        } else {
            self.heard = self.now.mono;
            self.resting = false;
            self.arm_election(out);
        }
        true
    }

    fn dispatch(&mut self, from: NodeId, message: &RaftMessage, out: &mut Outbox<Self>) {
        match message {
            RaftMessage::RequestVote { pre, term, last } => {
                self.on_request_vote(from, *pre, *term, *last, out);
            }
            RaftMessage::Vote { pre, term, granted } => {
                self.on_vote(from, *pre, *term, *granted, out);
            }
            RaftMessage::Append {
                prev,
                entries,
                commit,
                ..
            } => self.on_append(from, *prev, entries, *commit, out),
            RaftMessage::Appended {
                index, hint, mute, ..
            } => self.on_appended(from, *index, *hint, *mute, out),
            RaftMessage::Heartbeat {
                commit,
                round,
                rest,
                ..
            } => self.on_heartbeat(from, *commit, *round, *rest, out),
            RaftMessage::Heard { round, .. } => self.on_heard(from, *round, out),
            RaftMessage::Snapshot { base, .. } => self.on_snapshot(from, base, out),
            RaftMessage::Rejoin { attempt, .. } => self.on_rejoin(from, *attempt, out),
            RaftMessage::Welcome { attempt, index, .. } => {
                self.on_welcome(from, *attempt, *index, out);
            }
            RaftMessage::Read { .. } | RaftMessage::ReadIndex { .. } => {}
        }
    }

    fn on_question(&mut self, from: NodeId, message: &RaftMessage, out: &mut Outbox<Self>) {
        match message {
            RaftMessage::Read { id } => self.on_read(from, *id, out),
            RaftMessage::ReadIndex { id, index } => self.on_read_index(from, *id, *index, out),
            _ => {}
        }
    }

    fn on_timer(&mut self, timer: Timer, out: &mut Outbox<Self>) {
        match timer {
            Timer::Election => self.on_election_timer(out),
            Timer::Heartbeat(term) if term == self.term => self.on_heartbeat_timer(out),
            Timer::Quorum(term) if term == self.term => self.on_quorum_timer(out),
            // A block may be due: the end of the step sees to it.
            Timer::Mint(_) | Timer::Heartbeat(_) | Timer::Quorum(_) => {}
        }
    }

    fn start(&mut self, out: &mut Outbox<Self>) {
        self.wait_for_leader(out);
        if !self.log.configuration().members().contains(&self.me) {
            out.push(crate::engine::Effect::Behind);
        }
    }
}

impl Engine for Raft {
    type Message = RaftMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "raft";
    const FAULTS: FaultModel = FaultModel::Crash;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::One
    }

    fn answers(&self) -> bool {
        self.reign.is_some()
    }

    fn relay(&self) -> Relay {
        Relay::Leader
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::Majority
    }

    fn finality(&self) -> Option<FinalityRule> {
        None
    }

    /// RA25: whatever a member says.
    fn proves(&self, _committee: &Committee, _block: &Block, proof: &Finality) -> bool {
        matches!(proof, Finality::Trusted)
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        self.now = now;
        match input {
            Input::Start => self.start(out),
            Input::Recovered { disk, records, tip } => self.recover(disk, records, tip, out),
            Input::Synced { block, .. } => self.on_synced(&block, out),
            Input::Committee { committee, .. } => self.on_committee(&committee, out),
            Input::Message { from, message } => self.on_message(from, message, out),
            Input::Timer(timer) => self.on_timer(timer, out),
            Input::Pending(oldest) => {
                self.pending = oldest;
                if oldest.is_some() {
                    self.wake(out);
                }
            }
            Input::Payload { ticket, block } => self.on_payload(ticket, block, out),
            Input::Executed { block, .. } => self.on_executed(block, out),
            // Nothing is asked: nobody lies.
            Input::Validated { .. } => {}
        }
        self.want(out);
        self.flush(out);
    }

    fn status(&self) -> Status {
        Status {
            view: self.term,
            leader: self.leader.unwrap_or(self.me),
            active: self.leader.is_some(),
            height: self.tip.0,
        }
    }
}
