//! R18–R26 and R32–R33: view changes, seen by one replica.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    crypto::Signed,
    engine::{Engine as _, Message as _, Refusal, Tale},
    pbft::{COMMIT, Config, PREPARE, PbftMessage, Prepared, Timer, ViewChange},
    types::{Digest, Seq, View},
};

use crate::{script::Script, support::DELTA};

const CONFIG: Config = Config {
    checkpoint_interval: 2,
    window: 8,
    pipeline: 8,
    request_timeout: Duration::from_millis(500),
    request_deadline: Duration::from_secs(20),
    view_change_timeout: Duration::from_millis(700),
    status_interval: Duration::from_secs(1_000),
};

fn script(n: usize, me: u16) -> Script {
    Script::new(n, me, CONFIG)
}

fn given(change: &Arc<Signed<ViewChange>>) -> PbftMessage {
    PbftMessage::ViewChange(Arc::clone(change))
}

/// The last VIEW-CHANGE that the replica sent since it was asked last.
fn own_view_change(s: &mut Script) -> Arc<Signed<ViewChange>> {
    let said = s.said();
    let changes = said.iter().rev().find_map(|said| match &**said {
        PbftMessage::ViewChange(change) => Some(Arc::clone(change)),
        _ => None,
    });
    changes.expect("it sent a VIEW-CHANGE")
}

/// Empty VIEW-CHANGEs of the first q members but `except`.
fn empty_changes(s: &Script, view: u64, except: u16) -> Vec<Arc<Signed<ViewChange>>> {
    let all = s.net.committee.nodes().map(|node| node.0);
    let some = all.filter(|node| *node != except).take(s.quorum());
    some.map(|from| s.view_change(from, view, None, Vec::new()))
        .collect()
}

fn view(s: &Script) -> (u64, bool) {
    let status = s.engine().status();
    (status.view.0, status.active)
}

/// What the replica proposes in the NEW-VIEW that it sent since it was asked last.
fn proposals(s: &mut Script) -> Option<Vec<(u64, Digest)>> {
    s.said().iter().find_map(|said| match &**said {
        PbftMessage::NewView(message) => {
            let claims = message.body().proposals.iter().map(|claim| claim.body());
            Some(claims.map(|claim| (claim.seq.0, claim.digest)).collect())
        }
        _ => None,
    })
}

#[test]
fn r18_the_timer_runs_while_something_waits_and_stops_with_it() {
    let mut s = script(4, 1);
    let chain = s.chain(1);
    let transaction = Arc::clone(&chain[0].transactions()[0]);
    s.net.run(Duration::from_secs(9));
    assert_eq!(view(&s), (0, true), "nothing waits");
    s.net
        .submit_to(consortium_node::types::NodeId(1), &transaction);
    s.net.run(CONFIG.request_timeout - DELTA);
    s.decide(&chain);
    s.net.run(Duration::from_secs(9));
    assert_eq!(view(&s), (0, true), "it was executed in time");
    s.net.submit();
    s.net.run(CONFIG.request_timeout - DELTA);
    assert_eq!(view(&s), (0, true));
    s.net.run(2 * DELTA);
    assert_eq!(view(&s), (1, false));
    let suspected = |tale: &Tale| *tale == Tale::Suspected(View(1));
    assert!(s.net.told(1, suspected));
}

#[test]
fn r18_r36_the_next_oldest_gets_its_own_time_and_the_primary_never_suspects_itself() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    let node = consortium_node::types::NodeId(1);
    for block in &chain {
        s.net.submit_to(node, &block.transactions()[0]);
        s.net.run(DELTA);
    }
    s.net.run(CONFIG.request_timeout - 4 * DELTA);
    s.decide(&chain[..1]);
    s.net.run(CONFIG.request_timeout - DELTA);
    assert_eq!(view(&s), (0, true));
    s.net.run(2 * DELTA);
    assert_eq!(view(&s), (1, false));
    let mut primary = script(4, 0);
    primary.net.submit();
    primary.net.run(Duration::from_secs(9));
    assert_eq!(view(&primary), (0, true));
}

