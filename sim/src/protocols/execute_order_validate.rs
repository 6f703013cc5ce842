//! Execute-order-validate, as in Hyperledger Fabric: who orders, who endorses, how often a gateway tries.

use std::{sync::Arc, time::Duration};

use consortium_node::{central::Central, node::Node, quorum};

use super::{Form, PbftPlan, Protocol, Registered, Seat, Thresholds};
use crate::{
    metrics::units,
    scenario::{
        plan::{MemberIndex, MemberPlan},
        reader::{Names, Section},
        suggest::quote,
        tree::{Node as TreeNode, Value},
    },
    time::nanos,
};

/// More tries than this are an endless loop.
const MOST_RETRIES: u64 = 1000;

/// Parameters of execute-order-validate. Every validator's machine is a peer.
#[derive(Clone, Debug)]
pub struct ExecuteOrderValidatePlan {
    /// The ordering service.
    pub ordering: Ordering,
    /// Who tries transactions before they are ordered.
    pub endorsers: Endorsers,
    /// Equal endorsements that a transaction needs (k).
    pub policy: usize,
    /// How often a gateway has an order endorsed again after a conflict.
    pub retries: u32,
    /// How long it waits before the first of these; twice as long before each of the next few.
    pub back_off: Duration,
}

/// An ordering service.
#[derive(Clone, Debug)]
pub enum Ordering {
    /// One orderer: this member's first validator; `None`: the first of all.
    Single(Option<MemberIndex>),
    /// All validators, with PBFT.
    Pbft(PbftPlan),
}

/// Who endorses.
#[derive(Clone, Debug)]
pub enum Endorsers {
    /// The first so many validators.
    First(usize),
    /// The first validator of each of these.
    Members(Vec<MemberIndex>),
}

impl Protocol for ExecuteOrderValidatePlan {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn in_words(&self) -> String {
        let ordering = match self.ordering {
            Ordering::Single(_) => "one orderer",
            Ordering::Pbft(_) => "ordering by PBFT",
        };
        let endorsers = match &self.endorsers {
            Endorsers::First(count) => *count,
            Endorsers::Members(members) => members.len(),
        };
        format!(
            "{ordering}  policy {} of {endorsers} endorsers  retries {} from {}",
            self.policy,
            self.retries,
            units::span(nanos(self.back_off))
        )
    }

    /// Those of the ordering service.
    fn thresholds(&self, n: usize) -> Thresholds {
        match self.ordering {
            Ordering::Single(_) => Thresholds { f: 0, q: 1 },
            Ordering::Pbft(_) => Thresholds {
                f: quorum::byzantine_faults(n),
                q: quorum::byzantine_quorum(n),
            },
        }
    }

    fn roles(&self) -> Option<&ExecuteOrderValidatePlan> {
        Some(self)
    }

    fn validator(&self, seat: Seat<'_>) -> Box<dyn Node> {
        let orderers = Arc::clone(&seat.channel().orderers);
        let (id, key, genesis) = (seat.id, seat.key(), seat.genesis());
        match &self.ordering {
            Ordering::Single(_) => seat.machine(|| Central::new(orderers, id, key, &genesis)),
            Ordering::Pbft(pbft) => {
                let engine = pbft.engine(&seat, orderers);
                seat.machine(|| engine)
            }
        }
    }
}

impl Registered for ExecuteOrderValidatePlan {
    const NAME: &'static str = "execute-order-validate";
    const SECTION: Option<&'static str> = Some("execute_order_validate");
    const MESSAGES: &'static [&'static str] = &[];
    const RECORDS: &'static [&'static str] = &[];

    fn read(form: &Form<'_, '_>) -> Self {
        let (members, names) = (form.members, form.names);
        let section = form.consensus.section(
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
            found.filter(|member| {
                runs_a_validator(&section, section.get("orderer"), members, *member)
            })
        };
        let (endorsers, count) = endorsers(&section, members, names);
        Self {
            ordering: if section.choice("ordering", &[("single", true), ("pbft", false)]) {
                Ordering::Single(orderer)
            } else {
                Ordering::Pbft(PbftPlan::read(form))
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
    node: Option<&TreeNode>,
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
