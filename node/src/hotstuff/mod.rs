//! HotStuff: Yin, Malkhi, Reiter, Golan Gueta and Abraham, PODC 2019, in its chained form, and two
//! protocols of two phases that followed it: Jolteon (Gelashvili and others, *Jolteon and Ditto*, 2021,
//! arXiv 2106.10362, which is what DiemBFT v4 runs) and HotStuff-2 (Malkhi and Nayak, ePrint 2023/397).
//!
//! # Roles and words
//!
//! n replicas bear f = ⌊(n−1)/3⌋ liars; a quorum is q = ⌊2n/3⌋+1 = n−f. Views are numbered from 1; genesis
//! stands for view 0. Each view has one leader, who proposes at most one block. A *quorum certificate* (QC)
//! is a vote for a block of a view by q members; a *timeout certificate* (TC) says that q members gave up a
//! view. Blocks form a tree; a block's height is its parent's plus one. A block carries its view, its
//! parent's view and who voted for its parent ([`Stamp`]); the QC for its parent travels beside it
//! ([`Link`]).
//!
//! # Proposing and voting
//!
//! - **HS1** *The leader* of view v, once in it, does: ask its host for a block on the block of its highest
//!   QC; sign it; send PROPOSAL(v, block, that QC, the TC of the view before unless the QC is of view v−1) to
//!   all; vote for it. Once a view, also over a restart.
//! - **HS2** Leaders take turns by *terms*: of one view ([`Leader::Rotate`]), of more than anybody sees
//!   ([`Leader::Sticky`]), of as many as a commit takes ([`Leader::Reputation`]). The view after one that
//!   was given up is the first of the next term.
//! - **HS3** A replica votes once a view, in rising views, and only for a *safe* block. `ThreeChain`: it
//!   extends the block that the replica is locked on, or its QC is of a later view than that (a QC for a
//!   block that carries a QC for its parent locks the parent). `HotStuff2`: its QC is at least as high as
//!   the highest that the replica knows. `Jolteon`: its QC is of the view before, or its TC is, and the QC
//!   is at least as high as the highest that one of the q members of the TC had seen.
//! - **HS4** Upon PROPOSAL(v) with a QC of view v−1 or a TC that leads to v, from the leader of v, do: learn
//!   both (HS7, HS9); wait for the parent (HS15); have the host judge the block on top of it; send
//!   VOTE(v, block) to the leader of v+1. A second block of the same leader and view is evidence.
//! - **HS5** A certificate counts if at least q distinct members signed it.
//!
//! # Certificates and commits
//!
//! - **HS6** *The leader* of view v+1, upon q VOTEs of distinct members for a block of view v, does: make a
//!   QC of them, also without the block.
//! - **HS7** Upon a QC, do: keep it if it is the highest; enter the view after its own if that is later.
//! - **HS8** Upon certified blocks in a row, each the parent of the next, in consecutive views (three in
//!   `ThreeChain`, two in the others), do: the first and all its ancestors are committed. The QCs, with the
//!   headers between, are the proof that an outsider gets.
//!
//! # Giving up views
//!
//! - **HS9** Upon the expiry of the view's timer, do: vote in no view up to this one any more, and say so
//!   with the highest QC. `Jolteon`: send TIMEOUT to all, again with each expiry, and stay until a QC or TC
//!   leads on. The others: enter the next view and send NEW-VIEW to its leader; if no certificate led to the
//!   view that is given up, stay and send NEW-VIEW to all, again with each expiry. q of them for a view are a
//!   TC: upon one, enter the view after it.
//! - **HS10** Upon words of f+1 members that gave up this view or later ones, do: join the smallest of these.
//!   `HotStuff2`: a leader that entered by a TC waits Δ for higher QCs before it proposes.
//! - **HS11** A view may last `timeout` · `timeout_growth`^(views given up since the last commit), at most
//!   `timeout_max`.
//!
//! # What must not be forgotten
//!
//! - **HS12** Before a vote leaves, the block with its QC and TC is durable, and all its ancestors that are
//!   not final; before TIMEOUT or NEW-VIEW leaves, the word with its QC is. Upon starting again, do: rebuild
//!   tree, lock, highest QC and last voted view; send STATUS to all.
//!
//! # Rest
//!
//! - **HS13** Upon nothing waiting and no payload between the final chain and the highest QC, do: stop the
//!   timer; propose nothing. Else the leader proposes empty blocks if there is nothing to order, up
//!   to the one that carries the QC by which the last payload is committed. Committed empty blocks behind
//!   the last payload are called final together with the next payload.
//!
//! # Reputation
//!
//! - **HS14** The leader of a term that view v is in, by [`Leader::Reputation`]: of the members that proposed
//!   one of, or (as their stamps say) voted for the parents of, the last `window` blocks that QCs of views
//!   below v−1 commit (HS8), without the newest f different proposers among those, the one whose turn it is.
//!   As long as those QCs commit fewer blocks, everybody's turn comes. Only QCs on the chain that ends with
//!   the highest QC count. One off that chain may commit a block too, if a later leader did not know it;
//!   whoever saw it would go by a window of its own until all windows are full of later blocks, which must
//!   be committed first. The highest QC is what words of HS9 spread, so windows differ a timeout at most.
//!
//! # Falling behind
//!
//! - **HS15** Upon a QC for a block that is not here, do: send FETCH to one after another of its signers.
//!   Upon FETCH, do: send the block and its ancestors, newest first. Upon lacking more than a few, or no
//!   answer, do: have the host fetch final blocks too.
//! - **HS16** Upon a word of one who is behind, do: send it the highest QC and TC (CERTIFICATE). *The leader*
//!   at rest sends that to members whose vote did not come, after 1, 2, 4, … 32 timeouts and every 32 from
//!   then on, until they say that they know.
//! - **HS17** Upon starting again with a disk that shows too little, do: ask all where they are (STATUS with
//!   a number of this restart); sign nothing but STATUS and FETCH until q have answered and a block is
//!   committed whose view is above the view after the highest that they named. It can have voted in no
//!   later one: a vote in v needs q members that left v−1, and those are in v−1 or later. A liar who names
//!   too high a view keeps it mute; it counts as one of the f faulty ones meanwhile.
//!
//! # Deviations
//!
//! 1. PODC'19 leaves the pacemaker open. Here a view begins with a QC or TC in `Jolteon`, and with the own
//!    timer too in the others; a proposal after a failed view shows the q words that end it.
//! 2. A replica that voted in v stays in v until it sees the QC, so a dead leader costs two timeouts: the
//!    votes for the block before its own are lost with it.
//! 3. The HotStuff-2 paper waits Δ after entering the view, with a pacemaker that brings all in within Δ;
//!    here the leader waits Δ after q words. Who comes later is in time for the next leader.
//! 4. DiemBFT v4 goes by reputation after two blocks in a row and round robin else, with terms of one round.
//!    Terms as long as a commit keep `ThreeChain` alive with one dead member of four.
//! 5. `ThreeChain` does not commit while no k+1 leaders in a row live; its uncommitted chain grows with each
//!    attempt, and hosts refuse blocks that carry results too old (`results_lag`): with `Rotate` and a dead
//!    member of four, whoever comes back after more attempts than that finds the chain stuck.
//! 6. The committee is given: no change of members.
//! 7. Certificates are lists of signatures. Threshold signatures, which the papers' linear sizes rest on, are
//!    not modelled.

