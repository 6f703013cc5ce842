//! Exact figures of failure-free runs: counts and latencies that follow from the rules alone.

use std::collections::BTreeMap;

use consortium_node::{
    raft::{Config, Minting},
    types::Mono,
};

use crate::{
    SECOND, leader, net_with,
    support::{DELTA, EPOCH},
};

const NS: u64 = DELTA.as_nanos() as u64;

#[test]
fn ra15_an_isolated_block_costs_4n_minus_4_messages_and_followers_apply_it_after_three_delays() {
    for n in [4, 7, 10, 31] {
        let mut net = net_with(n, Config::default());
        net.run(SECOND);
        net.trace.clear();
        let submitted = net.now;
        net.submit();
        net.run_until_quiet(10 * SECOND);
        let expected = BTreeMap::from([
            ("APPEND", 2 * (n - 1)),
            ("APPENDED", 2 * (n - 1)),
            // The last one, after which all rest.
            ("HEARTBEAT", n - 1),
        ]);
        assert_eq!(net.kinds(), expected, "n = {n}");
        let leader = leader(&net).unwrap();
        for replica in &net.replicas {
            let delays = if replica.host.me.0 == leader { 2 } else { 3 };
            let times: Vec<_> = replica.finals.iter().map(|(at, _)| *at).collect();
            assert_eq!(times, [Mono(submitted + delays * NS)], "n = {n}");
            assert_eq!(replica.refusals, [], "n = {n}");
        }
    }
}

#[test]
fn ra15_a_block_in_a_row_costs_2n_minus_2_messages_when_commits_ride_along() {
    for n in [4, 7, 10, 31] {
        let config = Config {
            minting: Minting::Piped { depth: 1 },
            eager_commit: false,
            heartbeat: SECOND,
            election: 10 * SECOND,
            ..Config::default()
        };
        let mut net = net_with(n, config);
        net.run(5 * SECOND);
        net.trace.clear();
        let (start, blocks) = (net.now, 20);
        for _ in 0..blocks {
            net.submit();
        }
        net.run(2 * blocks as u32 * DELTA);
        let expected =
            BTreeMap::from([("APPEND", blocks * (n - 1)), ("APPENDED", blocks * (n - 1))]);
        assert_eq!(net.kinds(), expected, "n = {n}");
        let leader = leader(&net).unwrap();
        let times = net
            .replica(leader)
            .finals
            .iter()
            .map(|(at, _)| at.0 - start);
        let two_delays_each = (1..=blocks as u64).map(|block| 2 * block * NS);
        assert!(times.eq(two_delays_each), "n = {n}");
        net.run_until_quiet(10 * SECOND);
        net.check_done(&(0..n as u16).collect::<Vec<_>>());
    }
}

#[test]
fn ra8_an_election_costs_two_rounds_with_pre_vote_and_one_without() {
    for (pre_vote, rounds) in [(true, 2), (false, 1)] {
        for n in [4, 7, 10, 31] {
            let config = Config {
                pre_vote,
                ..Config::default()
            };
            let net = net_with(n, config);
            let kinds = net.kinds();
            let asked = ["REQUEST-PRE-VOTE", "REQUEST-VOTE"];
            let asked = asked.map(|kind| kinds.get(kind).copied().unwrap_or(0));
            let candidates = net.replicas.iter().filter(|replica| {
                let told = &replica.tales;
                told.iter()
                    .any(|(_, tale)| format!("{tale:?}").starts_with("Suspected"))
            });
            let candidates = candidates.count();
            assert!(asked[1] >= n - 1, "n = {n}");
            if candidates == 1 {
                assert_eq!(asked.iter().sum::<usize>(), rounds * (n - 1), "n = {n}");
            }
        }
    }
}

#[test]
fn small_committees_that_bear_no_fault_work_too() {
    for n in [1, 2, 3] {
        let mut net = net_with(n, Config::default());
        net.submit();
        net.submit();
        net.run_until_quiet(10 * SECOND);
        net.check_done(&(0..n as u16).collect::<Vec<_>>());
        assert_eq!(net.replica(0).host.chain.len(), 3);
    }
}

#[test]
fn ra16_an_idle_network_is_silent_for_days_and_wakes_for_a_transaction() {
    let mut net = net_with(4, Config::default());
    net.run_until_quiet(10 * SECOND);
    let said = net.trace.len();
    net.run(360_000 * SECOND);
    assert_eq!(net.trace.len(), said);
    let before = leader(&net);
    net.submit();
    net.run_until_quiet(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(leader(&net), before, "nobody was suspected");
    assert!(net.replica(0).host.head().header().timestamp.0 > EPOCH);
}

#[test]
fn blocks_overlap_up_to_the_depth() {
    let mut net = net_with(4, Config::default());
    net.run_until_quiet(10 * SECOND);
    let start = net.now;
    (0..16).for_each(|_| drop(net.submit()));
    net.run_until_quiet(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    // Eight in flight: two rounds of two delays for the leader.
    let leader = leader(&net).unwrap();
    let last = net.replica(leader).finals.last().unwrap().0;
    assert_eq!(last, Mono(start + 4 * NS));
}
