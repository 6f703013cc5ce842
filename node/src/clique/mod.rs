//! Clique: proof of authority as geth runs it (EIP-225), without finality.
//!
//! **Roles.** The committee's members are *signers*, in the committee's order. At height h the signer
//! with place h mod n is *in turn*; its block has difficulty 2, everyone else's 1. A signer may seal at
//! most one of any ⌊n/2⌋+1 consecutive blocks (the *signer limit*), so ⌊n/2⌋+1 of them must be alive:
//! n = 4 lives with one dead and stalls with two.
//!
//! **Sealing.**
//! - Upon a new head, a signer whom the limit allows wants a block on it: in turn at the parent's
//!   timestamp + period (or now, if that is past), out of turn a *wiggle* later, a draw from
//!   [0, (⌊n/2⌋+1)·500 ms). It drops the wish when another head arrives first.
//! - With period 0 it wants one only while something waits, as geth does, and never an empty one.
//! - Upon the payload, it has the block judged by its host like anybody else's, seals it (a signature
//!   over the block's id), makes the seal durable and sends NEW-BLOCK to everyone. With `gossip`,
//!   whoever learns of a block so passes it on once.
//!
//! **Receiving.**
//! - Upon a block, check the seal, the difficulty against the turn, the timestamp (parent + period or
//!   later), the signer limit on the block's own branch; then the host judges it. A block from the
//!   future is held until it is due ([`ALLOWANCE`]), one far ahead ([`HORIZON`]) is refused.
//! - The chain of most total difficulty is the head; [`TieBreak`] says what happens between equals. The
//!   head moves by [`Effect::Head`](crate::engine::Effect::Head); all blocks of the branch were judged before, parents first.
//! - Upon a block whose parent is unknown, keep it and ask its sender: FETCH names the branch's end and
//!   a few blocks of one's own chain with growing gaps; BODY answers what is missing, parents first, at
//!   most [`BATCH`] blocks. One question is under way at a time.
//! - Partitions heal by STATUS, which says where one's chain ends and how heavy it is. It is broadcast
//!   once a period when nothing new was heard for two of them, and sent to whoever shows a lighter chain;
//!   whoever reads a heavier one asks for it.
//!
//! **The log.** It holds every block that was inserted, in that order, because there is no final chain that
//! could be kept in its stead. A signer that starts again inserts them anew, each judged by its host as
//! before, and stands where it stood; so does a network of which all nodes stopped at once. It seals on no
//! parent that it sealed on before. When the disk does not show what it sealed, it seals nothing until the
//! head is younger than its restart: whatever it sealed before stands on older blocks.
//!
//! **What it promises.** No finality, so never [`Effect::Final`](crate::engine::Effect::Final): a submitter relies on a receipt when
//! the block is k deep ([`CliqueConfig::confirmations`]), which is a policy and no proof. After one clean
//! cut the side without ⌊n/2⌋+1 signers adds at most ⌊n/2⌋ blocks, so nothing new becomes
//! k = ⌊n/2⌋+1 deep there. But the other side can be outweighed (2⌊n/2⌋ in turn against k+1 out of
//! turn), slow links are not clean cuts, and one cloned key gives both sides a majority (museum
//! M35). Hence it claims to bear crashes only.
//!
//! **An honest signer can seal twice at one height.** It seals X at height h; a branch that is heavier
//! but not longer (more of its blocks in turn) takes over; that branch has not seen the signer lately, and
//! it seals Y at the same h. "No honest signer signs two blocks of one height" does therefore not hold here
//! and must not be asserted. What holds is weaker: it never seals two blocks on the same parent, because
//! its own block is its head at once and its parent never is again; that is why the seal is made durable
//! first. Two seals of one signer on one parent are thus evidence, [`Tale::Equivocation`](crate::engine::Tale::Equivocation). Both blocks
//! stay in the tree all the same: others may have built on either.
//!
//! **Deviations.** No votes on signers, hence no epochs: the committee is given. An out-of-turn block's
//! timestamp includes its wiggle (geth stamps parent + period and holds the finished block back), because
//! the payload is made when it is due and not before. Signers are ordered as in the committee, not by
//! address. Timestamps count nanoseconds. Difficulty stands in [`crate::block::Header::extra`], the seal
//! beside the block. Branches that leave the main chain more than [`KEEP`] blocks below the head are ignored.

mod fork_choice;
mod intake;
mod message;
mod recovery;
mod rules;
mod sealing;
mod sync;
mod tree;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{fork_choice::ForkChoice, intake::Candidate, rules::Rules, sync::Fetching, tree::Tree};
pub use self::{
    fork_choice::TieBreak,
    intake::{ALLOWANCE, HELD, HORIZON},
    message::{CliqueMessage, HeadStatus, Locator},
    rules::{IN_TURN, OUT_OF_TURN, SEAL, WIGGLE},
    sync::{IDLE_BEAT, PATIENCE},
    tree::{BATCH, BATCH_BYTES, KEEP, LOCATOR},
};
use crate::{
    block::Block,
    crypto::Keypair,
    engine::{Engine, FaultModel, Input, Outbox, Relay, ReplyRule, Status, Ticket},
    membership::Committee,
    quorum::{FinalityRule, QuorumRule},
    sealed::SealedBlock,
    types::{BlockId, LocalTime, Mono, NodeId, View, Wall},
};

