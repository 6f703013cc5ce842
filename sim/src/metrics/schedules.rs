//! How often each schedule of the plan was applied.

use super::{Metrics, summary::ScheduleRow, units};
use crate::{
    scenario::plan::{
        About, DiskFate, MemberIndex, Plan, ScheduleKind, SchedulePlan, rewrite_in_words,
    },
    time::nanos,
};

impl Metrics {
    /// The rows of the report, in the plan's order.
    pub(super) fn schedule_rows(&self) -> Vec<ScheduleRow> {
        let (plan, cast) = (&*self.plan, &*self.cast);
        let row = |(number, schedule)| ScheduleRow {
            label: label(schedule, plan),
            used: self.scheduled[number],
            // A schedule's crash is numbered behind the faults.
            restarts: self.restarts.rows(plan.faults.len() + number, cast),
        };
        plan.schedules.iter().enumerate().map(row).collect()
    }

    /// Whether every schedule was applied at least once: one that was not has shown nothing.
    pub fn are_schedules_met(&self) -> bool {
        self.scheduled.iter().all(|used| *used > 0)
    }
}

/// A schedule in words.
pub(super) fn label(schedule: &SchedulePlan, plan: &Plan) -> String {
    let about = &schedule.about;
    let span = |span: &std::time::Duration| units::span(nanos(*span));
    let what = about_in_words(about, plan);
    match &schedule.kind {
        ScheduleKind::Drop => format!("drop {what}"),
        ScheduleKind::Delay(by) => format!("delay {what} by {}", span(by)),
        ScheduleKind::Hold(release) => format!("hold {what} until {release}"),
        ScheduleKind::Duplicate { copies, by } => {
            let again = units::counted(*copies, "time");
            format!("duplicate {what} {again}, each {} later", span(by))
        }
        ScheduleKind::Rewrite {
            change,
            keeps_original,
        } => {
            let verb = if *keeps_original { "add to" } else { "rewrite" };
            format!("{verb} {what}: {}", rewrite_in_words(*change))
        }
        ScheduleKind::Crash {
            phase,
            restart,
            disk,
        } => {
            let back = restart.map_or("for good".to_owned(), |restart| {
                format!("for {}", span(&restart))
            });
            let disk = match disk {
                DiskFate::Torn | DiskFate::Kept => String::new(),
                worse => format!(", disk {}", worse.name()),
            };
            format!("crash {} {what} {back}{disk}", phase.name())
        }
    }
}

fn about_in_words(about: &About, plan: &Plan) -> String {
    let kinds = match about.kinds.as_slice() {
        [] => "anything".to_owned(),
        kinds => kinds.join("/"),
    };
    let mut words = vec![kinds];
    for (preposition, members) in [("from", &about.from), ("to", &about.to)] {
        if !members.is_empty() {
            let name = |member: &MemberIndex| plan.members[*member].name.as_str();
            let names: Vec<&str> = members.iter().map(name).collect();
            words.push(format!("{preposition} {}", names.join(", ")));
        }
    }
    for (field, range) in [("view", about.view), ("seq", about.seq)] {
        words.extend(range.map(|range| match range {
            (first, last) if first == last => format!("{field} {first}"),
            (first, u64::MAX) => format!("{field} {first}.."),
            (first, last) => format!("{field} {first}..{last}"),
        }));
    }
    words.join(" ")
}
