//! Who orders, who endorses, and how often a gateway tries.

use std::time::Duration;

use crate::scenario::{
    plan::{Endorsers, ExecuteOrderValidatePlan, MemberIndex, MemberPlan, Ordering, PbftPlan},
    reader::{Names, Section},
    suggest::quote,
    tree::{Node, Value},
};

/// More tries than this are an endless loop.
const MOST_RETRIES: u64 = 1000;

/// Reads `[consensus.execute_order_validate]`.
pub(crate) fn execute_order_validate<'a>(
    consensus: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
    pbft: &PbftPlan,
) -> ExecuteOrderValidatePlan {
    let section = consensus.section(
        "execute_order_validate",
        &[
            "ordering",
            "orderer",
            "endorsers",
            "policy",
            "retries",
            "back_off",
        ],
    );
    let orderer = if section.says("orderer", "first") {
        None
    } else {
        let found = names.find(&section, "orderer");
        found.filter(|member| runs_a_validator(&section, section.get("orderer"), members, *member))
    };
    let (endorsers, count) = endorsers(&section, members, names);
    ExecuteOrderValidatePlan {
        ordering: if section.choice("ordering", &[("single", true), ("pbft", false)]) {
            Ordering::Single(orderer)
        } else {
            Ordering::Pbft(pbft.clone())
        },
        endorsers,
        policy: if section.says("policy", "all") {
            count
        } else {
            section.count("policy", 1..=count.max(1) as u64)
        },
        retries: section.integer("retries", 0..=MOST_RETRIES) as u32,
        back_off: section.duration("back_off", Duration::from_millis(1)),
    }
}

/// The endorsers, and how many they are. A scenario that is compared across sizes may ask for more of the
/// first validators than there are.
fn endorsers<'a>(
    section: &Section<'a>,
    members: &[MemberPlan],
    names: &Names<'a>,
) -> (Endorsers, usize) {
    let validators: usize = members.iter().map(|member| member.validators).sum();
    let Some(Value::List(items)) = section.get("endorsers").map(|node| &node.value) else {
        let first = section.count("endorsers", 1..=1_000_000);
        let first = first.min(validators).max(1);
        return (Endorsers::First(first), first);
    };
    let mut list: Vec<MemberIndex> = Vec::new();
    for item in items {
        let Some(member) = names.find_node(section, item, "endorsers") else {
            continue;
        };
        if list.contains(&member) {
            let message = format!("{} is listed twice", quote(names.list[member]));
            section.log().add(item.span, message, None);
        } else if runs_a_validator(section, Some(item), members, member) {
            list.push(member);
        }
    }
    if items.is_empty() {
        section.problem("endorsers", "nobody endorses", None);
    }
    let count = list.len();
    (Endorsers::Members(list), count)
}

fn runs_a_validator(
    section: &Section<'_>,
    node: Option<&Node>,
    members: &[MemberPlan],
    member: MemberIndex,
) -> bool {
    let runs = members[member].validators > 0;
    if let Some(node) = node
        && !runs
    {
        let message = format!("{} runs no validator", quote(&members[member].name));
        section.log().add(node.span, message, None);
    }
    runs
}