mod certify;
mod fetch;
mod leader;
mod message;
mod pacemaker;
mod propose;
mod recovery;
mod rewrite;
mod tree;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    crypto::{Keypair, Signed},
    engine::{Effect, Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status, Tale},
    membership::Committee,
    mutant::Planted,
    quorum::{FinalityRule, QuorumRule, Tally},
    types::{BlockId, LocalTime, NodeId, Seq, View},
};

pub use message::{
    Fetch, GiveUp, HotStuffMessage, Link, News, PROPOSE, Proposal, Record, Report, Stamp,
    TimeoutCertificate, VOTE, Word,
};

use certify::High;
use fetch::{Missing, Peers, Strays};
use leader::Schedule;
use propose::Wanted;
use recovery::Mute;
use tree::Tree;

/// Records after which the log is replaced by what still counts.
const LOG_LENGTH: u64 = 64;

/// Which of the protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// Chained HotStuff of PODC'19: three blocks in a row commit the first.
    ThreeChain,
    /// Two blocks in a row; timeouts to all carry what a new leader must respect.
    Jolteon,
    /// Two blocks in a row; a new leader waits Δ for what it must respect.
    HotStuff2,
}

impl Variant {
    /// Certified blocks in a row that make the first of them final.
    pub const fn links(self) -> usize {
        match self {
            Self::ThreeChain => 3,
            Self::Jolteon | Self::HotStuff2 => 2,
        }
    }
}

