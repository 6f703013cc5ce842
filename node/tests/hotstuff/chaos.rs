//! Random faults, then calm: everything that waits becomes final, everywhere the same.

use std::time::Duration;

use consortium_node::{
    engine::Recovery,
    hotstuff::{Leader, Variant},
};

use crate::{LEADERS, SECOND, VARIANTS, all, net, recovery::no_conflicts, support::DELTA};

fn storm(seed: u64, n: usize, variant: Variant, leader: Leader) {
    let mut net = net(n, variant, leader);
    net.tracing = false;
    net.hosts_sync = true;
    net.seed(seed);
    net.jitter = DELTA * net.random(3) as u32;
    net.loss_permille = [0, 10, 100, 300][net.random(4) as usize];
    for _ in 0..12 {
        net.submit();
        match net.random(6) {
            0 => {
                let groups = (0..n).map(|_| net.random(2) as u8).collect();
                net.groups = groups;
            }
            1 => net.groups = vec![0; n],
            2 | 3 => {
                let node = net.random(n as u64) as u16;
                if net.replica(node).crashed {
                    net.restart(node, Recovery::Clean);
                } else {
                    net.crash(node);
                }
            }
            _ => {}
        }
        let pause = net.random(1500);
        net.run(Duration::from_millis(pause));
        net.check_agreement();
    }
    net.groups = vec![0; n];
    net.loss_permille = 0;
    for node in all(n) {
        if net.replica(node).crashed {
            net.restart(node, Recovery::Clean);
        }
    }
    net.ask_again();
    net.submit();
    net.run(60 * SECOND);
    net.check_done(&all(n));
    no_conflicts(&net);
}

#[test]
fn after_any_storm_all_is_final_everywhere() {
    for variant in VARIANTS {
        for leader in LEADERS {
            for seed in 0..30 {
                for n in [4, 7] {
                    storm(seed, n, variant, leader);
                }
            }
        }
    }
}
