//! Whole validators of PBFT with their disks, joined by a network with one delay: what a crash between any
//! two actions, a lost disk or a liar may do to all of it together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    block::Block,
    engine::{Recovery, Tale},
    ledger::{Snapshot, State},
    membership::{NodeRecord, NodeRole, Registry},
    node::{Action, Actions, ClientPacket, Event, Node, Note, Packet, TimerId, TxRefusal},
    pbft::{Config, Pbft, PbftMessage},
    storage::{LogRecord, Recovered, Stored, Write},
    transaction::Transaction,
    types::{Digest, LocalTime, MemberId, Mono, NodeId, TxId, Wall},
    validator::{self, Identity, Validator},
};

use crate::stage::{self, EPOCH, NORTH, committee, executor, node_key, registry};

/// One way, every link.
pub(crate) const DELTA: Duration = Duration::from_millis(10);

/// Small checkpoints, quick timers.
pub(crate) const PBFT: Config = Config {
    checkpoint_interval: 4,
    window: 16,
    pipeline: 3,
    request_timeout: Duration::from_millis(500),
    request_deadline: Duration::from_secs(20),
    view_change_timeout: Duration::from_millis(500),
    status_interval: Duration::from_millis(200),
};

/// One transaction in a block, at once.
pub(crate) fn brisk() -> validator::Config {
    let mut config = stage::config();
    config.batch.count = 1;
    config.batch_age = Duration::ZERO;
    // As many blocks may be under way as the pipeline holds.
    config.results_lag = PBFT.pipeline;
    config.relay_timeout = Duration::from_millis(300);
    config
}

/// What is durable, and what would be lost if the machine stopped now.
#[derive(Default)]
struct Disk {
    log: Vec<LogRecord>,
    snapshot: Option<Arc<Snapshot>>,
    chain: Vec<Stored>,
    under_way: Vec<Write>,
}

impl Disk {
    /// All writes become durable, in their order.
    fn flush(&mut self) {
        for write in std::mem::take(&mut self.under_way) {
            match write {
                Write::Log(record) => self.log.push(record),
                Write::Truncate(records) => self.log = records,
                Write::Block(stored) => self.chain.push(stored),
                Write::Snapshot(snapshot) => {
                    self.chain.clear();
                    self.snapshot = Some(snapshot);
                }
            }
        }
    }
}

struct Machine {
    /// `None` while it is stopped.
    node: Option<Validator<Pbft>>,
    disk: Disk,
    /// Lives so far: timers of an earlier one fire for nobody.
    life: u64,
}

/// The registry with the validators in it, so that they answer each other's questions about blocks.
fn with_nodes(n: u16) -> Arc<Registry> {
    let mut registry = Registry::clone(&registry());
    let record = |id| NodeRecord {
        id,
        member: MemberId(0),
        roles: [NodeRole::Validator].into(),
        key: node_key(id).public(),
    };
    registry.nodes = (0..n).map(NodeId).map(record).collect();
    Arc::new(registry)
}

enum What {
    Arrives { from: NodeId, packet: Packet },
    Fires { timer: TimerId, life: u64 },
}

/// Rewrites what travels; `None`: it is lost.
type Tamper = Box<dyn FnMut(NodeId, NodeId, &Packet) -> Option<Packet>>;

pub(crate) struct Network {
    config: validator::Config,
    machines: Vec<Machine>,
    queue: BTreeMap<(u64, u64), (NodeId, What)>,
    now_ns: u64,
    count: u64,
    /// This machine stops before it carries out so many more actions; what was not durable is then kept, or
    /// lost.
    pub(crate) crash_before: Option<(u16, usize)>,
    pub(crate) keeps_writes: bool,
    pub(crate) tamper: Option<Tamper>,
    /// Who answered the gateway what.
    pub(crate) answers: BTreeMap<TxId, BTreeMap<NodeId, Digest>>,
    pub(crate) refused: BTreeSet<(NodeId, TxId, TxRefusal)>,
    pub(crate) tales: Vec<(NodeId, Tale)>,
    pub(crate) adopted: Vec<NodeId>,
    /// Each statement of each signer: the kind, view and slot, and what it said.
    said: BTreeMap<(NodeId, u8, u64, u64), Digest>,
}

