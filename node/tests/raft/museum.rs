//! Errors of the past, played again. Each plot is run here with the rule that prevents it, and in
//! `mutants` without.

use std::sync::Arc;

use consortium_node::{
    engine::Engine as _,
    raft::{Config, RaftMessage},
    types::View,
};

use crate::{
    Net, SECOND, leader, net_with, others,
    stage::{BARE, Stage},
    support::Sent,
    unled,
};

/// Members 2 of 6, from the plot of 2015: a leader whose change nobody else has seen, a second leader
/// with a change of its own, and the first again.
pub(crate) fn two_removals() -> Stage {
    Stage::new(4, 4, BARE)
}

/// M37, `Remove(1) ∥ Remove(0)`.
pub(crate) fn play_two_removals(stage: &mut Stage) {
    stage.play(&[
        "campaign n0",
        "deliver REQUEST-VOTE",
        "deliver VOTE",
        "tell n0 n0 n2 n3",
        "drop",
        "campaign n1",
        "drop",
        "campaign n1",
        "settle to n1 n2 n3 REQUEST-VOTE VOTE",
        "tell n1 n1 n2 n3",
        "submit n1",
        "settle from n1 n2 to n1 n2",
        "drop",
        "crash n0",
        "restart n0",
        "campaign n0",
        "drop",
        "campaign n0",
        "drop",
        "campaign n0",
        "settle from n0 n3 to n0 n3",
        "submit n0",
        "settle from n0 n3 to n0 n3",
        "drop",
    ]);
}

/// M37, `Add(4) ∥ Add(5)`, without learners: four members and two newcomers.
pub(crate) fn two_additions() -> Stage {
    let config = Config {
        learn_first: false,
        ..BARE
    };
    Stage::new(4, 6, config)
}

pub(crate) fn play_two_additions(stage: &mut Stage) {
    stage.play(&[
        "campaign n0",
        "deliver REQUEST-VOTE",
        "deliver VOTE",
        "tell n0 n0 n1 n2 n3 n4",
        "settle from n0 n4 to n0 n4",
        "drop",
        "campaign n1",
        "drop",
        "campaign n1",
        "settle to n1 n2 n3 REQUEST-VOTE VOTE",
        "tell n1 n0 n1 n2 n3 n5",
        "submit n1",
        "settle from n1 n2 n5 to n1 n2 n5",
        "drop",
        "crash n0",
        "restart n0",
        "campaign n0",
        "drop",
        "campaign n0",
        "drop",
        "campaign n0",
        "settle from n0 n3 n4 to n0 n3 n4",
        "submit n0",
        "settle from n0 n3 n4 to n0 n3 n4",
        "drop",
    ]);
}

#[test]
fn m37_ra18_two_changes_of_members_at_once_do_not_make_two_majorities() {
    let mut stage = two_removals();
    play_two_removals(&mut stage);
    assert_eq!(
        (stage.chain(0), stage.chain(1)),
        (String::new(), String::new())
    );
    let mut stage = two_additions();
    play_two_additions(&mut stage);
    assert_eq!(
        (stage.chain(0), stage.chain(1)),
        (String::new(), String::new())
    );
}

/// One entry in a message.
pub(crate) fn figure_8() -> Stage {
    let config = Config {
        append_bytes: 1,
        ..BARE
    };
    Stage::new(5, 5, config)
}

/// M38: Figure 8 of the paper (thesis Figure 3.7), with the no-ops of new leaders.
pub(crate) fn play_figure_8(stage: &mut Stage) {
    stage.play(&[
        "campaign n0",
        "settle",
        "submit n0",
        "deliver APPEND to n1",
        "drop",
        "crash n0",
        // The fifth leads on the votes of those who have not seen the entry, and stops.
        "campaign n4",
        "settle to n2 n3 n4 REQUEST-VOTE VOTE",
        "drop",
        "crash n4",
        "restart n0",
        "campaign n0",
        "drop",
        "campaign n0",
        "settle REQUEST-VOTE VOTE",
        // The old entry reaches a third member, the new one does not.
        "deliver APPEND to n1 n2",
        "deliver APPENDED from n2",
        "deliver APPEND to n2",
        "deliver APPENDED",
        "drop",
        "crash n0",
        "restart n4",
        "campaign n4",
        "drop",
        "campaign n4",
        "settle to n2 n3 n4",
        "submit n4",
        "settle to n2 n3 n4",
        "drop",
    ]);
    assert!(stage.leads(4), "the fifth leads");
    assert_eq!(stage.chain(4), "b");
}

#[test]
fn m38_ra14_figure_8_an_old_entry_on_a_majority_is_not_committed() {
    let mut stage = figure_8();
    play_figure_8(&mut stage);
    assert_eq!(stage.chain(0), "");
    stage.play(&["restart n0", "beat n4", "settle", "beat n4", "settle"]);
    assert_eq!(stage.chain(0), "b", "what it held gave way");
}

