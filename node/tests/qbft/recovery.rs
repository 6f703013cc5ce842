//! QB12, QB13: what a validator that starts again must not have forgotten.

use std::collections::BTreeMap;

use consortium_node::{
    engine::{Message as _, Recovery, Tale},
    qbft::QbftMessage,
    quorum::Phase,
    types::{Digest, NodeId, Seq, View},
};

use crate::{BRISK, Net, SECOND, height, net, net_with, support::DELTA};

/// Nobody signed two digests for one question, in all its lives.
pub(crate) fn check_no_amnesia(net: &Net) {
    let mut said: BTreeMap<(NodeId, Phase, View, Seq), Digest> = BTreeMap::new();
    for replica in net.honest() {
        for (_, tale) in &replica.tales {
            let (question, digest) = match tale {
                Tale::Voted(vote) => ((vote.phase, vote.view, vote.slot), vote.digest),
                Tale::Proposed { slot, block } => ((Phase(0), slot.view, slot.seq), *block),
                _ => continue,
            };
            let (phase, view, slot) = question;
            let first = said.entry((replica.host.me, phase, view, slot));
            assert_eq!(*first.or_insert(digest), digest, "{}", replica.host.me);
        }
    }
}

#[test]
fn qb12_a_validator_may_crash_at_any_effect_and_contradicts_nothing() {
    for victim in [0, 1] {
        for effects in 0..60 {
            let mut net = net_with(4, BRISK);
            net.crash_before_effect = Some((NodeId(victim), effects));
            for _ in 0..3 {
                net.submit();
                net.run(2 * DELTA);
            }
            net.run(SECOND);
            if net.replica(victim).crashed {
                net.restart(victim, Recovery::Clean);
                net.ask_again();
            }
            net.run(20 * SECOND);
            net.check_done(&[0, 1, 2, 3]);
            assert_eq!(height(&net, 3), 3, "effect {effects}");
            check_no_amnesia(&net);
        }
    }
}

#[test]
fn qb12_all_may_stop_at_once_and_go_on() {
    for stop in 1..12 {
        let mut net = net(4);
        net.submit();
        net.run(DELTA * stop / 2);
        for node in 0..4 {
            net.crash(node);
        }
        for node in 0..4 {
            net.restart(node, Recovery::Clean);
        }
        net.submit();
        net.run(20 * SECOND);
        net.check_agreement();
        assert!(height(&net, 0) >= 1, "stopped after {stop} half delays");
        check_no_amnesia(&net);
    }
}

#[test]
fn qb13_a_lost_disk_mutes_until_the_height_is_decided_that_may_have_been_signed() {
    let mut net = net(4);
    for _ in 0..3 {
        net.submit();
        net.run(5 * DELTA);
    }
    net.crash(3);
    net.restart(3, Recovery::Lost);
    let lost = net.trace.len();
    net.run(5 * SECOND);
    assert_eq!(height(&net, 3), 3, "their reports show what it lacks");
    for _ in 0..2 {
        net.submit();
        net.run(5 * SECOND);
    }
    let unmuted = |tale: &Tale| matches!(tale, Tale::Unmuted(_));
    // Heights 4 and 5 might have been signed: the others were at 4 when it asked.
    assert!(
        net.told(3, |tale| *tale == Tale::Unmuted(Seq(6))),
        "{:?}",
        net.replica(3).tales
    );
    assert!(!net.told(2, unmuted));
    let votes = |net: &Net| {
        let sent = net.trace[lost..]
            .iter()
            .filter(|sent| sent.from == NodeId(3));
        let names = sent.map(|sent| sent.message.kind().name);
        names
            .filter(|name| ["PREPARE", "COMMIT"].contains(name))
            .count()
    };
    assert_eq!(votes(&net), 0);
    net.submit();
    net.run(5 * SECOND);
    assert!(votes(&net) > 0);
    net.check_done(&[0, 1, 2, 3]);
    check_no_amnesia(&net);
}

#[test]
fn qb13_a_mute_validator_that_restarts_is_mute() {
    for effects in 1..8 {
        let mut net = net(4);
        net.submit();
        net.run(SECOND);
        net.crash(3);
        net.crash_before_effect = Some((NodeId(3), effects));
        net.restart(3, Recovery::Lost);
        if net.replica(3).crashed {
            net.restart(3, Recovery::Clean);
        }
        net.crash_before_effect = None;
        net.run(DELTA * 4);
        let before = net.trace.len();
        net.submit();
        net.run(SECOND);
        let mut sent = net.trace[before..].iter();
        let voted = sent.any(|sent| {
            let kind = sent.message.kind().name;
            sent.from == NodeId(3) && ["PREPARE", "COMMIT", "ROUND-CHANGE"].contains(&kind)
        });
        assert!(!voted, "crashed before effect {effects}");
    }
}

#[test]
fn qb12_nothing_leaves_before_what_it_follows_from_is_durable() {
    let mut net = net(4);
    net.loss_permille = 200;
    for _ in 0..10 {
        net.submit();
        net.run(SECOND);
    }
    let mut checked = 0;
    for sent in &net.trace {
        let label = match &*sent.message {
            QbftMessage::Proposal(_) | QbftMessage::Prepare(_) => "ACCEPTED",
            QbftMessage::Commit(_) => "PREPARED",
            QbftMessage::RoundChange(_) => "ROUND-CHANGE",
            QbftMessage::Courtesy(_) => continue,
        };
        let durable = &net.replicas[sent.from.index()].records[..sent.records];
        let mut found = durable.iter().map(consortium_node::engine::Record::label);
        assert!(found.any(|(name, slot)| (name, slot) == (label, sent.message.slot())));
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}
