//! What each fault of the plan did: outage, view changes, what an offline gateway held back.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::types::{NodeId, TxId};

use super::{
    Metrics,
    book::{Book, Fate},
    stall::Gap,
    summary::{Buffer, FaultRow},
};
use crate::{
    scenario::plan::{CrashPlan, DiskFate, FaultKind, FaultPlan, Link, MemberIndex, Plan, Target},
    time::Time,
};

/// A fault that began.
#[derive(Clone, Debug)]
struct Began {
    at: Time,
    nodes: Vec<NodeId>,
    ended: Option<Time>,
    /// Another fault began since.
    superseded: bool,
    /// When it was overcome: the first progress after its end, or after the next fault's beginning.
    overcome: Option<Time>,
    outage: Duration,
    first_after_end: Option<Time>,
    progressed: bool,
    views: (u64, u64),
}

/// All faults, by their number in the plan.
#[derive(Clone, Default, Debug)]
pub(super) struct Faults {
    began: BTreeMap<usize, Began>,
}

impl Faults {
    pub(super) fn began(&mut self, fault: usize, nodes: &[NodeId], at: Time, view: u64) {
        for earlier in self.began.values_mut() {
            earlier.superseded = true;
        }
        self.began.insert(
            fault,
            Began {
                at,
                nodes: nodes.to_vec(),
                ended: None,
                superseded: false,
                overcome: None,
                outage: Duration::ZERO,
                first_after_end: None,
                progressed: false,
                views: (view, view),
            },
        );
    }

    pub(super) fn ended(&mut self, fault: usize, at: Time) {
        if let Some(fault) = self.began.get_mut(&fault) {
            fault.ended.get_or_insert(at);
        }
    }

    /// Something became final after this gap.
    pub(super) fn progressed(&mut self, gap: Gap, view: u64) {
        for fault in self.began.values_mut() {
            if fault.ended.is_some() {
                fault.first_after_end.get_or_insert(gap.to);
            }
            if fault.overcome.is_some() {
                continue;
            }
            fault.outage = fault.outage.max(gap.since(fault.at));
            fault.progressed = true;
            fault.views.1 = view;
            if fault.superseded || fault.ended.is_some() {
                fault.overcome = Some(gap.to);
            }
        }
    }

    /// The run is over; a gap may still be open.
    pub(super) fn finish(&mut self, open: Option<Gap>, view: u64) {
        for fault in self.began.values_mut().filter(|f| f.overcome.is_none()) {
            fault.views.1 = view;
            match open {
                Some(gap) => fault.outage = fault.outage.max(gap.since(fault.at)),
                None => fault.progressed = true,
            }
        }
    }
}

impl Metrics {
    /// The rows of the report, in the plan's order.
    pub(super) fn fault_rows(&self, executed: &BTreeMap<TxId, u32>) -> Vec<FaultRow> {
        let (plan, cast, book) = (&self.plan, &self.cast, &self.book);
        let row = |(number, fault): (usize, &FaultPlan)| {
            let began = self.faults.began.get(&number);
            let restarts = self.restarts.rows(number, cast);
            let hit = began.and_then(|began| began.nodes.first());
            FaultRow {
                label: label(fault, plan, hit.map(|node| cast.name_of(*node))),
                at_ms: fault.at.0 / 1_000_000,
                until_ms: fault.until.map(|until| until.0 / 1_000_000),
                outage_ms: began.map(|b| b.outage.as_millis() as u64),
                recovery_ms: began.and_then(Began::recovery_ms),
                views: began.map_or((0, 0), |b| b.views),
                lost: began.map_or(0, |b| b.lost(book, !restarts.is_empty())),
                buffer: began.and_then(|b| match fault.kind {
                    FaultKind::GatewayOffline(member) => {
                        Some(b.buffer(cast.gateway(member), book, executed))
                    }
                    _ => None,
                }),
                restarts,
                survived: began.is_some_and(|b| b.progressed),
            }
        };
        plan.faults.iter().enumerate().map(row).collect()
    }
}

impl Began {
    fn recovery_ms(&self) -> Option<u64> {
        let ended = self.ended?;
        Some(self.first_after_end?.since(ended).as_millis() as u64)
    }

    /// Lost transactions that were sent before it was overcome. Where disks lost what they held, any of
    /// them; otherwise those that were not yet final when it began.
    fn lost(&self, book: &Book, at_any_age: bool) -> u64 {
        let until = self.overcome.unwrap_or(Time::NEVER);
        let in_flight =
            |sent: Time, finished: Time| sent <= until && (at_any_age || finished >= self.at);
        book.records()
            .filter(|record| record.lost().is_some())
            .filter(|record| {
                in_flight(
                    record.sent.unwrap_or(record.due),
                    record.finished.unwrap_or(Time::NEVER),
                )
            })
            .count() as u64
    }

    fn buffer(&self, gateway: NodeId, book: &Book, executed: &BTreeMap<TxId, u32>) -> Buffer {
        let returned = self.ended.unwrap_or(Time::NEVER);
        let waited: Vec<_> = book
            .records()
            .filter(|record| record.gateway == gateway && record.cheat.is_none())
            .filter(|record| record.due <= returned)
            .filter(|record| match record.sent {
                Some(sent) => record.waited_for_link && sent >= self.at,
                None => record.due >= self.at && record.fate == Fate::Pending,
            })
            .collect();
        let last = waited.iter().filter_map(|record| record.finished).max();
        Buffer {
            waited: waited.len() as u64,
            drained_ms: last.map_or(0, |last| last.since(returned).as_millis() as u64),
            unfinished: waited.iter().filter(|r| r.fate == Fate::Pending).count() as u64,
            repeated: waited
                .iter()
                .filter(|r| executed.get(&r.tx).is_some_and(|times| *times > 1))
                .count() as u64,
        }
    }
}

/// A fault in words.
fn label(fault: &FaultPlan, plan: &Plan, hit: Option<&str>) -> String {
    let name = |member: &MemberIndex| plan.members[*member].name.as_str();
    let way = |link: &Link| {
        let arrow = if link.both_ways { "<->" } else { "->" };
        format!("link {} {arrow} {}", name(&link.from), name(&link.to))
    };
    match &fault.kind {
        FaultKind::Crash(crash) => crash_label(crash, name, hit),
        FaultKind::Partition(groups) => {
            let group = |members: &Vec<MemberIndex>| {
                members.iter().map(name).collect::<Vec<_>>().join(" + ")
            };
            let groups: Vec<String> = groups.iter().map(group).collect();
            format!("partition {}", groups.join(" | "))
        }
        FaultKind::LinkCut(link) => format!("{} cut", way(link)),
        FaultKind::LinkLoss { link, loss_ppm } => {
            let percent = f64::from(*loss_ppm) / 10_000.0;
            match link {
                Some(link) => format!("{} loses {percent} %", way(link)),
                None => format!("all links lose {percent} %"),
            }
        }
        FaultKind::GatewayOffline(member) => format!("{} gateway offline", name(member)),
    }
}

fn crash_label<'a>(
    crash: &CrashPlan,
    name: impl Fn(&MemberIndex) -> &'a str,
    hit: Option<&str>,
) -> String {
    let who = match (crash.target, hit) {
        (Target::Primary, Some(hit)) => format!("primary crash ({hit})"),
        (Target::Primary, None) => "primary crash".to_owned(),
        (Target::Member(member), _) => format!("{} crash", name(&member)),
        (Target::All, _) => "all crash".to_owned(),
    };
    match crash.disk {
        DiskFate::Torn | DiskFate::Kept => who,
        worse => format!("{who}, disk {}", worse.name()),
    }
}
