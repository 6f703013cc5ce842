//! A consensus protocol as a pure machine: inputs in, effects out, nothing else.
//!
//! The contract between an engine and the node that hosts it:
//!
//! - The host calls [`Engine::step`] once for each input, with what the node's clock says, and then
//!   carries out the effects in their order. It may do so late (a slow disk) but never out of order.
//! - [`Effect::Persist`] is a barrier: sends, finality and replies that come after it, in this step or
//!   a later one, wait until the record is durable. Timers do not wait.
//! - A node that starts again is told what its disk holds with [`Input::Recovered`] in place of
//!   [`Input::Start`]; nothing that it says afterwards may contradict what left it before.
//! - [`Effect::Head`] may move to another branch; [`Effect::Final`] comes in order of height and is never
//!   withdrawn. A protocol without finality never says `Final`.
//! - Timers carry what they are about (their view, say), so that a stale one is harmless.
//! - Engines check every signature and every claim; a bad message changes nothing and is counted with
//!   [`Outbox::refuse`].

use std::{fmt::Debug, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    block::{Block, Finality, Results},
    crypto::Keypair,
    ledger::proof::check_finality,
    membership::Committee,
    quorum::{FinalityRule, QuorumRule, Vote},
    rewrite::{Pen, Rewrite},
    storage::Stored,
    types::{BlockId, Digest, Height, LocalTime, Mono, NodeId, Seq, View, Wall},
};

/// What faults a protocol claims to bear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FaultModel {
    /// One machine is trusted with everything.
    Trusted,
    /// Members may stop; none lies.
    Crash,
    /// Up to f members may do anything.
    Byzantine,
}

/// When a submitter may rely on an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyRule {
    /// One signed receipt is enough.
    One,
    /// f+1 equal receipts from distinct members.
    WeakQuorum,
    /// A receipt once the block is this many blocks below the head.
    Depth(u64),
    /// The receipt of the submitter's own peer, the commit event; of others, as many equal ones as hold
    /// one that is honest.
    Commit,
}

/// Where a node sends a transaction that it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relay {
    /// To the leader; to everyone when it stays unexecuted for too long.
    Leader,
    /// To everyone at once.
    Everyone,
}

/// A protocol's name for a kind of message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    /// For people: "PRE-PREPARE".
    pub name: &'static str,
    /// For fingerprints; distinct within a protocol.
    pub code: u8,
    /// Whether it proposes something that a leader could propose differently to others.
    pub proposal: bool,
}

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Slot {
    /// The reign.
    pub view: View,
    /// The slot, zero when it is about none.
    pub seq: Seq,
}

/// The script that colluding liars share: for each honest digest, the one that they tell the others.
pub type Forks = std::collections::BTreeMap<Digest, Digest>;

/// A message of one protocol.
pub trait Message: Clone + Debug + BorshSerialize + BorshDeserialize + 'static {
    /// What kind it is.
    fn kind(&self) -> Kind;
    /// What it is about.
    fn slot(&self) -> Slot;
    /// Bytes on the wire; exactly the length of its encoding.
    fn wire_len(&self) -> usize;
    /// Signatures that the receiver checks before it can use it, those in its block included.
    fn signatures(&self) -> usize;
    /// Bytes that the receiver hashes.
    fn hashed_bytes(&self) -> usize;
    /// Shows the blocks that it carries, whose transactions the receiver checks first.
    fn each_block(&self, _visit: &mut dyn FnMut(&Block)) {}
    /// A message of the same kind, view and slot that says something else, signed with the same
    /// sender's key, as an equivocator would send it to a part of the committee. A proposal makes a
    /// different block and notes the pair in `forks`; a vote follows the script. `None` if there is
    /// nothing to lie about.
    fn conflicting(&self, key: &Arc<Keypair>, me: NodeId, forks: &mut Forks) -> Option<Self>;
    /// This message with one small change, as a liar with that pen would send it; `None` if the change
    /// makes no sense here.
    fn rewrite(&self, _change: Rewrite, _pen: &mut Pen<'_, Self>) -> Option<Self> {
        None
    }
}

