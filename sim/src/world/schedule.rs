//! Directed schedules: what leaves a node, and what it writes, passes here.
//!
//! A schedule takes no chance and makes none: the wires draw for a message as if nothing happened to it,
//! so that adding a schedule shifts no other draw. All schedules that are about a message apply to it;
//! which they are is decided by what its sender meant to send. They end when the drain begins.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use consortium_node::{
    engine::{Forks, Slot},
    node::Packet,
    storage::Write,
    types::NodeId,
};

use super::{Command, Event, World};
use crate::{
    adversary::Rewriter,
    cast::Cast,
    fact::Fact,
    scenario::plan::{About, MemberIndex, Phase, Plan, ScheduleKind, SchedulePlan},
    time::Time,
};

/// How often each schedule was asked and applied, and who lies in them.
#[derive(Debug)]
pub(super) struct Schedules {
    counts: Vec<Count>,
    rewriters: BTreeMap<NodeId, Rewriter>,
    forks: Forks,
}

/// Of one schedule: what it was about, and what it was applied to.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    seen: u64,
    used: u64,
}

/// What happens to a message on its way.
#[derive(Clone, Default, Debug)]
pub(super) struct Fate {
    is_lost: bool,
    delay: Duration,
    release: Time,
    /// For each further copy: how long after the first.
    copies: Vec<Duration>,
}

impl Fate {
    /// When copies of a message arrive that would have arrived at `at`.
    pub(super) fn arrivals(&self, at: Time) -> impl Iterator<Item = Time> + '_ {
        let first = (at + self.delay).max(self.release);
        let copies = self.copies.iter().map(move |later| first + *later);
        let arrivals = [first].into_iter().chain(copies);
        arrivals.filter(|_| !self.is_lost)
    }

    fn suffer(&mut self, kind: &ScheduleKind) {
        match kind {
            ScheduleKind::Drop => self.is_lost = true,
            ScheduleKind::Delay(by) => self.delay += *by,
            ScheduleKind::Hold(release) => self.release = self.release.max(*release),
            ScheduleKind::Duplicate { copies, by } => {
                let copies = u32::try_from(*copies).unwrap_or(u32::MAX);
                self.copies.extend((1..=copies).map(|k| *by * k));
            }
            ScheduleKind::Rewrite { .. } | ScheduleKind::Crash { .. } => {}
        }
    }
}

impl Schedules {
    pub(super) fn new(plan: &Plan, cast: &Cast) -> Self {
        let liars = plan.rewriters();
        let liars = cast
            .validators()
            .filter(|node| liars.contains(&cast.member_of(*node)));
        let rewriter = |node: NodeId| {
            let key = Arc::clone(&cast.node_keys[node.index()]);
            (node, Rewriter::new(key, node, cast.committee.quorum()))
        };
        Self {
            counts: vec![Count::default(); plan.schedules.len()],
            rewriters: liars.map(rewriter).collect(),
            forks: Forks::new(),
        }
    }

    /// Whether a schedule that is about this has skipped enough and is not used up.
    fn is_due(&mut self, number: usize, about: &About) -> bool {
        let count = &mut self.counts[number];
        count.seen += 1;
        count.seen > about.skip && about.times.is_none_or(|times| count.used < times)
    }
}

impl About {
    fn is_about(
        &self,
        now: Time,
        (kind, slot): (&str, Slot),
        from: MemberIndex,
        to: Option<MemberIndex>,
    ) -> bool {
        let within = |range: Option<(u64, u64)>, number: u64| {
            range.is_none_or(|(first, last)| first <= number && number <= last)
        };
        (self.kinds.is_empty() || self.kinds.iter().any(|name| name == kind))
            && (self.from.is_empty() || self.from.contains(&from))
            && (self.to.is_empty() || to.is_some_and(|to| self.to.contains(&to)))
            && within(self.view, slot.view.0)
            && within(self.seq, slot.seq.0)
            && self.since <= now
            && self.until.is_none_or(|until| now < until)
    }
}

