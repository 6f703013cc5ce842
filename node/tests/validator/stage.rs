//! A small consortium, and a stage on which one validator plays: its clock, its timers, and what it
//! says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use consortium_node::{
    central::Central,
    contracts::{ContractExecutor, refrigerated_transportation as shipment},
    crypto::{Keypair, SignatureMode},
    engine::{Engine, Refusal},
    ledger::State,
    membership::{Committee, Party, Permission, Registry},
    mempool::BatchLimits,
    node::{
        Action, Actions, ClientPacket, ConsensusPacket, Event, Node, Note, Packet, ReceiptPage,
        TimerId, TxRefusal,
    },
    storage::Write,
    transaction::{Call, Order, Outcome, Transaction},
    types::{ChainId, LocalTime, Mono, NodeId, PartyId, TxId, Wall},
    validator::{Config, Identity, Validator},
};

pub(crate) const CHAIN: ChainId = ChainId(7);
pub(crate) const ALICE: PartyId = PartyId(0);
pub(crate) const BOB: PartyId = PartyId(1);
pub(crate) const READER: PartyId = PartyId(2);
/// Gateways.
pub(crate) const NORTH: NodeId = NodeId(20);
pub(crate) const SOUTH: NodeId = NodeId(21);
/// What the wall clock shows when a play begins, ns.
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;

pub(crate) fn key(seed: u8, chain: ChainId) -> Arc<Keypair> {
    Keypair::from_seed([seed; 32], chain, SignatureMode::Lazy)
}

pub(crate) fn party_key(party: PartyId) -> Arc<Keypair> {
    key(100 + party.0 as u8, CHAIN)
}

pub(crate) fn node_key(node: NodeId) -> Arc<Keypair> {
    key(1 + node.0 as u8, CHAIN)
}

pub(crate) fn registry() -> Arc<Registry> {
    let party = |id: u32| Party {
        id: PartyId(id),
        name: format!("party {id}"),
        member: None,
        key: party_key(PartyId(id)).public(),
        permission: if PartyId(id) == READER {
            Permission::Read
        } else {
            Permission::Write
        },
        roles: BTreeSet::new(),
    };
    Arc::new(Registry {
        chain: CHAIN,
        members: Vec::new(),
        nodes: Vec::new(),
        parties: (0..3).map(party).collect(),
    })
}

pub(crate) fn committee(n: u16) -> Arc<Committee> {
    let members = (0..n).map(NodeId);
    let members = members.map(|node| (node, node_key(node).public()));
    Committee::new(CHAIN, members.collect())
}

pub(crate) fn executor() -> Arc<ContractExecutor> {
    Arc::new(ContractExecutor {
        registry: registry(),
    })
}

/// The creation of a shipment whose least temperature is `variant`.
pub(crate) fn call(variant: i64) -> Call {
    let terms = shipment::Terms {
        device: Some(BOB),
        supply_chain_owner: Some(ALICE),
        supply_chain_observer: Some(READER),
        min_humidity: 0,
        max_humidity: 650,
        min_temperature: variant,
        max_temperature: 100,
    };
    Call::Create {
        template: shipment::TEMPLATE.into(),
        arguments: terms.to_arguments(),
    }
}

/// An order whose receipt goes to `gateway`.
pub(crate) fn order_for(gateway: NodeId, party: PartyId, nonce: u64) -> Arc<Transaction> {
    variant_of(gateway, party, nonce, 0)
}

/// An order of the same number that says something else.
pub(crate) fn variant_of(
    gateway: NodeId,
    party: PartyId,
    nonce: u64,
    variant: i64,
) -> Arc<Transaction> {
    let order = Order {
        nonce,
        reply_to: Some(gateway),
        call: call(variant),
    };
    Transaction::sign_order(&party_key(party), party, order)
}

/// An order whose receipt goes to [`NORTH`].
pub(crate) fn order(party: PartyId, nonce: u64) -> Arc<Transaction> {
    order_for(NORTH, party, nonce)
}

pub(crate) fn ids(transactions: &[Arc<Transaction>]) -> Vec<TxId> {
    transactions.iter().map(|tx| tx.id()).collect()
}

