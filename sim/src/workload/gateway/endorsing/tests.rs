//! What a gateway does with endorsers and orderers, a sentence a test. The processor's own peer is n1;
//! n0 orders, n0 and n1 endorse.

use std::collections::BTreeSet;

use consortium_node::{
    crypto::Keypair,
    engine::{FaultModel, ReplyRule},
    node::{Claims, ReceiptPage, TxRefusal},
    quorum::QuorumRule,
    transaction::{Call, ContractId, Invalidity, Outcome, Value},
    types::{Digest, Height, PartyId},
};

use super::*;
use crate::{
    fact::{Purpose, Submission},
    protocols::{Endorsers, ExecuteOrderValidatePlan, Ordering},
    workload::{
        INGEST_TELEMETRY,
        sample::{self, PROCESSOR},
    },
};

const RETRIES: u32 = 3;
const BACK_OFF: Duration = Duration::from_millis(100);
const CONFLICT: Outcome = Outcome::Invalid(Invalidity::ReadConflict { read: 0 });

fn anyone(_: &str, _: &str, _: &BTreeSet<String>) -> bool {
    true
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

struct Bench {
    cast: Cast,
    gateway: Gateway,
    out: Vec<GatewayOutput>,
}

impl Bench {
    fn new() -> Self {
        Self::of(FaultModel::Trusted, |_| Ordering::Single(None))
    }

    fn of(faults: FaultModel, ordering: impl FnOnce(&Plan) -> Ordering) -> Self {
        let mut plan = sample::plan();
        plan.consensus.protocol = Arc::new(ExecuteOrderValidatePlan {
            ordering: ordering(&plan),
            endorsers: Endorsers::First(2),
            policy: 2,
            retries: RETRIES,
            back_off: BACK_OFF,
        });
        let cast = Cast::new(&plan);
        let claims = Claims {
            protocol: "execute-order-validate",
            faults,
            reply: ReplyRule::Commit,
            quorum: QuorumRule::One,
            finality: None,
        };
        Self {
            gateway: Gateway::new(&cast, PROCESSOR, &plan, &claims, anyone),
            cast,
            out: Vec::new(),
        }
    }

    /// A call of a contract by a party.
    fn call(&self, party: PartyId, nonce: u64, contract: u8) -> Arc<Transaction> {
        let call = Call::Invoke {
            contract: ContractId(Digest([contract; 32])),
            function: INGEST_TELEMETRY.into(),
            arguments: vec![Value::Int(nonce.cast_signed())],
        };
        Transaction::sign(&self.cast.party_keys[party.index()], party, nonce, call)
    }

    fn submit(&mut self, now: Time, transaction: &Arc<Transaction>) -> TxId {
        let submission = Submission {
            tx: transaction.id(),
            party: transaction.party(),
            gateway: self.cast.gateway(PROCESSOR),
            contract: ContractId::default(),
            package: 0,
            leg: 0,
            due: now,
            purpose: Purpose::Completion,
            cheat: None,
        };
        let (gateway, out) = (&mut self.gateway, &mut self.out);
        gateway.submit(now, submission, Arc::clone(transaction), out);
        transaction.id()
    }

    fn reading(&mut self, now: Time) -> TxId {
        let reading = self.call(self.cast.device(0), 1, 1);
        self.submit(now, &reading)
    }

    fn key(&self, node: u16) -> &Arc<Keypair> {
        &self.cast.node_keys[usize::from(node)]
    }

    /// Endorser `by` says that `tx` would read and write nothing; `what` tells two such words apart.
    fn endorse(&mut self, now: Time, by: u16, tx: TxId, what: &str) {
        self.endorse_with_key_of(now, by, by, tx, what);
    }

    fn endorse_with_key_of(&mut self, now: Time, key: u16, by: u16, tx: TxId, what: &str) {
        let endorsement = Endorsement {
            tx,
            reads: Vec::new(),
            writes: Vec::new(),
            outcome: Outcome::Reverted(what.into()),
            transition: None,
        };
        let signed = Arc::new(self.key(key).sign(NodeId(by), endorsement));
        let packet = Packet::Role(RolePacket::Endorsement(signed));
        self.gateway.packet(now, NodeId(by), &packet, &mut self.out);
    }

    /// Peer `by` tells what became of it.
    fn event(&mut self, now: Time, by: u16, tx: TxId, outcome: &Outcome) {
        let page = ReceiptPage {
            block: Digest([5; 32]),
            height: Height(5),
            entries: vec![(tx, outcome.clone())],
        };
        let page = Arc::new(self.key(by).sign(NodeId(by), page));
        let packet = Packet::Client(ClientPacket::Receipts(page));
        self.gateway.packet(now, NodeId(by), &packet, &mut self.out);
    }

    /// Both endorsers agree, the envelope is ordered and found invalid.
    fn conflict(&mut self, now: Time, tx: TxId) {
        self.endorse(now, 0, tx, "");
        self.endorse(now, 1, tx, "");
        self.event(now, 1, tx, &CONFLICT);
    }

    /// Names of the packets sent since the last time, with whom they went to; and the facts told.
    fn take(&mut self) -> (Vec<(&'static str, u16)>, Vec<Fact>) {
        let (mut sent, mut facts) = (Vec::new(), Vec::new());
        for output in self.out.drain(..) {
            match output {
                GatewayOutput::Send { to, packet } => sent.push((packet.label().0.name, to.0)),
                GatewayOutput::Fact(fact) => facts.push(fact),
                GatewayOutput::Arm { .. } => {}
            }
        }
        (sent, facts)
    }

    fn sent(&mut self) -> Vec<(&'static str, u16)> {
        self.take().0
    }

    fn fire(&mut self) -> Time {
        let at = self.gateway.armed.expect("a timer is armed");
        let (token, out) = (self.gateway.token, &mut self.out);
        self.gateway.timer(at, token, out);
        at
    }
}

#[test]
fn an_order_is_proposed_to_every_endorser_and_its_envelope_sent_once_to_the_orderer() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    assert_eq!(bench.sent(), [("PROPOSE", 0), ("PROPOSE", 1)]);
    bench.endorse(at(1), 1, tx, "");
    assert!(bench.sent().is_empty(), "one of two is not enough");
    bench.endorse(at(2), 0, tx, "");
    assert_eq!(bench.sent(), [("SUBMIT", 0)]);
    bench.endorse(at(3), 0, tx, "");
    assert!(bench.sent().is_empty(), "it is under way");
    bench.event(at(4), 1, tx, &Outcome::Ok);
    let (_, facts) = bench.take();
    assert!(matches!(
        &facts[..],
        [Fact::Final {
            outcome: Outcome::Ok,
            ..
        }]
    ));
    assert_eq!(bench.gateway.pending(), 0);
}

#[test]
fn words_that_are_forged_or_not_an_endorsers_count_for_nothing() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    bench.endorse(at(1), 0, tx, "");
    bench.sent();
    bench.endorse_with_key_of(at(1), 0, 1, tx, "");
    bench.endorse(at(1), 2, tx, "");
    bench.endorse(at(1), 0, tx, "");
    assert!(bench.sent().is_empty());
    assert_eq!(bench.gateway.counters().bad_pages, 2);
}

