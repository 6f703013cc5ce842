//! Errors of published protocols and implementations (faults.md §1B, by number), each with a schedule that
//! would show it here.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    crypto::Signed,
    engine::{Engine as _, Message as _, Refusal, ReplyRule, Tale},
    pbft::{Asks, Config, PREPARE, PbftMessage, Prepared, Report, ViewChange},
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    BRISK, net_with,
    script::{Script, block_of},
    support::DELTA,
    view_changes::{empty_changes, given, script, view},
};

const SECOND: Duration = Duration::from_secs(1);

/// The digest of the last CHECKPOINT that the replica under test said.
fn own_checkpoint(s: &mut Script) -> Digest {
    let said = s.said();
    let votes = said.iter().rev().find_map(|said| match &**said {
        PbftMessage::Checkpoint(vote) => Some(vote.body().digest),
        _ => None,
    });
    votes.expect("it said CHECKPOINT")
}

#[test]
fn known_error_01_a_correct_replica_that_is_left_out_keeps_no_answer_from_clients() {
    // The read-only optimisation needs 2f+1 answers to writes too, and a primary that leaves one replica out
    // and is itself silent then starves clients. Here is no such path: f+1 answers are enough.
    let mut net = net_with(4, BRISK);
    net.groups = vec![0, 0, 0, 1];
    let transaction = net.transaction();
    for node in 0..3 {
        net.submit_to(NodeId(node), &transaction);
    }
    net.run(SECOND);
    let answer = [1, 2].map(|node| net.replica(node).host.chain.len() == 2);
    let answers = answer.iter().filter(|answer| **answer).count();
    assert_eq!(net.replica(1).engine.reply_rule(), ReplyRule::WeakQuorum);
    assert!(answers >= net.committee.weak_quorum());
    assert!(net.committee.weak_quorum() + net.committee.f() <= net.committee.quorum());
}

#[test]
fn known_error_02_a_primary_that_serves_everybody_but_one_is_given_up() {
    let mut net = net_with(4, BRISK);
    let censored = net.transaction();
    for node in 1..4 {
        net.submit_to(NodeId(node), &censored);
    }
    // It executes one request after the other all the time, and never this one.
    for _ in 0..40 {
        net.submit();
        net.run(4 * DELTA);
    }
    let chain = &net.replica(1).host.chain;
    let mut ordered = chain.iter().flat_map(|block| block.transactions());
    assert!(ordered.any(|transaction| transaction.id() == censored.id()));
    assert_eq!(net.replica(1).engine.status().view, View(1));
}

#[test]
fn known_error_03_views_that_drifted_apart_meet_again() {
    for seed in 0..20 {
        let mut net = net_with(4, BRISK);
        net.seed(seed);
        net.submit();
        // Nobody hears anybody, then changing halves hear each other; then all do.
        for _ in 0..6 {
            net.groups = (0..4)
                .map(|_| u8::try_from(net.random(3)).unwrap())
                .collect();
            let pause = net.random(1_500);
            net.run(Duration::from_millis(pause));
        }
        net.groups = vec![0; 4];
        net.submit();
        net.run(20 * SECOND);
        net.check_done(&[0, 1, 2, 3]);
    }
}

#[test]
fn known_error_04_a_checkpoint_that_one_view_change_proves_is_enough_to_begin_a_view() {
    // S and S': only one of q has the checkpoint as stable, one has genesis only. The certificate speaks.
    let mut s = script(4, 1);
    let stable = s.stable(4, Digest([7; 32]));
    s.give(&given(&s.view_change(0, 5, Some(&stable), vec![])));
    s.give(&given(&s.view_change(2, 5, None, vec![])));
    assert_eq!(view(&s), (5, true), "with its own these are q");
    assert!(s.names().contains(&"NEW-VIEW"));
    assert_eq!(s.engine().watermarks().0, Seq(4));
}

