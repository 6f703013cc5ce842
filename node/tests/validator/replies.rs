//! Receipts: to whom, when, how many pages, in whose name.

use std::time::Duration;

use consortium_node::{
    engine::ReplyRule,
    transaction::{Outcome, Transaction},
    types::NodeId,
};

use crate::{
    chain::Chain,
    scripted::{Scripted, finality, scripted},
    stage::{
        ALICE, BOB, NORTH, SOUTH, call, config, node_key, order, order_for, party_key, replica,
    },
};

fn depth(k: u64) -> Scripted {
    Scripted {
        reply: ReplyRule::Depth(k),
        ..Scripted::default()
    }
}

#[test]
fn each_gateway_gets_one_signed_page_a_block() {
    let mut stage = scripted(&Scripted::default());
    let silent = Transaction::sign(&party_key(BOB), BOB, 9, call(0));
    let orders = [order(ALICE, 0), order_for(SOUTH, BOB, 0), order(ALICE, 1)];
    let block = Chain::new().grow(0, &[&orders[0], &orders[1], &silent, &orders[2]]);
    stage.cue(vec![finality(&block)]);
    let pages = stage.said().pages();
    assert_eq!(
        pages.len(),
        2,
        "nobody waits for the one without an address"
    );
    let north = &pages[&NORTH];
    assert_eq!(north.len(), 1);
    assert_eq!(
        (north[0].block, north[0].height),
        (block.id(), block.header().height)
    );
    let lines = [&orders[0], &orders[2]].map(|tx| (tx.id(), Outcome::Ok));
    assert_eq!(north[0].entries, lines);
    assert_eq!(pages[&SOUTH][0].entries, [(orders[1].id(), Outcome::Ok)]);
}

#[test]
fn a_page_is_signed_with_the_nodes_own_key() {
    let mut stage = scripted(&Scripted::default());
    stage.cue(vec![finality(&Chain::new().grow(0, &[&order(ALICE, 0)]))]);
    let said = stage.said();
    let page = said.sent().find_map(|(_, packet)| match packet {
        consortium_node::node::Packet::Client(consortium_node::node::ClientPacket::Receipts(
            page,
        )) => Some(page),
        _ => None,
    });
    let page = page.expect("an answer");
    assert_eq!(page.signer(), NodeId(3));
    assert!(page.verify(crate::stage::CHAIN, &node_key(NodeId(3)).public()));
    assert!(!page.verify(crate::stage::CHAIN, &node_key(NodeId(0)).public()));
}

#[test]
fn a_block_is_relied_on_when_enough_blocks_follow_it() {
    let mut stage = scripted(&depth(2));
    let mut chain = Chain::new();
    let tx = order(ALICE, 0);
    let blocks = [
        chain.grow(0, &[&tx]),
        chain.grow(0, &[]),
        chain.grow(0, &[]),
    ];
    let mut relied = Vec::new();
    let mut outcomes = Vec::new();
    for block in &blocks {
        let said = stage.follow(&[block]).said();
        relied.push(said.relied());
        outcomes.extend(said.outcomes(NORTH));
    }
    assert_eq!(relied, [vec![], vec![], vec![1]]);
    assert_eq!(outcomes, [(tx.id(), Outcome::Ok)], "once");
}

#[test]
fn the_reply_cache_is_silent_about_what_may_still_be_withdrawn() {
    let mut stage = scripted(&depth(1));
    let mut chain = Chain::new();
    let tx = order(ALICE, 0);
    stage.follow(&[&chain.grow(0, &[&tx])]).said();
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!((said.sent().count(), said.admitted()), (0, 0));
    stage.follow(&[&chain.grow(0, &[])]).said();
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!(said.outcomes(NORTH), [(tx.id(), Outcome::Ok)]);
}

#[test]
fn blocks_of_the_new_branch_are_answered_in_their_turn() {
    let mut stage = scripted(&depth(1));
    let mut chain = Chain::new();
    let first = chain.grow(0, &[]);
    let mut other = chain.clone();
    let (lost, won) = (order(ALICE, 0), order_for(SOUTH, BOB, 0));
    let old = [chain.grow(0, &[&lost]), chain.grow(0, &[])];
    let said = stage.follow(&[&first, &old[0], &old[1]]).said();
    assert_eq!(said.relied(), [1, 2], "too early, as it turns out");
    let new = [
        other.grow(1, &[&won]),
        other.grow(1, &[]),
        other.grow(1, &[]),
    ];
    let said = stage.follow(&new.each_ref()).said();
    assert_eq!(said.retracted(), [3, 2]);
    assert_eq!(said.relied(), [2, 3], "what was said of 1 still holds");
    assert_eq!(said.outcomes(SOUTH), [(won.id(), Outcome::Ok)]);
    assert!(said.outcomes(NORTH).is_empty());
}

#[test]
fn who_does_not_speak_for_the_protocol_answers_nobody() {
    let mut stage = replica(4, 1, config());
    let mut database = replica(4, 0, config());
    let tx = order(ALICE, 0);
    database.submit(NORTH, &tx).wait(Duration::from_millis(100));
    let said = database.said();
    assert_eq!(said.outcomes(NORTH), [(tx.id(), Outcome::Ok)]);
    let pushed = said
        .sent()
        .find(|(to, _)| *to == NodeId(1))
        .expect("a block")
        .1;
    let said = stage.packet(NodeId(0), pushed).said();
    assert_eq!(said.relied(), [1]);
    assert!(said.outcomes(NORTH).is_empty());
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!(said.sent().count(), 0, "not from the reply cache either");
}
