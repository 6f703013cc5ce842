//! The head moves to another branch: what is taken off, what waits again, what is put on.

use std::sync::Arc;

use consortium_node::{
    block::Block,
    clique::{Clique, CliqueConfig, CliqueMessage, SEAL, TieBreak},
    codec,
    engine::Effect,
    ledger::State,
    node::Node as _,
    sealed::SealedBlock,
    transaction::{Outcome, Transaction},
    types::{Height, NodeId, TxId},
};

use crate::{
    chain::{Chain, PERIOD},
    scripted::{Scripted, finality, scripted, want},
    stage::{
        ALICE, BOB, NORTH, SOUTH, Stage, committee, config, ids, node_key, order, order_for,
        variant_of,
    },
};

/// A node outside a committee of four signers: it follows and never seals. A block may be relied on
/// when another one follows it.
fn follower() -> Stage<Clique> {
    let clique = CliqueConfig {
        period: PERIOD,
        tie_break: TieBreak::FirstSeen,
        confirmations: Some(1),
        gossip: false,
        seed: 1,
    };
    let genesis = Block::genesis(State::new().root());
    let me = NodeId(9);
    let engine = Clique::new(&clique, &committee(4), me, node_key(me), &genesis);
    let mut stage = Stage::new(4, 9, config(), engine);
    stage.start().said();
    stage
}

impl Chain {
    /// Adds a block that `signer` seals, in turn or out of turn, and sends it.
    fn seal(&mut self, signer: u16, txs: &[&Arc<Transaction>]) -> CliqueMessage {
        let mut header = self.header(signer);
        let in_turn = header.height.0 % 4 == u64::from(signer);
        header.extra = codec::encode(&if in_turn { 2u64 } else { 1 });
        let block = self.push(header, txs.iter().map(|tx| Arc::clone(tx)).collect());
        let signer = NodeId(signer);
        CliqueMessage::NewBlock(SealedBlock::new(&node_key(signer), signer, SEAL, block))
    }
}

#[test]
fn clique_moves_to_the_heavier_branch_and_the_orphans_wait_again() {
    let mut stage = follower();
    let (kept, lost, shared) = (order(ALICE, 0), order(ALICE, 1), order_for(SOUTH, BOB, 0));
    let mut light = Chain::new();
    let first = light.seal(1, &[&kept]);
    let mut heavy = light.clone();
    // Signer 3 is out of turn at height 2; signers 2 and 3 are in turn at 2 and 3.
    stage
        .hear(1, first)
        .hear(3, light.seal(3, &[&lost, &shared]));
    assert_eq!((stage.height(), stage.pending()), (2, 0));
    stage.said();

    stage.hear(2, heavy.seal(2, &[&shared]));
    let said = stage.said();
    assert_eq!(said.retracted(), [2]);
    assert_eq!(stage.block_at(2), [shared.id()]);
    assert_eq!(stage.pending(), 1, "the loser's order waits again");
    assert_eq!(stage.node.ledger().state().root(), heavy.0.state().root());
    assert!(stage.node.ledger().receipt(&lost.id()).is_none());

    stage.hear(3, heavy.seal(3, &[&lost]));
    let said = stage.said();
    assert_eq!(said.relied(), [2]);
    assert_eq!(said.outcomes(SOUTH), [(shared.id(), Outcome::Ok)]);
    assert_eq!(stage.pending(), 0);
    assert_eq!(stage.node.ledger().height(), Height(3));
}

#[test]
fn clique_answers_when_a_block_is_deep_enough_and_not_before() {
    let mut stage = follower();
    let mut chain = Chain::new();
    let tx = order(ALICE, 0);
    stage.hear(1, chain.seal(1, &[&tx]));
    assert!(
        stage.said().outcomes(NORTH).is_empty(),
        "nothing follows it yet"
    );
    let said = stage.submit(NORTH, &tx).said();
    assert_eq!(
        said.sent().count(),
        0,
        "executed, but not to be relied on: no word"
    );
    stage.hear(2, chain.seal(2, &[]));
    assert_eq!(stage.said().outcomes(NORTH), [(tx.id(), Outcome::Ok)]);
}

/// Two chains that part after the first block.
fn fork(first: &[&Arc<Transaction>]) -> (Arc<Block>, Chain, Chain) {
    let mut chain = Chain::new();
    let block = chain.grow(0, first);
    (block, chain.clone(), chain)
}

fn proposed(stage: &Stage<Scripted>) -> Vec<TxId> {
    ids(stage.payload().expect("something waits").transactions())
}

#[test]
fn what_is_taken_off_is_noted_newest_first_before_what_is_put_on() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, mut new) = fork(&[]);
    let (a, b) = (old.grow(0, &[]), old.grow(0, &[]));
    stage.follow(&[&first, &a, &b]).said();
    let others = [new.grow(1, &[]), new.grow(1, &[]), new.grow(1, &[])];
    stage.follow(&others.each_ref());
    let said = stage.said();
    assert_eq!(said.retracted(), [3, 2]);
    let kinds = ["retracted", "retracted", "appended", "appended", "appended"];
    assert_eq!(said.words(), kinds);
    assert_eq!(stage.node.ledger().head().block, others[2]);
}

