//! M16: 2f+1 is not enough unless n = 3f+1.

use std::sync::Arc;

use consortium_node::{
    engine::{Forks, Message},
    ibft::{Config, IbftMessage},
    types::NodeId,
};

use crate::{BRISK, FIRST, Net, SECOND, height, net_with, support::Sent};

/// Whether two honest chains differ.
fn forked(net: &Net) -> bool {
    let chains: Vec<_> = net.honest().map(|replica| &replica.host.chain).collect();
    let differ = |a: &[_], b: &[_]| {
        let common = a.len().min(b.len());
        a[..common] != b[..common]
    };
    chains.windows(2).any(|pair| differ(pair[0], pair[1]))
        || differ(chains[0], chains[chains.len() - 1])
}

/// Six validators, three against three, nobody lies.
fn six_split(config: Config) -> Net {
    let mut net = net_with(6, config);
    net.checks_proofs = false;
    net.groups = vec![0, 0, 0, 1, 1, 1];
    let transactions = [net.transaction(), net.transaction()];
    for node in net.nodes() {
        net.submit_to(node, &transactions[usize::from(node.0 / 3)]);
    }
    net.run(120 * SECOND);
    net
}

#[test]
fn m16_six_validators_fork_on_a_split_without_a_liar_with_2f_plus_1() {
    let net = six_split(FIRST);
    assert!(forked(&net));
    assert_eq!([0, 3].map(|node| height(&net, node)), [1, 1]);
}

#[test]
fn m16_six_validators_stall_on_the_split_with_two_thirds_rounded_up_and_heal() {
    let mut net = six_split(BRISK);
    assert_eq!([0, 3].map(|node| height(&net, node)), [0, 0]);
    net.groups = vec![0; 6];
    net.ask_again();
    net.run(600 * SECOND);
    net.check_done(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(height(&net, 0), 2);
}

/// Five validators; the proposer of round 0 says one thing to 1 and 2 and another to 3 and 4.
fn two_faced(config: Config) -> Net {
    let mut net = net_with(5, config);
    net.checks_proofs = false;
    let (liar, key) = (NodeId(0), Arc::clone(&net.keys[0]));
    let mut forks = Forks::new();
    net.liars.push(liar);
    net.tamper = Some(Box::new(move |sent: &Sent<IbftMessage>| {
        if sent.from == liar && sent.to.0 >= 3 {
            let lie = sent.message.conflicting(&key, liar, &mut forks);
            return Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new));
        }
        Some(Arc::clone(&sent.message))
    }));
    net.submit();
    net.run(crate::support::DELTA * 6);
    net
}

#[test]
fn m16_five_validators_fork_under_one_liar_with_2f_plus_1_and_not_with_two_thirds_rounded_up() {
    assert!(forked(&two_faced(FIRST)));
    let mut net = two_faced(BRISK);
    assert!(!forked(&net));
    net.run(60 * SECOND);
    net.check_done(&[1, 2, 3, 4]);
    assert_eq!(height(&net, 1), 1);
}
