//! R2, R3, R5, R12, R25, R38, R39, R40 with whole validators and their disks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    engine::{Recovery, Tale},
    node::{Node as _, Packet, TxRefusal},
    pbft::PbftMessage,
    sync::SyncPacket,
    transaction::Transaction,
    types::NodeId,
};

use crate::{
    network::{DELTA, Network, brisk},
    stage::{ALICE, order},
};

const SECOND: Duration = Duration::from_secs(1);
const ALL: [u16; 4] = [0, 1, 2, 3];

/// Numbers that no other order of the test has.
fn orders(count: u64) -> Vec<Arc<Transaction>> {
    (1..=count).map(|number| order(ALICE, number)).collect()
}

/// Everything was executed everywhere and answered by f+1 validators.
fn check_done(network: &Network, orders: &[Arc<Transaction>], case: &str) {
    network.check();
    let heights: BTreeSet<_> = ALL.map(|i| network.node(i).ledger().height()).into();
    assert_eq!(heights.len(), 1, "{case}: {heights:?}");
    for order in orders {
        let agreeing = network.agreeing(order);
        assert!(
            agreeing >= 2,
            "{case}: {agreeing} agree about {}",
            order.id()
        );
        for node in ALL {
            let executed = network.node(node).ledger().executed(ALICE, order.nonce());
            assert!(
                executed,
                "{case}: n{node} has not executed {}",
                order.nonce()
            );
        }
    }
}

#[test]
fn r12_r40_a_validator_may_crash_between_any_two_actions_and_contradicts_nothing() {
    let orders = orders(5);
    for (node, keeps_writes) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut whole = false;
        for actions in 0.. {
            let mut network = Network::new(4, brisk());
            network.keeps_writes = keeps_writes;
            network.crash_before = Some((node, actions));
            for order in &orders {
                network.submit(&ALL, order);
                network.run(DELTA);
            }
            network.run(8 * DELTA);
            if network.is_up(node) {
                (whole, network.crash_before) = (true, None);
                network.crash(node);
            }
            network.run(SECOND);
            network.restart(node, Recovery::Torn);
            network.run(2 * SECOND);
            // Gateways ask again for what they have no answer to (R3).
            for order in &orders {
                network.submit(&ALL, order);
            }
            network.run(3 * SECOND);
            let case = format!("n{node} before action {actions}, writes kept: {keeps_writes}");
            check_done(&network, &orders, &case);
            if whole {
                assert!(actions > 30, "{actions} actions");
                break;
            }
        }
    }
}

#[test]
fn r12_all_validators_may_crash_at_once_and_lose_what_was_not_durable() {
    let orders = orders(6);
    for instant in 0..30 {
        let mut network = Network::new(4, brisk());
        for order in &orders {
            network.submit(&ALL, order);
            network.run(DELTA / 2);
        }
        network.run(DELTA * instant / 3);
        let answered: Vec<_> = orders.iter().filter(|o| network.agreeing(o) >= 2).collect();
        let answered: Vec<_> = answered.into_iter().cloned().collect();
        for node in ALL {
            network.crash(node);
        }
        network.run(SECOND);
        for node in ALL {
            network.restart(node, Recovery::Torn);
        }
        network.run(2 * SECOND);
        // What was answered is on the chain without being asked for again.
        check_done(&network, &answered, &format!("instant {instant}"));
        for order in &orders {
            network.submit(&ALL, order);
        }
        network.run(3 * SECOND);
        check_done(&network, &orders, &format!("instant {instant}"));
    }
}

#[test]
fn r05_an_order_executes_once_across_view_change_restart_and_lost_disk() {
    let mut network = Network::new(4, brisk());
    let orders = orders(4);
    for order in &orders[..2] {
        network.submit(&ALL, order);
        network.run(6 * DELTA);
    }
    let again = |network: &mut Network| {
        let before = network.node(1).ledger().height();
        for order in &orders[..2] {
            for node in ALL
                .into_iter()
                .filter(|node| network.is_up(*node))
                .collect::<Vec<_>>()
            {
                network.submit(&[node], order);
            }
        }
        network.run(2 * SECOND);
        assert_eq!(
            network.node(1).ledger().height(),
            before,
            "nothing to order"
        );
        network.check();
    };
    again(&mut network);
    // A view change: the next primary knows what was executed.
    network.crash(0);
    network.submit(&[1, 2, 3], &orders[2]);
    network.run(3 * SECOND);
    assert!(network.node(1).status().engine.view.0 > 0);
    again(&mut network);
    // A restart: replay windows are what executing the chain gives.
    for node in [1, 2, 3] {
        network.crash(node);
        network.restart(node, Recovery::Clean);
    }
    network.run(SECOND);
    again(&mut network);
    // A lost disk: they come with the final blocks.
    network.restart(0, Recovery::Lost);
    network.run(3 * SECOND);
    network.answers.clear();
    again(&mut network);
    let [first, second] = [&orders[0], &orders[1]];
    for order in [first, second] {
        assert_eq!(
            network.agreeing(order),
            4,
            "each answers from its reply cache (R2)"
        );
    }
    network.submit(&ALL, &orders[3]);
    network.run(3 * SECOND);
    check_done(&network, &orders[3..], "and it goes on");
}

