//! A stage for tests: four members, real keys, real blocks and certificates, and facts made by hand.

mod blocks;
mod plan;
mod tales;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    block::{Block, Finality},
    engine::{FaultModel, Recovery, ReplyRule},
    ledger::Entry,
    node::{Claims, Note},
    pbft::FINALITY,
    quorum::{Certificate, Phase, QuorumRule, Vote},
    transaction::{Call, ContractId, Outcome, Receipt, Transaction, Transition, Value},
    types::{Digest, Height, NodeId, PartyId, Seq, View},
};

use super::{
    Finding, Invariants, Verdict, Verdicts, Violation,
    contracts::{COMPLETE, CONSTRUCTOR, INGEST, TEMPLATE, TRANSFER},
};
use crate::{
    cast::Cast,
    ending::Ending,
    fact::{Fact, Purpose, Reader as _, Rejection, Submission},
    protocols::{CentralPlan, CliquePlan, PbftPlan, Protocol},
    scenario::plan::{FaultKind, FaultPlan, Plan},
    time::Time,
};

const MEMBERS: [&str; 4] = ["Farm", "Truck", "Warehouse", "Store"];
const COMMIT: Phase = Phase(2);

/// Facts so far, and who plays.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    plan: Plan,
    cast: Cast,
    claims: Claims,
    alive: Vec<bool>,
    facts: Vec<(Time, Fact)>,
    head: Arc<Block>,
    nonces: BTreeMap<PartyId, u64>,
    custodian: Option<PartyId>,
}

impl Stage {
    /// A party that may only read.
    pub(crate) const READER: u32 = 4;
    /// The device on the shipment of [`Stage::created_shipment`].
    pub(crate) const DEVICE: u32 = 5;
    /// The device on another one.
    pub(crate) const OTHER_DEVICE: u32 = 6;

    /// A committee that bears liars.
    pub(crate) fn pbft() -> Self {
        let ms = Duration::from_millis;
        let protocol = Arc::new(PbftPlan {
            checkpoint_interval: 64,
            window: 256,
            pipeline: 8,
            request_timeout: ms(2000),
            request_deadline: ms(10_000),
            view_change_timeout: ms(4000),
            status_interval: ms(500),
        });
        Self::new(protocol, FaultModel::Byzantine, ReplyRule::WeakQuorum)
    }

    /// A trusted database.
    pub(crate) fn central() -> Self {
        Self::new(Arc::new(CentralPlan), FaultModel::Trusted, ReplyRule::One)
    }

    /// A protocol without finality.
    pub(crate) fn clique() -> Self {
        let protocol = Arc::new(CliquePlan {
            period: Duration::from_secs(1),
            confirmations: 3,
        });
        Self::new(protocol, FaultModel::Crash, ReplyRule::Depth(3))
    }

    fn new(protocol: Arc<dyn Protocol>, faults: FaultModel, reply: ReplyRule) -> Self {
        let claims = Claims {
            protocol: protocol.name(),
            faults,
            reply,
            quorum: match faults {
                FaultModel::Byzantine => QuorumRule::Byzantine,
                FaultModel::Crash => QuorumRule::Majority,
                FaultModel::Trusted => QuorumRule::One,
            },
            finality: (faults == FaultModel::Byzantine).then_some(FINALITY),
        };
        let plan = plan::plan(protocol);
        Self {
            cast: Cast::new(&plan),
            plan,
            claims,
            alive: vec![true; MEMBERS.len()],
            facts: Vec::new(),
            head: Block::genesis(Digest([1; 32])),
            nonces: BTreeMap::new(),
            custodian: None,
        }
    }

    /// This validator does not follow the protocol.
    pub(crate) fn make_liar(&mut self, node: usize) {
        self.cast.honest[node] = false;
    }

    /// This validator is down at the end.
    pub(crate) fn kill(&mut self, node: usize) {
        self.alive[node] = false;
    }

    /// This validator starts again with its chain up to this height.
    pub(crate) fn restart(&mut self, node: usize, disk: Recovery, height: u64) {
        let (fault, node) = (0, self::node(node));
        let height = Height(height);
        self.tell(Fact::Restarted { fault, node, disk });
        self.tell(Fact::Node {
            node,
            note: Note::Recovered { height },
        });
    }

