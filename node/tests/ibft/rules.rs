//! The rules of the chapter, one validator at a time.

use std::sync::Arc;

use consortium_node::{
    engine::{Forks, Message as _, Recovery, Refusal, Tale},
    ibft::Config,
    types::{Mono, NodeId},
};

use crate::{BRISK, SECOND, height, net, script::Script, support::DELTA};

const NEVER: [Refusal; 0] = [];

#[test]
fn ib2_only_the_first_proposal_of_the_proposer_is_answered() {
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
            .told(2, |tale| matches!(tale, Tale::Equivocation { .. })),
        "IB13"
    );
    assert_eq!(s.said(), []);
}

#[test]
fn ib2_a_proposal_that_the_host_refuses_is_answered_with_round_change() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(0);
    let bad = block.transactions()[0].id();
    s.net.replicas[2].host.bad.insert(bad);
    assert_eq!(s.give(&s.propose(0, 0, &block)), [Refusal::BadBlock]);
    assert_eq!(s.said(), [("ROUND-CHANGE", 1)]);
}

/// Validator 2 of four, locked on a block in round 0.
fn locked(config: Config) -> (Script, Arc<consortium_node::block::Block>) {
    let mut s = Script::new(4, 2, config);
    let block = s.first(0);
    s.give(&s.propose(0, 0, &block));
    s.give(&s.prepare(0, 0, &block));
    assert_eq!(s.engine().lock(), None);
    s.give(&s.prepare(1, 0, &block));
    assert_eq!(s.said(), [("PREPARE", 0), ("COMMIT", 0)]);
    assert_eq!(s.engine().lock(), Some(block.id()));
    (s, block)
}

#[test]
fn ib3_ib4_ib6_a_locked_validator_commits_its_block_at_once_and_answers_another_with_round_change()
{
    let (mut s, block) = locked(BRISK);
    s.expire(1, 0);
    assert_eq!(s.said(), [("ROUND-CHANGE", 1)]);
    let other = s.first(1);
    s.give(&s.propose(1, 1, &other));
    assert_eq!(s.said(), [], "it waits");
    s.give(&s.change(0, 1, 1));
    s.give(&s.change(1, 1, 1));
    assert_eq!(
        s.said(),
        [("ROUND-CHANGE", 2)],
        "IB7: the round began, and the offer is another"
    );
    assert_eq!(s.engine().lock(), Some(block.id()));
    // In round 3 somebody proposes the lock's block.
    s.give(&s.change(0, 1, 3));
    s.give(&s.change(1, 1, 3));
    s.said();
    s.give(&s.propose(3, 3, &block));
    assert_eq!(s.said(), [("COMMIT", 3)]);
}

#[test]
fn ib1_a_locked_proposer_proposes_its_lock() {
    let (mut s, block) = locked(BRISK);
    s.net.submit();
    s.give(&s.change(0, 1, 2));
    s.give(&s.change(1, 1, 2));
    let said = s.said();
    assert_eq!(
        said,
        [("ROUND-CHANGE", 2), ("PRE-PREPARE", 2), ("COMMIT", 2)]
    );
    s.give(&s.commit(0, 2, &block));
    s.give(&s.commit(1, 2, &block));
    assert_eq!(s.height(), 1);
    assert_eq!(s.engine().lock(), None, "IB5");
}

#[test]
fn ib5_commits_of_a_quorum_decide_whether_or_not_it_was_prepared_and_one_less_does_not() {
    let mut s = Script::new(4, 2, BRISK);
    let block = s.first(0);
    s.give(&s.propose(0, 0, &block));
    for from in [0, 1] {
        s.give(&s.commit(from, 0, &block));
        s.give(&s.commit(from, 0, &block));
        assert_eq!(s.height(), 0);
    }
    s.give(&s.commit(3, 0, &block));
    assert_eq!(s.height(), 1);
}

#[test]
fn m19_ib4_where_the_commit_comes_last_the_round_is_lost() {
    for heeds_commits in [false, true] {
        let config = Config {
            heeds_commits,
            ..BRISK
        };
        let mut s = Script::new(4, 0, config);
        let block = s.first(1);
        // 1 and 2 are locked since round 0; 1 proposes again. 0 and 3 are not locked.
        s.give(&s.change(1, 1, 1));
        s.give(&s.change(2, 1, 1));
        s.give(&s.propose(1, 1, &block));
        s.said();
        s.give(&s.prepare(3, 1, &block));
        s.give(&s.commit(1, 1, &block));
        assert_eq!(s.said().contains(&("COMMIT", 1)), heeds_commits);
        s.give(&s.commit(2, 1, &block));
        // Two PREPAREs and two COMMITs of four validators: all agree, and nothing is decided.
        assert_eq!(s.height(), usize::from(heeds_commits));
        // In the other order it works.
        let mut s = Script::new(4, 0, config);
        s.give(&s.change(1, 1, 1));
        s.give(&s.change(2, 1, 1));
        s.give(&s.propose(1, 1, &block));
        s.give(&s.commit(1, 1, &block));
        s.give(&s.prepare(3, 1, &block));
        assert!(s.said().contains(&("COMMIT", 1)));
    }
}

