//! The order in which an engine's effects are carried out, and what it is told in between.

use std::{sync::Arc, time::Duration};

use consortium_node::{
    engine::{Effect, Tale},
    node::{Action, Node as _},
    types::{Mono, NodeId, Seq},
};

use crate::{
    chain::Chain,
    scripted::{Cue, Heard, Mark, Scripted, finality, scripted},
    stage::{ALICE, BOB, NORTH, order},
};

#[test]
fn effects_are_carried_out_in_their_order() {
    let mut stage = scripted(&Scripted::default());
    let tx = order(ALICE, 0);
    let block = Chain::new().grow(0, &[&tx]);
    stage.cue(vec![
        Effect::Tell(Tale::Void(Seq(1))),
        Effect::Persist(Mark(7)),
        Effect::Send {
            to: NodeId(1),
            message: Arc::new(Cue),
        },
        finality(&block),
        Effect::Broadcast(Arc::new(Cue)),
    ]);
    let said = stage.said();
    assert_eq!(
        said.words(),
        [
            "tale", "persist", "CUE", "store", "appended", "relied", "RECEIPTS", "CUE", "CUE",
            "CUE"
        ]
    );
    assert_eq!(said.sent_to("CUE"), [1, 0, 1, 2], "everyone but itself");
    let record = said.0.iter().find_map(|action| match action {
        Action::Persist(write) => Some(write.encode()),
        _ => None,
    });
    assert_eq!(record, Some(vec![vec![7]]));
}

#[test]
fn a_verdict_comes_before_any_other_input() {
    let mut stage = scripted(&Scripted::default());
    let mut chain = Chain::new();
    let (first, second) = (chain.grow(0, &[]), chain.grow(0, &[]));
    stage.relay(1, &order(ALICE, 0));
    stage.heard();
    stage.cue(vec![
        Effect::Validate(Arc::clone(&first)),
        Effect::Validate(Arc::clone(&second)),
        finality(&first),
    ]);
    let results = stage.node.ledger().head().results;
    assert_eq!(
        stage.heard(),
        [
            Heard::Validated(first.id(), Ok(())),
            Heard::Validated(second.id(), Ok(())),
            Heard::Executed(first.id(), results),
        ]
    );
}

#[test]
fn several_final_blocks_are_executed_in_order_and_each_is_told() {
    let mut stage = scripted(&Scripted::default());
    let mut chain = Chain::new();
    let blocks = [
        chain.grow(0, &[&order(ALICE, 0)]),
        chain.grow(0, &[&order(ALICE, 1)]),
        chain.grow(0, &[]),
    ];
    stage.cue(blocks.iter().map(finality).collect());
    let told: Vec<_> = blocks
        .iter()
        .map(|block| {
            let height = block.header().height;
            Heard::Executed(block.id(), chain.0.results(height).expect("executed"))
        })
        .collect();
    assert_eq!(stage.heard(), told);
    assert_eq!(stage.said().relied(), [1, 2, 3]);
}

#[test]
fn the_engine_hears_since_when_the_oldest_waits_and_only_when_that_changes() {
    let mut stage = scripted(&Scripted::default());
    stage.wait(Duration::from_millis(5));
    stage.relay(1, &order(ALICE, 0));
    assert_eq!(stage.heard(), [Heard::Pending(Some(Mono(5_000_000)))]);
    stage.wait(Duration::from_millis(5));
    stage
        .relay(1, &order(BOB, 0))
        .submit(NORTH, &order(ALICE, 0));
    assert_eq!(stage.heard(), [], "the oldest is the same");
    let mut chain = Chain::new();
    let (first, second) = (
        chain.grow(0, &[&order(ALICE, 0)]),
        chain.grow(0, &[&order(BOB, 0)]),
    );
    stage.cue(vec![finality(&first)]);
    assert_eq!(stage.heard()[1..], [Heard::Pending(Some(Mono(10_000_000)))]);
    stage.cue(vec![finality(&second)]);
    assert_eq!(stage.heard()[1..], [Heard::Pending(None)]);
}

#[test]
fn claims_are_those_of_the_engine() {
    let stage = scripted(&Scripted::default());
    let claims = stage.node.claims();
    assert_eq!(claims.protocol, "scripted");
    assert_eq!(claims.reply, consortium_node::engine::ReplyRule::One);
    assert_eq!(stage.node.id(), NodeId(3));
}
