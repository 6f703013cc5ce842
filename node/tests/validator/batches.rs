//! Making blocks: when a batch is cut, and what goes into it.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::Block,
    engine::{Effect, Ticket, Want},
    node::{Node as _, TxRefusal},
    transaction::Outcome,
    types::{TxId, Wall},
};

use crate::{
    chain::Chain,
    scripted::{Heard, Scripted, finality, scripted, want},
    stage::{
        ALICE, BOB, EPOCH, NORTH, SOUTH, Stage, config, database, ids, order, order_for, variant_of,
    },
};

const AGE: Duration = Duration::from_millis(100);

fn genesis() -> consortium_node::types::BlockId {
    Chain::new().0.head().block.id()
}

/// Gives it transactions without a gateway that waits.
fn given(stage: &mut Stage<Scripted>, count: u64) {
    for nonce in 0..count {
        stage.relay(1, &order(ALICE, nonce));
    }
}

fn contents(block: Option<Arc<Block>>) -> Option<Vec<TxId>> {
    block.map(|block| ids(block.transactions()))
}

#[test]
fn a_batch_is_cut_when_enough_wait() {
    let mut stage = database(config());
    for nonce in 0..2 {
        stage.submit(NORTH, &order(ALICE, nonce));
    }
    assert_eq!(stage.height(), 0, "two are not three");
    stage.submit(NORTH, &order(ALICE, 2));
    assert_eq!(stage.height(), 1, "at once");
    assert_eq!(stage.block_at(1).len(), 3);
}

#[test]
fn a_batch_is_cut_when_its_bytes_are_enough() {
    let mut limits = config();
    limits.batch.bytes = 2 * order(ALICE, 0).wire_len();
    let mut stage = database(limits);
    stage.submit(NORTH, &order(ALICE, 0));
    assert_eq!(stage.height(), 0);
    stage.submit(NORTH, &order(ALICE, 1));
    assert_eq!(stage.block_at(1).len(), 2);
}

#[test]
fn a_batch_is_cut_when_its_oldest_has_waited_long_enough() {
    let mut stage = database(config());
    stage.submit(NORTH, &order(ALICE, 0));
    stage.wait(Duration::from_millis(60));
    stage.submit(NORTH, &order(ALICE, 1));
    stage.wait(Duration::from_millis(39));
    assert_eq!(stage.height(), 0);
    stage.wait(Duration::from_millis(1));
    assert_eq!(stage.block_at(1).len(), 2, "the young one comes along");
}

#[test]
fn what_does_not_fit_comes_next_in_order_of_arrival() {
    let mut stage = database(config());
    let orders: Vec<_> = (0..5).map(|nonce| order(ALICE, nonce)).collect();
    for tx in &orders {
        stage.submit(NORTH, tx);
    }
    stage.wait(AGE);
    let chain = [stage.block_at(1), stage.block_at(2)].concat();
    assert_eq!(chain, ids(&orders));
}

#[test]
fn a_later_wish_replaces_an_earlier_one_and_a_withdrawn_one_is_not_granted() {
    let mut stage = scripted(&Scripted::default());
    let second = Want {
        ticket: Ticket(2),
        ..want(genesis())
    };
    stage.cue(vec![Effect::Want(want(genesis())), Effect::Want(second)]);
    given(&mut stage, 3);
    let tickets: Vec<_> = stage
        .heard()
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Payload(ticket, _) => Some(ticket),
            _ => None,
        })
        .collect();
    assert_eq!(tickets, [Ticket(2)], "one wish, one block");

    stage.cue(vec![Effect::Want(want(genesis())), Effect::Unwant]);
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.payload(), None);
}

#[test]
fn a_wish_waits_for_its_instant_and_the_block_is_not_stamped_earlier() {
    let mut stage = scripted(&Scripted::default());
    let at = Wall(EPOCH + 2_000_000_000);
    let empty = Want {
        empty_ok: true,
        not_before: at,
        ..want(genesis())
    };
    stage.cue(vec![Effect::Want(empty)]);
    stage.wait(Duration::from_millis(1999));
    assert_eq!(stage.payload(), None);
    stage.wait(Duration::from_millis(1));
    let block = stage.payload().expect("empty blocks will do");
    assert!(block.transactions().is_empty());
    assert_eq!(block.header().timestamp, at);
    assert_eq!(block.header().proposer.0, 3);
}

