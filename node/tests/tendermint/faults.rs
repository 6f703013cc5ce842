//! Crashes, partitions, loss, and liars within the fault model.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Forks, Message as _, Recovery, Tale},
    quorum::Vote,
    tendermint::{Record, TendermintMessage},
    types::{NodeId, View},
};

use crate::{
    BRISK, Net, check_votes, entered, equivocators, net_with,
    support::{DELTA, Sent},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_rest_finishes_wherever_in_its_sends_the_proposer_crashes() {
    for n in [4_u16, 7] {
        let rest: Vec<u16> = (1..n).collect();
        for step in 0..60 {
            let mut net = net_with(n.into(), BRISK);
            net.crash_after = Some((NodeId(0), step));
            for _ in 0..3 {
                net.submit();
                net.run(DELTA / 2);
            }
            net.run(10 * SECOND);
            net.check_done(&rest);
            assert_eq!(net.replica(1).host.chain.len(), 4, "n = {n}, step {step}");
            check_votes(&net);
        }
    }
}

#[test]
fn tm10_a_dead_proposer_costs_one_round() {
    let mut net = net_with(4, BRISK);
    net.crash(0);
    net.submit();
    net.run(5 * SECOND);
    net.check_done(&[1, 2, 3]);
    assert_eq!(entered(&net, 1), [View(1)]);
    assert!(net.told(2, |tale| *tale == Tale::Suspected(View(1))));
}

/// The proposer tells `deceived` something else, and votes so there.
fn equivocate(net: &mut Net, liar: u16, deceived: Vec<u16>) {
    let key = Arc::clone(&net.keys[usize::from(liar)]);
    let liar = NodeId(liar);
    let mut forks = Forks::new();
    net.liars.push(liar);
    net.tamper = Some(Box::new(move |sent: &Sent<TendermintMessage>| {
        if sent.from == liar && deceived.contains(&sent.to.0) {
            let lie = sent.message.conflicting(&key, liar, &mut forks);
            return Some(lie.map_or_else(|| Arc::clone(&sent.message), Arc::new));
        }
        Some(Arc::clone(&sent.message))
    }));
}

#[test]
fn tm23_an_equivocating_proposer_neither_forks_nor_stops_the_rest() {
    for deceived in [vec![1], vec![3], vec![1, 2], vec![2, 3], vec![1, 2, 3]] {
        let mut net = net_with(4, BRISK);
        equivocate(&mut net, 0, deceived.clone());
        for _ in 0..6 {
            net.submit();
            net.run(DELTA);
        }
        net.run(30 * SECOND);
        net.check_done(&[1, 2, 3]);
        assert_eq!(net.replica(1).host.chain.len(), 7, "deceived {deceived:?}");
        check_votes(&net);
    }
}

#[test]
fn tm23_two_proposals_of_one_round_are_evidence_and_the_first_stands() {
    let mut net = net_with(4, BRISK);
    net.submit();
    net.run(2 * SECOND);
    let said = net.trace.iter().find(|sent| sent.to == NodeId(2));
    let honest = Arc::clone(&said.unwrap().message);
    let mut net = net_with(4, BRISK);
    let key = Arc::clone(&net.keys[0]);
    let lie = honest.conflicting(&key, NodeId(0), &mut Forks::new());
    net.inject(NodeId(0), NodeId(2), &honest);
    net.inject(NodeId(0), NodeId(2), &lie.unwrap());
    assert_eq!(equivocators(&net, 2), [NodeId(0)]);
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
    net.run(20 * SECOND);
    net.check_agreement();
    assert_eq!(net.replica(0).host.chain.len(), 2);
    net.groups = vec![0; 4];
    net.run(15 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(net.replica(3).host.chain.len(), 6);
    check_votes(&net);
}

#[test]
fn tm18_one_who_was_cut_off_catches_up_although_all_work_is_done() {
    for blocks in [1, 3, 12] {
        let mut net = net_with(4, BRISK);
        net.hosts_sync = true;
        net.groups = vec![0, 0, 0, 1];
        for _ in 0..blocks {
            let transaction = net.transaction();
            for node in [0, 1, 2] {
                net.submit_to(NodeId(node), &transaction);
            }
            net.run(SECOND);
        }
        net.run(30 * SECOND);
        assert_eq!(net.replica(0).host.chain.len(), 1 + blocks);
        net.groups = vec![0; 4];
        net.run(60 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
        net.trace.clear();
        net.run_until_quiet(120 * SECOND);
        net.run(3600 * SECOND);
        assert_eq!(net.trace.len(), 0, "{blocks}");
    }
}

#[test]
fn a_partial_partition_between_two_is_bridged_by_the_others() {
    let mut net = net_with(4, BRISK);
    net.tamper = Some(Box::new(|sent: &Sent<TendermintMessage>| {
        let ends = [sent.from.0.min(sent.to.0), sent.from.0.max(sent.to.0)];
        (ends != [0, 1]).then(|| Arc::clone(&sent.message))
    }));
    // With 3 gone all of the others are needed, and two of them never hear each other.
    net.crash(3);
    for _ in 0..5 {
        net.submit();
        net.run(10 * SECOND);
    }
    net.run(30 * SECOND);
    net.check_done(&[0, 1, 2]);
    assert_eq!(net.replica(0).host.chain.len(), 6);
}

#[test]
fn tm16_a_third_of_all_messages_may_be_lost() {
    for seed in 0..20 {
        let mut net = net_with(4, BRISK);
        net.seed(seed);
        net.loss_permille = 330;
        net.hosts_sync = true;
        for _ in 0..5 {
            net.submit();
            net.run(SECOND);
        }
        net.run(60 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
        check_votes(&net);
    }
}

#[test]
fn tm19_everyone_may_crash_at_any_effect_and_nobody_contradicts_itself() {
    for (victim, step) in (0..4_u16).flat_map(|victim| (0..40).map(move |step| (victim, step))) {
        let mut net = net_with(4, BRISK);
        net.crash_before_effect = Some((NodeId(victim), step));
        for _ in 0..2 {
            net.submit();
            net.run(2 * DELTA);
        }
        net.run(SECOND);
        net.crash_before_effect = None;
        if net.replica(victim).crashed {
            let disk = [Recovery::Clean, Recovery::Torn][step % 2];
            net.restart(victim, disk);
        }
        net.submit();
        net.run(20 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
        check_votes(&net);
    }
}

#[test]
fn tm19_nothing_leaves_before_it_is_durable() {
    let mut net = net_with(4, BRISK);
    net.loss_permille = 200;
    for _ in 0..5 {
        net.submit();
        net.run(SECOND);
    }
    let mut votes = 0;
    for sent in &net.trace {
        let durable = &net.replica(sent.from.0).records[..sent.records];
        let known = |body: &Vote| {
            durable.iter().any(|record| match record {
                Record::Voted(vote) => vote.body() == body,
                _ => false,
            })
        };
        match &*sent.message {
            TendermintMessage::Prevote(vote) | TendermintMessage::Precommit(vote)
                if vote.signer() == sent.from =>
            {
                votes += 1;
                assert!(known(vote.body()), "{vote:?}");
            }
            TendermintMessage::Proposal(said) if said.claim.signer() == sent.from => {
                assert!(durable.iter().any(|record| match record {
                    Record::Proposed(own) => own.claim.body() == said.claim.body(),
                    _ => false,
                }));
            }
            _ => {}
        }
    }
    assert!(votes > 100);
}

#[test]
fn tm19_all_may_stop_at_once_and_start_again() {
    for millis in 0..60 {
        let mut net = net_with(4, BRISK);
        net.submit();
        net.run(Duration::from_millis(millis));
        for node in 0..4 {
            net.crash(node);
        }
        net.run(SECOND);
        for node in 0..4 {
            net.restart(node, Recovery::Clean);
        }
        net.submit();
        net.run(30 * SECOND);
        net.ask_again();
        net.run(10 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
        check_votes(&net);
    }
}
