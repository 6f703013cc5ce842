//! Every difference between two runs shows in their traces.

use std::{collections::BTreeSet, time::Duration};

use consortium_node::{
    engine::{Recovery, Refusal},
    node::TxRefusal,
    quorum::Phase,
    transaction::ContractId,
    types::{PartyId, Seq, View},
};

use super::*;
use crate::invariant::stage::Stage;

fn trace(facts: &[(Time, Fact)]) -> u64 {
    let mut trace = Trace::default();
    for (at, fact) in facts {
        trace.read(*at, fact);
    }
    trace.finish()
}

#[test]
fn the_same_facts_give_the_same_trace_and_their_order_and_times_count() {
    let mut stage = Stage::pbft();
    stage.play_shipment();
    let facts = stage.facts();
    assert_eq!(trace(facts), trace(facts));
    let mut swapped = facts.to_vec();
    swapped.swap(0, 1);
    assert_ne!(trace(facts), trace(&swapped));
    let mut later = facts.to_vec();
    later[3].0 = later[3].0 + Duration::from_nanos(1);
    assert_ne!(trace(facts), trace(&later));
    assert_ne!(trace(facts), trace(&facts[1..]));
}

/// Facts that differ from each other in one thing at a time.
fn neighbours() -> Vec<Fact> {
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    let submission = |purpose| {
        Fact::Submitted(Submission {
            tx: a,
            party: PartyId(1),
            gateway: NodeId(4),
            contract: ContractId(b),
            package: 0,
            leg: 0,
            due: Time(5),
            purpose,
            cheat: None,
        })
    };
    let told = |outcome, height| Fact::Final {
        tx: a,
        outcome,
        height: Height(height),
    };
    let rejected = |reason| Fact::Rejected { tx: a, reason };
    vec![
        submission(Purpose::Terms),
        submission(Purpose::Completion),
        submission(Purpose::HandOver { to: PartyId(1) }),
        submission(Purpose::HandOver { to: PartyId(2) }),
        told(Outcome::Ok, 1),
        told(Outcome::Ok, 2),
        told(Outcome::Reverted("no".into()), 1),
        told(Outcome::Reverted("nope".into()), 1),
        told(Outcome::Void("no".into()), 1),
        rejected(Rejection::Role),
        rejected(Rejection::Sequence),
        rejected(Rejection::Door(TxRefusal::BadSignature)),
        rejected(Rejection::Door(TxRefusal::Full)),
        Fact::FaultBegan {
            fault: 0,
            nodes: vec![],
        },
        Fact::FaultBegan {
            fault: 0,
            nodes: vec![NodeId(0)],
        },
        Fact::FaultBegan {
            fault: 0,
            nodes: vec![NodeId(0), NodeId(1)],
        },
        restarted(0, 0, Recovery::Clean),
        restarted(1, 0, Recovery::Clean),
        restarted(0, 1, Recovery::Clean),
        restarted(0, 0, Recovery::Torn),
        Fact::FaultEnded { fault: 0 },
        Fact::DrainBegan,
        Fact::Audited {
            member: 0,
            findings: vec![],
        },
        Fact::Audited {
            member: 0,
            findings: vec!["height 1".into()],
        },
    ]
}

/// The same of notes.
fn neighbouring_notes() -> Vec<Fact> {
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    let slot = Slot {
        view: View(1),
        seq: Seq(2),
    };
    let vote = Vote {
        phase: Phase(1),
        view: View(1),
        slot: Seq(2),
        digest: a,
    };
    let note = |note| Fact::Node {
        node: NodeId(1),
        note,
    };
    let tale = |tale| note(Note::Engine(tale));
    vec![
        note(Note::Admitted(a)),
        note(Note::Admitted(b)),
        note(Note::Refused(Refusal::Stale)),
        note(Note::Refused(Refusal::TooFar)),
        tale(Tale::Voted(vote)),
        tale(Tale::Voted(Vote { digest: b, ..vote })),
        tale(Tale::Proposed { slot, block: a }),
        tale(Tale::Suspected(View(1))),
        tale(Tale::Void(Seq(1))),
        tale(Tale::Equivocation {
            by: NodeId(1),
            slot,
        }),
    ]
}

#[test]
fn facts_that_differ_in_one_thing_differ_in_the_trace() {
    let facts = [neighbours(), neighbouring_notes()].concat();
    let hashes: BTreeSet<_> = facts
        .iter()
        .map(|fact| trace(&[(Time(1), fact.clone())]))
        .collect();
    assert_eq!(hashes.len(), facts.len());
}

#[test]
fn every_label_of_a_packet_counts() {
    let kind = |code| Kind {
        name: "PREPARE",
        code,
        proposal: false,
    };
    let slot = |view, seq| Slot {
        view: View(view),
        seq: Seq(seq),
    };
    let (a, b) = (NodeId(1), NodeId(2));
    let hash = |at, link, kind, slot, len| {
        let mut trace = Trace::default();
        trace.packet(Time(at), link, kind, slot, len);
        trace.finish()
    };
    let hashes = BTreeSet::from([
        hash(1, (a, b), kind(1), slot(1, 1), 100),
        hash(2, (a, b), kind(1), slot(1, 1), 100),
        hash(1, (b, a), kind(1), slot(1, 1), 100),
        hash(1, (a, b), kind(2), slot(1, 1), 100),
        hash(1, (a, b), kind(1), slot(2, 1), 100),
        hash(1, (a, b), kind(1), slot(1, 2), 100),
        hash(1, (a, b), kind(1), slot(1, 1), 101),
    ]);
    assert_eq!(hashes.len(), 7);
}

#[test]
fn the_outcome_knows_ledgers_and_verdicts_but_no_times() {
    let ends = [(Height(7), Digest([1; 32]), Digest([2; 32])); 4];
    let mut stage = Stage::pbft();
    stage.play_shipment();
    let verdicts = stage.close();
    let one = outcome(ends, &verdicts);
    stage.drain();
    assert_eq!(one, outcome(ends, &stage.close()), "a later end");
    let mut other = ends;
    other[3].2 = Digest([3; 32]);
    assert_ne!(one, outcome(other, &verdicts));
    let create = stage.create(0);
    stage.submit(&create);
    assert_ne!(one, outcome(ends, &stage.close()), "a violation");
    assert_eq!(hex(10), "000000000000000a");
}

fn restarted(fault: usize, node: u16, disk: Recovery) -> Fact {
    let node = NodeId(node);
    Fact::Restarted { fault, node, disk }
}