/// What a network agrees on before it starts.
#[derive(Clone, Debug)]
pub struct CliqueConfig {
    /// Least time between the timestamps of a block and its parent. Zero: seal when there is something
    /// to order, and only then.
    pub period: Duration,
    /// What happens between branches of equal weight.
    pub tie_break: TieBreak,
    /// Blocks that must follow one before a submitter relies on it; `None`: ⌊n/2⌋+1.
    pub confirmations: Option<u64>,
    /// Whether a node passes new blocks on to everyone, which survives a cut link and costs (n−1)²
    /// messages a block in place of n−1.
    pub gossip: bool,
    /// Seed of the wiggles and coins. Each signer's draws also depend on who it is, so one seed does
    /// for all.
    pub seed: u64,
}

/// Wakes the engine. Neither is about a slot, so none can be stale: each looks at what is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CliqueTimer {
    /// Once a period: was there silence?
    Beat,
    /// A block from the future may be due.
    Due,
}

/// One node that runs Clique.
#[derive(Debug)]
pub struct Clique {
    rules: Rules,
    fork_choice: ForkChoice,
    gossip: bool,
    confirmations: u64,
    me: NodeId,
    key: Arc<Keypair>,
    tree: Tree,
    /// The head that the host knows of.
    announced: BlockId,
    /// Something waits to be ordered.
    pending: bool,
    ticket: Ticket,
    /// On which block a payload is wanted.
    wanted: Option<BlockId>,
    /// Blocks that wait for their turn to be judged; empty between inputs of others.
    queue: VecDeque<Candidate>,
    /// The block that the host judges.
    judging: Option<Candidate>,
    /// Blocks whose parent is unknown, oldest first.
    orphans: VecDeque<Candidate>,
    /// Blocks from the future, oldest first.
    early: VecDeque<Candidate>,
    fetching: Option<Fetching>,
    /// Parents that this node sealed on in an earlier life.
    sealed_on: BTreeSet<BlockId>,
    /// After a disk was lost: heads up to this age may be parents that this node sealed on before.
    seals_after: Option<Wall>,
    /// When the last new block came in.
    heard: Mono,
}

impl Clique {
    /// The engine of `me`, whose key this is, on top of this genesis. A node outside the committee
    /// follows and never seals.
    pub fn new(
        config: &CliqueConfig,
        committee: &Arc<Committee>,
        me: NodeId,
        key: Arc<Keypair>,
        genesis: &Block,
    ) -> Self {
        let rules = Rules {
            committee: Arc::clone(committee),
            period: config.period,
            seed: config.seed,
        };
        Self {
            fork_choice: ForkChoice {
                tie_break: config.tie_break,
                committee: Arc::clone(committee),
                seed: config.seed,
                me,
            },
            gossip: config.gossip,
            confirmations: config.confirmations.unwrap_or(rules.window() as u64),
            rules,
            me,
            key,
            tree: Tree::new(genesis),
            announced: genesis.id(),
            pending: false,
            ticket: Ticket::default(),
            wanted: None,
            queue: VecDeque::new(),
            judging: None,
            orphans: VecDeque::new(),
            early: VecDeque::new(),
            fetching: None,
            sealed_on: BTreeSet::new(),
            seals_after: None,
            heard: Mono::default(),
        }
    }

    /// Where this node's chain ends and how heavy it is.
    pub fn head(&self) -> HeadStatus {
        self.tree.head()
    }

    fn receive(
        &mut self,
        now: LocalTime,
        from: NodeId,
        message: &CliqueMessage,
        out: &mut Outbox<Self>,
    ) {
        match message {
            CliqueMessage::NewBlock(sealed) => self.new_block(now, from, sealed, out),
            CliqueMessage::Body(list) => self.body(now, from, list, out),
            CliqueMessage::Fetch(locator) => self.hand_out(from, locator, out),
            CliqueMessage::Status(status) => self.compare(now, from, status, out),
        }
    }
}

impl Engine for Clique {
    type Message = CliqueMessage;
    type Timer = CliqueTimer;
    type Record = SealedBlock;

    const NAME: &'static str = "clique";
    const FAULTS: FaultModel = FaultModel::Crash;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::Depth(self.confirmations)
    }

    fn has_branches(&self) -> bool {
        true
    }

    fn quorum(&self) -> QuorumRule {
        QuorumRule::Majority
    }

    fn finality(&self) -> Option<FinalityRule> {
        None
    }

    fn relay(&self) -> Relay {
        Relay::Everyone
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        match input {
            Input::Start => {
                self.heard = now.mono;
                self.arm_beat(out);
                self.want(now, out);
            }
            Input::Recovered { disk, records, .. } => self.recover(now, disk, records, out),
            Input::Message { from, message } => self.receive(now, from, message, out),
            Input::Timer(CliqueTimer::Beat) => self.beat(now, out),
            Input::Timer(CliqueTimer::Due) => self.release(now, out),
            Input::Pending(oldest) => {
                self.pending = oldest.is_some();
                self.want(now, out);
            }
            Input::Payload { ticket, block } => self.assembled(now, ticket, block, out),
            Input::Validated { block, verdict } => self.judged(now, block, verdict, out),
            // Which results go into which header is the host's affair, nothing is final, and the
            // committee is given.
            Input::Executed { .. } | Input::Synced { .. } | Input::Committee { .. } => {}
        }
    }

    fn status(&self) -> Status {
        let height = self.tree.head().height;
        Status {
            view: View::default(),
            leader: self.rules.in_turn(height.next()),
            active: true,
            height,
        }
    }
}
