//! How members agree, what a node keeps, how gateways submit.

use std::{sync::Arc, time::Duration};

use consortium_node::mutant::Mutant;

use crate::{
    protocols::{self, Form},
    scenario::{
        plan::{Consensus, GatewayPlan, MemberPlan, MempoolPlan, RelayPlan, SyncPlan},
        reader::{Names, Section},
        suggest::{self, quote},
        tree::Value,
    },
};

/// Timers below this would only measure the timer.
const TICK: Duration = Duration::from_millis(1);
/// No figure of a protocol is larger.
const MANY: u64 = 1_000_000;

/// Reads `[consensus]`.
pub(crate) fn consensus<'a>(
    root: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
) -> Consensus {
    let mut keys = vec!["protocol", "clock_tolerance", "mutant", "batch"];
    keys.extend(protocols::ALL.iter().filter_map(|entry| entry.section));
    let section = root.section("consensus", &keys);
    let form = Form {
        consensus: &section,
        members,
        names,
    };
    // All parameters are checked whichever protocol is chosen: a scenario is compared across protocols.
    let all = protocols::ALL.each_ref().map(|entry| (entry.read)(&form));
    let numbers = protocols::ALL.iter().zip(0..);
    let choices: Vec<_> = numbers
        .map(|(entry, number)| (entry.name, number))
        .collect();
    let chosen: usize = section.choice("protocol", &choices);
    let protocol = Arc::clone(&all[chosen]);
    let batch = section.section("batch", &["max_transactions", "max_bytes", "max_age"]);
    Consensus {
        protocol,
        batch_transactions: batch.count("max_transactions", 1..=100_000),
        batch_bytes: batch.size("max_bytes", 1_000..=64_000_000),
        batch_age: batch.duration("max_age", Duration::ZERO),
        clock_tolerance: section.duration("clock_tolerance", Duration::ZERO),
        mutant: mutant(&section),
    }
}

/// A planted bug, by name or number.
fn mutant(section: &Section<'_>) -> Option<Mutant> {
    let node = section.need("mutant")?;
    let found = if let Value::Integer(number) = &node.value {
        let mut all = Mutant::ALL.into_iter();
        let found = all.find(|mutant| Some(i64::from(mutant.number())) == *number);
        if found.is_none() {
            let hint = format!("they are numbered from 1 to {}", Mutant::ALL.len());
            section.problem("mutant", "there is no such planted bug", Some(hint));
        }
        found?
    } else {
        let name = section
            .text_of(node, "mutant")
            .filter(|name| *name != "none")?;
        let found = Mutant::ALL.into_iter().find(|mutant| mutant.name() == name);
        if found.is_none() {
            let hint = suggest::hint(name, "planted bugs", Mutant::ALL.map(Mutant::name));
            let message = format!("there is no planted bug {}", quote(name));
            section.problem("mutant", message, Some(hint));
        }
        found?
    };
    if !cfg!(feature = "mutants") {
        let message = format!("this build cannot plant bugs, not even \"{found}\"");
        let hint = "build it with them: cargo run --features mutants -- scenario …".to_owned();
        section.problem("mutant", message, Some(hint));
    } else if !section.says("protocol", found.protocol()) {
        section.problem_of_two(
            "mutant",
            "protocol",
            "this is a bug of another protocol",
            format!("protocol = \"{}\"", found.protocol()),
        );
    }
    Some(found)
}

/// Reads `[mempool]`.
pub(crate) fn mempool(root: &Section<'_>) -> MempoolPlan {
    let section = root.section("mempool", &["capacity", "relay", "relay_timeout"]);
    MempoolPlan {
        capacity: section.count("capacity", 1..=10_000_000),
        relay: section.choice(
            "relay",
            &[
                ("protocol", RelayPlan::Protocol),
                ("leader", RelayPlan::Leader),
                ("everyone", RelayPlan::Everyone),
            ],
        ),
        relay_timeout: section.duration("relay_timeout", TICK),
    }
}

/// Reads `[sync]`.
pub(crate) fn sync(root: &Section<'_>) -> SyncPlan {
    let section = root.section("sync", &["snapshot_above"]);
    let never = section.says("snapshot_above", "never");
    SyncPlan {
        snapshot_above: (!never).then(|| section.integer("snapshot_above", 1..=MANY)),
    }
}

/// Reads `[gateway]`. `validators` is n.
pub(crate) fn gateway(root: &Section<'_>, members: usize) -> GatewayPlan {
    let section = root.section("gateway", &["retry_after", "window", "reply_quorum"]);
    let from_protocol = section.says("reply_quorum", "protocol");
    GatewayPlan {
        retry_after: section.duration("retry_after", TICK),
        window: section.count("window", 1..=1_000_000),
        reply_quorum: (!from_protocol)
            .then(|| section.count("reply_quorum", 1..=members.max(1) as u64)),
    }
}
