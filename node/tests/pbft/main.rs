//! PBFT, tested as a network of pure engines under a virtual clock.

#[path = "../support/mod.rs"]
mod support;

mod amnesia;
mod certificates;
mod checkpoints;
mod committees;
mod faults;
mod known_errors;
#[cfg(feature = "mutants")]
mod mutants;
mod new_views;
mod normal_case;
mod oracles;
mod recovery;
mod retransmission;
mod review;
mod script;
mod scripts;
mod view_changes;
mod wire;

use std::time::Duration;

use consortium_node::pbft::{Config, Pbft};

type Net = support::Net<Pbft>;

/// Small checkpoints and short timeouts, so that all of them take part.
const BRISK: Config = Config {
    checkpoint_interval: 4,
    window: 16,
    pipeline: 3,
    request_timeout: Duration::from_millis(500),
    request_deadline: Duration::from_secs(20),
    view_change_timeout: Duration::from_millis(500),
    status_interval: Duration::from_millis(200),
};

/// n replicas with the standard configuration.
fn net(n: usize) -> Net {
    net_with(n, Config::default())
}

fn net_with(n: usize, config: Config) -> Net {
    Net::new(n, move |me, key, committee, genesis| {
        Pbft::new(config, me, key, committee, genesis)
    })
}
