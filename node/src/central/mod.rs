//! One trusted database with read replicas: the baseline that every other protocol is compared with.
//!
//! Roles. The first member of the committee is *the database*; the others are *read replicas*.
//!
//! - Upon pending work, the database wants a block (never an empty one), has its host judge it, makes
//!   it durable, calls it final and pushes it to the replicas: BLOCK. It wants the next one when the
//!   host has executed this one, so that whatever arrives during one fsync shares the next (group
//!   commit).
//! - Upon a BLOCK that the database signed and that follows its own, a replica has it judged and calls
//!   it final. Upon one that leaves a gap, it sends FETCH with the height that it needs, and the
//!   database answers BLOCKS: at most [`BATCH`] blocks or [`BATCH_BYTES`] at a time.
//! - A replica that heard nothing for [`POLL`] sends FETCH too, so that losing the last BLOCK of a burst
//!   does not leave it behind. The database does not answer when there is nothing new.
//!
//! Nobody votes and nothing is promised about a database that lies or dies: while it is down the
//! system is down, and whatever it says is so. Its announcements are signed all the same: two of them
//! for one height are evidence against it.
//!
//! Only the database's receipt counts. The client's view is a request and a reply, 2δ and one fsync;
//! the pushes to the replicas come after the answer and are not part of it. A replica may lag, so it
//! answers nobody ([`Engine::answers`]).
//!
//! What makes a block final is the database's signature under it: its word, which an outsider can check
//! to be its word, and no more ([`Engine::proves`]).
//!
//! The database keeps the newest [`KEEP`] blocks for FETCH, and after a restart none. A replica further
//! behind than that gets an answer that leaves a gap, and has its host fetch what is missing
//! ([`Effect::Behind`]). Records of blocks that the host has executed, and thereby written to its chain,
//! are dropped once there are [`RECORDS`].

mod message;

use std::{collections::VecDeque, sync::Arc, time::Duration};

pub use self::message::CentralMessage;

use crate::{
    block::{Block, Finality},
    crypto::Keypair,
    engine::{
        self, BlockFault, Effect, Engine, FaultModel, Input, Outbox, Refusal, Relay, ReplyRule,
        Status, Tale, Ticket, Want,
    },
    membership::Committee,
    quorum::{Certificate, FinalityRule, Phase, QuorumRule, Vote},
    sealed::SealedBlock,
    types::{BlockId, Height, LocalTime, Mono, NodeId, Seq, View, Wall},
};

/// The database's signature under a block.
pub const ANNOUNCED: Phase = Phase(1);
/// Most blocks in one BLOCKS.
pub const BATCH: usize = 64;
/// Most bytes of blocks in one BLOCKS; the first block always fits.
pub const BATCH_BYTES: usize = 1 << 20;
/// Blocks that the database can still hand out.
pub const KEEP: usize = 1024;
/// Records of executed blocks that the database drops at a time.
pub const RECORDS: usize = 64;
/// After so much silence a replica asks whether it missed something.
pub const POLL: Duration = Duration::from_secs(1);

/// When a replica looks whether it missed something. It is about no slot, so it is never stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Poll;

/// What the engine remembers of the newest final block.
#[derive(Clone, Copy, Debug)]
struct Tip {
    height: Height,
    id: BlockId,
    timestamp: Wall,
}

impl Tip {
    fn of(block: &Block) -> Self {
        Self {
            height: block.header().height,
            id: block.id(),
            timestamp: block.header().timestamp,
        }
    }
}

/// A block that the host judges.
#[derive(Debug)]
enum Judging {
    /// The database's own, not signed yet.
    Own(Arc<Block>),
    /// The database's, at a replica.
    Announced(SealedBlock),
}

/// The trusted database, or one of its read replicas.
#[derive(Debug)]
pub struct Central {
    committee: Arc<Committee>,
    me: NodeId,
    key: Arc<Keypair>,
    tip: Tip,
    /// The newest final blocks, ascending, without gaps, ending at the tip.
    log: VecDeque<SealedBlock>,
    /// Something waits to be ordered.
    pending: bool,
    ticket: Ticket,
    /// A payload is on order, or a block of ours has not been executed yet.
    busy: bool,
    /// Records since the log was last truncated.
    records: usize,
    judging: Option<Judging>,
    /// Announced blocks that wait for their turn to be judged; empty between inputs of others.
    queue: VecDeque<SealedBlock>,
    /// The highest height that the database has signed, as far as a replica knows.
    announced: Height,
    /// When a replica last asked.
    asked: Option<Mono>,
    /// When a replica last got a block.
    heard: Mono,
}

