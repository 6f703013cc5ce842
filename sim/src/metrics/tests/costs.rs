//! Load, tolerance, warnings and files.

use consortium_node::transaction::Outcome;

use super::super::{
    load::Resource,
    scene::{Scene, milk, ms, quiet_ending},
    summary::Summary,
    *,
};
use crate::{
    ending::{Count, Usage},
    protocols::{CentralPlan, CliquePlan},
    time::Time,
};
use std::sync::Arc;

use consortium_node::{
    engine::{FaultModel, ReplyRule},
    node::Claims,
    quorum::QuorumRule,
};

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
        (together.n, together.f, together.q, together.spare),
        (4, 1, 3, 1)
    );
    plan.consensus.protocol = Arc::new(CliquePlan {
        period: std::time::Duration::from_secs(5),
        confirmations: 3,
    });
    assert_eq!(
        tolerance::Tolerance::of(&plan).vital_regions,
        ["northeurope"]
    );
    plan.members[1].region = "westeurope".into();
    assert!(tolerance::Tolerance::of(&plan).vital_regions.is_empty());
    plan.consensus.protocol = Arc::new(CentralPlan);
    let central = tolerance::Tolerance::of(&plan);
    assert_eq!(central.vital_members, [("Milk Producer".to_owned(), 1)]);
    assert_eq!(central.spare, 0, "all hangs on one machine");
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

#[test]
fn claims_say_what_a_protocol_does_not_give() {
    let claims = |faults, reply| Claims {
        protocol: "any",
        faults,
        reply,
        quorum: QuorumRule::Byzantine,
        finality: None,
    };
    let words = [
        claims(FaultModel::Byzantine, ReplyRule::WeakQuorum),
        claims(FaultModel::Byzantine, ReplyRule::Depth(3)),
        claims(FaultModel::Crash, ReplyRule::Depth(3)),
        claims(FaultModel::Trusted, ReplyRule::One),
    ]
    .map(|claims| tolerance::claims_in_words(&claims, 4, 1));
    assert_eq!(
        words,
        [
            "bears any 1 of 4 that lie; final at 2 equal receipts (f+1)",
            "no finality: 3 confirmations",
            "bears any 1 of 4 that crash, none that lies; no finality: 3 confirmations",
            "one trusted machine: nothing an outsider could check",
        ]
    );
}
