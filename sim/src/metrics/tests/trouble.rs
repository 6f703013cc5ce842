//! Faults, cheats and reorganisations.

use std::sync::Arc;

use consortium_node::{
    engine::{Recovery, Slot, Tale},
    node::{Note, TxRefusal},
    transaction::Outcome,
    types::{Height, NodeId},
};

use super::super::scene::{Scene, entered, entry, milk, ms};
use super::fates;
use crate::{
    fact::{Fact, Rejection},
    metrics::summary::RestartRow,
    scenario::plan::{
        CheatKind, CheatPlan, CrashPlan, DiskFate, FaultKind, FaultPlan, Plan, Target,
    },
    time::Time,
};

const FORGED: Rejection = Rejection::Door(TxRefusal::BadSignature);

fn with_fault(kind: FaultKind, at: Time, until: Time) -> Plan {
    let until = Some(until);
    Plan {
        faults: vec![FaultPlan { at, until, kind }],
        ..milk()
    }
}

fn with_cheat(kind: CheatKind) -> Plan {
    let (at, until) = (ms(50_000), Some(ms(60_000)));
    Plan {
        cheats: vec![CheatPlan { at, until, kind }],
        ..milk()
    }
}

#[test]
fn a_replay_is_no_new_transaction_and_its_rejection_is_the_cheats() {
    let mut scene = Scene::new(with_cheat(CheatKind::ReplayedReading(3)));
    scene.make_contract(ms(0));
    let old = scene.reading(80, 600);
    scene.live(&old, ms(20_000));
    scene.submit(&old, ms(50_000), Some(0));
    let node = scene.cast.gateway(3);
    scene.tell(
        ms(50_000),
        &Fact::Cheated {
            cheat: 0,
            node,
            tx: Some(old.id()),
        },
    );
    scene.reject(old.id(), ms(50_010), Rejection::Sequence);
    scene.submit(&old, ms(51_000), Some(0));
    scene.settle(old.id(), ms(51_200), Outcome::Ok);
    let run = scene.finish().summary;
    assert_eq!(fates(&run), [2, 2, 0, 0, 0, 0]);
    assert_eq!(run.cheat_attempts, 2);
    let end = "rejected 1 (sequence), answered from the cache once, executed once";
    assert_eq!(
        (run.cheats[0].end.as_str(), run.cheats[0].stopped),
        (end, true)
    );
}

#[test]
fn a_forged_reading_is_rejected_with_its_reason_and_is_in_no_latency() {
    let mut scene = Scene::new(with_cheat(CheatKind::ForgedReading(3)));
    scene.make_contract(ms(0));
    let forged = scene.reading(80, 600);
    scene.submit(&forged, ms(50_000), Some(0));
    let node = scene.cast.gateway(3);
    scene.tell(
        ms(50_000),
        &Fact::Cheated {
            cheat: 0,
            node,
            tx: Some(forged.id()),
        },
    );
    scene.send(forged.id(), ms(50_000), false);
    scene.reject(forged.id(), ms(50_020), FORGED);
    let run = scene.finish().summary;
    assert_eq!(fates(&run), [2, 1, 0, 1, 0, 0]);
    assert_eq!(run.cheats[0].label, "Store forges a reading");
    assert_eq!(run.cheats[0].end, "rejected 1 (signature)");
    assert_eq!((run.cheats[0].stopped, run.censored), (true, 0));
}

#[test]
fn an_outage_is_the_longest_stall_from_the_faults_beginning_on() {
    let kind = FaultKind::Crash(Target::Primary.into());
    let mut scene = Scene::new(with_fault(kind, ms(40_000), ms(60_000)));
    scene.make_contract(ms(0));
    scene.live_reading(80, ms(20_000));
    let nodes = vec![NodeId(0)];
    scene.tell(ms(40_000), &Fact::FaultBegan { fault: 0, nodes });
    let waits = scene.reading(80, 600);
    scene.submit(&waits, ms(41_000), None);
    scene.send(waits.id(), ms(41_000), false);
    scene.note(ms(44_000), 1, entered(1));
    scene.settle(waits.id(), ms(45_200), Outcome::Ok);
    scene.live_reading(80, ms(50_000));
    scene.tell(ms(60_000), &Fact::FaultEnded { fault: 0 });
    scene.live_reading(80, ms(61_000));
    // A stall after it was overcome is not its own.
    let later = scene.reading(80, 600);
    scene.submit(&later, ms(70_000), None);
    scene.send(later.id(), ms(70_000), false);
    scene.settle(later.id(), ms(79_000), Outcome::Ok);
    let run = scene.finish().summary;
    let fault = &run.faults[0];
    assert_eq!(fault.label, "primary crash (Milk Producer)");
    assert_eq!(fault.outage_ms, Some(4200), "from when work was pending");
    assert_eq!(fault.recovery_ms, Some(1200));
    assert_eq!((fault.views, fault.survived), ((0, 1), true));
    assert_eq!(run.usual_stall_ms, 200);
}