#[test]
fn endorsers_that_disagree_are_asked_again_after_the_back_off() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    bench.endorse(at(1), 0, tx, "one");
    bench.endorse(at(1), 1, tx, "another");
    bench.take();
    assert_eq!(bench.gateway.counters().conflicts, 1);
    let again = bench.fire();
    assert!((at(101)..at(201)).contains(&again), "{again}");
    assert_eq!(bench.sent(), [("PROPOSE", 0), ("PROPOSE", 1)]);
    bench.endorse(again, 0, tx, "one");
    bench.endorse(again, 1, tx, "one");
    assert_eq!(
        bench.sent(),
        [("SUBMIT", 0)],
        "what was said before is void"
    );
}

#[test]
fn an_envelope_that_was_invalidated_is_endorsed_again_and_less_and_less_often() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    let mut now = at(1);
    for doubled in [1, 2, 4] {
        bench.conflict(now, tx);
        bench.take();
        let again = bench.fire();
        let waited = again.since(now);
        assert!(
            (doubled * BACK_OFF..2 * doubled * BACK_OFF).contains(&waited),
            "{waited:?}"
        );
        assert_eq!(bench.sent(), [("PROPOSE", 0), ("PROPOSE", 1)]);
        now = again;
    }
    bench.conflict(now, tx);
    let (_, facts) = bench.take();
    let Some(Fact::Rejected { reason, .. }) = facts.last() else {
        panic!("{facts:?}");
    };
    assert_eq!(*reason, Rejection::Conflicts, "after {RETRIES} retries");
    assert_eq!(bench.gateway.pending(), 0);
    assert_eq!(bench.gateway.counters().conflicts, u64::from(RETRIES) + 1);
}

