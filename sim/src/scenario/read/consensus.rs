//! How members agree, what a node keeps, how gateways submit.

use std::time::Duration;

use consortium_node::mutant::Mutant;

use super::execute_order_validate::execute_order_validate;
use crate::scenario::{
    plan::{
        CliquePlan, Consensus, GatewayPlan, MemberPlan, MempoolPlan, PbftPlan, Protocol, RelayPlan,
        SyncPlan,
    },
    reader::{Names, Section},
    suggest::{self, quote},
    tree::Value,
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
    let validators = members.iter().map(|member| member.validators).sum();
    let keys = [
        "protocol",
        "clock_tolerance",
        "mutant",
        "batch",
        "pbft",
        "clique",
        "execute_order_validate",
    ];
    let section = root.section("consensus", &keys);
    // All parameters are checked whichever protocol is chosen: a scenario is compared across protocols.
    let pbft = pbft(&section);
    let clique = clique(&section, validators);
    let roles = execute_order_validate(&section, members, names, &pbft);
    let choices = [
        ("pbft", 0),
        ("clique", 1),
        ("central", 2),
        ("execute-order-validate", 3),
    ];
    let protocol = match section.choice("protocol", &choices) {
        0 => Protocol::Pbft(pbft),
        1 => Protocol::Clique(clique),
        2 => Protocol::Central,
        _ => Protocol::ExecuteOrderValidate(roles),
    };
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
    } else if !section.says("protocol", "pbft") {
        section.problem_of_two(
            "mutant",
            "protocol",
            "this is a bug of another protocol",
            "protocol = \"pbft\"".to_owned(),
        );
    }
    Some(found)
}

fn pbft(consensus: &Section<'_>) -> PbftPlan {
    let section = consensus.section(
        "pbft",
        &[
            "checkpoint_interval",
            "window",
            "pipeline",
            "request_timeout",
            "request_deadline",
            "view_change_timeout",
            "status_interval",
        ],
    );
    let before = section.log().count();
    let plan = PbftPlan {
        checkpoint_interval: section.integer("checkpoint_interval", 1..=MANY),
        window: section.integer("window", 2..=2 * MANY),
        pipeline: section.integer("pipeline", 1..=MANY),
        request_timeout: section.duration("request_timeout", TICK),
        request_deadline: section.duration("request_deadline", TICK),
        view_change_timeout: section.duration("view_change_timeout", TICK),
        status_interval: section.duration("status_interval", TICK),
    };
    if section.log().count() > before {
        return plan;
    }
    if plan.window < 2 * plan.checkpoint_interval {
        let hint = format!(
            "a window of at least {}, or a shorter interval",
            2 * plan.checkpoint_interval
        );
        let message = "the window must hold two checkpoint intervals (L >= 2K)";
        section.problem_of_two("window", "checkpoint_interval", message, hint);
    }
    if plan.pipeline > plan.window {
        let message = "the pipeline cannot be longer than the window";
        let hint = format!("a pipeline of at most {}", plan.window);
        section.problem_of_two("pipeline", "window", message, hint);
    }
    plan
}

fn clique(consensus: &Section<'_>, validators: usize) -> CliquePlan {
    let section = consensus.section("clique", &["period", "confirmations"]);
    CliquePlan {
        period: section.duration("period", TICK),
        confirmations: if section.says("confirmations", "majority") {
            validators as u64 / 2 + 1
        } else {
            section.integer("confirmations", 1..=MANY)
        },
    }
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