#[test]
fn r38_r39_a_snapshot_is_checked_page_by_page_and_replay_windows_come_with_it() {
    let mut config = brisk();
    config.batch.count = 16;
    config.batch_age = DELTA / 2;
    config.snapshot_above = 16;
    let mut network = Network::new(4, config);
    network.crash(3);
    // More than one answer holds, so that blocks alone are a long way.
    let orders = orders(16 * 300);
    for batch in orders.chunks(16) {
        for order in batch {
            network.submit(&[0, 1, 2], order);
        }
        network.run(4 * DELTA);
    }
    assert!(network.node(1).ledger().height().0 > 290);
    // n1 lies about every state and every block that it hands out.
    network.tamper = Some(Box::new(|from, _, packet| {
        let Packet::Sync(sync) = packet else {
            return Some(packet.clone());
        };
        let mut lie = (**sync).clone();
        match &mut lie {
            SyncPacket::Page { entries, .. } if from == NodeId(1) => {
                if let Some((_, value)) = entries.first_mut() {
                    value.push(7);
                }
            }
            SyncPacket::Blocks(blocks) if from == NodeId(1) => {
                for stored in &mut blocks.list {
                    let header = stored.block.header().clone();
                    stored.block = Block::new(header, Vec::new());
                }
            }
            _ => {}
        }
        Some(Packet::Sync(Arc::new(lie)))
    }));
    network.restart(3, Recovery::Lost);
    network.run(60 * SECOND);
    assert_eq!(network.adopted, [NodeId(3)], "it took over a snapshot");
    let [mine, theirs] = [3, 2].map(|node| network.node(node).ledger());
    assert!(mine.base().0 >= 256, "without the history before");
    assert_eq!(mine.state().root(), theirs.state().root());
    network.check();
    // The gateway asks again for the first order: it is not executed a second time.
    let height = network.node(2).ledger().height();
    network.submit(&[3], &orders[0]);
    network.run(2 * SECOND);
    let refusal = (NodeId(3), orders[0].id(), TxRefusal::StaleNonce);
    assert!(network.refused.contains(&refusal), "{:?}", network.refused);
    assert_eq!(network.node(2).ledger().height(), height);
}

#[test]
fn r25_what_the_old_primary_was_given_the_next_one_proposes_once() {
    let mut network = Network::new(4, brisk());
    let orders = orders(6);
    // Proposals of view 0 reach one backup only: nothing is prepared.
    network.tamper = Some(Box::new(|from, to, packet| {
        let Packet::Consensus(consensus) = packet else {
            return Some(packet.clone());
        };
        let proposal = matches!(
            consensus.message::<PbftMessage>(),
            Some(PbftMessage::PrePrepare(message)) if message.claim.body().view.0 == 0
        );
        (!proposal || from != NodeId(0) || to == NodeId(2)).then(|| packet.clone())
    }));
    // Orders reach the primary, and from it the others after a while.
    for order in &orders {
        network.submit(&ALL, order);
    }
    network.run(5 * SECOND);
    let entered = |node: u16| {
        let mut tales = network.tales.iter();
        tales.any(|(by, tale)| {
            *by == NodeId(node) && matches!(tale, Tale::Entered { view, .. } if view.0 == 1)
        })
    };
    assert!(ALL.into_iter().all(entered), "view 1 begins everywhere");
    check_done(&network, &orders, "after the view change");
}

#[test]
fn r03_a_gateway_that_asks_everyone_gets_f_plus_1_equal_answers_although_one_is_silent() {
    let mut network = Network::new(4, brisk());
    network.crash(0);
    let order = order(ALICE, 1);
    // First only one backup hears of it; the primary is silent, so it tells everyone (R4).
    network.submit(&[2], &order);
    network.run(4 * SECOND);
    assert_eq!(network.agreeing(&order), 3);
    network.check();
}

#[test]
fn r40_a_validator_that_lost_its_disk_votes_for_nothing_that_it_may_have_voted_for() {
    let orders = orders(30);
    // `Network` panics if anyone says two things about one slot of one view.
    for crash_after in 0..10 {
        let mut network = Network::new(4, brisk());
        for order in &orders[..crash_after] {
            network.submit(&ALL, order);
            network.run(2 * DELTA);
        }
        network.crash(1);
        network.run(DELTA * 3);
        network.restart(1, Recovery::Lost);
        for order in &orders[crash_after..] {
            network.submit(&ALL, order);
            network.run(5 * DELTA);
        }
        network.run(10 * SECOND);
        check_done(&network, &orders, &format!("lost after {crash_after}"));
        let told = |what: fn(&Tale) -> bool| network.tales.iter().any(|(_, tale)| what(tale));
        assert!(told(|tale| *tale == Tale::Muted));
        assert!(
            told(|tale| matches!(tale, Tale::Unmuted(_))),
            "it speaks again"
        );
    }
}