impl Central {
    /// The engine of `me`, whose key this is, on top of this genesis.
    pub fn new(committee: Arc<Committee>, me: NodeId, key: Arc<Keypair>, genesis: &Block) -> Self {
        Self {
            committee,
            me,
            key,
            tip: Tip::of(genesis),
            log: VecDeque::new(),
            pending: false,
            ticket: Ticket::default(),
            busy: false,
            records: 0,
            judging: None,
            queue: VecDeque::new(),
            announced: genesis.header().height,
            asked: None,
            heard: Mono::default(),
        }
    }

    /// Whom everyone trusts.
    fn database(&self) -> NodeId {
        self.committee.leader(View::default())
    }

    fn is_database(&self) -> bool {
        self.me == self.database()
    }

    fn want(&mut self, out: &mut Outbox<Self>) {
        if self.busy || !self.pending || !self.is_database() {
            return;
        }
        self.busy = true;
        self.ticket = Ticket(self.ticket.0 + 1);
        out.push(Effect::Want(Want {
            ticket: self.ticket,
            parent: self.tip.id,
            empty_ok: false,
            not_before: Wall(self.tip.timestamp.0.saturating_add(1)),
            extra: Vec::new(),
        }));
    }

    fn assembled(&mut self, ticket: Ticket, block: Arc<Block>, out: &mut Outbox<Self>) {
        if !self.is_database() || ticket != self.ticket || block.header().parent != self.tip.id {
            return;
        }
        self.judging = Some(Judging::Own(Arc::clone(&block)));
        out.push(Effect::Validate(block));
    }

    fn judged(
        &mut self,
        now: LocalTime,
        block: BlockId,
        verdict: Result<(), BlockFault>,
        out: &mut Outbox<Self>,
    ) {
        let judging = self.judging.take().expect("a verdict answers a question");
        match judging {
            Judging::Own(own) => {
                assert_eq!(own.id(), block, "the verdict is about another block");
                if verdict.is_ok() {
                    self.publish(own, out);
                } else {
                    // The host made it and does not like it: try again when something changes.
                    out.refuse(Refusal::BadBlock);
                    self.busy = false;
                }
            }
            Judging::Announced(sealed) => {
                assert_eq!(
                    sealed.block().id(),
                    block,
                    "the verdict is about another block"
                );
                if verdict.is_ok() {
                    self.heard = now.mono;
                    self.finalise(sealed, out);
                } else {
                    out.refuse(Refusal::BadBlock);
                    self.queue.clear();
                }
                self.follow(now, out);
            }
        }
    }

    /// Starts again: what was signed is final, whether or not the chain on the disk has it.
    fn recover(
        &mut self,
        now: LocalTime,
        records: &[SealedBlock],
        tip: engine::Tip<'_>,
        out: &mut Outbox<Self>,
    ) {
        self.heard = now.mono;
        self.tip = Tip::of(tip.block);
        self.announced = self.tip.height;
        self.records = records.len();
        for sealed in records {
            if sealed.block().header().parent == self.tip.id {
                self.finalise(sealed.clone(), out);
            }
        }
        if self.is_database() {
            self.busy = self.tip.id != tip.block.id();
            self.want(out);
        } else {
            self.poll(now, out);
        }
    }

    /// The database: durable first, then final, then to the replicas.
    fn publish(&mut self, block: Arc<Block>, out: &mut Outbox<Self>) {
        let sealed = SealedBlock::new(&self.key, self.me, ANNOUNCED, block);
        out.work.signatures += 1;
        out.tell(Tale::Voted(*sealed.seal().body()));
        out.tell(Tale::Proposed {
            slot: sealed.slot(),
            block: sealed.block().id(),
        });
        out.push(Effect::Persist(sealed.clone()));
        self.records += 1;
        self.finalise(sealed.clone(), out);
        out.broadcast(CentralMessage::Block(sealed));
    }