#[test]
fn known_error_05_a_new_view_from_an_older_checkpoint_executes_nothing_twice() {
    let mut s = script(4, 2);
    let chain = s.chain(3);
    s.decide(&chain);
    let state = own_checkpoint(&mut s);
    let stable = s.stable(2, state);
    let proof = s.prepared(0, 3, chain[2].id());
    let change = |from| s.view_change(from, 1, Some(&stable), vec![Arc::clone(&proof)]);
    let changes = [0, 1, 3].map(change).to_vec();
    let message = s.new_view(1, changes, vec![s.claim(1, 3, chain[2].id())]);
    assert_eq!(s.give(&message), []);
    for from in [0, 1, 3] {
        s.give(&s.prepare(from, 1, 3, chain[2].id()));
        s.give(&s.commit(from, 1, 3, chain[2].id()));
    }
    // The host panics if it executes something twice.
    assert_eq!(s.engine().executed(), Seq(3));
    assert_eq!(s.executed().len(), 3);
    let again = |tale: &Tale| matches!(tale, Tale::Void(_));
    assert!(!s.net.told(2, again), "nor is a slot passed again");
}

#[test]
fn known_error_06_a_proposal_above_h_is_not_lost() {
    let config = Config {
        checkpoint_interval: 2,
        window: 4,
        ..BRISK
    };
    let mut s = Script::new(4, 1, config);
    let chain = s.chain(5);
    s.decide(&chain[..2]);
    let state = own_checkpoint(&mut s);
    let stable = s.stable(2, state);
    for (block, seq) in chain[2..4].iter().zip(3..) {
        s.give(&s.pre_prepare(0, seq, block));
    }
    s.said();
    assert_eq!(s.give(&s.pre_prepare(0, 5, &chain[4])), []);
    assert_eq!(s.names(), [""; 0], "H is 4");
    s.give(&PbftMessage::Stable(stable));
    assert_eq!(s.names(), ["PREPARE"], "H is 6, and nobody sent it again");
}

#[test]
fn known_error_07_who_catches_up_learns_the_view_and_its_primary() {
    let mut s = script(4, 1);
    let message = s.new_view(7, empty_changes(&s, 7, 9), Vec::new());
    s.give(&message);
    assert_eq!(view(&s), (7, true));
    assert_eq!(s.engine().status().leader, NodeId(3));
}

#[test]
fn known_error_08_equal_states_after_different_slots_are_different_checkpoints() {
    let config = Config {
        checkpoint_interval: 1,
        window: 2,
        ..BRISK
    };
    let mut s = Script::new(4, 1, config);
    let mut digests = Vec::new();
    for seq in [1, 2] {
        for from in [0, 2, 3] {
            s.give(&s.commit(from, 0, seq, Digest::ZERO));
        }
        assert_eq!(s.executed(), [], "null requests change no state");
        digests.push(own_checkpoint(&mut s));
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn known_error_09_a_primary_cannot_have_a_batch_executed_again() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    s.decide(std::slice::from_ref(&block));
    s.said();
    assert_ne!(
        s.give(&s.pre_prepare(0, 2, &block)),
        [],
        "the very same block"
    );
    let again = block_of(&block, block.transactions().to_vec(), 5);
    let mut s = script(4, 1);
    s.decide(std::slice::from_ref(&block));
    s.said();
    assert_eq!(s.give(&s.pre_prepare(0, 2, &again)), [Refusal::BadBlock]);
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn known_error_10_votes_of_another_slot_or_view_prove_nothing() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let mixed = |s: &Script, view: u64, seq: u64| {
        let signers = &s.backups(0)[..s.quorum() - 1];
        Arc::new(Prepared {
            claim: s.claim(0, 1, block.id()),
            prepares: Some(s.certificate(signers, PREPARE, view, seq, block.id())),
        })
    };
    for proof in [mixed(&s, 0, 2), mixed(&s, 4, 1)] {
        let change = s.view_change(2, 5, None, vec![proof]);
        assert_eq!(s.give(&given(&change)), [Refusal::Malformed]);
    }
    let change = s.view_change(2, 5, None, vec![mixed(&s, 0, 1)]);
    assert_eq!(s.give(&given(&change)), []);
}

#[test]
fn known_error_11_what_others_say_about_the_view_is_counted_nowhere_and_proves_nothing() {
    let mut s = script(4, 1);
    for from in [0u16, 2, 3] {
        let report = Report {
            view: View(7),
            active: true,
            executed: Seq(0),
            stable: Seq(0),
            prepared: Seq(0),
            asks: Asks::Everyone,
            attempt: 1,
            echo: 0,
            open: Vec::new(),
        };
        let signed = s.net.keys[usize::from(from)].sign(NodeId(from), report);
        s.give(&PbftMessage::Status(Arc::new(signed)));
    }
    assert_eq!(
        view(&s),
        (0, true),
        "only q VIEW-CHANGEs in a NEW-VIEW move it"
    );
}

#[test]
fn known_error_12_a_bad_entry_spoils_its_own_view_change_and_no_other() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    s.give(&s.pre_prepare(0, 1, &chain[0]));
    let good = s.prepared(0, 1, chain[0].id());
    let bad = Arc::new(Prepared {
        claim: s.claim(0, 2, chain[1].id()),
        prepares: None,
    });
    let spoilt = s.view_change(0, 1, None, vec![Arc::clone(&good), bad]);
    assert_eq!(s.give(&given(&spoilt)), [Refusal::Malformed]);
    for from in [2, 3] {
        s.give(&given(&s.view_change(
            from,
            1,
            None,
            vec![Arc::clone(&good)],
        )));
    }
    let said = s.said();
    let chosen = said.iter().find_map(|said| match &**said {
        PbftMessage::NewView(message) => Some(message.body().proposals.clone()),
        _ => None,
    });
    let chosen = chosen.expect("q good ones begin the view");
    let digests: Vec<_> = chosen.iter().map(|one| one.body().digest).collect();
    assert_eq!(digests, [chain[0].id()]);
}

