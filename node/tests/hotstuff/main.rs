//! HotStuff in its three variants, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod byzantine;
mod chaos;
#[cfg(feature = "mutants")]
mod mutants;
mod oracles;
mod pacemaker;
mod recovery;
mod rules;
mod script;
mod wire;

use std::time::Duration;

use consortium_node::{
    engine::{Effect, Engine},
    hotstuff::{Config, HotStuff, Leader, Variant},
};

type Net = support::Net<HotStuff>;

const SECOND: Duration = Duration::from_secs(1);

const VARIANTS: [Variant; 3] = [Variant::ThreeChain, Variant::Jolteon, Variant::HotStuff2];
const LEADERS: [Leader; 3] = [Leader::Rotate, Leader::Sticky, Leader::Reputation];

/// Short timeouts, so that they take part.
fn brisk(variant: Variant, leader: Leader) -> Config {
    Config {
        variant,
        leader,
        timeout: Duration::from_millis(200),
        timeout_growth_percent: 150,
        timeout_max: Duration::from_secs(3),
        delta: Duration::from_millis(30),
        window: 8,
        fetch_timeout: Duration::from_millis(100),
        empty_block_period: None,
    }
}

fn net(n: usize, variant: Variant, leader: Leader) -> Net {
    net_with(n, brisk(variant, leader))
}

/// Replicas whose outsiders check every proof.
fn net_with(n: usize, config: Config) -> Net {
    let mut net = Net::new(n, move |me, key, committee, genesis| {
        HotStuff::new(config, me, key, committee, genesis)
    });
    check_proofs(&mut net, config);
    net
}

fn check_proofs(net: &mut Net, config: Config) {
    let committee = std::sync::Arc::clone(&net.committee);
    let key = std::sync::Arc::clone(&net.keys[0]);
    let genesis = net.genesis.id();
    let node = consortium_node::types::NodeId(0);
    let judge = HotStuff::new(
        config,
        node,
        key,
        std::sync::Arc::clone(&committee),
        genesis,
    );
    net.watch = Some(Box::new(move |_, effect| {
        if let Effect::Final { block, proof } = effect {
            assert!(judge.proves(&committee, block, proof), "a proof that holds");
        }
        false
    }));
}

/// All nodes of a network of n.
fn all(n: usize) -> Vec<u16> {
    (0..n as u16).collect()
}
