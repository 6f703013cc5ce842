//! The machines of the consortium on wires that take no time.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    block::Block,
    central::Central,
    codec,
    crypto::Signed,
    endorsement::{Endorsed, Endorsement},
    engine::Recovery,
    execute_order_validate::{Machine, Orderer, RolePacket},
    ledger::State,
    mempool::BatchLimits,
    node::{Action, Actions, ClientPacket, Event, Node, Note, Packet, TimerId, TxRefusal},
    storage::{Recovered, Stored, Write},
    transaction::{Outcome, Transaction},
    types::{LocalTime, Mono, NodeId, TxId, Wall},
    validator::Config,
};

use crate::consortium::{PEERS, channel, gateway, node_key, validation};

/// How long an envelope may wait for others to share its block.
pub(crate) const AGE: Duration = Duration::from_millis(20);

pub(crate) struct Network {
    pub(crate) machines: Vec<Machine<Central>>,
    /// What gateways got: from, to, what.
    pub(crate) mail: Vec<(NodeId, NodeId, Packet)>,
    pub(crate) notes: Vec<(NodeId, Note)>,
    /// Machines that nothing reaches and that reach nobody.
    pub(crate) cut_off: BTreeSet<u16>,
    /// Names of the packets that machines sent, with their destinations.
    pub(crate) sent: Vec<(&'static str, NodeId)>,
    disks: Vec<Vec<Write>>,
    wires: VecDeque<(NodeId, NodeId, Packet)>,
    timers: BTreeSet<(u64, NodeId, TimerId)>,
    now_ns: u64,
}

fn machine(id: u16) -> Machine<Central> {
    let (channel, key) = (channel(), node_key(id));
    let genesis = Block::genesis(State::new().root());
    let orderer = channel.orderers.contains(NodeId(id)).then(|| {
        let orderers = Arc::clone(&channel.orderers);
        let engine = Central::new(orderers, NodeId(id), node_key(id), &genesis);
        let config = Config {
            batch: BatchLimits {
                count: 10,
                bytes: 100_000,
            },
            batch_age: AGE,
            clock_tolerance: Duration::from_millis(500),
            results_lag: 1,
            mempool: 100,
            relay: None,
            relay_timeout: Duration::from_secs(1),
            snapshot_above: u64::MAX,
        };
        Orderer::new(
            NodeId(id),
            node_key(id),
            Arc::clone(&channel),
            config,
            engine,
            State::new(),
        )
    });
    let validation = Arc::new(validation());
    Machine::new(NodeId(id), key, channel, State::new(), validation, orderer)
}

impl Network {
    pub(crate) fn new() -> Self {
        let mut network = Self {
            machines: (0..PEERS).map(machine).collect(),
            mail: Vec::new(),
            notes: Vec::new(),
            cut_off: BTreeSet::new(),
            sent: Vec::new(),
            disks: vec![Vec::new(); usize::from(PEERS)],
            wires: VecDeque::new(),
            timers: BTreeSet::new(),
            now_ns: 0,
        };
        for id in 0..PEERS {
            network.handle(id, Event::Start);
        }
        network
    }

    fn handle(&mut self, id: u16, event: Event<'_>) {
        let mut actions = Actions::default();
        let now = LocalTime {
            mono: Mono(self.now_ns),
            wall: Wall(1_000_000_000 + self.now_ns),
        };
        self.machines[usize::from(id)].handle(now, event, &mut actions);
        for action in actions.list {
            match action {
                Action::Send { to, packet } => {
                    self.sent.push((packet.label().0.name, to));
                    self.wires.push_back((NodeId(id), to, packet));
                }
                Action::Arm { timer, after } => {
                    let due = self.now_ns + after.as_nanos() as u64;
                    self.timers.insert((due, NodeId(id), timer));
                }
                Action::Note(note) => self.notes.push((NodeId(id), note)),
                Action::Persist(write) => self.disks[usize::from(id)].push(write),
            }
        }
    }

    /// Everything under way arrives, as the bytes that it is.
    pub(crate) fn run(&mut self) {
        while let Some((from, to, packet)) = self.wires.pop_front() {
            let bytes = packet.encode();
            assert_eq!(bytes.len(), packet.wire_len(), "{:?}", packet.label());
            if to.0 >= PEERS {
                self.mail.push((from, to, packet));
            } else if ![from, to].iter().any(|end| self.cut_off.contains(&end.0)) {
                let machine = &self.machines[to.index()];
                let packet = machine
                    .decode(&bytes)
                    .expect("what was encoded can be decoded");
                self.handle(
                    to.0,
                    Event::Packet {
                        from,
                        packet: &packet,
                    },
                );
            }
        }
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.now_ns + span.as_nanos() as u64;
        while let Some((due, node, timer)) = self.timers.first().copied().filter(|t| t.0 <= until) {
            self.timers.pop_first();
            self.now_ns = due;
            self.handle(node.0, Event::Timer(timer));
            self.run();
        }
        self.now_ns = until;
    }

