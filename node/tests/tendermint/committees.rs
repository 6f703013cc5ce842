//! Changing committees: the committee of a height decides it.

use std::time::Duration;

use consortium_node::{
    engine::{Engine as _, Recovery},
    tendermint::Tendermint,
    types::{Epoch, Height, NodeId},
};

use crate::{BRISK, Net, check_votes};

const SECOND: Duration = Duration::from_secs(1);

fn founded(founders: usize, n: usize) -> Net {
    let mut net = Net::founded_by(founders, n, |me, key, committee, genesis| {
        Tendermint::new(BRISK, me, key, committee, genesis)
    });
    net.hosts_sync = true;
    net
}

fn order(net: &mut Net, blocks: usize) {
    for _ in 0..blocks {
        net.submit();
        net.run(SECOND);
    }
}

#[test]
fn tm22_a_newcomer_takes_part_from_its_first_height() {
    let mut net = founded(4, 5);
    net.change(2, 4, &[0, 1, 2, 3, 4]);
    order(&mut net, 8);
    net.run(20 * SECOND);
    net.check_done(&[0, 1, 2, 3, 4]);
    assert_eq!(net.replica(4).engine.status().view.epoch(), Epoch(1));
    let chain = &net.replica(0).host.chain;
    let proposers: Vec<u16> = chain[1..].iter().map(|b| b.header().proposer.0).collect();
    // Turns begin anew with the committee, at height 4.
    assert_eq!(proposers, [0, 1, 2, 0, 1, 2, 3, 4]);
    // Four of five are a quorum, and 4 is one of them.
    net.crash(0);
    order(&mut net, 2);
    net.run(20 * SECOND);
    net.check_done(&[1, 2, 3, 4]);
    check_votes(&net);
}

#[test]
fn tm22_one_that_left_signs_nothing_any_more_and_follows() {
    let mut net = founded(5, 5);
    net.change(2, 4, &[0, 1, 2, 3]);
    order(&mut net, 8);
    net.run(30 * SECOND);
    net.check_done(&[0, 1, 2, 3, 4]);
    for replica in &net.replicas {
        assert_eq!(replica.host.chain.len(), 9);
    }
    let late = net.trace.iter().filter(|sent| {
        use consortium_node::engine::Message as _;
        sent.from == NodeId(4) && sent.message.slot().seq.0 >= 4
    });
    assert_eq!(late.count(), 0);
    check_votes(&net);
}

#[test]
fn tm22_most_may_be_replaced_at_once_and_restart_in_the_middle() {
    for crashed in 0..6 {
        let mut net = founded(4, 6);
        net.change(1, 3, &[3, 4, 5, 0]);
        net.change(5, 7, &[5, 1, 2, 4]);
        for block in 0..10 {
            net.submit();
            net.run(SECOND / 4);
            if block % 3 == 1 {
                net.crash(crashed);
                net.run(SECOND / 2);
                net.restart(crashed, Recovery::Clean);
            }
            net.run(2 * SECOND);
            net.ask_again();
        }
        net.run(30 * SECOND);
        net.check_done(&[0, 1, 2, 3, 4, 5]);
        let committees = net.committees_at(Height(100));
        assert_eq!(committees.newest().epoch, Epoch(2));
        assert!(net.replica(0).host.chain.len() >= 10);
        check_votes(&net);
    }
}