    fn finalise(&mut self, sealed: SealedBlock, out: &mut Outbox<Self>) {
        let block = sealed.block();
        assert_eq!(block.header().parent, self.tip.id, "blocks follow the tip");
        self.tip = Tip::of(block);
        // Progress earns another question at once; an answer that brought nothing does not.
        self.asked = None;
        let word = Certificate::collect([sealed.seal()]).expect("one signature");
        out.push(Effect::Final {
            block: Arc::clone(block),
            proof: Arc::new(Finality::Certificate(word)),
        });
        self.log.push_back(sealed);
        if self.log.len() > KEEP {
            self.log.pop_front();
        }
    }

    /// A replica: takes queued blocks in turn until one waits for the host's verdict.
    fn follow(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        while let Some(sealed) = self.queue.pop_front() {
            let header = sealed.block().header();
            if header.height <= self.tip.height {
                self.compare_with_past(&sealed, out);
            } else if header.height > self.tip.height.next() {
                // A gap: what is missing comes with this one again.
                break;
            } else if header.parent == self.tip.id {
                out.push(Effect::Validate(Arc::clone(sealed.block())));
                self.judging = Some(Judging::Announced(sealed));
                return;
            } else {
                out.refuse(Refusal::Conflicting);
                break;
            }
        }
        self.queue.clear();
        if self.announced > self.tip.height {
            self.fetch(now, out);
        }
    }

    /// A second block for a height that is taken is evidence, unless it is the same one again.
    fn compare_with_past(&self, sealed: &SealedBlock, out: &mut Outbox<Self>) {
        let slot = sealed.slot();
        let past = self.log.iter().rev().find(|past| past.slot() == slot);
        if past.is_some_and(|past| past.block().id() != sealed.block().id()) {
            out.refuse(Refusal::Conflicting);
            out.tell(Tale::Equivocation {
                by: self.database(),
                slot,
            });
        }
    }

    /// Asks for what follows the tip, unless an answer may still be on its way.
    fn fetch(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        let patience = POLL.as_nanos() as u64;
        if self
            .asked
            .is_some_and(|asked| now.mono.since(asked) < patience)
        {
            return;
        }
        self.asked = Some(now.mono);
        let message = CentralMessage::Fetch(self.tip.height.next());
        out.send(self.database(), message);
    }

    fn receive(
        &mut self,
        now: LocalTime,
        from: NodeId,
        message: &CentralMessage,
        out: &mut Outbox<Self>,
    ) {
        match message {
            CentralMessage::Fetch(height) => self.hand_out(from, *height, out),
            CentralMessage::Block(sealed) => {
                self.announce(now, std::slice::from_ref(sealed), false, out);
            }
            CentralMessage::Blocks { list, .. } if list.len() > BATCH => {
                out.refuse(Refusal::Malformed);
            }
            CentralMessage::Blocks { list, more } => {
                self.announce(now, list, *more, out);
                // The database has signed what lies beyond the gap, and keeps no longer what fills it.
                let first = list.first().map(|sealed| sealed.block().header().height);
                if first > Some(self.tip.height.next()) && self.announced > self.tip.height {
                    out.push(Effect::Behind);
                }
            }
        }
    }

    /// The host fetched this final block by itself.
    fn synced(&mut self, now: LocalTime, block: &Block, out: &mut Outbox<Self>) {
        self.tip = Tip::of(block);
        self.heard = now.mono;
        self.log.clear();
        if self.is_database() {
            // Whatever was under way follows a tip that is no longer the newest.
            self.busy = false;
            self.want(out);
        }
    }

    /// A block of the database was executed, so that its chain holds it.
    fn executed(&mut self, out: &mut Outbox<Self>) {
        if self.records >= RECORDS {
            self.records = 0;
            out.push(Effect::Truncate(Vec::new()));
        }
        self.busy = false;
        self.want(out);
    }