#[test]
fn an_offline_gateway_buffers_drains_and_executes_each_once() {
    let kind = FaultKind::GatewayOffline(0);
    let mut scene = Scene::new(with_fault(kind, ms(30_000), ms(40_000)));
    scene.make_contract(ms(0));
    scene.tell(
        ms(30_000),
        &Fact::FaultBegan {
            fault: 0,
            nodes: Vec::new(),
        },
    );
    let held = [80, 81, 82].map(|t| scene.reading(t, 600));
    for (second, reading) in (31..).zip(&held) {
        scene.submit(reading, ms(second * 1000), None);
    }
    scene.tell(ms(40_000), &Fact::FaultEnded { fault: 0 });
    let content: Vec<_> = held.iter().map(|r| (r, Outcome::Ok, None)).collect();
    let block = scene.extend(&content);
    for reading in &held {
        scene.send(reading.id(), ms(40_010), true);
    }
    scene.note(ms(40_100), 3, Note::Appended(block));
    for (nth, reading) in (1..).zip(&held) {
        scene.settle(reading.id(), ms(41_000 + nth * 700), Outcome::Ok);
    }
    let run = scene.finish().summary;
    let buffer = run.faults[0].buffer.expect("a gateway's fault has one");
    assert_eq!((buffer.waited, buffer.drained_ms), (3, 3100));
    assert_eq!(
        (buffer.unfinished, buffer.repeated, run.faults[0].lost),
        (0, 0, 0)
    );
}

#[test]
fn who_starts_again_is_current_when_it_is_within_a_block_of_the_highest() {
    let mut kind = CrashPlan::from(Target::Member(3));
    kind.disk = DiskFate::Lost;
    let mut scene = Scene::new(with_fault(FaultKind::Crash(kind), ms(40_000), ms(50_000)));
    scene.make_contract(ms(0));
    let entries: Vec<_> = (0..4).map(|_| scene.extend(&[])).collect();
    let appended = |number: usize| Note::Appended(Arc::clone(&entries[number]));
    scene.note(ms(30_000), 3, appended(0));
    let nodes = vec![NodeId(3)];
    scene.tell(ms(40_000), &Fact::FaultBegan { fault: 0, nodes });
    for number in 0..4 {
        scene.note(ms(41_000), 0, appended(number));
    }
    let (node, disk) = (NodeId(3), Recovery::Lost);
    scene.tell(ms(50_000), &Fact::FaultEnded { fault: 0 });
    let again = Fact::Restarted {
        fault: 0,
        node,
        disk,
    };
    scene.tell(ms(50_000), &again);
    let height = Height(0);
    scene.note(ms(50_010), 3, Note::Recovered { height });
    let first = Arc::clone(&scene.chain[0]);
    scene.note(ms(50_200), 3, Note::Appended(first));
    for number in 0..4 {
        scene.note(ms(50_300 + 100 * number as u64), 3, appended(number));
    }
    let run = scene.finish().summary;
    let fault = &run.faults[0];
    assert_eq!(fault.label, "Store crash, disk lost");
    let expected = RestartRow {
        member: "Store".into(),
        disk: "lost".into(),
        down_ms: 10_000,
        catch_up_ms: Some(500),
        blocks_lost: 2,
        blocks_fetched: 4,
    };
    assert_eq!(fault.restarts, [expected]);
}

#[test]
fn a_fault_that_stops_everything_for_good_is_not_survived() {
    let kind = FaultKind::Crash(Target::Member(3).into());
    let mut scene = Scene::new(with_fault(kind, ms(40_000), ms(60_000)));
    scene.make_contract(ms(0));
    let nodes = vec![NodeId(3)];
    scene.tell(ms(40_000), &Fact::FaultBegan { fault: 0, nodes });
    let waits = scene.reading(80, 600);
    scene.submit(&waits, ms(41_000), None);
    scene.send(waits.id(), ms(41_000), false);
    let run = scene.finish().summary;
    assert_eq!(
        run.faults[0].outage_ms,
        Some(69_000),
        "until the run was over"
    );
    assert!(!run.faults[0].survived);
}

