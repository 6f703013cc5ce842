//! Exact figures of failure-free runs (OSDI'99 §4.2): counts and latencies that follow from the
//! protocol's text alone.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::{engine::Tale, types::Mono};

use crate::{net, support::DELTA};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_batch_costs_2n_times_n_minus_1_messages_and_three_delays_everywhere() {
    for n in [4, 7, 10, 31] {
        let mut net = net(n);
        net.run(SECOND);
        let submitted = net.now;
        net.submit();
        net.run_until_quiet(10 * SECOND);
        let expected = BTreeMap::from([
            ("PRE-PREPARE", n - 1),
            ("PREPARE", (n - 1) * (n - 1)),
            ("COMMIT", n * (n - 1)),
        ]);
        assert_eq!(net.kinds(), expected, "n = {n}");
        assert_eq!(net.trace.len(), 2 * n * (n - 1), "n = {n}");
        for replica in &net.replicas {
            let three_delays = Mono(submitted + 3 * DELTA.as_nanos() as u64);
            let times: Vec<_> = replica.finals.iter().map(|(at, _)| *at).collect();
            assert_eq!(times, [three_delays], "n = {n}, {}", replica.host.me);
            assert_eq!(replica.refusals, [], "n = {n}");
        }
    }
}

#[test]
fn small_committees_that_bear_no_fault_work_too() {
    for n in [1, 2, 3] {
        let mut net = net(n);
        net.submit();
        net.run_until_quiet(10 * SECOND);
        assert_eq!(net.trace.len(), 2 * n * (n - 1), "n = {n}");
        let all: Vec<u16> = (0..n as u16).collect();
        net.check_done(&all);
        assert_eq!(net.replica(0).host.chain.len(), 2);
    }
}

#[test]
fn a_long_run_of_single_transactions_costs_the_same_for_each_and_a_checkpoint_every_64() {
    let (n, batches) = (4, 200);
    let mut net = net(n);
    for _ in 0..batches {
        net.submit();
        net.run(4 * DELTA);
    }
    net.run_until_quiet(10 * SECOND);
    let checkpoints = batches / 64;
    assert_eq!(net.kinds()["CHECKPOINT"], checkpoints * n * (n - 1));
    assert_eq!(
        net.trace.len(),
        batches * 2 * n * (n - 1) + checkpoints * n * (n - 1)
    );
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(net.replica(0).engine.executed().0, batches as u64);
    assert_eq!(net.replica(2).engine.watermarks().0.0, 192);
    assert!(!net.told(1, |tale| matches!(tale, Tale::Suspected(_))));
}

#[test]
fn slots_overlap_up_to_the_pipeline() {
    let mut net = net(4);
    let start = net.now;
    for _ in 0..16 {
        net.submit();
    }
    net.run_until_quiet(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    // Eight in flight: two rounds of three delays.
    let last = net.replica(3).finals.last().unwrap().0;
    assert_eq!(last, Mono(start + 6 * DELTA.as_nanos() as u64));
}
