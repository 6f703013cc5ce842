//! The orderer decides on an order and looks at nothing else.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::{
    block::{Finality, Results},
    engine::{FaultModel, Refusal, ReplyRule},
    execute_order_validate::{NAME, ORDERED, RolePacket},
    node::{ClientPacket, Node, Note, Packet, TxRefusal},
    transaction::{Invalidity, Outcome, Transaction},
    types::{Height, NodeId},
};

use crate::{
    consortium::{
        ALICE, DEVICE, PEERS, committee, creation, effects, envelope_by, gateway, node_key,
        party_key, reading,
    },
    network::{AGE, Network},
};

#[test]
fn claims_are_those_of_the_ordering_service_and_the_commit_event() {
    let network = Network::new();
    for machine in &network.machines {
        let claims = machine.claims();
        assert_eq!(claims.protocol, NAME);
        assert_eq!(claims.faults, FaultModel::Trusted, "one orderer");
        assert_eq!(claims.reply, ReplyRule::Commit);
        assert_eq!(machine.status().engine.leader, NodeId(0));
    }
}

#[test]
fn every_peer_gets_the_block_with_the_orderers_word_and_the_home_peer_tells_the_gateway() {
    let mut network = Network::new();
    let create = creation(1);
    let envelope = network.envelope(&create);
    network.sent.clear();
    network.submit(&envelope);
    network.wait(2 * AGE);
    let mut sent: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (kind, to) in &network.sent {
        sent.entry(*kind).or_default().push(to.0);
    }
    let expected = [("DELIVER", vec![1, 2, 3]), ("RECEIPTS", vec![gateway(3).0])];
    assert_eq!(sent, BTreeMap::from(expected));
    let event = (NodeId(3), gateway(3), create.id(), Outcome::Ok);
    assert_eq!(network.commit_events(), [event]);
    for machine in &network.machines {
        let head = machine.ledger().head();
        assert_eq!(head.results, network.machines[0].ledger().head().results);
        assert_eq!(
            head.block.header().results.height,
            Height(0),
            "as in Fabric"
        );
        let Some(Finality::Certificate(word)) = head.proof.as_deref() else {
            panic!("a word: {:?}", head.proof);
        };
        assert_eq!(word.vote().phase, ORDERED);
        assert_eq!(word.vote().digest, head.block.id());
        assert!(
            word.verify(&committee([0]), 1).is_ok(),
            "anyone can check it"
        );
    }
}

#[test]
fn garbage_is_ordered_and_every_peer_marks_it_alike() {
    let mut network = Network::new();
    let create = creation(1);
    let genesis = network.machines[0].ledger().state().clone();
    let found = effects(&genesis, &create);
    let alone = envelope_by(&[0], &create, &found);
    let other = envelope_by(&[0, 1], &reading(1, &create, 50), &found);
    network.submit(&alone);
    network.submit(&other);
    network.wait(2 * AGE);
    let policy = Invalidity::Policy {
        signers: 1,
        needed: 2,
    };
    for machine in &network.machines {
        let ledger = machine.ledger();
        assert_eq!(ledger.height(), Height(1));
        let receipts = ledger.head().receipts.iter();
        let outcomes: Vec<_> = receipts.map(|receipt| receipt.outcome.clone()).collect();
        let expected = [policy, Invalidity::Mismatch].map(Outcome::Invalid);
        assert_eq!(outcomes, expected);
        assert_eq!(ledger.state().root(), genesis.root());
    }
    // The number is still free.
    network.commit(&create);
    assert_eq!(
        network.machines[2].ledger().head().receipts[0].outcome,
        Outcome::Ok
    );
}

#[test]
fn a_replayed_envelope_is_ordered_again_and_void_of_effect() {
    let mut network = Network::new();
    let envelope = network.envelope(&creation(1));
    for height in 1..=3 {
        network.submit(&envelope);
        network.wait(2 * AGE);
        assert_eq!(network.height(3), height);
    }
    let outcomes = |height| {
        let ledger = network.machines[3].ledger();
        ledger.entry(Height(height)).expect("on the chain").receipts[0]
            .outcome
            .clone()
    };
    assert_eq!(outcomes(1), Outcome::Ok);
    assert!(matches!(
        outcomes(2),
        Outcome::Invalid(Invalidity::ReadConflict { .. })
    ));
    assert!(matches!(
        outcomes(3),
        Outcome::Invalid(Invalidity::ReadConflict { .. })
    ));
    let ledger = network.machines[3].ledger();
    let (height, receipt) = ledger.receipt(&envelope.id()).expect("it was executed");
    assert_eq!((height, &receipt.outcome), (Height(1), &Outcome::Ok));
}

