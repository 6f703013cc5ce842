//! IBFT 1.0, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod locks;
#[cfg(feature = "mutants")]
mod mutants;
mod oracles;
mod quorums;
mod recovery;
mod rules;
mod script;
mod two_phase;
mod wire;

use std::time::Duration;

use consortium_node::{
    ibft::{Config, Growth, Ibft, Pace, Timeouts, Turns},
    quorum::QuorumRule,
};

type Net = support::Net<Ibft>;

const SECOND: Duration = Duration::from_secs(1);

/// A second for round 0; no empty blocks and no waiting between blocks.
const BRISK: Config = Config {
    pace: Pace {
        turns: Turns::RoundRobin,
        block_period: Duration::ZERO,
        empty_block_period: None,
        timeouts: Timeouts {
            base: SECOND,
            growth: Growth::PlusPowersOfTwo,
            cap: None,
        },
        resend: None,
    },
    quorum: QuorumRule::CeilTwoThirds,
    heeds_commits: false,
};

/// With the quorum that it was shipped with at first.
const FIRST: Config = Config {
    quorum: QuorumRule::TwoFPlusOne,
    ..BRISK
};

fn net(n: usize) -> Net {
    net_with(n, BRISK)
}

fn net_with(n: usize, config: Config) -> Net {
    let mut net = Net::new(n, move |me, key, committee, genesis| {
        Ibft::new(config, me, key, committee, genesis)
    });
    net.hosts_sync = true;
    net
}

/// Length of a replica's chain, without genesis.
fn height(net: &Net, node: u16) -> usize {
    net.replica(node).host.chain.len() - 1
}