    /// This fault begins and never heals.
    pub(crate) fn break_for_good(&mut self, kind: FaultKind) {
        let fault = self.plan.faults.len();
        self.plan.faults.push(FaultPlan {
            at: Time::ZERO,
            until: None,
            kind,
        });
        self.tell(Fact::FaultBegan {
            fault,
            nodes: Vec::new(),
        });
    }

    /// The last fault that began heals.
    pub(crate) fn heal(&mut self) {
        let fault = self.plan.faults.len() - 1;
        self.tell(Fact::FaultEnded { fault });
    }

    /// The drain begins.
    pub(crate) fn drain(&mut self) {
        self.tell(Fact::DrainBegan);
    }

    fn tell(&mut self, fact: Fact) {
        let at = Time(self.facts.len() as u64 * 1_000_000);
        self.facts.push((at, fact));
    }

    pub(super) fn note(&mut self, by: usize, note: Note) {
        self.tell(Fact::Node {
            node: node(by),
            note,
        });
    }
}

/// What nodes tell.
impl Stage {
    /// An entry with a certificate by these nodes.
    pub(crate) fn certified(
        &self,
        block: Arc<Block>,
        receipts: Vec<Receipt>,
        signers: impl IntoIterator<Item = usize>,
    ) -> Entry {
        self.certified_in(block, receipts, signers, 0)
    }

    /// An entry with a certificate by these nodes in this view.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better at the place of use"
    )]
    pub(crate) fn certified_in(
        &self,
        block: Arc<Block>,
        receipts: Vec<Receipt>,
        signers: impl IntoIterator<Item = usize>,
        view: u64,
    ) -> Entry {
        let vote = Vote {
            phase: COMMIT,
            view: View(view),
            slot: Seq(block.header().height.0),
            digest: block.id(),
        };
        let votes: Vec<_> = signers
            .into_iter()
            .map(|signer| self.cast.node_keys[signer].sign(node(signer), vote))
            .collect();
        let certificate = Certificate::collect(&votes).expect("somebody signs");
        let proof = Finality::Certificate(certificate);
        Self::entry(&block, receipts, Some(proof))
    }

    pub(crate) fn append(&mut self, by: usize, entry: &Entry) {
        self.note(by, Note::Appended(Arc::new(entry.clone())));
    }

    pub(crate) fn retract(&mut self, by: usize, block: &Arc<Block>) {
        let block = Arc::clone(block);
        self.note(by, Note::Retracted { block });
    }
}

/// Transactions and what becomes of them.
impl Stage {
    /// Creates a shipment with [`Stage::DEVICE`] on it, 2 to 8 degrees, 40 to 90 per cent; the store
    /// owns the supply chain.
    pub(crate) fn create(&mut self, party: u32) -> Arc<Transaction> {
        self.create_signed_with_key_of(party, party as usize)
    }

    pub(crate) fn create_signed_with_key_of(&mut self, party: u32, key: usize) -> Arc<Transaction> {
        let bounds = [400, 900, 20, 80].map(Value::Int);
        let parties = [Self::DEVICE, 3, Self::READER].map(|p| Value::Party(party_of(p)));
        let call = Call::Create {
            template: TEMPLATE.to_owned(),
            arguments: parties.into_iter().chain(bounds).collect(),
        };
        let nonce = self.nonce(party);
        Transaction::sign(&self.cast.party_keys[key], party_of(party), nonce, call)
    }

    pub(crate) fn invoke(
        &self,
        party: u32,
        nonce: u64,
        create: &Transaction,
        function: &str,
        arguments: Vec<Value>,
    ) -> Arc<Transaction> {
        let call = Call::Invoke {
            contract: ContractId(create.id()),
            function: function.to_owned(),
            arguments,
        };
        let key = &self.cast.party_keys[party as usize];
        Transaction::sign(key, party_of(party), nonce, call)
    }

