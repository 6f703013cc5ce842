//! Each rule speaks where its figures say something, and is silent where they do not.

use super::*;
use crate::{
    compare::{
        claims::{Breach, Finality},
        sample::{came_out, cheated, colluding, crash_only, row, with},
        tolerance::Cell,
    },
    metrics::summary::VerdictKind,
};

fn raft_at(ms: f64) -> Row {
    with(crash_only("raft"), name::FINAL_P50, ms)
}

fn pbft() -> Row {
    row("pbft")
}

#[test]
fn a_broken_claim_is_told_with_its_line_and_a_kept_one_is_not() {
    let mut broken = came_out(pbft(), Standing::Forked, "agreement");
    broken.seeds[0].breaches.push(Breach {
        kind: VerdictKind::Safety,
        invariant: "agreement".into(),
        detail: String::new(),
    });
    let texts = broken_claims(&[broken.clone()], &[]);
    assert_eq!(
        texts,
        ["pbft broke what it claims (agreement): report it with: cargo run -- scenario x --seed 7"]
    );
    assert!(broken_claims(&[pbft()], &[]).is_empty());
    assert!(forks(&[broken]).is_empty(), "it is not told twice");
    let curve = |claimed| colluding("pbft", claimed, vec![Cell::Good, Cell::Forked]);
    assert_eq!(broken_claims(&[], &[curve(Some(1))]).len(), 1);
    assert!(broken_claims(&[], &[curve(Some(0))]).is_empty());
}

#[test]
fn a_fork_outside_the_claims_is_told_with_its_seed() {
    let forked = came_out(raft_at(20.0), Standing::Forked, "agreement");
    let texts = forks(&[pbft(), forked]);
    assert_eq!(texts.len(), 1);
    assert!(
        texts[0]
            .starts_with("raft lost its one history in 1 of 1 run, first with seed 7 (agreement)")
    );
    assert!(forks(&[pbft(), raft_at(20.0)]).is_empty());
}

#[test]
fn a_stall_is_told_with_what_was_left() {
    let mut stalled = came_out(pbft(), Standing::Stalled, "bounded-liveness");
    stalled.seeds[0].pending = 3;
    let texts = stalls(&[stalled]);
    assert!(texts[0].starts_with("pbft left 3 transactions without an answer with seed 7"));
    assert!(stalls(&[pbft()]).is_empty());
}

#[test]
fn speed_is_told_with_its_price() {
    let forked = came_out(raft_at(21.0), Standing::Forked, "agreement");
    let text = speed_for_trust(&[pbft(), cheated(forked, 1, 0)], &[]).expect("1.9 times");
    assert!(
        text.starts_with("raft is 1.9x faster here than pbft"),
        "{text}"
    );
    let price = "loses its history when Farm leads and equivocates: seed 7";
    assert!(text.ends_with(price), "{text}");

    let mut stalled = came_out(raft_at(21.0), Standing::Stalled, "bounded-liveness");
    stalled.seeds[0].pending = 9;
    let text = speed_for_trust(&[pbft(), stalled], &[]).expect("still faster");
    assert!(
        text.ends_with("leaves 9 transactions without an answer: seed 7"),
        "{text}"
    );

    let curve = colluding("raft", Some(0), vec![Cell::Good, Cell::Good, Cell::Forked]);
    let text = speed_for_trust(&[pbft(), raft_at(21.0)], &[curve]).expect("still faster");
    assert!(
        text.ends_with("loses its history to 2 lying members (agreement)"),
        "{text}"
    );

    let text = speed_for_trust(&[pbft(), raft_at(21.0)], &[]).expect("still faster");
    assert!(text.ends_with("which this run did not show"), "{text}");
}

#[test]
fn speed_that_is_none_or_has_no_price_is_not_told() {
    assert_eq!(
        speed_for_trust(&[pbft(), raft_at(39.0)], &[]),
        None,
        "no faster"
    );
    let qbft = with(row("qbft"), name::FINAL_P50, 10.0);
    assert_eq!(
        speed_for_trust(&[pbft(), qbft], &[]),
        None,
        "it bears liars too"
    );
    assert_eq!(
        speed_for_trust(&[raft_at(20.0)], &[]),
        None,
        "nobody to compare with"
    );
}

