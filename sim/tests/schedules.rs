//! Directed schedules, each kind through the world: what happens to exactly which message or record.

use std::sync::Arc;

use consortium_sim::{
    metrics::summary::Summary,
    run::{self, Played},
};

mod harness;

/// Four replicas, a slot every five seconds, ten milliseconds from one to another.
const DIRECTED: &str = include_str!("data/directed.toml");

/// The minute with these schedules, and with these keys changed.
fn with(schedules: &str, sets: &[&str]) -> Played {
    let schedules = format!("schedule=[{schedules}]");
    let sets: Vec<_> = [schedules.as_str()].iter().chain(sets).copied().collect();
    run::play(&harness::plan(DIRECTED, &sets), 1, Arc::default()).expect("the run reaches its end")
}

/// How often each schedule was applied, in a run in which nothing else is wrong.
fn applied(played: &Played) -> Vec<u64> {
    let summary = &played.measured.summary;
    let details: Vec<_> = summary.verdicts.iter().flat_map(|v| &v.detail).collect();
    assert_eq!(summary.exit_code, 0, "{details:?} {:?}", summary.schedules);
    assert_eq!((summary.lost, summary.pending), (0, 0));
    summary.schedules.iter().map(|row| row.used).collect()
}

fn sent(played: &Played, kind: &str) -> u64 {
    played
        .ending
        .packets
        .get(kind)
        .map_or(0, |count| count.messages)
}

fn slowest_ms(played: &Played) -> u64 {
    played.measured.summary.sent_to_final.max_us / 1000
}

#[test]
fn an_undisturbed_minute_takes_no_retransmission() {
    let played = with("", &[]);
    assert!(applied(&played).is_empty());
    assert_eq!(sent(&played, "VIEW-CHANGE"), 0);
    assert!(slowest_ms(&played) < 200, "{}", slowest_ms(&played));
}

#[test]
fn a_dropped_proposal_is_all_that_one_replica_misses() {
    let drop = "{kind='drop', message='PRE-PREPARE', from='R0', to=['R1','R2','R3'], seq=3, \
                since='8s', until='20s'}";
    let played = with(drop, &[]);
    assert!(applied(&played)[0] >= 3);
    assert!(
        slowest_ms(&played) >= 1000,
        "nobody can vote before it is sent again"
    );
    let once = with(&drop.replace("since=", "times=1, since="), &[]);
    assert_eq!(applied(&once), [1]);
    assert!(slowest_ms(&once) < 200, "the other three are a quorum");
}

#[test]
fn a_delayed_and_a_held_message_arrive_late_and_change_nothing_else() {
    let delay = "{kind='delay', message='PREPARE', seq=2, by='300ms'}";
    let played = with(delay, &[]);
    // Each of three backups sends PREPARE to three.
    assert_eq!(applied(&played), [9]);
    assert!((300..600).contains(&slowest_ms(&played)));
    let hold = "{kind='hold', message='COMMIT', view=0, seq='2..2', release='7500ms'}";
    let played = with(hold, &[]);
    assert_eq!(applied(&played), [12]);
    assert!(
        (500..900).contains(&slowest_ms(&played)),
        "{}",
        slowest_ms(&played)
    );
}

#[test]
fn what_is_delivered_again_counts_once() {
    let again = "{kind='duplicate', message=['PREPARE','COMMIT'], copies=5}, \
                 {kind='duplicate', message='COMMIT', seq=1, by='20s'}";
    let played = with(again, &[]);
    let plain = with("", &[]);
    assert!(applied(&played)[0] > 100);
    assert_eq!(applied(&played)[1], 12);
    let heads = |played: &Played| -> Vec<_> {
        let ledgers = played.ending.ledgers.iter();
        ledgers.map(|ledger| ledger.state().root()).collect()
    };
    assert_eq!(heads(&played), heads(&plain));
    let received = |played: &Played| -> u64 {
        let usage = played.ending.usage.iter();
        usage.map(|usage| usage.received.messages).sum()
    };
    assert!(received(&played) > received(&plain) + 500);
}

