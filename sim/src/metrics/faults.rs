//! What each fault of the plan did: outage, view changes, what an offline gateway held back.

use std::{collections::BTreeMap, time::Duration};

use consortium_node::types::{NodeId, TxId};

use super::{
    book::{Book, Fate},
    stall::Gap,
    summary::{Buffer, FaultRow},
};
use crate::{
    cast::Cast,
    scenario::plan::{FaultKind, FaultPlan, MemberIndex, Plan, Target},
    time::Time,
};

/// A fault that began.
#[derive(Clone, Debug)]
struct Began {
    at: Time,
    node: Option<NodeId>,
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
    pub(super) fn began(&mut self, fault: usize, node: Option<NodeId>, at: Time, view: u64) {
        for earlier in self.began.values_mut() {
            earlier.superseded = true;
        }
        self.began.insert(
            fault,
            Began {
                at,
                node,
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

    /// The rows of the report, in the plan's order.
    pub(super) fn rows(
        &self,
        plan: &Plan,
        cast: &Cast,
        book: &Book,
        executed: &BTreeMap<TxId, u32>,
    ) -> Vec<FaultRow> {
        plan.faults
            .iter()
            .enumerate()
            .map(|(number, fault)| {
                let began = self.began.get(&number);
                FaultRow {
                    label: label(
                        fault,
                        plan,
                        began.and_then(|b| b.node).map(|n| cast.name_of(n)),
                    ),
                    at_ms: fault.at.0 / 1_000_000,
                    until_ms: fault.until.map(|until| until.0 / 1_000_000),
                    outage_ms: began.map(|b| b.outage.as_millis() as u64),
                    recovery_ms: began.and_then(Began::recovery_ms),
                    views: began.map_or((0, 0), |b| b.views),
                    lost: began.map_or(0, |b| b.lost(book)),
                    buffer: began.and_then(|b| match fault.kind {
                        FaultKind::GatewayOffline(member) => {
                            Some(b.buffer(cast.gateway(member), book, executed))
                        }
                        _ => None,
                    }),
                    survived: began.is_some_and(|b| b.progressed),
                }
            })
            .collect()
    }
}

impl Began {
    fn recovery_ms(&self) -> Option<u64> {
        let ended = self.ended?;
        Some(self.first_after_end?.since(ended).as_millis() as u64)
    }

    /// Lost transactions that were sent before it was overcome and not yet final when it began.
    fn lost(&self, book: &Book) -> u64 {
        let until = self.overcome.unwrap_or(Time::NEVER);
        let in_flight = |sent: Time, finished: Time| sent <= until && finished >= self.at;
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
    match &fault.kind {
        FaultKind::Crash(Target::Primary) => match hit {
            Some(hit) => format!("primary crash ({hit})"),
            None => "primary crash".to_owned(),
        },
        FaultKind::Crash(Target::Member(member)) => format!("{} crash", name(member)),
        FaultKind::Partition(groups) => {
            let group = |members: &Vec<MemberIndex>| {
                members.iter().map(name).collect::<Vec<_>>().join(" + ")
            };
            let groups: Vec<String> = groups.iter().map(group).collect();
            format!("partition {}", groups.join(" | "))
        }
        FaultKind::LinkCut { from, to } => format!("link {} -> {} cut", name(from), name(to)),
        FaultKind::GatewayOffline(member) => format!("{} gateway offline", name(member)),
    }
}
