//! Crashes, partitions, liars and lagging replicas.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    engine::{Forks, Message, Tale},
    pbft::{Config, PbftMessage},
    types::{NodeId, View},
};

use crate::{
    Net, net, net_with,
    support::{DELTA, Sent},
};

const SECOND: Duration = Duration::from_secs(1);

/// Small checkpoints, so that they take part; a window that nobody falls out of.
const BRISK: Config = Config {
    window: 128,
    ..crate::BRISK
};

fn views(net: &Net, node: u16) -> Vec<View> {
    let entered = |tale: &Tale| match tale {
        Tale::Entered { view, .. } => Some(*view),
        _ => None,
    };
    let tales = net.replica(node).tales.iter();
    tales.filter_map(|(_, tale)| entered(tale)).collect()
}

#[test]
fn the_rest_finishes_wherever_in_its_sends_the_primary_crashes() {
    for (n, rest) in [
        (4u16, vec![1, 2, 3]),
        (5, vec![1, 2, 3, 4]),
        (6, vec![1, 2, 3, 4, 5]),
    ] {
        let mut whole_run = None;
        for step in 0.. {
            if whole_run.is_some_and(|all| step > all) {
                break;
            }
            let mut net = net_with(n as usize, BRISK);
            net.crash_after = Some((NodeId(0), step));
            for _ in 0..5 {
                net.submit();
                net.run(DELTA / 2);
            }
            net.run(6 * SECOND);
            net.check_done(&rest);
            assert_eq!(net.replica(1).host.chain.len(), 6, "n = {n}, step {step}");
            if !net.replica(0).crashed {
                whole_run = Some(step);
            }
            assert!(step < 200, "the primary never ran through");
        }
        assert!(whole_run.is_some_and(|steps| steps > 20));
    }
}

#[test]
fn a_silent_backup_costs_no_view_change() {
    let mut net = net_with(4, BRISK);
    net.crash(3);
    for _ in 0..50 {
        net.submit();
        net.run(2 * DELTA);
    }
    net.run(2 * SECOND);
    net.check_done(&[0, 1, 2]);
    assert_eq!(views(&net, 1), [View(0)]);
}

/// The primary sends its PRE-PREPARE to some and a conflicting one to `deceived`, and colludes with
/// nobody.
fn equivocate(net: &mut Net, liar: u16, deceived: Vec<u16>) {
    let key = Arc::clone(&net.keys[liar as usize]);
    let liar = NodeId(liar);
    let mut forks = Forks::new();
    net.liars.push(liar);
    net.tamper = Some(Box::new(move |sent: &Sent<PbftMessage>| {
        if sent.from == liar && deceived.contains(&sent.to.0) {
            let lie = sent.message.conflicting(&key, liar, &mut forks);
            return Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new));
        }
        Some(Arc::clone(&sent.message))
    }));
}

#[test]
fn an_equivocating_primary_neither_forks_nor_stops_the_rest() {
    for deceived in [vec![1], vec![3], vec![1, 2], vec![2, 3], vec![1, 2, 3]] {
        let mut net = net_with(4, BRISK);
        equivocate(&mut net, 0, deceived.clone());
        for _ in 0..6 {
            net.submit();
            net.run(DELTA);
        }
        net.run(20 * SECOND);
        net.check_done(&[1, 2, 3]);
        assert_eq!(net.replica(1).host.chain.len(), 7, "deceived {deceived:?}");
    }
}

#[test]
fn two_conflicting_proposals_at_one_replica_are_evidence() {
    let mut net = net_with(4, BRISK);
    net.submit();
    net.run(20 * SECOND);
    let honest = net
        .trace
        .iter()
        .find(|sent| sent.from == NodeId(0) && sent.to == NodeId(2));
    let honest = honest.unwrap().message.clone();
    let mut net = net_with(4, BRISK);
    let key = Arc::clone(&net.keys[0]);
    let lie = honest
        .conflicting(&key, NodeId(0), &mut Forks::new())
        .unwrap();
    net.inject(NodeId(0), NodeId(2), &honest);
    net.inject(NodeId(0), NodeId(2), &lie);
    assert!(net.told(
        2,
        |tale| matches!(tale, Tale::Equivocation { by, .. } if *by == NodeId(0))
    ));
}