    pub(crate) fn send(&mut self, from: NodeId, to: u16, packet: Packet) {
        self.wires.push_back((from, NodeId(to), packet));
        self.run();
    }

    /// Proposes to a peer.
    pub(crate) fn propose(&mut self, to: u16, transaction: &Arc<Transaction>) {
        let packet = RolePacket::Propose(Arc::clone(transaction));
        self.send(gateway(3), to, Packet::Role(packet));
    }

    /// The endorsements that came back, and forgets them.
    pub(crate) fn endorsements(&mut self) -> Vec<Arc<Signed<Endorsement>>> {
        let mail = std::mem::take(&mut self.mail);
        let endorsements = mail.into_iter().filter_map(|(_, _, packet)| match packet {
            Packet::Role(RolePacket::Endorsement(signed)) => Some(signed),
            _ => None,
        });
        endorsements.collect()
    }

    /// What both endorsers make of an order, as an envelope.
    pub(crate) fn envelope(&mut self, transaction: &Arc<Transaction>) -> Arc<Transaction> {
        self.propose(0, transaction);
        self.propose(1, transaction);
        let both = self.endorsements();
        assert_eq!(both.len(), 2, "both endorse");
        let both = both.iter().map(Arc::as_ref);
        transaction.with_endorsements(Endorsed::collect(both).expect("they agree"))
    }

    pub(crate) fn submit(&mut self, envelope: &Arc<Transaction>) {
        let packet = Packet::Client(ClientPacket::Submit(Arc::clone(envelope)));
        self.send(gateway(3), 0, packet);
    }

    /// Has an order endorsed, ordered and committed.
    pub(crate) fn commit(&mut self, transaction: &Arc<Transaction>) {
        let envelope = self.envelope(transaction);
        self.submit(&envelope);
        self.wait(2 * AGE);
    }

    pub(crate) fn height(&self, peer: u16) -> u64 {
        self.machines[usize::from(peer)].ledger().height().0
    }

    /// Commit events that gateways got: from which peer, which order, what became of it.
    pub(crate) fn commit_events(&self) -> Vec<(NodeId, NodeId, TxId, Outcome)> {
        let pages = self
            .mail
            .iter()
            .filter_map(|(from, to, packet)| match packet {
                Packet::Client(ClientPacket::Receipts(page)) => Some((*from, *to, page)),
                _ => None,
            });
        pages
            .flat_map(|(from, to, page)| {
                let entries = page.body().entries.iter();
                entries.map(move |(tx, outcome)| (from, to, *tx, outcome.clone()))
            })
            .collect()
    }

    /// Refusals that gateways got.
    pub(crate) fn refusals(&self) -> Vec<(NodeId, TxRefusal)> {
        let mail = self.mail.iter();
        let refusals = mail.filter_map(|(from, _, packet)| match packet {
            Packet::Client(ClientPacket::Refused { reason, .. }) => Some((*from, *reason)),
            _ => None,
        });
        refusals.collect()
    }

    /// Stops a machine and starts it again with what its disk holds.
    pub(crate) fn restart(&mut self, id: u16) {
        self.timers.retain(|(_, node, _)| node.0 != id);
        let writes = &self.disks[usize::from(id)];
        let mut found = Recovered {
            disk: Recovery::Clean,
            log: Vec::new(),
            chain: Vec::new(),
            snapshot: None,
        };
        let machine_of_bytes = machine(id);
        for write in writes {
            match write {
                Write::Log(record) => {
                    let record = machine_of_bytes.decode_record(&record.encode());
                    found.log.push(record.expect("a record of ours"));
                }
                Write::Truncate(keep) => found.log.clone_from(keep),
                Write::Snapshot(_) => unreachable!("peers keep whole chains"),
                Write::Block(stored) => {
                    let stored: Stored = codec::decode(&codec::encode(stored)).expect("a block");
                    found.chain.push(stored);
                }
            }
        }
        self.machines[usize::from(id)] = machine_of_bytes;
        self.handle(id, Event::Recovered(&found));
        self.run();
    }

    /// Forgets the newest writes of a machine.
    pub(crate) fn forget_blocks(&mut self, id: u16, count: usize) {
        let disk = &mut self.disks[usize::from(id)];
        for _ in 0..count {
            let last = disk
                .iter()
                .rposition(|write| matches!(write, Write::Block(_)));
            disk.remove(last.expect("it has so many"));
        }
    }
}
