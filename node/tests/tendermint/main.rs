//! Tendermint, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod committees;
mod faults;
mod gossip;
mod museum;
#[cfg(feature = "mutants")]
mod mutants;
mod oracles;
mod random;
mod rules;
mod script;
mod wire;

use std::time::Duration;

use consortium_node::{
    engine::Tale,
    tendermint::{Config, Tendermint},
    types::{Digest, NodeId, View},
};

type Net = support::Net<Tendermint>;

/// n validators with CometBFT's timeouts.
fn net(n: usize) -> Net {
    net_with(n, Config::default())
}

fn net_with(n: usize, config: Config) -> Net {
    Net::new(n, move |me, key, committee, genesis| {
        Tendermint::new(config, me, key, committee, genesis)
    })
}

/// Short timeouts, in the same proportions.
const BRISK: Config = Config {
    timeout_propose: Duration::from_millis(300),
    timeout_prevote: Duration::from_millis(100),
    timeout_precommit: Duration::from_millis(100),
    timeout_delta: Duration::from_millis(50),
    timeout_commit: Duration::from_millis(100),
    empty_block_period: None,
    status_interval: Duration::from_millis(50),
    relay_polkas: true,
};

/// What a validator told about contradictions.
fn equivocators(net: &Net, node: u16) -> Vec<NodeId> {
    let tales = net.replica(node).tales.iter();
    let caught = tales.filter_map(|(_, tale)| match tale {
        Tale::Equivocation { by, .. } => Some(*by),
        _ => None,
    });
    caught.collect()
}

/// The rounds that a validator entered.
fn entered(net: &Net, node: u16) -> Vec<View> {
    let tales = net.replica(node).tales.iter();
    let views = tales.filter_map(|(_, tale)| match tale {
        Tale::Entered { view, .. } => Some(*view),
        _ => None,
    });
    views.collect()
}

/// Nobody honest signs two things where one is due, restarts or not.
fn check_votes(net: &Net) {
    for replica in net.honest() {
        let mut seen: std::collections::BTreeMap<_, Digest> = std::collections::BTreeMap::new();
        for (_, tale) in &replica.tales {
            let (place, digest) = match tale {
                Tale::Voted(vote) => ((vote.phase.0, vote.view, vote.slot), vote.digest),
                Tale::Proposed { slot, block } => ((0, slot.view, slot.seq), *block),
                _ => continue,
            };
            let before = *seen.entry(place).or_insert(digest);
            assert_eq!(before, digest, "{} at {place:?}", replica.host.me);
        }
    }
}
