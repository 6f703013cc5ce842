//! The rules of the chapter, one validator at a time.

use consortium_node::{
    engine::{Recovery, Refusal, Tale},
    qbft::{Config, Qbft},
    types::{Mono, NodeId},
};

use crate::{BRISK, SECOND, height, net, net_with, script::Script, support::DELTA};

const NEVER: [Refusal; 0] = [];

#[test]
fn qb2_qb15_only_the_first_proposal_of_the_proposer_is_accepted() {
    let mut s = Script::new(4, 2, BRISK);
    let (block, foreign) = (s.first(0), s.first(1));
    assert_eq!(s.give(&s.propose(1, 0, &foreign)), [Refusal::WrongSender]);
    assert_eq!(
        s.give(&s.propose(0, 0, &foreign)),
        [Refusal::BadBlock],
        "not its own"
    );
    assert_eq!(s.give(&s.propose(0, 0, &block)), NEVER);
    assert_eq!(s.said(), [("PREPARE", 0)]);
    let other = s.first(0);
    assert_eq!(s.give(&s.propose(0, 0, &other)), [Refusal::Conflicting]);
    assert!(
        s.net
            .told(2, |tale| matches!(tale, Tale::Equivocation { .. }))
    );
    assert_eq!(s.give(&s.prepare(3, 0, &other)), NEVER);
    assert_eq!(s.give(&s.prepare(3, 0, &block)), [Refusal::Conflicting]);
    assert_eq!(s.said(), []);
}

#[test]
fn qb2_a_block_that_comes_before_its_time_or_that_the_host_refuses_is_not_accepted() {
    let config = Config {
        block_period: SECOND,
        ..BRISK
    };
    let mut s = Script::new(4, 2, config);
    let first = s.first(0);
    s.give(&s.propose(0, 0, &first));
    for from in [0, 1, 3] {
        s.give(&s.commit(from, 0, &first));
    }
    s.said();
    let next = s.block(&first, 1);
    assert_eq!(s.give(&s.propose(1, 0, &next)), [Refusal::BadBlock]);
    assert_eq!(s.said(), []);
}

#[test]
fn qb3_a_quorum_of_prepares_for_the_accepted_block_brings_commit_once() {
    let mut s = Script::new(7, 2, BRISK);
    let block = s.first(0);
    for from in [0, 1, 3] {
        s.give(&s.prepare(from, 0, &block));
    }
    s.give(&s.propose(0, 0, &block));
    assert_eq!(s.said(), [("PREPARE", 0)], "three and its own");
    s.give(&s.prepare(3, 0, &block));
    assert_eq!(s.said(), []);
    s.give(&s.prepare(4, 0, &block));
    s.give(&s.prepare(5, 0, &block));
    assert_eq!(s.said(), [("COMMIT", 0)]);
}

#[test]
fn qb4_a_quorum_of_commits_decides_also_late_and_one_less_does_not() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(0);
    s.give(&s.propose(0, 0, &block));
    s.expire(1, 0);
    for from in [0, 1] {
        s.give(&s.commit(from, 0, &block));
        s.give(&s.commit(from, 0, &block));
        assert_eq!(s.height(), 0);
    }
    s.give(&s.commit(3, 0, &block));
    assert_eq!(s.height(), 1);
}

#[test]
fn qb4_qb11_commits_for_a_block_that_is_not_here_have_the_host_fetch_it() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(0);
    for from in [0, 1, 3] {
        s.give(&s.commit(from, 0, &block));
    }
    assert_eq!((s.height(), s.net.replica(2).behind), (0, 1));
}

#[test]
fn qb5_the_timer_brings_a_round_change_with_what_is_prepared() {
    let mut s = Script::new(4, 2, BRISK);
    s.net.submit();
    s.net.run(SECOND);
    assert_eq!(s.said(), [("ROUND-CHANGE", 1)]);
    s.net.run(2 * SECOND);
    assert_eq!(s.said()[0], ("ROUND-CHANGE", 2));
    s.net.run(4 * SECOND);
    assert_eq!(s.said()[0], ("ROUND-CHANGE", 3));
}

#[test]
fn qb6_f_plus_1_later_rounds_move_to_the_smallest_of_them() {
    let mut s = Script::new(7, 2, BRISK);
    s.give(&s.change(0, 1, 9));
    s.give(&s.change(1, 1, 5));
    assert_eq!(s.said(), []);
    s.give(&s.change(3, 1, 7));
    assert_eq!(s.said(), [("ROUND-CHANGE", 5)]);
    // Of the two that are left in later rounds one may lie.
    s.give(&s.change(4, 1, 6));
    assert_eq!(s.said(), [("ROUND-CHANGE", 6)]);
}

