//! What a gateway does, a sentence a test.

use consortium_node::{
    engine::ReplyRule,
    pbft::FINALITY,
    quorum::QuorumRule,
    transaction::{ContractId, Outcome, Value},
    types::{Digest, Height},
};

use super::*;
use crate::{
    fact::Purpose,
    workload::{
        COMPLETE, INGEST_TELEMETRY,
        sample::{self, AUTHORITY, PROCESSOR},
    },
};

const PBFT: Claims = Claims {
    protocol: "pbft",
    faults: FaultModel::Byzantine,
    reply: ReplyRule::WeakQuorum,
    quorum: QuorumRule::Byzantine,
    finality: Some(FINALITY),
};

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

/// Devices report, owners create and complete; nobody else does anything.
fn permits(template: &str, function: &str, roles: &BTreeSet<String>) -> bool {
    assert_eq!(template, TEMPLATE);
    let needed = match function {
        INGEST_TELEMETRY => "Device",
        CONSTRUCTOR | COMPLETE => "Owner",
        other => panic!("{other}"),
    };
    roles.contains(needed)
}

/// The processor's gateway in front of four validators; its own is n1.
struct Bench {
    cast: Cast,
    gateway: Gateway,
    out: Vec<GatewayOutput>,
}

impl Bench {
    fn new(claims: &Claims) -> Self {
        let plan = sample::plan();
        let cast = Cast::new(&plan);
        Self {
            gateway: Gateway::new(&cast, PROCESSOR, &plan, claims, permits),
            cast,
            out: Vec::new(),
        }
    }

    /// A call signed with that key in the name of that party.
    fn signed(&self, key: PartyId, party: PartyId, nonce: u64, function: &str) -> Arc<Transaction> {
        let call = Call::Invoke {
            contract: ContractId::default(),
            function: function.into(),
            arguments: vec![Value::Int(nonce.cast_signed())],
        };
        Transaction::sign(&self.cast.party_keys[key.index()], party, nonce, call)
    }

    /// A reading of the golden package's device.
    fn reading(&self, nonce: u64) -> Arc<Transaction> {
        let device = self.cast.device(0);
        self.signed(device, device, nonce, INGEST_TELEMETRY)
    }

    fn submit(&mut self, now: Time, transaction: &Arc<Transaction>) {
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
        let transaction = Arc::clone(transaction);
        self.gateway
            .submit(now, submission, transaction, &mut self.out);
    }

    /// Submits a reading and forgets what that did.
    fn submitted(&mut self, now: Time, nonce: u64) -> TxId {
        let reading = self.reading(nonce);
        self.submit(now, &reading);
        self.out.clear();
        reading.id()
    }

    /// A validator says that these became `outcome` at height 5.
    fn receipts(&mut self, now: Time, by: u16, outcome: &Outcome, txs: &[TxId]) {
        self.receipts_signed(now, NodeId(by), NodeId(by), outcome, txs);
    }

    fn receipts_signed(
        &mut self,
        now: Time,
        key: NodeId,
        by: NodeId,
        outcome: &Outcome,
        txs: &[TxId],
    ) {
        let page = ReceiptPage {
            block: Digest([5; 32]),
            height: Height(5),
            entries: txs.iter().map(|tx| (*tx, outcome.clone())).collect(),
        };
        let page = self.cast.node_keys[key.index()].sign(by, page);
        let packet = Packet::Client(ClientPacket::Receipts(Arc::new(page)));
        self.gateway.packet(now, by, &packet, &mut self.out);
    }

    fn refuse(&mut self, now: Time, by: u16, tx: TxId, reason: TxRefusal) {
        let packet = Packet::Client(ClientPacket::Refused { tx, reason });
        self.gateway.packet(now, NodeId(by), &packet, &mut self.out);
    }

    fn link(&mut self, now: Time, online: bool) {
        self.gateway.link(now, online, &mut self.out);
    }

    /// Takes whom it sent to since the last time it was asked, and which facts it told.
    fn take(&mut self) -> (Vec<u16>, Vec<Fact>) {
        let (mut sent, mut facts) = (Vec::new(), Vec::new());
        for output in self.out.drain(..) {
            match output {
                GatewayOutput::Send { to, packet } => {
                    assert!(matches!(packet, Packet::Client(ClientPacket::Submit(_))));
                    sent.push(to.0);
                }
                GatewayOutput::Fact(fact) => facts.push(fact),
                GatewayOutput::Arm { .. } => {}
            }
        }
        (sent, facts)
    }

    fn sent(&mut self) -> Vec<u16> {
        self.take().0
    }

