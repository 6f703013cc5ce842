//! Raft, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod museum;
#[cfg(feature = "mutants")]
mod mutants;
mod oracles;
mod rules;
mod scripts;
mod stage;
mod storms;

use std::time::Duration;

use consortium_node::raft::{Config, Raft};

type Net = support::Net<Raft>;

const SECOND: Duration = Duration::from_secs(1);

/// n members with the standard configuration, and a leader.
fn net(n: usize) -> Net {
    net_with(n, Config::default())
}

fn net_with(n: usize, config: Config) -> Net {
    let mut net = unled(n, config);
    while leader(&net).is_none() {
        net.run(Duration::from_millis(10));
    }
    net
}

/// n members just started.
fn unled(n: usize, config: Config) -> Net {
    Net::new(n, move |me, _, committee, genesis| {
        Raft::new(config, me, &committee, genesis)
    })
}

/// Who leads the latest term that has a leader.
fn leader(net: &Net) -> Option<u16> {
    use consortium_node::engine::Engine as _;
    let up = net.replicas.iter().filter(|replica| !replica.crashed);
    let leaders = up.filter(|replica| replica.engine.answers());
    let latest = leaders.max_by_key(|replica| replica.engine.status().view);
    latest.map(|replica| replica.host.me.0)
}

/// Everybody but one.
fn others(net: &Net, node: u16) -> Vec<u16> {
    let all = 0..net.replicas.len() as u16;
    all.filter(|other| *other != node).collect()
}
