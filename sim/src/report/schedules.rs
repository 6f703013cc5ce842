//! What the schedules of a run did.

use super::page::Page;
use crate::metrics::{
    summary::{ScheduleRow, Summary},
    units,
};

/// One line for each schedule.
pub(super) fn schedules(page: &mut Page, summary: &Summary) {
    if summary.schedules.is_empty() {
        return;
    }
    page.gap();
    page.line("SCHEDULES");
    let rows = summary.schedules.iter().map(|schedule| {
        let effect = effect(schedule);
        vec![schedule.label.clone(), effect]
    });
    page.table(None, rows.collect(), &[]);
}

/// How many of them were applied, for the line of verdicts.
pub(super) fn in_short(summary: &Summary) -> Option<String> {
    let all = summary.schedules.len();
    let applied = summary.schedules.iter().filter(|row| row.used > 0).count();
    (all > 0).then(|| format!("{applied}/{all} schedules applied"))
}

fn effect(schedule: &ScheduleRow) -> String {
    if schedule.used == 0 {
        return "MISSED: nothing like it was ever sent or written".to_owned();
    }
    let applied = format!("applied {}", units::counted(schedule.used, "time"));
    match super::table::restarts(&schedule.restarts) {
        Some(restarts) => format!("{applied}, {restarts}"),
        None => applied,
    }
}
