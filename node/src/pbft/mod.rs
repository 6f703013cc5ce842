//! PBFT: Castro and Liskov, *Practical Byzantine Fault Tolerance*, OSDI 1999; the signature variant,
//! in which certificates travel inside VIEW-CHANGE. Rules are cited as R1–R42 (the project's list of
//! what implementations got wrong), sections as those of the paper.
//!
//! # Roles
//!
//! n replicas bear f = ⌊(n−1)/3⌋ liars. In view v the *primary* is replica v mod n of the committee's
//! turn order; the others are *backups*. Thresholds hold for every n: a quorum is q = ⌈(n+f+1)/2⌉
//! (the paper's 2f+1), a weak quorum is f+1, and "2f PREPAREs" are q−1.
//!
//! # Normal case (§4.2)
//!
//! - *The primary*, while slot n ≤ H is free and fewer than `pipeline` of its slots are undecided, asks
//!   its host for a block on the tip of slot n−1. Upon receiving it, do: sign (v, n, block id) and send
//!   PRE-PREPARE with the block to all.
//! - Upon receiving PRE-PREPARE(v, n, d) from the primary of the current view, with h < n ≤ H and no
//!   other proposal for (v, n), do: wait until slot n−1 is accepted; check that the block follows its
//!   tip; have the host judge it; send PREPARE(v, n, d) to all, once. The primary sends none.
//! - Upon holding the proposal and q−1 PREPAREs of distinct backups for (v, n, d), do: keep them as
//!   proof that d is *prepared*; once COMMIT was sent for slot n−1, send COMMIT(v, n, d) to all, once.
//! - Upon holding q COMMITs of distinct replicas for (v, n, d), and the block, do: the slot is decided.
//! - Upon decision of the slot after the last executed one, do: execute it. The q COMMITs are the proof
//!   that an outsider gets.
//! - Upon a vote whose proposal is not here yet, do: count it all the same. Upon a message of a later
//!   view or of a slot just above H, do: keep it for later, within its sender's share.
//!
//! # Checkpoints (§4.3)
//!
//! - Upon executing a slot that is a multiple of K, do: send CHECKPOINT(n, digest of slot, head, height,
//!   state root and receipts root) to all.
//! - Upon holding q CHECKPOINTs of distinct replicas for (n, d), do: n is *stable*: h := n, H := h + L;
//!   drop what lies at or below h. Nothing else moves the watermarks.
//!
//! # View changes (§4.4)
//!
//! - Upon waiting too long for the oldest request (see below), do: enter view v+1 as inactive; send
//!   VIEW-CHANGE(v+1, h, proof of h, for each slot above h the prepared proof of the highest view).
//! - Upon VIEW-CHANGEs of f+1 distinct replicas for later views, do: join the smallest of those.
//! - Upon holding q of them for the current view or later ones, do: start the new-view timer;
//!   upon its expiry, go on to the next view and wait twice as long.
//! - *The new primary*, upon holding q of them and the blocks that they oblige it to propose, does: send
//!   NEW-VIEW(v+1, those VIEW-CHANGEs, one signed proposal for each slot from min-s to max-s: the digest
//!   prepared in the highest view, otherwise the null request).
//! - Upon receiving NEW-VIEW, do: compute the same from its VIEW-CHANGEs; if the proposals differ, go on
//!   to the next view; otherwise enter the view and treat them as PRE-PREPAREs, fetching blocks that are
//!   missing.
//!
//! # Timers
//!
//! `Request(v)` on a backup: runs while a request waits here; see [`Config::request_timeout`] and
//! [`Config::request_deadline`]. `NewView(v)`: see [`Config::view_change_timeout`]. All three double
//! with each view change in a row, and return to their base when a block that was decided in the current
//! view is executed. `Status`: retransmission, below.
//!
//! # Retransmission
//!
//! - Upon a status interval without progress while something is unfinished, do: send STATUS to all. Upon
//!   STATUS, do: send what its sender lacks: the stable checkpoint, decided slots with their certificates,
//!   own votes for undecided slots, own VIEW-CHANGE, the NEW-VIEW.
//! - Upon a status interval without a word from a member about a slot that was executed here, do: send
//!   STATUS to that member, after 1, 2, 4, … 32 intervals and every 32 from then on.
//!
//! When all is done and all are there, nothing is sent.
//!
//! # Restart and falling behind
//!
//! - Before PREPARE, COMMIT, CHECKPOINT, VIEW-CHANGE, PRE-PREPARE or NEW-VIEW leaves, what it follows from
//!   is durable. Upon a stable checkpoint, do: replace the log by the records that still count.
//! - Upon starting again, do: rebuild from the records what was signed; send STATUS to all.
//! - Upon starting again with a disk that shows too little, do: sign nothing until a checkpoint is stable
//!   above all that may have been signed (see `mute`).
//! - Upon f+1 members that are ahead by more than their retransmission brings (CHECKPOINTs above H, or
//!   reports of executed slots that no DECIDED followed), do: have the host fetch final blocks. Upon each of
//!   them, do: its slot is executed, and those before it that were not were void.
//! - Upon a stable checkpoint whose digest is that of the state here, do: the slots up to it were void.
//!
//! # Epochs
//!
//! - Upon learning that another committee decides from height b on, do: keep proposals and votes of its
//!   members for its views; as primary, ask for empty blocks too once b is within a window.
//! - A proposal on top of block b−1 is refused; the primary makes none.
//! - Upon executing block b−1, at slot s, do: begin anew with the next committee in the first view of
//!   its epoch, with h = s, which needs no proof; see [`epoch`]. Whoever is not in it only observes: it
//!   signs nothing but STATUS, and its host fetches final blocks.
//! - Upon STATUS of one who is still in an earlier epoch, do: send it the decided slots up to s.
//!
//! # Deviations from the paper
//!
//! 1. A request is a *block* of transactions, named by its id; the id is the digest that is voted on, and
//!    zero is the null request. Blocks name their parents, slots do not: a null request appends nothing.
//!    After a view change a block can be chosen for its slot although its parent was not. It keeps its
//!    slot (§4.4 is followed to the letter) and is *void* when its turn comes: it changes nothing, and its
//!    transactions wait on. An executed block's parent was executed before it, so nothing executed is lost.
//! 2. Backups accept the proposals of a view in the order of slots, because a block is judged on top of
//!    its parent. Proposals of a NEW-VIEW need no such order: their prepared proofs vouch for them.
//! 3. A replica may decide on q COMMITs without having prepared: at least f+1 honest replicas have. Hence a
//!    decided slot is retransmitted as one self-certifying message, DECIDED.
//! 4. The watermarks move on any certificate of q CHECKPOINTs, also for a slot that was not executed here.
//!    Replicas keep decided slots for one window below h, for those who are behind; who lacks older ones
//!    gets blocks from its host, which fetches them and checks their certificates one by one.
//! 5. The clock of suspicion runs on the oldest waiting request instead of on each (see above); clients'
//!    requests and replies are the host's business, and there are no tentative or read-only executions.
//! 6. Proposals after a view change carry no request; a replica that lacks it sends FETCH to f+1 of those
//!    that said PREPARE to it, and votes when the block has come.
//! 7. Null requests are accepted within a NEW-VIEW only.
//! 8. Of each member only the VIEW-CHANGE for its highest view is kept. One for a later view counts
//!    towards the start of the new-view timer, as the lost one for this view would have.
//! 9. COMMITs go out in the order of slots, and a void slot of a NEW-VIEW is committed as a null
//!    request. With the paper's rule alone a later slot can gather q COMMITs, lose its parent to a
//!    view change, and an outsider who holds those COMMITs would believe a block that is on no chain.
//! 10. Views are numbered within an epoch, and messages name their view: nothing that one committee said
//!     counts in another. The paper's replicas are given.
//! 11. STATUS, FETCH, BODY, DECIDED and STABLE stand for the paper's unspecified retransmission.
//! 11. OSDI'99 leaves restarts to a log. A replica that lost it estimates what it may have signed as in
//!     TOCS'02 §4.3.2, written for general n, but without new keys.