/// What one protocol writes to its log.
pub trait Record: Clone + Debug + BorshSerialize + BorshDeserialize + 'static {
    /// Bytes on disk; exactly the length of its encoding, known without making it.
    fn wire_len(&self) -> usize;
    /// Its kind, for people and for schedules, and what it is about.
    fn label(&self) -> (&'static str, Slot) {
        ("RECORD", Slot::default())
    }
}

/// What a machine that starts again found on its disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Recovery {
    /// All that was made durable, and nothing else.
    Clean,
    /// All that was made durable; behind it lies something damaged that never was.
    Torn,
    /// What was made durable is gone, damaged, or older than it should be: the node may have said
    /// anything (R40).
    Lost,
}

/// The newest final block of a ledger.
#[derive(Clone, Copy, Debug)]
pub struct Tip<'a> {
    /// The block; genesis if there is no other.
    pub block: &'a Arc<Block>,
    /// Why it is final; `None` for genesis.
    pub proof: Option<&'a Arc<Finality>>,
    /// What executing it gave.
    pub results: Results,
    /// The final blocks that end with it, in order, without holes: from height 1 on, or as far down as the
    /// host has them.
    pub recent: &'a [Stored],
    /// Why the last block of the committee before the present one is final; `None` while the founders
    /// decide.
    pub handed_over: Option<&'a Arc<Finality>>,
}

/// Names a request for a payload; a later one replaces it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Ticket(pub u64);

/// Why a proposed block was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockFault {
    /// Its parent is not known here.
    #[error("unknown parent")]
    UnknownParent,
    /// Height is not the parent's plus one.
    #[error("wrong height")]
    WrongHeight,
    /// The transactions are not those of the header.
    #[error("transactions do not match the header")]
    WrongTransactions,
    /// A transaction is not signed by a party that may write.
    #[error("a transaction is not signed by a party that may write")]
    Unauthorised,
    /// A transaction was ordered before, or twice in the block.
    #[error("a transaction was ordered before")]
    Duplicate,
    /// The claimed results are not those of that height.
    #[error("claimed results differ from ours")]
    WrongResults,
    /// It claims results of a height that was not executed here, so they cannot be judged yet.
    #[error("it claims results of a height that was not executed here")]
    Unexecuted,
    /// Not later than the parent, or too far ahead of this node's clock (R42).
    #[error("timestamp out of bounds")]
    Timestamp,
    /// More transactions or bytes than a batch may have.
    #[error("oversized batch")]
    TooLarge,
}

/// What an engine is told.
#[derive(Clone, Debug)]
pub enum Input<'a, E: Engine> {
    /// The node starts; the ledger holds nothing but genesis.
    Start,
    /// The node starts again after a crash, in place of [`Input::Start`].
    Recovered {
        /// How much of it can be believed.
        disk: Recovery,
        /// This engine's records, oldest first, from the last [`Effect::Truncate`] on.
        records: &'a [E::Record],
        /// Where the recovered ledger ends.
        tip: Tip<'a>,
    },
    /// The host fetched this final block from another node, checked its proof, and executed it: the
    /// final chain ends here now. It follows the one before, or ends a snapshot that the host took over
    /// in place of all blocks up to here.
    Synced {
        /// The block.
        block: Arc<Block>,
        /// Why it is final.
        proof: Arc<Finality>,
        /// What executing it gave.
        results: Results,
    },
    /// From this height on these decide. Told when the change has been executed, and again after a
    /// restart, before the height is reached.
    Committee {
        /// The first height that they decide.
        from: Height,
        /// They.
        committee: Arc<Committee>,
    },
    /// A message that arrived from this address. The address is not authenticated: signatures are.
    Message {
        /// Where it came from.
        from: NodeId,
        /// What it says.
        message: &'a E::Message,
    },
    /// A timer that this engine armed.
    Timer(E::Timer),
    /// The oldest transaction that waits to be executed here has waited since then; `None`: nothing
    /// waits. Told when the answer changes.
    Pending(Option<Mono>),
    /// The block that was wanted.
    Payload {
        /// Which request it answers.
        ticket: Ticket,
        /// A fresh block of this proposer on the parent that was asked for.
        block: Arc<Block>,
    },
    /// The host's verdict on a block (parent, transactions, results, timestamp).
    Validated {
        /// Which block.
        block: BlockId,
        /// Whether it may follow its parent.
        verdict: Result<(), BlockFault>,
    },
    /// A block that this engine called final, or made head, has been executed.
    Executed {
        /// Which block.
        block: BlockId,
        /// What executing it gave.
        results: Results,
    },
}

