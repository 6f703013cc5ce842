//! R18–R20, R26, R32, R33, R35, R36 and R41: view changes, seen by one replica.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    crypto::Signed,
    engine::{Engine as _, Refusal, Tale},
    pbft::{Config, PbftMessage, Timer, ViewChange},
    types::{NodeId, Seq, View},
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

pub(crate) fn script(n: usize, me: u16) -> Script {
    Script::new(n, me, CONFIG)
}

pub(crate) fn given(change: &Arc<Signed<ViewChange>>) -> PbftMessage {
    PbftMessage::ViewChange(Arc::clone(change))
}

/// So much before.
fn before(time: Duration, earlier: Duration) -> Duration {
    time.checked_sub(earlier).expect("a longer time")
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
pub(crate) fn empty_changes(s: &Script, view: u64, except: u16) -> Vec<Arc<Signed<ViewChange>>> {
    let all = s.net.committee.nodes().map(|node| node.0);
    let some = all.filter(|node| *node != except).take(s.quorum());
    some.map(|from| s.view_change(from, view, None, Vec::new()))
        .collect()
}

pub(crate) fn view(s: &Script) -> (u64, bool) {
    let status = s.engine().status();
    (status.view.0, status.active)
}

#[test]
fn r18_the_timer_runs_while_something_waits_and_stops_with_it() {
    let mut s = script(4, 1);
    let chain = s.chain(1);
    let transaction = Arc::clone(&chain[0].transactions()[0]);
    s.net.run(Duration::from_secs(9));
    assert_eq!(view(&s), (0, true), "nothing waits");
    s.net.submit_to(NodeId(1), &transaction);
    s.net.run(before(CONFIG.request_timeout, DELTA));
    s.decide(&chain);
    s.net.run(Duration::from_secs(9));
    assert_eq!(view(&s), (0, true), "it was executed in time");
    s.net.submit();
    s.net.run(before(CONFIG.request_timeout, DELTA));
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
    let node = NodeId(1);
    for block in &chain {
        s.net.submit_to(node, &block.transactions()[0]);
        s.net.run(DELTA);
    }
    s.net.run(before(CONFIG.request_timeout, 4 * DELTA));
    s.decide(&chain[..1]);
    s.net.run(before(CONFIG.request_timeout, DELTA));
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
        s.net.submit_to(NodeId(1), &block.transactions()[0]);
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
    let node = NodeId(1);
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
        for change in &changes {
            s.give(&given(change));
        }
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
    s.net.run(Duration::from_mins(1));
    assert_eq!(view(&s), (1, false), "alone it waits");
    // The first view change waits for the base, each further one twice as long.
    let mut expected = CONFIG.view_change_timeout;
    for target in [2, 4, 6] {
        for from in [2, 3] {
            s.give(&given(&s.view_change(from, target, None, vec![])));
        }
        assert_eq!(view(&s), (target, false));
        expected *= 2;
        s.net.run(before(expected, DELTA));
        assert_eq!(view(&s), (target, false), "timer of view {target}");
        s.net.run(2 * DELTA);
        assert_eq!(view(&s), (target + 1, false), "timer of view {target}");
        // In the next view it is alone again, and no timer runs there.
        s.net.run(10 * expected);
        assert_eq!(view(&s), (target + 1, false));
        expected *= 2;
    }
}

#[test]
fn r32_timeouts_return_to_their_base_when_a_new_request_is_executed_in_the_view() {
    let mut s = script(4, 1);
    for target in [2, 3, 4] {
        for from in [2, 3] {
            s.give(&given(&s.view_change(from, target, None, vec![])));
        }
    }
    let block = s.chain(1).remove(0);
    s.give(&s.new_view(4, empty_changes(&s, 4, 9), vec![]));
    let patience = |s: &mut Script| {
        s.net.submit();
        let start = s.net.now;
        while view(s).1 {
            s.net.run(DELTA);
        }
        Duration::from_nanos(s.net.now - start)
    };
    let mut other = script(4, 1);
    for target in [2, 3, 4] {
        for from in [2, 3] {
            other.give(&given(&other.view_change(from, target, None, vec![])));
        }
    }
    other.give(&other.new_view(4, empty_changes(&other, 4, 9), vec![]));
    assert_eq!(
        patience(&mut other),
        4 * CONFIG.request_timeout,
        "three in a row"
    );
    s.give(&s.pre_prepare(4, 1, &block));
    for from in [0, 2, 3] {
        s.give(&s.commit(from, 4, 1, block.id()));
    }
    assert_eq!(s.executed(), [block.id()]);
    assert_eq!(patience(&mut s), CONFIG.request_timeout);
}

#[test]
fn r33_f_plus_1_later_views_move_it_to_the_smallest_and_f_do_not() {
    for n in [4, 5, 7, 10] {
        let mut s = script(n, 1);
        let faults = s.net.committee.f();
        let far = u64::from(u32::MAX); // the last view of the epoch
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
    let entered = Tale::Entered {
        view: View(1_002),
        leader: NodeId(2),
    };
    assert!(s.net.told(1, |tale: &Tale| *tale == entered));
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
