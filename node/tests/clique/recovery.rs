//! Starting again: the log brings back every block, and no seal is contradicted.

use std::{collections::BTreeMap, time::Duration};

use chain_support::{Host, Net, committee, genesis, keys};
use consortium_node::{
    block::Results,
    clique::{Clique, KEEP},
    codec,
    engine::{Input, Recovery, Tale, Tip},
    types::{Digest, NodeId},
};

use crate::{PERIOD, chain_support, config, net, seals};

fn fresh(n: usize, node: usize) -> Clique {
    let key = keys(n)[node].clone();
    Clique::new(
        &config(),
        &committee(n),
        NodeId(node as u16),
        key,
        &genesis(),
    )
}

/// These machines start again with their logs and nothing else.
fn restart(net: &mut Net<Clique>, nodes: impl IntoIterator<Item = usize>, disk: Recovery) {
    let n = net.hosts.len();
    let genesis = genesis();
    for node in nodes {
        let mut host = Host::new(NodeId(node as u16), fresh(n, node), &genesis);
        let before = &mut net.hosts[node];
        host.tales = std::mem::take(&mut before.tales);
        host.skew_ns = before.skew_ns;
        if disk != Recovery::Lost {
            host.log = std::mem::take(&mut before.log);
        }
        let records = host.log.clone();
        net.hosts[node] = host;
        let tip = Tip {
            recent: &[],
            handed_over: None,
            block: &genesis,
            proof: None,
            results: Results::default(),
        };
        let input = Input::Recovered {
            disk,
            records: &records,
            tip,
        };
        net.step(node, input);
    }
}

fn chain_of(net: &Net<Clique>, node: usize) -> Vec<Digest> {
    let chain = net.hosts[node].chain.iter();
    chain.map(|block| block.id()).collect()
}

/// No signer sealed two blocks on one parent.
fn assert_seals_once(net: &Net<Clique>) {
    let mut parents = BTreeMap::new();
    for host in &net.hosts {
        for sealed in &host.log {
            let header = sealed.block().header();
            let id = sealed.block().id();
            let first = *parents
                .entry((header.proposer, header.parent))
                .or_insert(id);
            assert_eq!(first, id, "{} sealed twice on a parent", header.proposer);
        }
        let evidence = |tale: &Tale| matches!(tale, Tale::Equivocation { .. });
        assert!(!host.tales.iter().any(evidence));
    }
}

#[test]
fn a_signer_that_starts_again_has_its_chain_before_anybody_says_a_word() {
    let mut net = net(4);
    net.run(60 * PERIOD);
    let (head, log) = (net.hosts[1].head().id(), net.hosts[1].log.len());
    assert!(net.hosts[1].height() > 30);
    net.split(&[&[0, 2, 3], &[1]]);
    restart(&mut net, [1], Recovery::Clean);
    assert_eq!(net.hosts[1].head().id(), head);
    assert_eq!(net.hosts[1].log.len(), log, "nothing is written twice");
    net.heal();
    net.run(60 * PERIOD + PERIOD / 2);
    assert!(net.agree(&[0, 1, 2, 3]));
    assert_seals_once(&net);
}

#[test]
fn all_at_once_lose_nothing() {
    let mut net = net(4);
    for nonce in 0..20 {
        net.submit(&[0, 1, 2, 3], nonce);
        net.run(2 * PERIOD);
    }
    let chains: Vec<_> = (0..4).map(|node| chain_of(&net, node)).collect();
    restart(&mut net, 0..4, Recovery::Torn);
    for (node, chain) in chains.iter().enumerate() {
        assert_eq!(chain_of(&net, node), *chain, "from its own log");
    }
    net.run(60 * PERIOD);
    assert!(
        net.hosts
            .iter()
            .all(|host| host.height() > chains[0].len() as u64 + 20)
    );
    assert_seals_once(&net);
}

#[test]
fn restarts_at_any_instant_never_make_an_honest_signer_contradict_its_seals() {
    for millis in (0..5000).step_by(170) {
        let mut net = net(3);
        net.run(10 * PERIOD + Duration::from_millis(millis));
        restart(&mut net, [(millis / 170 % 3) as usize], Recovery::Clean);
        net.run(10 * PERIOD);
        restart(&mut net, 0..3, Recovery::Clean);
        net.run(20 * PERIOD);
        assert_seals_once(&net);
        assert!(net.hosts[0].height() > 25, "and they go on");
    }
}

#[test]
fn a_clock_that_went_back_does_not_make_a_signer_seal_again() {
    let mut net = net(4);
    net.run(20 * PERIOD);
    let height = net.hosts[1].height();
    net.split(&[&[0, 2, 3], &[1]]);
    net.hosts[1].skew_ns = -(15 * PERIOD.as_nanos() as i64);
    let before: BTreeMap<u64, Digest> = seals(&net, 1).into_iter().collect();
    restart(&mut net, [1], Recovery::Clean);
    assert!(
        net.hosts[1].height() < height,
        "what it finds early is held"
    );
    net.run(60 * PERIOD);
    net.heal();
    net.run(60 * PERIOD);
    assert_seals_once(&net);
    assert!(!before.is_empty());
}

#[test]
fn without_its_disk_a_signer_waits_for_a_head_that_it_cannot_have_sealed_on() {
    let mut net = net(4);
    net.run(20 * PERIOD);
    let before = net.hosts[1].log.clone();
    net.split(&[&[0, 2, 3], &[1]]);
    restart(&mut net, [1], Recovery::Lost);
    net.run(60 * PERIOD);
    assert_eq!(net.hosts[1].height(), 0, "alone it seals nothing");
    net.heal();
    net.run(60 * PERIOD + PERIOD / 2);
    assert!(net.agree(&[0, 1, 2, 3]));
    let parents = before.iter().map(|sealed| sealed.block().header().parent);
    let old: Vec<_> = parents.collect();
    let new = net.hosts[1]
        .log
        .iter()
        .map(|sealed| sealed.block().header());
    let mut ours = new
        .filter(|header| header.proposer == NodeId(1))
        .collect::<Vec<_>>();
    ours.sort_by_key(|header| header.height);
    let newest = ours.last().expect("it seals again");
    assert!(!old.contains(&newest.parent));
    let height = net.hosts[0].height();
    assert!(newest.height.0 + 8 > height, "as everybody does");
}

#[test]
fn a_log_longer_than_memory_comes_back_whole() {
    let mut net = net(3);
    net.run(PERIOD * (KEEP as u32 + 300));
    let chain = net.hosts[0].chain.len();
    assert!(chain as u64 > KEEP + 100);
    restart(&mut net, [0], Recovery::Clean);
    assert_eq!(net.hosts[0].chain.len(), chain);
    assert!(codec::encode(&net.hosts[0].log[0]).len() > 100);
    assert_seals_once(&net);
}