#[test]
fn r36_other_requests_that_are_executed_give_a_censored_one_no_more_time() {
    let mut s = script(4, 1);
    s.net.submit();
    let chain = s.chain(4);
    for block in &chain {
        s.net
            .submit_to(consortium_node::types::NodeId(1), &block.transactions()[0]);
    }
    let start = s.net.now;
    for served in 1..=4 {
        s.net.run(CONFIG.request_timeout / 5);
        if served == 4 {
            s.decide(&chain);
        }
    }
    s.net
        .run_to(start + CONFIG.request_timeout.as_nanos() as u64 - 1);
    assert_eq!(view(&s), (0, true));
    s.net.run(Duration::from_nanos(2));
    assert_eq!(view(&s), (1, false));
}

#[test]
fn r36_a_primary_that_is_always_just_fast_enough_meets_the_longer_deadline() {
    let config = Config {
        request_deadline: Duration::from_millis(1_800),
        window: 64,
        ..CONFIG
    };
    let mut s = Script::new(4, 1, config);
    let chain = s.chain(10);
    let node = consortium_node::types::NodeId(1);
    for block in &chain {
        s.net.submit_to(node, &block.transactions()[0]);
        s.net.run(DELTA / 10);
    }
    let mut seq = 0;
    while view(&s) == (0, true) {
        s.net.run(config.request_timeout * 9 / 10);
        let block = chain[seq].clone();
        seq += 1;
        s.give(&s.pre_prepare(0, seq as u64, &block));
        for from in [0, 2, 3] {
            s.give(&s.commit(from, 0, seq as u64, block.id()));
        }
        assert!(seq < 9, "tolerated for ever");
    }
    assert!((3..=5).contains(&seq));
}

#[test]
fn r19_an_inactive_replica_votes_no_more_and_proves_what_it_had_prepared() {
    let mut s = script(4, 1);
    let chain = s.chain(4);
    s.decide(&chain[..2]);
    let digest = s.said().iter().find_map(|said| match &**said {
        PbftMessage::Checkpoint(vote) => Some(vote.body().digest),
        _ => None,
    });
    let digest = digest.expect("a checkpoint after two slots");
    s.give(&s.checkpoint(0, 2, digest));
    s.give(&s.checkpoint(3, 2, digest));
    s.give(&s.pre_prepare(0, 3, &chain[2]));
    s.give(&s.prepare(2, 0, 3, chain[2].id()));
    s.give(&s.pre_prepare(0, 4, &chain[3]));
    s.net.submit();
    s.net.run(CONFIG.request_timeout);
    let change = own_view_change(&mut s);
    let body = change.body();
    assert_eq!((body.view, body.stable), (View(1), Seq(2)));
    let proof = body.proof.as_ref().expect("h is proved");
    assert_eq!(proof.signers().len(), s.quorum());
    proof
        .verify(&s.net.committee, s.quorum())
        .expect("C proves h");
    let slots: Vec<_> = body
        .prepared
        .iter()
        .map(|entry| *entry.claim.body())
        .collect();
    assert_eq!(slots.len(), 1, "slot 4 was not prepared here");
    assert_eq!((slots[0].seq, slots[0].digest), (Seq(3), chain[2].id()));
    // View 0 is over.
    assert_eq!(s.give(&s.prepare(2, 0, 4, chain[3].id())), [Refusal::Stale]);
    assert_eq!(s.give(&s.commit(2, 0, 4, chain[3].id())), [Refusal::Stale]);
    assert_eq!(s.give(&s.pre_prepare(0, 5, &chain[3])), [Refusal::Stale]);
    // Checkpoints still count.
    assert_eq!(s.give(&s.checkpoint(0, 4, digest)), []);
    assert_eq!(s.names(), [""; 0]);
}

