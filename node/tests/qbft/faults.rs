//! Crashes, partitions, liars and lagging validators.

use std::sync::Arc;

use consortium_node::{
    engine::{Forks, Message, Tale},
    qbft::{Config, QbftMessage},
    types::NodeId,
};

use crate::{
    BRISK, Net, SECOND, height, net, net_with,
    support::{DELTA, Sent},
};

/// Submits so many transactions, one every few delays.
fn load(net: &mut Net, count: usize) {
    for _ in 0..count {
        net.submit();
        net.run(5 * DELTA);
    }
}

#[test]
fn qb5_qb8_the_rest_finishes_wherever_in_its_sends_the_proposer_crashes() {
    for (n, rest) in [
        (4, vec![1, 2, 3]),
        (5, vec![1, 2, 3, 4]),
        (6, vec![1, 2, 3, 4, 5]),
    ] {
        for step in 0.. {
            let mut net = net_with(n, BRISK);
            net.crash_after = Some((NodeId(0), step));
            load(&mut net, 3);
            net.run(20 * SECOND);
            net.check_done(&rest);
            assert_eq!(height(&net, 1), 3, "n = {n}, step {step}");
            if !net.replica(0).crashed {
                assert!(step > 15);
                break;
            }
        }
    }
}

#[test]
fn qb9_m46_a_dead_member_costs_a_timeout_at_each_of_its_turns() {
    let mut net = net(4);
    net.crash(3);
    let start = net.now;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let submitted = net.now;
        net.submit();
        while net.replica(0).host.oldest().is_some() {
            net.run(DELTA);
        }
        waits.push((net.now - submitted) / SECOND.as_nanos() as u64);
    }
    // Blocks of 0, 1, 2; then 3 is due, and 0 proposes in round 1: it goes on with 1, 2.
    assert_eq!(waits, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]);
    assert!(net.now - start < 5 * SECOND.as_nanos() as u64);
    net.check_agreement();
}

#[test]
fn qb2_qb15_an_equivocating_proposer_neither_forks_nor_stops_the_rest() {
    for deceived in [vec![1], vec![3], vec![1, 2], vec![2, 3], vec![1, 2, 3]] {
        let mut net = net(4);
        let (liar, key) = (NodeId(0), Arc::clone(&net.keys[0]));
        let mut forks = Forks::new();
        net.liars.push(liar);
        let deceived_too = deceived.clone();
        net.tamper = Some(Box::new(move |sent: &Sent<QbftMessage>| {
            if sent.from == liar && deceived_too.contains(&sent.to.0) {
                let lie = sent.message.conflicting(&key, liar, &mut forks);
                return Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new));
            }
            Some(Arc::clone(&sent.message))
        }));
        load(&mut net, 6);
        net.run(60 * SECOND);
        net.check_done(&[1, 2, 3]);
        assert_eq!(height(&net, 1), 6, "deceived {deceived:?}");
    }
}

#[test]
fn qb5_qb6_a_partition_without_a_quorum_halts_and_heals() {
    let mut net = net(4);
    load(&mut net, 2);
    net.groups = vec![0, 0, 1, 1];
    load(&mut net, 4);
    net.run(10 * SECOND);
    net.check_agreement();
    assert_eq!(height(&net, 0), 2);
    net.groups = vec![0; 4];
    net.run(40 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(height(&net, 3), 6);
}

#[test]
fn qb11_a_validator_that_was_cut_off_is_told_although_all_work_is_done() {
    let mut net = net(4);
    net.groups = vec![0, 0, 0, 1];
    for _ in 0..10 {
        let transaction = net.transaction();
        for node in 0..3 {
            net.submit_to(NodeId(node), &transaction);
        }
        net.run(3 * SECOND);
    }
    assert_eq!(height(&net, 3), 0);
    net.groups = vec![0; 4];
    // Told ever more seldom; here after 64 seconds at the latest.
    net.run(65 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    net.run_until_quiet(150 * SECOND);
}

#[test]
fn qb11_a_validator_that_is_behind_by_heights_fetches_final_blocks_and_takes_part_again() {
    let mut net = net(4);
    net.groups = vec![0, 0, 0, 1];
    load(&mut net, 5);
    net.run(10 * SECOND);
    net.groups = vec![0; 4];
    // One of the others dies: the one that was behind is needed.
    net.crash(0);
    load(&mut net, 4);
    net.run(60 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert_eq!(height(&net, 3), 9);
}

#[test]
fn qb11_one_that_alone_decided_shows_it_to_those_who_change_the_round() {
    let mut net = net(4);
    // COMMITs reach validator 3 alone, and validator 0 dies: 1 and 2 are no quorum without 3.
    net.tamper = Some(Box::new(|sent: &Sent<QbftMessage>| {
        let commit = matches!(&*sent.message, QbftMessage::Commit(_));
        (!commit || sent.to == NodeId(3)).then(|| Arc::clone(&sent.message))
    }));
    net.submit();
    net.run(4 * DELTA);
    assert_eq!([0, 1, 2, 3].map(|node| height(&net, node)), [0, 0, 0, 1]);
    net.crash(0);
    net.tamper = None;
    net.run(3 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert!(net.kinds().contains_key("DECIDED"));
}

#[test]
fn qb9_a_capped_timer_changes_rounds_as_long_as_the_outage_lasts() {
    let mut config = BRISK;
    config.timeouts.cap = Some(2 * SECOND);
    let changes = |config: Config| {
        let mut net = net_with(4, config);
        net.groups = vec![0, 0, 1, 1];
        net.submit();
        net.run(600 * SECOND);
        net.kinds()["ROUND-CHANGE"]
    };
    // M46: a storm of n(n−1) messages every two seconds against one that dies down.
    assert!(changes(config) > 3000);
    assert!(changes(BRISK) < 120);
}

#[test]
fn qb15_two_conflicting_proposals_at_one_validator_are_evidence() {
    let mut net = net(4);
    net.submit();
    net.run(SECOND);
    let honest = net.trace.iter().find(|sent| sent.to == NodeId(2));
    let honest = Arc::clone(&honest.expect("a proposal").message);
    let mut net = net_with(4, BRISK);
    let key = Arc::clone(&net.keys[0]);
    let lie = honest.conflicting(&key, NodeId(0), &mut Forks::new());
    net.inject(NodeId(0), NodeId(2), &honest);
    net.inject(NodeId(0), NodeId(2), &lie.expect("a lie"));
    let by_0 = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if *by == NodeId(0));
    assert!(net.told(2, by_0));
}
