//! A stage for tests: a small milk plan, and facts told in short sentences.

use std::{path::PathBuf, sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Header, Results},
    engine::{FaultModel, ReplyRule, Tale},
    ledger::Entry,
    node::{Claims, Note},
    pbft::FINALITY,
    quorum::QuorumRule,
    transaction::{Call, ContractId, Outcome, Receipt, Transaction, Transition, Value},
    types::{Digest, Height, NodeId, PartyId, TxId, View, Wall},
};

use super::{Evidence, Measured, Metrics};
use crate::{
    cast::Cast,
    ending::Ending,
    fact::{Fact, Purpose, Reader as _, Rejection, Submission},
    protocols::PbftPlan,
    scenario::plan::*,
    time::Time,
};

const CREATED: u8 = 0;
const IN_TRANSIT: u8 = 1;
const OUT_OF_COMPLIANCE: u8 = 3;

/// The milk's journey with four members, a carrier without a node and an authority that reads. It
/// lasts a hundred seconds, the first ten of which are warm-up.
#[expect(
    clippy::too_many_lines,
    reason = "a plan has many parts, and none is optional"
)]
pub(super) fn milk() -> Plan {
    let member = |name: &str, region: &str| MemberPlan {
        name: name.into(),
        region: region.into(),
        validators: 1,
    };
    let party = |name: &str, via| PartyPlan {
        name: name.into(),
        via,
        may_write: true,
    };
    let leg = |stage: &str, custodian| LegPlan {
        stage: stage.into(),
        custodian,
        duration: Duration::from_secs(20),
        ambient_mc: 6000,
        ambient_spread_mc: 0,
        humidity_mpct: 60_000,
        golden: None,
    };
    Plan {
        name: "milk".into(),
        title: "milk".into(),
        path: PathBuf::from("scenarios/milk.toml"),
        overrides: Vec::new(),
        seed: 7,
        duration: Duration::from_secs(100),
        warm_up: Duration::from_secs(10),
        drain: Duration::from_secs(20),
        consensus: Consensus {
            protocol: Arc::new(PbftPlan {
                checkpoint_interval: 128,
                window: 256,
                pipeline: 8,
                request_timeout: Duration::from_secs(2),
                request_deadline: Duration::from_secs(20),
                view_change_timeout: Duration::from_secs(4),
                status_interval: Duration::from_secs(1),
            }),
            batch_transactions: 100,
            batch_bytes: 64_000,
            batch_age: Duration::from_millis(50),
            clock_tolerance: Duration::from_secs(1),
            mutant: None,
        },
        mempool: MempoolPlan {
            capacity: 1000,
            relay: RelayPlan::Protocol,
            relay_timeout: Duration::from_secs(1),
        },
        sync: SyncPlan {
            snapshot_above: None,
        },
        gateway: GatewayPlan {
            retry_after: Duration::from_secs(5),
            window: 256,
            reply_quorum: None,
        },
        members: vec![
            member("Milk Producer", "northeurope"),
            member("Food Processing Company", "westeurope"),
            member("Carrier 2", "francecentral"),
            member("Store", "uksouth"),
        ],
        parties: vec![
            party("Milk Producer", 0),
            party("Food Processing Company", 1),
            party("Carrier 2", 2),
            party("Store", 3),
            party("Carrier 1", 0),
            party("Food Safety Authority", 0),
        ],
        network: NetworkPlan {
            matrix: Matrix::Azure,
            local_latency: Duration::from_millis(1),
            jitter_p95: Duration::ZERO,
            loss_ppm: 0,
            duplicate_ppm: 0,
            transport: Transport::InOrder,
            bandwidth_bits: None,
            overhead_bytes: 0,
        },
        clock_skew: Duration::ZERO,
        machine: Machine {
            name: "two cores".into(),
            cores: 2,
            sign_ns: 15_000,
            check_ns: 36_000,
            hash_kb_ns: 800,
            execute_ns: 5000,
            message_ns: 1000,
            fsync: Duration::from_millis(1),
        },
        cold_chain: ColdChain {
            owner: 0,
            observer: 5,
            min_temperature_dc: 10,
            max_temperature_dc: 100,
            min_humidity_dpct: 0,
            max_humidity_dpct: 800,
        },
        fleet: FleetPlan {
            packages: 2,
            start_spread: Duration::ZERO,
            pace: Pace::Every(Duration::from_secs(1)),
            accuracy_mc: 0,
            accuracy_mpct: 0,
            thermal_time_constant: Duration::from_mins(1),
            legs: vec![
                leg("Origin", 0),
                leg("Carrier 1", 4),
                leg("Warehouse", 1),
                leg("Carrier 2", 2),
                leg("Store", 3),
            ],
            golden: Some("GOLD-1".into()),
        },
        load: None,
        changes: Vec::new(),
        faults: Vec::new(),
        cheats: Vec::new(),
        schedules: Vec::new(),
        expect: Expect::default(),
        compare: ComparePlan::default(),
        host: HostPlan {
            eager_signatures: false,
            eager_wire: false,
            shared_execution: true,
        },
    }
}