#[test]
fn r20_the_proof_of_the_highest_view_goes_along_through_views_that_come_to_nothing() {
    let mut s = script(4, 1);
    let chain = s.chain(1);
    s.give(&s.pre_prepare(0, 1, &chain[0]));
    s.give(&s.prepare(2, 0, 1, chain[0].id()));
    s.net.submit();
    for target in 1..4 {
        let changes = [2, 3].map(|from| s.view_change(from, target, None, Vec::new()));
        changes.iter().for_each(|change| {
            s.give(&given(change));
        });
        let own = own_view_change(&mut s);
        assert_eq!(own.body().view, View(target));
        assert_eq!(own.body().prepared.len(), 1, "view {target}");
        assert_eq!(own.body().prepared[0].claim.body().view, View(0));
    }
    // Prepared again in view 4, whose primary is replica 0: the newer proof replaces the older.
    let entry = s.prepared(0, 1, chain[0].id());
    let changes: Vec<_> = [0, 2, 3]
        .map(|from| s.view_change(from, 4, None, vec![Arc::clone(&entry)]))
        .to_vec();
    let claim = s.claim(4, 1, chain[0].id());
    assert_eq!(s.give(&s.new_view(4, changes, vec![claim])), []);
    s.give(&s.prepare(2, 4, 1, chain[0].id()));
    for from in [2, 3] {
        s.give(&given(&s.view_change(from, 5, None, Vec::new())));
    }
    let own = own_view_change(&mut s);
    assert_eq!(own.body().prepared[0].claim.body().view, View(4));
}

/// VIEW-CHANGEs for view 4 of which each breaks one rule.
fn bad_changes(s: &Script, chain: &[Arc<Block>]) -> Vec<(&'static str, Arc<Signed<ViewChange>>)> {
    let d: Vec<Digest> = chain.iter().map(|block| block.id()).collect();
    let good = |view, seq: u64| s.prepared(view, seq, d[seq as usize - 1]);
    let with = |signers: &[u16], view, seq, digest| {
        Arc::new(Prepared {
            claim: s.claim(0, 1, d[0]),
            prepares: Some(s.certificate(signers, PREPARE, view, seq, digest)),
        })
    };
    let stable = s.stable(2, d[1]);
    let few = s.certificate(&[0, 3], consortium_node::pbft::CHECKPOINT, 0, 2, d[1]);
    let twice = s.certificate(&[0, 0, 3], consortium_node::pbft::CHECKPOINT, 0, 2, d[1]);
    let commits = s.certificate(&[0, 1, 3], COMMIT, 0, 2, d[1]);
    let usurped = Arc::new(Prepared {
        claim: s.net.keys[3].sign(
            consortium_node::types::NodeId(3),
            *s.claim(0, 1, d[0]).body(),
        ),
        prepares: good(0, 1).prepares.clone(),
    });
    let bare = Arc::new(Prepared {
        claim: s.claim(0, 1, d[0]),
        prepares: None,
    });
    let change = |proof: Option<&_>, prepared| s.view_change(3, 4, proof, prepared);
    let unproved = ViewChange {
        view: View(4),
        stable: Seq(2),
        proof: None,
        prepared: Vec::new(),
    };
    let unproved = s.net.keys[3].sign(consortium_node::types::NodeId(3), unproved);
    let forged = s.net.keys[2].sign(
        consortium_node::types::NodeId(3),
        change(None, vec![]).body().clone(),
    );
    vec![
        ("checkpoint unproved", Arc::new(unproved)),
        ("checkpoint with q−1 signers", change(Some(&few), vec![])),
        (
            "checkpoint with a signer twice",
            change(Some(&twice), vec![]),
        ),
        ("checkpoint of commits", change(Some(&commits), vec![])),
        ("a slot at h", change(Some(&stable), vec![good(0, 2)])),
        ("a slot above H", change(None, vec![s.prepared(0, 9, d[0])])),
        ("a slot twice", change(None, vec![good(0, 1), good(1, 1)])),
        (
            "slots out of order",
            change(None, vec![good(0, 2), good(0, 1)]),
        ),
        (
            "prepared in the target view",
            change(None, vec![good(4, 1)]),
        ),
        ("prepared in a later view", change(None, vec![good(5, 1)])),
        (
            "proposal of another than the primary",
            change(None, vec![usurped]),
        ),
        ("no prepares", change(None, vec![bare])),
        ("q−2 prepares", change(None, vec![with(&[2], 0, 1, d[0])])),
        (
            "the primary among the prepares",
            change(None, vec![with(&[0, 2], 0, 1, d[0])]),
        ),
        (
            "a backup twice",
            change(None, vec![with(&[2, 2], 0, 1, d[0])]),
        ),
        (
            "prepares of another view",
            change(None, vec![with(&[2, 3], 1, 1, d[0])]),
        ),
        (
            "prepares of another slot",
            change(None, vec![with(&[2, 3], 0, 2, d[0])]),
        ),
        (
            "prepares of another digest",
            change(None, vec![with(&[2, 3], 0, 1, d[1])]),
        ),
        (
            "one bad entry among good ones",
            change(None, vec![good(0, 1), bare_at(s, 2, d[1])]),
        ),
        ("signed by another", Arc::new(forged)),
    ]
}