    /// Which transactions became final, at which height.
    fn finals(&mut self) -> Vec<(TxId, Outcome, u64)> {
        let finals = self.take().1.into_iter().filter_map(|fact| match fact {
            Fact::Final {
                tx,
                outcome,
                height,
            } => Some((tx, outcome, height.0)),
            _ => None,
        });
        finals.collect()
    }

    fn rejections(&mut self) -> Vec<Rejection> {
        let rejections = self.take().1.into_iter().filter_map(|fact| match fact {
            Fact::Rejected { reason, .. } => Some(reason),
            _ => None,
        });
        rejections.collect()
    }

    /// Lets the newest timer fire; says when.
    fn fire(&mut self) -> Time {
        let at = self.gateway.armed.expect("a timer is armed");
        self.gateway.timer(at, self.gateway.token, &mut self.out);
        at
    }
}

#[test]
fn the_first_attempt_goes_to_its_own_members_validator() {
    let mut bench = Bench::new(&PBFT);
    let reading = bench.reading(1);
    bench.submit(at(5), &reading);
    let (sent, facts) = bench.take();
    assert_eq!(sent, [1]);
    assert!(matches!(facts[0], Fact::Submitted(ref it) if it.tx == reading.id()));
    let Fact::Sent {
        tx,
        attempt: 1,
        waited_for_link: false,
    } = facts[1]
    else {
        panic!("{facts:?}");
    };
    assert_eq!(tx, reading.id());
}

#[test]
fn a_trusted_database_is_the_only_one_to_ask() {
    let mut bench = Bench::new(&Claims {
        protocol: "central",
        faults: FaultModel::Trusted,
        reply: ReplyRule::One,
        quorum: QuorumRule::One,
        finality: None,
    });
    let reading = bench.reading(1);
    bench.submit(at(0), &reading);
    assert_eq!(bench.sent(), [0]);
    bench.fire();
    assert_eq!(bench.sent(), [0], "there is nobody else");
    bench.receipts(at(3000), 0, &Outcome::Ok, &[reading.id()]);
    assert_eq!(bench.finals().len(), 1, "its word is enough");
}

#[test]
fn what_roles_do_not_permit_is_refused_and_never_sent() {
    let mut bench = Bench::new(&PBFT);
    let authority = bench.cast.party(AUTHORITY);
    let complete = bench.signed(authority, authority, 1, COMPLETE);
    bench.submit(at(0), &complete);
    let (sent, facts) = bench.take();
    assert!(sent.is_empty());
    let [Fact::Submitted(_), Fact::Rejected { reason, .. }] = &facts[..] else {
        panic!("{facts:?}");
    };
    assert_eq!(*reason, Rejection::Role);
    assert_eq!(bench.gateway.pending(), 0);
}

#[test]
fn a_duplicate_of_a_pending_transaction_is_merged_silently() {
    let mut bench = Bench::new(&PBFT);
    bench.submitted(at(0), 1);
    let again = bench.reading(1);
    bench.submit(at(1), &again);
    assert!(bench.out.is_empty());
    assert_eq!(bench.gateway.counters().merged, 1);
    assert_eq!(bench.gateway.pending(), 1);
}

#[test]
fn r2_a_number_that_did_not_grow_is_refused() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 2);
    for by in [0, 1] {
        bench.receipts(at(10), by, &Outcome::Ok, &[tx]);
    }
    bench.out.clear();
    for nonce in [2, 1] {
        let replay = bench.reading(nonce);
        bench.submit(at(20), &replay);
        assert_eq!(bench.rejections(), [Rejection::Sequence]);
    }
    assert!(bench.sent().is_empty());
}

#[test]
fn a_forgery_is_passed_on_and_uses_up_no_number() {
    let mut bench = Bench::new(&PBFT);
    let culprit = bench.cast.party(PROCESSOR);
    let forged = bench.signed(culprit, bench.cast.device(0), 9, INGEST_TELEMETRY);
    bench.submit(at(0), &forged);
    assert_eq!(bench.sent(), [1], "that validators refuse it is the point");
    bench.refuse(at(5), 1, forged.id(), TxRefusal::BadSignature);
    let refused = Rejection::Door(TxRefusal::BadSignature);
    assert_eq!(bench.rejections(), [refused]);
    let genuine = bench.reading(1);
    bench.submit(at(10), &genuine);
    assert_eq!(bench.sent(), [1], "the device is not locked out");
}