/// A plan in which facts are told.
pub(super) struct Scene {
    pub(super) plan: Arc<Plan>,
    pub(super) cast: Arc<Cast>,
    pub(super) metrics: Metrics,
    /// The common chain above genesis.
    pub(super) chain: Vec<Arc<Entry>>,
    /// The golden contract.
    pub(super) contract: ContractId,
    custodian: Option<PartyId>,
    state: u8,
    nonce: u64,
}

pub(super) fn ms(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

impl Scene {
    pub(super) fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let cast = Arc::new(Cast::new(&plan));
        Self {
            metrics: Metrics::new(Arc::clone(&plan), Arc::clone(&cast)),
            plan,
            cast,
            chain: Vec::new(),
            contract: ContractId::default(),
            custodian: None,
            state: CREATED,
            nonce: 0,
        }
    }

    pub(super) fn tell(&mut self, at: Time, fact: &Fact) {
        self.metrics.read(at, fact);
    }

    pub(super) fn note(&mut self, at: Time, validator: u16, note: Note) {
        let told = Fact::Node {
            node: NodeId(validator),
            note,
        };
        self.tell(at, &told);
    }

    pub(super) fn sign(&mut self, party: PartyId, call: Call) -> Arc<Transaction> {
        self.nonce += 1;
        let key = &self.cast.party_keys[party.index()];
        Transaction::sign(key, party, self.nonce, call)
    }

    /// A reading of the golden package, signed and not submitted.
    pub(super) fn reading(&mut self, temperature_dc: i64, humidity_dpct: i64) -> Arc<Transaction> {
        let device = self.cast.device(0);
        let contract = self.contract;
        let arguments = [humidity_dpct, temperature_dc, 0].map(Value::Int).to_vec();
        let function = "IngestTelemetry".to_owned();
        self.sign(
            device,
            Call::Invoke {
                contract,
                function,
                arguments,
            },
        )
    }

    /// It comes into being at `due`, by a cheat or not.
    pub(super) fn submit(&mut self, transaction: &Transaction, due: Time, cheat: Option<usize>) {
        let submission = Submission {
            tx: transaction.id(),
            party: transaction.party(),
            gateway: self.cast.gateway(0),
            contract: self.contract,
            package: 0,
            leg: 0,
            due,
            purpose: Purpose::Completion,
            cheat,
        };
        self.tell(due, &Fact::Submitted(submission));
    }

    pub(super) fn send(&mut self, tx: TxId, at: Time, waited_for_link: bool) {
        let attempt = 1;
        self.tell(
            at,
            &Fact::Sent {
                tx,
                attempt,
                waited_for_link,
            },
        );
    }

    pub(super) fn settle(&mut self, tx: TxId, at: Time, outcome: Outcome) {
        let height = Height(1);
        self.tell(
            at,
            &Fact::Final {
                tx,
                outcome,
                height,
            },
        );
    }

    pub(super) fn reject(&mut self, tx: TxId, at: Time, reason: Rejection) {
        self.tell(at, &Fact::Rejected { tx, reason });
    }

    /// A transaction's whole ordinary life: due and sent at `due`, appended by all after 100 ms and
    /// final after 200 ms.
    pub(super) fn live(&mut self, transaction: &Arc<Transaction>, due: Time) {
        self.submit(transaction, due, None);
        self.send(transaction.id(), due, false);
        let transition = self.transition(transaction);
        let entry = self.extend(&[(transaction, Outcome::Ok, Some(transition))]);
        for node in 0..4 {
            let note = Note::Appended(Arc::clone(&entry));
            self.note(due + Duration::from_millis(100), node, note);
        }
        self.settle(
            transaction.id(),
            due + Duration::from_millis(200),
            Outcome::Ok,
        );
    }

    /// A reading's ordinary life.
    pub(super) fn live_reading(&mut self, temperature_dc: i64, due: Time) -> TxId {
        let reading = self.reading(temperature_dc, 600);
        self.live(&reading, due);
        reading.id()
    }

    /// What the sample contract makes of it.
    fn transition(&mut self, transaction: &Transaction) -> Transition {
        let (custodian_before, from) = (self.custodian, self.state);
        let caller = transaction.party();
        let (function, contract, from) = match transaction.call() {
            Call::Create { .. } => {
                (self.custodian, self.state) = (Some(caller), CREATED);
                ("constructor".to_owned(), ContractId(transaction.id()), None)
            }
            Call::Invoke {
                contract,
                function,
                arguments,
            } => {
                match arguments.as_slice() {
                    [Value::Party(to)] => {
                        (self.custodian, self.state) = (Some(*to), IN_TRANSIT);
                    }
                    [_, Value::Int(temperature_dc), _] if *temperature_dc > 100 => {
                        self.state = OUT_OF_COMPLIANCE;
                    }
                    _ => {}
                }
                (function.clone(), *contract, Some(from))
            }
        };
        Transition {
            contract,
            function,
            caller,
            from,
            to: self.state,
            custodian_before,
            custodian_after: self.custodian,
        }
    }

    /// Makes the golden contract, owned by the producer.
    pub(super) fn make_contract(&mut self, at: Time) {
        let terms = &self.plan.cold_chain;
        let bounds = [
            terms.min_humidity_dpct,
            terms.max_humidity_dpct,
            terms.min_temperature_dc,
            terms.max_temperature_dc,
        ];
        let parties = [self.cast.device(0), PartyId(0), PartyId(5)];
        let arguments = parties.map(Value::Party).into_iter();
        let call = Call::Create {
            template: "RefrigeratedTransportation".into(),
            arguments: arguments.chain(bounds.map(Value::Int)).collect(),
        };
        let creation = self.sign(PartyId(0), call);
        self.contract = ContractId(creation.id());
        self.live(&creation, at);
    }

    pub(super) fn hand_over(&mut self, to: u32, at: Time) {
        let from = self.custodian.expect("somebody has it");
        let call = Call::Invoke {
            contract: self.contract,
            function: "TransferResponsibility".into(),
            arguments: vec![Value::Party(PartyId(to))],
        };
        let hand_over = self.sign(from, call);
        self.live(&hand_over, at);
    }

    /// A block on top of the common chain.
    pub(super) fn extend(
        &mut self,
        content: &[(&Arc<Transaction>, Outcome, Option<Transition>)],
    ) -> Arc<Entry> {
        let height = self.chain.len() as u64 + 1;
        let parent = self.chain.last().map_or(Digest::ZERO, |e| e.block.id());
        let entry = entry(height, parent, content);
        self.chain.push(Arc::clone(&entry));
        entry
    }

    /// The run is over at 110 s; nobody was busy and nothing was stored.
    pub(super) fn finish(self) -> Measured {
        let ending = quiet_ending();
        let correct = self.metrics.correct_validator(&ending.alive);
        let chain = self.chain;
        self.metrics.finish(Evidence {
            ending: &ending,
            correct: correct.map(|node| (node, chain.as_slice())),
            storage_bytes: &[1000; 4],
            verdicts: Vec::new(),
            trace: "0".into(),
            outcome: "0".into(),
            exit_code: 0,
            seeds: 5,
        })
    }
}

