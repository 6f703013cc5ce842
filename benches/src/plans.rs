//! Plans of the benches, read by the same loader as every scenario.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use consortium_sim::scenario::{Source, load, plan::Plan};

/// `n` members in one uniform network of 1 ms links, each with a validator and a gateway.
fn members(n: u16) -> String {
    (0..n).fold(String::new(), |mut text, member| {
        let _ = write!(
            text,
            "[[member]]\nname = \"Member {member}\"\nregion = \"R\"\n\n"
        );
        text
    })
}

const COLD_CHAIN: &str = r#"
[cold_chain]
owner = "Member 0"
observer = "Member 1"
min_temperature_c = 0
max_temperature_c = 20

[[leg]]
stage = "Road"
custodian = "Member 0"
duration = "24h"
ambient_c = 8
"#;

fn understood(name: &str, text: &str) -> Arc<Plan> {
    let source = Source::new(name, text);
    let loaded = load(&source, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::new(loaded.plan)
}

/// A network in which nothing costs anything, so that only the world itself is left: for `rounds` rounds
/// of toys, whose links stray by up to some hundred microseconds.
#[must_use]
pub fn bare(n: u16, rounds: u64) -> Arc<Plan> {
    let milliseconds = rounds * 20 + 100;
    let text = format!(
        r#"
duration = "{milliseconds}ms"
drain = "0s"

{}
[network]
matrix = "uniform"
latency = "1ms"
jitter_p95 = "200us"
bandwidth = "unlimited"

[machine]
profile = "zero"

[fleet]
packages = 1
start_spread = "0s"
reading_every = "1h"
{COLD_CHAIN}"#,
        members(n)
    );
    let mut plan = Arc::unwrap_or_clone(understood("bare.toml", &text));
    // Toys take no transactions, so nothing is shipped.
    plan.fleet.packages = 0;
    Arc::new(plan)
}

/// A PBFT network under a steady load: the reference machine, cards of 1 Gbit/s, links of 1 ms with
/// jitter, 20 packages that read once in 100 ms, batches cut after 10 ms.
#[must_use]
pub fn rounds(n: u16, virtual_time: Duration, eager: bool) -> Arc<Plan> {
    let signatures = if eager { "eager" } else { "lazy" };
    let text = format!(
        r#"
duration = "{}ms"
drain = "10s"

[consensus]
protocol = "pbft"

[consensus.batch]
max_age = "10ms"

{}
[network]
matrix = "uniform"
latency = "1ms"
jitter_p95 = "200us"

[fleet]
packages = 20
start_spread = "0s"
reading_every = "100ms"
{COLD_CHAIN}
[host]
signatures = "{signatures}"
wire = "{signatures}"
"#,
        virtual_time.as_millis(),
        members(n)
    );
    understood("rounds.toml", &text)
}

/// The milk story, cut after so many hours.
#[must_use]
pub fn milk(hours: u32) -> Arc<Plan> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/milk.toml");
    let source = Source::read(Path::new(path)).unwrap_or_else(|problems| panic!("{problems}"));
    let loaded = load(&source, &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let mut plan = loaded.plan;
    let end = Duration::from_secs(u64::from(hours) * 3600);
    plan.duration = plan.duration.min(end);
    let horizon = consortium_sim::time::Time::ZERO + plan.duration;
    plan.faults.retain(|fault| fault.at < horizon);
    for fault in &mut plan.faults {
        fault.until = fault.until.filter(|until| *until < horizon);
    }
    plan.cheats.clear();
    plan.fleet.start_spread = plan.fleet.start_spread.min(plan.duration);
    Arc::new(plan)
}
