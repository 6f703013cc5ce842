//! Retransmission, lost disks, and falling behind.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Message as _, Recovery, Tale},
    tendermint::TendermintMessage,
    types::{NodeId, Seq},
};

use crate::{
    BRISK, Net, check_votes, net_with,
    support::{DELTA, Sent},
};

const SECOND: Duration = Duration::from_secs(1);

/// Loses what is first said of a kind.
fn lose_first(net: &mut Net, kind: &'static str) {
    let mut said = std::collections::BTreeSet::new();
    net.tamper = Some(Box::new(move |sent: &Sent<TendermintMessage>| {
        let slot = sent.message.slot();
        let first = said.insert((sent.from, sent.to, slot));
        let lost = first && sent.message.kind().name == kind;
        (!lost).then(|| Arc::clone(&sent.message))
    }));
}

#[test]
fn tm16_each_kind_of_vote_may_be_lost_by_everyone_at_first() {
    for kind in ["PROPOSAL", "PREVOTE", "PRECOMMIT"] {
        let mut net = net_with(4, BRISK);
        lose_first(&mut net, kind);
        net.submit();
        net.run(10 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
        check_votes(&net);
    }
}

#[test]
fn tm16_a_quorum_is_missing_for_long_and_status_comes_ever_more_seldom() {
    let mut net = net_with(4, BRISK);
    net.submit();
    net.run(SECOND);
    net.crash(2);
    net.crash(3);
    net.submit();
    net.run(5 * SECOND);
    net.trace.clear();
    net.run(600 * SECOND);
    // Two machines, three receivers each, once in 128 intervals at most.
    let most = 2 * 3 * (600_000 / (128 * 50) + 1);
    assert!(net.trace.len() <= most, "{} of {most}", net.trace.len());
    assert!(!net.trace.is_empty());
}

#[test]
fn tm18_a_dead_member_is_asked_ever_more_seldom_and_work_goes_on() {
    let mut net = net_with(4, BRISK);
    net.crash(3);
    for _ in 0..3 {
        net.submit();
    }
    net.run(60 * SECOND);
    net.check_done(&[0, 1, 2]);
    net.trace.clear();
    net.run(3600 * SECOND);
    let most = 3 * (3_600_000 / (128 * 50) + 2);
    assert!(net.trace.len() <= most, "{} of {most}", net.trace.len());
}

#[test]
fn tm20_a_lost_disk_makes_mute_until_the_height_that_may_be_signed_is_over() {
    let mut net = net_with(4, BRISK);
    net.hosts_sync = true;
    for _ in 0..3 {
        net.submit();
    }
    net.run(10 * SECOND);
    net.crash(3);
    net.restart(3, Recovery::Lost);
    net.run(10 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    let unmuted = |net: &Net| {
        let tales = net.replica(3).tales.iter();
        let mut at = tales.filter_map(|(_, tale)| match tale {
            Tale::Unmuted(at) => Some(*at),
            _ => None,
        });
        at.next()
    };
    assert!(net.told(3, |tale| *tale == Tale::Muted));
    assert_eq!(unmuted(&net), None, "the others are at height 4");
    // It stays mute over another restart, and says nothing of heights 4 and 5.
    net.crash(3);
    net.restart(3, Recovery::Clean);
    for _ in 0..4 {
        net.submit();
    }
    net.run(20 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(unmuted(&net), Some(Seq(6)));
    let signed = net.trace.iter().filter(|sent| {
        let vote = ["PREVOTE", "PRECOMMIT", "PROPOSAL"].contains(&sent.message.kind().name);
        vote && sent.from == NodeId(3) && [4, 5].contains(&sent.message.slot().seq.0)
    });
    assert_eq!(signed.count(), 0);
    // It counts again: the others alone are no quorum.
    net.crash(0);
    net.submit();
    net.run(20 * SECOND);
    net.check_done(&[1, 2, 3]);
}

#[test]
fn tm20_one_liar_neither_keeps_it_mute_nor_makes_it_speak_too_early() {
    for by in [-3_i64, 1_000_000] {
        let mut net = net_with(7, BRISK);
        net.hosts_sync = true;
        net.liars.push(NodeId(1));
        let key = Arc::clone(&net.keys[1]);
        net.tamper = Some(Box::new(move |sent: &Sent<TendermintMessage>| {
            let TendermintMessage::Status(said) = &*sent.message else {
                return Some(Arc::clone(&sent.message));
            };
            let mut report = said.body().clone();
            report.height.0 = report.height.0.saturating_add_signed(by);
            let lie = TendermintMessage::Status(Arc::new(key.sign(NodeId(1), report)));
            let lies = sent.from == NodeId(1);
            Some(if lies {
                Arc::new(lie)
            } else {
                Arc::clone(&sent.message)
            })
        }));
        for _ in 0..4 {
            net.submit();
        }
        net.run(10 * SECOND);
        net.crash(6);
        net.restart(6, Recovery::Lost);
        net.run(10 * SECOND);
        for _ in 0..4 {
            net.submit();
        }
        net.run(20 * SECOND);
        net.check_done(&[0, 2, 3, 4, 5, 6]);
        assert!(
            net.told(6, |tale| *tale == Tale::Unmuted(Seq(7))),
            "{by} {:?}",
            net.replica(6).tales
        );
    }
}

#[test]
fn tm21_one_that_is_far_behind_has_its_host_fetch_and_goes_on() {
    let mut net = net_with(4, BRISK);
    net.crash(3);
    for _ in 0..20 {
        net.submit();
    }
    net.run(30 * SECOND);
    net.check_done(&[0, 1, 2]);
    net.restart(3, Recovery::Clean);
    net.run(5 * SECOND);
    assert!(net.replica(3).behind > 0);
    assert_eq!(net.replica(3).host.chain.len(), 1);
    net.sync(3, 0);
    net.crash(0);
    net.submit();
    net.run(10 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert_eq!(net.replica(3).host.chain.len(), 22);
    check_votes(&net);
}

#[test]
fn tm21_one_liar_cannot_make_anyone_fetch() {
    let mut net = net_with(4, BRISK);
    net.submit();
    net.run(SECOND);
    let said = net
        .trace
        .iter()
        .find(|sent| sent.message.kind().name == "PREVOTE");
    let TendermintMessage::Prevote(vote) = &*said.expect("a vote").message else {
        unreachable!("a PREVOTE");
    };
    let mut far = *vote.body();
    far.slot = Seq(1_000_000);
    let signed = net.keys[3].sign(NodeId(3), far);
    net.inject(NodeId(3), NodeId(0), &TendermintMessage::Prevote(signed));
    net.run(60 * SECOND);
    assert_eq!(net.replica(0).behind, 0);
    net.run(DELTA);
}
