//! What the definitions mean, one sentence each.

use consortium_node::{
    engine::{Slot, Tale},
    node::{Note, TxRefusal},
    transaction::Outcome,
    types::{Height, NodeId},
};

use super::{
    load::Resource,
    scene::{Scene, entered, entry, milk, ms, quiet_ending},
    shared_ledger::{Compliance, Sensor},
    summary::Summary,
    *,
};
use crate::{
    ending::{Count, Usage},
    fact::{Fact, Rejection},
    scenario::plan::{
        CheatKind, CheatPlan, CliquePlan, FaultKind, FaultPlan, Plan, Protocol, Target,
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

fn fates(run: &Summary) -> [u64; 6] {
    [
        run.submitted,
        run.ok,
        run.reverted,
        run.rejected,
        run.lost,
        run.pending,
    ]
}

#[test]
fn every_unique_transaction_has_one_fate_and_they_add_up() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    scene.live_reading(80, ms(20_000));
    let [no, skipped, door, waiting] = [81, 82, 83, 84].map(|t| scene.reading(t, 600));
    let reverted = Outcome::Reverted("over".into());
    let void = Outcome::Void("used before".into());
    let block = scene.extend(&[
        (&no, reverted.clone(), None),
        (&skipped, void.clone(), None),
    ]);
    for transaction in [&no, &skipped, &door, &waiting] {
        scene.submit(transaction, ms(30_000), None);
        scene.send(transaction.id(), ms(30_001), false);
    }
    scene.send(waiting.id(), ms(35_001), false);
    scene.note(ms(30_100), 2, Note::Appended(block));
    scene.settle(no.id(), ms(30_200), reverted);
    scene.settle(skipped.id(), ms(30_200), void);
    scene.reject(door.id(), ms(30_200), Rejection::Door(TxRefusal::Full));
    let run = scene.finish().summary;
    assert_eq!(fates(&run), [6, 2, 1, 1, 1, 1]);
    assert_eq!(run.attempts, 7);
    assert_eq!(run.rejected_reasons["mempool full"], 1);
    assert_eq!(run.lost_reasons["skipped: used before"], 1);
    assert_eq!(run.censored, 1, "the waiting one is counted, not dropped");
}

#[test]
#[should_panic(expected = "facts were told about transactions that nobody submitted")]
fn a_fate_of_a_transaction_that_nobody_submitted_fails_the_count() {
    let mut scene = Scene::new(milk());
    let stray = scene.reading(80, 600);
    scene.settle(stray.id(), ms(1), Outcome::Ok);
    scene.finish();
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
fn latencies_are_of_the_measured_cohort_and_link_down_ones_stand_apart() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    for second in 5..15 {
        scene.live_reading(80, ms(second * 1000));
    }
    let late = scene.reading(80, 600);
    scene.submit(&late, ms(20_000), None);
    scene.send(late.id(), ms(50_000), true);
    scene.settle(late.id(), ms(50_400), Outcome::Ok);
    let run = scene.finish().summary;
    assert_eq!(
        run.due_to_final.count, 5,
        "warm-up and link-down are not in it"
    );
    assert_eq!(run.due_to_final.max_us, 200_000);
    assert_eq!(run.sent_to_included.max_us, 100_000);
    assert_eq!(run.link_down_due_to_final.count, 1);
    assert_eq!(run.link_down_due_to_final.max_us, 30_400_000);
}

#[test]
fn percentiles_of_one_to_a_thousand_are_what_they_should_be() {
    let mut latency = latency::Latency::default();
    for us in 1..=1000 {
        latency.record(Time(0), Time(us * 1000));
    }
    let p = latency.percentiles();
    assert_eq!(
        [p.count, p.p50_us, p.p90_us, p.p99_us, p.p999_us, p.max_us],
        [1000, 500, 900, 990, 999, 1000]
    );
}

#[test]
fn goodput_counts_ok_by_time_of_finality_in_the_measured_window() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    scene.live_reading(80, ms(9_900)); // final at 10.1 s: in
    scene.live_reading(80, ms(50_000));
    scene.live_reading(80, ms(99_900)); // final at 100.1 s: out
    let run = scene.finish().summary;
    assert!((run.goodput_per_s - 2.0 / 90.0).abs() < 1e-6);
}

