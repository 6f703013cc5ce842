//! Two phases at random: faults within the model, then calm. Safe throughout, and done in the end.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Forks, Message as _, Recovery},
    tendermint::{Config, TendermintMessage},
    types::NodeId,
};

use crate::{
    BRISK, Net, check_votes, net_with,
    support::{DELTA, Sent},
};

const SEEDS: u64 = 300;

/// One of the members lies about everything to a part of the others, as the dice say.
fn corrupt(net: &mut Net, liar: NodeId, dice: u64) {
    let key = Arc::clone(&net.keys[liar.index()]);
    let mut forks = Forks::new();
    net.liars.push(liar);
    let mut count = dice;
    net.tamper = Some(Box::new(move |sent: &Sent<TendermintMessage>| {
        if sent.from != liar {
            return Some(Arc::clone(&sent.message));
        }
        count = count
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        match (count >> 33) % 4 {
            0 => None,
            1 if sent.to.0.is_multiple_of(2) => {
                let lie = sent.message.conflicting(&key, liar, &mut forks);
                Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new))
            }
            _ => Some(Arc::clone(&sent.message)),
        }
    }));
}

fn disturb(net: &mut Net, n: u64, down: &mut Option<u16>) {
    match net.random(7) {
        0 => net.groups = (0..n).map(|_| net.random(2) as u8).collect(),
        1 => net.groups = vec![0; n as usize],
        2 => net.loss_permille = net.random(400),
        3 => net.jitter = DELTA * net.random(20) as u32,
        4 if down.is_none() => {
            let victim = net.random(n) as u16;
            if !net.liars.contains(&NodeId(victim)) {
                net.crash_before_effect = Some((NodeId(victim), net.random(30) as usize));
                *down = Some(victim);
            }
        }
        _ => {
            if let Some(victim) = down.take_if(|victim| net.replicas[*victim as usize].crashed) {
                let disk = [Recovery::Clean, Recovery::Torn][net.random(2) as usize];
                net.restart(victim, disk);
            }
        }
    }
}

fn run(seed: u64) {
    let n = [4, 5, 6, 7, 10][(seed % 5) as usize];
    let config = Config {
        timeout_commit: [BRISK.timeout_commit, Duration::ZERO][(seed / 5 % 2) as usize],
        ..BRISK
    };
    let mut net = net_with(n as usize, config);
    net.seed(seed);
    net.hosts_sync = true;
    net.tracing = false;
    if seed.is_multiple_of(3) {
        let liar = NodeId(net.random(n) as u16);
        corrupt(&mut net, liar, seed);
    }
    let mut down = None;
    for _ in 0..30 {
        disturb(&mut net, n, &mut down);
        net.submit();
        let time = net.random(400);
        net.run(Duration::from_millis(time));
        net.check_agreement();
    }
    net.crash_before_effect = None;
    net.groups = vec![0; n as usize];
    (net.loss_permille, net.jitter) = (0, Duration::ZERO);
    if let Some(victim) = down.filter(|victim| net.replicas[*victim as usize].crashed) {
        net.restart(victim, Recovery::Clean);
    }
    net.ask_again();
    net.run(Duration::from_mins(1));
    let honest = net.nodes().into_iter();
    let honest = honest.filter(|node| !net.liars.contains(node));
    let honest: Vec<u16> = honest.map(|node| node.0).collect();
    net.check_done(&honest);
    check_votes(&net);
}

#[test]
fn random_faults_then_calm_leave_equal_chains_and_nothing_undone() {
    for seed in 0..SEEDS {
        run(seed);
    }
}
