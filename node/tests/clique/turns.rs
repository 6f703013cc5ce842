//! Whose turn it is, who may seal at all, and when.

use std::time::Duration;

use consortium_node::{
    clique::{Clique, WIGGLE},
    engine::{Engine, FaultModel, Relay, ReplyRule},
    types::NodeId,
};

use super::{
    DELAY, PERIOD, assert_signer_limit,
    chain_support::{Net, genesis},
    config, difficulty, net, net_of, seals,
};

#[test]
fn claims_crashes_and_depth_and_no_finality() {
    assert_eq!(Clique::FAULTS, FaultModel::Crash);
    for (n, confirmations) in [(4, 3), (5, 3), (7, 4)] {
        let net = net(n);
        let engine = &net.hosts[0].engine;
        assert_eq!(engine.reply_rule(), ReplyRule::Depth(confirmations));
        assert_eq!(engine.relay(), Relay::Everyone);
        assert!(engine.answers());
    }
    let mut config = config();
    config.confirmations = Some(12);
    assert_eq!(
        net_of(4, &config).hosts[0].engine.reply_rule(),
        ReplyRule::Depth(12)
    );
}

#[test]
fn with_everyone_alive_each_seals_in_turn_once_a_period_for_n_minus_1_messages() {
    for n in [1, 4, 7] {
        let mut net = net(n);
        net.run(20 * PERIOD + 2 * DELAY);
        let chain = &net.hosts[n - 1].chain;
        assert_eq!(chain.len(), 21);
        let start = genesis().header().timestamp.0;
        for (height, block) in chain.iter().enumerate().skip(1) {
            assert_eq!(block.header().proposer, NodeId((height % n) as u16));
            assert_eq!(difficulty(block), 2);
            let due = start + height as u64 * PERIOD.as_nanos() as u64;
            assert_eq!(block.header().timestamp.0, due);
        }
        assert_eq!(net.count("NEW-BLOCK"), 20 * (n - 1));
        assert_eq!(
            net.sent.values().sum::<usize>(),
            20 * (n - 1),
            "and nothing else"
        );
        assert_eq!(net.hosts[0].engine.head().total_difficulty, 40);
        let leader = net.hosts[0].engine.status().leader;
        assert_eq!(leader, NodeId((21 % n) as u16), "whose turn is next");
        assert!(
            net.hosts
                .iter()
                .all(|host| host.refusals.is_empty() && host.finals == 0)
        );
    }
}

#[test]
fn gossip_costs_n_minus_1_squared_messages_a_block() {
    let mut config = config();
    config.gossip = true;
    let mut net = net_of(4, &config);
    net.run(10 * PERIOD + 3 * DELAY);
    assert_eq!(net.count("NEW-BLOCK"), 10 * 9);
    assert!(net.hosts.iter().all(|host| host.refusals.is_empty()));
}

#[test]
fn transactions_reach_the_chain_once() {
    let mut net = net(4);
    for nonce in 0..30 {
        net.submit(&[0, 1, 2, 3], nonce);
        net.run(PERIOD / 10);
    }
    net.run(PERIOD);
    let ordered = net.hosts[2]
        .chain
        .iter()
        .map(|block| block.transactions().len());
    assert_eq!(ordered.sum::<usize>(), 30);
}

#[test]
fn without_a_period_blocks_are_made_for_transactions_only() {
    let mut config = config();
    config.period = Duration::ZERO;
    let mut net = net_of(4, &config);
    net.run(3 * PERIOD);
    assert!(
        net.hosts.iter().all(|host| host.height() == 0),
        "nothing to order"
    );
    for nonce in 0..5 {
        net.submit(&[0, 1, 2, 3], nonce);
        net.run(3 * PERIOD);
        let heights: Vec<_> = net
            .hosts
            .iter()
            .map(super::chain_support::Host::height)
            .collect();
        assert_eq!(heights, [nonce + 1; 4]);
    }
    let chain = &net.hosts[0].chain;
    assert!(
        chain[1..]
            .iter()
            .all(|block| block.transactions().len() == 1)
    );
    assert_signer_limit(4, chain);
}

#[test]
fn out_of_turn_signers_take_over_from_a_dead_one_after_a_wiggle() {
    let mut net = net(4);
    net.stop(2);
    net.run(60 * PERIOD);
    assert!(net.agree(&[0, 1, 3]));
    let chain = &net.hosts[0].chain;
    assert!(
        chain.len() > 30,
        "n = 4 lives with three, slower: {}",
        chain.len()
    );
    assert_signer_limit(4, chain);
    let mut taken_over = 0;
    for pair in chain.windows(2) {
        let (parent, block) = (pair[0].header(), pair[1].header());
        assert_ne!(block.proposer, NodeId(2));
        let gap = Duration::from_nanos(block.timestamp.0 - parent.timestamp.0);
        let in_turn = block.height.0 % 4 == u64::from(block.proposer.0);
        assert_eq!(difficulty(&pair[1]), if in_turn { 2 } else { 1 });
        if in_turn {
            assert!(gap <= PERIOD + DELAY, "in turn after {gap:?}");
        } else {
            assert!(
                gap >= PERIOD && gap < PERIOD + 3 * WIGGLE + DELAY,
                "out of turn after {gap:?}"
            );
            taken_over += 1;
        }
    }
    assert!(taken_over >= 10, "{taken_over}");
}

#[test]
fn half_of_the_signers_are_not_enough_and_one_more_is() {
    let mut net = net(4);
    net.run(5 * PERIOD + 2 * DELAY);
    net.stop(0);
    net.stop(1);
    net.run(30 * PERIOD);
    let stalled = net.hosts[2].height();
    assert!(
        stalled <= 7,
        "two signers add at most two blocks: {stalled}"
    );
    net.run(30 * PERIOD);
    assert_eq!(net.hosts[2].height(), stalled, "⌊n/2⌋+1 = 3 are needed");
    net.resume(0);
    net.run(30 * PERIOD);
    assert!(net.hosts[2].height() > stalled + 10);
    assert!(net.agree(&[0, 2, 3]));
    assert_signer_limit(4, &net.hosts[0].chain);
}

#[test]
fn equal_seeds_give_equal_runs_and_other_seeds_other_wiggles() {
    let trace = |seed: u64| {
        let mut config = config();
        config.seed = seed;
        let mut net: Net<Clique> = net_of(4, &config);
        net.stop(1);
        net.run(20 * PERIOD);
        net.trace
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_signer_tells_of_every_seal() {
    let mut net = net(4);
    net.run(8 * PERIOD + 2 * DELAY);
    let chain = &net.hosts[0].chain;
    for node in 0..4 {
        let own = chain[1..]
            .iter()
            .filter(|block| block.header().proposer.index() == node);
        let own: Vec<_> = own
            .map(|block| (block.header().height.0, block.id()))
            .collect();
        assert_eq!(seals(&net, node), own);
    }
}