#[test]
fn r3_a_retry_goes_to_every_validator_and_later_ones_come_less_often() {
    let mut bench = Bench::new(&PBFT);
    bench.submitted(at(0), 1);
    let mut times = Vec::new();
    for attempt in 2..7 {
        times.push(bench.fire().0 / 1_000_000_000);
        let (sent, facts) = bench.take();
        assert_eq!(sent, [1, 2, 3, 0]);
        let [Fact::Sent { attempt: told, .. }] = &facts[..] else {
            panic!("{facts:?}");
        };
        assert_eq!(*told, attempt);
    }
    assert_eq!(times, [2, 4, 8, 16, 24], "after r, r, 2r, 4r, 4r");
}

#[test]
fn r3_f_plus_one_equal_receipts_make_a_transaction_final_once() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.receipts(at(10), 0, &Outcome::Ok, &[tx]);
    bench.receipts(at(11), 0, &Outcome::Ok, &[tx]);
    assert!(bench.finals().is_empty(), "one validator, however often");
    bench.receipts(at(12), 3, &Outcome::Ok, &[tx]);
    assert_eq!(bench.finals(), [(tx, Outcome::Ok, 5)]);
    for by in [1, 2] {
        bench.receipts(at(13), by, &Outcome::Ok, &[tx]);
    }
    assert!(bench.finals().is_empty(), "it is over");
    assert_eq!(bench.gateway.pending(), 0);
    assert!(bench.gateway.deadlines.is_empty());
}

#[test]
fn a_lying_receipt_does_not_count() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    let lie = Outcome::Reverted("it never came".into());
    bench.receipts(at(10), 2, &lie, &[tx]);
    bench.receipts(at(11), 0, &Outcome::Ok, &[tx]);
    assert!(bench.finals().is_empty(), "two that differ are not two");
    bench.receipts(at(12), 1, &Outcome::Ok, &[tx]);
    assert_eq!(bench.finals(), [(tx, Outcome::Ok, 5)]);
    assert_eq!(bench.gateway.counters().mismatching_receipts, 1);
}

#[test]
fn a_receipt_in_anothers_name_does_not_count() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.receipts(at(10), 2, &Outcome::Ok, &[tx]);
    bench.receipts_signed(at(11), NodeId(2), NodeId(0), &Outcome::Ok, &[tx]);
    let gateway = bench.cast.gateway(0);
    bench.receipts_signed(at(12), gateway, gateway, &Outcome::Ok, &[tx]);
    assert!(bench.finals().is_empty());
    assert_eq!(bench.gateway.counters().bad_pages, 2);
}

#[test]
fn the_plan_can_ask_for_more_receipts() {
    let mut plan = sample::plan();
    plan.gateway.reply_quorum = Some(3);
    let mut bench = Bench::new(&PBFT);
    bench.gateway = Gateway::new(&bench.cast, PROCESSOR, &plan, &PBFT, permits);
    let tx = bench.submitted(at(0), 1);
    for by in [0, 1] {
        bench.receipts(at(10), by, &Outcome::Ok, &[tx]);
    }
    assert!(bench.finals().is_empty());
    bench.receipts(at(10), 2, &Outcome::Ok, &[tx]);
    assert_eq!(bench.finals().len(), 1);
}

#[test]
fn no_more_than_the_window_is_under_way_and_each_answer_lets_the_next_one_go() {
    let mut plan = sample::plan();
    plan.gateway.window = 2;
    let mut bench = Bench::new(&PBFT);
    bench.gateway = Gateway::new(&bench.cast, PROCESSOR, &plan, &PBFT, permits);
    let txs: Vec<TxId> = (1..=3)
        .map(|nonce| bench.submitted(at(nonce), nonce))
        .collect();
    let attempts = |facts: Vec<Fact>| -> Vec<TxId> {
        let sent = |fact| {
            if let Fact::Sent { tx, .. } = fact {
                Some(tx)
            } else {
                None
            }
        };
        facts.into_iter().filter_map(sent).collect()
    };
    assert_eq!(bench.gateway.pending(), 3);
    for by in [0, 1] {
        bench.receipts(at(10), by, &Outcome::Ok, &txs[..1]);
    }
    assert_eq!(
        attempts(bench.take().1),
        txs[2..],
        "the third, once the first is final"
    );
}

