//! Validators that crash and start again, in the whole world: whatever their disks have left, nothing
//! acknowledged is lost, nobody contradicts what it said, and all end with the same state.

mod support;

use consortium_sim::{
    metrics::summary::{FaultRow, VerdictRow, VerdictStatus},
    run::Played,
};

use support::play;

/// Plays the hour with these faults instead of its own.
fn hour(faults: &str, more: &[&str]) -> Played {
    let faults = format!("fault=[{faults}]");
    let sets: Vec<_> = [faults.as_str()].iter().chain(more).copied().collect();
    play("hour.toml", &sets)
}

/// All expectations hold, nothing is lost, nothing waits, and every validator ends on one state.
fn assert_whole(played: &Played, case: &str) {
    let summary = &played.measured.summary;
    let broken = |row: &&VerdictRow| row.status == VerdictStatus::Violated;
    let broken: Vec<_> = summary.verdicts.iter().filter(broken).collect();
    assert!(broken.is_empty(), "{case}: {broken:#?}");
    assert_eq!(summary.exit_code, 0, "{case}");
    assert_eq!((summary.lost, summary.pending), (0, 0), "{case}");
    assert!(
        played.ending.alive.iter().all(|up| *up),
        "{case}: all are up again"
    );
    let stands = played.ending.ledgers.iter();
    let stands: Vec<_> = stands.map(|l| (l.height(), l.state().root())).collect();
    assert!(
        stands.iter().all(|one| *one == stands[0]),
        "{case}: {stands:?}"
    );
}

fn only_fault(played: &Played) -> &FaultRow {
    let [fault] = played.measured.summary.faults.as_slice() else {
        panic!("one fault was planned");
    };
    fault
}

/// Everyone whom the fault took down came back and was current soon after.
fn assert_current(fault: &FaultRow, restarts: usize, within_ms: u64, case: &str) {
    assert_eq!(fault.restarts.len(), restarts, "{case}");
    for restart in &fault.restarts {
        let took = restart.catch_up_ms;
        assert!(
            took.is_some_and(|ms| ms <= within_ms),
            "{case}: {restart:?}"
        );
    }
    assert_eq!(fault.lost, 0, "{case}");
}

#[test]
fn a_validator_that_starts_again_catches_up_whatever_its_disk_has_left() {
    for (disk, verdict) in [
        ("kept", "clean"),
        ("lost", "lost"),
        ("rolled-back", "lost"),
        ("rotten", "lost"),
    ] {
        let fault = format!("{{kind='crash', target='Store', at='30m', for='1m', disk='{disk}'}}");
        let played = hour(&fault, &[]);
        assert_whole(&played, disk);
        let row = only_fault(&played);
        assert_current(row, 1, 10_000, disk);
        let restart = &row.restarts[0];
        assert_eq!(
            (restart.member.as_str(), restart.down_ms),
            ("Store", 60_000)
        );
        assert_eq!(restart.disk, verdict);
    }
}

#[test]
fn a_primary_that_crashes_with_writes_under_way_comes_back() {
    let mut torn = 0;
    for millis in 0..8 {
        let at = 1_800_000 + 137 * millis;
        let fault = format!("{{kind='crash', target='primary', at='{at}ms', for='1m'}}");
        let played = hour(&fault, &[]);
        let case = format!("at {at} ms");
        assert_whole(&played, &case);
        let row = only_fault(&played);
        assert_current(row, 1, 10_000, &case);
        assert!(
            row.views.0 < row.views.1,
            "{case}: the others go on without it"
        );
        torn += usize::from(row.restarts[0].disk == "torn");
    }
    assert!(torn < 8, "most instants find an idle disk");
}

#[test]
fn a_blackout_of_all_validators_loses_nothing_that_was_acknowledged() {
    for disk in ["torn", "kept"] {
        let fault = format!("{{kind='crash', target='all', at='30m', for='1m', disk='{disk}'}}");
        let played = hour(&fault, &[]);
        assert_whole(&played, disk);
        let row = only_fault(&played);
        assert_current(row, 4, 10_000, disk);
        let outage = row.outage_ms.expect("it began");
        assert!((30_000..90_000).contains(&outage), "{outage} ms");
    }
}