#[test]
fn the_shared_ledger_is_read_from_committed_transactions_by_stage() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    let stages = [
        (None, 80),
        (Some(4), 85),
        (Some(1), 90),
        (Some(2), 94),
        (Some(3), 110),
    ];
    for (second, (to, temperature_dc)) in (10..).step_by(10).zip(stages) {
        if let Some(to) = to {
            scene.hand_over(to, ms(second * 1000));
        }
        scene.live_reading(temperature_dc - 3, ms(second * 1000 + 1000));
        scene.live_reading(temperature_dc, ms(second * 1000 + 2000));
    }
    let table = ledger_table(scene.chain.iter(), &scene.plan, &scene.cast).expect("golden");
    let rows: Vec<(&str, i64, &str, String)> = table
        .rows
        .iter()
        .map(|row| {
            let verdict = row.compliance.to_string();
            (
                row.stage.as_str(),
                row.temperature_dc,
                row.custodian.as_str(),
                verdict,
            )
        })
        .collect();
    let ok = || "ok".to_owned();
    assert_eq!(
        rows,
        [
            ("Origin", 80, "Milk Producer", ok()),
            ("Warehouse", 90, "Food Processing Company", ok()),
            ("Carrier 2", 94, "Carrier 2", ok()),
            (
                "Store",
                110,
                "Store",
                "OUT OF COMPLIANCE: 11 > 10".to_owned()
            ),
        ],
        "Carrier 1 has no node, so it has no row"
    );
}

#[test]
fn humidity_masks_temperature() {
    let terms = shared_ledger::Terms {
        min_humidity_dpct: 0,
        max_humidity_dpct: 650,
        min_temperature_dc: 10,
        max_temperature_dc: 100,
    };
    let wet = terms.judge(110, 660);
    assert!(matches!(
        wet,
        Compliance::Out {
            sensor: Sensor::Humidity,
            ..
        }
    ));
    assert_eq!(wet.to_string(), "OUT OF COMPLIANCE: humidity 66 > 65");
    assert_eq!(
        terms.judge(100, 650),
        Compliance::Ok,
        "bounds are inclusive"
    );
    assert_eq!(terms.judge(4, 0).to_string(), "OUT OF COMPLIANCE: 0.4 < 1");
}

#[test]
fn who_knew_when_counts_from_the_reading_and_from_the_truth() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    scene.hand_over(3, ms(20_000));
    let truth = Fact::Truth {
        package: 0,
        custodian: 2,
        out_of_range: true,
    };
    scene.tell(ms(29_000), &truth);
    scene.live_reading(110, ms(30_000));
    let run = scene.finish().summary;
    let golden = run.golden_excursion.expect("it is out of its terms");
    assert_eq!(golden.all_knew_ms(), Some(30_100));
    assert_eq!(
        (golden.truth_ms, golden.reading_due_ms),
        (Some(29_000), 30_000)
    );
    assert_eq!(golden.blamed, "Store", "by the order of the ledger");
    assert_eq!(golden.ground_truth.as_deref(), Some("Carrier 2"));
    let totals = run.excursions;
    assert_eq!((totals.packages_both, totals.blamed_rightly), (1, 0));
}