#[test]
fn while_offline_it_buffers_and_drains_in_order_when_the_link_is_back() {
    let mut plan = sample::plan();
    plan.gateway.window = 2400;
    let mut bench = Bench::new(&PBFT);
    bench.gateway = Gateway::new(&bench.cast, PROCESSOR, &plan, &PBFT, permits);
    bench.link(at(0), false);
    let txs: Vec<TxId> = (1..=2400)
        .map(|nonce| {
            let reading = bench.reading(nonce);
            bench.submit(at(nonce), &reading);
            reading.id()
        })
        .collect();
    let (sent, facts) = bench.take();
    assert!(sent.is_empty());
    assert!(facts.iter().all(|fact| matches!(fact, Fact::Submitted(_))));

    bench.link(at(5000), true);
    let (sent, facts) = bench.take();
    assert_eq!(sent, vec![1; 2400], "each once, to its own validator");
    let order: Vec<TxId> = facts
        .iter()
        .map(|fact| match fact {
            Fact::Sent {
                tx,
                attempt: 1,
                waited_for_link: true,
            } => *tx,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, txs);
    for by in [0, 1, 2, 3] {
        bench.receipts(at(5100), by, &Outcome::Ok, &txs);
    }
    assert_eq!(bench.finals().len(), 2400, "each final once");
}

#[test]
fn what_was_under_way_when_the_link_broke_is_sent_again() {
    let mut bench = Bench::new(&PBFT);
    bench.submitted(at(0), 1);
    bench.link(at(1), false);
    bench.fire();
    assert!(bench.out.is_empty(), "there is no link");
    bench.link(at(9000), true);
    let (sent, facts) = bench.take();
    assert_eq!(sent, [1, 2, 3, 0]);
    let [
        Fact::Sent {
            attempt: 2,
            waited_for_link: true,
            ..
        },
    ] = &facts[..]
    else {
        panic!("{facts:?}");
    };
}

#[test]
fn when_its_own_validator_is_silent_the_last_that_answered_is_asked_too() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.fire();
    for by in [3, 2] {
        bench.receipts(at(2100), by, &Outcome::Ok, &[tx]);
    }
    assert_eq!(bench.finals().len(), 1);
    let second = bench.reading(2);
    bench.submit(at(2200), &second);
    assert_eq!(bench.sent(), [1, 2]);
    bench.receipts(at(2300), 1, &Outcome::Ok, &[second.id()]);
    let third = bench.reading(3);
    bench.submit(at(2400), &third);
    assert_eq!(bench.sent(), [1], "its own is back");
}

#[test]
fn its_own_validators_refusal_is_final_unless_the_mempool_is_full() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.refuse(at(10), 1, tx, TxRefusal::Full);
    assert!(bench.out.is_empty(), "it will try again");
    bench.fire();
    assert_eq!(bench.sent(), [1, 2, 3, 0]);
    bench.refuse(at(2010), 1, tx, TxRefusal::StaleNonce);
    let stale = Rejection::Door(TxRefusal::StaleNonce);
    assert_eq!(bench.rejections(), [stale]);
    assert_eq!(bench.gateway.pending(), 0);
}

#[test]
fn a_strangers_refusal_is_final_when_as_many_as_make_an_answer_agree() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.refuse(at(10), 2, tx, TxRefusal::ReadOnly);
    bench.refuse(at(10), 2, tx, TxRefusal::ReadOnly);
    bench.refuse(at(10), 3, tx, TxRefusal::UnknownParty);
    assert!(bench.out.is_empty(), "one may lie");
    bench.refuse(at(11), 0, tx, TxRefusal::ReadOnly);
    let refused = Rejection::Door(TxRefusal::ReadOnly);
    assert_eq!(bench.rejections(), [refused]);
}

#[test]
fn a_refusal_of_what_someone_has_executed_is_not_final() {
    let mut bench = Bench::new(&PBFT);
    let tx = bench.submitted(at(0), 1);
    bench.receipts(at(10), 0, &Outcome::Ok, &[tx]);
    bench.refuse(at(11), 1, tx, TxRefusal::StaleNonce);
    assert!(bench.rejections().is_empty());
    bench.receipts(at(12), 2, &Outcome::Ok, &[tx]);
    assert_eq!(bench.finals(), [(tx, Outcome::Ok, 5)]);
}

#[test]
fn one_timer_serves_all_that_waits() {
    let mut bench = Bench::new(&PBFT);
    for nonce in 1..=100 {
        let reading = bench.reading(nonce);
        bench.submit(at(nonce), &reading);
    }
    let arms = |out: &[GatewayOutput]| -> Vec<(u64, Time)> {
        let arms = out.iter().filter_map(|output| match output {
            GatewayOutput::Arm { token, at } => Some((*token, *at)),
            _ => None,
        });
        arms.collect()
    };
    let first = arms(&bench.out);
    assert_eq!(first, [(1, at(2001))], "for the oldest");
    bench.out.clear();
    bench.gateway.timer(at(2050), 1, &mut bench.out);
    assert_eq!(arms(&bench.out), [(2, at(2051))]);
    assert_eq!(bench.sent().len(), 50 * 4, "all that is due at once");
    bench.gateway.timer(at(9000), 1, &mut bench.out);
    assert!(bench.out.is_empty(), "a stale timer does nothing");
}