    /// The database: answers a FETCH.
    fn hand_out(&self, from: NodeId, height: Height, out: &mut Outbox<Self>) {
        if !self.is_database() || !self.committee.contains(from) || from == self.me {
            out.refuse(Refusal::WrongSender);
            return;
        }
        let mut bytes = 0;
        let list: Vec<_> = self
            .log
            .iter()
            .skip_while(|sealed| sealed.block().header().height < height)
            .take(BATCH)
            .take_while(|sealed| {
                bytes += sealed.wire_len();
                bytes <= BATCH_BYTES || bytes == sealed.wire_len()
            })
            .cloned()
            .collect();
        if let Some(last) = list.last() {
            let more = last.block().id() != self.tip.id;
            out.send(from, CentralMessage::Blocks { list, more });
        }
    }

    /// A replica: checks who speaks, then follows.
    fn announce(
        &mut self,
        now: LocalTime,
        list: &[SealedBlock],
        more: bool,
        out: &mut Outbox<Self>,
    ) {
        if self.is_database() {
            out.refuse(Refusal::WrongSender);
            return;
        }
        for sealed in list {
            if sealed.block().header().proposer != self.database() {
                out.refuse(Refusal::WrongSender);
            } else if let Err(reason) = sealed.verify(&self.committee, ANNOUNCED) {
                out.refuse(reason);
            } else {
                // `more` is not signed, but it hangs on a block that is: a lie costs a question.
                let height = sealed.block().header().height;
                let known = if more { height.next() } else { height };
                self.announced = self.announced.max(known);
                self.queue.push_back(sealed.clone());
            }
        }
        self.follow(now, out);
    }

    /// A replica: has there been silence for too long?
    fn poll(&mut self, now: LocalTime, out: &mut Outbox<Self>) {
        if now.mono.since(self.heard) >= POLL.as_nanos() as u64 {
            self.fetch(now, out);
        }
        out.push(Effect::Arm {
            timer: Poll,
            after: POLL,
        });
    }
}

impl Engine for Central {
    type Message = CentralMessage;
    type Timer = Poll;
    type Record = SealedBlock;

    const NAME: &'static str = "central";
    const FAULTS: FaultModel = FaultModel::Trusted;

    fn reply_rule(&self) -> ReplyRule {
        ReplyRule::One
    }

    /// Whether it is the word of the database.
    fn quorum(&self) -> QuorumRule {
        QuorumRule::One
    }

    fn finality(&self) -> Option<FinalityRule> {
        None
    }

    fn proves(&self, committee: &Committee, block: &Block, proof: &Finality) -> bool {
        let Finality::Certificate(word) = proof else {
            return false;
        };
        let database = committee.leader(View::default());
        let vote = Vote {
            phase: ANNOUNCED,
            view: View::default(),
            slot: Seq(block.header().height.0),
            digest: block.id(),
        };
        *word.vote() == vote && word.signers().eq([database]) && word.verify(committee, 1).is_ok()
    }

    fn answers(&self) -> bool {
        self.is_database()
    }

    fn relay(&self) -> Relay {
        Relay::Leader
    }

    fn step(&mut self, now: LocalTime, input: Input<'_, Self>, out: &mut Outbox<Self>) {
        match input {
            Input::Start if self.is_database() => self.want(out),
            Input::Start => {
                self.heard = now.mono;
                self.poll(now, out);
            }
            Input::Timer(Poll) => self.poll(now, out),
            Input::Message { from, message } => self.receive(now, from, message, out),
            Input::Pending(oldest) => {
                self.pending = oldest.is_some();
                self.want(out);
            }
            Input::Payload { ticket, block } => self.assembled(ticket, block, out),
            Input::Validated { block, verdict } => self.judged(now, block, verdict, out),
            Input::Executed { block, .. } if block == self.tip.id && self.is_database() => {
                self.executed(out);
            }
            Input::Recovered { records, tip, .. } => self.recover(now, records, tip, out),
            Input::Synced { block, .. } => self.synced(now, &block, out),
            // A replica executes and has nothing to add; everyone trusts the same machine for ever.
            Input::Executed { .. } | Input::Committee { .. } => {}
        }
    }

    fn status(&self) -> Status {
        Status {
            view: View::default(),
            leader: self.database(),
            active: true,
            height: self.tip.height,
        }
    }
}
