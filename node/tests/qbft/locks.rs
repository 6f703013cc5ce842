//! M17 and M18: the schedules that stop IBFT 1.0 for ever do not stop QBFT.

use std::sync::Arc;

use consortium_node::{engine::Message, qbft::QbftMessage};

use crate::{
    Net, SECOND, height, net,
    support::{DELTA, Sent},
};

/// In a round, whose PREPARE reaches whom; nobody else hears of it, and COMMITs reach nobody.
type Routes = &'static [(u64, u16, &'static [u16])];

fn route(net: &mut Net, routes: Routes, last: u64) {
    net.tamper = Some(Box::new(move |sent: &Sent<QbftMessage>| {
        let round = sent.message.slot().view.round();
        let heard = match &*sent.message {
            QbftMessage::Prepare(_) => routes.iter().any(|(of, from, to)| {
                (*of, *from) == (round, sent.from.0) && to.contains(&sent.to.0)
            }),
            QbftMessage::Commit(_) => false,
            // A ROUND-CHANGE that claims something is late: the proposer of round 1 hears the others.
            QbftMessage::RoundChange(said) => said.block.is_none() || round > 1,
            _ => true,
        };
        (round > last || heard).then(|| Arc::clone(&sent.message))
    }));
}

fn run_to_round(net: &mut Net, node: u16, round: u64) {
    while net.replica(node).engine.round() < round {
        net.run(DELTA);
    }
    net.run(5 * DELTA);
}

#[test]
fn m17_qb8_two_prepared_blocks_of_four_validators_are_one_in_the_end() {
    let mut net = net(4);
    // Round 0: 2 alone prepares X. Round 1: 0 alone prepares Y, with 1 and 3.
    route(
        &mut net,
        &[(0, 0, &[2]), (0, 1, &[2]), (1, 1, &[0]), (1, 3, &[0])],
        1,
    );
    net.submit();
    run_to_round(&mut net, 0, 1);
    let prepared = |node: u16| net.replica(node).engine.prepared();
    let (x, y) = (prepared(2), prepared(0));
    assert!(x.is_some() && y.is_some() && x != y, "{x:?} {y:?}");
    net.crash(1);
    net.tamper = None;
    net.run(60 * SECOND);
    net.check_done(&[0, 2, 3]);
    assert_eq!(
        Some(net.replica(3).host.chain[1].id()),
        y,
        "the later of the two"
    );
}

#[test]
fn m17_qb8_the_schedule_of_five_comes_to_an_end() {
    let mut net = net(5);
    route(
        &mut net,
        &[
            (0, 0, &[3, 4]),
            (0, 1, &[3, 4]),
            (0, 3, &[0, 4]),
            (0, 4, &[3]),
            (1, 0, &[2, 3, 4]),
            (1, 1, &[0, 2, 3, 4]),
            (1, 2, &[0, 3, 4]),
        ],
        1,
    );
    net.submit();
    run_to_round(&mut net, 0, 1);
    assert!(net.replica(3).engine.prepared().is_some());
    net.crash(1);
    net.tamper = None;
    net.run(120 * SECOND);
    net.check_done(&[0, 2, 3, 4]);
    assert_eq!(height(&net, 0), 1);
}

#[test]
fn m18_qb8_the_schedule_of_six_comes_to_an_end() {
    let mut net = net(6);
    route(
        &mut net,
        &[
            (0, 0, &[1, 3, 4]),
            (0, 2, &[1, 4]),
            (0, 3, &[1, 4]),
            (0, 4, &[1]),
            (0, 1, &[4]),
            (2, 0, &[2, 4, 5]),
            (2, 2, &[3, 5]),
            (2, 3, &[5]),
            (3, 3, &[0, 2, 4]),
            (3, 0, &[3, 4]),
            (3, 2, &[0, 1, 3, 4]),
        ],
        3,
    );
    net.submit();
    run_to_round(&mut net, 0, 3);
    assert_eq!(height(&net, 0), 0);
    assert!(net.replica(1).engine.prepared().is_some());
    net.crash(2);
    net.tamper = None;
    net.run(300 * SECOND);
    net.check_done(&[0, 1, 3, 4, 5]);
    assert_eq!(height(&net, 0), 1);
}
