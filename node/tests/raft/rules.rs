//! Rules that need no long story.

use std::{collections::BTreeSet, time::Duration};

use consortium_node::{
    block::Finality,
    engine::{Effect, Engine as _, FaultModel, Recovery, Relay, ReplyRule, Tale},
    membership::Committee,
    quorum::QuorumRule,
    raft::{Change, Config, Minting, Record, Timer},
    types::{Seq, View},
};

use crate::{
    Net, SECOND, leader, net, net_with, others,
    stage::{BARE, Stage},
    support::DELTA,
    unled,
};

#[test]
fn ra2_timeouts_lie_between_one_and_two_times_the_least_and_follow_from_the_seed() {
    let timeouts = |seed| {
        let net = unled(31, Config { seed, ..BARE });
        let all = net.replicas.iter();
        let all = all.map(|replica| replica.engine.election_timeout());
        all.collect::<Vec<Duration>>()
    };
    let drawn = timeouts(1);
    assert_eq!(drawn, timeouts(1));
    assert_ne!(drawn, timeouts(2));
    assert!(drawn.iter().all(|one| (SECOND..2 * SECOND).contains(one)));
    assert!(drawn.iter().collect::<BTreeSet<_>>().len() > 28);
}

#[test]
fn ra5_a_vote_is_durable_before_it_leaves() {
    let net = net(7);
    let given = net.trace.iter().filter(|sent| {
        let text = format!("{:?}", sent.message);
        text.starts_with("Vote { pre: false") && text.ends_with("granted: true }")
    });
    let mut seen = 0;
    for sent in given {
        let records = &net.replica(sent.from.0).records[..sent.records];
        let voted = |record: &Record| match record {
            Record::State { voted, .. } => *voted == Some(sent.to),
            _ => false,
        };
        assert!(records.iter().any(voted));
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn ra10_ra12_entries_leave_a_leader_at_once_and_are_durable_before_a_follower_answers() {
    let mut net = net(4);
    net.run(SECOND);
    let led = leader(&net).unwrap();
    net.trace.clear();
    let before: Vec<usize> = net.replicas.iter().map(|one| one.records.len()).collect();
    net.submit();
    net.run_until_quiet(5 * SECOND);
    for sent in &net.trace {
        let text = format!("{:?}", sent.message);
        let had = before[sent.from.index()];
        if text.starts_with("Append {") && text.contains("Block") {
            assert_eq!(sent.records, had, "it does not wait for the leader's disk");
        } else if text.starts_with("Appended") {
            assert!(sent.from.0 != led && sent.records > had);
        }
    }
    assert_eq!(net.replica(led).records.len(), before[usize::from(led)] + 1);
}

#[test]
fn ra17_ra19_a_new_leader_builds_on_what_it_took_over() {
    let mut stage = Stage::new(3, 3, BARE);
    stage.play(&[
        "campaign n0",
        "settle",
        "submit n0",
        "submit n0",
        "deliver APPEND to n1",
        "drop",
        "crash n0",
        "campaign n1",
        "submit n1",
        "settle",
    ]);
    assert_eq!(
        stage.chain(1),
        "abc",
        "two of the old leader's, and its own on them"
    );
    assert_eq!(stage.chain(2), "abc");
    let void = Tale::Void(Seq(4));
    assert!(
        stage.actors[2].tales.contains(&void),
        "its first entry is empty"
    );
}

#[test]
fn ra20_logs_and_disks_stay_short() {
    let config = Config {
        compact_every: 10,
        keep: 5,
        ..Config::default()
    };
    let mut net = net_with(4, config);
    for _ in 0..100 {
        net.submit();
        net.run(4 * DELTA);
    }
    net.run_until_quiet(5 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    for replica in &net.replicas {
        assert_eq!(replica.host.chain.len(), 101);
        let last = replica.engine.last().index;
        let oldest = (0..=last.0).find(|at| replica.engine.term_at(Seq(*at)).is_some());
        let kept = last.0 - oldest.unwrap();
        assert!((5..=16).contains(&kept), "{kept}");
        assert!(replica.log.len() <= 13, "{}", replica.log.len());
    }
}

#[test]
fn ra25_the_leaders_receipt_counts_and_a_members_word_is_enough() {
    let mut net = net(3);
    net.run(SECOND);
    let led = leader(&net).unwrap();
    for replica in &net.replicas {
        let engine = &replica.engine;
        assert_eq!(engine.answers(), replica.host.me.0 == led);
        assert_eq!(engine.status().leader.0, led);
        assert_eq!(
            (engine.reply_rule(), engine.relay()),
            (ReplyRule::One, Relay::Leader)
        );
        assert_eq!(
            (engine.quorum(), engine.finality()),
            (QuorumRule::Majority, None)
        );
        let committee: &Committee = &net.committee;
        assert!(engine.proves(committee, &net.genesis, &Finality::Trusted));
        assert!(!engine.proves(committee, &net.genesis, &Finality::Depth(9)));
    }
    assert_eq!(
        <consortium_node::raft::Raft as consortium_node::engine::Engine>::FAULTS,
        FaultModel::Crash
    );
}

#[test]
fn ra26_all_stop_wherever_they_are_and_go_on_with_what_their_disks_hold() {
    for effects in 0..60 {
        let mut net = net_with(
            3,
            Config {
                seed: effects as u64,
                ..Config::default()
            },
        );
        let led = leader(&net).unwrap();
        (0..4).for_each(|_| drop(net.submit()));
        net.crash_before_effect = Some((net.nodes()[usize::from(led)], effects));
        net.run(3 * DELTA);
        net.crash_before_effect = None;
        let chain = net.replica(others(&net, led)[0]).host.chain.clone();
        for node in 0..3 {
            if !net.replica(node).crashed {
                net.crash(node);
            }
        }
        for node in 0..3 {
            net.restart(
                node,
                if node == 1 {
                    Recovery::Torn
                } else {
                    Recovery::Clean
                },
            );
        }
        net.submit();
        net.run_until_quiet(60 * SECOND);
        net.check_done(&[0, 1, 2]);
        assert_eq!(net.replica(0).host.chain[..chain.len()], chain[..]);
    }
}

#[test]
fn ra24_a_member_that_lost_its_disk_counts_again_and_one_of_two_never() {
    let mut net = net(3);
    (0..5).for_each(|_| drop(net.submit()));
    net.run_until_quiet(10 * SECOND);
    let led = leader(&net).unwrap();
    let lost = others(&net, led)[0];
    net.crash(lost);
    net.restart(lost, Recovery::Lost);
    assert!(net.told(lost, |tale| *tale == Tale::Muted));
    net.run_until_quiet(60 * SECOND);
    assert!(net.told(lost, |tale| matches!(tale, Tale::Unmuted(_))));
    // With the other one gone it is needed.
    net.crash(others(&net, led)[1]);
    net.submit();
    net.run(20 * SECOND);
    net.check_done(&[led, lost]);

    let mut net = crate::net(2);
    net.submit();
    net.run_until_quiet(10 * SECOND);
    net.crash(1);
    net.restart(1, Recovery::Lost);
    net.run(100 * SECOND);
    assert!(!net.told(1, |tale| matches!(tale, Tale::Unmuted(_))));
}

#[test]
fn ra24_what_a_member_that_forgot_holds_does_not_count() {
    let mut stage = Stage::new(3, 3, BARE);
    stage.play(&[
        "campaign n0",
        "settle",
        "submit n0",
        "settle",
        "crash n1",
        "crash n2",
        "restart n2 lost",
        "settle",
        "submit n0",
        "settle",
        "beat n0",
        "settle",
        "beat n0",
        "settle",
    ]);
    let (held, committed) = (
        stage.actors[2].engine.last(),
        stage.actors[0].engine.committed(),
    );
    assert_eq!(held, stage.actors[0].engine.last(), "it holds all");
    assert_eq!(
        (committed, stage.chain(0)),
        (Seq(2), "a".into()),
        "and counts for nothing"
    );
    stage.play(&["restart n1", "beat n0", "settle", "beat n0", "settle"]);
    assert_eq!((stage.chain(0), stage.chain(2)), ("ab".into(), "ab".into()));
    stage.play(&["crash n1", "submit n0", "settle"]);
    assert_eq!(stage.chain(0), "abc", "it counts again");
}

/// Members 4 and 5 come, 0 and 1 go, while transactions wait.
fn members_change(change: Change, learn_first: bool) {
    let config = Config {
        change,
        learn_first,
        ..Config::default()
    };
    let mut net = Net::founded_by(4, 6, move |me, _, committee, genesis| {
        consortium_node::raft::Raft::new(config, me, &committee, genesis)
    });
    net.hosts_sync = true;
    net.change(3, 6, &[2, 3, 4, 5]);
    for _ in 0..40 {
        net.submit();
        net.run(SECOND / 4);
    }
    // Who left does not hear any more; its transactions are executed elsewhere.
    net.run(20 * SECOND);
    net.check_done(&[2, 3, 4, 5]);
    let led = leader(&net).expect("a leader");
    assert!(led >= 2, "{led}");
    let members = net.replica(led).engine.configuration().clone();
    let numbers: Vec<u16> = members.voters.iter().map(|node| node.0).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    assert!(members.outgoing.is_empty() && members.learners.is_empty());
    // They bear a crash of their own.
    net.crash(led);
    net.submit();
    net.run(20 * SECOND);
    let rest: Vec<u16> = [2, 3, 4, 5]
        .into_iter()
        .filter(|node| *node != led)
        .collect();
    net.check_done(&rest);
}

#[test]
fn ra18_ra27_ra28_ra29_members_change_while_transactions_wait() {
    for change in [Change::Single, Change::Joint] {
        for learn_first in [true, false] {
            members_change(change, learn_first);
        }
    }
}

#[test]
fn ra11_no_more_messages_are_under_way_than_allowed() {
    let config = Config {
        inflight: 2,
        minting: Minting::Piped { depth: 100 },
        ..Config::default()
    };
    let mut net = net_with(3, config);
    net.run(SECOND);
    net.trace.clear();
    (0..20).for_each(|_| drop(net.submit()));
    assert_eq!(net.trace.len(), 4, "two to each, and eighteen blocks wait");
    net.run_until_quiet(10 * SECOND);
    net.check_done(&[0, 1, 2]);
}

#[test]
fn ra10_nothing_that_leaves_a_deposed_leader_is_wanted_back() {
    let mut net = net(3);
    net.run(SECOND);
    net.watch = Some(Box::new(|_, effect| {
        assert!(
            !matches!(
                effect,
                Effect::Validate(_) | Effect::Head(_) | Effect::Broadcast(_)
            ),
            "Raft needs none of these"
        );
        false
    }));
    let led = leader(&net).unwrap();
    net.groups[usize::from(led)] = 1;
    (0..5).for_each(|_| drop(net.submit()));
    net.run(10 * SECOND);
    net.groups = vec![0; 3];
    net.run_until_quiet(20 * SECOND);
    net.check_done(&[0, 1, 2]);
}

#[test]
fn ra1_timers_of_a_term_that_is_over_do_nothing() {
    let mut net = net(3);
    net.run_until_quiet(10 * SECOND);
    let led = leader(&net).unwrap();
    net.trace.clear();
    for timer in [
        Timer::Heartbeat(View(0)),
        Timer::Quorum(View(0)),
        Timer::Mint(View(0)),
    ] {
        net.fire(led, timer);
    }
    net.fire(others(&net, led)[0], Timer::Election);
    net.run(10 * SECOND);
    assert_eq!(net.trace.len(), 0);
}
