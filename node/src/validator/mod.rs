//! A validator: mempool, engine, ledger and contracts behind one [`Node`].
//!
//! ```text
//!  SUBMIT, RELAY ─▶ admission ─▶ mempool ─▶ Want / Payload ─▶ engine ─▶ Final, Head ─▶ ledger ─▶ receipts
//!  consensus packets ───────────────────────────────────────▶ engine ─▶ packets
//! ```
//!
//! The engine's effects are carried out in their order from one queue; what they answer (a verdict, an
//! execution) is told to the engine at once, and what *that* brings about joins the end of the queue.

mod admission;
mod chain;
mod committees;
mod proposal;
mod recovery;
mod sync;

pub use self::proposal::EXTRA_BYTES;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    block::Block,
    codec::CodecError,
    crypto::Keypair,
    engine::{Effect, Engine, Input, Message as _, Outbox, Refusal, Relay, Want},
    ledger::{Executor, Ledger, state::State},
    membership::{Committee, Committees, Registry},
    mempool::{BatchLimits, Mempool},
    mutant::{Mutant, Planted},
    node::{
        Action, Actions, Claims, ClientPacket, ConsensusPacket, Event, Node, NodeStatus, Note,
        Packet, TimerId,
    },
    storage::{LogRecord, Write},
    sync::{Archive, Sync},
    types::{BlockId, Height, LocalTime, Mono, NodeId, TxId},
};

/// What a validator needs to know besides its protocol.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a batch is full.
    pub batch: BatchLimits,
    /// When a batch that is not full is cut: once its oldest transaction has waited so long.
    pub batch_age: Duration,
    /// How far a block's timestamp may be ahead of this node's clock (R42).
    pub clock_tolerance: Duration,
    /// How many heights a proposer's results may lie behind its block.
    pub results_lag: u64,
    /// Transactions that the mempool holds at most.
    pub mempool: usize,
    /// Where transactions of this node's gateway go; `None`: where the protocol says.
    pub relay: Option<Relay>,
    /// With [`Relay::Leader`]: how long until they go to everyone after all.
    pub relay_timeout: Duration,
    /// A node that is more than so many blocks behind takes over a snapshot in place of the blocks, and
    /// then has no history from before; `u64::MAX`: never, and none is handed out.
    pub snapshot_above: u64,
}

/// Who a validator is, and whom it knows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its address.
    pub id: NodeId,
    /// Its key.
    pub key: Arc<Keypair>,
    /// Everyone.
    pub registry: Arc<Registry>,
    /// Who decides at first; whoever follows is in the state.
    pub committee: Arc<Committee>,
}

/// The timers that are not the engine's.
const PROPOSAL_TIMER: TimerId = TimerId(0);
const RELAY_TIMER: TimerId = TimerId(1);
const FIRST_ENGINE_TIMER: u64 = 2;

/// A validator of protocol `E`.
pub struct Validator<E: Engine> {
    me: Identity,
    /// Who decides from which height on, as far as the chain says.
    committees: Committees,
    /// The height that scheduled the newest committee, until the link to it is made.
    link_due: Option<Height>,
    config: Config,
    engine: E,
    mempool: Mempool,
    ledger: Ledger,
    executor: Arc<dyn Executor>,
    /// Blocks that were judged good and are not on the chain (yet).
    tree: BTreeMap<BlockId, Arc<Block>>,
    /// What the engine asked for and has not got.
    want: Option<Want>,
    /// Whether something changed that may make a wanted block due.
    look_again: bool,
    /// When [`PROPOSAL_TIMER`] will fire, if it is armed for that.
    proposal_due: Option<Mono>,
    /// Transactions that went to the leader only, with when they go to everyone.
    relayed: VecDeque<(Mono, TxId)>,
    relay_armed: bool,
    timers: BTreeMap<E::Timer, TimerId>,
    timer_names: BTreeMap<TimerId, E::Timer>,
    next_timer: u64,
    /// The oldest waiting transaction, and since when it waits, as the engine was last told.
    told: Option<(TxId, Mono)>,
    /// Up to this height submitters have been answered.
    relied: Height,
    /// How it catches up.
    sync: Sync,
    /// The timer of the question that is under way.
    sync_timer: Option<TimerId>,
    /// What it hands out to those who catch up.
    archive: Archive,
    queue: VecDeque<Effect<E>>,
    outbox: Outbox<E>,
    planted: Planted,
    /// Planted bug: it has forgotten what was executed up to this height, and knows these windows.
    forgotten: Option<(Height, State)>,
}