impl Network {
    pub(crate) fn new(n: u16, config: validator::Config) -> Self {
        let machine = |_| Machine {
            node: None,
            disk: Disk::default(),
            life: 0,
        };
        let mut network = Self {
            config,
            machines: (0..n).map(machine).collect(),
            queue: BTreeMap::new(),
            now_ns: 0,
            count: 0,
            crash_before: None,
            keeps_writes: false,
            tamper: None,
            answers: BTreeMap::new(),
            refused: BTreeSet::new(),
            tales: Vec::new(),
            adopted: Vec::new(),
            said: BTreeMap::new(),
        };
        for node in 0..n {
            network.machines[usize::from(node)].node = Some(network.fresh(node));
            network.handle(NodeId(node), Event::Start);
        }
        network
    }

    fn fresh(&self, node: u16) -> Validator<Pbft> {
        let (id, n) = (NodeId(node), self.machines.len() as u16);
        let genesis = Block::genesis(State::new().root()).id();
        let engine = Pbft::new(PBFT, id, node_key(id), committee(n), genesis);
        let identity = Identity {
            id,
            key: node_key(id),
            registry: with_nodes(n),
            committee: committee(n),
        };
        let config = self.config.clone();
        Validator::new(identity, config, engine, State::new(), executor())
    }

    pub(crate) fn node(&self, node: u16) -> &Validator<Pbft> {
        let machine = &self.machines[usize::from(node)];
        machine.node.as_ref().expect("it runs")
    }

    pub(crate) fn is_up(&self, node: u16) -> bool {
        self.machines[usize::from(node)].node.is_some()
    }

    /// The gateway gives an order to these validators.
    pub(crate) fn submit(&mut self, to: &[u16], order: &Arc<Transaction>) {
        for node in to {
            let packet = Packet::Client(ClientPacket::Submit(Arc::clone(order)));
            let event = Event::Packet {
                from: NORTH,
                packet: &packet,
            };
            self.handle(NodeId(*node), event);
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now_ns + span.as_nanos() as u64;
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= until) {
            self.now_ns = entry.key().0;
            let (node, what) = entry.remove();
            let life = self.machines[node.index()].life;
            match what {
                What::Arrives { from, packet } => {
                    let packet = &packet;
                    self.handle(node, Event::Packet { from, packet });
                }
                What::Fires { timer, life: of } if of == life => {
                    self.handle(node, Event::Timer(timer));
                }
                What::Fires { .. } => {}
            }
        }
        self.now_ns = until;
    }

    fn later(&mut self, after: Duration, node: NodeId, what: What) {
        self.count += 1;
        let at = self.now_ns.saturating_add(after.as_nanos() as u64);
        self.queue.insert((at, self.count), (node, what));
    }