#[test]
fn an_equivocator_is_named_and_its_delay_is_shown() {
    let mut scene = Scene::new(with_cheat(CheatKind::EquivocatingPrimary(1)));
    scene.make_contract(ms(0));
    let node = NodeId(1);
    scene.tell(
        ms(50_000),
        &Fact::Cheated {
            cheat: 0,
            node,
            tx: None,
        },
    );
    let slow = scene.reading(80, 600);
    scene.submit(&slow, ms(50_500), None);
    scene.send(slow.id(), ms(50_500), false);
    let tale = Tale::Equivocation {
        by: node,
        slot: Slot::default(),
    };
    scene.note(ms(50_600), 2, Note::Engine(tale));
    scene.note(ms(53_000), 2, entered(2));
    scene.settle(slow.id(), ms(54_500), Outcome::Ok);
    let run = scene.finish().summary;
    let cheat = &run.cheats[0];
    assert_eq!(cheat.label, "Food Processing Company leads and equivocates");
    assert_eq!(cheat.end, "no fork, view 0 -> 2, +4 s, named by Carrier 2");
    assert!(cheat.stopped);
}

#[test]
fn who_rewrites_its_copy_is_named_by_the_audit_and_not_read_from() {
    let kind = CheatKind::RewritesCopy {
        member: 3,
        from_dc: 110,
        to_dc: 90,
    };
    let mut scene = Scene::new(with_cheat(kind));
    scene.make_contract(ms(0));
    let correct = scene.metrics.correct_validator(&[true; 4]);
    assert_eq!(correct, Some(NodeId(2)), "the last but the Store");
    let findings = vec!["block 9 is not whole".to_owned()];
    scene.tell(
        ms(100_000),
        &Fact::Audited {
            member: 3,
            findings,
        },
    );
    let run = scene.finish().summary;
    assert_eq!(run.cheats[0].label, "Store rewrites 11 to 9");
    assert_eq!(
        run.cheats[0].end,
        "audit of Store's copy: block 9 is not whole"
    );
    assert_eq!(run.same_root_validators, 4);
}

#[test]
fn a_reorganisation_takes_back_what_it_had_included_and_relied_on() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    let reading = scene.reading(80, 600);
    scene.submit(&reading, ms(20_000), None);
    scene.send(reading.id(), ms(20_000), false);
    let parent = scene.chain[0].block.id();
    let wrong = entry(2, parent, &[(&reading, Outcome::Ok, None)]);
    scene.note(ms(20_100), 0, Note::Appended(wrong.clone()));
    let (block, height) = (wrong.block.id(), Height(2));
    scene.note(ms(20_200), 0, Note::Relied { block, height });
    scene.settle(reading.id(), ms(20_300), Outcome::Ok);
    let block = wrong.block.clone();
    scene.note(ms(20_400), 0, Note::Retracted { block });
    let other = scene.extend(&[]);
    scene.note(ms(20_500), 0, Note::Appended(other));
    let run = scene.finish().summary;
    assert_eq!(
        (run.reorganisations, run.deepest_reorganisation_blocks),
        (1, 1)
    );
    assert_eq!((run.retracted, run.retracted_after_relied_blocks), (1, 1));
    assert_eq!(run.lost_reasons["called final, but on no honest chain"], 1);
}

#[test]
fn a_block_told_of_again_after_a_crash_is_counted_once() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    let again = scene.chain[0].clone();
    scene.note(ms(30_000), 0, Note::Appended(again));
    let run = scene.finish().summary;
    assert_eq!((run.retracted, run.reorganisations), (0, 0));
    assert_eq!(run.ok, 1);
}

#[test]
fn a_cheats_transaction_that_no_gateway_took_in_is_in_no_count_but_its_own() {
    let mut scene = Scene::new(with_cheat(CheatKind::ForgedReading(3)));
    scene.make_contract(ms(0));
    let forged = scene.reading(80, 600);
    let node = scene.cast.gateway(3);
    let tx = Some(forged.id());
    scene.tell(ms(50_000), &Fact::Cheated { cheat: 0, node, tx });
    scene.send(forged.id(), ms(50_000), false);
    scene.reject(forged.id(), ms(50_020), FORGED);
    let run = scene.finish().summary;
    assert_eq!(fates(&run), [1, 1, 0, 0, 0, 0]);
    assert_eq!(run.cheats[0].end, "rejected 1 (signature)");
}