#[test]
fn one_invalid_envelope_is_one_conflict_however_often_it_is_told() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    bench.conflict(at(1), tx);
    bench.event(at(2), 1, tx, &CONFLICT);
    bench.event(at(2), 0, tx, &CONFLICT);
    assert_eq!(bench.gateway.counters().conflicts, 1);
    bench.event(at(3), 1, tx, &Outcome::Ok);
    assert_eq!(
        bench.gateway.pending(),
        0,
        "a twin of the envelope was valid"
    );
}

#[test]
fn where_orderers_may_lie_the_own_peers_event_is_enough_and_a_strangers_is_not() {
    let pbft = |_: &Plan| {
        let plan = sample::plan();
        Ordering::Pbft(plan.consensus.protocol.pbft().expect("pbft").clone())
    };
    let mut bench = Bench::of(FaultModel::Byzantine, pbft);
    let tx = bench.reading(at(0));
    bench.event(at(1), 2, tx, &Outcome::Ok);
    assert_eq!(bench.gateway.pending(), 1);
    bench.event(at(2), 3, tx, &Outcome::Ok);
    assert_eq!(bench.gateway.pending(), 0, "one of f+1 is honest");
    let next = bench.call(bench.cast.device(0), 2, 1);
    let tx = bench.submit(at(3), &next);
    bench.event(at(4), 1, tx, &Outcome::Ok);
    assert_eq!(bench.gateway.pending(), 0);
}

#[test]
fn a_silence_sends_the_envelope_to_every_orderer() {
    let pbft = |_: &Plan| {
        let plan = sample::plan();
        Ordering::Pbft(plan.consensus.protocol.pbft().expect("pbft").clone())
    };
    let mut bench = Bench::of(FaultModel::Byzantine, pbft);
    let tx = bench.reading(at(0));
    bench.endorse(at(1), 0, tx, "");
    bench.endorse(at(1), 1, tx, "");
    assert_eq!(bench.sent().last(), Some(&("SUBMIT", 1)), "its own first");
    let now = bench.fire();
    assert_eq!(bench.sent(), [("PROPOSE", 0), ("PROPOSE", 1)]);
    bench.endorse(now, 0, tx, "");
    bench.endorse(now, 1, tx, "");
    let all = [("SUBMIT", 1), ("SUBMIT", 2), ("SUBMIT", 3), ("SUBMIT", 0)];
    assert_eq!(bench.sent(), all);
}

#[test]
fn a_refusal_that_makes_the_policy_impossible_is_for_good() {
    let mut bench = Bench::new();
    let tx = bench.reading(at(0));
    bench.take();
    let reason = TxRefusal::StaleNonce;
    let packet = Packet::Client(ClientPacket::Refused { tx, reason });
    bench
        .gateway
        .packet(at(1), NodeId(0), &packet, &mut bench.out);
    let (_, facts) = bench.take();
    assert!(matches!(&facts[..], [Fact::Rejected { .. }]));
}

#[test]
fn transactions_that_would_invalidate_each_other_go_one_after_the_other() {
    let mut bench = Bench::new();
    let (device, other) = (bench.cast.device(0), bench.cast.device(1));
    let first = bench.call(device, 1, 1);
    let same_contract = bench.call(other, 1, 1);
    let same_party = bench.call(device, 2, 2);
    let apart = bench.call(bench.cast.party(0), 1, 3);
    for transaction in [&first, &same_contract, &same_party, &apart] {
        bench.submit(at(0), transaction);
    }
    assert_eq!(
        bench.sent().len(),
        4,
        "two proposals each of the first and the last"
    );
    bench.event(at(1), 1, first.id(), &Outcome::Ok);
    assert_eq!(bench.sent().len(), 4, "both that waited for the first");
    for transaction in [&same_contract, &same_party, &apart] {
        bench.event(at(2), 1, transaction.id(), &Outcome::Ok);
    }
    assert_eq!(bench.gateway.pending(), 0);
}