    fn nonce(&mut self, party: u32) -> u64 {
        let next = self.nonces.entry(party_of(party)).or_default();
        *next += 1;
        *next - 1
    }

    pub(crate) fn submit(&mut self, transaction: &Transaction) {
        self.submit_as(transaction, None);
    }

    pub(crate) fn submit_cheating(&mut self, transaction: &Transaction) {
        self.submit_as(transaction, Some(0));
    }

    fn submit_as(&mut self, transaction: &Transaction, cheat: Option<usize>) {
        let party = transaction.party();
        let member = party.index().min(MEMBERS.len() - 1);
        self.tell(Fact::Submitted(Submission {
            tx: transaction.id(),
            party,
            gateway: self.cast.gateway(member),
            contract: ContractId(transaction.id()),
            package: 0,
            leg: 0,
            due: Time::ZERO,
            purpose: Purpose::Terms,
            cheat,
        }));
    }

    pub(crate) fn acknowledge(&mut self, transaction: &Transaction, outcome: Outcome, height: u64) {
        self.tell(Fact::Final {
            tx: transaction.id(),
            outcome,
            height: Height(height),
        });
    }

    pub(crate) fn reject(&mut self, transaction: &Transaction, reason: Rejection) {
        let tx = transaction.id();
        self.tell(Fact::Rejected { tx, reason });
    }

    /// Every honest member appends a block of this transaction.
    pub(crate) fn commit(
        &mut self,
        transaction: &Arc<Transaction>,
        outcome: Outcome,
        transition: Option<Transition>,
    ) {
        let receipt = Self::receipt(transaction, outcome, transition);
        self.commit_at([0, 1, 2, 3], transaction, receipt);
    }

    fn commit_at(
        &mut self,
        nodes: impl IntoIterator<Item = usize>,
        transaction: &Arc<Transaction>,
        receipt: Receipt,
    ) {
        let block = Self::block(&self.head, vec![Arc::clone(transaction)]);
        self.head = Arc::clone(&block);
        let receipts = vec![receipt];
        let entry = match self.claims.faults {
            FaultModel::Byzantine => self.certified(block, receipts, [0, 1, 2]),
            FaultModel::Trusted => Self::entry(&block, receipts, Some(Finality::Trusted)),
            FaultModel::Crash => Self::entry(&block, receipts, None),
        };
        for by in nodes {
            self.append(by, &entry);
        }
    }

    pub(crate) fn commit_ok(&mut self, create: &Arc<Transaction>) {
        self.commit_ok_at([0, 1, 2, 3], create);
    }

    pub(crate) fn commit_ok_at(
        &mut self,
        nodes: impl IntoIterator<Item = usize>,
        create: &Arc<Transaction>,
    ) {
        self.custodian = Some(create.party());
        let transition = Transition {
            contract: ContractId(create.id()),
            function: CONSTRUCTOR.to_owned(),
            caller: create.party(),
            from: None,
            to: 0,
            custodian_before: None,
            custodian_after: self.custodian,
        };
        let receipt = Self::receipt(create, Outcome::Ok, Some(transition));
        self.commit_at(nodes, create, receipt);
    }

    pub(crate) fn commit_reverted(&mut self, transaction: &Arc<Transaction>) {
        self.commit(transaction, Outcome::Reverted("no".into()), None);
    }

    /// The farm registers a shipment.
    pub(crate) fn created_shipment(&mut self) -> Arc<Transaction> {
        let create = self.create(0);
        self.submit(&create);
        self.commit_ok(&create);
        let height = self.head.header().height.0;
        self.acknowledge(&create, Outcome::Ok, height);
        create
    }

    /// Somebody calls a function, which leads from one state to another; who is responsible changes
    /// as it should.
    pub(crate) fn call(
        &mut self,
        party: u32,
        create: &Transaction,
        function: &str,
        arguments: Vec<Value>,
        states: (u8, u8),
    ) {
        let before = self.custodian;
        let after = match (function, arguments.first()) {
            (TRANSFER, Some(Value::Party(party))) => Some(*party),
            (COMPLETE, _) => None,
            _ => before,
        };
        self.perform(
            party,
            create,
            (function, arguments),
            states,
            (before, after),
        );
    }