#[test]
fn the_head_may_go_back_to_a_branch_that_it_left() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, mut new) = fork(&[]);
    let (a, b) = (old.grow(0, &[&order(ALICE, 0)]), new.grow(1, &[]));
    stage.follow(&[&first, &a]).follow(&[&b]);
    assert_eq!(stage.pending(), 1);
    stage.cue(vec![Effect::Head(a.id())]);
    assert_eq!(stage.pending(), 0);
    assert_eq!(stage.node.ledger().state().root(), old.0.state().root());
    stage.cue(vec![Effect::Head(first.id())]);
    assert_eq!((stage.height(), stage.pending()), (1, 1));
}

#[test]
fn orphans_wait_again_in_their_order_and_before_those_that_never_had_a_turn() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, mut new) = fork(&[]);
    let orders: Vec<_> = (0..4).map(|nonce| order(ALICE, nonce)).collect();
    let a = old.grow(0, &[&orders[0], &orders[1]]);
    let b = old.grow(0, &[&orders[2]]);
    stage.follow(&[&first, &a, &b]);
    stage.relay(1, &orders[3]);
    let c = new.grow(1, &[]);
    stage.follow(&[&c]);
    assert_eq!(stage.pending(), 4);
    stage.heard();
    stage.cue(vec![Effect::Want(want(c.id()))]);
    assert_eq!(
        proposed(&stage),
        ids(&orders[..3]),
        "nobody overtakes himself"
    );
}

#[test]
fn an_orphan_whose_number_the_winner_used_does_not_wait_again() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, mut new) = fork(&[]);
    let (lost, won) = (order(ALICE, 0), variant_of(SOUTH, ALICE, 0, 1));
    let (a, b) = (old.grow(0, &[&lost]), new.grow(1, &[&won]));
    stage.follow(&[&first, &a]).follow(&[&b]);
    assert_eq!(stage.pending(), 0, "it can never execute on this branch");
    assert!(stage.node.ledger().receipt(&lost.id()).is_none());
}

#[test]
fn a_wish_that_waits_for_something_is_granted_when_orphans_come_back() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, _) = fork(&[]);
    let a = old.grow(0, &[&order(ALICE, 0), &order(ALICE, 1), &order(ALICE, 2)]);
    stage.follow(&[&first, &a]);
    stage.cue(vec![Effect::Want(want(first.id()))]);
    stage.heard();
    stage.cue(vec![Effect::Head(first.id())]);
    assert_eq!(proposed(&stage).len(), 3);
}

#[test]
fn a_block_on_a_losing_branch_carries_results_of_its_own_ancestors() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut old, mut new) = fork(&[]);
    let (a, b) = (old.grow(0, &[&order(ALICE, 0)]), new.grow(1, &[]));
    stage.follow(&[&first, &a]);
    assert_eq!(stage.verdict(&b), Ok(()));
    for nonce in 0..3 {
        stage.relay(1, &order(BOB, nonce));
    }
    stage.cue(vec![Effect::Want(want(b.id()))]);
    let block = stage.payload().expect("three wait");
    assert_eq!(
        block.header().results,
        new.0.results(Height(1)).expect("executed")
    );
}

#[test]
fn what_was_head_becomes_final_without_being_executed_twice() {
    let mut stage = scripted(&Scripted::default());
    let (first, mut chain, mut other) = fork(&[&order(ALICE, 0)]);
    let second = chain.grow(0, &[]);
    stage.follow(&[&first, &second]).said();
    stage.heard();
    stage.cue(vec![finality(&first)]);
    let said = stage.said();
    assert_eq!(
        said.words(),
        ["store", "relied", "RECEIPTS"],
        "kept and answered, not appended"
    );
    assert_eq!(stage.node.ledger().final_height(), Height(1));
    assert_eq!(stage.height(), 2);
    assert_eq!(stage.heard().len(), 1, "the engine is told");
    // The head may still move above what is final.
    let (a, b) = (other.grow(1, &[]), other.grow(1, &[]));
    stage.follow(&[&a, &b]);
    assert_eq!(stage.node.ledger().head().block, b);
    stage.cue(vec![finality(&a), finality(&b)]);
    assert_eq!(stage.node.ledger().final_height(), Height(3));
}

#[test]
fn memory_of_a_chain_that_is_never_final_is_bounded() {
    let mut stage = scripted(&Scripted::default());
    stage.wait(2 * 4200 * PERIOD);
    let mut chain = Chain::new();
    for _ in 0..4200 {
        let block = chain.grow(0, &[]);
        stage.follow(&[&block]);
        stage.said();
    }
    let ledger = stage.node.ledger();
    assert!(
        ledger.state_at(Height(50)).is_none(),
        "nothing turns back so far"
    );
    assert!(ledger.state_at(Height(200)).is_some());
    let mut stray = Chain::new();
    let early = stray.grow(1, &[]);
    assert_eq!(
        stage.verdict(&early),
        Err(consortium_node::engine::BlockFault::UnknownParent),
        "and a block from there can no longer be judged"
    );
}