#[test]
fn the_fastest_sound_one_is_named_unless_it_failed() {
    let qbft = with(row("qbft"), name::FINAL_P50, 80.0);
    let text = fastest_sound(&[qbft.clone(), pbft()]).expect("there are two");
    assert!(text.contains("pbft is the fastest"), "{text}");
    let near = with(row("qbft"), name::FINAL_P50, 41.0);
    let text = fastest_sound(&[near, pbft()]).expect("there are two");
    assert!(text.contains("equally fast"), "{text}");
    let stalled = came_out(pbft(), Standing::Stalled, "bounded-liveness");
    assert_eq!(fastest_sound(&[qbft, stalled]), None);
    assert_eq!(
        fastest_sound(&[pbft(), raft_at(1.0)]),
        None,
        "raft bears no liar"
    );
}

#[test]
fn many_more_messages_are_told_and_a_few_more_are_not() {
    let hotstuff = with(row("hotstuff"), name::MESSAGES, 10.0);
    let text = messages(&[pbft(), hotstuff]).expect("three times");
    assert!(
        text.contains("pbft sends 3.0x the messages of hotstuff (30 against 10"),
        "{text}"
    );
    assert_eq!(
        messages(&[pbft(), with(row("qbft"), name::MESSAGES, 20.0)]),
        None
    );
    assert_eq!(
        messages(&[pbft(), with(raft_at(20.0), name::MESSAGES, 5.0)]),
        None
    );
}

#[test]
fn what_was_taken_back_is_told_only_where_it_may_be() {
    let mut clique = with(row("clique"), name::RETRACTED, 12.0);
    clique.finality = Finality::Confirmations(3);
    let texts = taken_back(&[clique.clone()]);
    assert!(
        texts[0].starts_with("clique took back 12 included transactions:"),
        "{texts:?}"
    );
    assert!(texts[0].ends_with("before 3 confirmations"), "{texts:?}");
    assert!(taken_back(&[with(clique, name::RETRACTED, 0.0)]).is_empty());
    assert!(taken_back(&[pbft()]).is_empty());
}

#[test]
fn recovery_is_told_where_it_differs() {
    let after = |protocol, figure, ms| with(row(protocol), figure, ms);
    let rows = [
        after("pbft", name::LEADER_CRASH, 4200.0),
        after("clique", name::LEADER_CRASH, 0.0),
    ];
    assert_eq!(
        leader_crash(&rows).as_deref(),
        Some(
            "when the leader crashes, pbft stands still for 4.2 s and clique for no longer than usual"
        )
    );
    assert_eq!(partition(&rows), None, "there was none");
    assert_eq!(leader_crash(&[rows[0].clone(), rows[0].clone()]), None);
    let rows = [
        after("pbft", name::PARTITION, 500.0),
        after("qbft", name::PARTITION, 60_000.0),
    ];
    assert_eq!(
        partition(&rows).as_deref(),
        Some("when a partition heals, qbft needs 1 min to go on and pbft 500 ms")
    );
    assert_eq!(leader_crash(&rows), None);
}

#[test]
fn room_to_spare_is_told_only_when_nobody_is_busy() {
    let mut idle = pbft();
    idle.busiest.as_mut().expect("a resource").busy_percent = 2.0;
    let text = room(&[idle.clone()]).expect("far from full");
    assert!(text.contains("serial stage 2.0 %"), "{text}");
    assert_eq!(room(&[idle, pbft()]), None);
}

#[test]
fn a_broken_claim_comes_first_and_a_harmless_pair_gets_no_alarm() {
    let rows = [pbft(), with(row("qbft"), name::FINAL_P50, 41.0)];
    let rules: Vec<_> = advise(&rows, &[]).into_iter().map(|a| a.rule).collect();
    assert_eq!(rules, ["fastest-sound"]);
    let forked = came_out(raft_at(10.0), Standing::Forked, "agreement");
    let rules: Vec<_> = advise(&[pbft(), forked], &[])
        .into_iter()
        .map(|a| a.rule)
        .collect();
    assert_eq!(rules, ["fork", "speed-for-trust"]);
}
