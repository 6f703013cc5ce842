//! Hunts: every validator restarts at drawn instants, in any order; and one comes back after half a day.

mod support;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use consortium_sim::{
    metrics::summary::VerdictStatus,
    rng::{Seed, draw},
    run::Played,
};

use support::play;

/// Runs at once.
const THREADS: usize = 2;
const MEMBERS: [&str; 4] = [
    "Milk Producer",
    "Food Processing Company",
    "Carrier 2",
    "Store",
];

/// What is wrong with a run after which everyone should be back; `None` if nothing is.
fn complaint(played: &Played) -> Option<String> {
    let summary = &played.measured.summary;
    if summary.exit_code != 0 {
        let violated = summary.verdicts.iter();
        let violated = violated.filter(|verdict| verdict.status == VerdictStatus::Violated);
        let details: Vec<_> = violated.flat_map(|verdict| &verdict.detail).collect();
        return Some(format!("exit code {}: {details:?}", summary.exit_code));
    }
    if summary.lost + summary.pending + summary.rejected > 0 {
        let (lost, pending, rejected) = (summary.lost, summary.pending, summary.rejected);
        return Some(format!(
            "{lost} lost, {pending} pending, {rejected} rejected"
        ));
    }
    let ledgers = &played.ending.ledgers;
    let stands: Vec<_> = ledgers
        .iter()
        .map(|l| (l.height(), l.state().root()))
        .collect();
    if stands.iter().any(|stand| *stand != stands[0]) {
        return Some(format!("states differ: {stands:?}"));
    }
    // Counted again by hand, from what is on the disks.
    let executed: usize = ledgers[0].entries().map(|entry| entry.receipts.len()).sum();
    (executed as u64 != summary.submitted)
        .then(|| format!("{executed} executions of {} submissions", summary.submitted))
}

/// All four validators stop at this instant, with writes under way, and start again in a drawn order.
fn blackout(instant: u64, at_ms: u64) -> String {
    let seed = Seed(3).number("restart hunt", instant);
    let crashes = (0u64..).zip(MEMBERS).map(|(member, name)| {
        let down_ms = 1_000 + draw(seed, member, 0) % 20_000;
        format!("{{kind='crash', target='{name}', at='{at_ms}ms', for='{down_ms}ms', disk='torn'}}")
    });
    format!("fault=[{}]", crashes.collect::<Vec<_>>().join(", "))
}

#[test]
#[expect(clippy::print_stderr, reason = "a hunt says how much it hunted")]
fn restarting_every_node_at_any_instant_in_any_order_loses_nothing_and_contradicts_nothing() {
    let instants = env::var("CONSORTIUM_RESTART_INSTANTS").map_or(48, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{text} is no number"))
    });
    let part_ms = 3_500_000 / instants;
    let seed = Seed(2).number("restart hunt", 0);
    let next = AtomicU64::new(0);
    let worker = || {
        let mut complaints = Vec::new();
        loop {
            let instant = next.fetch_add(1, Ordering::Relaxed);
            if instant >= instants {
                return complaints;
            }
            let at_ms = instant * part_ms + draw(seed, instant, 0) % part_ms;
            let faults = blackout(instant, at_ms);
            let played = play("hour.toml", &[&faults]);
            complaints.extend(complaint(&played).map(|complaint| {
                format!(
                    "{complaint}\nreproduce: cargo run -- scenario hour.toml --set \"{faults}\""
                )
            }));
        }
    };
    let complaints: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter();
        done.flat_map(|worker| worker.join().expect("a run broke down"))
            .collect()
    });
    eprintln!(
        "all validators restarted at {instants} instants, {} times with a complaint",
        complaints.len()
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The store is down for twelve hours of the milk day; these sets are laid over it.
fn down_for_twelve_hours(more: &[&str]) -> Played {
    let crash = "fault=[{kind='crash', target='Store', at='6h', for='12h'}]";
    let sets = [&[crash, "fleet.packages=12", "cheat=[]"], more].concat();
    play("milk.toml", &sets)
}

/// It fetched much, and was current within a minute.
fn assert_current(played: &Played) {
    let [fault] = played.measured.summary.faults.as_slice() else {
        panic!("one fault was planned");
    };
    let [restart] = fault.restarts.as_slice() else {
        panic!("one validator started again: {fault:?}");
    };
    assert!(
        restart.blocks_fetched > 5_000,
        "there was much to catch up with: {restart:?}"
    );
    let took = restart.catch_up_ms.expect("it was current");
    assert!(took < 60_000, "current within a minute: {restart:?}");
}

#[test]
fn a_validator_that_was_down_for_twelve_hours_is_current_within_a_minute_whoever_lies_to_it() {
    let honest = down_for_twelve_hours(&[]);
    assert_eq!(complaint(&honest), None);
    assert_current(&honest);
    let lies = "schedule=[{kind='rewrite', message='FINAL-BLOCKS', from='Milk Producer', \
                to='Store', change='digest'}]";
    // That it was told at all is an expectation of its own: a lie that never was is exit code 5.
    let lied_to = down_for_twelve_hours(&[lies]);
    assert_eq!(complaint(&lied_to), None);
    assert_current(&lied_to);
}
