//! QBFT, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod justification;
mod locks;
#[cfg(feature = "mutants")]
mod mutants;
mod oracles;
mod outages;
mod recovery;
mod rules;
mod script;
mod two_phase;
mod wire;

use std::time::Duration;

use consortium_node::qbft::{Config, Growth, Qbft, Timeouts, Turns};

type Net = support::Net<Qbft>;

const SECOND: Duration = Duration::from_secs(1);

/// A second for round 0; no empty blocks and no waiting between blocks.
const BRISK: Config = Config {
    turns: Turns::RoundRobin,
    block_period: Duration::ZERO,
    empty_block_period: None,
    timeouts: Timeouts {
        base: SECOND,
        growth: Growth::Doubling,
        cap: None,
    },
    resend: None,
};

fn net(n: usize) -> Net {
    net_with(n, BRISK)
}

fn net_with(n: usize, config: Config) -> Net {
    let mut net = Net::new(n, move |me, key, committee, genesis| {
        Qbft::new(config, me, key, committee, genesis)
    });
    net.hosts_sync = true;
    net
}

/// Length of a replica's chain, without genesis.
fn height(net: &Net, node: u16) -> usize {
    net.replica(node).host.chain.len() - 1
}
