//! Exact figures of failure-free runs: they follow from the protocol's text alone.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::{
    engine::Tale,
    ibft::{Config, Pace, Turns},
    types::{Mono, NodeId},
};

use crate::{BRISK, SECOND, height, net, net_with, support::DELTA};

#[test]
fn ib1_ib2_ib4_ib5_a_block_costs_n_minus_1_and_2n_times_n_minus_1_messages_and_three_delays() {
    for n in [4, 7, 10, 31] {
        let mut net = net(n);
        net.run(SECOND);
        let submitted = net.now;
        net.submit();
        net.run_until_quiet(100 * SECOND);
        let expected = BTreeMap::from([
            ("PRE-PREPARE", n - 1),
            ("PREPARE", n * (n - 1)),
            ("COMMIT", n * (n - 1)),
        ]);
        assert_eq!(net.kinds(), expected, "n = {n}");
        assert_eq!(net.trace.len(), (n - 1) + 2 * n * (n - 1), "n = {n}");
        for replica in &net.replicas {
            let three_delays = Mono(submitted + 3 * DELTA.as_nanos() as u64);
            let times: Vec<_> = replica.finals.iter().map(|(at, _)| *at).collect();
            // The proposer holds a quorum's words a delay earlier: its own PREPARE is among the first.
            let early = times[0].0 + DELTA.as_nanos() as u64 == three_delays.0;
            assert!(times[0] == three_delays || early, "n = {n}, {times:?}");
            assert_eq!(replica.behind, 0, "n = {n}");
        }
    }
}

fn paced(pace: Pace) -> Config {
    Config { pace, ..BRISK }
}

#[test]
fn small_committees_that_bear_no_fault_work_too() {
    for n in [1, 2, 3] {
        let mut net = net(n);
        net.submit();
        net.run_until_quiet(100 * SECOND);
        assert_eq!(net.trace.len(), (n - 1) + 2 * n * (n - 1), "n = {n}");
        let all: Vec<u16> = (0..n as u16).collect();
        net.check_done(&all);
        assert_eq!(height(&net, 0), 1);
    }
}

#[test]
fn ib1_the_next_block_waits_for_the_period_and_costs_three_delays_then() {
    let config = paced(Pace {
        block_period: SECOND,
        ..BRISK.pace
    });
    let mut net = net_with(4, config);
    for _ in 0..5 {
        net.submit();
    }
    net.run_until_quiet(100 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    let finals = &net.replica(3).finals;
    let seconds: Vec<_> = finals.iter().map(|(at, _)| at.0).collect();
    let expected = |i: u64| i * SECOND.as_nanos() as u64 + 3 * DELTA.as_nanos() as u64;
    assert_eq!(seconds, (0..5).map(expected).collect::<Vec<_>>());
    assert!(!net.told(3, |tale| matches!(tale, Tale::Suspected(_))));
}

#[test]
fn ib1_ib8_empty_blocks_come_when_they_may_and_an_idle_network_without_them_rests() {
    let mut idle = net_with(4, BRISK);
    idle.run_until_quiet(SECOND);
    assert_eq!(idle.trace.len(), 0);
    for empty in [1, 30] {
        let config = paced(Pace {
            block_period: SECOND,
            empty_block_period: Some(empty * SECOND),
            ..BRISK.pace
        });
        let mut net = net_with(4, config);
        net.run(Duration::from_mins(5));
        // The first is due at once, genesis being old; the last is under way.
        assert_eq!(height(&net, 0) as u32, 300 / empty);
        assert!(!net.told(0, |tale| matches!(tale, Tale::Suspected(_))));
        // What waits does not wait for that.
        let before = height(&net, 0);
        net.run(2 * SECOND);
        net.submit();
        net.run(2 * SECOND);
        assert!(height(&net, 0) > before, "empty after {empty} s");
        net.check_agreement();
    }
}

#[test]
fn ib1_turns_are_taken_or_kept() {
    let proposers = |turns| {
        let mut net = net_with(
            4,
            paced(Pace {
                turns,
                ..BRISK.pace
            }),
        );
        for _ in 0..5 {
            net.submit();
            net.run(SECOND);
        }
        let chain = net.replica(0).host.chain[1..].iter();
        chain
            .map(|block| block.header().proposer)
            .collect::<Vec<_>>()
    };
    assert_eq!(proposers(Turns::RoundRobin), [0, 1, 2, 3, 0].map(NodeId));
    assert_eq!(proposers(Turns::Sticky), [0; 5].map(NodeId));
}
