//! The wires, the machines and the host's shortcuts.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    net::matrix,
    scenario::{
        plan::{HostPlan, Machine, Matrix, MemberPlan, NetworkPlan, Transport},
        reader::Section,
        suggest::{self, quote},
        tree::{self, Table, Value},
    },
};

/// With more losses than this nothing would ever arrive.
const MOST_LOSSES_PPM: i64 = 900_000;
/// Nothing on a machine takes longer than this.
const SLOWEST: Duration = Duration::from_secs(10);

/// Reads `[network]`.
pub(crate) fn network(root: &Section<'_>) -> NetworkPlan {
    let section = root.section(
        "network",
        &[
            "matrix",
            "latency",
            "local_latency",
            "jitter_p95",
            "loss",
            "duplicates",
            "transport",
            "bandwidth",
            "overhead",
        ],
    );
    let uniform = Matrix::Uniform(section.duration("latency", Duration::ZERO));
    let choices = [
        ("azure", Matrix::Azure),
        ("aws", Matrix::Aws),
        ("uniform", uniform),
    ];
    NetworkPlan {
        matrix: section.choice("matrix", &choices),
        local_latency: section.duration("local_latency", Duration::ZERO),
        jitter_p95: section.duration("jitter_p95", Duration::ZERO),
        loss_ppm: probability(&section, "loss"),
        duplicate_ppm: probability(&section, "duplicates"),
        transport: section.choice(
            "transport",
            &[
                ("in-order", Transport::InOrder),
                ("datagram", Transport::Datagram),
            ],
        ),
        bandwidth_bits: (!section.says("bandwidth", "unlimited"))
            .then(|| section.rate("bandwidth")),
        overhead_bytes: section.size("overhead", 0..=10_000),
    }
}

/// A share of messages, in a million.
pub(crate) fn probability(section: &Section<'_>, key: &str) -> u32 {
    let ppm = section.decimal(key, 6, 0..=1);
    if ppm > MOST_LOSSES_PPM {
        let hint = "from 0 to 0.9".to_owned();
        section.problem(key, "hardly anything would arrive", Some(hint));
    }
    u32::try_from(ppm).unwrap_or(0)
}

/// Reports regions that the matrix does not know, and those whose distance to others was never published.
pub(crate) fn check_regions(
    sections: &[Section<'_>],
    members: &[MemberPlan],
    network: &NetworkPlan,
) {
    let known = matrix::regions(network.matrix);
    if known.is_empty() {
        return;
    }
    let mut placed = BTreeMap::new();
    for (section, member) in sections.iter().zip(members) {
        if known.contains(&member.region.as_str()) {
            placed.entry(member.region.as_str()).or_insert(section);
        } else if section.get("region").is_some() {
            let hint = suggest::hint(&member.region, "regions", known.iter().copied());
            let message = format!("the matrix has no region {}", quote(&member.region));
            section.problem("region", message, Some(hint));
        }
    }
    refuse_unpublished(network, placed);
}

/// One region without figures spoils its distance to many: it is named once, and left out.
fn refuse_unpublished(network: &NetworkPlan, mut placed: BTreeMap<&str, &Section<'_>>) {
    let unpublished =
        |from: &str, to: &str| from != to && matrix::one_way(network.matrix, from, to).is_none();
    loop {
        let missing = |from: &str| {
            let others = placed.keys().copied();
            others
                .filter(|to| unpublished(from, to))
                .collect::<Vec<_>>()
        };
        let Some(worst) = placed
            .keys()
            .copied()
            .max_by_key(|region| missing(region).len())
        else {
            return;
        };
        let others = missing(worst).join(", ");
        let section = placed.remove(worst);
        let Some(section) = section.filter(|_| !others.is_empty()) else {
            return;
        };
        let message = format!("the latency between {worst} and {others} was not published");
        section.problem("region", message, Some("choose another region".to_owned()));
    }
}

/// Lays the chosen machine profile under `[machine]`. Does nothing if there is no such profile:
/// [`machine`] says so.
pub(crate) fn lay_profile_under(root: &mut Table, profiles: &Table) {
    let Some(Value::Table(machine)) = root.get_mut("machine").map(|entry| &mut entry.node.value)
    else {
        return;
    };
    let Some(Value::Text(name)) = machine.get("profile").map(|entry| &entry.node.value) else {
        return;
    };
    if let Some(Value::Table(profile)) = profiles.get(name).map(|entry| &entry.node.value) {
        tree::lay_under(machine, profile);
    }
}

/// Reads `[machine]`.
pub(crate) fn machine(root: &Section<'_>, profiles: &Table) -> Machine {
    let section = root.section(
        "machine",
        &[
            "profile",
            "cores",
            "sign",
            "check",
            "hash_per_kb",
            "execute",
            "message",
            "fsync",
        ],
    );
    let name = section.text("profile");
    let known = profiles.keys().map(String::as_str);
    let cost = |key: &str| {
        let span = section.duration(key, Duration::ZERO);
        if span > SLOWEST {
            section.problem(
                key,
                "this is too slow for a machine",
                Some("at most 10s".to_owned()),
            );
        }
        span
    };
    let nanos = |key: &str| u64::try_from(cost(key).as_nanos()).unwrap_or(u64::MAX);
    let unknown = !profiles.contains_key(name);
    if unknown && section.get("profile").is_some() {
        let hint = suggest::hint(name, "profiles", known);
        section.problem(
            "profile",
            format!("there is no profile {}", quote(name)),
            Some(hint),
        );
    }
    if unknown {
        // Without its profile every key would be missing: one problem is enough.
        return zero_machine(name);
    }
    Machine {
        name: name.to_owned(),
        cores: section.count("cores", 1..=1024),
        sign_ns: nanos("sign"),
        check_ns: nanos("check"),
        hash_kb_ns: nanos("hash_per_kb"),
        execute_ns: nanos("execute"),
        message_ns: nanos("message"),
        fsync: cost("fsync"),
    }
}

fn zero_machine(name: &str) -> Machine {
    Machine {
        name: name.to_owned(),
        cores: 1,
        sign_ns: 0,
        check_ns: 0,
        hash_kb_ns: 0,
        execute_ns: 0,
        message_ns: 0,
        fsync: Duration::ZERO,
    }
}

/// Reads `[host]`.
pub(crate) fn host(root: &Section<'_>) -> HostPlan {
    let section = root.section("host", &["signatures", "wire", "execution"]);
    let eager = [("lazy", false), ("eager", true)];
    HostPlan {
        eager_signatures: section.choice("signatures", &eager),
        eager_wire: section.choice("wire", &eager),
        shared_execution: section.choice("execution", &[("shared", true), ("separate", false)]),
    }
}
