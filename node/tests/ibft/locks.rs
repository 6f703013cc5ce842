//! Locks: what they are for, and how they stop a height for ever (M17, M18).

use std::sync::Arc;

use consortium_node::{
    engine::Message,
    ibft::{Config, IbftMessage},
    types::NodeId,
};

use crate::{
    BRISK, FIRST, Net, SECOND, height, net_with,
    support::{DELTA, Sent},
};

/// In a round, whose PREPARE reaches whom; nobody else hears of it.
type Routes = &'static [(u64, u16, &'static [u16])];

/// Of the rounds up to `last`, PREPAREs go where the routes say and COMMITs nowhere. Nobody hears that
/// somebody refuses a proposal; ROUND-CHANGEs at the end of a round reach everybody.
fn route(net: &mut Net, routes: Routes, last: u64) {
    net.tamper = Some(Box::new(move |sent: &Sent<IbftMessage>| {
        let round = sent.message.slot().view.round();
        let heard = match &*sent.message {
            IbftMessage::Prepare(_) => routes.iter().any(|(of, from, to)| {
                (*of, *from) == (round, sent.from.0) && to.contains(&sent.to.0)
            }),
            IbftMessage::Commit(_) => false,
            _ => true,
        };
        (round > last || heard).then(|| Arc::clone(&sent.message))
    }));
}

fn locks(net: &Net) -> Vec<Option<u64>> {
    let lock = |replica: &crate::support::Replica<consortium_node::ibft::Ibft>| {
        replica.engine.lock().map(|lock| lock.prefix())
    };
    net.replicas.iter().map(lock).collect()
}

/// Runs until somebody is in this round and its votes have been cast.
fn run_to_round(net: &mut Net, node: u16, round: u64) {
    while net.replica(node).engine.round() < round {
        net.run(DELTA);
    }
    net.run(5 * DELTA);
}

/// M17: with three PREPAREs for a lock 3 and 4 lock X, and 0 and 2 lock Y; then 1 crashes.
fn m17(config: Config) -> Net {
    let mut net = net_with(5, config);
    net.checks_proofs = false;
    let routes: Routes = &[
        (0, 0, &[3, 4]),
        (0, 3, &[0, 4]),
        (0, 4, &[3]),
        (1, 0, &[2, 3, 4]),
        (1, 1, &[0, 2, 3, 4]),
        (1, 2, &[0, 3, 4]),
    ];
    let before = net.transaction();
    route(&mut net, routes, 1);
    // 3 and 4 refuse Y with a ROUND-CHANGE; that comes too late for the others.
    let mut usual = net.tamper.take().expect("set above");
    net.tamper = Some(Box::new(move |sent: &Sent<IbftMessage>| {
        let round = sent.message.slot().view.round();
        let refuses = matches!(&*sent.message, IbftMessage::RoundChange(_)) && round == 2;
        let early = sent.from.0 >= 3 && refuses;
        if early { None } else { usual(sent) }
    }));
    for node in net.nodes() {
        net.submit_to(node, &before);
    }
    run_to_round(&mut net, 0, 1);
    net
}

#[test]
fn m17_ib3_two_locks_of_two_stop_a_height_for_ever_when_the_fifth_crashes() {
    let mut net = m17(FIRST);
    let found = locks(&net);
    let (x, y) = (found[3], found[0]);
    assert!(x.is_some() && y.is_some() && x != y, "{found:?}");
    assert_eq!(found, [y, None, y, x, x]);
    net.crash(1);
    net.tamper = None;
    net.run(100_000 * SECOND);
    assert_eq!(locks(&net), found, "IB6: locks outlive every round");
    assert!([0, 2, 3, 4].iter().all(|node| height(&net, *node) == 0));
}

