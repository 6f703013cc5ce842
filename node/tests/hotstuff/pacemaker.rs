//! Dead leaders, lost messages, and who leads.

use consortium_node::{
    engine::{Message, Tale},
    hotstuff::{Leader, Variant},
    types::{NodeId, View},
};

use crate::{LEADERS, Net, SECOND, VARIANTS, all, net, support::DELTA};

/// Whether the others commit a payload although these are dead.
fn lives(net: &mut Net, dead: &[u16]) -> bool {
    for node in dead {
        net.crash(*node);
    }
    net.submit();
    net.run(60 * SECOND);
    net.check_agreement();
    let mut alive = net.replicas.iter().filter(|replica| !replica.crashed);
    alive.all(|replica| replica.host.oldest().is_none())
}

#[test]
fn hs2_three_links_with_rotation_never_commit_with_one_dead_of_four_and_two_links_do() {
    for dead in 0..4 {
        for variant in VARIANTS {
            for leader in LEADERS {
                let mut net = net(4, variant, leader);
                let fatal = variant == Variant::ThreeChain && leader == Leader::Rotate;
                let lives = lives(&mut net, &[dead]);
                assert_eq!(lives, !fatal, "{variant:?} {leader:?} without {dead}");
            }
        }
    }
}

/// Sets of f of n.
fn placements(n: u16, f: usize) -> Vec<Vec<u16>> {
    if f == 0 {
        return vec![Vec::new()];
    }
    let mut sets = Vec::new();
    for last in 0..n {
        for mut set in placements(last, f - 1) {
            set.push(last);
            sets.push(set);
        }
    }
    sets
}

#[test]
fn hs2_of_21_placements_of_two_dead_seven_are_fatal_and_20_of_120_of_three() {
    for (n, f, fatal, of) in [
        (4, 1, 4, 4),
        (7, 2, 7, 21),
        (10, 3, 20, 120),
        (5, 1, 0, 5),
        (6, 1, 0, 6),
    ] {
        let placements = placements(n, f);
        assert_eq!(placements.len(), of);
        let schedule = net(n as usize, Variant::ThreeChain, Leader::Rotate);
        let leader = |view| schedule.replica(0).engine.leads(View(view)).0;
        let dies = |dead: &Vec<u16>, links: u64| {
            let runs = |first: &u64| (*first..=first + links).all(|v| !dead.contains(&leader(v)));
            (1..=u64::from(n)).find(runs).is_none()
        };
        let dead = placements.iter().filter(|dead| dies(dead, 3));
        assert_eq!(dead.count(), fatal, "n = {n}");
        assert!(
            !placements.iter().any(|dead| dies(dead, 2)),
            "two links live"
        );
    }
}

#[test]
fn hs2_the_schedule_foretells_which_two_dead_of_seven_stop_three_links() {
    let mut fatal = 0;
    for dead in placements(7, 2) {
        let mut net = net(7, Variant::ThreeChain, Leader::Rotate);
        net.tracing = false;
        fatal += usize::from(!lives(&mut net, &dead));
    }
    assert_eq!(fatal, 7);
}

#[test]
fn hs9_the_rest_finishes_wherever_in_its_sends_a_leader_crashes() {
    for variant in VARIANTS {
        let leader = if variant == Variant::ThreeChain {
            Leader::Sticky
        } else {
            Leader::Rotate
        };
        for step in 0..40 {
            let mut net = net(4, variant, leader);
            net.crash_after = Some((NodeId(1), step));
            for _ in 0..5 {
                net.submit();
                net.run(DELTA / 2);
            }
            net.run(20 * SECOND);
            let rest: Vec<u16> = if net.replica(1).crashed {
                vec![0, 2, 3]
            } else {
                all(4)
            };
            net.check_agreement();
            for node in rest {
                let waits = net.replica(node).host.oldest();
                assert_eq!(waits, None, "{variant:?} step {step} n{node}");
            }
        }
    }
}

#[test]
fn hs9_messages_that_were_lost_in_a_partition_are_made_up_for() {
    for variant in VARIANTS {
        for leader in LEADERS {
            let mut net = net(4, variant, leader);
            net.submit();
            net.run(SECOND);
            net.groups = vec![0, 0, 1, 1];
            net.submit();
            net.run(20 * SECOND);
            assert_eq!(net.replica(0).host.chain.len(), 2, "two are no quorum");
            net.groups = vec![0; 4];
            net.run(30 * SECOND);
            net.check_done(&all(4));
        }
    }
}

#[test]
fn hs10_views_come_together_from_far_apart() {
    for variant in VARIANTS {
        let mut net = net(4, variant, Leader::Rotate);
        net.groups = vec![0, 1, 2, 3];
        // Their timers begin at different times.
        for node in 0..4 {
            let waiting = net.transaction();
            net.submit_to(NodeId(node), &waiting);
            net.run(7 * SECOND);
        }
        net.ask_again();
        net.groups = vec![0; 4];
        net.ask_again();
        net.run(30 * SECOND);
        net.check_done(&all(4));
        assert!(net.told(0, |tale| matches!(tale, Tale::Suspected(_))));
    }
}

#[test]
fn hs9_a_view_change_costs_one_message_to_all_with_jolteon_and_one_to_the_leader_with_the_others() {
    for variant in VARIANTS {
        let mut net = net(4, variant, Leader::Sticky);
        net.crash(0);
        net.submit();
        net.run(SECOND);
        let words = net.trace.iter().filter(|sent| {
            let name = sent.message.kind().name;
            name == "TIMEOUT" || name == "NEW-VIEW"
        });
        let expected = if variant == Variant::Jolteon { 9 } else { 2 };
        assert_eq!(words.count(), expected, "{variant:?}");
        assert_eq!(net.replica(1).host.oldest(), None, "{variant:?}");
    }
}