/// What an engine wants done, in order.
#[derive(Clone, Debug)]
pub enum Effect<E: Engine> {
    /// Send to one node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Arc<E::Message>,
    },
    /// Send to every other member of the committee.
    Broadcast(Arc<E::Message>),
    /// Wake me after this long on my own monotonic clock. Arming an armed timer moves it.
    Arm {
        /// Which.
        timer: E::Timer,
        /// From now.
        after: Duration,
    },
    /// Forget that timer.
    Disarm(E::Timer),
    /// Make this durable before anything that follows leaves.
    Persist(E::Record),
    /// What was persisted before is no longer needed, but for these: they take its place at once or not
    /// at all. Nothing waits for it.
    Truncate(Vec<E::Record>),
    /// Others have final blocks that this protocol's own retransmission does not bring: fetch them.
    /// Each is told with [`Input::Synced`].
    Behind,
    /// Make a block on `parent` as soon as there is something to put into it.
    Want(Want),
    /// No block is wanted any more.
    Unwant,
    /// Judge this block; the answer is [`Input::Validated`], before any other input.
    Validate(Arc<Block>),
    /// The best chain now ends here: every ancestor down to a common one is known to the host, which
    /// has judged them with [`Effect::Validate`]. Branches that lose their place go back to the mempool.
    Head(BlockId),
    /// This block follows the final chain and will never be withdrawn; judged with [`Effect::Validate`]
    /// or certified by a quorum. The answer is [`Input::Executed`].
    Final {
        /// The block.
        block: Arc<Block>,
        /// Why an outsider may believe it.
        proof: Arc<Finality>,
    },
    /// Something happened that observers care about.
    Tell(Tale),
}

/// A request for a payload.
#[derive(Clone, Debug)]
pub struct Want {
    /// Names the request.
    pub ticket: Ticket,
    /// The block to build on: final, head, or judged by the host.
    pub parent: BlockId,
    /// Whether an empty block will do when there is nothing to order.
    pub empty_ok: bool,
    /// Not before the wall clock shows this; the block's timestamp will be at least this.
    pub not_before: Wall,
    /// What goes into [`crate::block::Header::extra`].
    pub extra: Vec<u8>,
}

/// What an engine tells those who watch; it changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tale {
    /// It signed this vote.
    Voted(Vote),
    /// It proposed a block for this slot.
    Proposed {
        /// Where.
        slot: Slot,
        /// What.
        block: BlockId,
    },
    /// It gave up on the leader and asks for this view.
    Suspected(View),
    /// It entered this view.
    Entered {
        /// Which.
        view: View,
        /// Who leads it.
        leader: NodeId,
    },
    /// It decided that this slot stays empty: a null request or a block whose parent was not decided.
    Void(Seq),
    /// A checkpoint became stable.
    Stable {
        /// Up to which slot.
        seq: Seq,
        /// What was agreed on.
        digest: Digest,
    },
    /// Its disk does not show what it signed: it signs nothing until it cannot contradict itself (R40).
    Muted,
    /// It signs again: whatever it signed before lies below this slot.
    Unmuted(Seq),
    /// It holds two signed statements of one member that contradict each other.
    Equivocation {
        /// Whose.
        by: NodeId,
        /// About which slot.
        slot: Slot,
    },
}