#[test]
fn qb9_rounds_double_while_something_waits_and_rest_when_nothing_does() {
    let mut net = net(4);
    net.groups = vec![0, 1, 2, 3];
    net.submit();
    net.run(120 * SECOND);
    let tales = net.replica(0).tales.iter();
    let suspected = |(at, tale): &(Mono, Tale)| matches!(tale, Tale::Suspected(_)).then_some(at.0);
    let times: Vec<u64> = tales.filter_map(suspected).collect();
    let seconds = times.iter().map(|at| at / SECOND.as_nanos() as u64);
    assert_eq!(seconds.collect::<Vec<_>>(), [1, 3, 7, 15, 31, 63]);
}

#[test]
fn qb10_votes_of_later_rounds_count_when_the_round_is_there() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(1);
    for from in [0, 3] {
        s.give(&s.prepare(from, 1, &block));
    }
    let changes = [0, 1, 3].map(|from| s.change(from, 1, 1));
    let [a, b, c] = changes.each_ref();
    s.give(&s.justified(1, 1, &block, &[a, b, c], None));
    assert_eq!(s.said(), [("PREPARE", 1), ("COMMIT", 1)]);
}

#[test]
fn qb11_messages_of_the_next_height_are_kept_and_one_member_makes_nobody_fetch() {
    let mut s = Script::new(4, 2, BRISK);
    let first = s.first(0);
    let second = s.block(&first, 1);
    s.give(&s.propose(1, 0, &second));
    for from in [0, 3] {
        s.give(&s.prepare(from, 0, &second));
    }
    s.give(&s.propose(0, 0, &first));
    for from in [0, 1, 3] {
        s.give(&s.commit(from, 0, &first));
    }
    assert_eq!(s.said(), [("PREPARE", 0), ("PREPARE", 0), ("COMMIT", 0)]);
    assert_eq!(s.give(&s.change(3, 1_000_000, 1)), [Refusal::TooFar]);
    s.net.run(5 * SECOND);
    assert_eq!(s.net.replica(2).behind, 0);
    s.give(&s.change(1, 9, 1));
    s.net.run(5 * SECOND);
    assert!(s.net.replica(2).behind > 0);
}

#[test]
fn m20_qb9_a_timer_that_expires_at_the_decision_says_nothing() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(0);
    s.give(&s.propose(0, 0, &block));
    for from in [0, 1, 3] {
        s.give(&s.commit(from, 0, &block));
    }
    assert_eq!(s.height(), 1);
    s.said();
    s.expire(1, 0);
    assert_eq!(s.said(), []);
}

#[test]
fn qb14_another_committee_takes_over_at_its_height() {
    let mut net = crate::Net::founded_by(4, 6, |me, key, committee, genesis| {
        Qbft::new(BRISK, me, key, committee, genesis)
    });
    net.hosts_sync = true;
    net.change(2, 5, &[1, 2, 3, 4, 5]);
    for _ in 0..2 {
        net.submit();
        net.run(SECOND);
    }
    net.run(20 * SECOND);
    // Empty blocks bring height 5 near.
    assert!(height(&net, 1) >= 4);
    net.crash(2);
    net.restart(2, Recovery::Clean);
    net.submit();
    net.run(60 * SECOND);
    net.check_done(&[1, 2, 3, 4, 5]);
    // Who has restarted proposes as well.
    for _ in 0..5 {
        net.submit();
        net.run(5 * DELTA);
    }
    net.check_done(&[1, 2, 3, 4, 5]);
    let voted = |tale: &Tale| matches!(tale, Tale::Voted(vote) if vote.view.epoch().0 == 1);
    assert!(net.told(5, voted) && !net.told(0, voted));
    let proposer = net
        .replica(1)
        .host
        .chain
        .last()
        .expect("a block")
        .header()
        .proposer;
    assert_ne!(proposer, NodeId(0));
}

#[test]
fn qb9_resending_heals_a_lost_vote_within_the_round() {
    let config = Config {
        resend: Some(10 * DELTA),
        ..BRISK
    };
    let mut net = net_with(4, config);
    net.loss_permille = 300;
    for _ in 0..5 {
        net.submit();
        net.run(SECOND / 2);
    }
    net.loss_permille = 0;
    net.run(5 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
}
