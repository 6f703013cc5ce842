//! QB7, QB8: what justifies a ROUND-CHANGE and a PROPOSAL; M21, the holes that implementations had.

use std::sync::Arc;

use consortium_node::{
    engine::Refusal,
    qbft::{Claim, QbftMessage},
    types::View,
};

use crate::{BRISK, script::Script};

const NEVER: [Refusal; 0] = [];

/// Validator 2 of four; proposers of rounds 0 to 3 are 0 to 3.
fn script() -> Script {
    Script::new(4, 2, BRISK)
}

#[test]
fn m21a_qb7_a_claim_without_its_prepares_is_not_believed() {
    let mut s = script();
    let block = s.first(0);
    let claim = Some(Claim {
        view: View(0),
        digest: block.id(),
    });
    let whole = Some(Arc::clone(&block));
    let bare = s.changed(3, (1, 2), claim, None, whole.clone());
    assert_eq!(s.give(&bare), [Refusal::Malformed]);
    let few = s.prepared(&[0, 3], 0, &block);
    let few = s.changed(3, (1, 2), claim, Some(few), whole.clone());
    assert_eq!(s.give(&few), [Refusal::BadSignature]);
    let twice = s.prepared(&[0, 3, 3], 0, &block);
    let twice = s.changed(3, (1, 2), claim, Some(twice), whole.clone());
    assert_eq!(s.give(&twice), [Refusal::BadSignature]);
    // PREPAREs of another round, and no block.
    let other = s.prepared(&[0, 1, 3], 1, &block);
    let other = s.changed(3, (1, 2), claim, Some(other), whole);
    assert_eq!(s.give(&other), [Refusal::Malformed]);
    let proof = s.prepared(&[0, 1, 3], 0, &block);
    let blind = s.changed(3, (1, 2), claim, Some(proof), None);
    assert_eq!(s.give(&blind), [Refusal::Malformed]);
    assert_eq!(s.give(&s.claiming(3, 2, &block, (0, &[0, 1, 3]))), NEVER);
}

#[test]
fn m21b_qb7_the_prepared_round_is_lower_than_the_round() {
    let mut s = script();
    let block = s.first(0);
    for prepared in [2, 3, u64::from(u32::MAX)] {
        let said = s.claiming(3, 2, &block, (prepared, &[0, 1, 3]));
        assert_eq!(
            s.give(&said),
            [Refusal::Malformed],
            "prepared in {prepared}"
        );
    }
    assert_eq!(s.give(&s.claiming(3, 2, &block, (1, &[0, 1, 3]))), NEVER);
}

#[test]
fn m21c_qb8_the_proposer_takes_the_block_of_the_highest_claim_from_the_round_change() {
    let mut s = script();
    s.net.submit();
    let (low, high) = (s.first(0), s.first(1));
    // It knows neither block; and something of its own waits.
    s.give(&s.claiming(0, 2, &low, (0, &[0, 1, 3])));
    s.give(&s.claiming(1, 2, &high, (1, &[0, 1, 3])));
    assert_eq!(
        s.said(),
        [("ROUND-CHANGE", 2), ("PROPOSAL", 2), ("PREPARE", 2)]
    );
    s.give(&s.prepare(0, 2, &high));
    s.give(&s.prepare(1, 2, &high));
    assert_eq!(s.said(), [("COMMIT", 2)]);
    for from in [0, 1] {
        s.give(&s.commit(from, 2, &high));
    }
    assert_eq!(s.net.replica(2).host.chain[1].id(), high.id());
}

#[test]
fn m21d_qb8_a_block_of_an_earlier_round_passes_validation_in_a_later_one_at_its_proposer_too() {
    let mut s = script();
    let block = s.first(0);
    s.give(&s.propose(0, 0, &block));
    for from in [0, 1] {
        s.give(&s.prepare(from, 0, &block));
    }
    assert_eq!(s.said(), [("PREPARE", 0), ("COMMIT", 0)]);
    for from in [0, 1] {
        s.give(&s.change(from, 1, 2));
    }
    // Its own claim is the highest: the same block, made by another proposer, with the same id.
    let words = s.words();
    let proposed = words.iter().find_map(|word| match &**word {
        QbftMessage::Proposal(proposal) => Some(proposal.block.id()),
        _ => None,
    });
    assert_eq!(proposed, Some(block.id()));
}