#[test]
fn a_two_two_partition_halts_both_sides_and_heals() {
    let mut net = net_with(4, BRISK);
    net.submit();
    net.run(SECOND);
    net.groups = vec![0, 0, 1, 1];
    for _ in 0..4 {
        net.submit();
        net.run(DELTA);
    }
    net.run(7 * SECOND);
    net.check_agreement();
    assert_eq!(net.replica(0).host.chain.len(), 2);
    net.groups = vec![0; 4];
    net.run(5 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(net.replica(3).host.chain.len(), 6);
}

#[test]
fn a_replica_that_was_cut_off_catches_up_although_all_work_is_done() {
    let mut net = net_with(4, BRISK);
    net.groups = vec![0, 0, 0, 1];
    // Nobody submits to the one that is cut off, so it does not know that it lacks anything.
    for _ in 0..10 {
        let transaction = net.transaction();
        for node in 0..3 {
            net.submit_to(NodeId(node), &transaction);
        }
        net.run(4 * DELTA);
    }
    net.run(10 * SECOND);
    assert_eq!(net.replica(3).host.chain.len(), 1);
    net.groups = vec![0; 4];
    // It is asked where it stands ever more seldom; here after 64 intervals at the latest.
    net.run(13 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(views(&net, 3), [View(0)]);
    net.run_until_quiet(10 * SECOND);
}

#[test]
fn a_replica_catches_up_by_many_answers_in_a_row() {
    let config = Config {
        checkpoint_interval: 64,
        window: 256,
        ..BRISK
    };
    let mut net = net_with(4, config);
    net.groups = vec![0, 0, 0, 1];
    for _ in 0..200 {
        net.submit();
        net.run(2 * DELTA);
    }
    net.groups = vec![0; 4];
    let healed = net.now;
    while net.replica(3).host.chain.len() < 201 {
        net.run(DELTA);
        assert!(net.now < healed + 3 * SECOND.as_nanos() as u64, "too slow");
    }
    net.run(SECOND);
    net.check_done(&[0, 1, 2, 3]);
}

#[test]
fn r20_a_value_that_was_prepared_survives_two_view_changes_that_come_to_nothing() {
    let mut net = net_with(7, BRISK);
    // Only replica 3 hears the COMMITs of view 0, and decides; everybody is prepared.
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let view = sent.message.slot().view;
        let lost = match &*sent.message {
            PbftMessage::Commit(_) => view == View(0) && sent.to != NodeId(3),
            // Views 1 and 2 begin nowhere.
            PbftMessage::NewView(_) => view < View(3),
            PbftMessage::Decided(_) => true,
            _ => false,
        };
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    net.submit();
    net.run(4 * DELTA);
    let decided = net.replica(3).host.chain[1].id();
    net.crash(3);
    net.submit();
    net.run(20 * SECOND);
    assert!(net.told(
        4,
        |tale| matches!(tale, Tale::Entered { view, .. } if *view >= View(3))
    ));
    for node in [0, 1, 2, 4, 5, 6] {
        assert_eq!(net.replica(node).host.chain[1].id(), decided, "n{node}");
        assert_eq!(net.replica(node).host.chain.len(), 3, "n{node}");
    }
    net.check_agreement();
}

#[test]
fn a_slot_that_only_one_replica_had_prepared_is_filled_and_the_hole_before_it_stays_void() {
    let mut net = net_with(4, BRISK);
    // Slot 1 reaches nobody but replica 1; slot 2 is held back for it there.
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let slot = sent.message.slot();
        let lost = slot.view == View(0)
            && matches!(
                &*sent.message,
                PbftMessage::Prepare(_) | PbftMessage::Commit(_)
            )
            && slot.seq.0 == 1;
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..3 {
        net.submit();
    }
    net.run(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    // Slots 2 and 3 were prepared on a parent that the new view did not choose.
    for node in 0..4 {
        let void: Vec<_> = net
            .replica(node)
            .tales
            .iter()
            .filter_map(|(_, tale)| match tale {
                Tale::Void(seq) => Some(seq.0),
                _ => None,
            })
            .collect();
        assert_eq!(void, [1, 2, 3], "n{node}");
        assert_eq!(net.replica(node).host.chain.len(), 4);
    }
}

#[test]
fn an_idle_network_says_nothing_and_a_finished_one_falls_silent() {
    let mut net = net(4);
    net.run_until_quiet(SECOND);
    assert_eq!(net.kinds(), BTreeMap::new());
    net.loss_permille = 300;
    for _ in 0..20 {
        net.submit();
        net.run(DELTA);
    }
    net.run(5 * SECOND);
    net.loss_permille = 0;
    net.run_until_quiet(60 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
}

/// What goes wrong in a random run.
#[derive(Clone, Copy)]
struct Storm {
    config: Config,
    /// f members crash half-way; otherwise f members lie all the time.
    crashes: bool,
}

/// f members send, message by message, what they should, a contradiction, nothing, or something old.
pub(crate) fn make_liars(net: &mut Net, seed: u64) {
    let n = net.replicas.len();
    let first = net.random(n as u64) as usize;
    let liars: Vec<NodeId> = (0..net.committee.f())
        .map(|i| NodeId(((first + i) % n) as u16))
        .collect();
    net.liars.clone_from(&liars);
    let keys = net.keys.clone();
    let (mut forks, mut old, mut state) = (Forks::new(), Vec::new(), seed);
    net.tamper = Some(Box::new(move |sent: &Sent<PbftMessage>| {
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

/// One random run: loss, reordering, partitions, and f members that crash or lie. Honest chains agree
/// all the time.
fn stormy(seed: u64, storm: Storm) -> Net {
    let n = 4 + (seed / 2 % 4) as usize;
    let mut config = storm.config;
    if seed % 2 == 1 {
        // Impatient: views end before holes are mended.
        config.request_timeout = Duration::from_millis(250);
        config.status_interval = SECOND;
        config.pipeline = 8;
    }
    let mut net = net_with(n, config);
    net.tracing = false;
    net.seed(seed);
    net.jitter = DELTA * net.random(8) as u32;
    net.loss_permille = net.random(250);
    if !storm.crashes {
        make_liars(&mut net, seed);
    }
    for round in 0..12 {
        for _ in 0..net.random(10) {
            net.submit();
            let pause = net.random(12);
            net.run(Duration::from_millis(pause));
        }
        net.groups = vec![0; n];
        if round % 3 == 2 {
            let side = net.random(1 << n);
            net.groups = (0..n).map(|i| u8::from(side >> i & 1 == 1)).collect();
        }
        let pause = net.random(1500);
        net.run(Duration::from_millis(pause));
        if round == 5 && storm.crashes {
            for _ in 0..net.committee.f() {
                let victim = net.random(n as u64);
                net.crash(victim as u16);
            }
        }
        net.check_agreement();
    }
    net
}

/// The weather clears; the rest must finish all work.
pub(crate) fn clear_up(mut net: Net) {
    let n = net.replicas.len();
    net.groups = vec![0; n];
    net.loss_permille = 0;
    net.jitter = Duration::ZERO;
    net.submit();
    net.ask_again();
    let counts = |i: &u16| !net.replica(*i).crashed && !net.liars.contains(&NodeId(*i));
    let live: Vec<u16> = (0..n as u16).filter(counts).collect();
    for _ in 0..60 {
        net.run(SECOND);
        if live.iter().all(|i| net.replica(*i).host.oldest().is_none()) {
            break;
        }
    }
    net.run(20 * SECOND);
    net.check_done(&live);
}

pub(crate) fn each_seed(
    seeds: std::ops::Range<u64>,
    run: impl Fn(u64) + std::panic::RefUnwindSafe,
) {
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn random_crashes_loss_reordering_and_partitions_never_fork_and_always_heal() {
    let storm = Storm {
        config: BRISK,
        crashes: true,
    };
    each_seed(0..200, |seed| clear_up(stormy(seed, storm)));
}

#[test]
fn random_liars_loss_reordering_and_partitions_never_fork_and_always_heal() {
    let storm = Storm {
        config: BRISK,
        crashes: false,
    };
    each_seed(0..200, |seed| clear_up(stormy(seed, storm)));
}

#[test]
fn the_random_runs_reach_what_they_are_meant_to_try() {
    let reached = |crashes, what: &dyn Fn(&Tale) -> bool| {
        let config = BRISK;
        (0..40).any(|seed| {
            let net = stormy(seed, Storm { config, crashes });
            (0..net.replicas.len() as u16).any(|node| net.told(node, what))
        })
    };
    for crashes in [true, false] {
        let later = |tale: &Tale| matches!(tale, Tale::Entered { view, .. } if view.0 >= 3);
        assert!(reached(crashes, &later), "a third view");
        assert!(
            reached(crashes, &|tale| matches!(tale, Tale::Void(_))),
            "an empty slot"
        );
        assert!(
            reached(crashes, &|tale| matches!(tale, Tale::Stable { .. })),
            "a checkpoint"
        );
    }
    let lie = |tale: &Tale| matches!(tale, Tale::Equivocation { .. });
    assert!(reached(false, &lie), "evidence");
    assert!(!reached(true, &lie), "no evidence against the honest");
}

#[test]
fn replicas_that_fall_out_of_a_small_window_never_fork() {
    // Who falls behind by more than a window needs the host, which is not there: safety alone.
    let config = Config { window: 8, ..BRISK };
    for crashes in [true, false] {
        each_seed(0..100, |seed| drop(stormy(seed, Storm { config, crashes })));
    }
}
