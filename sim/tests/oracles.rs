//! Exact figures of the protocols, through the whole world: with equal delays, no cost for work and
//! nothing lost, latencies are whole multiples of the delay and messages are counted by a formula.

use std::{fmt::Write as _, time::Duration};

use consortium_node::types::NodeId;
use consortium_sim::ending::Ending;

use stopwatch::Stopwatch;

mod harness;
#[path = "harness/stopwatch.rs"]
mod stopwatch;

/// The delay between any two nodes.
const DELTA: Duration = Duration::from_millis(10);

/// A scenario of `n` members with a validator each and one sensor that reports as soon as its last
/// reading is final, through the gateway of `custodian`: a member, or "Client", who runs no validator.
fn quiet(n: usize, custodian: &str) -> String {
    let mut text = String::from(
        "# One reading at a time\nseed = 5\nduration = \"2s\"\ndrain = \"10s\"\n\
         [network]\nmatrix = \"uniform\"\nlatency = \"10ms\"\njitter_p95 = \"0s\"\nbandwidth = \"unlimited\"\n\
         [machine]\nprofile = \"zero\"\n\
         [consensus.batch]\nmax_transactions = 1\nmax_age = \"0s\"\n\
         [fleet]\npackages = 1\npace = \"closed-loop\"\n",
    );
    for member in 0..n {
        write!(
            text,
            "[[member]]\nname = \"M{member}\"\nregion = \"here\"\n"
        )
        .expect("memory");
    }
    write!(
        text,
        "[[member]]\nname = \"Client\"\nregion = \"here\"\nvalidators = 0\n\
         [cold_chain]\nowner = \"{custodian}\"\nobserver = \"M0\"\n\
         min_temperature_c = -10\nmax_temperature_c = 30\n\
         [[leg]]\nstage = \"Road\"\ncustodian = \"{custodian}\"\nduration = \"1h\"\nambient_c = 5\n"
    )
    .expect("memory");
    text
}

fn play(scenario: &str, overrides: &[&str]) -> (Ending, Stopwatch) {
    stopwatch::time(&harness::plan(scenario, overrides))
}

fn sent(ending: &Ending, kind: &str) -> u64 {
    ending.packets.get(kind).map_or(0, |count| count.messages)
}

#[track_caller]
fn assert_all(times: &[Duration], expected: Duration) {
    assert!(times.len() > 10, "only {} answers", times.len());
    assert!(
        times.iter().all(|time| *time == expected),
        "not all {expected:?}: {times:?}"
    );
}

#[test]
fn pbft_replicas_commit_three_delays_after_the_primary_proposes() {
    for n in [4, 7, 10, 31] {
        let (_, watch) = play(&quiet(n, "Client"), &[]);
        assert!(watch.proposed.len() > 10, "n = {n}");
        for (block, (by, at)) in &watch.proposed {
            assert_eq!(*by, NodeId(0), "n = {n}: the primary of view 0");
            let appended = &watch.appended[block];
            assert_eq!(appended.len(), n, "every replica, the primary too");
            for (node, then) in appended {
                assert_eq!(then.since(*at), 3 * DELTA, "n = {n}, {node}");
            }
        }
    }
}

#[test]
fn a_pbft_client_without_a_replica_has_enough_replies_after_five_delays() {
    for n in [4, 7, 10, 31] {
        let (_, watch) = play(&quiet(n, "Client"), &[]);
        assert_all(&watch.answer_times(), 5 * DELTA);
        let (_, watch) = play(&quiet(n, "Client"), &["gateway.reply_quorum=3"]);
        assert_all(&watch.answer_times(), 5 * DELTA);
    }
}

/// A gateway stands beside its member's validator, yet here any two nodes are a delay apart: at the
/// primary's host it is a client like any other, and elsewhere its request takes one hop more.
#[test]
fn a_pbft_gateway_waits_five_delays_at_the_primary_and_six_elsewhere() {
    let (_, watch) = play(&quiet(4, "M0"), &[]);
    assert_all(&watch.answer_times(), 5 * DELTA);
    for member in ["M1", "M2", "M3"] {
        let (_, watch) = play(&quiet(4, member), &[]);
        assert_all(&watch.answer_times(), 6 * DELTA);
    }
}

#[test]
fn pbft_replicas_send_each_other_2n_times_n_minus_1_messages_a_batch() {
    for n in [4, 7, 10, 31] {
        let (ending, watch) = play(&quiet(n as usize, "Client"), &[]);
        let batches = watch.proposed.len() as u64;
        assert_eq!(batches, watch.submitted.len() as u64, "a batch of one");
        assert_eq!(sent(&ending, "PRE-PREPARE"), (n - 1) * batches, "n = {n}");
        assert_eq!(
            sent(&ending, "PREPARE"),
            (n - 1) * (n - 1) * batches,
            "n = {n}"
        );
        assert_eq!(sent(&ending, "COMMIT"), n * (n - 1) * batches, "n = {n}");
        let agreement: u64 = ["PRE-PREPARE", "PREPARE", "COMMIT"]
            .iter()
            .map(|kind| sent(&ending, kind))
            .sum();
        assert_eq!(agreement, 2 * n * (n - 1) * batches);
        assert_eq!(sent(&ending, "SUBMIT"), batches, "one request");
        assert_eq!(sent(&ending, "RECEIPTS"), n * batches, "n replies");
        for kind in ["RELAY", "VIEW-CHANGE", "NEW-VIEW", "FETCH", "DECIDED"] {
            assert_eq!(sent(&ending, kind), 0, "n = {n}: {kind}");
        }
    }
}