impl World<'_> {
    /// Lets a message leave a node, through whatever schedules are about it. A sender that crashes over
    /// it is doomed afterwards.
    pub(super) fn send(&mut self, from: NodeId, to: NodeId, packet: &Packet) {
        if self.plan.schedules.is_empty() {
            return self.carry(from, to, packet, &Fate::default());
        }
        if let Some(rewriter) = self.schedules.rewriters.get_mut(&from) {
            rewriter.hear(packet);
        }
        let plan = Arc::clone(&self.plan);
        let due = self.due_for_message(from, to, packet);
        let due = || due.iter().map(|number| (*number, &plan.schedules[*number]));
        if let Some(number) = crashing(due(), Phase::BeforeSend) {
            return self.strike(number, from);
        }
        let mut said = vec![packet.clone()];
        let mut fate = Fate::default();
        for (number, schedule) in due() {
            match &schedule.kind {
                ScheduleKind::Rewrite {
                    change,
                    keeps_original,
                } => {
                    let Schedules {
                        rewriters, forks, ..
                    } = &mut self.schedules;
                    let rewriter = rewriters.get(&from);
                    let lie = rewriter.and_then(|r| r.rewrite(*change, packet, forks));
                    let Some(lie) = lie else {
                        continue;
                    };
                    if *keeps_original {
                        said.push(lie);
                    } else {
                        said = vec![lie];
                    }
                    self.applied(number, from);
                }
                ScheduleKind::Crash { .. } => {}
                other => {
                    fate.suffer(other);
                    self.applied(number, from);
                }
            }
        }
        for packet in &said {
            self.carry(from, to, packet, &fate);
        }
        if let Some(number) = crashing(due(), Phase::AfterSend) {
            self.strike(number, from);
        }
    }

    /// The schedules that are due for a message.
    fn due_for_message(&mut self, from: NodeId, to: NodeId, packet: &Packet) -> Vec<usize> {
        let (kind, slot) = packet.label();
        let (a, b) = (self.cast.member_of(from), self.cast.member_of(to));
        self.due((kind.name, slot), a, Some(b))
    }

    /// The schedules that are due for a message, or for a record when it is for nobody.
    fn due(
        &mut self,
        label: (&str, Slot),
        from: MemberIndex,
        to: Option<MemberIndex>,
    ) -> Vec<usize> {
        if self.draining {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (number, schedule) in self.plan.schedules.iter().enumerate() {
            let about = &schedule.about;
            if is_of_records(schedule) == to.is_none()
                && about.is_about(self.now, label, from, to)
                && self.schedules.is_due(number, about)
            {
                due.push(number);
            }
        }
        due
    }

    /// The crash that is due over a record that a validator writes, and its phase.
    pub(super) fn due_for_record(&mut self, node: NodeId, write: &Write) -> Option<(usize, Phase)> {
        if self.plan.schedules.is_empty() {
            return None;
        }
        let member = self.cast.member_of(node);
        let number = *self.due(write.label(), member, None).first()?;
        match self.plan.schedules[number].kind {
            ScheduleKind::Crash { phase, .. } => Some((number, phase)),
            _ => None,
        }
    }

    fn applied(&mut self, number: usize, node: NodeId) {
        self.schedules.counts[number].used += 1;
        self.tell(&Fact::Scheduled {
            schedule: number,
            node,
        });
    }

    /// A validator crashes where a schedule says so.
    pub(super) fn strike(&mut self, number: usize, node: NodeId) {
        let ScheduleKind::Crash { restart, disk, .. } = self.plan.schedules[number].kind else {
            return;
        };
        if !self.cast.is_validator(node) || !self.hosts[node.index()].up {
            return;
        }
        self.applied(number, node);
        let host = &mut self.hosts[node.index()];
        host.disk.crash(self.now, disk);
        host.is_doomed = true;
        self.commands.push_back(Command::Kill(node));
        let fault = self.fault_of(number);
        self.crashed[fault].insert(node);
        let nodes = vec![node];
        self.tell(&Fact::FaultBegan { fault, nodes });
        if let Some(restart) = restart {
            let stage = self.stage();
            let at = self.now + restart;
            self.queue.push(at, node, stage, Event::Restart { fault });
        }
    }

    /// A crash that a schedule causes has a number behind those of the plan's faults.
    fn fault_of(&self, schedule: usize) -> usize {
        self.plan.faults.len() + schedule
    }

    /// The drain begins: who would start again later does so now.
    pub(super) fn schedules_end(&mut self) {
        for number in 0..self.plan.schedules.len() {
            let kind = &self.plan.schedules[number].kind;
            let starts_again = matches!(
                kind,
                ScheduleKind::Crash {
                    restart: Some(_),
                    ..
                }
            );
            let fault = self.fault_of(number);
            for node in self.crashed[fault].clone() {
                if starts_again {
                    self.restart(fault, node);
                }
            }
        }
    }
}

fn is_of_records(schedule: &SchedulePlan) -> bool {
    matches!(&schedule.kind, ScheduleKind::Crash { phase, .. } if phase.is_of_records())
}

/// The first of these schedules that crashes the sender in this phase.
fn crashing<'p>(
    mut due: impl Iterator<Item = (usize, &'p SchedulePlan)>,
    when: Phase,
) -> Option<usize> {
    let crash = due.find(
        |(_, schedule)| matches!(schedule.kind, ScheduleKind::Crash { phase, .. } if phase == when),
    );
    crash.map(|(number, _)| number)
}
