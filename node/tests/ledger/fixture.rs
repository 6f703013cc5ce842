//! A consortium of four validators and four parties, and a chain of shipments.

use std::sync::Arc;

use consortium_node::{
    block::{Block, Finality, Header},
    contracts::{ContractExecutor, refrigerated_transportation as shipment},
    crypto::{Keypair, SignatureMode},
    ledger::{Ledger, State},
    membership::{Committee, Committees, Party, Permission, Registry},
    quorum::{Certificate, Phase, Vote},
    transaction::{Call, ContractId, Transaction, Value},
    types::{ChainId, Digest, Height, NodeId, PartyId, Seq, View, Wall},
};

pub(crate) const CHAIN: ChainId = ChainId(7);
pub(crate) const PREPARE: Phase = Phase(1);
pub(crate) const COMMIT: Phase = Phase(2);

pub(crate) const OWNER: PartyId = PartyId(0);
pub(crate) const DEVICE: PartyId = PartyId(1);
pub(crate) const CARRIER: PartyId = PartyId(2);
pub(crate) const READER: PartyId = PartyId(3);

pub(crate) struct Consortium {
    pub(crate) executor: ContractExecutor,
    pub(crate) committee: Arc<Committee>,
    pub(crate) committees: Committees,
    validators: Vec<Arc<Keypair>>,
    parties: Vec<Arc<Keypair>>,
}

impl Consortium {
    pub(crate) fn new() -> Self {
        let key = |seed: u8| Keypair::from_seed([seed; 32], CHAIN, SignatureMode::Lazy);
        let validators: Vec<_> = (1..=4).map(key).collect();
        let parties: Vec<_> = (11..=14).map(key).collect();
        let members = (0..).map(NodeId).zip(validators.iter().map(|k| k.public()));
        let party = |(id, key): (u32, &Arc<Keypair>)| Party {
            id: PartyId(id),
            name: format!("party {id}"),
            member: None,
            key: key.public(),
            permission: if PartyId(id) == READER {
                Permission::Read
            } else {
                Permission::Write
            },
            roles: std::collections::BTreeSet::new(),
        };
        let registry = Registry {
            chain: CHAIN,
            members: Vec::new(),
            nodes: Vec::new(),
            parties: (0..).zip(&parties).map(party).collect(),
        };
        let committee = Committee::new(CHAIN, members.collect());
        Self {
            executor: ContractExecutor {
                registry: Arc::new(registry),
            },
            committees: Committees::new(Arc::clone(&committee)),
            committee,
            validators,
            parties,
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.executor.registry
    }

    pub(crate) fn sign(&self, party: PartyId, nonce: u64, call: Call) -> Arc<Transaction> {
        Transaction::sign(&self.parties[party.index()], party, nonce, call)
    }

    /// An order of somebody whom the registry does not list.
    pub(crate) fn stranger(&self, call: Call) -> Arc<Transaction> {
        Transaction::sign(&self.parties[0], PartyId(99), 0, call)
    }

    pub(crate) fn create(&self, nonce: u64) -> Arc<Transaction> {
        let terms = shipment::Terms {
            device: Some(DEVICE),
            supply_chain_owner: Some(OWNER),
            supply_chain_observer: Some(READER),
            min_humidity: 0,
            max_humidity: 650,
            min_temperature: 0,
            max_temperature: 100,
        };
        let call = Call::Create {
            template: shipment::TEMPLATE.into(),
            arguments: terms.to_arguments(),
        };
        self.sign(OWNER, nonce, call)
    }

    pub(crate) fn reading(
        &self,
        shipment: &Transaction,
        nonce: u64,
        temperature: i64,
    ) -> Arc<Transaction> {
        let call = Call::Invoke {
            contract: ContractId(shipment.id()),
            function: shipment::INGEST_TELEMETRY.into(),
            arguments: vec![
                Value::Int(600),
                Value::Int(temperature),
                Value::Int(nonce.cast_signed()),
            ],
        };
        self.sign(DEVICE, nonce, call)
    }

    /// Certificate of the validators at these places for this block, in this phase.
    pub(crate) fn certificate(&self, digest: Digest, phase: Phase, by: &[usize]) -> Certificate {
        let vote = Vote {
            phase,
            view: View(3),
            slot: Seq(9),
            digest,
        };
        let votes: Vec<_> = by
            .iter()
            .map(|&at| self.validators[at].sign(NodeId(at as u16), vote))
            .collect();
        Certificate::collect(&votes).expect("somebody voted")
    }

    pub(crate) fn finality(&self, block: &Block) -> Arc<Finality> {
        let certificate = self.certificate(block.id(), COMMIT, &[0, 2, 3]);
        Arc::new(Finality::Certificate(certificate))
    }

    /// Adds a block with the results of its parent.
    pub(crate) fn append(&self, ledger: &mut Ledger, transactions: Vec<Arc<Transaction>>) {
        let block = next_block(ledger, transactions);
        ledger.append(block, None, &self.executor);
    }

    /// The same, with a commit certificate.
    pub(crate) fn append_final(&self, ledger: &mut Ledger, transactions: Vec<Arc<Transaction>>) {
        let block = next_block(ledger, transactions);
        let proof = self.finality(&block);
        ledger.append(block, Some(proof), &self.executor);
    }

    /// Four final blocks: a shipment, two readings, one more reading, nothing.
    pub(crate) fn voyage(&self) -> Ledger {
        let mut ledger = empty_ledger();
        let created = self.create(0);
        let readings = [80, 90, 90].map(i64::from);
        let readings: Vec<_> = (0..)
            .zip(readings)
            .map(|(nonce, celsius_tenths)| self.reading(&created, nonce, celsius_tenths))
            .collect();
        self.append_final(&mut ledger, vec![created]);
        self.append_final(&mut ledger, readings[..2].to_vec());
        self.append_final(&mut ledger, readings[2..].to_vec());
        self.append_final(&mut ledger, Vec::new());
        ledger
    }
}

/// A chain of nothing but genesis.
pub(crate) fn empty_ledger() -> Ledger {
    Ledger::new(State::new())
}

/// A block on the head that carries the results of its parent.
pub(crate) fn next_block(ledger: &Ledger, transactions: Vec<Arc<Transaction>>) -> Arc<Block> {
    let height = ledger.height().next();
    let header = Header {
        height,
        parent: ledger.head().block.id(),
        transactions_root: Digest::ZERO,
        results: ledger.results(height.prev()).expect("the head is executed"),
        timestamp: Wall(height.0),
        proposer: NodeId((height.0 % 4) as u16),
        extra: Vec::new(),
    };
    Block::new(header, transactions)
}

/// The id of the n-th transaction of the block at `height`.
pub(crate) fn tx_at(ledger: &Ledger, height: u64, place: usize) -> Digest {
    let entry = ledger.entry(Height(height)).expect("on the chain");
    entry.block.transactions()[place].id()
}