fn bare_at(s: &Script, seq: u64, digest: Digest) -> Arc<Prepared> {
    Arc::new(Prepared {
        claim: s.claim(0, seq, digest),
        prepares: None,
    })
}

#[test]
fn r21_a_view_change_with_one_bad_entry_does_not_count_and_the_others_do() {
    // Replica 0 is the primary of view 4.
    let chain = script(4, 0).chain(3);
    for index in 0.. {
        let mut s = script(4, 0);
        let Some((what, bad)) = bad_changes(&s, &chain).into_iter().nth(index) else {
            assert!(index > 15);
            break;
        };
        let entry = s.prepared(0, 1, chain[0].id());
        s.give(&given(&s.view_change(1, 4, None, vec![Arc::clone(&entry)])));
        assert_ne!(s.give(&given(&bad)), [], "{what}");
        assert_eq!(view(&s), (0, true), "{what}: one VIEW-CHANGE is not f+1");
        s.give(&given(&s.view_change(2, 4, None, vec![])));
        // Joined: with its own that makes q; the block of slot 1 is still missing.
        assert_eq!(view(&s), (4, false), "{what}");
        s.give(&PbftMessage::Body(Arc::clone(&chain[0])));
        assert_eq!(proposals(&mut s), Some(vec![(1, chain[0].id())]), "{what}");
    }
}

#[test]
fn r22_the_new_primary_takes_the_highest_checkpoint_the_highest_views_and_null_for_gaps() {
    let mut s = script(7, 0);
    let chain = s.chain(7);
    let d: Vec<Digest> = chain.iter().map(|block| block.id()).collect();
    let other = s.chain(1).remove(0);
    let stable = s.stable(2, Digest([9; 32]));
    let prepared = |view, seq, digest| s.prepared(view, seq, digest);
    let changes = [
        s.view_change(
            1,
            7,
            None,
            vec![prepared(0, 1, d[0]), prepared(1, 4, other.id())],
        ),
        s.view_change(2, 7, Some(&stable), vec![prepared(3, 4, d[3])]),
        s.view_change(
            3,
            7,
            None,
            vec![prepared(2, 4, other.id()), prepared(5, 6, Digest::ZERO)],
        ),
        s.view_change(4, 7, None, vec![prepared(0, 7, d[6])]),
    ];
    for change in &changes {
        assert_eq!(s.give(&given(change)), []);
    }
    assert_eq!(view(&s), (7, false), "joined, but blocks are missing (R41)");
    assert!(s.names().contains(&"FETCH"));
    s.give(&PbftMessage::Body(Arc::clone(&chain[3])));
    assert_eq!(proposals(&mut s), None);
    s.give(&PbftMessage::Body(Arc::clone(&chain[6])));
    let null = Digest::ZERO;
    let expected = vec![(3, null), (4, d[3]), (5, null), (6, null), (7, d[6])];
    assert_eq!(proposals(&mut s), Some(expected));
    assert_eq!(
        s.engine().watermarks().0,
        Seq(2),
        "it took over the checkpoint"
    );
}

/// VIEW-CHANGEs for view 2 of which one has slots 1 and 3 prepared.
fn changes_with_two(s: &Script, chain: &[Arc<Block>]) -> Vec<Arc<Signed<ViewChange>>> {
    let prepared = vec![
        s.prepared(0, 1, chain[0].id()),
        s.prepared(1, 3, chain[2].id()),
    ];
    vec![
        s.view_change(0, 2, None, prepared),
        s.view_change(2, 2, None, vec![]),
        s.view_change(3, 2, None, vec![]),
    ]
}