/// Batches of three, an age of 100 ms, clocks right within 200 ms, half a second for the leader.
pub(crate) fn config() -> Config {
    Config {
        batch: BatchLimits {
            count: 3,
            bytes: 10_000,
        },
        batch_age: Duration::from_millis(100),
        clock_tolerance: Duration::from_millis(200),
        results_lag: 1,
        mempool: 64,
        relay: None,
        relay_timeout: Duration::from_millis(500),
        snapshot_above: u64::MAX,
    }
}

/// One validator with its clock and its timers.
pub(crate) struct Stage<E: Engine> {
    pub(crate) node: Validator<E>,
    now_ns: u64,
    timers: BTreeSet<(u64, TimerId)>,
    said: Vec<Action>,
}

impl<E: Engine> Stage<E> {
    /// Node `me` of a committee of n. It has not started.
    pub(crate) fn new(n: u16, me: u16, config: Config, engine: E) -> Self {
        let id = NodeId(me);
        let identity = Identity {
            id,
            key: node_key(id),
            registry: registry(),
            committee: committee(n),
        };
        Self {
            node: Validator::new(identity, config, engine, State::new(), executor()),
            now_ns: 0,
            timers: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> LocalTime {
        LocalTime {
            mono: Mono(self.now_ns),
            wall: Wall(EPOCH + self.now_ns),
        }
    }

    pub(crate) fn handle(&mut self, event: Event<'_>) -> &mut Self {
        let mut actions = Actions::default();
        self.node.handle(self.now(), event, &mut actions);
        for action in &actions.list {
            if let Action::Arm { timer, after } = action {
                let due = self.now_ns + after.as_nanos() as u64;
                self.timers.insert((due, *timer));
            }
        }
        self.said.extend(actions.list);
        self
    }

    pub(crate) fn start(&mut self) -> &mut Self {
        self.handle(Event::Start)
    }

    pub(crate) fn packet(&mut self, from: NodeId, packet: &Packet) -> &mut Self {
        self.handle(Event::Packet { from, packet })
    }

    /// A gateway gives it a transaction.
    pub(crate) fn submit(&mut self, gateway: NodeId, tx: &Arc<Transaction>) -> &mut Self {
        let packet = Packet::Client(ClientPacket::Submit(Arc::clone(tx)));
        self.packet(gateway, &packet)
    }

    /// A fellow validator hands it a transaction on.
    pub(crate) fn relay(&mut self, from: u16, tx: &Arc<Transaction>) -> &mut Self {
        self.packet(NodeId(from), &Packet::Relay(Arc::clone(tx)))
    }

    /// A message of the protocol arrives.
    pub(crate) fn hear(&mut self, from: u16, message: E::Message) -> &mut Self {
        let packet = Packet::Consensus(ConsensusPacket::new(Arc::new(message)));
        self.packet(NodeId(from), &packet)
    }

    /// Time goes by; timers fire when they are due.
    pub(crate) fn wait(&mut self, span: Duration) -> &mut Self {
        let until = self.now_ns + span.as_nanos() as u64;
        while let Some((due, timer)) = self.timers.first().copied().filter(|t| t.0 <= until) {
            self.timers.pop_first();
            self.now_ns = due;
            self.handle(Event::Timer(timer));
        }
        self.now_ns = until;
        self
    }

    /// What it has said since this was last asked.
    pub(crate) fn said(&mut self) -> Said {
        Said(std::mem::take(&mut self.said))
    }

    pub(crate) fn height(&self) -> u64 {
        self.node.ledger().height().0
    }

    pub(crate) fn pending(&self) -> usize {
        self.node.status().pending
    }

    /// The transactions of the block at a height.
    pub(crate) fn block_at(&self, height: u64) -> Vec<TxId> {
        let ledger = self.node.ledger();
        let entry = ledger.entry(consortium_node::types::Height(height));
        ids(entry.expect("on the chain").block.transactions())
    }
}

/// The database of a consortium with one node, and its start.
pub(crate) fn database(config: Config) -> Stage<Central> {
    replica(1, 0, config)
}

/// A node of a database (node 0) with replicas.
pub(crate) fn replica(n: u16, me: u16, config: Config) -> Stage<Central> {
    let genesis = consortium_node::block::Block::genesis(State::new().root());
    let engine = Central::new(committee(n), NodeId(me), node_key(NodeId(me)), &genesis);
    let mut stage = Stage::new(n, me, config, engine);
    stage.start().said();
    stage
}

/// What a node said.
pub(crate) struct Said(pub(crate) Vec<Action>);

impl Said {
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.0.iter().filter_map(|action| match action {
            Action::Note(note) => Some(note),
            _ => None,
        })
    }

    /// Transactions refused, as counted.
    pub(crate) fn refused(&self) -> Vec<(TxId, TxRefusal)> {
        self.notes()
            .filter_map(|note| match note {
                Note::TxRefused { tx, reason } => Some((*tx, *reason)),
                _ => None,
            })
            .collect()
    }

    /// Messages refused, as counted.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        self.notes()
            .filter_map(|note| match note {
                Note::Refused(reason) => Some(*reason),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn admitted(&self) -> usize {
        self.notes()
            .filter(|note| matches!(note, Note::Admitted(_)))
            .count()
    }

    /// Heights that it said may be relied on.
    pub(crate) fn relied(&self) -> Vec<u64> {
        self.notes()
            .filter_map(|note| match note {
                Note::Relied { height, .. } => Some(height.0),
                _ => None,
            })
            .collect()
    }

    /// Heights that were taken off, in that order.
    pub(crate) fn retracted(&self) -> Vec<u64> {
        self.notes()
            .filter_map(|note| match note {
                Note::Retracted { block } => Some(block.header().height.0),
                _ => None,
            })
            .collect()
    }

    /// Packets with their destination.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (NodeId, &Packet)> {
        self.0.iter().filter_map(|action| match action {
            Action::Send { to, packet } => Some((*to, packet)),
            _ => None,
        })
    }

    /// Destinations of packets of this kind.
    pub(crate) fn sent_to(&self, kind: &str) -> Vec<u16> {
        self.sent()
            .filter(|(_, packet)| packet.label().0.name == kind)
            .map(|(to, _)| to.0)
            .collect()
    }

    /// Refusals that a gateway was told.
    pub(crate) fn told(&self, gateway: NodeId) -> Vec<(TxId, TxRefusal)> {
        self.sent()
            .filter_map(|(to, packet)| match packet {
                Packet::Client(ClientPacket::Refused { tx, reason }) if to == gateway => {
                    Some((*tx, *reason))
                }
                _ => None,
            })
            .collect()
    }

    /// Pages of receipts for each gateway, signatures checked.
    pub(crate) fn pages(&self) -> BTreeMap<NodeId, Vec<ReceiptPage>> {
        let mut pages: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (to, packet) in self.sent() {
            if let Packet::Client(ClientPacket::Receipts(page)) = packet {
                let key = node_key(page.signer()).public();
                assert!(page.verify(CHAIN, &key), "a page is signed by its sender");
                pages.entry(to).or_default().push(page.body().clone());
            }
        }
        pages
    }

    /// Outcomes that a gateway was told, page after page.
    pub(crate) fn outcomes(&self, gateway: NodeId) -> Vec<(TxId, Outcome)> {
        let mut pages = self.pages();
        let pages = pages.remove(&gateway).unwrap_or_default();
        pages.into_iter().flat_map(|page| page.entries).collect()
    }

    /// What it did, one word an action, timers left out.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        self.0
            .iter()
            .filter_map(|action| match action {
                Action::Arm { .. } => None,
                Action::Persist(Write::Log(_)) => Some("persist"),
                Action::Persist(Write::Truncate(_)) => Some("truncate"),
                Action::Persist(Write::Block(_)) => Some("store"),
                Action::Persist(Write::Snapshot(_)) => Some("snapshot"),
                Action::Send { packet, .. } => Some(packet.label().0.name),
                Action::Note(Note::Appended(_)) => Some("appended"),
                Action::Note(Note::Adopted { .. }) => Some("adopted"),
                Action::Note(Note::Recovered { .. }) => Some("recovered"),
                Action::Note(Note::Scheduled(_)) => Some("scheduled"),
                Action::Note(Note::Relied { .. }) => Some("relied"),
                Action::Note(Note::Retracted { .. }) => Some("retracted"),
                Action::Note(Note::Admitted(_)) => Some("admitted"),
                Action::Note(Note::TxRefused { .. }) => Some("transaction refused"),
                Action::Note(Note::Refused(_)) => Some("message refused"),
                Action::Note(Note::Engine(_)) => Some("tale"),
            })
            .collect()
    }
}