#[test]
fn m21e_qb10_huge_rounds_move_nobody_and_fill_nothing() {
    let mut s = script();
    let block = s.first(3);
    for round in (1..200).chain([u64::from(u32::MAX)]) {
        assert_eq!(
            s.give(&s.change(3, 1, round)),
            NEVER,
            "the last one is kept"
        );
        let kept = s.give(&s.prepare(3, round, &block));
        assert_eq!(kept.is_empty(), round <= 8, "round {round}");
    }
    assert_eq!(s.said(), []);
    assert_eq!(s.engine().round(), 0);
    // With an honest one the smaller of the two rounds is entered.
    s.give(&s.change(1, 1, 1));
    assert_eq!(s.engine().round(), 1);
    let elsewhere = s.give(&s.change(0, 1, 1 << 33));
    assert_eq!(
        elsewhere,
        [Refusal::Malformed],
        "that view is of another committee"
    );
}

#[test]
fn qb8_a_proposal_of_a_later_round_needs_a_quorum_for_exactly_that_round() {
    let mut s = script();
    let block = s.first(1);
    let refuse = |s: &mut Script, message: QbftMessage, reason| {
        assert_eq!(s.give(&message), [reason]);
        assert_eq!(s.said(), []);
    };
    let bare = s.propose(1, 1, &block);
    refuse(&mut s, bare, Refusal::Malformed);
    let changes = [0, 1, 3].map(|from| s.change(from, 1, 1));
    let [a, b, c] = changes.each_ref();
    let few = s.justified(1, 1, &block, &[a, b], None);
    refuse(&mut s, few, Refusal::Malformed);
    let twice = s.justified(1, 1, &block, &[a, b, b], None);
    refuse(&mut s, twice, Refusal::Malformed);
    let later = s.change(3, 1, 2);
    let mixed = s.justified(1, 1, &block, &[a, b, &later], None);
    refuse(&mut s, mixed, Refusal::Malformed);
    let foreign = s.justified(3, 1, &block, &[a, b, c], None);
    refuse(&mut s, foreign, Refusal::WrongSender);
    let good = s.justified(1, 1, &block, &[a, b, c], None);
    assert_eq!(s.give(&good), NEVER);
    assert_eq!(s.said(), [("PREPARE", 1)], "QB2: the round is entered");
}

#[test]
fn qb8_the_highest_claim_binds_the_proposer_and_its_prepares_must_be_there() {
    let mut s = script();
    let (low, high, new) = (s.first(0), s.first(1), s.first(3));
    let a = s.claiming(0, 3, &low, (0, &[0, 1, 3]));
    let b = s.claiming(1, 3, &high, (1, &[0, 1, 3]));
    let c = s.change(3, 1, 3);
    let changes = [&a, &b, &c];
    let of_low = s.prepared(&[0, 1, 3], 0, &low);
    let of_high = s.prepared(&[0, 1, 3], 1, &high);
    let stale = s.prepared(&[0, 1, 3], 2, &high);
    let lies = [
        (&new, None),
        (&low, Some(of_low)),
        (&high, None),
        (&high, Some(stale)),
        (&new, Some(of_high.clone())),
    ];
    for (block, prepared) in lies {
        let said = s.justified(3, 3, block, &changes, prepared);
        assert_eq!(s.give(&said), [Refusal::Malformed]);
    }
    let unasked = s.justified(3, 3, &high, &[&c, &c, &c], Some(of_high.clone()));
    assert_eq!(s.give(&unasked), [Refusal::Malformed]);
    assert_eq!(s.said(), []);
    let good = s.justified(3, 3, &high, &changes, Some(of_high));
    assert_eq!(s.give(&good), NEVER);
    assert_eq!(s.said(), [("PREPARE", 3)]);
}

#[test]
fn qb8_what_a_quorum_prepared_needs_no_verdict() {
    let mut s = script();
    let block = s.first(0);
    let bad = block.transactions()[0].id();
    s.net.replicas[2].host.bad.insert(bad);
    assert_eq!(s.give(&s.propose(0, 0, &block)), [Refusal::BadBlock]);
    let changes = [0, 1, 3].map(|from| s.claiming(from, 1, &block, (0, &[0, 1, 3])));
    let proof = s.prepared(&[0, 1, 3], 0, &block);
    let [a, b, c] = changes.each_ref();
    let said = s.justified(1, 1, &block, &[a, b, c], Some(proof));
    assert_eq!(s.give(&said), NEVER);
    assert_eq!(s.said(), [("PREPARE", 1)]);
}
