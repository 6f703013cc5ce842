//! The milk day with fewer packages: what its terms decide, and what becomes of its faults and cheats.

mod support;

use consortium_sim::{
    metrics::{
        shared_ledger::{Compliance, Sensor},
        summary::Summary,
    },
    run::Played,
};

use support::play;

fn milk(set: &str) -> Played {
    // In mild air no package but the golden one gets too warm.
    let mild = ["leg.1.ambient_c=6.5", "leg.3.ambient_c=6.5"];
    play("milk.toml", &["fleet.packages=2", mild[0], mild[1], set])
}

/// The rows of the golden package: stage, tenths of a degree, tenths of a per cent, and the judgement.
fn rows(summary: &Summary) -> Vec<(&str, i64, i64, Compliance)> {
    let ledger = summary.shared_ledger.as_ref().expect("a golden package");
    ledger
        .rows
        .iter()
        .map(|row| {
            (
                row.stage.as_str(),
                row.temperature_dc,
                row.humidity_dpct,
                row.compliance,
            )
        })
        .collect()
}

/// The slides' table, with this judgement of the last row.
fn slides(at_store: Compliance) -> Vec<(&'static str, i64, i64, Compliance)> {
    vec![
        ("Origin", 80, 600, Compliance::Ok),
        ("Warehouse", 90, 640, Compliance::Ok),
        ("Carrier 2", 90, 640, Compliance::Ok),
        ("Store", 110, 660, at_store),
    ]
}

/// Every transaction has one fate, and the correct ledger's own receipts count the same.
fn assert_adds_up(played: &Played) {
    let summary = &played.measured.summary;
    let fates = [
        summary.ok,
        summary.reverted,
        summary.rejected,
        summary.lost,
        summary.pending,
    ];
    assert_eq!(summary.submitted, fates.iter().sum::<u64>());
    let survivor = played.ending.alive.iter().position(|alive| *alive);
    let ledger = &played.ending.ledgers[survivor.expect("someone is up")];
    let executed: usize = ledger.entries().map(|entry| entry.receipts.len()).sum();
    assert_eq!(executed as u64, summary.ok + summary.reverted);
}

#[test]
fn eleven_degrees_break_the_terms_at_the_store_and_all_later_readings_are_reverted() {
    let played = milk("cold_chain.max_temperature_c=10");
    let summary = &played.measured.summary;
    let too_warm = Compliance::Out {
        sensor: Sensor::Temperature,
        reading: 110,
        limit: 100,
    };
    assert_eq!(rows(summary), slides(too_warm));
    let excursion = summary.golden_excursion.as_ref().expect("there was one");
    assert_eq!(excursion.blamed, "Store");
    assert_eq!(excursion.ground_truth.as_deref(), Some("Store"));
    assert!(
        excursion
            .all_knew_ms()
            .is_some_and(|at| at - excursion.reading_due_ms < 1000)
    );
    // Store has the package for six hours of a reading a minute; the first one turned the contract.
    assert_eq!(summary.reverted, 359);
    assert_eq!((summary.lost, summary.exit_code), (0, 0));
    assert_adds_up(&played);
}

#[test]
fn with_twelve_degrees_allowed_the_golden_package_stays_compliant() {
    let played = milk("cold_chain.max_temperature_c=12");
    let summary = &played.measured.summary;
    assert_eq!(rows(summary), slides(Compliance::Ok));
    assert_eq!(summary.golden_excursion, None);
    assert_eq!((summary.reverted, summary.exit_code), (0, 0));
    assert_adds_up(&played);
}

#[test]
fn with_sixty_five_per_cent_allowed_it_fails_by_humidity_at_the_store() {
    let played = milk("cold_chain.max_humidity_pct=65");
    let summary = &played.measured.summary;
    // Eleven degrees are too warm too: humidity masks temperature.
    let too_damp = Compliance::Out {
        sensor: Sensor::Humidity,
        reading: 660,
        limit: 650,
    };
    assert_eq!(rows(summary), slides(too_damp));
    let excursion = summary.golden_excursion.as_ref().expect("there was one");
    assert_eq!(excursion.blamed, "Store");
    assert_eq!(summary.exit_code, 0);
    assert_adds_up(&played);
}

#[test]
fn the_days_two_faults_are_survived_and_every_buffered_reading_is_executed_once() {
    let played = milk("seed=8");
    let summary = &played.measured.summary;
    let [crash, farm] = summary.faults.as_slice() else {
        panic!("{:?}", summary.faults);
    };
    assert!(crash.label.starts_with("primary crash"), "{}", crash.label);
    assert!(crash.survived && farm.survived);
    assert!(crash.views.1 > crash.views.0, "a view change replaces it");
    assert!(
        crash.outage_ms.is_some_and(|ms| ms < 10_000),
        "{:?}",
        crash.outage_ms
    );
    assert_eq!(crash.lost + farm.lost + summary.lost, 0);
    let buffer = farm.buffer.expect("the farm's gateway was offline");
    assert!(buffer.waited > 0, "nothing was due in that hour");
    assert_eq!((buffer.unfinished, buffer.repeated), (0, 0));
    assert!(buffer.drained_ms < 60_000, "{} ms", buffer.drained_ms);
    assert_eq!(
        buffer.waited, summary.link_down_due_to_final.count,
        "their latencies stand apart"
    );
    assert_adds_up(&played);
}

#[test]
fn all_four_cheats_of_the_day_are_stopped_and_named() {
    let played = milk("seed=7");
    let summary = &played.measured.summary;
    let cheats: Vec<_> = summary
        .cheats
        .iter()
        .map(|cheat| (cheat.label.as_str(), cheat.stopped))
        .collect();
    assert_eq!(
        cheats,
        [
            ("Food Processing Company leads and equivocates", true),
            ("Store forges a reading", true),
            ("Carrier 2 replays a reading", true),
            ("Store rewrites 11 to 9", true),
        ]
    );
    let ends: Vec<_> = summary
        .cheats
        .iter()
        .map(|cheat| cheat.end.as_str())
        .collect();
    assert!(ends[0].starts_with("no fork"), "{}", ends[0]);
    assert!(!ends[1].contains("executed"), "{}", ends[1]);
    assert_eq!(ends[2], "executed once");
    assert!(
        ends[3].starts_with("audit of Store's copy: "),
        "{}",
        ends[3]
    );
    assert!(ends[3].contains("is not signed by"), "{}", ends[3]);
    assert!(summary.cheats[..3].iter().all(|cheat| cheat.acted > 0));
}