#[test]
fn known_error_13_a_view_change_that_its_sender_did_not_sign_counts_for_nothing() {
    let mut s = script(4, 1);
    for name in [2u16, 3] {
        let change = ViewChange {
            view: View(9),
            stable: Seq(0),
            proof: None,
            prepared: Vec::new(),
        };
        let forged: Signed<ViewChange> = s.net.keys[0].sign(NodeId(name), change);
        assert_eq!(s.give(&given(&Arc::new(forged))), [Refusal::BadSignature]);
    }
    assert_eq!(view(&s), (0, true), "f+1 would have moved it");
}

#[test]
fn known_error_14_numbers_go_on_over_a_change_of_the_view() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    for (block, seq) in chain.iter().zip(1..) {
        s.give(&s.pre_prepare(0, seq, block));
    }
    let proofs = [1, 2].map(|seq| s.prepared(0, seq, chain[seq as usize - 1].id()));
    for from in [2, 3] {
        s.give(&given(&s.view_change(from, 1, None, proofs.to_vec())));
    }
    s.said();
    s.net.submit();
    let said = s.said();
    assert_eq!(said[0].kind().name, "PRE-PREPARE");
    assert_eq!(said[0].slot().seq, Seq(3), "max-s + 1");
}

#[test]
fn known_error_15_no_single_loss_before_a_change_of_the_view_forks_or_stops() {
    // Published protocols erred in what a new leader may conclude from what it does not see. Here each
    // message of two slots is lost in its turn, and then the primary stops.
    let mut whole = net_with(4, BRISK);
    whole.submit();
    whole.submit();
    whole.run(4 * DELTA);
    let messages = whole.trace.len();
    assert!(messages > 40);
    for lost in 0..messages {
        for stops_after in [2, 3] {
            let mut net = net_with(4, BRISK);
            let mut count = 0;
            net.tamper = Some(Box::new(move |sent| {
                count += 1;
                (count != lost + 1).then(|| Arc::clone(&sent.message))
            }));
            net.submit();
            net.submit();
            net.run(stops_after * DELTA);
            net.crash(0);
            net.run(6 * SECOND);
            net.check_done(&[1, 2, 3]);
            assert_eq!(net.replica(1).host.chain.len(), 3, "loss {lost}");
        }
    }
}