#[test]
fn r23_a_new_view_that_does_not_follow_from_its_view_changes_leads_to_the_next_view() {
    let chain = script(4, 1).chain(3);
    let (a, c, null) = (chain[0].id(), chain[2].id(), Digest::ZERO);
    let right = [(1, a), (2, null), (3, c)];
    let wrong: [&[(u64, Digest)]; 6] = [
        &[(1, a), (2, null), (3, chain[1].id())],
        &[(1, a), (2, chain[1].id()), (3, c)],
        &[(1, a), (2, null)],
        &[(1, a), (2, null), (3, c), (4, null)],
        &[(1, a), (3, c), (2, null)],
        &[],
    ];
    let propose = |s: &Script, slots: &[(u64, Digest)]| {
        slots
            .iter()
            .map(|(seq, digest)| s.claim(2, *seq, *digest))
            .collect::<Vec<_>>()
    };
    let inactive = || {
        let mut s = script(4, 1);
        for from in [2, 3] {
            s.give(&given(&s.view_change(from, 2, None, vec![])));
        }
        assert_eq!(view(&s), (2, false));
        s
    };
    for slots in wrong {
        let mut s = inactive();
        let message = s.new_view(2, changes_with_two(&s, &chain), propose(&s, slots));
        assert_eq!(s.give(&message), [Refusal::Malformed], "{slots:?}");
        assert_eq!(view(&s), (3, false), "{slots:?}");
    }
    let mut s = inactive();
    let changes = changes_with_two(&s, &chain);
    let few = s.new_view(2, changes[..2].to_vec(), propose(&s, &right));
    assert_eq!(s.give(&few), [Refusal::Malformed]);
    assert_eq!(view(&s), (3, false), "fewer than q");
    let mut s = inactive();
    let repeated = vec![changes[0].clone(), changes[1].clone(), changes[1].clone()];
    assert_ne!(s.give(&s.new_view(2, repeated, propose(&s, &right))), []);
    assert_eq!(view(&s), (3, false), "one sender twice");
    let mut s = inactive();
    let mut stray = changes.clone();
    stray[2] = s.view_change(3, 3, None, vec![]);
    assert_ne!(s.give(&s.new_view(2, stray, propose(&s, &right))), []);
    assert_eq!(view(&s), (3, false), "a VIEW-CHANGE for another view");
    let mut s = inactive();
    assert_eq!(s.give(&s.new_view(2, changes, propose(&s, &right))), []);
    assert_eq!(view(&s), (2, true));
}

#[test]
fn r23_only_the_primary_of_the_view_can_begin_it_and_a_bad_new_view_of_another_view_moves_nobody() {
    let mut s = script(4, 1);
    let changes = empty_changes(&s, 2, 9);
    let PbftMessage::NewView(right) = s.new_view(2, changes.clone(), vec![]) else {
        unreachable!("a NEW-VIEW was made");
    };
    let usurper = s.net.keys[3].sign(consortium_node::types::NodeId(3), right.body().clone());
    let usurper = PbftMessage::NewView(Arc::new(usurper));
    assert_eq!(s.give(&usurper), [Refusal::WrongSender]);
    let bad = s.new_view(3, changes, vec![]);
    assert_eq!(s.give(&bad), [Refusal::Malformed]);
    assert_eq!(view(&s), (0, true));
    let block = s.chain(1).remove(0);
    s.give(&s.pre_prepare(0, 1, &block));
    assert_eq!(s.names(), ["PREPARE"]);
    // One that is right is entered although this replica asked for nothing.
    assert_eq!(s.give(&PbftMessage::NewView(right)), []);
    assert_eq!(view(&s), (2, true));
}

