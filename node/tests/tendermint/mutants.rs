//! Planted bugs: each breaks its rule, in a schedule that the sound build survives.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Engine as _, Message as _},
    mutant::{Mutant, Planted},
    tendermint::{Config, Tendermint, TendermintMessage},
};

use crate::{Net, museum::m23_is_stuck_after, support::Sent};

fn net(planted: Planted) -> Net {
    Net::new(4, move |me, key, committee, genesis| {
        Tendermint::new(Config::default(), me, key, committee, genesis).planting(planted)
    })
}

/// M23, which is calm after two rounds.
#[test]
fn tm17_polka_not_relayed() {
    let stuck = |planted| m23_is_stuck_after(planted, Config::default());
    assert!(stuck(Planted::one(Mutant::PolkaNotRelayed)));
    assert!(!stuck(Planted::NOTHING));
}

/// Split votes and delay, and no liar at all: 0, 1 and 2 lock A in round 0, and 0 alone decides it. 3 saw
/// nothing of that; the proposals of rounds 1 and 2 are lost, and in round 3 it proposes B. Whether 1
/// decides something else than 0.
fn forks(planted: Planted) -> bool {
    let mut net = net(planted);
    net.tamper = Some(Box::new(|sent: &Sent<TendermintMessage>| {
        let (name, round) = (sent.message.kind().name, sent.message.slot().view.round());
        let (from, to) = (sent.from.0, sent.to.0);
        let passes = match (name, round) {
            ("PROPOSAL", 0) => to != 3,
            ("PREVOTE", 0) => from != 0 || to != 3,
            ("PRECOMMIT", 0) => from != 0,
            // 0 is done, and cut off.
            _ if from == 0 || to == 0 => false,
            ("PROPOSAL", round) => round > 2,
            (name, _) => name == "PREVOTE" || name == "PRECOMMIT",
        };
        passes.then(|| Arc::clone(&sent.message))
    }));
    net.submit();
    let head = |net: &Net, node: u16| net.replica(node).host.chain.get(1).map(|block| block.id());
    while net.replica(3).engine.status().view.round() < 4 && head(&net, 3).is_none() {
        net.run(Duration::from_millis(100));
        assert!(net.now < Duration::from_mins(2).as_nanos() as u64, "stuck");
    }
    let first = head(&net, 0).expect("it decided in round 0");
    if head(&net, 3).is_none() {
        net.tamper = None;
        net.run(Duration::from_mins(2));
        net.check_done(&[0, 1, 2, 3]);
    }
    [1, 2, 3]
        .iter()
        .any(|node| head(&net, *node) != Some(first))
}

#[test]
fn tm2_prevote_while_locked() {
    assert!(forks(Planted::one(Mutant::PrevoteWhileLocked)));
    assert!(!forks(Planted::NOTHING));
}

#[test]
fn the_network_of_a_bug_works_while_nothing_goes_wrong() {
    for mutant in [Mutant::PolkaNotRelayed, Mutant::PrevoteWhileLocked] {
        let mut net = net(Planted::one(mutant));
        for _ in 0..6 {
            net.submit();
        }
        net.run(Duration::from_secs(20));
        net.check_done(&[0, 1, 2, 3]);
        assert_eq!(net.replica(0).host.chain.len(), 7, "{mutant}");
    }
}