#[test]
fn m17_the_same_stops_four_validators_with_the_right_quorum() {
    let mut net = net_with(4, BRISK);
    // Round 0: 2 alone sees three PREPAREs. Round 1: 2 refuses, and 0 alone sees three.
    let routes: Routes = &[(0, 0, &[2]), (0, 1, &[2]), (1, 1, &[0]), (1, 3, &[0])];
    route(&mut net, routes, 1);
    net.submit();
    run_to_round(&mut net, 0, 1);
    let found = locks(&net);
    assert!(found[0].is_some() && found[2].is_some() && found[0] != found[2]);
    net.crash(1);
    net.tamper = None;
    net.run(100_000 * SECOND);
    assert!([0, 2, 3].iter().all(|node| height(&net, *node) == 0));
    net.check_agreement();
}

#[test]
fn m18_three_locks_stop_six_validators() {
    let mut net = net_with(6, FIRST);
    net.checks_proofs = false;
    let routes: Routes = &[
        // 1 and 4 lock.
        (0, 0, &[1, 3, 4]),
        (0, 3, &[1, 4]),
        (0, 4, &[1]),
        // 5 locks.
        (2, 0, &[2, 4, 5]),
        (2, 2, &[3, 5]),
        (2, 3, &[5]),
        // 0 and 3 lock.
        (3, 3, &[0, 2, 4]),
        (3, 0, &[3, 4]),
        (3, 2, &[0, 1, 3, 4]),
    ];
    route(&mut net, routes, 3);
    // Nobody hears refusals before the round is over, and the proposal of round 1 is lost.
    let mut usual = net.tamper.take().expect("set above");
    net.tamper = Some(Box::new(move |sent: &Sent<IbftMessage>| {
        let slot = sent.message.slot().view.round();
        let lost = match &*sent.message {
            IbftMessage::PrePrepare(_) => slot == 1,
            IbftMessage::RoundChange(_) => {
                let locked: &[u16] = if slot == 4 { &[1, 4, 5] } else { &[1, 4] };
                slot >= 3 && locked.contains(&sent.from.0)
            }
            _ => false,
        };
        if lost { None } else { usual(sent) }
    }));
    net.submit();
    run_to_round(&mut net, 0, 3);
    let found = locks(&net);
    let (x, y, z) = (found[1], found[5], found[0]);
    assert_eq!(found, [z, x, None, z, x, y]);
    assert!(x.is_some() && y.is_some() && z.is_some() && x != y && y != z && x != z);
    net.crash(2);
    net.tamper = None;
    net.run(100_000 * SECOND);
    assert!([0, 1, 3, 4, 5].iter().all(|node| height(&net, *node) == 0));
}

#[test]
fn ib1_ib3_ib6_a_lock_outlives_the_round_and_what_one_node_decided_is_decided_by_all() {
    let mut net = net_with(4, BRISK);
    // COMMITs of round 0 reach 3 alone.
    net.tamper = Some(Box::new(|sent: &Sent<IbftMessage>| {
        let commit = matches!(&*sent.message, IbftMessage::Commit(_));
        let late = sent.message.slot().view.round() > 0;
        (!commit || late || sent.to == NodeId(3)).then(|| Arc::clone(&sent.message))
    }));
    net.submit();
    net.run(5 * DELTA);
    let decided = net.replica(3).host.chain[1].id();
    net.crash(3);
    net.submit();
    net.run(60 * SECOND);
    net.check_done(&[0, 1, 2]);
    assert_eq!(net.replica(0).host.chain[1].id(), decided);
}

#[test]
fn m19_with_a_member_dead_two_locks_on_one_block_and_an_unlocked_third_never_decide() {
    for heeds_commits in [false, true] {
        let mut net = net_with(
            4,
            Config {
                heeds_commits,
                ..BRISK
            },
        );
        // 0 and 2 see three PREPAREs; 3 does not.
        let routes: Routes = &[(0, 0, &[2]), (0, 1, &[0, 2]), (0, 2, &[0])];
        route(&mut net, routes, 0);
        net.submit();
        net.run(5 * DELTA);
        let found = locks(&net);
        assert!(found[0].is_some() && found[0] == found[2] && found[3].is_none());
        net.crash(1);
        net.tamper = None;
        net.run(100_000 * SECOND);
        let decided = [0, 2, 3].map(|node| height(&net, node));
        assert_eq!(decided, [usize::from(heeds_commits); 3]);
    }
}