/// Loses what is sent between nodes for which `open` does not hold.
fn cut(net: &mut Net, open: impl Fn(u16, u16) -> bool + 'static) {
    net.tamper = Some(Box::new(move |sent: &Sent<RaftMessage>| {
        let (from, to) = (sent.from.0.min(sent.to.0), sent.from.0.max(sent.to.0));
        open(from, to).then(|| Arc::clone(&sent.message))
    }));
}

const PARTIAL: Config = Config {
    rest: false,
    ..BARE
};

#[test]
fn m39_a_ra4_a_member_that_hears_no_leader_raises_terms_for_ever_without_pre_vote() {
    // 0, 1 and 2 hear each other; 3 hears only 1, and 4 only 2.
    let open = |from, to| to <= 2 || (from, to) == (1, 3) || (from, to) == (2, 4);
    let terms = |pre_vote| {
        let mut net = unled(
            5,
            Config {
                pre_vote,
                ..PARTIAL
            },
        );
        cut(&mut net, open);
        net.run(30 * SECOND);
        let before = net.replica(1).engine.status().view;
        net.run(60 * SECOND);
        (before, net.replica(1).engine.status().view)
    };
    let (before, after) = terms(false);
    assert!(after.0 > before.0 + 10, "{before} to {after}");
    let (before, after) = terms(true);
    assert_eq!(before, after);
}

#[test]
fn m39_b_ra9_a_leader_that_one_member_hears_stops_all_without_check_quorum() {
    let ordered = |check_quorum| {
        let config = Config {
            pre_vote: true,
            lease: true,
            check_quorum,
            ..PARTIAL
        };
        let mut net = net_with(5, config);
        net.run(SECOND);
        let led = leader(&net).unwrap();
        let rest = others(&net, led);
        net.crash(rest[0]);
        let bridge = rest[1];
        cut(&mut net, move |from, to| {
            (from != led && to != led) || from == bridge || to == bridge
        });
        net.submit();
        net.run(120 * SECOND);
        net.check_agreement();
        let done = rest[1..]
            .iter()
            .map(|node| net.replica(*node).host.chain.len());
        done.collect::<Vec<_>>()
    };
    assert_eq!(ordered(false), [1, 1, 1], "nobody is elected");
    assert_eq!(ordered(true), [2, 2, 2]);
}

/// M40: a voter stops before so many of the effects of giving its vote, comes back, and is asked by
/// another candidate of the same term.
pub(crate) fn play_vote_and_stop(stage: &mut Stage, effects: usize) {
    stage.command("campaign n0");
    stage.dies_after(1, effects);
    stage.play(&[
        "deliver REQUEST-VOTE to n1",
        "drop REQUEST-VOTE",
        "crash n1",
        "restart n1",
        "campaign n2",
        "deliver REQUEST-VOTE to n1",
        "deliver VOTE",
    ]);
    assert_eq!(stage.term(2), View(1), "both ask in one term");
}

#[test]
fn m40_ra5_term_and_vote_are_one_record_so_nobody_votes_twice_in_a_term() {
    for effects in 0..8 {
        let mut stage = Stage::new(3, 3, BARE);
        play_vote_and_stop(&mut stage, effects);
        assert!(!(stage.leads(0) && stage.leads(2)), "after {effects}");
        assert!(stage.election_faults().is_empty(), "after {effects}");
    }
}

/// M41: a leader that was cut off is asked what may be read, after others have gone on.
pub(crate) fn play_old_leader_reads(stage: &mut Stage) {
    stage.play(&[
        "campaign n0",
        "settle",
        "submit n0",
        "settle",
        "campaign n1",
        "drop REQUEST-VOTE to n0",
        "settle from n1 n2 to n1 n2",
        "drop",
        "submit n1",
        "settle from n1 n2 to n1 n2",
        "drop",
    ]);
    assert!(stage.leads(0) && stage.leads(1));
    assert_eq!((stage.chain(0), stage.chain(1)), ("a".into(), "ab".into()));
    stage.read(0, 7);
}

#[test]
fn m41_ra23_an_old_leader_answers_no_read() {
    let mut stage = Stage::new(3, 3, BARE);
    play_old_leader_reads(&mut stage);
    assert_eq!(stage.readings(0), []);
    stage.play(&["settle", "beat n1", "settle"]);
    assert!(!stage.leads(0));
    let answers = stage.readings(0);
    assert_eq!((answers[0].id, answers[0].height), (7, None), "ask again");
    stage.read(0, 8);
    stage.command("settle");
    assert_eq!(stage.readings(0)[0].height.map(|height| height.0), Some(2));
}
