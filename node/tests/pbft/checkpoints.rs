//! R13–R17: checkpoints and watermarks.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    codec,
    engine::{Message as _, Refusal, Tale},
    pbft::{Config, PbftMessage},
    types::{Digest, NodeId, Seq},
};

use crate::{
    net_with,
    script::Script,
    support::{DELTA, Sent},
};

const SMALL: Config = Config {
    checkpoint_interval: 2,
    window: 4,
    pipeline: 8,
    request_timeout: Duration::from_secs(2),
    request_deadline: Duration::from_secs(20),
    view_change_timeout: Duration::from_secs(2),
    status_interval: Duration::from_secs(1),
};

/// The digest of the replica's own checkpoint at `seq`.
fn own_checkpoint(s: &mut Script, seq: u64) -> Option<Digest> {
    s.said().iter().find_map(|said| match &**said {
        PbftMessage::Checkpoint(vote) if vote.body().slot == Seq(seq) => Some(vote.body().digest),
        _ => None,
    })
}

#[test]
fn r13_the_digest_covers_slot_head_height_and_results_of_which_replay_windows_are_a_part() {
    let mut s = Script::new(4, 1, SMALL);
    let chain = s.chain(2);
    s.decide(&chain);
    let digest = own_checkpoint(&mut s, 2).expect("a checkpoint after K slots");
    let results = s.net.replica(1).host.results;
    let state = |seq: u64| {
        let (height, root) = (results.height, results.state_root);
        codec::digest(
            "checkpoint",
            &(Seq(seq), chain[1].id(), height, root, results.receipts_root),
        )
    };
    assert_eq!(digest, state(2));
    assert_ne!(
        state(2),
        state(4),
        "an equal state later is another checkpoint"
    );
}

#[test]
fn r14_a_checkpoint_is_stable_with_q_equal_votes_of_distinct_members() {
    for n in [4, 5, 6, 7, 10] {
        let mut s = Script::new(n, 1, SMALL);
        let chain = s.chain(2);
        s.decide(&chain);
        let digest = own_checkpoint(&mut s, 2).expect("a checkpoint");
        let others = s.others();
        let quorum = s.quorum();
        assert_eq!(
            s.give(&s.checkpoint(others[quorum - 1 - (n == quorum) as usize], 2, Digest::ZERO)),
            []
        );
        for from in &others[..quorum - 2] {
            s.give(&s.checkpoint(*from, 2, digest));
            assert_eq!(s.give(&s.checkpoint(*from, 2, digest)), [Refusal::Stale]);
        }
        assert_eq!(s.engine().watermarks().0, Seq(0), "n = {n}: q−1 do not do");
        s.give(&s.checkpoint(others[quorum - 2], 2, digest));
        assert_eq!(s.engine().watermarks(), (Seq(2), Seq(6)), "n = {n}");
        let stable = |tale: &Tale| {
            *tale
                == Tale::Stable {
                    seq: Seq(2),
                    digest,
                }
        };
        assert!(s.net.told(1, stable));
    }
}

#[test]
fn r14_a_member_that_says_two_things_about_one_slot_counts_once_and_is_named() {
    let mut s = Script::new(4, 1, SMALL);
    let chain = s.chain(2);
    s.decide(&chain);
    let digest = own_checkpoint(&mut s, 2).expect("a checkpoint");
    s.give(&s.checkpoint(3, 2, Digest::ZERO));
    assert_eq!(s.give(&s.checkpoint(3, 2, digest)), [Refusal::Conflicting]);
    let named = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if by.0 == 3);
    assert!(s.net.told(1, named));
    assert_eq!(s.engine().watermarks().0, Seq(0));
}

#[test]
fn r14_only_multiples_of_k_in_view_zero_are_checkpoints() {
    let mut s = Script::new(4, 1, SMALL);
    assert_eq!(
        s.give(&s.checkpoint(2, 3, Digest::ZERO)),
        [Refusal::Malformed]
    );
    let vote = s.vote(2, consortium_node::pbft::CHECKPOINT, 1, 2, Digest::ZERO);
    assert_eq!(s.give(&PbftMessage::Checkpoint(vote)), [Refusal::Malformed]);
}

#[test]
fn r15_the_primary_never_assigns_above_h_and_goes_on_when_a_checkpoint_is_stable() {
    let mut net = net_with(4, SMALL);
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let lost = matches!(
            &*sent.message,
            PbftMessage::Checkpoint(_) | PbftMessage::Stable(_)
        );
        (!lost).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..10 {
        net.submit();
    }
    net.run(30 * DELTA);
    let highest = |net: &crate::Net| {
        let proposals = net.trace.iter().filter(|s| s.message.kind().proposal);
        proposals.map(|sent| sent.message.slot().seq.0).max()
    };
    assert_eq!(highest(&net), Some(4));
    net.tamper = None;
    net.run(Duration::from_millis(1_500));
    net.check_done(&[0, 1, 2, 3]);
    assert_eq!(highest(&net), Some(10));
    assert!(!net.told(1, |tale| matches!(tale, Tale::Suspected(_))));
}

