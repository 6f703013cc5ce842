//! Real PBFT validators: down for thousands of blocks, back while the others go on.

use std::time::Duration;

use consortium_node::{
    block::Block,
    engine::Engine as _,
    ledger::State,
    node::Node as _,
    pbft::{Config, Pbft},
    types::{NodeId, View},
    validator::Validator,
};

use crate::{
    library::{committee, config, executor, identity, node_key, order},
    net::Net,
};

fn replica(snapshot_above: u64) -> impl Fn(NodeId) -> Validator<Pbft> {
    move |id| {
        let genesis = Block::genesis(State::new().root()).id();
        let engine = Pbft::new(Config::default(), id, node_key(id), committee(), genesis);
        let config = config(snapshot_above);
        Validator::new(identity(id), config, engine, State::new(), executor())
    }
}

struct Play {
    net: Net<Pbft>,
    nonce: u64,
}

impl Play {
    fn new(snapshot_above: u64) -> Self {
        let mut net = Net::new(replica(snapshot_above));
        (0..4).for_each(|node| net.start(node));
        Self { net, nonce: 0 }
    }

    /// Gives orders to these nodes, one every 30 ms.
    fn order(&mut self, count: u64, to: &[u16]) {
        for _ in 0..count {
            let tx = order(self.nonce);
            for node in to {
                self.net.submit(*node, &tx);
            }
            self.nonce += 1;
            self.net.run(Duration::from_millis(30));
        }
    }

    fn run(&mut self, seconds: u64) {
        self.net.run(Duration::from_secs(seconds));
    }

    fn check_agreed(&self, nodes: &[u16]) {
        let first = nodes[0];
        for node in nodes {
            assert_eq!(self.net.height(*node), self.net.height(first), "n{node}");
            assert_eq!(self.net.root(*node), self.net.root(first), "n{node}");
        }
    }
}

#[test]
fn an_ordinary_run_asks_for_nothing() {
    let mut play = Play::new(u64::MAX);
    play.order(200, &[0]);
    play.run(5);
    play.check_agreed(&[0, 1, 2, 3]);
    assert!((0..4).all(|node| play.net.asked(node).is_empty()));
}

#[test]
fn a_replica_that_was_down_for_thousands_of_blocks_catches_up_while_the_others_go_on_r17_r35() {
    let mut play = Play::new(u64::MAX);
    play.order(20, &[0]);
    play.net.stop(3);
    play.order(1000, &[0]);
    // The primary is silent for a while, so that the view is another one when the replica is back.
    play.net.silent = Some(NodeId(0));
    play.order(200, &[1, 2]);
    play.run(5);
    play.net.silent = None;
    play.run(30);
    play.order(1000, &[1, 2]);
    let view = play.net.nodes[1].engine().status().view;
    assert!(view > View(0), "the view has changed");
    assert!(play.net.height(1) > 1500, "{}", play.net.height(1));
    play.net.restart(3);
    play.order(100, &[1, 2]);
    play.run(10);
    play.check_agreed(&[0, 1, 2, 3]);
    let status = play.net.nodes[3].engine().status();
    assert_eq!(
        (status.view, status.active),
        (play.net.nodes[1].engine().status().view, true)
    );
    assert!(!play.net.asked(3).is_empty(), "by asking");
    // It takes part again: without it there would be no quorum now.
    let before = play.net.height(1);
    play.net.stop(2);
    play.order(20, &[1, 3]);
    play.run(60);
    play.check_agreed(&[0, 1, 3]);
    assert!(play.net.height(3) > before);
}

#[test]
fn a_replica_that_was_cut_off_is_told_by_its_protocol_and_catches_up() {
    let mut play = Play::new(u64::MAX);
    play.net.cut = Some(NodeId(3));
    play.order(1000, &[0]);
    assert_eq!(play.net.height(3), 0);
    play.net.cut = None;
    play.order(200, &[0]);
    play.run(30);
    play.check_agreed(&[0, 1, 2, 3]);
}

#[test]
fn a_snapshot_is_enough_to_take_part_again_r39() {
    let mut play = Play::new(300);
    play.order(20, &[0]);
    play.net.stop(3);
    play.order(1700, &[0]);
    play.net.restart(3);
    play.order(100, &[0]);
    play.run(20);
    let (adopted, asked) = (play.net.adopted(3), play.net.asked(3));
    assert_eq!(adopted.len(), 1, "{asked:?} at {}", play.net.height(0));
    play.check_agreed(&[0, 1, 2, 3]);
    let base = play.net.nodes[3].ledger().base();
    assert!(base.0 > 300, "{base}");

    let before = play.net.height(1);
    play.net.stop(2);
    let old = order(5);
    (0..4)
        .filter(|node| *node != 2)
        .for_each(|node| play.net.submit(node, &old));
    play.order(200, &[0]);
    play.run(60);
    play.check_agreed(&[0, 1, 3]);
    assert!(play.net.height(3) > before, "its votes count");
    let ledger = play.net.nodes[3].ledger();
    let again = ledger
        .entries()
        .flat_map(|entry| entry.block.transactions());
    assert!(
        again.into_iter().all(|tx| tx.id() != old.id()),
        "an old order is not ordered again"
    );

    play.net.restart(3);
    play.run(20);
    assert_eq!(
        play.net.nodes[3].ledger().base(),
        base,
        "its disk begins there too"
    );
    play.check_agreed(&[0, 1, 3]);
}

#[test]
fn all_restart_at_once_and_agree() {
    let mut play = Play::new(u64::MAX);
    play.order(300, &[0]);
    play.run(2);
    (0..4).for_each(|node| play.net.restart(node));
    play.run(5);
    play.order(50, &[0]);
    play.run(20);
    play.check_agreed(&[0, 1, 2, 3]);
    assert_eq!(play.net.nodes[0].status().pending, 0);
}
