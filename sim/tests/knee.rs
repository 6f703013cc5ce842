//! The knee of networks whose limit is known by construction.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    crypto::{Keypair, SignatureMode},
    transaction::{Call, ContractId, Order, Transaction, Value},
    types::{ChainId, Digest, NodeId, PartyId},
};
use consortium_sim::{
    knee::{self, Cause, Knee, Search, Warning},
    metrics::load::Resource,
    report,
    scenario::plan::{Plan, Rate},
};

mod harness;

/// Four members 5 ms apart, whose machines cost nothing; the fleet never gets to travel.
const FOUR: &str = r#"# What do four members take?
seed = 5
duration = "1h"
[network]
matrix = "uniform"
latency = "5ms"
jitter_p95 = "0s"
bandwidth = "unlimited"
[machine]
profile = "zero"
[fleet]
packages = 3
[load]
kind = "none"
sources = 64
[[member]]
name = "A"
region = "here"
[[member]]
name = "B"
region = "here"
[[member]]
name = "C"
region = "here"
[[member]]
name = "D"
region = "here"
[cold_chain]
owner = "A"
observer = "B"
min_temperature_c = -10
max_temperature_c = 30
[[leg]]
stage = "Road"
custodian = "A"
duration = "1h"
ambient_c = 5
[[fault]]
kind = "crash"
target = "all"
at = "1s"
"#;

fn search(plan: &Plan, search: &Search) -> Knee {
    knee::find(plan, &plan.consensus.protocol, search, |_| {}).expect("no run breaks down")
}

/// Bytes of a reading of the load on the wire, without the framing of its message.
fn reading_bytes() -> usize {
    let key = Keypair::from_seed([7; 32], ChainId(1), SignatureMode::Lazy);
    let call = Call::Invoke {
        contract: ContractId(Digest([7; 32])),
        function: "IngestTelemetry".into(),
        arguments: vec![Value::Int(500), Value::Int(100), Value::Int(10)],
    };
    let order = Order {
        nonce: 2,
        reply_to: Some(NodeId(4)),
        call,
    };
    Transaction::sign_order(&key, PartyId(9), order).wire_len()
}

/// The leader sends each reading to n - 1 backups and its receipt to one gateway: B/(n·(p + overhead)), up
/// to what the messages of the protocol itself cost, which batches divide by their size.
#[test]
fn pbft_on_thin_lines_takes_what_its_leader_can_send() {
    let bandwidth = 4_000_000.0;
    let plan = harness::plan(FOUR, &["network.bandwidth=\"4Mbit/s\""]);
    let bounds = Search {
        p99: Duration::from_secs(1),
        ..Search::default()
    };
    let found = search(&plan, &bounds);
    let reading = reading_bytes() as f64;
    let most = bandwidth / 8.0 / (3.0 * reading);
    let least = bandwidth / 8.0 / (4.0 * (reading + 120.0));
    let knee = found.knee_per_s.expect("some rate holds");
    assert!(
        (least..most).contains(&knee),
        "{knee:.0} a second, not {least:.0} to {most:.0} at {reading} bytes:\n{}",
        report::knee::render(&found)
    );
    let limit = found.limit.as_ref().expect("something gave way");
    assert_eq!(
        (limit.cause, limit.leads),
        (Cause::Bandwidth, true),
        "{limit:?}"
    );
    let busiest = limit.busiest.as_ref().expect("cards are metered");
    assert_eq!(busiest.resource, Resource::Uplink);
    assert!(
        busiest.busy_percent > 90.0 && busiest.node == "A's validator",
        "{busiest:?}"
    );
    assert!(
        limit.after_percent > 99.0 && limit.before_percent < 80.0,
        "{limit:?}"
    );
    // One seed is too few for the definition, and that is said.
    let few = Warning::FewSeeds {
        seeds: 1,
        needed: 1,
    };
    assert_eq!(found.warnings, [few]);
}