mod checkpoint;
mod choice;
mod early;
mod epoch;
mod execute;
mod frontier;
mod log;
mod message;
mod mute;
mod normal;
mod peers;
mod recovery;
mod retransmit;
mod rewrite;
mod rules;
mod suspicion;
mod view_change;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    block::Results,
    crypto::{Keypair, Signable, Signed},
    engine::{Effect, Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status, Tale, Ticket},
    membership::{Committee, Committees},
    mutant::Planted,
    quorum::{FinalityRule, QuorumRule},
    types::{BlockId, LocalTime, Mono, NodeId, Seq, View},
};

pub use message::{
    Asks, CHECKPOINT, COMMIT, Decided, Fetch, Lacks, NewView, PREPARE, PbftMessage, PrePrepare,
    Prepared, Proposal, Record, Report, ViewChange,
};
pub use rules::FINALITY;

use checkpoint::Checkpoints;
use early::Early;
use log::Log;
use mute::Mute;
use peers::Peers;
use suspicion::Suspicion;
use view_change::Missing;

/// What can be tuned. All replicas need the same `checkpoint_interval` and `window`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// K: a checkpoint every so many slots.
    pub checkpoint_interval: u64,
    /// L: slots between the watermarks; at least 2K, so that a view need not wait for a checkpoint.
    pub window: u64,
    /// Slots that a primary has proposed and that are not executed yet, at most.
    pub pipeline: u64,
    /// A primary that leaves the oldest waiting request unexecuted for so long is given up.
    pub request_timeout: Duration,
    /// A primary under which any request waits for so long is given up, however much it executes
    /// meanwhile. It bounds the primary that is just fast enough for `request_timeout`; under
    /// overload a correct primary is changed this often too.
    pub request_deadline: Duration,
    /// A new primary has so long for its NEW-VIEW, from the q-th VIEW-CHANGE on.
    pub view_change_timeout: Duration,
    /// Without progress for so long, a replica says where it stands.
    pub status_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            checkpoint_interval: 64,
            window: 256,
            pipeline: 8,
            request_timeout: Duration::from_secs(2),
            request_deadline: Duration::from_secs(20),
            view_change_timeout: Duration::from_secs(2),
            status_interval: Duration::from_secs(1),
        }
    }
}

