//! The door: who gets in, who is told why not, and to whom a transaction is handed on.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    crypto::Keypair,
    engine::Relay,
    node::{Node as _, TxRefusal},
    transaction::{Order, Outcome, Transaction},
    types::{ChainId, NodeId, PartyId},
};

use crate::{
    scripted::{Scripted, scripted},
    stage::{
        ALICE, BOB, CHAIN, NORTH, READER, SOUTH, Stage, call, config, database, key, order,
        order_for, party_key, replica, variant_of,
    },
};

const AGE: Duration = Duration::from_millis(100);

fn signed_by(key: &Arc<Keypair>, party: PartyId, nonce: u64) -> Arc<Transaction> {
    let order = Order {
        nonce,
        reply_to: Some(NORTH),
        call: call(0),
    };
    Transaction::sign_order(key, party, order)
}

/// Submits it: refused for this reason, counted, the gateway told, nothing kept, nothing handed on.
fn assert_refused(tx: &Arc<Transaction>, reason: TxRefusal) {
    let mut stage = database(config());
    let before = stage.node.ledger().state().root();
    let said = stage.submit(NORTH, tx).wait(AGE).said();
    assert_eq!(said.refused(), [(tx.id(), reason)]);
    assert_eq!(said.told(NORTH), [(tx.id(), reason)]);
    assert_eq!((stage.pending(), stage.height()), (0, 0));
    assert_eq!(stage.node.ledger().state().root(), before);

    let mut backup = replica(4, 1, config());
    let said = backup.relay(2, tx).said();
    assert_eq!(said.refused(), [(tx.id(), reason)], "counted");
    assert_eq!(said.sent().count(), 0, "a fellow validator is told nothing");
}

#[test]
fn a_stranger_changes_nothing() {
    let stranger = signed_by(&party_key(ALICE), PartyId(99), 0);
    assert_refused(&stranger, TxRefusal::UnknownParty);
}

#[test]
fn the_wrong_key_changes_nothing() {
    assert_refused(
        &signed_by(&party_key(BOB), ALICE, 0),
        TxRefusal::BadSignature,
    );
}

#[test]
fn a_signature_for_another_chain_changes_nothing() {
    assert_eq!(CHAIN, ChainId(7));
    let elsewhere = key(100 + ALICE.0 as u8, ChainId(8));
    assert_refused(&signed_by(&elsewhere, ALICE, 0), TxRefusal::BadSignature);
}

#[test]
fn a_tampered_order_changes_nothing() {
    let honest = order(ALICE, 0);
    let mut changed = honest.signed().body().clone();
    changed.nonce = 1;
    assert_refused(&honest.tampered(&changed), TxRefusal::BadSignature);
}

#[test]
fn a_party_that_may_only_read_is_refused() {
    assert_refused(&order(READER, 0), TxRefusal::ReadOnly);
}

#[test]
fn the_greatest_number_cannot_be_used() {
    assert_refused(&order(ALICE, u64::MAX), TxRefusal::StaleNonce);
}

#[test]
fn what_no_block_can_hold_is_refused() {
    let mut tiny = config();
    tiny.batch.bytes = 10;
    let mut stage = database(tiny);
    let tx = order(ALICE, 0);
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!(said.told(NORTH), [(tx.id(), TxRefusal::TooLarge)]);
}

#[test]
fn a_full_mempool_says_so_and_other_parties_still_find_room() {
    let mut small = config();
    (small.mempool, small.batch.count) = (4, 100);
    let mut stage = database(small);
    for nonce in 0..3 {
        stage.submit(NORTH, &order(ALICE, nonce));
    }
    let said = stage.said();
    assert_eq!(said.admitted(), 2, "half of the places");
    assert_eq!(said.told(NORTH), [(order(ALICE, 2).id(), TxRefusal::Full)]);
    assert_eq!(stage.submit(SOUTH, &order(BOB, 0)).said().admitted(), 1);
}

#[test]
fn a_duplicate_joins_the_one_that_waits_r2() {
    let mut stage = database(config());
    let tx = order(ALICE, 0);
    let said = stage
        .submit(NORTH, &tx)
        .submit(NORTH, &tx)
        .relay(0, &tx)
        .said();
    assert_eq!((said.admitted(), stage.pending()), (1, 1));
    assert!(said.refused().is_empty() && said.told(NORTH).is_empty());
    let said = stage.wait(AGE).said();
    assert_eq!(said.outcomes(NORTH), [(tx.id(), Outcome::Ok)]);
    assert_eq!(stage.block_at(1), [tx.id()], "executed once");
}

