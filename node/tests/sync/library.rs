//! A consortium of four, its keys, and a chain that it made final long ago.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Finality, Header},
    contracts::{ContractExecutor, refrigerated_transportation as shipment},
    crypto::{Keypair, SignatureMode},
    ledger::{Ledger, State},
    membership::{Committee, NodeRecord, NodeRole, Party, Permission, Registry},
    mempool::BatchLimits,
    quorum::{Certificate, Phase, Vote},
    storage::Stored,
    transaction::{Call, Transaction},
    types::{ChainId, Digest, Height, MemberId, NodeId, PartyId, Seq, View, Wall},
    validator::{Config, Identity},
};

pub(crate) const CHAIN: ChainId = ChainId(7);
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;
pub(crate) const ALICE: PartyId = PartyId(0);
pub(crate) const COMMIT: Phase = Phase(3);
/// Validators; a gateway is one more node.
pub(crate) const N: u16 = 4;
pub(crate) const GATEWAY: NodeId = NodeId(N);

pub(crate) fn key(seed: u8) -> Arc<Keypair> {
    Keypair::from_seed([seed; 32], CHAIN, SignatureMode::Lazy)
}

pub(crate) fn node_key(node: NodeId) -> Arc<Keypair> {
    key(1 + node.0 as u8)
}

pub(crate) fn committee() -> Arc<Committee> {
    let members = (0..N).map(NodeId);
    let members = members.map(|node| (node, node_key(node).public()));
    Committee::new(CHAIN, members.collect())
}

pub(crate) fn registry() -> Arc<Registry> {
    let node = |id: u16| NodeRecord {
        id: NodeId(id),
        member: MemberId(id),
        roles: [if id < N {
            NodeRole::Validator
        } else {
            NodeRole::Gateway
        }]
        .into(),
        key: node_key(NodeId(id)).public(),
    };
    Arc::new(Registry {
        chain: CHAIN,
        members: (0..=N).map(|member| format!("member {member}")).collect(),
        nodes: (0..=N).map(node).collect(),
        parties: vec![Party {
            id: ALICE,
            name: "Alice".into(),
            member: None,
            key: key(100).public(),
            permission: Permission::Write,
            roles: BTreeSet::new(),
        }],
    })
}

pub(crate) fn executor() -> Arc<ContractExecutor> {
    Arc::new(ContractExecutor {
        registry: registry(),
    })
}

pub(crate) fn identity(id: NodeId) -> Identity {
    Identity {
        id,
        key: node_key(id),
        registry: registry(),
        committee: committee(),
    }
}

pub(crate) fn config(snapshot_above: u64) -> Config {
    Config {
        batch: BatchLimits {
            count: 10,
            bytes: 100_000,
        },
        batch_age: Duration::from_millis(1),
        clock_tolerance: Duration::from_millis(200),
        results_lag: 64,
        mempool: 1000,
        relay: None,
        relay_timeout: Duration::from_millis(500),
        snapshot_above,
    }
}

/// The creation of a contract, Alice's order of this number.
pub(crate) fn order(nonce: u64) -> Arc<Transaction> {
    let terms = shipment::Terms {
        device: Some(ALICE),
        supply_chain_owner: Some(ALICE),
        supply_chain_observer: Some(ALICE),
        min_humidity: 0,
        max_humidity: 650,
        min_temperature: 0,
        max_temperature: 100,
    };
    let call = Call::Create {
        template: shipment::TEMPLATE.into(),
        arguments: terms.to_arguments(),
    };
    Transaction::sign(&key(100), ALICE, nonce, call)
}

/// What these members say when they commit a block.
pub(crate) fn certificate(vote: Vote, signers: &[u16]) -> Certificate {
    let signers = signers.iter().map(|id| NodeId(*id));
    let votes: Vec<_> = signers.map(|id| node_key(id).sign(id, vote)).collect();
    Certificate::collect(&votes).expect("signers")
}

pub(crate) fn commit(block: &Block) -> Vote {
    Vote {
        phase: COMMIT,
        view: View(0),
        slot: Seq(block.header().height.0),
        digest: block.id(),
    }
}

/// A final chain as any member has it.
#[derive(Clone)]
pub(crate) struct Library {
    pub(crate) ledger: Ledger,
    pub(crate) next_nonce: u64,
}

impl Library {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Ledger::new(State::new()),
            next_nonce: 0,
        }
    }

    /// So many blocks of so many orders each.
    pub(crate) fn grown(blocks: u64, orders: u64) -> Self {
        let mut library = Self::new();
        for _ in 0..blocks {
            library.grow(orders);
        }
        library
    }

    /// The next block, with so many orders, before it is final.
    pub(crate) fn block(&mut self, orders: u64) -> Arc<Block> {
        let head = self.ledger.head();
        let height = head.height().next();
        let numbers = self.next_nonce..self.next_nonce + orders;
        self.next_nonce += orders;
        let header = Header {
            height,
            parent: head.block.id(),
            transactions_root: Digest::ZERO,
            results: head.results,
            timestamp: Wall(EPOCH - 1_000_000_000_000_000 + height.0),
            proposer: NodeId(0),
            extra: Vec::new(),
        };
        Block::new(header, numbers.map(order).collect())
    }

    pub(crate) fn grow(&mut self, orders: u64) {
        let block = self.block(orders);
        let certificate = certificate(commit(&block), &[0, 1, 2]);
        let proof = Arc::new(Finality::Certificate(certificate));
        self.ledger.append(block, Some(proof), &*executor());
    }

    pub(crate) fn height(&self) -> u64 {
        self.ledger.height().0
    }

    pub(crate) fn stored(&self, height: u64) -> Stored {
        let entry = self.ledger.entry(Height(height)).expect("on the chain");
        Stored {
            block: Arc::clone(&entry.block),
            proof: Arc::clone(entry.proof.as_ref().expect("final")),
        }
    }

    /// The chain as a disk has it.
    pub(crate) fn chain(&self) -> Vec<Stored> {
        (1..=self.height())
            .map(|height| self.stored(height))
            .collect()
    }
}