#[test]
fn m20_ib9_a_timer_that_expires_at_the_decision_says_nothing() {
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
fn ib7_one_word_moves_nobody_f_plus_1_make_wait_and_a_quorum_begins_a_round() {
    let mut s = Script::new(7, 2, BRISK);
    for from in [0, 1] {
        s.give(&s.change(from, 1, 4));
        assert_eq!(s.said(), []);
    }
    s.give(&s.change(3, 1, 4));
    assert_eq!(s.said(), [("ROUND-CHANGE", 4)]);
    let block = s.first(4);
    s.give(&s.propose(4, 4, &block));
    assert_eq!(s.said(), []);
    s.give(&s.change(5, 1, 4));
    assert_eq!(s.said(), [("PREPARE", 4)]);
}

#[test]
fn ib8_a_round_lasts_as_long_as_it_says() {
    let mut net = net(4);
    net.groups = vec![0, 1, 2, 3];
    net.submit();
    net.run(120 * SECOND);
    let tales = net.replica(0).tales.iter();
    let suspected = |(at, tale): &(Mono, Tale)| matches!(tale, Tale::Suspected(_)).then_some(at.0);
    let times: Vec<u64> = tales.filter_map(suspected).collect();
    let seconds = times.iter().map(|at| at / SECOND.as_nanos() as u64);
    // 1, then 1+2, 1+4, 1+8, 1+16, 1+32.
    assert_eq!(seconds.collect::<Vec<_>>(), [1, 4, 9, 18, 35, 68]);
}

#[test]
fn ib10_liars_fill_nothing_and_a_validator_behind_fetches() {
    let mut s = Script::new(4, 2, BRISK);
    for round in 1..100 {
        let refused = s.give(&s.change(3, 1, round));
        assert_eq!(refused.is_empty(), round <= 8, "round {round}");
    }
    let far = s.first(3);
    assert_eq!(s.give(&s.propose(3, 99, &far)), [Refusal::TooFar]);
    let high = s.change(3, 1_000_000, 0);
    assert_eq!(s.give(&high), [Refusal::TooFar]);
    s.net.run(10 * SECOND);
    assert_eq!(s.net.replica(2).behind, 0, "one member's word");
    s.give(&s.change(1, 5, 0));
    s.net.run(10 * SECOND);
    assert!(s.net.replica(2).behind > 0);
}

#[test]
fn ib10_a_validator_that_missed_the_end_is_told() {
    let mut net = net(4);
    net.groups = vec![0, 0, 0, 1];
    for _ in 0..3 {
        net.submit();
        net.run(5 * DELTA);
    }
    assert_eq!([0, 3].map(|node| height(&net, node)), [3, 0]);
    net.groups = vec![0; 4];
    net.run(60 * SECOND);
    net.check_done(&[0, 1, 2, 3]);
}

#[test]
fn ib12_another_committee_takes_over_at_its_height() {
    let mut net = crate::Net::founded_by(4, 6, |me, key, committee, genesis| {
        consortium_node::ibft::Ibft::new(BRISK, me, key, committee, genesis)
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
fn ib13_two_conflicting_proposals_are_evidence_and_the_first_counts() {
    let mut net = net(4);
    net.submit();
    net.run(SECOND);
    let honest = net.trace.iter().find(|sent| sent.to == NodeId(2));
    let honest = Arc::clone(&honest.expect("a proposal").message);
    let mut net = crate::net(4);
    let key = Arc::clone(&net.keys[0]);
    let lie = honest.conflicting(&key, NodeId(0), &mut Forks::new());
    net.inject(NodeId(0), NodeId(2), &honest);
    net.inject(NodeId(0), NodeId(2), &lie.expect("a lie"));
    let by_0 = |tale: &Tale| matches!(tale, Tale::Equivocation { by, .. } if *by == NodeId(0));
    assert!(net.told(2, by_0));
}
