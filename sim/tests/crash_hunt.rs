//! Hunts: the primary is killed at many instants of an hour, and at whole minutes of the milk day.
//!
//! Whatever the instant, no invariant may break and no acknowledged reading may be lost. How many instants
//! are tried is read from the environment: `CONSORTIUM_CRASH_INSTANTS` of the hour, one drawn in each of so
//! many equal parts, and `CONSORTIUM_CRASH_MINUTES` of the day, evenly spread; .ci/nightly asks for more.

mod support;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use consortium_node::types::BlockId;
use consortium_sim::{
    metrics::summary::VerdictStatus,
    rng::{Seed, draw},
    run::Played,
};

use support::play;

/// Runs at once.
const THREADS: usize = 2;

fn count(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

/// The blocks of a validator's ledger, from the first on.
fn chain(played: &Played, node: usize) -> Vec<BlockId> {
    let ledger = &played.ending.ledgers[node];
    ledger.entries().map(|entry| entry.block.id()).collect()
}

/// What is wrong with a run in which the primary was killed once; `None` if nothing is.
fn complaint(played: &Played) -> Option<String> {
    let summary = &played.measured.summary;
    if summary.exit_code != 0 || summary.count(VerdictStatus::Violated) > 0 {
        let violated = summary
            .verdicts
            .iter()
            .filter(|verdict| verdict.status == VerdictStatus::Violated);
        let details: Vec<_> = violated.flat_map(|verdict| &verdict.detail).collect();
        return Some(format!("exit code {}: {details:?}", summary.exit_code));
    }
    if summary.lost + summary.pending + summary.rejected > 0 {
        return Some(format!(
            "{} lost, {} pending, {} rejected",
            summary.lost, summary.pending, summary.rejected
        ));
    }
    let dead: Vec<_> = (0..4).filter(|node| !played.ending.alive[*node]).collect();
    let [dead] = dead.as_slice() else {
        return Some(format!("{dead:?} are dead, not one"));
    };
    // Counted again by hand, from what the survivors have on their disks.
    let longest = (0..4)
        .filter(|node| node != dead)
        .map(|node| chain(played, node))
        .max_by_key(Vec::len)
        .expect("three survive");
    for node in 0..4 {
        if !longest.starts_with(&chain(played, node)) {
            return Some(format!("node {node} has a chain of its own"));
        }
    }
    let survivor = (0..4)
        .filter(|node| node != dead)
        .max_by_key(|node| played.ending.ledgers[*node].height())
        .expect("three survive");
    let ledger = &played.ending.ledgers[survivor];
    let executed: usize = ledger.entries().map(|entry| entry.receipts.len()).sum();
    (executed as u64 != summary.submitted)
        .then(|| format!("{executed} executions of {} submissions", summary.submitted))
}

/// Plays each of `instants` (ms) on a few threads; panics with everything that was found.
#[expect(clippy::print_stderr, reason = "a hunt says how much it hunted")]
fn hunt(scenario: &str, sets: &[&str], instants: &[u64]) {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut complaints = Vec::new();
        while let Some(at) = instants.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let kill = format!("fault=[{{kind='crash', target='primary', at='{at}ms'}}]");
            let mut sets = sets.to_vec();
            sets.push(&kill);
            let played = play(scenario, &sets);
            if let Some(complaint) = complaint(&played) {
                let sets: Vec<_> = sets.iter().map(|set| format!("--set \"{set}\"")).collect();
                let sets = sets.join(" ");
                complaints.push(format!(
                    "{complaint}\nreproduce: cargo run -- scenario {scenario} {sets}"
                ));
            }
        }
        complaints
    };
    let complaints: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().expect("a run broke down"));
        done.flatten().collect()
    });
    eprintln!(
        "{scenario}: the primary was killed at {} instants, {} times with a complaint",
        instants.len(),
        complaints.len()
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn killing_the_primary_at_any_instant_of_an_hour_breaks_nothing_and_loses_nothing() {
    let instants = count("CONSORTIUM_CRASH_INSTANTS", 48);
    let hour_ms = 3_600_000;
    let part_ms = hour_ms / instants.max(1);
    let seed = Seed(1).number("crash hunt", 0);
    let drawn: Vec<_> = (0..instants)
        .map(|part| part * part_ms + draw(seed, part, 0) % part_ms)
        .collect();
    hunt("hour.toml", &[], &drawn);
}

#[test]
fn killing_the_primary_at_any_minute_of_the_milk_day_breaks_nothing_and_loses_nothing() {
    let minutes = count("CONSORTIUM_CRASH_MINUTES", 3);
    let even: Vec<_> = (0..minutes)
        .map(|k| (2 * k + 1) * 1440 / (2 * minutes.max(1)) * 60_000)
        .collect();
    hunt("milk.toml", &["fleet.packages=1", "cheat=[]"], &even);
}
