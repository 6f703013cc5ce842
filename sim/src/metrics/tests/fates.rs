//! Fates, latencies and goodput.

use consortium_node::{
    node::{Note, TxRefusal},
    transaction::Outcome,
};

use super::super::{
    scene::{Scene, milk, ms},
    *,
};
use super::fates;
use crate::{fact::Rejection, time::Time};

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
