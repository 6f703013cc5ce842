//! Exact figures of failure-free runs: counts and latencies that follow from Algorithm 1 alone.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::{
    engine::{Engine as _, Tale},
    tendermint::Config,
    types::Mono,
};

use crate::{Net, check_votes, net, net_with, support::DELTA};

const SECOND: Duration = Duration::from_secs(1);

fn after(start: u64, time: Duration) -> Mono {
    Mono(start + time.as_nanos() as u64)
}

fn finals(net: &Net, node: usize) -> Vec<Mono> {
    let finals = net.replicas[node].finals.iter();
    finals.map(|(at, _)| *at).collect()
}

#[test]
fn a_block_costs_n_minus_1_proposals_and_2n_times_n_minus_1_votes_and_is_final_after_three_delays()
{
    for n in [4, 7, 10, 31] {
        let mut net = net(n);
        net.run(SECOND);
        let submitted = net.now;
        net.submit();
        net.run_until_quiet(10 * SECOND);
        let expected = BTreeMap::from([
            ("PROPOSAL", n - 1),
            ("PREVOTE", n * (n - 1)),
            ("PRECOMMIT", n * (n - 1)),
        ]);
        assert_eq!(net.kinds(), expected, "n = {n}");
        assert_eq!(net.trace.len(), (n - 1) + 2 * n * (n - 1), "n = {n}");
        for (node, replica) in net.replicas.iter().enumerate() {
            assert_eq!(finals(&net, node), [after(submitted, 3 * DELTA)], "n = {n}");
            assert_eq!(replica.refusals, [], "n = {n}");
        }
        check_votes(&net);
    }
}

#[test]
fn the_next_height_begins_timeout_commit_after_the_decision() {
    for n in [4, 7, 10, 31] {
        let mut net = net(n);
        let start = net.now;
        for _ in 0..3 {
            net.submit();
        }
        net.run_until_quiet(20 * SECOND);
        let times = [0, 1, 2].map(|block: u32| {
            let delays = 3 * DELTA * (block + 1);
            after(start, delays + block * Config::default().timeout_commit)
        });
        for node in 0..n {
            assert_eq!(finals(&net, node), times, "n = {n}, {node}");
        }
        assert_eq!(net.trace.len(), 3 * ((n - 1) + 2 * n * (n - 1)));
    }
}

#[test]
fn small_committees_that_bear_no_fault_work_too() {
    for n in [1, 2, 3] {
        let mut net = net(n);
        net.submit();
        net.run_until_quiet(10 * SECOND);
        assert_eq!(net.trace.len(), (n - 1) + 2 * n * (n - 1), "n = {n}");
        let all: Vec<u16> = (0..n as u16).collect();
        net.check_done(&all);
        assert_eq!(net.replica(0).host.chain.len(), 2);
    }
}

#[test]
fn tm14_each_height_is_proposed_by_the_next_member() {
    let mut net = net(4);
    for _ in 0..6 {
        net.submit();
    }
    net.run_until_quiet(20 * SECOND);
    let chain = &net.replica(0).host.chain;
    let proposers: Vec<u16> = chain[1..].iter().map(|b| b.header().proposer.0).collect();
    assert_eq!(proposers, [0, 1, 2, 3, 0, 1]);
    assert_eq!(net.replica(0).engine.status().leader.0, 2);
}

#[test]
fn tm15_an_idle_network_is_silent_for_hours() {
    let mut net = net(4);
    net.submit();
    net.run(10 * SECOND);
    net.trace.clear();
    // Nothing is armed either: nothing is left to happen.
    net.run_until_quiet(Duration::ZERO);
    net.run(3600 * SECOND);
    assert_eq!(net.trace.len(), 0);
    net.submit();
    net.run_until_quiet(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert!(!net.told(0, |tale| matches!(tale, Tale::Entered { .. })));
}

#[test]
fn tm15_empty_blocks_come_with_their_period_if_they_are_wanted() {
    let config = Config {
        empty_block_period: Some(10 * SECOND),
        ..Config::default()
    };
    let mut net = net_with(4, config);
    net.run(100 * SECOND);
    let length = net.replica(0).host.chain.len();
    // One each 10 s and three delays.
    assert_eq!(length, 1 + 9);
    assert!(
        net.replica(0).host.chain[1..]
            .iter()
            .all(|b| b.transactions().is_empty())
    );
    assert_eq!(net.trace.len(), 9 * 27);
}