#[test]
fn a_database_answers_with_two_messages_in_two_delays_and_a_write() {
    let fsync = Duration::from_millis(3);
    for (n, overrides) in [
        (1, &["machine.fsync=\"3ms\"", "consensus.protocol=central"]),
        (4, &["machine.fsync=\"3ms\"", "consensus.protocol=central"]),
    ] {
        let (ending, watch) = play(&quiet(n, "Client"), overrides);
        assert_all(&watch.answer_times(), 2 * DELTA + fsync);
        let requests = watch.submitted.len() as u64;
        assert_eq!(sent(&ending, "SUBMIT"), requests);
        assert_eq!(sent(&ending, "RECEIPTS"), requests);
        // What keeps the read replicas up to date comes after the answer.
        assert_eq!(sent(&ending, "BLOCK"), (n as u64 - 1) * requests);
    }
}

#[test]
fn clique_sends_n_minus_1_messages_a_block() {
    for n in [4_u64, 7, 10] {
        let overrides = ["consensus.protocol=clique", "duration=\"5m\""];
        let (ending, watch) = play(&quiet(n as usize, "Client"), &overrides);
        let blocks = watch.proposed.len() as u64;
        assert!(blocks > 50, "n = {n}: {blocks} blocks");
        assert_eq!(sent(&ending, "NEW-BLOCK"), (n - 1) * blocks, "n = {n}");
    }
}

/// e endorsers, one orderer, p peers on other machines than the orderer's.
#[test]
fn execute_order_validate_sends_2e_1_p_and_1_messages_a_transaction_in_five_delays() {
    for (n, e) in [(4_u64, 1), (4, 2), (4, 4), (7, 3), (10, 2)] {
        let endorsers = format!("consensus.execute_order_validate.endorsers={e}");
        let overrides = ["consensus.protocol=execute-order-validate", &endorsers];
        // The custodian's own peer is not the orderer's.
        let (ending, watch) = play(&quiet(n as usize, "M1"), &overrides);
        assert_all(&watch.answer_times(), 5 * DELTA);
        let requests = watch.submitted.len() as u64;
        assert_eq!(watch.answered.len() as u64, requests, "n = {n}, e = {e}");
        assert_eq!(sent(&ending, "PROPOSE"), e * requests);
        assert_eq!(sent(&ending, "ENDORSEMENT"), e * requests);
        assert_eq!(sent(&ending, "SUBMIT"), requests);
        assert_eq!(sent(&ending, "DELIVER"), (n - 1) * requests);
        assert_eq!(sent(&ending, "RECEIPTS"), requests, "the commit event");
        for kind in ["RELAY", "BLOCK", "FETCH", "REFUSED"] {
            assert_eq!(sent(&ending, kind), 0, "n = {n}: {kind}");
        }
    }
}

#[test]
fn execute_order_validate_beside_the_orderer_saves_a_delay_and_a_write_costs_what_it_costs() {
    let protocol = "consensus.protocol=execute-order-validate";
    let (_, watch) = play(&quiet(4, "M0"), &[protocol]);
    assert_all(&watch.answer_times(), 4 * DELTA);
    let (_, watch) = play(&quiet(4, "M1"), &[protocol, "machine.fsync=\"3ms\""]);
    assert_all(&watch.answer_times(), 5 * DELTA + Duration::from_millis(3));
    let (_, watch) = play(
        &quiet(4, "M1"),
        &[
            protocol,
            "consensus.batch.max_transactions=2",
            "consensus.batch.max_age=\"40ms\"",
        ],
    );
    assert_all(&watch.answer_times(), 5 * DELTA + Duration::from_millis(40));
}

/// Any engine orders: PBFT's three delays and messages come in between, and no block travels twice,
/// because every peer has an orderer beside it.
#[test]
fn execute_order_validate_over_pbft_takes_its_delays_and_messages_on_top() {
    let overrides = [
        "consensus.protocol=execute-order-validate",
        "consensus.execute_order_validate.ordering=pbft",
    ];
    let (ending, watch) = play(&quiet(4, "M0"), &overrides);
    // Proposal, endorsement, envelope, three phases, commit event; M0 leads.
    assert_all(&watch.answer_times(), 7 * DELTA);
    let requests = watch.submitted.len() as u64;
    let agreement: u64 = ["PRE-PREPARE", "PREPARE", "COMMIT"]
        .iter()
        .map(|kind| sent(&ending, kind))
        .sum();
    assert_eq!(agreement, 2 * 4 * 3 * requests);
    assert_eq!(sent(&ending, "DELIVER"), 0);
    assert_eq!(sent(&ending, "RECEIPTS"), requests);
}