#[test]
fn a_liar_that_rewrites_its_votes_is_no_honest_member_and_harms_nobody() {
    for change in [
        "digest",
        "view+1",
        "seq+1",
        "seq-1",
        "earlier",
        "view-change",
    ] {
        for original in ["kept", "replaced"] {
            let lie = format!(
                "{{kind='rewrite', message='COMMIT', from='R2', seq='2..', change='{change}', \
                 original='{original}'}}"
            );
            let played = with(&lie, &[]);
            assert!(applied(&played)[0] >= 3, "{change} {original}");
            assert!(!played.cast.honest[2] && played.cast.honest[1]);
        }
    }
}

#[test]
fn a_validator_crashes_before_or_after_a_message_leaves_and_starts_again() {
    for phase in ["before-send", "after-send"] {
        let crash = format!(
            "{{kind='crash', message='COMMIT', from='R3', to='R1', seq=3, phase='{phase}', \
             times=1, for='8s'}}"
        );
        let played = with(&crash, &[]);
        assert_eq!(applied(&played), [1], "{phase}");
        let row = &played.measured.summary.schedules[0];
        assert_eq!(row.restarts.len(), 1, "{phase}: {row:?}");
        assert_eq!(row.restarts[0].down_ms, 8000);
        assert!(played.ending.alive.iter().all(|up| *up));
    }
}

#[test]
fn what_a_crash_leaves_of_a_record_depends_on_its_phase() {
    let blocks_and_disk = |phase: &str| {
        let crash = format!(
            "{{kind='crash', record='COMMITTED', from='R3', seq=3, phase='{phase}', times=1, \
             for='8s', disk='kept'}}"
        );
        let played = with(&crash, &["machine.fsync=5ms"]);
        assert_eq!(applied(&played), [1], "{phase}");
        let rows = &played.measured.summary.schedules[0].restarts;
        (rows.len(), rows[0].disk.clone(), sent(&played, "COMMIT"))
    };
    for phase in ["before-persist", "after-persist", "after-durable"] {
        let (restarts, disk, commits) = blocks_and_disk(phase);
        assert_eq!((restarts, disk.as_str()), (1, "clean"), "{phase}");
        assert!(commits > 0);
    }
}

#[test]
fn a_schedule_that_never_matched_is_a_missed_expectation_and_says_so() {
    let played = with("{kind='drop', message='NEW-VIEW', view=7}", &[]);
    let summary: &Summary = &played.measured.summary;
    assert_eq!(summary.exit_code, 5);
    let screen = consortium_sim::report::render(summary);
    assert!(screen.contains("0/1 schedules applied"), "{screen}");
    assert!(screen.contains("drop NEW-VIEW view 7"), "{screen}");
    assert!(screen.contains("MISSED: nothing like it"), "{screen}");
}

#[test]
fn schedules_take_no_chance_of_anything_else() {
    let fates = |schedules: &str| {
        let played = with(schedules, &["network.loss=0.05", "drain=2m"]);
        let summary = &played.measured.summary;
        (summary.trace.clone(), summary.sent_to_final.max_us)
    };
    // A schedule that changes nothing but its own message leaves the weather as it was: a copy that
    // nobody needs arrives, and that is all that differs.
    let plain = fates("");
    let late = "{kind='duplicate', message='RECEIPTS', to='R0', times=1, by='1s'}";
    assert_eq!(fates(late).1, plain.1);
    assert_eq!(fates(late), fates(late));
    assert_ne!(fates(late).0, plain.0, "the schedule itself is a fact");
}

#[test]
fn one_scheduled_run_is_the_same_with_every_shortcut_off() {
    let schedules = "{kind='rewrite', message='CHECKPOINT', from='R2', change='digest'}, \
                     {kind='crash', record='PREPARED', from='R3', seq=3, phase='after-persist', \
                      times=1, for='8s'}, \
                     {kind='drop', message='PRE-PREPARE', to='R1', seq=5, times=1}";
    let trace = |sets: &[&str]| {
        let played = with(schedules, sets);
        (applied(&played), played.measured.summary.trace.clone())
    };
    let eager = trace(&[
        "host.signatures=eager",
        "host.wire=eager",
        "host.execution=separate",
    ]);
    assert_eq!(trace(&[]), eager);
}