/// Who leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leader {
    /// Everybody in turn, a view each.
    Rotate,
    /// One until its view is given up.
    Sticky,
    /// In turn those who took part in the last committed blocks.
    Reputation,
}

/// What can be tuned. All replicas need the same `variant`, `leader` and `window`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which of the protocols.
    pub variant: Variant,
    /// Who leads.
    pub leader: Leader,
    /// How long a view may last at first; a round trip with its block at least.
    pub timeout: Duration,
    /// By how much that grows with each view given up since the last commit: 200 doubles it.
    pub timeout_growth_percent: u32,
    /// How long a view may last at most.
    pub timeout_max: Duration,
    /// Δ: how long a leader of `HotStuff2` waits that did not see the view before end well; a bound on one
    /// way through the network.
    pub delta: Duration,
    /// Committed blocks whose proposers and voters may lead, by reputation.
    pub window: usize,
    /// An answer to FETCH is waited for so long.
    pub fetch_timeout: Duration,
    /// How long a leader that has nothing to order waits with an empty block; `None`: it makes none but
    /// those that finalise a payload.
    pub empty_block_period: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            variant: Variant::Jolteon,
            leader: Leader::Rotate,
            timeout: Duration::from_secs(1),
            timeout_growth_percent: 200,
            timeout_max: Duration::from_secs(32),
            delta: Duration::from_millis(500),
            window: 10,
            fetch_timeout: Duration::from_millis(500),
            empty_block_period: None,
        }
    }
}

/// A timer, with the view that it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The view lasts too long.
    View(View),
    /// Δ is over.
    Delta(View),
    /// A missing block did not come.
    Fetch,
    /// Time to tell those who were silent.
    Care,
    /// Answers to the question after a restart are missing.
    Ask,
}

/// A replica.
#[derive(Debug)]
pub struct HotStuff {
    config: Config,
    me: NodeId,
    /// My place in the committee; `None`: I observe.
    position: Option<usize>,
    key: Arc<Keypair>,
    committee: Arc<Committee>,
    genesis: BlockId,
    schedule: Schedule,

    view: View,
    /// The last view in which I voted, or that I gave up.
    voted: View,
    /// The last view that I gave up.
    gave_up: View,
    high: High,
    /// `ThreeChain`: view and block that I am locked on.
    lock: (View, BlockId),
    tree: Tree,
    /// View of the newest committed block.
    committed: View,
    /// View of the certificate that made the last payload final, and of the highest that a block here
    /// carries: until the first is not above the second, a leader owes the others a block.
    due: View,
    carried: View,
    /// Blocks that became final since the log was replaced.
    settled: u64,

    /// The proposal of the current view.
    offer: Option<(Arc<Proposal>, Stamp)>,
    /// The last one that I voted for.
    last_vote: Option<Arc<Proposal>>,
    /// Votes by their views and heights.
    ballots: BTreeMap<(View, Seq), Tally>,
    wanted: Option<Wanted>,
    /// Whether what is wanted may be empty.
    hurried: bool,
    tickets: u64,

    /// The newest view that a quorum gave up.
    tc: Option<Arc<TimeoutCertificate>>,
    /// By place: the newest word of a member that gives up a view.
    words: Vec<Option<Signed<GiveUp>>>,
    last_word: Option<Signed<GiveUp>>,
    /// Views given up since the last commit.
    failures: u32,
    /// Expiries in the current view, after the first.
    repeats: u32,
    /// The view whose timer runs, and its number there.
    armed: Option<(View, u32)>,
    /// `HotStuff2`: the view in which I wait, and the one in which I have waited.
    waiting: View,
    waited: View,
    /// Whether something waits to be ordered.
    pending: bool,

    missing: Option<Missing>,
    strays: Strays,
    peers: Peers,
    mute: Option<Mute>,
    planted: Planted,
}