#[test]
fn an_outage_is_the_longest_stall_from_the_faults_beginning_on() {
    let kind = FaultKind::Crash(Target::Primary);
    let mut scene = Scene::new(with_fault(kind, ms(40_000), ms(60_000)));
    scene.make_contract(ms(0));
    scene.live_reading(80, ms(20_000));
    let node = Some(NodeId(0));
    scene.tell(ms(40_000), &Fact::FaultBegan { fault: 0, node });
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
            node: None,
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
fn a_fault_that_stops_everything_for_good_is_not_survived() {
    let kind = FaultKind::Crash(Target::Member(3));
    let mut scene = Scene::new(with_fault(kind, ms(40_000), ms(60_000)));
    scene.make_contract(ms(0));
    let node = Some(NodeId(3));
    scene.tell(ms(40_000), &Fact::FaultBegan { fault: 0, node });
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
fn the_busiest_resource_is_named_and_slack_is_warned_about() {
    let plan = milk();
    let cast = crate::cast::Cast::new(&plan);
    let mut ending = quiet_ending();
    ending.usage = vec![Usage::default(); 8];
    ending.usage[3].cores_busy_ns = 90_000_000_000; // of 2 × 90 s
    ending.usage[6].uplink_busy_ns = 40_000_000_000;
    let busiest = load::busiest(&ending, &plan, &cast).expect("eight nodes");
    assert_eq!(
        (busiest.node.as_str(), busiest.resource),
        ("Store's validator", Resource::Cores)
    );
    assert!((busiest.busy_percent - 50.0).abs() < 1e-9);
    ending.packets.insert(
        "PREPARE",
        Count {
            messages: 30,
            bytes: 3000,
        },
    );
    let each = load::PerReading::of(&ending, 10);
    assert!((each.messages - 3.0).abs() < 1e-9 && (each.bytes - 300.0).abs() < 1e-9);
    let year = load::storage_per_year(&[110; 4], &ending, &plan, &cast);
    assert_eq!(year, [31_557_600; 4], "a byte a second for a Julian year");
}

#[test]
fn any_one_region_may_fail_when_the_rest_still_has_a_quorum() {
    let mut plan = milk();
    assert!(tolerance::Tolerance::of(&plan).vital_regions.is_empty());
    plan.members[1].region = "northeurope".into();
    let together = tolerance::Tolerance::of(&plan);
    assert_eq!(together.vital_regions, ["northeurope"]);
    assert_eq!(
        (together.n, together.f, together.q, together.spare()),
        (4, 1, 3, 1)
    );
    plan.consensus.protocol = Protocol::Clique(CliquePlan {
        period: std::time::Duration::from_secs(5),
        confirmations: 3,
    });
    assert_eq!(
        tolerance::Tolerance::of(&plan).vital_regions,
        ["northeurope"]
    );
    plan.members[1].region = "westeurope".into();
    assert!(tolerance::Tolerance::of(&plan).vital_regions.is_empty());
    plan.consensus.protocol = Protocol::Central;
    assert_eq!(
        tolerance::Tolerance::of(&plan).vital_regions,
        ["northeurope"]
    );
}

#[test]
fn warnings_tell_of_crowding_backlog_and_a_short_warm_up() {
    let mut plan = milk();
    plan.members[1].region = "northeurope".into();
    let mut scene = Scene::new(plan);
    for at in 0..2000 {
        let reading = scene.reading(80, 600);
        let due = ms(10_000 + at * 45);
        scene.submit(&reading, due, None);
        scene.send(reading.id(), due, false);
        // The first finish slowly, the last never.
        let took = if at < 100 { 4000 } else { 200 };
        if at < 1000 {
            scene.settle(reading.id(), Time(due.0 + took * 1_000_000), Outcome::Ok);
        }
    }
    let warnings = scene.finish().summary.warnings;
    let seen = |wanted: fn(&Warning) -> bool| warnings.iter().any(wanted);
    assert!(seen(|w| matches!(
        w,
        Warning::OneRegion {
            validators: 2,
            spare: 1,
            ..
        }
    )));
    assert!(
        seen(|w| matches!(w, Warning::BacklogGrowing { .. })),
        "{warnings:?}"
    );
    assert!(seen(|w| matches!(
        w,
        Warning::WarmUpTooShort {
            early_p50_us: 4_000_000..,
            ..
        }
    )));
    assert!(seen(|w| matches!(w, Warning::Censored { count: 1000 })));
    assert!(
        !seen(|w| matches!(w, Warning::FewSeeds { .. })),
        "five are enough"
    );
}

#[test]
fn a_run_leaves_files_with_plots_that_can_be_read() {
    let mut scene = Scene::new(milk());
    scene.make_contract(ms(0));
    for second in 20..40 {
        scene.live_reading(80, ms(second * 1000));
    }
    scene.live_reading(110, ms(41_000));
    let measured = scene.finish();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = crate::report::write_run(dir.path(), &measured, "seed = 7\n").expect("written");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
    assert_eq!(files.len(), 8);
    assert_eq!(read("scenario.toml"), "seed = 7\n");
    assert!(read("due-to-final.hgrm").contains("Total count    =           21"));
    let back: Summary = serde_json::from_str(&read("summary.json")).expect("a summary");
    assert_eq!(back, measured.summary);
    let golden = read("golden.svg");
    for text in [
        "GOLD-1: temperature on the ledger",
        "temperature (°C)",
        "virtual time",
        "limits 1 and 10 °C",
        "executed reading",
    ] {
        assert!(golden.contains(text), "{text} is missing");
    }
    let latency = read("latency.svg");
    for text in [
        "milk with pbft, seed 7",
        "due to final (ms)",
        "virtual time (s)",
        "median",
        "slowest",
    ] {
        assert!(latency.contains(text), "{text} is missing");
    }
    assert!(golden.contains("<polyline") && golden.trim_end().ends_with("</svg>"));
    crate::report::write_run(dir.path(), &measured, "").expect("again, over the old files");
}
