//! Crashes with and without a disk.

use consortium_node::{
    engine::{Recovery, Tale},
    hotstuff::Leader,
    types::{NodeId, View},
};

use crate::{LEADERS, SECOND, VARIANTS, all, net, support::DELTA};

#[test]
fn hs12_a_replica_that_stops_before_any_effect_goes_on_without_contradicting_itself() {
    for variant in VARIANTS {
        for effect in 0..60 {
            let mut net = net(4, variant, Leader::Rotate);
            net.crash_before_effect = Some((NodeId(2), effect));
            for _ in 0..4 {
                net.submit();
                net.run(3 * DELTA);
            }
            net.run(SECOND);
            if net.replica(2).crashed {
                net.restart(2, Recovery::Clean);
            }
            net.submit();
            net.run(20 * SECOND);
            net.check_done(&all(4));
            no_conflicts(&net);
        }
    }
}

/// Nobody votes for two blocks of a view, or proposes two, also over restarts.
pub(crate) fn no_conflicts(net: &crate::Net) {
    for replica in net.honest() {
        let mut votes = std::collections::BTreeMap::new();
        let mut proposals = std::collections::BTreeMap::new();
        for (_, tale) in &replica.tales {
            match tale {
                Tale::Voted(vote) => {
                    let digest = *votes.entry(vote.view).or_insert(vote.digest);
                    assert_eq!(
                        digest, vote.digest,
                        "{} view {}",
                        replica.host.me, vote.view
                    );
                }
                Tale::Proposed { slot, block } => {
                    let digest = *proposals.entry(slot.view).or_insert(*block);
                    assert_eq!(digest, *block, "{} view {}", replica.host.me, slot.view);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn hs12_all_stop_at_once_and_go_on() {
    for variant in VARIANTS {
        for leader in LEADERS {
            for instant in 0..12 {
                let mut net = net(4, variant, leader);
                for _ in 0..6 {
                    net.submit();
                }
                net.run(DELTA * instant + DELTA / 2);
                for node in 0..4 {
                    net.crash(node);
                }
                net.run(SECOND);
                for node in 0..4 {
                    net.restart(node, Recovery::Clean);
                }
                net.submit();
                net.run(20 * SECOND);
                net.check_done(&all(4));
                no_conflicts(&net);
            }
        }
    }
}

#[test]
fn hs17_a_replica_without_its_disk_is_mute_until_a_later_view_is_committed() {
    for variant in VARIANTS {
        let mut net = net(4, variant, Leader::Rotate);
        net.hosts_sync = true;
        for _ in 0..5 {
            net.submit();
            net.run(4 * DELTA);
        }
        net.crash(3);
        net.restart(3, Recovery::Lost);
        let horizon = net.replica(0).engine.high();
        net.replicas[3].tales.clear();
        for _ in 0..20 {
            net.submit();
            net.run(SECOND);
        }
        net.run(5 * SECOND);
        let voted: Vec<View> = net
            .replica(3)
            .tales
            .iter()
            .filter_map(|(_, tale)| match tale {
                Tale::Voted(vote) => Some(vote.view),
                _ => None,
            })
            .collect();
        assert!(
            net.told(3, |tale| matches!(tale, Tale::Unmuted(_))),
            "{variant:?}"
        );
        assert!(!voted.is_empty() && voted.iter().all(|view| *view > horizon));
        net.check_done(&all(4));
    }
}

#[test]
fn hs12_a_log_that_was_shortened_is_enough() {
    for variant in VARIANTS {
        let mut net = net(4, variant, Leader::Rotate);
        for _ in 0..150 {
            net.submit();
            net.run(2 * DELTA);
        }
        net.run(SECOND);
        assert!(
            net.replica(1).log.len() < 80,
            "{} records",
            net.replica(1).log.len()
        );
        net.crash(1);
        net.restart(1, Recovery::Clean);
        net.submit();
        net.run(10 * SECOND);
        net.check_done(&all(4));
        no_conflicts(&net);
    }
}

#[test]
fn hs15_hs16_who_was_away_fetches_what_it_missed() {
    for variant in VARIANTS {
        let mut net = net(4, variant, Leader::Sticky);
        net.submit();
        net.run(SECOND);
        net.groups = vec![0, 0, 0, 1];
        for _ in 0..20 {
            net.submit();
        }
        net.run(10 * SECOND);
        net.replicas[3].host.forget_waiting();
        net.groups = vec![0; 4];
        // Nobody has anything to order, and it does not know that it lacks something.
        net.run(60 * SECOND);
        net.check_done(&all(4));
        assert!(net.kinds().contains_key("BLOCKS"), "{:?}", net.kinds());
    }
}