impl HotStuff {
    /// A replica that has executed nothing but genesis. Who is not in the committee observes.
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
        assert!(!config.timeout.is_zero(), "views take time");
        assert!(config.timeout_max >= config.timeout, "timeouts grow");
        assert!(
            config.timeout_growth_percent >= 100,
            "timeouts do not shrink"
        );
        assert!(!config.fetch_timeout.is_zero(), "answers take time");
        assert!(config.window > 0, "a window holds a block");
        let n = committee.n();
        Self {
            config,
            me,
            position: committee.position(me),
            key,
            genesis,
            schedule: Schedule::new(&config),
            view: View(1),
            voted: View(0),
            gave_up: View(0),
            high: High {
                view: View(0),
                block: genesis,
                certificate: None,
            },
            lock: (View(0), genesis),
            tree: Tree::new(genesis),
            committed: View(0),
            due: View(0),
            carried: View(0),
            settled: 0,
            offer: None,
            last_vote: None,
            ballots: BTreeMap::new(),
            wanted: None,
            hurried: false,
            tickets: 0,
            tc: None,
            words: vec![None; n],
            last_word: None,
            failures: 0,
            repeats: 0,
            armed: None,
            waiting: View(0),
            waited: View(0),
            pending: false,
            missing: None,
            strays: Strays::new(),
            peers: Peers::new(n),
            mute: None,
            committee,
            planted: Planted::NOTHING,
        }
    }

    /// The same replica with a bug.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    /// The view of the highest quorum certificate that it knows.
    pub fn high(&self) -> View {
        self.high.view
    }

    /// Who leads a view, as far as this replica knows the chain.
    pub fn leads(&self, view: View) -> NodeId {
        self.leader(view)
    }

    /// Whether it may sign.
    fn speaks(&self) -> bool {
        self.position.is_some() && self.mute.is_none()
    }

    fn on_timer(&mut self, timer: Timer, out: &mut Outbox<Self>) {
        match timer {
            Timer::View(view) if view == self.view => self.on_view_timer(out),
            Timer::Delta(view) => self.waited = self.waited.max(view),
            // Of a view that is over.
            Timer::View(_) => {}
            Timer::Fetch => self.on_fetch_timer(out),
            Timer::Care => self.on_care_timer(out),
            Timer::Ask => self.on_ask_timer(out),
        }
    }

    fn on_message(&mut self, from: NodeId, message: &HotStuffMessage, out: &mut Outbox<Self>) {
        match message {
            HotStuffMessage::Proposal(proposal) => self.on_proposal(proposal, out),
            HotStuffMessage::Vote(vote) => self.on_vote(vote, out),
            HotStuffMessage::NewView(word) | HotStuffMessage::Timeout(word) => {
                self.on_word(word, from, out);
            }
            HotStuffMessage::Fetch(fetch) => self.on_fetch(fetch, out),
            HotStuffMessage::Blocks(links) => self.on_blocks(links, out),
            HotStuffMessage::Certificate(news) => self.on_news(news, from, out),
            HotStuffMessage::Status(report) => self.on_status(report, out),
        }
    }

    /// What may be due after any input.
    fn go_on(&mut self, out: &mut Outbox<Self>) {
        self.unmute(out);
        self.seek(out);
        self.wait(out);
        self.consider(out);
        self.want(out);
        self.watch(out);
        self.care(out);
        if self.settled >= LOG_LENGTH {
            self.settled = 0;
            out.push(Effect::Truncate(self.records()));
        }
    }
}

impl Engine for HotStuff {
    type Message = HotStuffMessage;
    type Timer = Timer;
    type Record = Record;

    const NAME: &'static str = "hotstuff";
    const FAULTS: FaultModel = FaultModel::Byzantine;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::WeakQuorum
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::TwoThirds
    }

    fn finality(&self) -> Option<FinalityRule> {
        Some(FinalityRule {
            phase: VOTE,
            quorum: QuorumRule::TwoThirds,
            links: self.config.variant.links(),
        })
    }

    /// Leaders change with each view, and everyone's timer must know that something waits.
    fn relay(&self) -> Relay {
        Relay::Everyone
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        match input {
            Input::Start => {
                let (view, leader) = (self.view, self.leader(self.view));
                out.tell(Tale::Entered { view, leader });
                if self.position.is_none() {
                    out.push(Effect::Behind);
                }
            }
            Input::Recovered { disk, records, tip } => {
                self.peers.attempt = now.wall.0;
                self.recover(disk, records, tip, out);
            }
            Input::Synced { block, proof, .. } => self.on_synced(&block, &proof, out),
            Input::Pending(since) => self.pending = since.is_some(),
            Input::Payload { ticket, block } => self.on_payload(ticket, &block, out),
            Input::Validated { block, verdict } => self.on_validated(block, verdict, out),
            Input::Timer(timer) => self.on_timer(timer, out),
            Input::Message { from, message } => self.on_message(from, message, out),
            // Results are the host's affair, and the committee is given.
            Input::Executed { .. } | Input::Committee { .. } => {}
        }
        self.go_on(out);
    }

    fn status(&self) -> Status {
        Status {
            view: self.view,
            leader: self.leader(self.view),
            active: self.gave_up < self.view,
            height: self.height(),
        }
    }
}