/// A timer, with the view that it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The oldest request waits too long in this view.
    Request(View),
    /// The primary of this view owes a NEW-VIEW.
    NewView(View),
    /// Time to look for progress.
    Status,
}

/// When a message's view is, seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Era {
    Past,
    Present,
    Future,
}

/// A block that the host is judging.
#[derive(Clone, Copy, Debug)]
struct Judging {
    seq: Seq,
    block: BlockId,
    /// Whether a certificate vouches for it whatever the verdict.
    certified: bool,
}

/// A replica.
#[derive(Debug)]
pub struct Pbft {
    config: Config,
    me: NodeId,
    /// My place in the committee; `None`: I observe.
    position: Option<usize>,
    key: Arc<Keypair>,
    /// Who decides in the epoch of the current view.
    committee: Arc<Committee>,
    /// Who decides from which height on, as far as the host has told.
    committees: Committees,
    /// What my clock said when this step began.
    now: Mono,

    view: View,
    /// Whether the view has begun here, or is being changed to.
    active: bool,
    log: Log,
    /// Where the epoch's slots begin: the last one of the epoch before, zero in the first.
    base: Seq,
    checkpoints: Checkpoints,
    early: Early,
    /// The same for the next epoch, once it is scheduled.
    early_next: Option<Early>,

    /// The last executed slot; never goes down (R24).
    executed: Seq,
    /// The last executed block.
    head: BlockId,
    /// What executing it gave.
    results: Results,
    /// The slot whose block the host is executing.
    executing: Option<Seq>,

    /// All slots from `executed` to here have a known block in this view; `tip` ends their chain.
    frontier: Seq,
    tip: BlockId,
    /// The block that the host is judging.
    judging: Option<Judging>,
    /// A slot whose block the host cannot judge before an ancestor is executed.
    deferred: Option<Seq>,
    /// Primary: the last slot that is assigned in this view.
    assigned: Seq,
    /// Primary: the block that the host was asked for, and its parent.
    wanted: Option<(Ticket, BlockId)>,
    tickets: u64,

    /// All slots up to here were committed in this view, or need not be.
    committed: Seq,
    /// Of the executed slots above this one, those without a decision in the log were void.
    void_above: Seq,
    /// Whether a checkpoint became stable in this step, so that the log can be replaced.
    shorten: bool,

    suspicion: Suspicion,
    /// By position in the committee: the VIEW-CHANGE for the highest view.
    changes: Vec<Option<Arc<Signed<ViewChange>>>>,
    /// Whether the new-view timer runs.
    awaiting_new_view: bool,
    /// How the current view began; `None` in view 0.
    new_view: Option<Arc<Signed<NewView>>>,
    /// Blocks that a new view needs and that are not here.
    missing: BTreeMap<Seq, Missing>,
    peers: Peers,
    /// Set while this replica may have signed what its log does not show.
    mute: Option<Mute>,
    planted: Planted,
}