#[test]
fn a_block_on_a_block_under_way_repeats_nothing_and_carries_the_chains_results() {
    let mut stage = scripted(&Scripted::default());
    given(&mut stage, 3);
    stage.cue(vec![Effect::Want(want(genesis()))]);
    let first = stage.payload().expect("three wait");
    given(&mut stage, 4);
    stage.cue(vec![Effect::Want(want(first.id()))]).wait(AGE);
    let second = stage.payload().expect("one more waits");
    assert_eq!(ids(second.transactions()), [order(ALICE, 3).id()]);
    assert_eq!(second.header().parent, first.id());
    assert_eq!(
        second.header().results.height.0,
        0,
        "nothing is executed yet"
    );
    assert!(second.header().timestamp > first.header().timestamp);
}

#[test]
fn a_number_that_is_under_way_is_not_proposed_again_for_another_order() {
    let mut stage = scripted(&Scripted::default());
    let mut chain = Chain::new();
    let theirs = variant_of(NORTH, ALICE, 0, 1);
    let first = chain.grow(0, &[&theirs]);
    stage.relay(1, &order(ALICE, 0)).relay(1, &order(ALICE, 1));
    assert_eq!(stage.verdict(&first), Ok(()));
    stage.cue(vec![Effect::Want(want(first.id()))]).wait(AGE);
    let block = stage.payload();
    assert_eq!(contents(block), Some(vec![order(ALICE, 1).id()]));
}

#[test]
fn a_party_that_signs_two_orders_of_one_number_stops_nobody() {
    let mut stage = scripted(&Scripted::default());
    let (won, lost) = (order(ALICE, 0), variant_of(SOUTH, ALICE, 0, 1));
    stage.submit(SOUTH, &lost);
    let block = Chain::new().grow(0, &[&won]);
    stage.cue(vec![finality(&block)]);
    let said = stage.said();
    assert_eq!(said.refused(), [(lost.id(), TxRefusal::StaleNonce)]);
    assert_eq!(
        stage.pending(),
        0,
        "it can never execute, so it does not wait"
    );
    assert_eq!(stage.heard().last(), Some(&Heard::Pending(None)));
    let said = stage.submit(SOUTH, &lost).said();
    assert_eq!(said.told(SOUTH), [(lost.id(), TxRefusal::StaleNonce)]);
}

#[test]
fn a_number_that_moves_its_partys_window_voids_nothing_in_the_same_block() {
    let mut stage = database(config());
    let far = order(ALICE, 10_000);
    let (low, bob) = (order(ALICE, 0), order_for(SOUTH, BOB, 0));
    let said = stage
        .submit(NORTH, &far)
        .submit(NORTH, &low)
        .submit(SOUTH, &bob)
        .said();
    assert_eq!(stage.block_at(1), [far.id(), bob.id()]);
    assert_eq!(said.outcomes(NORTH), [(far.id(), Outcome::Ok)]);
    assert_eq!(said.refused(), [(low.id(), TxRefusal::StaleNonce)]);
    stage.wait(Duration::from_secs(1));
    assert_eq!((stage.height(), stage.pending()), (1, 0), "it goes on");
}

#[test]
fn a_parent_that_was_certified_over_a_refusal_is_built_on_once_it_is_final() {
    let mut stage = scripted(&Scripted::default());
    let mut chain = Chain::new();
    let mut ahead = chain.header(0);
    ahead.timestamp = Wall(EPOCH + 60_000_000_000);
    let block = chain.push(ahead, Vec::new());
    assert!(stage.verdict(&block).is_err(), "an hour is wrong somewhere");
    given(&mut stage, 3);
    stage.cue(vec![Effect::Want(want(block.id()))]).wait(AGE);
    assert_eq!(stage.payload(), None, "unknown here");
    stage.cue(vec![finality(&block)]);
    let built = stage.payload().expect("now it is on the chain");
    assert_eq!(built.header().parent, block.id());
    assert_eq!(stage.node.ledger().height().0, 1);
}