pub(super) fn quiet_ending() -> Ending {
    Ending {
        ledgers: Vec::new(),
        alive: vec![true; 4],
        usage: Vec::new(),
        packets: std::collections::BTreeMap::new(),
        claims: Claims {
            protocol: "pbft",
            faults: FaultModel::Byzantine,
            reply: ReplyRule::WeakQuorum,
            quorum: QuorumRule::Byzantine,
            finality: Some(FINALITY),
        },
        ended: ms(110_000),
        trace: 0,
    }
}

/// A block with receipts. The state root is made from its place and content.
pub(super) fn entry(
    height: u64,
    parent: Digest,
    content: &[(&Arc<Transaction>, Outcome, Option<Transition>)],
) -> Arc<Entry> {
    let header = Header {
        height: Height(height),
        parent,
        transactions_root: Digest::ZERO,
        results: Results::default(),
        timestamp: Wall(height),
        proposer: NodeId(0),
        extra: Vec::new(),
    };
    let transactions = content.iter().map(|(t, ..)| Arc::clone(t)).collect();
    let block = Block::new(header, transactions);
    let receipts = content
        .iter()
        .map(|(transaction, outcome, transition)| Receipt {
            tx: transaction.id(),
            outcome: outcome.clone(),
            transition: transition.clone(),
        })
        .collect();
    Arc::new(Entry {
        results: Results {
            height: Height(height),
            state_root: block.id(),
            receipts_root: Digest::ZERO,
        },
        block,
        proof: None,
        receipts: Arc::new(receipts),
    })
}

pub(super) fn entered(view: u64) -> Note {
    Note::Engine(Tale::Entered {
        view: View(view),
        leader: NodeId(view as u16),
    })
}
