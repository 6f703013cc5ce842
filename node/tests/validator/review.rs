//! Schedules of a reviewer: requests that reach everyone but the leader.

use std::time::Duration;

use consortium_node::{block::Block, types::Digest};

use crate::{
    chain::Chain,
    scripted::{Scripted, scripted},
    stage::{ALICE, BOB, NORTH, order},
};

#[test]
fn what_came_from_a_fellow_goes_to_the_leader_once_and_is_not_spread_r4() {
    // Otherwise one liar that tells everyone but the leader has a correct leader changed.
    let mut stage = scripted(&Scripted::default());
    let tx = order(ALICE, 0);
    let said = stage.relay(1, &tx).wait(Duration::from_secs(2)).said();
    assert_eq!(said.admitted(), 1);
    assert_eq!(said.sent_to("RELAY"), [0]);
    let said = stage.relay(2, &tx).wait(Duration::from_secs(2)).said();
    assert!(said.sent_to("RELAY").is_empty(), "once");
}

#[test]
fn what_the_leader_relays_is_not_sent_back_to_it_r4() {
    let mut stage = scripted(&Scripted::default());
    let said = stage.relay(0, &order(ALICE, 0)).said();
    assert_eq!(said.admitted(), 1);
    assert!(said.sent_to("RELAY").is_empty());
}

#[test]
fn a_gateway_that_asks_again_has_its_order_handed_on_again_r4() {
    // The first copies may all have been lost: in a partition, say.
    let mut stage = scripted(&Scripted::default());
    let tx = order(ALICE, 0);
    let said = stage.submit(NORTH, &tx).wait(Duration::from_secs(1)).said();
    assert_eq!(said.sent_to("RELAY"), [0, 0, 1, 2]);
    let said = stage.submit(NORTH, &tx).wait(Duration::from_secs(1)).said();
    assert_eq!(said.sent_to("RELAY"), [0, 0, 1, 2]);
    assert_eq!(said.admitted(), 0, "it waits already");
}

#[test]
fn results_that_nobody_has_computed_yet_are_not_agreed_to() {
    // A lying leader that proposes several blocks ahead claims results of a height that no member
    // has executed when it is asked. The header is certified, and with it a state that never was.
    let mut stage = scripted(&Scripted {
        branches: false,
        ..Scripted::default()
    });
    let mut chain = Chain::new();
    let first = chain.grow(0, &[&order(ALICE, 0)]);
    stage.follow(&[&first]);
    let second = chain.grow(0, &[&order(BOB, 0)]);
    assert_eq!(stage.verdict(&second), Ok(()), "judged, not executed");
    let mut header = chain.header(0);
    header.results.state_root = Digest([1; 32]);
    let third = Block::new(header, vec![order(ALICE, 1)]);
    assert_ne!(
        stage.verdict(&third),
        Ok(()),
        "a state root out of thin air"
    );
}
