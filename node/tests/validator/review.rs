//! Schedules of a reviewer: requests that reach everyone but the leader.

use std::time::Duration;

use crate::{
    scripted::{Scripted, scripted},
    stage::{ALICE, NORTH, order},
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
