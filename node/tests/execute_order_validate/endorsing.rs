//! What an endorser answers to a proposal.

use consortium_node::{
    node::{ClientPacket, Node, Packet, TxRefusal},
    transaction::{Outcome, Transaction},
    types::NodeId,
};

use crate::{
    consortium::{
        ALICE, CHAIN, DEVICE, READER, creation, effects, gateway, node_key, order, party_key,
        reading,
    },
    network::Network,
};

#[test]
fn an_endorser_signs_what_the_order_would_do_and_does_nothing() {
    let mut network = Network::new();
    let create = creation(1);
    let state = network.machines[1].ledger().state().clone();
    network.propose(1, &create);
    let [endorsement] = &network.endorsements()[..] else {
        panic!("one endorsement");
    };
    assert_eq!(endorsement.signer(), NodeId(1));
    assert!(endorsement.verify(CHAIN, &node_key(1).public()));
    assert_eq!(*endorsement.body(), effects(&state, &create));
    assert_eq!(endorsement.body().outcome, Outcome::Ok);
    let ledger = network.machines[1].ledger();
    assert_eq!(ledger.state().root(), state.root());
    assert_eq!(ledger.height().0, 0);
}

#[test]
fn what_cannot_execute_is_refused_with_the_reason() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    let forged = Transaction::sign(&party_key(DEVICE), ALICE, 2, create.call().clone());
    let readers = order(READER, 1, create.call().clone());
    // Another order of a number that is spent.
    let mut spent = creation(1).signed().body().clone();
    spent.reply_to = Some(gateway(2));
    let spent = Transaction::sign_order(&party_key(ALICE), ALICE, spent);
    for (refused, reason) in [
        (forged, TxRefusal::BadSignature),
        (readers, TxRefusal::ReadOnly),
        (spent, TxRefusal::StaleNonce),
    ] {
        network.mail.clear();
        network.propose(1, &refused);
        assert_eq!(network.refusals(), [(NodeId(1), reason)]);
    }
}

#[test]
fn a_peer_that_is_no_endorser_says_so() {
    let mut network = Network::new();
    network.propose(3, &creation(1));
    assert_eq!(network.refusals(), [(NodeId(3), TxRefusal::Unendorsed)]);
}

#[test]
fn an_order_that_has_been_executed_is_answered_with_its_receipt() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    network.mail.clear();
    network.propose(1, &create);
    let expected = (NodeId(1), gateway(3), create.id(), Outcome::Ok);
    assert_eq!(network.commit_events(), [expected]);
}

#[test]
fn an_order_that_was_invalidated_is_endorsed_again_and_its_true_receipt_is_the_later_one() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    let (one, two) = (reading(1, &create, 50), reading(2, &create, 51));
    let (first, second) = (network.envelope(&one), network.envelope(&two));
    network.submit(&first);
    network.submit(&second);
    network.wait(std::time::Duration::from_millis(100));
    let outcome = |network: &Network| {
        let ledger = network.machines[2].ledger();
        ledger
            .receipt(&two.id())
            .expect("it was ordered")
            .1
            .outcome
            .clone()
    };
    assert!(matches!(outcome(&network), Outcome::Invalid(_)));
    network.commit(&two);
    assert_eq!(outcome(&network), Outcome::Ok);
}

#[test]
fn endorsers_of_different_heights_disagree_where_it_matters() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    network.cut_off.insert(1);
    network.commit_through_one(&reading(1, &create, 50));
    network.cut_off.clear();
    let next = reading(2, &create, 51);
    network.propose(0, &next);
    network.propose(1, &next);
    let both = network.endorsements();
    assert_eq!(both.len(), 2);
    assert_ne!(both[0].body(), both[1].body(), "1 is a block behind");
}

impl Network {
    /// Orders with an envelope that endorser 0 made alone, signed by both: 1 is cut off.
    fn commit_through_one(&mut self, transaction: &std::sync::Arc<Transaction>) {
        let found = effects(self.machines[0].ledger().state(), transaction);
        let envelope = crate::consortium::envelope_by(&[0, 1], transaction, &found);
        let packet = Packet::Client(ClientPacket::Submit(envelope));
        self.send(gateway(3), 0, packet);
        self.wait(std::time::Duration::from_millis(100));
    }
}
