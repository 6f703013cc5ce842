//! Bytes and packets that a peer may send, and timers that nobody waits for any more.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    central::{ANNOUNCED, CentralMessage},
    engine::{Effect, Refusal},
    node::{ClientPacket, ConsensusPacket, Event, Node as _, Packet, TimerId, TxRefusal},
    sealed::SealedBlock,
    transaction::Transaction,
    types::{Digest, Height, NodeId},
};
use proptest::prelude::*;

use crate::{
    chain::Chain,
    scripted::{Cue, Heard, Scripted, scripted},
    stage::{ALICE, BOB, NORTH, config, database, node_key, order, party_key, replica},
};

#[test]
fn a_message_of_another_protocol_is_refused_and_counted() {
    let mut stage = database(config());
    let packet = Packet::Consensus(ConsensusPacket::new(Arc::new(Cue)));
    let said = stage.packet(NodeId(2), &packet).said();
    assert_eq!(said.refusals(), [Refusal::Malformed]);
    assert_eq!(said.words(), ["message refused"]);
}

#[test]
fn a_validator_takes_no_answers_that_are_meant_for_gateways() {
    let mut stage = replica(4, 1, config());
    let tx = Digest::ZERO;
    let reason = TxRefusal::Full;
    let refused = Packet::Client(ClientPacket::Refused { tx, reason });
    let said = stage.packet(NodeId(0), &refused).said();
    assert_eq!(said.refusals(), [Refusal::WrongSender]);

    let mut other = database(config());
    other
        .submit(NORTH, &order(ALICE, 0))
        .wait(Duration::from_millis(100));
    let said = other.said();
    let receipts = said
        .sent()
        .find(|(to, _)| *to == NORTH)
        .expect("receipts")
        .1;
    let said = stage.packet(NodeId(0), receipts).said();
    assert_eq!(said.refusals(), [Refusal::WrongSender]);
}

#[test]
fn a_block_with_a_transaction_that_its_party_did_not_sign_is_refused_at_the_door() {
    // A transaction's id does not cover its signature, so a block can be handed on with another one.
    let honest = order(ALICE, 0);
    let forged = Transaction::sign_order(&party_key(BOB), ALICE, honest.signed().body().clone());
    assert_eq!(forged.id(), honest.id());
    let leader = NodeId(0);
    for (transaction, height) in [(forged, 0), (honest, 1)] {
        let mut stage = replica(4, 1, config());
        let block = Chain::new().grow(0, &[&transaction]);
        let sealed = SealedBlock::new(&node_key(leader), leader, ANNOUNCED, block);
        let said = stage.hear(0, CentralMessage::Block(sealed)).said();
        assert_eq!(stage.height(), height);
        let refused = if height == 0 {
            vec![Refusal::BadSignature]
        } else {
            Vec::new()
        };
        assert_eq!(said.refusals(), refused);
    }
}

#[test]
fn bytes_that_are_no_packet_are_refused() {
    let stage = database(config());
    let fetch = CentralMessage::Fetch(Height(3));
    let fetch = Packet::Consensus(ConsensusPacket::new(Arc::new(fetch)));
    let good = [fetch, Packet::Relay(order(ALICE, 0))].map(|packet| packet.encode());
    for bytes in good {
        assert!(stage.node.decode(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(
                stage.node.decode(&bytes[..length]).is_err(),
                "cut at {length}"
            );
        }
        let trailing = [bytes.as_slice(), &[0]].concat();
        assert!(stage.node.decode(&trailing).is_err(), "nothing may follow");
        let unknown = [&[9], &bytes[1..]].concat();
        assert!(stage.node.decode(&unknown).is_err(), "no such kind");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_node_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut stage = replica(4, 1, config());
        if let Ok(packet) = stage.node.decode(&bytes) {
            stage.packet(NodeId(2), &packet);
        }
        prop_assert_eq!(stage.height(), 0);
    }

    #[test]
    fn no_flipped_bit_in_a_transaction_gets_past_the_door(at in 0usize..1000, bit in 0u8..8) {
        let mut stage = replica(4, 1, config());
        let mut bytes = Packet::Relay(order(ALICE, 0)).encode();
        let at = 1 + at % (bytes.len() - 1);
        bytes[at] ^= 1 << bit;
        if let Ok(packet) = stage.node.decode(&bytes) {
            prop_assert_eq!(stage.packet(NodeId(2), &packet).said().admitted(), 0);
        }
        prop_assert_eq!(stage.pending(), 0);
    }
}

#[test]
fn a_timer_that_was_moved_or_disarmed_fires_for_nobody() {
    let mut stage = scripted(&Scripted::default());
    let arm = |timer, ms| Effect::Arm {
        timer,
        after: Duration::from_millis(ms),
    };
    stage.cue(vec![arm(1, 10), arm(2, 10), arm(1, 30), Effect::Disarm(2)]);
    stage.wait(Duration::from_millis(29));
    assert_eq!(stage.heard(), [], "moved and disarmed");
    stage.wait(Duration::from_millis(1));
    assert_eq!(stage.heard(), [Heard::Timer(1)]);
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.heard(), [], "once");
}

#[test]
fn a_timer_may_be_armed_again_after_it_fired() {
    let mut stage = scripted(&Scripted::default());
    let arm = || Effect::Arm {
        timer: 1,
        after: Duration::from_millis(10),
    };
    stage.cue(vec![arm()]).wait(Duration::from_millis(10));
    stage.cue(vec![arm()]).wait(Duration::from_millis(10));
    assert_eq!(stage.heard(), [Heard::Timer(1), Heard::Timer(1)]);
}

#[test]
fn timers_that_nobody_armed_are_harmless() {
    let mut stage = database(config());
    for number in [0, 1, 2, 77, u64::MAX] {
        stage.handle(Event::Timer(TimerId(number)));
    }
    assert!(stage.said().words().is_empty());
    let tx = order(ALICE, 0);
    stage.submit(NORTH, &tx).handle(Event::Timer(TimerId(0)));
    assert_eq!(stage.height(), 0, "a batch is not cut before its time");
    stage.wait(Duration::from_millis(100));
    assert_eq!(stage.block_at(1), [tx.id()]);
}