#[test]
fn what_was_executed_is_answered_from_the_reply_cache_r2() {
    let mut stage = database(config());
    let (ours, theirs) = (order(ALICE, 0), order_for(SOUTH, BOB, 0));
    stage.submit(NORTH, &ours).submit(SOUTH, &theirs).wait(AGE);
    let first = stage.said().outcomes(NORTH);
    assert_eq!(first, [(ours.id(), Outcome::Ok)]);

    let said = stage.submit(NORTH, &ours).wait(AGE).said();
    assert_eq!(said.outcomes(NORTH), first, "the same answer");
    assert!(said.outcomes(SOUTH).is_empty(), "to nobody who did not ask");
    assert_eq!((stage.height(), stage.pending()), (1, 0), "executed once");
    assert_eq!(said.admitted(), 0);

    let said = stage.relay(0, &ours).said();
    assert_eq!(said.sent().count(), 0, "a fellow validator needs no answer");
}

#[test]
fn another_order_of_a_used_number_is_stale_r2() {
    let mut stage = database(config());
    stage.submit(NORTH, &order(ALICE, 0)).wait(AGE).said();
    let again = variant_of(NORTH, ALICE, 0, 1);
    let said = stage.submit(NORTH, &again).wait(AGE).said();
    assert_eq!(said.told(NORTH), [(again.id(), TxRefusal::StaleNonce)]);
    assert_eq!(said.refused(), [(again.id(), TxRefusal::StaleNonce)]);
    assert_eq!(stage.height(), 1);
}

#[test]
fn a_submission_goes_to_the_leader_and_to_everyone_when_it_is_late_r3_r4() {
    let mut stage = scripted(&Scripted::default());
    let tx = order(ALICE, 0);
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!(said.sent_to("RELAY"), [0], "the leader");
    let early = stage.wait(Duration::from_millis(499)).said();
    assert!(early.sent_to("RELAY").is_empty(), "the leader has its time");
    let late = stage.wait(Duration::from_millis(1)).said();
    assert_eq!(late.sent_to("RELAY"), [0, 1, 2], "so that all wait for it");
    let after = stage.wait(Duration::from_secs(5)).said();
    assert!(after.sent_to("RELAY").is_empty(), "once");
}

#[test]
fn each_submission_has_its_own_time_with_the_leader_r3() {
    let mut stage = scripted(&Scripted::default());
    stage.submit(NORTH, &order(ALICE, 0));
    stage.wait(Duration::from_millis(200));
    stage.submit(NORTH, &order(ALICE, 1)).said();
    let ids = |stage: &mut Stage<Scripted>, ms| {
        let said = stage.wait(Duration::from_millis(ms)).said();
        said.sent_to("RELAY").len()
    };
    assert_eq!(ids(&mut stage, 300), 3, "the first, to three others");
    assert_eq!(ids(&mut stage, 199), 0);
    assert_eq!(ids(&mut stage, 1), 3, "the second");
}

#[test]
fn the_leader_keeps_a_submission_and_hands_it_on_only_when_it_is_late_r4() {
    let leads = Scripted {
        leader: NodeId(3),
        ..Scripted::default()
    };
    let mut stage = scripted(&leads);
    let said = stage.submit(NORTH, &order(ALICE, 0)).said();
    assert!(said.sent_to("RELAY").is_empty(), "it need not tell itself");
    let late = stage.wait(Duration::from_millis(500)).said();
    assert_eq!(late.sent_to("RELAY"), [0, 1, 2]);
}

#[test]
fn what_was_executed_in_time_is_not_handed_to_everyone() {
    let mut stage = database(config());
    stage.submit(NORTH, &order(ALICE, 0)).wait(AGE).said();
    let said = stage.wait(Duration::from_secs(2)).said();
    assert!(said.sent_to("RELAY").is_empty());
}

#[test]
fn a_protocol_may_want_everyone_told_at_once_and_a_scenario_may_overrule_it() {
    let everyone = Scripted {
        relay: Relay::Everyone,
        ..Scripted::default()
    };
    let mut stage = scripted(&everyone);
    let said = stage.submit(NORTH, &order(ALICE, 0)).said();
    assert_eq!(said.sent_to("RELAY"), [0, 1, 2]);

    let mut overruled = config();
    overruled.relay = Some(Relay::Leader);
    let mut stage = Stage::new(4, 3, overruled, everyone);
    let said = stage.start().submit(NORTH, &order(ALICE, 0)).said();
    assert_eq!(said.sent_to("RELAY"), [0]);
}
