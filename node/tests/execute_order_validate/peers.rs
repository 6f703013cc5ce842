//! How a peer follows: gaps, silence, blocks that prove nothing, a restart.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    block::Finality,
    engine::Refusal,
    execute_order_validate::{BATCH, ORDERED, POLL, RolePacket},
    node::{Node, Note, Packet},
    quorum::{Certificate, Phase, Vote},
    storage::Stored,
    types::{Digest, Height, NodeId, Seq, View},
};

use crate::{
    consortium::{creation, gateway, node_key, reading},
    network::{AGE, Network},
};

/// The block at a height, with its proof.
fn stored(network: &Network, height: u64) -> Stored {
    let ledger = network.machines[0].ledger();
    let entry = ledger.entry(Height(height)).expect("on the chain");
    Stored {
        block: Arc::clone(&entry.block),
        proof: entry.proof.clone().expect("it is final"),
    }
}

fn deliver(list: Vec<Stored>) -> Packet {
    Packet::Role(RolePacket::Deliver { list, more: false })
}

/// A network whose chain has so many blocks, of which peer 3 has none.
fn behind(blocks: u64) -> Network {
    let mut network = Network::new();
    network.cut_off.insert(3);
    let create = creation(1);
    network.commit(&create);
    for number in 1..blocks {
        network.commit(&reading(number, &create, 50));
    }
    assert_eq!((network.height(0), network.height(3)), (blocks, 0));
    network
}

fn refusals(network: &Network, peer: u16) -> Vec<Refusal> {
    let notes = network
        .notes
        .iter()
        .filter(|(node, _)| *node == NodeId(peer));
    let refusals = notes.filter_map(|(_, note)| match note {
        Note::Refused(reason) => Some(*reason),
        _ => None,
    });
    refusals.collect()
}

#[test]
fn a_peer_that_heard_nothing_asks_and_gets_all_that_it_missed() {
    let mut network = behind(BATCH as u64 + 5);
    network.cut_off.clear();
    network.sent.clear();
    network.wait(POLL + POLL / 2);
    assert_eq!(network.height(3), BATCH as u64 + 5);
    let to_it = |(kind, to): &&(&str, NodeId)| *kind == "DELIVER" && *to == NodeId(3);
    let delivered = network.sent.iter().filter(to_it);
    assert_eq!(delivered.count(), 2, "a full answer and the rest, at once");
    let ours = |peer: usize| network.machines[peer].ledger().head().results;
    assert_eq!(ours(3), ours(0));
}

#[test]
fn any_peer_can_answer_because_blocks_prove_themselves() {
    let mut network = behind(3);
    network.cut_off = [0].into();
    network.wait(4 * POLL);
    assert_eq!(
        network.height(3),
        3,
        "the orderer's machine is gone, others are not"
    );
}

#[test]
fn a_gap_is_asked_for_as_soon_as_it_shows_and_what_came_early_is_kept() {
    let mut network = behind(3);
    network.cut_off.clear();
    let (second, third) = (stored(&network, 2), stored(&network, 3));
    network.sent.clear();
    network.send(NodeId(0), 3, deliver(vec![third, second]));
    assert_eq!(network.height(3), 3);
    let asked = network
        .sent
        .iter()
        .filter(|(kind, _)| *kind == "FETCH-BLOCKS");
    assert_eq!(asked.count(), 1);
}

#[test]
fn a_block_without_the_word_of_an_orderer_changes_nothing() {
    let network = &mut behind(1);
    network.cut_off.clear();
    let honest = stored(network, 1);
    let vote = |phase, digest| Vote {
        phase,
        view: View(0),
        slot: Seq(1),
        digest,
    };
    let word = |by: u16, vote| {
        let signed = node_key(by).sign(NodeId(by), vote);
        Finality::Certificate(Certificate::collect([&signed]).expect("one vote"))
    };
    let id = honest.block.id();
    let in_its_name = node_key(1).sign(NodeId(0), vote(ORDERED, id));
    let in_its_name = Certificate::collect([&in_its_name]).expect("one vote");
    for proof in [
        Finality::Trusted,
        word(1, vote(ORDERED, id)),
        word(0, vote(ORDERED, Digest::ZERO)),
        word(0, vote(Phase(1), id)),
        Finality::Certificate(in_its_name),
    ] {
        let block = Arc::clone(&honest.block);
        let proof = Arc::new(proof);
        network.send(NodeId(0), 3, deliver(vec![Stored { block, proof }]));
        assert_eq!(network.height(3), 0);
    }
    assert_eq!(refusals(network, 3), [Refusal::BadSignature; 5]);
    network.send(NodeId(0), 3, deliver(vec![honest]));
    assert_eq!(network.height(3), 1);
}

#[test]
fn a_block_whose_envelopes_were_taken_out_or_that_comes_again_is_refused() {
    let network = &mut behind(1);
    network.cut_off.clear();
    let honest = stored(network, 1);
    // The header with other transactions behind it: a block is its header's encoding and a list.
    let mut bytes = consortium_node::codec::encode(honest.block.header());
    bytes.extend_from_slice(&[0; 4]);
    let hollow = Stored {
        block: consortium_node::codec::decode(&bytes).expect("a block of none"),
        proof: Arc::clone(&honest.proof),
    };
    assert_eq!(hollow.block.id(), honest.block.id());
    network.send(NodeId(0), 3, deliver(vec![hollow]));
    network.send(NodeId(0), 3, deliver(vec![honest.clone()]));
    network.send(NodeId(0), 3, deliver(vec![honest]));
    assert_eq!(refusals(network, 3), [Refusal::Malformed, Refusal::Stale]);
    assert_eq!(network.height(3), 1);
}

#[test]
fn only_peers_are_handed_blocks_and_those_who_have_all_hear_nothing() {
    let mut network = behind(1);
    network.sent.clear();
    let fetch = |height| Packet::Role(RolePacket::Fetch(Height(height)));
    network.send(gateway(2), 1, fetch(1));
    network.send(NodeId(2), 1, fetch(2));
    assert!(network.sent.is_empty(), "{:?}", network.sent);
    assert_eq!(refusals(&network, 1), [Refusal::WrongSender]);
    network.send(NodeId(2), 1, fetch(0));
    assert_eq!(network.sent, [("DELIVER", NodeId(2))]);
}

#[test]
fn a_peer_that_starts_again_has_its_chain_and_fetches_what_its_disk_lost() {
    let mut network = behind(1);
    network.cut_off.clear();
    network.wait(2 * POLL);
    network.commit(&reading(1, &creation(1), 50));
    network.commit(&reading(2, &creation(1), 51));
    assert_eq!(network.height(3), 3);
    network.forget_blocks(3, 2);
    let root = network.machines[3].ledger().state().root();
    network.restart(3);
    assert_eq!(network.height(3), 3);
    assert_eq!(network.machines[3].ledger().state().root(), root);
    network.commit(&reading(3, &creation(1), 52));
    assert_eq!(network.height(3), 4);
}

#[test]
fn an_orderer_that_starts_again_orders_on_where_its_log_ends() {
    let mut network = Network::new();
    let create = creation(1);
    network.commit(&create);
    network.commit(&reading(1, &create, 50));
    // Its log is durable, the last block of its chain is not.
    network.forget_blocks(0, 1);
    network.restart(0);
    assert_eq!(network.height(0), 2);
    network.commit(&reading(2, &create, 51));
    network.wait(AGE + Duration::from_millis(1));
    let head = |peer: usize| network.machines[peer].ledger().head().block.id();
    assert_eq!(network.height(0), 3);
    assert!((1..4).all(|peer| head(peer) == head(0)));
}
