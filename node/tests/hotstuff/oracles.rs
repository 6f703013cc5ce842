//! Exact figures of failure-free runs: counts and latencies that follow from the protocols' texts alone.

use std::collections::BTreeMap;

use consortium_node::{engine::Message, hotstuff::Variant, types::Mono};

use crate::{LEADERS, SECOND, VARIANTS, all, net, support::DELTA};

const DELTA_NS: u64 = DELTA.as_nanos() as u64;

#[test]
fn hs8_a_payload_is_final_after_seven_delays_with_three_links_and_five_with_two() {
    for variant in VARIANTS {
        for leader in LEADERS {
            for n in [4, 7, 10, 31] {
                let mut net = net(n, variant, leader);
                net.run(SECOND);
                let submitted = net.now;
                net.submit();
                net.run_until_quiet(10 * SECOND);
                let links = variant.links();
                // The block, and as many empty ones as a commit takes, which are final with the next.
                let blocks = links + 1;
                let expected =
                    BTreeMap::from([("PROPOSAL", blocks * (n - 1)), ("VOTE", blocks * (n - 1))]);
                assert_eq!(net.kinds(), expected, "{variant:?} {leader:?} n = {n}");
                let delays = if links == 3 { 7 } else { 5 };
                let last = submitted + delays * DELTA_NS;
                let times = net.replicas.iter().map(|replica| {
                    assert_eq!(replica.refusals, [], "{variant:?} n = {n}");
                    let times: Vec<_> = replica.finals.iter().map(|(at, _)| *at).collect();
                    assert_eq!(times.len(), 1, "empty blocks wait for a payload");
                    times[0]
                });
                let times: Vec<_> = times.collect();
                // Who made the last certificate knew one delay before it told.
                let early = times.iter().filter(|at| **at == Mono(last - DELTA_NS));
                assert_eq!(early.count(), 1, "{variant:?} {leader:?} n = {n}");
                let late = times.iter().filter(|at| **at == Mono(last));
                assert_eq!(late.count(), n - 1, "{variant:?} {leader:?} n = {n}");
                net.check_done(&all(n));
            }
        }
    }
}

#[test]
fn hs1_a_block_every_two_delays_for_2_times_n_minus_1_messages() {
    for variant in VARIANTS {
        for leader in LEADERS {
            for n in [4, 7, 10, 31] {
                let mut net = net(n, variant, leader);
                for _ in 0..40 {
                    net.submit();
                }
                net.run_until_quiet(20 * SECOND);
                net.check_done(&all(n));
                assert_eq!(net.replica(0).host.chain.len(), 41);
                let first = net.trace.iter().filter(|sent| sent.message.kind().proposal);
                let mut times: Vec<_> = first.map(|sent| sent.at.0).collect();
                times.dedup();
                let links = variant.links();
                assert_eq!(times.len(), 40 + links, "{variant:?} {leader:?} n = {n}");
                assert!(
                    times
                        .windows(2)
                        .all(|pair| pair[1] - pair[0] == 2 * DELTA_NS)
                );
                assert_eq!(net.trace.len(), (40 + links) * 2 * (n - 1));
            }
        }
    }
}

#[test]
fn hs13_an_idle_network_says_nothing_and_the_next_payload_brings_the_empty_blocks_along() {
    for variant in VARIANTS {
        let mut net = net(4, variant, crate::Leader::Rotate);
        net.submit();
        net.run_until_quiet(10 * SECOND);
        net.trace.clear();
        net.run(10_000 * SECOND);
        assert_eq!(net.trace.len(), 0);
        net.submit();
        net.run_until_quiet(10 * SECOND);
        net.check_done(&all(4));
        let links = variant.links();
        assert_eq!(net.replica(2).host.chain.len(), 1 + 1 + links + 1);
        let empty = net.replica(2).host.chain[2..].iter();
        assert_eq!(
            empty
                .filter(|block| block.transactions().is_empty())
                .count(),
            links
        );
        assert_eq!(net.trace.len(), (links + 1) * 6);
    }
}

#[test]
fn hs13_empty_blocks_keep_a_beat_where_they_are_asked_for() {
    let config = crate::Config {
        empty_block_period: Some(SECOND),
        ..crate::brisk(Variant::Jolteon, crate::Leader::Rotate)
    };
    let mut net = crate::net_with(4, config);
    net.run(20 * SECOND);
    assert!(
        net.replica(1).host.chain.len() > 2,
        "blocks without a payload are final"
    );
    net.check_agreement();
}

#[test]
fn small_committees_that_bear_no_fault_work_too() {
    for variant in VARIANTS {
        for leader in LEADERS {
            for n in [1, 2, 3] {
                let mut net = net(n, variant, leader);
                for _ in 0..3 {
                    net.submit();
                    net.run_until_quiet(10 * SECOND);
                }
                net.check_done(&all(n));
            }
        }
    }
}