impl Pbft {
    /// A replica that has executed nothing but genesis. `committee` are the founders; whoever is not
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
        assert!(config.checkpoint_interval > 0, "K is not zero");
        assert!(
            config.window >= config.checkpoint_interval.saturating_mul(2),
            "the window is at least two checkpoint intervals (R15)"
        );
        assert!(config.pipeline > 0, "a primary may have a slot in flight");
        assert!(
            !config.status_interval.is_zero(),
            "status intervals take time"
        );
        assert!(
            usize::try_from(config.window).is_ok(),
            "a window fits into memory"
        );
        let n = committee.n();
        Self {
            config,
            me,
            position: committee.position(me),
            key,
            committees: Committees::new(Arc::clone(&committee)),
            committee,
            now: Mono(0),
            view: View(0),
            active: true,
            log: Log::new(config.window),
            checkpoints: Checkpoints::new(n),
            base: Seq(0),
            early: Early::for_epoch(n, &config),
            early_next: None,
            executed: Seq(0),
            head: genesis,
            results: Results::default(),
            executing: None,
            frontier: Seq(0),
            tip: genesis,
            judging: None,
            deferred: None,
            assigned: Seq(0),
            wanted: None,
            tickets: 0,
            committed: Seq(0),
            void_above: Seq(0),
            shorten: false,
            suspicion: Suspicion::default(),
            changes: vec![None; n],
            awaiting_new_view: false,
            new_view: None,
            missing: BTreeMap::new(),
            peers: Peers::new(n),
            mute: None,
            planted: Planted::NOTHING,
        }
    }

    /// The last executed slot.
    pub fn executed(&self) -> Seq {
        self.executed
    }

    /// The watermarks h and H.
    pub fn watermarks(&self) -> (Seq, Seq) {
        (self.log.low(), self.log.high())
    }

    fn sign<T: Signable<Signer = NodeId>>(&self, body: T, out: &mut Outbox<Self>) -> Signed<T> {
        out.work.signatures += 1;
        self.key.sign(self.me, body)
    }

    fn era(&self, view: View) -> Era {
        if view < self.view {
            Era::Past
        } else if view == self.view && self.active {
            Era::Present
        } else {
            Era::Future
        }
    }

    fn start(&mut self, out: &mut Outbox<Self>) {
        self.suspicion.enter(self.now);
        out.tell(Tale::Entered {
            view: self.view,
            leader: self.committee.leader(self.view),
        });
        if self.position.is_none() {
            out.push(Effect::Behind);
        }
        self.want(out);
    }
}

impl Engine for Pbft {
    type Message = PbftMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "pbft";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::Byzantine
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FINALITY)
    }

    fn relay(&self) -> Relay {
        Relay::Leader
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        self.now = now.mono;
        match input {
            Input::Start => {
                self.peers.attempt = now.wall.0;
                self.start(out);
            }
            Input::Recovered { disk, records, tip } => {
                self.peers.attempt = now.wall.0;
                self.recover(disk, records, tip, out);
            }
            Input::Synced {
                block,
                proof,
                results,
            } => self.on_synced(&block, &proof, results, out),
            Input::Committee { from, committee } => self.on_committee(from, committee, out),
            Input::Pending(since) => {
                self.suspicion.oldest_is(since, self.now);
                self.rearm(out);
            }
            Input::Payload { ticket, block } => self.on_payload(ticket, &block, out),
            Input::Validated { block, verdict } => self.on_validated(block, verdict, out),
            Input::Executed { block, results } => self.on_executed(block, results, out),
            Input::Timer(Timer::Request(view)) if view == self.view && self.active => {
                self.on_request_timer(out);
            }
            Input::Timer(Timer::NewView(view)) if view == self.view && self.awaiting_new_view => {
                self.awaiting_new_view = false;
                self.start_view_change(view.next(), out);
            }
            Input::Timer(Timer::Status) => self.on_status_timer(out),
            // Of a view that is over; and the committee is given.
            Input::Timer(Timer::Request(_) | Timer::NewView(_)) => {}
            Input::Message { message, .. } => match message {
                PbftMessage::PrePrepare(message) => self.on_pre_prepare(message, out),
                PbftMessage::Prepare(vote) => self.on_vote(PREPARE, vote, out),
                PbftMessage::Commit(vote) => self.on_vote(COMMIT, vote, out),
                PbftMessage::Checkpoint(vote) => self.on_checkpoint(vote, out),
                PbftMessage::ViewChange(change) => self.on_view_change(change, out),
                PbftMessage::NewView(message) => self.on_new_view(message, out),
                PbftMessage::Status(status) => self.on_status(status, out),
                PbftMessage::Fetch(fetch) => self.on_fetch(fetch, out),
                PbftMessage::Body(block) => self.on_body(block, out),
                PbftMessage::Decided(message) => self.on_decided(message, out),
                PbftMessage::Stable(certificate) => self.on_stable(certificate, out),
            },
        }
        self.watch_if_waiting(out);
        // Not before the step is over: half-way through a change of the view what counts is in no field.
        if std::mem::take(&mut self.shorten) {
            out.push(Effect::Truncate(self.records()));
        }
    }

    fn status(&self) -> Status {
        Status {
            view: self.view,
            leader: self.committee.leader(self.view),
            active: self.active,
            height: self.results.height,
        }
    }
}
