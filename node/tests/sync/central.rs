//! A database with replicas that catch up from anyone who has its word.

use std::time::Duration;

use consortium_node::{
    block::Block, central::Central, ledger::State, types::NodeId, validator::Validator,
};

use crate::{
    library::{committee, config, executor, identity, node_key, order},
    net::Net,
};

fn replica(id: NodeId) -> Validator<Central> {
    let genesis = Block::genesis(State::new().root());
    let engine = Central::new(committee(), id, node_key(id), &genesis);
    Validator::new(
        identity(id),
        config(u64::MAX),
        engine,
        State::new(),
        executor(),
    )
}

#[test]
fn a_replica_gets_from_its_fellows_what_a_restarted_database_keeps_no_longer() {
    let mut net = Net::new(replica);
    (0..4).for_each(|node| net.start(node));
    net.cut = Some(NodeId(3));
    for nonce in 0..200 {
        net.submit(0, &order(nonce));
        net.run(Duration::from_millis(30));
    }
    assert_eq!((net.height(1), net.height(3)), (net.height(0), 0));
    net.restart(0);
    assert!(net.disks[0].log.len() < 100, "most records are dropped");
    net.cut = None;
    net.submit(0, &order(200));
    net.run(Duration::from_secs(20));
    assert_eq!(net.height(3), net.height(0));
    assert_eq!(net.root(3), net.root(0));
    assert!(!net.asked(3).is_empty());
    net.submit(0, &order(201));
    net.run(Duration::from_secs(1));
    assert_eq!(net.height(3), net.height(0), "and follows again");
    net.restart(3);
    net.run(Duration::from_secs(5));
    assert_eq!(net.root(3), net.root(0));
}