#[test]
fn r15_what_lies_at_or_below_h_is_dropped_and_refused() {
    let mut s = Script::new(4, 1, SMALL);
    let chain = s.chain(2);
    s.decide(&chain);
    let digest = own_checkpoint(&mut s, 2).expect("a checkpoint");
    s.give(&s.checkpoint(0, 2, digest));
    s.give(&s.checkpoint(2, 2, digest));
    for seq in [1, 2] {
        let block = &chain[seq as usize - 1];
        assert_eq!(s.give(&s.pre_prepare(0, seq, block)), [Refusal::Stale]);
        assert_eq!(s.give(&s.prepare(3, 0, seq, block.id())), [Refusal::Stale]);
        assert_eq!(s.give(&s.commit(3, 0, seq, block.id())), [Refusal::Stale]);
    }
    assert_eq!(s.give(&s.checkpoint(3, 2, digest)), [Refusal::Stale]);
}

#[test]
fn r16_its_own_checkpoint_moves_nothing_and_a_proposal_just_above_h_is_kept() {
    let mut s = Script::new(4, 1, SMALL);
    let chain = s.chain(5);
    s.decide(&chain[..4]);
    assert_eq!(
        s.engine().watermarks(),
        (Seq(0), Seq(4)),
        "its own word is not enough"
    );
    let digest = {
        let said = s.said();
        let of = |seq| {
            said.iter().find_map(|said| match &**said {
                PbftMessage::Checkpoint(vote) if vote.body().slot == Seq(seq) => {
                    Some(vote.body().digest)
                }
                _ => None,
            })
        };
        of(2).expect("a checkpoint")
    };
    // The primary moved its watermarks first (Fabric #1119).
    assert_eq!(s.give(&s.pre_prepare(0, 5, &chain[4])), []);
    assert_eq!(s.give(&s.prepare(3, 0, 5, chain[4].id())), []);
    assert_eq!(s.names(), [""; 0]);
    s.give(&s.checkpoint(0, 2, digest));
    s.give(&s.checkpoint(2, 2, digest));
    assert_eq!(s.names(), ["PREPARE", "COMMIT"]);
}

#[test]
fn r16_m04_checkpoints_that_come_late_to_backups_cause_no_view_change() {
    let mut net = net_with(4, SMALL);
    net.crash(3);
    net.tamper = Some(Box::new(|sent: &Sent<PbftMessage>| {
        let late = matches!(&*sent.message, PbftMessage::Checkpoint(_)) && sent.to != NodeId(0);
        (!late).then(|| Arc::clone(&sent.message))
    }));
    for _ in 0..8 {
        net.submit();
    }
    net.run(40 * DELTA);
    net.tamper = None;
    net.run(Duration::from_millis(1_500));
    net.check_done(&[0, 1, 2]);
    assert!(!net.told(1, |tale| matches!(tale, Tale::Suspected(_))));
}

#[test]
fn r17_f_plus_1_checkpoints_above_its_window_make_it_ask_and_q_move_it() {
    let mut s = Script::new(4, 1, SMALL);
    let digest = Digest([7; 32]);
    let interval = SMALL.status_interval;
    s.give(&s.checkpoint(2, 100, digest));
    s.net.run(2 * interval);
    assert_eq!(s.names(), [""; 0], "one may lie");
    s.give(&s.checkpoint(3, 100, digest));
    s.net.run(2 * interval);
    assert!(s.names().contains(&"STATUS"));
    assert_eq!(s.engine().watermarks().0, Seq(0));
    s.give(&s.checkpoint(0, 100, digest));
    assert_eq!(s.engine().watermarks(), (Seq(100), Seq(104)));
    assert_eq!(s.engine().executed(), Seq(0), "behind, not rolled forward");
    // It votes on: proposals wait for the state, but a certificate of others is counted.
    for from in [0, 2, 3] {
        assert_eq!(s.give(&s.commit(from, 0, 101, digest)), []);
    }
}

#[test]
fn r17_a_stable_certificate_needs_q_signers_of_one_checkpoint() {
    let mut s = Script::new(4, 1, SMALL);
    let digest = Digest([7; 32]);
    let two = s.certificate(&[0, 2], consortium_node::pbft::CHECKPOINT, 0, 4, digest);
    assert_eq!(s.give(&PbftMessage::Stable(two)), [Refusal::Malformed]);
    let commits = s.certificate(&[0, 2, 3], consortium_node::pbft::COMMIT, 0, 4, digest);
    assert_eq!(s.give(&PbftMessage::Stable(commits)), [Refusal::Malformed]);
    let right = s.stable(4, digest);
    assert_eq!(s.give(&PbftMessage::Stable(right.clone())), []);
    assert_eq!(s.engine().watermarks().0, Seq(4));
    assert_eq!(s.give(&PbftMessage::Stable(right)), [Refusal::Stale]);
}
