//! Random runs in two phases: a storm within the fault model, then calm.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Forks, Message, Recovery},
    ibft::{Config, IbftMessage, Pace},
    types::NodeId,
};

use crate::{
    BRISK, Net, SECOND, net_with,
    recovery::check_no_amnesia,
    support::{DELTA, Sent},
};

/// f members send, message by message, what they should, a contradiction, nothing, or something old.
fn make_liars(net: &mut Net, seed: u64) {
    let n = net.replicas.len();
    let first = net.random(n as u64) as usize;
    let liars = (0..net.committee.f()).map(|i| NodeId(((first + i) % n) as u16));
    let liars: Vec<NodeId> = liars.collect();
    net.liars.clone_from(&liars);
    let keys = net.keys.clone();
    let (mut forks, mut old, mut state) = (Forks::new(), Vec::new(), seed);
    net.tamper = Some(Box::new(move |sent: &Sent<IbftMessage>| {
        if !liars.contains(&sent.from) {
            return Some(Arc::clone(&sent.message));
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dice = state >> 33;
        let key = &keys[sent.from.index()];
        let lie = sent.message.conflicting(key, sent.from, &mut forks);
        old.push(Arc::clone(&sent.message));
        match dice % 8 {
            0..3 => Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new)),
            3 => None,
            4 => Some(Arc::clone(&old[(dice >> 3) as usize % old.len()])),
            _ => Some(Arc::clone(&sent.message)),
        }
    }));
}

/// One storm: loss, reordering, partitions; f members that lie, or crash and come back, one of them perhaps
/// without its disk.
fn storm(seed: u64) -> Net {
    let n = 4 + (seed / 2 % 4) as usize;
    let config = Config {
        pace: Pace {
            resend: seed.is_multiple_of(5).then_some(Duration::from_millis(300)),
            ..BRISK.pace
        },
        heeds_commits: seed % 4 < 3,
        ..BRISK
    };
    let mut net = net_with(n, config);
    net.tracing = false;
    net.seed(seed);
    net.jitter = DELTA * net.random(8) as u32;
    net.loss_permille = net.random(250);
    let lies = seed.is_multiple_of(2);
    if lies {
        make_liars(&mut net, seed);
    }
    let first = net.random(n as u64) as usize;
    let victims: Vec<u16> = (0..net.committee.f())
        .map(|i| ((first + i) % n) as u16)
        .collect();
    let end = net.now + 20 * SECOND.as_nanos() as u64;
    let mut lost = false;
    while net.now < end {
        match net.random(10) {
            0..5 => drop(net.submit()),
            5 => net.groups = (0..n).map(|_| net.random(2) as u8).collect(),
            6 => net.groups = vec![0; n],
            7 if !lies => {
                for victim in &victims {
                    if !net.replica(*victim).crashed {
                        net.crash(*victim);
                    }
                }
            }
            8 if !lies => {
                for victim in &victims {
                    if net.replica(*victim).crashed {
                        let gone = !lost && net.random(4) == 0;
                        lost |= gone;
                        let disk = if gone {
                            Recovery::Lost
                        } else {
                            Recovery::Clean
                        };
                        net.restart(*victim, disk);
                    }
                }
            }
            _ => {}
        }
        let span = net.random(1500);
        net.run(Duration::from_millis(span));
        net.check_agreement();
    }
    net
}

/// Ends the storm.
fn calm(net: &mut Net) -> Vec<u16> {
    let n = net.replicas.len() as u16;
    net.groups = vec![0; n.into()];
    net.loss_permille = 0;
    net.jitter = Duration::ZERO;
    for node in 0..n {
        if net.replica(node).crashed {
            net.restart(node, Recovery::Clean);
        }
    }
    net.submit();
    net.ask_again();
    (0..n)
        .filter(|node| !net.liars.contains(&NodeId(*node)))
        .collect()
}

/// Whether the honest ones may never agree again: two of them are locked on different blocks of one height.
fn may_be_deadlocked(net: &Net, honest: &[u16]) -> bool {
    let locks = honest.iter().filter_map(|node| {
        let engine = &net.replica(*node).engine;
        let height = net.replica(*node).host.chain.len();
        engine.lock().map(|lock| (height, lock))
    });
    let mut locks: Vec<_> = locks.collect();
    locks.sort_unstable();
    locks.dedup();
    locks.windows(2).any(|pair| pair[0].0 == pair[1].0)
}

#[test]
fn whatever_happened_nothing_forks_and_all_is_final_soon_after_unless_locks_differ() {
    let mut stuck = 0;
    for seed in 0..400 {
        let mut net = storm(seed);
        let honest = calm(&mut net);
        let lies = !net.liars.is_empty();
        // IBFT has no bound under liars, and none with two locks. Otherwise: whoever is in the highest
        // round r waits for up to its time; then everybody is in one of the next few, each twice as long.
        let rounds = honest.iter().map(|node| net.replica(*node).engine.round());
        let highest = rounds.max().expect("somebody is honest");
        let n = net.replicas.len() as u64;
        // As it was shipped, a round may be lost again and again although no locks differ (M19).
        let shipped = seed % 4 == 3;
        let before = shipped || may_be_deadlocked(&net, &honest);
        net.run(BRISK.pace.timeouts.of(highest + n + 1) + BRISK.pace.timeouts.of(n) * 20);
        if lies || before || may_be_deadlocked(&net, &honest) {
            net.check_agreement();
            let waits = honest
                .iter()
                .any(|node| net.replica(*node).host.oldest().is_some());
            stuck += u32::from(waits);
        } else {
            net.check_done(&honest);
        }
        check_no_amnesia(&net);
    }
    assert!(stuck < 100, "{stuck} of 400 were stuck");
}
