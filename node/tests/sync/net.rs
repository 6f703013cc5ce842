//! Whole validators with disks, on a network that a test can tamper with.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    codec,
    engine::{Engine, Recovery, Refusal},
    ledger::Snapshot,
    node::{Action, Actions, ClientPacket, ConsensusPacket, Event, Node, Note, Packet, TimerId},
    storage::{LogRecord, Recovered, Stored, Write},
    sync::SyncPacket,
    transaction::Transaction,
    types::{Digest, LocalTime, Mono, NodeId, Wall},
    validator::Validator,
};

use crate::library::{EPOCH, GATEWAY, N};

/// What becomes of a packet.
pub(crate) enum Fate {
    Arrives,
    Lost,
    /// It takes so much longer.
    Late(Duration),
    /// These arrive in its place.
    Replaced(Vec<SyncPacket>),
}

enum What {
    Packet(NodeId, Packet),
    Timer(TimerId),
}

/// What a node has written; durable at once.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) log: Vec<LogRecord>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) chain: Vec<Stored>,
}

impl Disk {
    fn write(&mut self, write: Write) {
        let bytes: usize = write.encode().iter().map(Vec::len).sum();
        assert_eq!(bytes, write.wire_len(), "a write misstates its length");
        match write {
            Write::Log(record) => self.log.push(record),
            Write::Truncate(records) => self.log = records,
            Write::Block(stored) => self.chain.push(stored),
            Write::Snapshot(snapshot) => {
                let bytes = codec::encode(&snapshot);
                let again: Snapshot = codec::decode(&bytes).expect("what was written");
                assert!(again.is_whole());
                self.snapshot = Some(Arc::new(again));
                self.chain.clear();
            }
        }
    }

    fn read(&self) -> Recovered {
        Recovered {
            disk: Recovery::Clean,
            log: self.log.clone(),
            snapshot: self.snapshot.clone(),
            chain: self.chain.clone(),
        }
    }
}

type Tamper = Box<dyn FnMut(NodeId, NodeId, &SyncPacket) -> Fate>;

/// The network.
pub(crate) struct Net<E: Engine> {
    pub(crate) now_ns: u64,
    pub(crate) nodes: Vec<Validator<E>>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) notes: Vec<Vec<Note>>,
    /// What becomes of packets between those who catch up; all others arrive.
    pub(crate) tamper: Tamper,
    /// Packets that were sent, with sender and receiver.
    pub(crate) sent: Vec<(NodeId, NodeId, Packet)>,
    /// What it says gets lost.
    pub(crate) silent: Option<NodeId>,
    /// What it says and what it is told gets lost.
    pub(crate) cut: Option<NodeId>,
    make: Box<dyn Fn(NodeId) -> Validator<E>>,
    queue: BTreeMap<(u64, u64), (usize, u64, What)>,
    count: u64,
    /// How often each node has started; `None`: it is down.
    lives: Vec<(u64, bool)>,
}

pub(crate) const DELAY: Duration = Duration::from_millis(10);

impl<E: Engine> Net<E> {
    /// Four validators that have not started.
    pub(crate) fn new(make: impl Fn(NodeId) -> Validator<E> + 'static) -> Self {
        Self {
            now_ns: 0,
            nodes: (0..N).map(|id| make(NodeId(id))).collect(),
            disks: vec![Disk::default(); N.into()],
            notes: vec![Vec::new(); N.into()],
            tamper: Box::new(|_, _, _| Fate::Arrives),
            sent: Vec::new(),
            silent: None,
            cut: None,
            make: Box::new(make),
            queue: BTreeMap::new(),
            count: 0,
            lives: vec![(0, false); N.into()],
        }
    }

    pub(crate) fn start(&mut self, node: u16) {
        self.lives[usize::from(node)].1 = true;
        self.handle(node.into(), Event::Start);
    }

    pub(crate) fn stop(&mut self, node: u16) {
        let life = &mut self.lives[usize::from(node)];
        *life = (life.0 + 1, false);
    }

    /// Starts again with what the disk holds.
    pub(crate) fn restart(&mut self, node: u16) {
        self.stop(node);
        let at = usize::from(node);
        self.lives[at].1 = true;
        self.nodes[at] = (self.make)(NodeId(node));
        let found = self.disks[at].read();
        self.handle(at, Event::Recovered(&found));
    }