impl<E: Engine> Validator<E> {
    /// A validator with an empty chain. `engine` must have been made for the same committee and the
    /// genesis block of `state`.
    pub fn new(
        me: Identity,
        config: Config,
        engine: E,
        state: State,
        executor: Arc<dyn Executor>,
    ) -> Self {
        Self {
            mempool: Mempool::new(config.mempool, config.batch.bytes),
            committees: Committees::new(Arc::clone(&me.committee)),
            link_due: None,
            me,
            engine,
            ledger: Ledger::new(state),
            executor,
            tree: BTreeMap::new(),
            want: None,
            look_again: false,
            proposal_due: None,
            relayed: VecDeque::new(),
            relay_armed: false,
            timers: BTreeMap::new(),
            timer_names: BTreeMap::new(),
            next_timer: FIRST_ENGINE_TIMER,
            told: None,
            relied: Height(0),
            sync: Sync::new(config.snapshot_above),
            sync_timer: None,
            archive: Archive::default(),
            config,
            queue: VecDeque::new(),
            outbox: Outbox::default(),
            planted: Planted::NOTHING,
            forgotten: None,
        }
    }

    /// The same validator with a bug around its engine.
    #[must_use]
    pub fn planting(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    /// The engine, for those who test it from inside.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The state that knows the replay windows: this one.
    fn windows<'a>(&'a self, state: &'a State) -> &'a State {
        self.forgotten.as_ref().map_or(state, |(_, blank)| blank)
    }

    fn on_packet(&mut self, now: LocalTime, from: NodeId, packet: &Packet, actions: &mut Actions) {
        match packet {
            Packet::Consensus(packet) => match packet.message::<E::Message>() {
                Some(message) if !self.is_signed(message) => {
                    actions.note(Note::Refused(Refusal::BadSignature));
                }
                Some(message) => self.step(now, Input::Message { from, message }, actions),
                None => actions.note(Note::Refused(Refusal::Malformed)),
            },
            Packet::Relay(transaction) => self.admit_relayed(now, from, transaction, actions),
            Packet::Sync(packet) => self.on_sync(now, from, packet, actions),
            Packet::Client(ClientPacket::Submit(transaction)) => {
                self.admit(now, transaction, Some(from), actions);
            }
            Packet::Role(_)
            | Packet::Client(ClientPacket::Receipts(_) | ClientPacket::Refused { .. }) => {
                actions.note(Note::Refused(Refusal::WrongSender));
            }
        }
    }

    /// Whether the transactions of every block that a message carries are signed by their parties. Ids
    /// do not cover signatures, so a certified block could be handed on with others; and engines do
    /// not know the parties.
    fn is_signed(&self, message: &E::Message) -> bool {
        let mut all = true;
        message.each_block(&mut |block| {
            let registry = &self.me.registry;
            all &= block
                .transactions()
                .iter()
                .all(|tx| registry.verify_party(tx.signed()));
        });
        all
    }

    fn on_timer(&mut self, now: LocalTime, timer: TimerId, actions: &mut Actions) {
        match timer {
            PROPOSAL_TIMER => {
                self.proposal_due = None;
                self.look_again = true;
            }
            RELAY_TIMER => self.relay_to_everyone(now, actions),
            _ if self.sync_timer == Some(timer) => self.sync_due(now, actions),
            _ => {
                // A timer that was disarmed or moved is no longer listed: it fires for nobody.
                if let Some(name) = self.timer_names.remove(&timer) {
                    self.timers.remove(&name);
                    self.step(now, Input::Timer(name), actions);
                }
            }
        }
    }

    /// One input to the engine; its effects join the queue.
    fn step(&mut self, now: LocalTime, input: Input<'_, E>, actions: &mut Actions) {
        self.engine.step(now, input, &mut self.outbox);
        for refusal in self.outbox.refusals.drain(..) {
            actions.note(Note::Refused(refusal));
        }
        actions.add_work(std::mem::take(&mut self.outbox.work));
        // Most votes have no effects.
        if !self.outbox.effects.is_empty() {
            self.queue.extend(self.outbox.effects.drain(..));
        }
    }

    /// Carries out effects until nothing is left to do.
    fn settle(&mut self, now: LocalTime, actions: &mut Actions) {
        loop {
            self.drain(now, actions);
            self.tell_oldest(now, actions);
            self.propose(now, actions);
            if self.queue.is_empty() {
                return;
            }
        }
    }

    /// Carries out the effects that wait, and those that they bring about.
    fn drain(&mut self, now: LocalTime, actions: &mut Actions) {
        while let Some(effect) = self.queue.pop_front() {
            self.carry_out(now, effect, actions);
        }
    }

    /// Tells the engine since when the oldest transaction waits, when that is another one than before.
    /// Of a burst that arrived at one instant each waits a nanosecond longer, so that the engine can
    /// tell them apart: a queue that moves is not one request that waits.
    fn tell_oldest(&mut self, now: LocalTime, actions: &mut Actions) {
        let oldest = self.mempool.oldest_waiting();
        if oldest == self.told.map(|(tx, _)| tx) {
            return;
        }
        let since = self.mempool.oldest();
        self.told = oldest.zip(since).map(|(tx, since)| match self.told {
            Some((_, before)) if before >= since => (tx, Mono(before.0 + 1)),
            _ => (tx, since),
        });
        self.step(
            now,
            Input::Pending(self.told.map(|(_, since)| since)),
            actions,
        );
    }

    fn carry_out(&mut self, now: LocalTime, effect: Effect<E>, actions: &mut Actions) {
        match effect {
            Effect::Send { to, message } => {
                actions.send(to, Packet::Consensus(ConsensusPacket::new(message)));
            }
            Effect::Broadcast(message) => {
                let packet = Packet::Consensus(ConsensusPacket::new(message));
                self.to_others(&packet, actions);
            }
            Effect::Arm { timer, after } => self.arm(timer, after, actions),
            Effect::Disarm(timer) => self.disarm(timer),
            Effect::Persist(record) => {
                let write = Write::Log(LogRecord::new(record));
                actions.list.push(Action::Persist(write));
            }
            Effect::Truncate(keep) => {
                let write = Write::Truncate(keep.into_iter().map(LogRecord::new).collect());
                actions.list.push(Action::Persist(write));
            }
            Effect::Behind => self.catch_up(now, true, actions),
            Effect::Want(want) => {
                self.want = Some(want);
                self.look_again = true;
            }
            Effect::Unwant => self.want = None,
            Effect::Validate(block) => {
                let verdict = self.judge(now, &block, actions);
                let id = block.id();
                if verdict.is_ok() {
                    self.tree.insert(id, block);
                }
                self.step(now, Input::Validated { block: id, verdict }, actions);
            }
            Effect::Head(head) => self.move_head(now, head, actions),
            Effect::Final { block, proof } => self.finalise(now, block, proof, actions),
            Effect::Tell(tale) => actions.note(Note::Engine(tale)),
        }
    }

    fn to_others(&self, packet: &Packet, actions: &mut Actions) {
        let others = self.present().others(self.me.id);
        actions.list.extend(others.map(|to| Action::Send {
            to,
            packet: packet.clone(),
        }));
    }

    fn arm(&mut self, timer: E::Timer, after: Duration, actions: &mut Actions) {
        self.disarm(timer);
        let id = self.new_timer();
        self.timers.insert(timer, id);
        self.timer_names.insert(id, timer);
        actions.list.push(Action::Arm { timer: id, after });
    }

    /// A name that no timer had before.
    fn new_timer(&mut self) -> TimerId {
        let id = TimerId(self.next_timer);
        self.next_timer += 1;
        id
    }

    fn disarm(&mut self, timer: E::Timer) {
        if let Some(id) = self.timers.remove(&timer) {
            self.timer_names.remove(&id);
        }
    }
}

impl<E: Engine> Node for Validator<E> {
    fn id(&self) -> NodeId {
        self.me.id
    }

    fn claims(&self) -> Claims {
        Claims {
            protocol: E::NAME,
            faults: E::FAULTS,
            reply: self.engine.reply_rule(),
            quorum: self.engine.quorum(),
            finality: self.engine.finality(),
        }
    }

    fn handle(&mut self, now: LocalTime, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::Start => self.step(now, Input::Start, actions),
            Event::Recovered(found) => self.recover(now, found, actions),
            Event::Packet { from, packet } => self.on_packet(now, from, packet, actions),
            Event::Timer(timer) => self.on_timer(now, timer, actions),
        }
        self.settle(now, actions);
        if self.planted.is(Mutant::SentBeforeDurable) {
            let waits = |action: &Action| matches!(action, Action::Persist(Write::Log(_)));
            actions.list.sort_by_key(waits);
        }
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            engine: self.engine.status(),
            height: self.ledger.height(),
            pending: self.mempool.len(),
            oldest: self.mempool.oldest(),
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn decode(&self, bytes: &[u8]) -> Result<Packet, CodecError> {
        Packet::decode::<E>(bytes)
    }

    fn decode_record(&self, bytes: &[u8]) -> Result<LogRecord, CodecError> {
        LogRecord::decode::<E::Record>(bytes)
    }
}