/// Why a message changed nothing. Counted, never fatal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// Signed by nobody we know, or not signed by whom it names.
    BadSignature,
    /// The signer has no say here: not a member, or not the leader.
    WrongSender,
    /// About something that is over.
    Stale,
    /// Too far ahead to be kept.
    TooFar,
    /// Contradicts what was accepted before.
    Conflicting,
    /// Does not follow the protocol.
    Malformed,
    /// The block was refused.
    BadBlock,
}

/// Work that a step did, for whoever prices it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Signatures made.
    pub signatures: u32,
    /// Signatures checked in the serial stage (those of a message are checked before it).
    pub checks: u32,
    /// Bytes hashed.
    pub hashed_bytes: u64,
    /// Transactions executed.
    pub executed: u32,
}

/// Where an engine puts its effects.
#[derive(Debug)]
pub struct Outbox<E: Engine> {
    /// In order.
    pub effects: Vec<Effect<E>>,
    /// Messages that changed nothing, by reason.
    pub refusals: Vec<Refusal>,
    /// What the step did.
    pub work: Work,
}

impl<E: Engine> Default for Outbox<E> {
    fn default() -> Self {
        Self {
            effects: Vec::new(),
            refusals: Vec::new(),
            work: Work::default(),
        }
    }
}

impl<E: Engine> Outbox<E> {
    /// Adds an effect.
    pub fn push(&mut self, effect: Effect<E>) {
        self.effects.push(effect);
    }

    /// Sends to one node.
    pub fn send(&mut self, to: NodeId, message: E::Message) {
        self.push(Effect::Send {
            to,
            message: Arc::new(message),
        });
    }

    /// Sends to every other member.
    pub fn broadcast(&mut self, message: E::Message) {
        self.push(Effect::Broadcast(Arc::new(message)));
    }

    /// Tells the observers.
    pub fn tell(&mut self, tale: Tale) {
        self.push(Effect::Tell(tale));
    }

    /// Counts a message that changed nothing.
    pub fn refuse(&mut self, reason: Refusal) {
        self.refusals.push(reason);
    }
}

/// Where an engine stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Current view.
    pub view: View,
    /// Whom to send transactions to.
    pub leader: NodeId,
    /// Whether the view is under way (not being changed).
    pub active: bool,
    /// Final or head height.
    pub height: Height,
}

/// A consensus protocol.
pub trait Engine: Sized {
    /// Its messages.
    type Message: Message;
    /// Its timers. Each names what it is about.
    type Timer: Copy + Ord + Debug;
    /// What it must not forget.
    type Record: Record;

    /// Name of the protocol, as in a scenario.
    const NAME: &'static str;
    /// What it claims to bear.
    const FAULTS: FaultModel;

    /// When a submitter may rely on an answer.
    fn reply_rule(&self) -> ReplyRule;
    /// Whether this node's receipts count for submitters. Not where one node speaks for all: a
    /// database answers, its read replicas do not.
    fn answers(&self) -> bool {
        true
    }
    /// Whether its chain may move to another branch ([`Effect::Head`]). The blocks of such a branch are
    /// judged before anyone executes it; where the chain only grows, results come first.
    fn has_branches(&self) -> bool {
        false
    }
    /// Where transactions go.
    fn relay(&self) -> Relay;
    /// How many of the committee a decision takes.
    fn quorum(&self) -> QuorumRule;
    /// What makes a block final in the eyes of an outsider; `None` where there is nothing to check.
    fn finality(&self) -> Option<FinalityRule>;
    /// Whether somebody who knows the committee of its height may believe that a block is final. Where
    /// nobody lies, a word will do.
    fn proves(&self, committee: &Committee, block: &Block, proof: &Finality) -> bool {
        let Some(rule) = self.finality() else {
            return false;
        };
        check_finality(block.id(), proof, committee, rule).is_ok()
    }
    /// Takes one input.
    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>);
    /// Where it stands.
    fn status(&self) -> Status;
}