#[test]
fn r24_last_executed_never_goes_down_and_executed_slots_are_voted_on_again() {
    let mut s = script(4, 1);
    let chain = s.chain(3);
    s.decide(&chain);
    s.names();
    let entries: Vec<_> = (1..=3)
        .map(|i| s.prepared(0, i, chain[i as usize - 1].id()))
        .collect();
    let changes = vec![
        s.view_change(0, 2, None, entries[..1].to_vec()),
        s.view_change(2, 2, None, entries.clone()),
        s.view_change(3, 2, None, vec![]),
    ];
    let claims: Vec<_> = (1..=3)
        .map(|i| s.claim(2, i, chain[i as usize - 1].id()))
        .collect();
    assert_eq!(s.give(&s.new_view(2, changes, claims)), []);
    assert_eq!(s.engine().executed(), Seq(3));
    assert_eq!(s.names(), ["PREPARE"; 3]);
    for (block, seq) in chain.iter().zip(1..) {
        s.give(&s.prepare(3, 2, seq, block.id()));
        for from in [0, 2, 3] {
            s.give(&s.commit(from, 2, seq, block.id()));
        }
    }
    let once: Vec<Digest> = chain.iter().map(|block| block.id()).collect();
    assert_eq!(
        s.executed(),
        once,
        "the host would panic at a second execution"
    );
}

#[test]
fn r24_a_replica_that_lacks_the_first_slots_takes_over_the_checkpoint_and_votes() {
    let mut s = script(4, 1);
    let chain = s.chain(5);
    let stable = s.stable(4, Digest([9; 32]));
    let entry = s.prepared(0, 5, chain[4].id());
    let changes = vec![
        s.view_change(0, 2, Some(&stable), vec![entry]),
        s.view_change(2, 2, Some(&stable), vec![]),
        s.view_change(3, 2, Some(&stable), vec![]),
    ];
    let claim = s.claim(2, 5, chain[4].id());
    assert_eq!(s.give(&s.new_view(2, changes, vec![claim])), []);
    assert_eq!(s.engine().watermarks().0, Seq(4));
    assert_eq!(s.engine().executed(), Seq(0));
    s.names();
    s.give(&PbftMessage::Body(Arc::clone(&chain[4])));
    assert_eq!(s.names(), ["PREPARE"]);
}

#[test]
fn r25_the_new_primary_goes_on_after_the_highest_prepared_slot() {
    let mut s = script(4, 1);
    let chain = s.chain(2);
    s.give(&s.pre_prepare(0, 1, &chain[0]));
    let entries = vec![
        s.prepared(0, 1, chain[0].id()),
        s.prepared(0, 3, Digest::ZERO),
    ];
    let waits = s.net.submit();
    s.give(&given(&s.view_change(2, 1, None, entries)));
    s.give(&given(&s.view_change(3, 1, None, vec![])));
    assert_eq!(view(&s), (1, true));
    let proposed: Vec<_> = s
        .said()
        .iter()
        .filter_map(|said| match &**said {
            PbftMessage::PrePrepare(message) => message.block.clone().map(|b| (said.slot(), b)),
            _ => None,
        })
        .collect();
    let (slot, block) = &proposed[0];
    assert_eq!((slot.view, slot.seq), (View(1), Seq(4)));
    assert_eq!(
        block.header().parent,
        chain[0].id(),
        "null requests append nothing"
    );
    assert_eq!(block.transactions(), [waits]);
}

#[test]
fn r26_messages_of_a_view_that_has_not_begun_here_are_kept_and_counted_then() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    s.give(&s.commit(0, 2, 1, block.id()));
    s.give(&s.prepare(3, 2, 1, block.id()));
    s.give(&s.pre_prepare(2, 1, &block));
    s.give(&s.commit(2, 2, 1, block.id()));
    assert_eq!(s.names(), [""; 0]);
    assert_eq!(s.give(&s.new_view(2, empty_changes(&s, 2, 9), vec![])), []);
    assert_eq!(s.names(), ["PREPARE", "COMMIT"]);
    assert_eq!(s.executed(), [block.id()]);
}