#[test]
fn an_order_that_no_writer_signed_is_not_ordered() {
    let mut network = Network::new();
    let create = creation(1);
    let found = effects(network.machines[0].ledger().state(), &create);
    let forged = Transaction::sign(&party_key(DEVICE), ALICE, 1, create.call().clone());
    network.submit(&envelope_by(&[0, 1], &forged, &found));
    network.wait(2 * AGE);
    assert_eq!(network.refusals(), [(NodeId(0), TxRefusal::BadSignature)]);
    assert_eq!(network.height(0), 0);
}

#[test]
fn an_envelope_that_reaches_a_peer_that_does_not_order_is_refused() {
    let mut network = Network::new();
    let envelope = network.envelope(&creation(1));
    network.send(
        gateway(3),
        2,
        Packet::Client(ClientPacket::Submit(envelope)),
    );
    network.wait(2 * AGE);
    let refused = network.notes.iter().any(|(node, note)| {
        *node == NodeId(2) && matches!(note, Note::Refused(Refusal::WrongSender))
    });
    assert!(refused);
    assert_eq!(network.height(0), 0);
}

#[test]
fn envelopes_that_come_within_the_age_of_a_batch_share_a_block() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    let (report, transfer) = (
        reading(1, &create, 50),
        crate::consortium::hand_over(2, &create),
    );
    let both = [network.envelope(&report), network.envelope(&transfer)];
    network.submit(&both[0]);
    network.wait(AGE / 2);
    network.submit(&both[1]);
    assert_eq!(network.height(0), 1);
    network.wait(AGE);
    assert_eq!(network.height(0), 2);
    let outcomes: Vec<_> = network
        .commit_events()
        .into_iter()
        .map(|event| event.3)
        .collect();
    assert_eq!(outcomes[0], Outcome::Ok);
    assert!(matches!(
        outcomes[1],
        Outcome::Invalid(Invalidity::ReadConflict { .. })
    ));
}

#[test]
fn an_equivocating_orderer_can_make_another_block_of_the_same_height_and_nobody_else_can() {
    let mut network = Network::new();
    network.commit(&creation(1));
    let entry = network.machines[0].ledger().head().clone();
    let stored = consortium_node::storage::Stored {
        block: entry.block.clone(),
        proof: entry.proof.clone().expect("it is final"),
    };
    let deliver = RolePacket::Deliver {
        list: vec![stored],
        more: false,
    };
    let mut forks = BTreeMap::new();
    assert!(
        deliver
            .conflicting(&node_key(1), NodeId(1), &mut forks)
            .is_none()
    );
    let lie = deliver.conflicting(&node_key(0), NodeId(0), &mut forks);
    let lie = lie.expect("its own word is all that proves a block");
    assert_eq!(forks.len(), 1);
    let genesis = Results {
        state_root: entry.block.header().results.state_root,
        ..Results::default()
    };
    assert_eq!(entry.block.header().results, genesis);
    for peer in 0..PEERS {
        let before = network.machines[usize::from(peer)]
            .ledger()
            .head()
            .block
            .id();
        network.send(NodeId(0), peer, Packet::Role(lie.clone()));
        let after = network.machines[usize::from(peer)]
            .ledger()
            .head()
            .block
            .id();
        assert_eq!(before, after, "the first word stands");
    }
    let named = network.notes.iter().filter(|(_, note)| {
        matches!(
            note,
            Note::Engine(consortium_node::engine::Tale::Equivocation { by: NodeId(0), .. })
        )
    });
    assert_eq!(named.count(), usize::from(PEERS), "two words are evidence");
    network.wait(Duration::from_secs(3));
    assert_eq!(network.height(3), 1);
}
