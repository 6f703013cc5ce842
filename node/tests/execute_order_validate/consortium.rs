//! Four members with a peer and a gateway each. Peer 0 orders, peers 0 and 1 endorse, both must.

use std::{collections::BTreeSet, sync::Arc};

use consortium_node::{
    block::{Block, Header},
    contracts::{ContractExecutor, refrigerated_transportation as shipment},
    crypto::{Keypair, SignatureMode, Signed},
    endorsement::{Endorsed, Endorsement},
    execute_order_validate::{Channel, ONE_WORD, Policy, Validation, rwset::Recorder},
    ledger::{Executor, State},
    membership::{Committee, NodeRecord, NodeRole, Party, Permission, Registry},
    transaction::{Call, ContractId, Order, Outcome, Transaction, Value},
    types::{ChainId, Digest, Height, MemberId, NodeId, PartyId, Wall},
};

pub(crate) const CHAIN: ChainId = ChainId(9);
pub(crate) const ALICE: PartyId = PartyId(0);
pub(crate) const DEVICE: PartyId = PartyId(1);
pub(crate) const READER: PartyId = PartyId(2);
pub(crate) const PEERS: u16 = 4;

pub(crate) fn node_key(node: u16) -> Arc<Keypair> {
    Keypair::from_seed([1 + node as u8; 32], CHAIN, SignatureMode::Lazy)
}

pub(crate) fn party_key(party: PartyId) -> Arc<Keypair> {
    Keypair::from_seed([100 + party.0 as u8; 32], CHAIN, SignatureMode::Lazy)
}

/// The gateway of the member whose peer has this number.
pub(crate) fn gateway(member: u16) -> NodeId {
    NodeId(PEERS + member)
}

fn registry() -> Arc<Registry> {
    let node = |id: u16| NodeRecord {
        id: NodeId(id),
        member: MemberId(id % PEERS),
        roles: BTreeSet::from([if id < PEERS {
            NodeRole::Peer
        } else {
            NodeRole::Gateway
        }]),
        key: node_key(id).public(),
    };
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
        members: (0..PEERS).map(|m| format!("member {m}")).collect(),
        nodes: (0..2 * PEERS).map(node).collect(),
        parties: (0..3).map(party).collect(),
    })
}

pub(crate) fn committee(nodes: impl IntoIterator<Item = u16>) -> Arc<Committee> {
    let nodes = nodes.into_iter();
    let members = nodes.map(|node| (NodeId(node), node_key(node).public()));
    Committee::new(CHAIN, members.collect())
}

pub(crate) fn channel() -> Arc<Channel> {
    Arc::new(Channel {
        registry: registry(),
        orderers: committee([0]),
        policy: Policy::new(committee([0, 1]), 2),
        peers: (0..PEERS).map(NodeId).collect(),
        ordered: ONE_WORD,
    })
}

pub(crate) fn validation() -> Validation {
    let channel = channel();
    Validation {
        registry: Arc::clone(&channel.registry),
        policy: channel.policy.clone(),
    }
}

/// An order whose commit event goes to the gateway of member 3.
pub(crate) fn order(party: PartyId, nonce: u64, call: Call) -> Arc<Transaction> {
    let order = Order {
        nonce,
        reply_to: Some(gateway(3)),
        call,
    };
    Transaction::sign_order(&party_key(party), party, order)
}

/// Alice registers a shipment.
pub(crate) fn creation(nonce: u64) -> Arc<Transaction> {
    let terms = shipment::Terms {
        device: Some(DEVICE),
        supply_chain_owner: Some(ALICE),
        supply_chain_observer: Some(READER),
        min_humidity: 0,
        max_humidity: 800,
        min_temperature: 20,
        max_temperature: 100,
    };
    let call = Call::Create {
        template: shipment::TEMPLATE.into(),
        arguments: terms.to_arguments(),
    };
    order(ALICE, nonce, call)
}

/// The device of a shipment reports a temperature.
pub(crate) fn reading(nonce: u64, of: &Transaction, temperature: i64) -> Arc<Transaction> {
    let arguments = [600, temperature, nonce.cast_signed()].map(Value::Int);
    invoke(
        DEVICE,
        nonce,
        of,
        shipment::INGEST_TELEMETRY,
        arguments.to_vec(),
    )
}

/// Alice hands a shipment over to the reader.
pub(crate) fn hand_over(nonce: u64, of: &Transaction) -> Arc<Transaction> {
    let to = vec![Value::Party(READER)];
    invoke(ALICE, nonce, of, shipment::TRANSFER_RESPONSIBILITY, to)
}

fn invoke(
    party: PartyId,
    nonce: u64,
    of: &Transaction,
    function: &str,
    arguments: Vec<Value>,
) -> Arc<Transaction> {
    let call = Call::Invoke {
        contract: ContractId(of.id()),
        function: function.into(),
        arguments,
    };
    order(party, nonce, call)
}

/// What an honest endorser finds on this state.
pub(crate) fn effects(state: &State, transaction: &Transaction) -> Endorsement {
    let registry = registry();
    let mut recorder = Recorder::new(state);
    let receipt = ContractExecutor { registry }.execute_one(&mut recorder, Height(1), transaction);
    let (reads, writes) = recorder.finish();
    Endorsement {
        tx: receipt.tx,
        reads,
        writes,
        outcome: receipt.outcome,
        transition: receipt.transition,
    }
}

pub(crate) fn signed(by: u16, endorsement: &Endorsement) -> Signed<Endorsement> {
    node_key(by).sign(NodeId(by), endorsement.clone())
}

/// An envelope with this endorsement, signed by these.
pub(crate) fn envelope_by(
    by: &[u16],
    transaction: &Transaction,
    endorsement: &Endorsement,
) -> Arc<Transaction> {
    let all: Vec<_> = by.iter().map(|by| signed(*by, endorsement)).collect();
    transaction.with_endorsements(Endorsed::collect(&all).expect("they are equal"))
}

/// An envelope as it should be, for this state.
pub(crate) fn envelope(state: &State, transaction: &Transaction) -> Arc<Transaction> {
    envelope_by(&[0, 1], transaction, &effects(state, transaction))
}

pub(crate) fn block(height: u64, envelopes: Vec<Arc<Transaction>>) -> Arc<Block> {
    let genesis = Block::genesis(State::new().root());
    let header = Header {
        height: Height(height),
        parent: Digest::ZERO,
        timestamp: Wall(height),
        ..genesis.header().clone()
    };
    Block::new(header, envelopes)
}

/// What a peer makes of a block of these at this height: the state after it and the outcomes.
pub(crate) fn validate(
    state: &State,
    height: u64,
    envelopes: Vec<Arc<Transaction>>,
) -> (State, Vec<Outcome>) {
    let execution = validation().execute(state, &block(height, envelopes));
    let receipts = execution.receipts.iter();
    let outcomes = receipts.map(|receipt| receipt.outcome.clone()).collect();
    (execution.state, outcomes)
}

/// A state at height 1 with one shipment, and the order that made it.
pub(crate) fn shipped() -> (State, Arc<Transaction>) {
    let create = creation(1);
    let genesis = State::new();
    let (state, outcomes) = validate(&genesis, 1, vec![envelope(&genesis, &create)]);
    assert_eq!(outcomes, [Outcome::Ok]);
    (state, create)
}