#[test]
fn r32_the_new_view_timer_starts_with_q_view_changes_and_doubles() {
    let mut s = script(4, 1);
    s.net.submit();
    s.net.run(CONFIG.request_timeout);
    assert_eq!(view(&s), (1, false));
    s.net.run(Duration::from_secs(60));
    assert_eq!(view(&s), (1, false), "alone it waits");
    // It leads views 1 and 5; the others never answer what it proposes there.
    let mut expected = CONFIG.view_change_timeout;
    for target in 2..5 {
        for from in [2, 3] {
            s.give(&given(&s.view_change(from, target, None, vec![])));
        }
        assert_eq!(view(&s), (target, false));
        expected *= 2;
        s.net.run(expected - DELTA);
        assert_eq!(view(&s), (target, false), "timer of view {target}");
        s.net.run(2 * DELTA);
        assert_eq!(view(&s), (target + 1, false), "timer of view {target}");
        expected *= 2;
        if target == 4 {
            break;
        }
        // The timer of the view that it went to alone does not run.
        s.net.run(10 * expected);
        assert_eq!(view(&s), (target + 1, false));
        expected /= 2;
        expected *= 1;
        s.net.run(DELTA);
        let next = s.view_change(2, target + 1, None, vec![]);
        s.give(&given(&next));
    }
}

#[test]
fn r33_f_plus_1_later_views_move_it_to_the_smallest_and_f_do_not() {
    for n in [4, 5, 7, 10] {
        let mut s = script(n, 1);
        let faults = s.net.committee.f();
        let far = u64::MAX;
        for (from, target) in s
            .others()
            .into_iter()
            .take(faults)
            .zip((0..).map(|i| far - i))
        {
            assert_eq!(
                s.give(&given(&s.view_change(from, target, None, vec![]))),
                []
            );
        }
        assert_eq!(view(&s), (0, true), "n = {n}: f liars move nobody");
        let last = s.others()[faults];
        s.give(&given(&s.view_change(last, 3, None, vec![])));
        assert_eq!(view(&s), (3, false), "n = {n}: the smallest of f+1");
        assert_eq!(own_view_change(&mut s).body().view, View(3));
    }
}

#[test]
fn r33_repeated_view_changes_of_one_member_count_once() {
    let mut s = script(4, 1);
    for target in [2, 3, 4, 5] {
        s.give(&given(&s.view_change(3, target, None, vec![])));
    }
    assert_eq!(view(&s), (0, true));
    let older = s.view_change(3, 4, None, vec![]);
    assert_eq!(s.give(&given(&older)), [Refusal::Stale]);
}

#[test]
fn r35_a_replica_that_was_away_learns_the_view_with_the_new_view_message() {
    let mut s = script(4, 1);
    assert_eq!(
        s.give(&s.new_view(1_002, empty_changes(&s, 1_002, 9), vec![])),
        []
    );
    assert_eq!(view(&s), (1_002, true));
    let entered = |tale: &Tale| matches!(tale, Tale::Entered { view, leader } if view.0 == 1_002 && leader.0 == 2);
    assert!(s.net.told(1, entered));
}

#[test]
fn r41_a_block_that_a_new_view_names_is_fetched_before_the_vote() {
    let mut s = script(4, 1);
    let block = s.chain(1).remove(0);
    let stranger = s.chain(1).remove(0);
    let entry = s.prepared(0, 1, block.id());
    let changes = vec![
        s.view_change(0, 2, None, vec![entry]),
        s.view_change(2, 2, None, vec![]),
        s.view_change(3, 2, None, vec![]),
    ];
    let claim = s.claim(2, 1, block.id());
    assert_eq!(s.give(&s.new_view(2, changes, vec![claim])), []);
    assert_eq!(s.names(), ["FETCH"]);
    assert_eq!(
        s.give(&PbftMessage::Body(stranger)),
        [Refusal::Stale],
        "not asked for"
    );
    s.give(&s.prepare(3, 2, 1, block.id()));
    assert_eq!(s.names(), [""; 0], "no vote without the body");
    assert_eq!(s.give(&PbftMessage::Body(block)), []);
    assert_eq!(s.names(), ["PREPARE", "COMMIT"]);
}

#[test]
fn stale_timers_are_harmless() {
    let mut s = script(4, 1);
    s.give(&s.new_view(2, empty_changes(&s, 2, 9), vec![]));
    s.names();
    for timer in [
        Timer::Request(View(0)),
        Timer::Request(View(2)),
        Timer::NewView(View(2)),
        Timer::Status,
    ] {
        s.fire(timer);
    }
    assert_eq!(view(&s), (2, true));
    assert_eq!(s.names(), [""; 0]);
}
