//! Two phases, at random: first crashes, restarts, lost disks, partitions, loss and jitter, and whatever
//! happens no two chains differ; then calm, and all that waits is ordered everywhere.

use std::time::Duration;

use consortium_node::{
    codec,
    engine::{Message as _, Record as _, Recovery, Tale},
    raft::{Config, ELECTED, Minting, RaftMessage, Record},
    types::View,
};

use crate::{Net, SECOND, unled};

const BRISK: Config = Config {
    election: Duration::from_millis(300),
    heartbeat: Duration::from_millis(50),
    pre_vote: true,
    check_quorum: true,
    lease: true,
    minting: Minting::Piped { depth: 3 },
    eager_commit: true,
    inflight: 4,
    append_bytes: 2000,
    compact_every: 6,
    keep: 3,
    change: consortium_node::raft::Change::Single,
    learn_first: true,
    rest: true,
    seed: 1,
};

/// Nobody voted for two candidates in a term, and no term had two leaders.
fn check_elections(net: &Net) {
    let mut leaders = std::collections::BTreeMap::new();
    for replica in &net.replicas {
        let mut voted = std::collections::BTreeMap::new();
        for (_, tale) in &replica.tales {
            match tale {
                Tale::Voted(vote) if vote.phase == ELECTED => {
                    let first = voted.entry(vote.view).or_insert(vote.digest);
                    assert_eq!(*first, vote.digest, "{} votes twice", replica.host.me);
                }
                Tale::Entered { view, leader } => {
                    let first = leaders.entry(*view).or_insert(*leader);
                    assert_eq!(first, leader, "two leaders of {view}");
                    assert!(*view > View(0));
                }
                _ => {}
            }
        }
    }
}

/// Sizes are those of the encoding, and what is encoded comes back.
fn check_bytes(net: &Net) {
    for sent in &net.trace {
        let bytes = codec::encode(&*sent.message);
        assert_eq!(bytes.len(), sent.message.wire_len(), "{:?}", sent.message);
        let back: RaftMessage = codec::decode(&bytes).expect("as it was encoded");
        assert_eq!(back, *sent.message);
    }
    for record in net.replicas.iter().flat_map(|replica| &replica.records) {
        let bytes = codec::encode(record);
        assert_eq!(bytes.len(), record.wire_len(), "{record:?}");
        assert!(Record::NAMES.contains(&record.label().0));
    }
}

fn storm(seed: u64, n: usize, config: Config) {
    let mut net = unled(n, Config { seed, ..config });
    net.seed(seed);
    net.hosts_sync = true;
    net.jitter = Duration::from_millis(net.random(30));
    net.loss_permille = net.random(150);
    // One disk is lost at most: a member that forgot counts as down until it is let in again.
    let mut disks = u64::from(net.random(3) == 0);
    for _ in 0..25 {
        (0..net.random(4)).for_each(|_| drop(net.submit()));
        let node = net.random(n as u64) as u16;
        match net.random(7) {
            0 if !net.replica(node).crashed => net.crash(node),
            1 | 2 if net.replica(node).crashed => {
                let lost = disks > 0 && net.random(2) == 0;
                disks -= u64::from(lost);
                let disk = if lost {
                    Recovery::Lost
                } else {
                    Recovery::Clean
                };
                net.restart(node, disk);
            }
            3 => net.groups = (0..n).map(|_| net.random(2) as u8).collect(),
            4 => net.groups = vec![0; n],
            5 if net.crash_before_effect.is_none() => {
                let node = net.nodes()[usize::from(node)];
                net.crash_before_effect = Some((node, net.random(40) as usize));
            }
            _ => {}
        }
        let time = Duration::from_millis(net.random(600));
        net.run(time);
        net.check_agreement();
    }
    net.crash_before_effect = None;
    net.loss_permille = 0;
    net.groups = vec![0; n];
    for node in 0..n as u16 {
        if net.replica(node).crashed {
            net.restart(node, Recovery::Clean);
        }
    }
    for _ in 0..10 {
        net.ask_again();
        net.run(SECOND);
    }
    net.check_done(&(0..n as u16).collect::<Vec<_>>());
    check_elections(&net);
    if seed.is_multiple_of(10) {
        check_bytes(&net);
    }
}

fn each_seed(run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..200 {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn after_a_storm_all_is_ordered_everywhere() {
    each_seed(|seed| storm(seed, 4 + seed as usize % 4, BRISK));
}

#[test]
fn after_a_storm_all_is_ordered_everywhere_with_all_options_off_and_speculative_blocks() {
    let config = Config {
        pre_vote: false,
        check_quorum: false,
        lease: false,
        rest: false,
        minting: Minting::Speculative {
            block_time: Duration::from_millis(20),
        },
        ..BRISK
    };
    each_seed(|seed| storm(seed, 3 + seed as usize % 5, config));
}