#[test]
fn after_a_blackout_validators_may_start_one_after_another() {
    let fault = "{kind='crash', target='all', at='30m', for='1m', stagger='5s'}";
    let played = hour(fault, &[]);
    assert_whole(&played, "staggered");
    let row = only_fault(&played);
    assert_current(row, 4, 20_000, "staggered");
    let down: Vec<_> = row.restarts.iter().map(|restart| restart.down_ms).collect();
    assert_eq!(down, [60_000, 65_000, 70_000, 75_000]);
}

#[test]
fn validators_that_crash_in_turn_each_come_back_in_time_for_the_next() {
    let members = [
        "Milk Producer",
        "Food Processing Company",
        "Carrier 2",
        "Store",
    ];
    let faults: Vec<_> = (0..12)
        .map(|turn| {
            let member = members[turn % 4];
            let at = 10 + 3 * turn;
            format!("{{kind='crash', target='{member}', at='{at}m', for='90s'}}")
        })
        .collect();
    let played = hour(&faults.join(", "), &[]);
    assert_whole(&played, "in turn");
    for fault in &played.measured.summary.faults {
        assert_current(fault, 1, 10_000, &fault.label);
    }
}

#[test]
fn a_validator_that_two_crashes_keep_down_waits_for_both() {
    let faults = "{kind='crash', target='Store', at='30m', for='2m'}, \
                  {kind='crash', target='all', at='31m', for='3m'}";
    let played = hour(faults, &[]);
    assert_whole(&played, "twice");
    let [first, second] = played.measured.summary.faults.as_slice() else {
        panic!("two faults were planned");
    };
    let down = |row: &FaultRow| row.restarts.iter().map(|r| r.down_ms).collect::<Vec<_>>();
    assert_eq!(down(first), [240_000], "it starts again with the others");
    assert_eq!(down(second), [180_000; 3]);
}

#[test]
fn a_database_comes_back_with_its_disk() {
    for target in ["Milk Producer", "Store", "all"] {
        let fault = format!("{{kind='crash', target='{target}', at='30m', for='1m'}}");
        let played = hour(&fault, &["consensus.protocol=central"]);
        assert_whole(&played, target);
        let restarts = if target == "all" { 4 } else { 1 };
        assert_current(only_fault(&played), restarts, 60_000, target);
    }
}

#[test]
fn links_that_lose_half_of_what_is_sent_delay_and_break_nothing() {
    let calm = hour("", &[]);
    for (fault, label) in [
        (
            "{kind='link-loss', loss=0.5, at='30m', for='10m'}",
            "all links lose 50 %",
        ),
        (
            "{kind='link-loss', loss=0.8, from='Store', to='Carrier 2', ways='both', at='30m'}",
            "link Store <-> Carrier 2 loses 80 %",
        ),
    ] {
        let played = hour(fault, &[]);
        assert_whole(&played, label);
        assert_eq!(only_fault(&played).label, label);
        let p99 = |played: &Played| played.measured.summary.sent_to_final.p99_us;
        assert!(p99(&played) > p99(&calm), "{label}: a loss costs time");
    }
}

#[test]
fn a_link_cut_both_ways_separates_what_a_cut_one_way_does_not() {
    let cut = |ways: &str| {
        let fault = format!(
            "{{kind='link-cut', from='Store', to='Carrier 2', ways='{ways}', at='20m', for='30m'}}"
        );
        let played = hour(&fault, &[]);
        assert_whole(&played, ways);
        played.measured.summary
    };
    let (one, both) = (cut("one"), cut("both"));
    assert_eq!(one.faults[0].label, "link Store -> Carrier 2 cut");
    assert_eq!(both.faults[0].label, "link Store <-> Carrier 2 cut");
    assert_ne!(one.trace, both.trace);
}