    fn handle(&mut self, node: NodeId, event: Event<'_>) {
        let now = LocalTime {
            mono: Mono(self.now_ns),
            wall: Wall(EPOCH + self.now_ns),
        };
        let Some(validator) = &mut self.machines[node.index()].node else {
            return;
        };
        let mut actions = Actions::default();
        validator.handle(now, event, &mut actions);
        let mut barrier = false;
        for action in actions.list {
            if let Some((_, left)) = self.crash_before.as_mut().filter(|c| c.0 == node.0) {
                if *left == 0 {
                    self.crash_before = None;
                    return self.crash(node.0);
                }
                *left -= 1;
            }
            let disk = &mut self.machines[node.index()].disk;
            if barrier && !matches!(action, Action::Arm { .. }) {
                disk.flush();
                barrier = false;
            }
            match action {
                Action::Persist(write) => {
                    barrier |= matches!(write, Write::Log(_));
                    disk.under_way.push(write);
                }
                Action::Arm { timer, after } => {
                    let life = self.machines[node.index()].life;
                    self.later(after, node, What::Fires { timer, life });
                }
                Action::Send { to, packet } => self.send(node, to, packet),
                Action::Note(Note::Engine(tale)) => self.tales.push((node, tale)),
                Action::Note(Note::Adopted { .. }) => self.adopted.push(node),
                Action::Note(_) => {}
            }
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        self.listen(from, &packet);
        match &packet {
            Packet::Client(ClientPacket::Receipts(page)) => {
                assert_eq!(page.signer(), from);
                for (tx, outcome) in &page.body().entries {
                    let said = consortium_node::codec::digest("outcome", outcome);
                    let answers = self.answers.entry(*tx).or_default();
                    let before = answers.insert(from, said);
                    assert!(
                        before.is_none_or(|before| before == said),
                        "{from} changed its word"
                    );
                }
                return;
            }
            Packet::Client(ClientPacket::Refused { tx, reason }) => {
                self.refused.insert((from, *tx, *reason));
                return;
            }
            _ => {}
        }
        let packet = match &mut self.tamper {
            Some(tamper) => tamper(from, to, &packet),
            None => Some(packet),
        };
        if let Some(packet) = packet {
            self.later(DELTA, to, What::Arrives { from, packet });
        }
    }

    /// R12, I10: nobody ever says two things about one slot of one view.
    fn listen(&mut self, from: NodeId, packet: &Packet) {
        let Packet::Consensus(packet) = packet else {
            return;
        };
        let (kind, view, seq, digest) = match packet.message::<PbftMessage>() {
            Some(PbftMessage::PrePrepare(message)) => {
                let body = message.claim.body();
                if message.claim.signer() != from {
                    return;
                }
                (0, body.view, body.seq, body.digest)
            }
            Some(
                PbftMessage::Prepare(vote)
                | PbftMessage::Commit(vote)
                | PbftMessage::Checkpoint(vote),
            ) => {
                let body = vote.body();
                (body.phase.0, body.view, body.slot, body.digest)
            }
            _ => return,
        };
        let before = self.said.insert((from, kind, view.0, seq.0), digest);
        assert!(
            before.is_none_or(|before| before == digest),
            "{from} said two things in phase {kind} about {seq} in view {view}"
        );
    }

    pub(crate) fn crash(&mut self, node: u16) {
        let keeps = self.keeps_writes;
        let machine = &mut self.machines[usize::from(node)];
        machine.node = None;
        machine.life += 1;
        if keeps {
            machine.disk.flush();
        }
        machine.disk.under_way.clear();
    }

    pub(crate) fn restart(&mut self, node: u16, disk: Recovery) {
        let validator = self.fresh(node);
        let machine = &mut self.machines[usize::from(node)];
        assert!(machine.node.is_none(), "only what stopped starts again");
        if disk == Recovery::Lost {
            machine.disk = Disk::default();
        }
        let found = Recovered {
            disk,
            log: machine.disk.log.clone(),
            snapshot: machine.disk.snapshot.clone(),
            chain: machine.disk.chain.clone(),
        };
        machine.node = Some(validator);
        self.handle(NodeId(node), Event::Recovered(&found));
    }

    /// The chains of all that run are prefixes of one chain, equal heights have equal results, and no
    /// transaction is in it twice (R5).
    pub(crate) fn check(&self) {
        let running = self.machines.iter().filter_map(|m| m.node.as_ref());
        let mut blocks = BTreeMap::new();
        for node in running {
            let ledger = node.ledger();
            let mut seen = BTreeSet::new();
            for entry in ledger.entries() {
                let height = entry.block.header().height;
                let known = blocks
                    .entry(height)
                    .or_insert((entry.block.id(), entry.results));
                assert_eq!(*known, (entry.block.id(), entry.results), "{}", node.id());
                for tx in entry.block.transactions() {
                    assert!(seen.insert(tx.id()), "{} has {} twice", node.id(), tx.id());
                }
            }
        }
    }

    /// How many validators gave the same answer about this order: the most.
    pub(crate) fn agreeing(&self, order: &Transaction) -> usize {
        let Some(answers) = self.answers.get(&order.id()) else {
            return 0;
        };
        let count = |said: &Digest| answers.values().filter(|other| *other == said).count();
        answers.values().map(count).max().unwrap_or(0)
    }
}