    fn handle(&mut self, node: usize, event: Event<'_>) {
        let now = LocalTime {
            mono: Mono(self.now_ns),
            wall: Wall(EPOCH + self.now_ns),
        };
        let mut actions = Actions::default();
        self.nodes[node].handle(now, event, &mut actions);
        for wish in actions.list {
            match wish {
                Action::Send { to, packet } => self.send(NodeId(node as u16), to, packet),
                Action::Arm { timer, after } => {
                    let at = self.now_ns + after.as_nanos() as u64;
                    self.schedule(at, node, What::Timer(timer));
                }
                Action::Persist(write) => self.disks[node].write(write),
                Action::Note(told) => self.notes[node].push(told),
            }
        }
    }

    fn schedule(&mut self, at: u64, node: usize, what: What) {
        self.count += 1;
        let life = self.lives[node].0;
        self.queue.insert((at, self.count), (node, life, what));
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        self.sent.push((from, to, packet.clone()));
        let lost = self.silent == Some(from) || [Some(from), Some(to)].contains(&self.cut);
        if to.0 >= N || (lost && from != to) {
            return;
        }
        let mut at = self.now_ns + DELAY.as_nanos() as u64;
        let packets = match &packet {
            Packet::Sync(sync) => match (self.tamper)(from, to, sync) {
                Fate::Arrives => vec![packet],
                Fate::Lost => Vec::new(),
                Fate::Late(span) => {
                    at += span.as_nanos() as u64;
                    vec![packet]
                }
                Fate::Replaced(others) => {
                    let others = others.into_iter().map(Arc::new);
                    others.map(Packet::Sync).collect()
                }
            },
            _ => vec![packet],
        };
        for packet in packets {
            self.schedule(at, to.index(), What::Packet(from, packet));
        }
    }

    /// A packet arrives now.
    pub(crate) fn deliver(&mut self, from: NodeId, to: u16, packet: &Packet) {
        self.handle(to.into(), Event::Packet { from, packet });
    }

    /// A message of the protocol arrives now.
    pub(crate) fn tell(&mut self, to: u16, message: E::Message) {
        let packet = Packet::Consensus(ConsensusPacket::new(Arc::new(message)));
        self.deliver(NodeId(0), to, &packet);
    }

    pub(crate) fn submit(&mut self, to: u16, tx: &Arc<Transaction>) {
        let packet = Packet::Client(ClientPacket::Submit(Arc::clone(tx)));
        self.deliver(GATEWAY, to, &packet);
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now_ns + span.as_nanos() as u64;
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= until) {
            self.now_ns = entry.key().0;
            let (node, life, what) = entry.remove();
            let (current, up) = self.lives[node];
            match what {
                What::Packet(from, packet) if up => {
                    let packet = &packet;
                    self.handle(node, Event::Packet { from, packet });
                }
                What::Timer(timer) if up && life == current => {
                    self.handle(node, Event::Timer(timer));
                }
                What::Packet(..) | What::Timer(_) => {}
            }
        }
        self.now_ns = until;
    }

    pub(crate) fn height(&self, node: u16) -> u64 {
        self.nodes[usize::from(node)].ledger().final_height().0
    }

    /// The digest of a node's state.
    pub(crate) fn root(&self, node: u16) -> Digest {
        self.nodes[usize::from(node)].ledger().state().root()
    }

    pub(crate) fn refusals(&self, node: u16) -> Vec<Refusal> {
        let notes = self.notes[usize::from(node)].iter();
        notes
            .filter_map(|note| match note {
                Note::Refused(refusal) => Some(*refusal),
                _ => None,
            })
            .collect()
    }

    /// Questions that a node has asked since this was last cleared, in order: whom, and what kind.
    pub(crate) fn asked(&self, node: u16) -> Vec<(u16, &'static str)> {
        let sent = self.sent.iter().filter(|(from, _, _)| from.0 == node);
        sent.filter_map(|(_, to, packet)| match packet {
            Packet::Sync(sync) if sync.asks() => Some((to.0, sync.label().0.name)),
            _ => None,
        })
        .collect()
    }

    /// Heights of the snapshots that a node took over.
    pub(crate) fn adopted(&self, node: u16) -> Vec<u64> {
        let notes = self.notes[usize::from(node)].iter();
        notes
            .filter_map(|note| match note {
                Note::Adopted { height, .. } => Some(height.0),
                _ => None,
            })
            .collect()
    }
}
