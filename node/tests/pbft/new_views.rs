//! R21–R25: what VIEW-CHANGEs prove and what NEW-VIEWs must follow from them.

use std::sync::Arc;

use consortium_node::{
    block::Block,
    crypto::Signed,
    engine::{Message as _, Refusal},
    pbft::{CHECKPOINT, COMMIT, PREPARE, PbftMessage, Prepared, ViewChange},
    types::{Digest, NodeId, Seq, View},
};

use crate::{
    script::Script,
    view_changes::{empty_changes, given, script, view},
};

/// What the replica proposes in the NEW-VIEW that it sent since it was asked last.
fn proposals(s: &mut Script) -> Option<Vec<(u64, Digest)>> {
    s.said().iter().find_map(|said| match &**said {
        PbftMessage::NewView(message) => {
            let claims = message.body().proposals.iter().map(Signed::body);
            Some(claims.map(|claim| (claim.seq.0, claim.digest)).collect())
        }
        _ => None,
    })
}

/// VIEW-CHANGEs for view 4 of which each proves its checkpoint badly, or is not its sender's.
fn bad_checkpoints(s: &Script, d: &[Digest]) -> Vec<(&'static str, Arc<Signed<ViewChange>>)> {
    let of = |signers: &[u16], phase| s.certificate(signers, phase, 0, 2, d[1]);
    let change = |proof: &_| s.view_change(3, 4, Some(proof), vec![]);
    let signed = |key: u16, change| Arc::new(s.net.keys[key as usize].sign(NodeId(3), change));
    let unproved = ViewChange {
        view: View(4),
        stable: Seq(2),
        proof: None,
        prepared: Vec::new(),
    };
    let empty = s.view_change(3, 4, None, vec![]).body().clone();
    vec![
        ("checkpoint unproved", signed(3, unproved)),
        (
            "checkpoint with q−1 signers",
            change(&of(&[0, 3], CHECKPOINT)),
        ),
        (
            "checkpoint with a signer twice",
            change(&of(&[0, 0, 3], CHECKPOINT)),
        ),
        ("checkpoint of commits", change(&of(&[0, 1, 3], COMMIT))),
        ("signed by another", signed(2, empty)),
    ]
}

/// VIEW-CHANGEs for view 4 of which each has a bad prepared entry.
fn bad_entries(s: &Script, d: &[Digest]) -> Vec<(&'static str, Arc<Signed<ViewChange>>)> {
    let good = |view, seq: u64| s.prepared(view, seq, d[seq as usize - 1]);
    let with = |signers: &[u16], view, seq, digest| {
        Arc::new(Prepared {
            claim: s.claim(0, 1, d[0]),
            prepares: Some(s.certificate(signers, PREPARE, view, seq, digest)),
        })
    };
    let usurped = Arc::new(Prepared {
        claim: s.net.keys[3].sign(NodeId(3), *s.claim(0, 1, d[0]).body()),
        prepares: good(0, 1).prepares.clone(),
    });
    let bare = |seq, digest| {
        Arc::new(Prepared {
            claim: s.claim(0, seq, digest),
            prepares: None,
        })
    };
    let stable = s.stable(2, d[1]);
    let change = |prepared| s.view_change(3, 4, None, prepared);
    vec![
        (
            "a slot at h",
            s.view_change(3, 4, Some(&stable), vec![good(0, 2)]),
        ),
        ("a slot above H", change(vec![s.prepared(0, 9, d[0])])),
        ("a slot twice", change(vec![good(0, 1), good(1, 1)])),
        ("slots out of order", change(vec![good(0, 2), good(0, 1)])),
        ("prepared in the target view", change(vec![good(4, 1)])),
        ("prepared in a later view", change(vec![good(5, 1)])),
        (
            "proposal of another than the primary",
            change(vec![usurped]),
        ),
        ("no prepares", change(vec![bare(1, d[0])])),
        ("q−2 prepares", change(vec![with(&[2], 0, 1, d[0])])),
        (
            "the primary among the prepares",
            change(vec![with(&[0, 2], 0, 1, d[0])]),
        ),
        ("a backup twice", change(vec![with(&[2, 2], 0, 1, d[0])])),
        (
            "prepares of another view",
            change(vec![with(&[2, 3], 1, 1, d[0])]),
        ),
        (
            "prepares of another slot",
            change(vec![with(&[2, 3], 0, 2, d[0])]),
        ),
        (
            "prepares of another digest",
            change(vec![with(&[2, 3], 0, 1, d[1])]),
        ),
        (
            "one bad entry among good ones",
            change(vec![good(0, 1), bare(2, d[1])]),
        ),
    ]
}

#[test]
fn r21_a_view_change_with_one_bad_entry_does_not_count_and_the_others_do() {
    // Replica 0 is the primary of view 4.
    let mut first = script(4, 0);
    let chain = first.chain(3);
    let d: Vec<Digest> = chain.iter().map(|block| block.id()).collect();
    let all = [bad_checkpoints(&first, &d), bad_entries(&first, &d)].concat();
    for (what, bad) in all {
        let mut s = script(4, 0);
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
    let usurper = s.net.keys[3].sign(NodeId(3), right.body().clone());
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