/// Blocks of at most so many transactions, one a period: that many a period, whatever the machines.
#[test]
fn clique_takes_a_block_a_period() {
    let sets = [
        "consensus.protocol=clique",
        "consensus.clique.period=\"1s\"",
        "consensus.batch.max_transactions=40",
    ];
    let plan = harness::plan(FOUR, &sets);
    let bounds = Search {
        p99: Duration::from_secs(20),
        from: Some(Rate::per_second(20)),
        to: Rate::per_second(80),
        seeds: 1,
    };
    let found = search(&plan, &bounds);
    let knee = found.knee_per_s.expect("some rate holds");
    assert!(
        (36.0..=40.5).contains(&knee),
        "{}",
        report::knee::render(&found)
    );
    let limit = found.limit.as_ref().expect("something gave way");
    assert_eq!(limit.cause, Cause::Blocks, "{limit:?}");
    let slack = |warning: &Warning| matches!(warning, Warning::FarFromFull(_));
    assert!(found.warnings.iter().any(slack), "{:?}", found.warnings);
}

#[test]
fn a_bound_below_the_round_trips_has_no_knee_and_round_trips_are_to_blame() {
    let plan = harness::plan(FOUR, &["consensus.batch.max_age=\"0s\""]);
    let bounds = Search {
        p99: Duration::from_millis(10),
        from: Some(Rate::per_second(50)),
        ..Search::default()
    };
    let found = search(&plan, &bounds);
    assert_eq!((found.knee_per_s, found.failed_per_s), (None, Some(50.0)));
    assert_eq!(found.probes.len(), 1, "it began at the lowest rate");
    let limit = found.limit.as_ref().expect("something gave way");
    assert_eq!(limit.cause, Cause::RoundTrips, "{limit:?}");
    let nothing = |warning: &Warning| matches!(warning, Warning::NothingHolds { .. });
    assert!(found.warnings.iter().any(nothing), "{:?}", found.warnings);
}

#[test]
fn where_nothing_gives_way_the_highest_rate_is_no_knee_and_that_is_said() {
    let plan = harness::plan(FOUR, &[]);
    let bounds = Search {
        p99: Duration::from_secs(1),
        to: Rate::per_second(200),
        seeds: 10,
        from: None,
    };
    let found = search(&plan, &bounds);
    assert_eq!((found.knee_per_s, found.failed_per_s), (Some(200.0), None));
    assert_eq!(
        (found.seeds, found.seeds_needed, &found.limit),
        (10, 9, &None)
    );
    assert!(
        found.probes.iter().all(|probe| probe.held == 10),
        "{:?}",
        found.probes
    );
    let open = Warning::NotSaturated { to_per_s: 200.0 };
    assert!(found.warnings.contains(&open), "{:?}", found.warnings);
}

#[test]
fn a_search_is_deterministic_and_its_figures_survive_json() {
    let sets = [
        "consensus.batch.max_transactions=10",
        "consensus.pbft.pipeline=1",
        "seed=9",
    ];
    let plan = harness::plan(FOUR, &sets);
    let bounds = Search {
        p99: Duration::from_millis(500),
        from: Some(Rate::per_second(200)),
        ..Search::default()
    };
    let mut told = Vec::new();
    let protocol = Arc::clone(&plan.consensus.protocol);
    let first = knee::find(&plan, &protocol, &bounds, |probe| told.push(probe.clone()));
    let first = first.expect("no run breaks down");
    assert_eq!(first, search(&plan, &bounds));
    told.sort_by(|a, b| a.offered_per_s.total_cmp(&b.offered_per_s));
    assert_eq!(told, first.probes, "all are told");
    // Ten in a block, one block under way at a time, three delays of 5 ms each: 667 a second, of which 99
    // in a hundred are enough.
    let most = 10.0 / 0.015;
    let knee = first.knee_per_s.expect("some rate holds");
    assert!(
        (0.94 * most..=most / 0.99).contains(&knee),
        "{}",
        report::knee::render(&first)
    );
    let json = report::json::render(&first);
    let read: Knee = serde_json::from_str(&json).expect("our own JSON");
    assert_eq!(read.knee_per_s, first.knee_per_s);
    let directory = tempfile::tempdir().expect("a temporary directory");
    report::knee::write(directory.path(), &first).expect("writable");
    for (file, needle) in [
        ("knee.txt", "GAVE WAY"),
        ("knee.json", "\"knee_per_s\""),
        ("knee.svg", "99th percentile"),
    ] {
        let text = std::fs::read_to_string(directory.path().join(file)).expect("it was written");
        assert!(text.contains(needle), "{file}: {text}");
    }
}