    /// Somebody calls a function, and it is said who was and is responsible.
    pub(crate) fn call_with_custody(
        &mut self,
        party: u32,
        create: &Transaction,
        call: (&str, Vec<Value>),
        states: (u8, u8),
        (before, after): (PartyId, PartyId),
    ) {
        self.perform(party, create, call, states, (Some(before), Some(after)));
    }

    fn perform(
        &mut self,
        party: u32,
        create: &Transaction,
        (function, arguments): (&str, Vec<Value>),
        (from, to): (u8, u8),
        (custodian_before, custodian_after): (Option<PartyId>, Option<PartyId>),
    ) {
        let nonce = self.nonce(party);
        let transaction = self.invoke(party, nonce, create, function, arguments);
        let transition = Transition {
            contract: ContractId(create.id()),
            function: function.to_owned(),
            caller: party_of(party),
            from: Some(from),
            to,
            custodian_before,
            custodian_after,
        };
        self.custodian = custodian_after;
        self.submit(&transaction);
        self.commit(&transaction, Outcome::Ok, Some(transition));
        let height = self.head.header().height.0;
        self.acknowledge(&transaction, Outcome::Ok, height);
    }

    /// An honest run of a shipment from farm to store, with votes, a checkpoint, a restart and a
    /// drain.
    pub(crate) fn play_shipment(&mut self) {
        let create = self.created_shipment();
        self.call(Self::DEVICE, &create, INGEST, reading(500, 20), (0, 0));
        self.call(0, &create, TRANSFER, to(1), (0, 1));
        self.call(Self::DEVICE, &create, INGEST, reading(900, 80), (1, 1));
        self.call(1, &create, TRANSFER, to(2), (1, 1));
        self.call(0, &create, TRANSFER, to(3), (1, 1));
        self.call(3, &create, COMPLETE, vec![], (1, 2));
        self.close_day();
        self.drain();
    }
}

/// What the invariants say.
impl Stage {
    /// Lets the invariants read all facts, and the end.
    pub(crate) fn close(&self) -> Verdicts {
        let cast = Arc::new(self.cast.clone());
        let mut invariants = Invariants::new(&self.plan, cast, self.claims);
        for (at, fact) in &self.facts {
            invariants.read(*at, fact);
        }
        invariants.close(&Ending {
            ledgers: Vec::new(),
            alive: self.alive.clone(),
            usage: Vec::new(),
            packets: BTreeMap::new(),
            claims: self.claims,
            ended: Time(self.facts.len() as u64 * 1_000_000),
            trace: 0,
        })
    }

    /// Names of those that were broken.
    pub(crate) fn violated(&self) -> Vec<&'static str> {
        let verdicts = self.close();
        let broken = verdicts.list.iter().filter(|verdict| verdict.is_violated());
        broken.map(|verdict| verdict.name).collect()
    }

    pub(crate) fn first_violation(&self) -> Violation {
        let verdicts = self.close();
        let mut violations = verdicts.list.iter().flat_map(Verdict::violations);
        violations.next().expect("something is violated").clone()
    }

    /// How much an invariant that holds checked.
    pub(crate) fn checked(&self, name: &str) -> u64 {
        match self.close().on(name).expect("it is listed").finding {
            Finding::Holds { checked } => checked,
            ref other => panic!("{name} {other}"),
        }
    }

    /// The facts, for other readers.
    pub(crate) fn facts(&self) -> &[(Time, Fact)] {
        &self.facts
    }
}

/// A validator.
pub(crate) fn node(number: usize) -> NodeId {
    NodeId(number as u16)
}

/// A party.
pub(crate) fn party_of(number: u32) -> PartyId {
    PartyId(number)
}

/// Arguments of a reading: tenths of a per cent, tenths of a degree.
pub(crate) fn reading(humidity: i64, temperature: i64) -> Vec<Value> {
    [humidity, temperature, 0].map(Value::Int).to_vec()
}

/// Arguments of a hand-over.
pub(crate) fn to(party: u32) -> Vec<Value> {
    vec![Value::Party(party_of(party))]
}
